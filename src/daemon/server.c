/*
 * The control socket. What clients do cannot make vmsupd wait or grow: descriptors do not block, buffers, connections and times have
 * limits, one request of one client is answered a round.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmsup/base/fd.h"
#include "vmsup/base/log.h"
#include "vmsup/daemon/server.h"
#include "vmsup/wire/msg.h"

/* A request must be whole, and output taken, within so long. */
#define ASK_NS 10000000000LL
#define SEND_NS 30000000000LL
/* Who is not root has to say hello in the time of a request, and something from time to time. */
#define IDLE_NS 300000000000LL
/* Clients wait rather than tenants' supervisors. */
#define PRIORITY (-2)

/* --- output ---------------------------------------------------------------------------------------- */

/* Asked already, while an answer is under way. */
static bool has_more(const struct vms_client *client)
{
	return client->in.len - client->in.taken >= 4 && client->in.seen != client->in.len;
}

/* Who asks further before it has been answered may fill its buffer, no more. What is in there comes next once it can be answered. */
static void update_watch(struct vms_client *client)
{
	unsigned int events = client->in.len - client->in.taken < client->in.max ? VMS_WATCH_READ : 0;

	if (client->out_len || (!client->waits && has_more(client)))
		events |= VMS_WATCH_WRITE;
	vms_watch_set(client->watch, events);
}

static void send_out(struct vms_client *client)
{
	while (client->out_sent < client->out_len) {
		ssize_t n = send(client->fd, client->out + client->out_sent, client->out_len - client->out_sent,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			vms_client_drop(client);
			return;
		}
		if (n < 0)
			break;
		client->out_sent += (size_t)n;
		client->sent_ns = vms_daemon_now_ns();
	}
	if (client->out_sent == client->out_len) {
		client->out_sent = client->out_len = 0;
		client->sent_ns = 0;
	} else if (!client->sent_ns) {
		client->sent_ns = vms_daemon_now_ns();
	}
	update_watch(client);
}

/* What waits for all clients of its user. */
static size_t out_of_user(const struct vms_client *client)
{
	size_t sum = 0;

	for (size_t i = 0; i < VMS_SERVER_CLIENTS; i++) {
		const struct vms_client *other = &client->server->clients[i];

		if (other->fd >= 0 && other->uid == client->uid)
			sum += other->out_len;
	}
	return sum;
}

static bool append(struct vms_client *client, const void *bytes, size_t len)
{
	if (client->out_sent) {
		memmove(client->out, client->out + client->out_sent, client->out_len - client->out_sent);
		client->out_len -= client->out_sent;
		client->out_sent = 0;
	}
	if ((client->uid ? out_of_user(client) : client->out_len) + len > VMS_SERVER_OUT_MAX)
		return false;
	if (client->out_len + len > client->out_cap) {
		size_t cap = client->out_len + len + (client->out_len + len) / 2;
		char *grown = realloc(client->out, cap);

		if (!grown)
			return false;
		client->out = grown;
		client->out_cap = cap;
	}
	memcpy(client->out + client->out_len, bytes, len);
	client->out_len += len;
	return true;
}

/* @json is taken. A client for which there is no room is dropped: it does not read. */
static void put(struct vms_client *client, json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT | JSON_PRESERVE_ORDER);
	unsigned char head[4];

	json_decref(json);
	if (text)
		vms_packet_head(strlen(text), head);
	if (!text || !append(client, head, sizeof(head)) || !append(client, text, strlen(text)))
		vms_client_drop(client);
	else
		send_out(client);
	free(text);
}

void vms_client_reply_raw(struct vms_client *client, const char *text, size_t len)
{
	unsigned char head[4];
	char id[40];
	const int n = snprintf(id, sizeof(id), "{\"id\":%" JSON_INTEGER_FORMAT ",", client->id);

	client->waits = false;
	/* What stands in for its first byte, the brace, is the id. */
	vms_packet_head((size_t)n + len - 1, head);
	if (!append(client, head, sizeof(head)) || !append(client, id, (size_t)n) || !append(client, text + 1, len - 1))
		vms_client_drop(client);
	else
		send_out(client);
}

static json_t *reply_json(const struct vms_client *client, json_t *result, int code, const char *sentence)
{
	const char *name = strerrorname_np(code < 0 ? -code : code);

	if (result)
		return json_pack("{s:I, s:b, s:o}", "id", client->id, "ok", 1, "result", result);
	return json_pack("{s:I, s:b, s:o, s:s}", "id", client->id, "ok", 0, "error", vms_msg_text(sentence), "code", name ? name : "EIO");
}

void vms_client_reply(struct vms_client *client, json_t *result, int code, const char *sentence)
{
	client->waits = false;
	put(client, reply_json(client, result, code, sentence));
}

bool vms_client_reply_with(struct vms_client *client, json_t *result, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .bytes = { 0 } };
	json_t *json = reply_json(client, result, 0, NULL);
	char *text = json_dumps(json, JSON_COMPACT | JSON_PRESERVE_ORDER);
	unsigned char head[4];
	struct iovec iov[2] = { { head, sizeof(head) }, { text, text ? strlen(text) : 0 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2, .msg_control = control.bytes, .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	ssize_t n = -1;

	json_decref(json);
	if (text && !client->out_len) {
		vms_packet_head(strlen(text), head);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
		n = sendmsg(client->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	client->waits = false;
	if (n != (ssize_t)(sizeof(head) + iov[1].iov_len))
		vms_client_drop(client);
	free(text);
	return client->fd >= 0;
}

void vms_client_event(struct vms_client *client, const json_t *event)
{
	put(client, json_pack("{s:I, s:O}", "id", client->id, "event", event));
}

void vms_client_drop(struct vms_client *client)
{
	if (client->fd < 0)
		return;
	vms_events_forget(client->server->daemon->events, client);
	vms_relay_free(client->relay);
	vms_watch_free(client->watch);
	vms_fd_close(&client->fd);
	vms_inbox_done(&client->in);
	free(client->out);
	free((char *)(uintptr_t)client->only);
	*client = (struct vms_client){ .server = client->server, .fd = -1 };
}

/* --- input ----------------------------------------------------------------------------------------- */

static int check_hello(const struct vms_client *client, const json_t *ask, struct vms_err *err)
{
	const json_t *version = json_object_get(ask, "version");
	const char *verb = json_string_value(json_object_get(ask, "verb"));

	if (!verb || strcmp(verb, "hello") != 0)
		return client->is_greeted ? 0 : vms_err_set(err, -EPROTO, "the first request must be hello, with the version of the protocol");
	if (!json_is_integer(version) || json_integer_value(version) != VMS_PROTOCOL_VERSION)
		return vms_err_set(err, -EPROTONOSUPPORT, "this vmsupd speaks version %d of the protocol: use the vmsup that came with it",
				   VMS_PROTOCOL_VERSION);
	return 0;
}

static void answer(struct vms_client *client, const char *text, size_t len)
{
	struct vms_err err = VMS_ERR_INIT;
	json_t *ask = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL), *result = NULL;
	int r;

	client->id = json_integer_value(json_object_get(ask, "id"));
	client->waits = true;
	if (!json_is_object(ask))
		r = vms_err_set(&err, -EBADMSG, "a request is one JSON object");
	else
		r = check_hello(client, ask, &err);
	if (r == 0)
		r = vms_verb_do(client, ask, &result, &err);
	json_decref(ask);
	if (r <= 0 && client->fd >= 0)
		vms_client_reply(client, r == 0 ? result : NULL, r, err.text[0] ? err.text : strerror(-r));
}

static void read_next(struct vms_client *client)
{
	const char *bytes;
	size_t len;
	int r;

	if (client->waits || client->out_len)
		return;
	r = vms_inbox_packet(&client->in, &bytes, &len);
	if (r == 0) {
		client->asked_ns = 0;
		answer(client, bytes, len);
	} else if (r == -EAGAIN) {
		client->in.seen = client->in.len;
		client->asked_ns = client->in.len > client->in.taken ? client->asked_ns ? client->asked_ns : vms_daemon_now_ns() : 0;
	} else {
		vms_client_drop(client);
	}
}

static void on_client(void *arg, int fd, unsigned int events)
{
	struct vms_client *client = arg;
	size_t count = 1;
	int r = 0;

	if (events & VMS_WATCH_READ) {
		r = vms_inbox_receive(&client->in, fd, &count);
		if (count == 0 || (r < 0 && r != -EAGAIN && r != -EMSGSIZE)) {
			vms_client_drop(client);
			return;
		}
		client->heard_ns = vms_daemon_now_ns();
		/* Not looked at yet. */
		client->in.seen = client->in.taken;
	}
	if (client->out_len)
		send_out(client);
	if (client->fd >= 0)
		read_next(client);
	if (client->fd >= 0)
		update_watch(client);
}

/* --- connections ------------------------------------------------------------------------------------ */

static bool has_group(int fd, gid_t wanted)
{
	gid_t groups[1024];
	socklen_t len = sizeof(groups);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		return false;
	for (size_t i = 0; i < len / sizeof(gid_t); i++) {
		if (groups[i] == wanted)
			return true;
	}
	return false;
}

static enum vms_right right_of(const struct vms_daemon *daemon, int fd, const struct ucred *peer)
{
	const struct group *group = daemon->conf.socket_group ? getgrnam(daemon->conf.socket_group) : NULL;

	if (peer->uid == 0 || peer->uid == geteuid())
		return VMS_RIGHT_ALL;
	if (group && (peer->gid == group->gr_gid || has_group(fd, group->gr_gid)))
		return VMS_RIGHT_OPERATOR;
	for (size_t i = 0; i < daemon->conf.nr_tenants; i++) {
		const struct vms_tenant_conf *conf = &daemon->conf.tenants[i];

		if (conf->user && conf->uid == peer->uid)
			return VMS_RIGHT_OWN;
	}
	return VMS_RIGHT_NONE;
}

/* Root finds room whatever the others do, and operators whatever tenants' users do. */
static struct vms_client *free_slot(struct vms_server *server, uid_t uid, enum vms_right right)
{
	struct vms_client *found = NULL;
	unsigned int of_one = 0, own = 0, other = 0;

	for (size_t i = 0; i < VMS_SERVER_CLIENTS; i++) {
		struct vms_client *client = &server->clients[i];

		if (client->fd < 0) {
			found = client;
			continue;
		}
		of_one += client->uid == uid;
		own += client->right == VMS_RIGHT_OWN;
		other += client->right != VMS_RIGHT_ALL;
	}
	if (right == VMS_RIGHT_ALL)
		return found;
	return of_one >= VMS_SERVER_CLIENTS_OF_ONE || other >= VMS_SERVER_CLIENTS_OTHER ||
			       (right == VMS_RIGHT_OWN && own >= VMS_SERVER_CLIENTS_OWN) ?
		       NULL :
		       found;
}

/* Without a slot it may not even be told why; a line in a new socket finds room. */
static void refuse(int fd, int code, const char *sentence)
{
	const struct vms_client nobody = { .fd = -1 };
	json_t *json = reply_json(&nobody, NULL, code, sentence);
	char *text = json_dumps(json, JSON_COMPACT);
	unsigned char head[4];

	json_decref(json);
	if (!text)
		return;
	vms_packet_head(strlen(text), head);
	if (send(fd, head, sizeof(head), MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE) == sizeof(head))
		(void)!send(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
	free(text);
}

static void add_client(struct vms_server *server, int fd)
{
	vms_autofd owned = fd;
	struct ucred peer;
	socklen_t len = sizeof(peer);
	struct vms_client *client;
	enum vms_right right;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return;
	right = right_of(server->daemon, fd, &peer);
	if (right == VMS_RIGHT_NONE) {
		refuse(fd, EACCES, "only root, members of the group in socket-group and users that tenants run as may ask vmsupd");
		return;
	}
	client = free_slot(server, peer.uid, right);
	if (!client) {
		refuse(fd, EAGAIN, "too many clients are connected: try again later");
		return;
	}
	if (vms_loop_add(server->daemon->loop, fd, VMS_WATCH_READ, PRIORITY, on_client, client, &client->watch) < 0)
		return;
	client->fd = vms_fd_steal(&owned);
	client->uid = peer.uid;
	client->right = right;
	client->heard_ns = vms_daemon_now_ns();
	vms_inbox_init(&client->in, VMS_SERVER_ASK_MAX + 4);
}

static void on_connect(void *arg, int fd, unsigned int events)
{
	struct vms_server *server = arg;

	(void)events;
	for (int i = 0; i < VMS_SERVER_CLIENTS; i++) {
		int peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (peer < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (peer < 0 && errno == EAGAIN)
			return;
		if (peer < 0) {
			/* Out of descriptors: the tick begins again. */
			vms_watch_set(server->watch, 0);
			server->is_paused = true;
			return;
		}
		add_client(server, peer);
	}
}

static bool is_idle(const struct vms_client *client, long long now)
{
	if (client->right == VMS_RIGHT_ALL || client->waits || client->streams)
		return false;
	return now - client->heard_ns > (client->is_greeted ? IDLE_NS : ASK_NS);
}

/* Once a second: who is too slow goes. */
static void on_tick(void *arg, int fd, unsigned int events)
{
	struct vms_server *server = arg;
	const long long now = vms_daemon_now_ns();
	uint64_t ticks;

	(void)events;
	if (read(fd, &ticks, sizeof(ticks)) < 0)
		return;
	if (server->is_paused) {
		server->is_paused = false;
		vms_watch_set(server->watch, VMS_WATCH_READ);
	}
	for (size_t i = 0; i < VMS_SERVER_CLIENTS; i++) {
		struct vms_client *client = &server->clients[i];

		if (client->fd >= 0 && ((client->asked_ns && now - client->asked_ns > ASK_NS) ||
					(client->sent_ns && now - client->sent_ns > SEND_NS) || is_idle(client, now)))
			vms_client_drop(client);
	}
}

/* --- start and end ---------------------------------------------------------------------------------- */

/* Under another name first: what can be connected to is ready. */
static int open_socket(struct vms_server *server, struct vms_err *err)
{
	const struct vms_daemon *daemon = server->daemon;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	vms_autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	vms_autofd folder = open(daemon->options.runtime, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || folder < 0)
		return vms_err_set(err, -errno, "cannot make the control socket: %s", strerror(errno));
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/vmsupd.sock", folder);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return vms_err_set(err, -EADDRINUSE, "a vmsupd runs already on %s/vmsupd.sock", daemon->options.runtime);
	vms_fd_close(&fd);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	vms_ignore(unlinkat(folder, ".vmsupd.new", 0));
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/.vmsupd.new", folder);
	/* Who may ask is looked at when they connect. */
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || fchmodat(folder, ".vmsupd.new", 0666, 0) < 0 ||
	    listen(fd, VMS_SERVER_CLIENTS) < 0 || renameat(folder, ".vmsupd.new", folder, "vmsupd.sock") < 0)
		return vms_err_set(err, -errno, "%s/vmsupd.sock cannot be opened: %s", daemon->options.runtime, strerror(errno));
	if (asprintf(&server->path, "%s/vmsupd.sock", daemon->options.runtime) < 0)
		server->path = NULL;
	server->fd = vms_fd_steal(&fd);
	return 0;
}

int vms_server_new(struct vms_daemon *daemon, int fd, struct vms_err *err)
{
	const struct itimerspec second = { .it_value.tv_sec = 1, .it_interval.tv_sec = 1 };
	struct vms_server *server = calloc(1, sizeof(*server));
	int r = 0;

	if (!server)
		return vms_err_set(err, -ENOMEM, "out of memory");
	daemon->server = server;
	server->daemon = daemon;
	server->fd = fd;
	for (size_t i = 0; i < VMS_SERVER_CLIENTS; i++)
		server->clients[i] = (struct vms_client){ .server = server, .fd = -1 };
	server->tick = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (fd >= 0)
		vms_ignore(fcntl(fd, F_SETFL, O_NONBLOCK));
	else
		r = open_socket(server, err);
	if (r < 0)
		return r;
	if (server->tick < 0 || timerfd_settime(server->tick, 0, &second, NULL) < 0)
		return vms_err_set(err, -errno, "cannot make a timer: %s", strerror(errno));
	r = vms_loop_add(daemon->loop, server->tick, VMS_WATCH_READ, PRIORITY, on_tick, server, &server->tick_watch);
	if (r == 0)
		r = vms_loop_add(daemon->loop, server->fd, VMS_WATCH_READ, PRIORITY, on_connect, server, &server->watch);
	return r < 0 ? vms_err_set(err, r, "out of memory") : 0;
}

void vms_server_free(struct vms_server *server)
{
	if (!server)
		return;
	for (size_t i = 0; i < VMS_SERVER_CLIENTS; i++)
		vms_client_drop(&server->clients[i]);
	vms_watch_free(server->watch);
	vms_watch_free(server->tick_watch);
	if (server->path)
		(void)unlink(server->path);
	vms_fd_close(&server->fd);
	vms_fd_close(&server->tick);
	free(server->path);
	free(server);
}
