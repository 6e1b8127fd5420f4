/* Asking vmsupd; see the header. */
#include "vmsup/ctl/daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmsup/base/fd.h"
#include "vmsup/wire/frame.h"

#define DEFAULT_SOCKET "/run/vmsup/vmsupd.sock"
#define PROTOCOL_VERSION 1
#define PACKET_MAX ((size_t)32 << 20)

struct vms_daemon_line {
	int fd; /* owned */
	json_int_t id; /* of the last request */
};

static int set_patience(const struct vms_daemon_line *line, unsigned int ms)
{
	const struct timeval patience = { .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };

	return setsockopt(line->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ? -errno : 0;
}

static int send_json(const struct vms_daemon_line *line, const json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT);
	unsigned char head[4];
	int r = 0;

	if (!text)
		return -ENOMEM;
	vms_packet_head(strlen(text), head);
	if (send(line->fd, head, sizeof(head), MSG_NOSIGNAL | MSG_MORE) != sizeof(head) ||
	    send(line->fd, text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text))
		r = errno ? -errno : -EIO;
	free(text);
	return r;
}

/* All of @len, and a descriptor that comes with the first byte. */
static int receive_all(const struct vms_daemon_line *line, void *bytes, size_t len, int *ret_fd)
{
	size_t done = 0;

	while (done < len) {
		union {
			struct cmsghdr align;
			char bytes[CMSG_SPACE(sizeof(int))];
		} control;
		struct iovec iov = { (char *)bytes + done, len - done };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(line->fd, &msg, MSG_CMSG_CLOEXEC);
		const struct cmsghdr *cmsg;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (n == 0)
			return -ECONNRESET;
		cmsg = CMSG_FIRSTHDR(&msg);
		if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS && cmsg->cmsg_len == CMSG_LEN(sizeof(int))) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
			if (ret_fd && *ret_fd < 0)
				*ret_fd = fd;
			else
				close(fd);
		}
		done += (size_t)n;
	}
	return 0;
}

static int receive_json(const struct vms_daemon_line *line, json_t **ret_json, int *ret_fd)
{
	unsigned char head[4];
	size_t len;
	char *text;
	int r = receive_all(line, head, sizeof(head), ret_fd);

	if (r < 0)
		return r;
	len = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
	if (len > PACKET_MAX)
		return -EMSGSIZE;
	text = malloc(len + 1);
	if (!text)
		return -ENOMEM;
	r = receive_all(line, text, len, ret_fd);
	*ret_json = r == 0 ? json_loadb(text, len, 0, NULL) : NULL;
	free(text);
	return r < 0 ? r : json_is_object(*ret_json) ? 0 : (json_decref(*ret_json), -EBADMSG);
}

static int no_answer(int r, struct vms_err *err)
{
	return vms_err_set(err, r, "vmsupd gave no answer: %s", r == -ECONNRESET ? "it has hung up" : strerror(-r));
}

static int code_of(const json_t *reply)
{
	const char *code = json_string_value(json_object_get(reply, "code"));

	for (int i = 1; code && i < 134; i++) {
		if (strerrorname_np(i) && strcmp(strerrorname_np(i), code) == 0)
			return -i;
	}
	return -EIO;
}

int vms_daemon_ask(struct vms_daemon_line *line, json_t *ask, json_t **ret_result, int *ret_fd, struct vms_err *err)
{
	json_t *reply = NULL, *result;
	const char *sentence;
	int r;

	if (ret_fd)
		*ret_fd = -1;
	json_object_set_new(ask, "id", json_integer(++line->id));
	r = send_json(line, ask);
	json_decref(ask);
	/* Who is refused may have been told before it could ask. */
	if (r == 0 || r == -EPIPE || r == -ECONNRESET)
		r = receive_json(line, &reply, ret_fd);
	if (r < 0)
		return no_answer(r, err);
	result = json_object_get(reply, "result");
	sentence = json_string_value(json_object_get(reply, "error"));
	if (json_is_true(json_object_get(reply, "ok")) && result) {
		*ret_result = json_incref(result);
		json_decref(reply);
		return 0;
	}
	r = vms_err_set(err, code_of(reply), "%.400s", sentence ? sentence : "vmsupd refuses without a word");
	json_decref(reply);
	return r;
}

int vms_daemon_next(struct vms_daemon_line *line, json_t **ret_event, struct vms_err *err)
{
	json_t *packet = NULL, *event;
	int r = set_patience(line, 0);

	if (r == 0)
		r = receive_json(line, &packet, NULL);
	if (r < 0)
		return no_answer(r, err);
	event = json_object_get(packet, "event");
	*ret_event = event ? json_incref(event) : json_null();
	json_decref(packet);
	return 0;
}

int vms_daemon_connect(struct vms_daemon_line **ret_line, struct vms_err *err)
{
	const char *path = getenv("VMSUP_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct vms_daemon_line *line;
	json_t *hello;
	int r;

	if (!path || !*path)
		path = DEFAULT_SOCKET;
	if (strlen(path) >= sizeof(address.sun_path))
		return vms_err_set(err, -ENAMETOOLONG, "VMSUP_SOCKET is longer than the name of a socket may be, %zu bytes",
				   sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, strlen(path));
	line = calloc(1, sizeof(*line));
	if (!line)
		return vms_err_set(err, -ENOMEM, "out of memory");
	line->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (line->fd < 0 || connect(line->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		r = vms_err_set(err, -errno, "vmsupd cannot be asked on %.200s: %s; does it run (systemctl status vmsupd)?", path,
				strerror(errno));
	else
		r = set_patience(line, VMS_DAEMON_PATIENCE_MS);
	if (r == 0)
		r = vms_daemon_ask(line, json_pack("{s:s, s:i}", "verb", "hello", "version", PROTOCOL_VERSION), &hello, NULL, err);
	if (r < 0) {
		vms_daemon_hang_up(line);
		return r;
	}
	json_decref(hello);
	*ret_line = line;
	return 0;
}

void vms_daemon_hang_up(struct vms_daemon_line *line)
{
	if (!line)
		return;
	vms_fd_close(&line->fd);
	free(line);
}

int vms_daemon_question(const char *verb, const char *tenant, json_t **ret_result, struct vms_err *err)
{
	struct vms_daemon_line *line;
	json_t *ask;
	int r = vms_daemon_connect(&line, err);

	if (r < 0)
		return r;
	ask = json_pack("{s:s}", "verb", verb);
	if (tenant)
		json_object_set_new(ask, "tenant", json_string(tenant));
	r = vms_daemon_ask(line, ask, ret_result, NULL, err);
	vms_daemon_hang_up(line);
	return r;
}

bool vms_daemon_is_name(const char *word)
{
	return *word && *word != '-' && word[strspn(word, "0123456789")] && !strchr(word, '/');
}
