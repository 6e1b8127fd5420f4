/* Questions that only a tenant's supervisor can answer, passed on to its own control socket (ctl/server.c) without waiting. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmsup/base/fd.h"
#include "vmsup/ctl/dir.h"
#include "vmsup/daemon/server.h"
#include "vmsup/wire/msg.h"

#define REPLY_MAX ((size_t)16 << 20)
#define PATIENCE_S 5

struct vms_relay {
	struct vms_client *client;
	int fd, timer; /* owned */
	struct vms_watch *watch, *timer_watch;
	struct vms_inbox in;
	void (*on_success)(void *arg); /* may be NULL */
	void *arg; /* owned, by free */
};

void vms_relay_free(struct vms_relay *relay)
{
	if (!relay)
		return;
	vms_watch_free(relay->watch);
	vms_watch_free(relay->timer_watch);
	vms_fd_close(&relay->fd);
	vms_fd_close(&relay->timer);
	vms_inbox_done(&relay->in);
	free(relay->arg);
	free(relay);
}

static void finish(struct vms_relay *relay, json_t *result, int code, const char *sentence)
{
	struct vms_client *client = relay->client;

	client->relay = NULL;
	if (result && relay->on_success)
		relay->on_success(relay->arg);
	vms_relay_free(relay);
	vms_client_reply(client, result, code, sentence);
}

static void on_reply(void *arg, int fd, unsigned int events)
{
	struct vms_relay *relay = arg;
	struct vms_err err = VMS_ERR_INIT;
	json_t *result = NULL;
	size_t count = 0, len;
	char *line;
	int r = vms_inbox_receive(&relay->in, fd, &count);

	(void)events;
	if (r == -EAGAIN)
		return;
	if (r == 0 && count)
		r = vms_inbox_line(&relay->in, &line, &len);
	else if (r == 0)
		r = -ECONNRESET;
	if (r == -EAGAIN)
		return;
	if (r == 0)
		r = vms_reply_parse(line, len, &result, &err);
	finish(relay, r == 0 ? result : NULL, r, err.text[0] ? err.text : r == -EMSGSIZE ? "the answer is too large: ask with a PID, as root" :
											     "the tenant's supervisor gave no answer");
}

static void on_timeout(void *arg, int fd, unsigned int events)
{
	(void)fd;
	(void)events;
	finish(arg, NULL, -ETIMEDOUT, "the tenant's supervisor gave no answer in time");
}

static int connect_to(pid_t pid)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	vms_autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), folder = -1;
	char name[VMS_CTL_NAME_MAX];
	int r = vms_ctl_dir_own(&folder, NULL);

	if (r < 0)
		return r;
	vms_ctl_dir_name(pid, name);
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", folder, name);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return vms_fd_steal(&fd);
}

int vms_relay_start(struct vms_client *client, pid_t pid, char *ask, size_t len, void (*on_success)(void *arg), void *arg,
		    struct vms_err *err)
{
	const struct itimerspec patience = { .it_value.tv_sec = PATIENCE_S };
	struct vms_loop *loop = client->server->daemon->loop;
	struct vms_relay *relay = calloc(1, sizeof(*relay));
	int r = relay ? 0 : -ENOMEM;

	if (!relay) {
		free(ask);
		free(arg);
		return vms_err_set(err, r, "out of memory");
	}
	*relay = (struct vms_relay){ .client = client, .fd = connect_to(pid), .timer = -1, .on_success = on_success, .arg = arg };
	vms_inbox_init(&relay->in, REPLY_MAX);
	if (relay->fd < 0)
		r = relay->fd;
	/* A new socket has room for a line. */
	if (r == 0 && send(relay->fd, ask, len, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)len)
		r = -EIO;
	free(ask);
	relay->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (r == 0 && (relay->timer < 0 || timerfd_settime(relay->timer, 0, &patience, NULL) < 0))
		r = -errno;
	if (r == 0)
		r = vms_loop_add(loop, relay->timer, VMS_WATCH_READ, -2, on_timeout, relay, &relay->timer_watch);
	if (r == 0)
		r = vms_loop_add(loop, relay->fd, VMS_WATCH_READ, -2, on_reply, relay, &relay->watch);
	if (r < 0) {
		relay->fd = relay->fd < 0 ? -1 : relay->fd;
		vms_relay_free(relay);
		return vms_err_set(err, r, "the tenant's supervisor cannot be asked: %s", strerror(-r));
	}
	client->relay = relay;
	return 1;
}
