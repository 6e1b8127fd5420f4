/* The control server; see the header. */
#include "vmsup/ctl/server.h"
#include "vmsup/base/fd.h"
#include "vmsup/ctl/dir.h"
#include "vmsup/host/proc.h"
#include "vmsup/sup/loop.h"
#include "vmsup/sup/report.h"
#include "vmsup/sup/supervisor.h"
#include "vmsup/wire/frame.h"
#include "vmsup/wire/msg.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>

/* People may wait; the children of the supervisor may not. */
#define WATCH_PRIORITY (-2)

struct client {
	struct vms_ctl_server *server;
	int fd;			 /* owned; -1: the slot is free */
	struct vms_watch *watch; /* owned */
	struct vms_inbox in;
	struct vms_outbox out;
	pid_t pid; /* of the peer, when it connected */
	uint64_t stamp; /* of its last activity */
	bool last;	/* hang up when out is sent */
};

struct vms_ctl_server {
	struct vms_sup *sup;
	struct vms_loop *loop;
	int dirfd;		       /* owned */
	int fd;			       /* owned: listens */
	struct vms_watch *watch;       /* owned */
	int pause_fd;		       /* owned: a timer that ends a pause of accepting */
	struct vms_watch *pause_watch; /* owned */
	struct stat identity;	       /* of the socket file, once it is in place */
	bool in_place;
	uint64_t clock; /* counts activities */
	struct client clients[VMS_CTL_CLIENTS_MAX];
};

static void drop_json(json_t **json)
{
	json_decref(*json);
}

#define autojson __attribute__((cleanup(drop_json))) json_t *

static void drop_client(struct client *client)
{
	/* The watch first: it must not outlive the descriptor. */
	vms_watch_free(client->watch);
	client->watch = NULL;
	vms_fd_close(&client->fd);
	vms_inbox_done(&client->in);
	vms_outbox_done(&client->out);
}

/* More hops than any real chain of parents. */
#define MAX_HOPS 4096

/* A program that runs under limits must not be its own judge: only who can be seen to live outside our tree changes them. */
static bool is_outside(struct vms_sup *sup, pid_t pid)
{
	struct vms_proc_status status;

	for (int i = 0; i < MAX_HOPS && pid > 0; i++) {
		if (pid == getpid() || vms_report_knows(sup, pid))
			return false;
		if (pid == 1)
			return true;
		if (vms_proc_status(pid, &status) < 0)
			return false;
		/* The topmost process of a session that came in from another pid namespace has no parent here. */
		if (status.ppid == 0)
			return true;
		pid = status.ppid;
	}
	return false;
}

static int answer_ask(struct vms_sup *sup, const struct vms_ask *ask, pid_t peer, json_t **ret_result,
		      struct vms_err *err)
{
	int r;

	if (ask->kind == VMS_ASK_PS)
		return vms_report_ps(sup, ret_result);
	if (ask->kind == VMS_ASK_LIMIT && vms_report_changes(ask) && !is_outside(sup, peer))
		return vms_err_set(err, -EPERM, "a process cannot change the limits of the tree that it is in: ask from outside");
	switch (ask->kind) {
	case VMS_ASK_LIMIT:
		r = vms_report_limit(sup, ask, ret_result, err);
		break;
	case VMS_ASK_EXPLAIN:
		r = vms_report_refusals(sup, ask->pid, ret_result);
		break;
	case VMS_ASK_PS:
	case VMS_ASK_MAPS:
	default:
		r = vms_report_maps(sup, ask->pid, ret_result, err);
		break;
	}
	if (r == -ESRCH && !err->text[0])
		vms_err_set(err, r, "process %d is not in the tree of this supervisor",
			    (int)ask->pid);
	return r;
}

/* The reply to one request, as a line. Fails only without memory. */
static int answer_line(struct vms_sup *sup, pid_t peer, const char *text, size_t len, char **ret_line,
		       size_t *ret_len)
{
	struct vms_err err = VMS_ERR_INIT;
	struct vms_ask ask;
	autojson result = NULL;
	int r = vms_ask_parse(text, len, &ask, &err);

	if (r == 0 && ask.pid)
		ask.pid = vms_proc_number(getpid(), peer, ask.pid);
	if (r == 0)
		r = answer_ask(sup, &ask, peer, &result, &err);
	if (r == 0) {
		r = vms_reply_format(result, ret_line, ret_len);
		if (r == 0)
			return 0;
		if (r == -EMSGSIZE)
			vms_err_set(&err, r, "the answer is larger than %zu bytes",
				    VMS_FRAME_REPLY_MAX);
	}
	return vms_reply_format_error(r, err.text, ret_line, ret_len);
}

/* Put the reply to the next request in the outbox, if a request is there. 0, or -errno: hang up. */
static int answer_next(struct client *client)
{
	char *text, *line;
	size_t len;
	int r = vms_inbox_line(&client->in, &text, &len);

	if (r == -EAGAIN)
		return 0;
	if (r == -EMSGSIZE) {
		client->last = true;
		r = vms_reply_format_error(r, "the request is longer than 4 KiB", &line, &len);
	} else {
		r = answer_line(client->server->sup, client->pid, text, len, &line, &len);
	}
	if (r < 0)
		return r;
	vms_outbox_put(&client->out, line, len);
	return 0;
}

/*
 * One step for one client: at most one request, so that a client that sends many in a row takes
 * turns with everybody else. The next request is not read before the last reply has left.
 */
static int step_client(struct client *client, unsigned int events)
{
	size_t count = 1;
	int r = 0;

	if (events & VMS_WATCH_READ) {
		r = vms_inbox_receive(&client->in, client->fd, &count);
		if (r < 0)
			return r == -EAGAIN ? 0 : r;
		if (count == 0)
			return -ECONNRESET;
	}
	if (vms_outbox_empty(&client->out))
		r = answer_next(client);
	if (r == 0 && !vms_outbox_empty(&client->out))
		r = vms_outbox_send(&client->out, client->fd);
	if (r < 0 && r != -EAGAIN)
		return r;
	if (client->last && vms_outbox_empty(&client->out))
		return -ECONNRESET;
	return 0;
}

static void on_client(void *arg, int fd, unsigned int events)
{
	struct client *client = arg;

	(void)fd;
	client->stamp = ++client->server->clock;
	if (step_client(client, events) < 0) {
		drop_client(client);
		return;
	}
	/* Bytes that are left may be a whole request: come back when the socket can take its reply.
	 */
	if (!vms_outbox_empty(&client->out) || client->in.seen < client->in.len)
		vms_watch_set(client->watch, VMS_WATCH_WRITE);
	else
		vms_watch_set(client->watch, VMS_WATCH_READ);
}

/* A free slot; the longest silent client goes when there is none. */
static struct client *take_slot(struct vms_ctl_server *server)
{
	struct client *oldest = &server->clients[0];

	for (size_t i = 0; i < VMS_CTL_CLIENTS_MAX; i++) {
		struct client *client = &server->clients[i];

		if (client->fd < 0)
			return client;
		if (client->stamp < oldest->stamp)
			oldest = client;
	}
	drop_client(oldest);
	return oldest;
}

static bool peer_may_ask(int fd, pid_t *ret_pid)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || (peer.uid != geteuid() && peer.uid != 0))
		return false;
	*ret_pid = peer.pid;
	return true;
}

static void refuse_peer(int fd)
{
	char *line;
	size_t len;

	if (vms_reply_format_error(-EPERM, "only root and the user of this supervisor may ask it",
				   &line, &len) < 0)
		return;
	/* A new socket has room for a line; if not, the peer goes without. */
	(void)!send(fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	free(line);
}

static int add_client(struct vms_ctl_server *server, int fd)
{
	vms_autofd owned = fd;
	struct client *client;
	pid_t pid;
	int r;

	if (!peer_may_ask(fd, &pid)) {
		refuse_peer(fd);
		return 0;
	}
	client = take_slot(server);
	r = vms_loop_add(server->loop, fd, VMS_WATCH_READ, WATCH_PRIORITY, on_client, client,
			 &client->watch);
	if (r < 0)
		return r;
	client->fd = vms_fd_steal(&owned);
	client->pid = pid;
	client->last = false;
	client->stamp = ++server->clock;
	vms_inbox_init(&client->in, VMS_FRAME_ASK_MAX);
	vms_outbox_init(&client->out);
	return 0;
}

/* Out of descriptors or memory: a listening socket stays ready, and the loop would spin on it. */
static void pause_accepting(struct vms_ctl_server *server)
{
	static const struct itimerspec second = { .it_value.tv_sec = 1 };

	if (timerfd_settime(server->pause_fd, 0, &second, NULL) == 0)
		vms_watch_set(server->watch, 0);
}

static void on_pause_over(void *arg, int fd, unsigned int events)
{
	struct vms_ctl_server *server = arg;
	uint64_t count;

	(void)events;
	if (read(fd, &count, sizeof(count)) == sizeof(count))
		vms_watch_set(server->watch, VMS_WATCH_READ);
}

static void on_connect(void *arg, int fd, unsigned int events)
{
	struct vms_ctl_server *server = arg;

	(void)events;
	for (int i = 0; i < VMS_CTL_CLIENTS_MAX; i++) {
		int peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (peer < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (peer < 0 && errno == EAGAIN)
			return;
		if (peer < 0 || add_client(server, peer) < 0) {
			pause_accepting(server);
			return;
		}
	}
}

static int connect_to(int dirfd, const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	vms_autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/%s", dirfd, name);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	return 0;
}

/*
 * Bind under another name, listen, then rename. So a `<pid>.sock` that refuses connections is
 * always that of a dead supervisor, and clients may remove it. The name goes through /proc/self/fd,
 * because sun_path is shorter than some runtime directories.
 */
static int open_socket(struct vms_ctl_server *server)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char name[VMS_CTL_NAME_MAX], new_name[VMS_CTL_NAME_MAX + 8];
	int r;

	vms_ctl_dir_name(getpid(), name);
	snprintf(new_name, sizeof(new_name), ".%s.new", name);
	/* A supervisor in another pid namespace may have the same number and the same directory. */
	r = connect_to(server->dirfd, name);
	if (r == 0 || r == -EAGAIN)
		return -EADDRINUSE;
	server->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (server->fd < 0)
		return -errno;
	(void)unlinkat(server->dirfd, new_name, 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/%s", server->dirfd,
		 new_name);
	if (bind(server->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	if (fchmodat(server->dirfd, new_name, 0600, 0) < 0 ||
	    listen(server->fd, VMS_CTL_CLIENTS_MAX) < 0 ||
	    fstatat(server->dirfd, new_name, &server->identity, AT_SYMLINK_NOFOLLOW) < 0 ||
	    renameat(server->dirfd, new_name, server->dirfd, name) < 0) {
		r = -errno;
		(void)unlinkat(server->dirfd, new_name, 0);
		return r;
	}
	server->in_place = true;
	return 0;
}

static int start_watching(struct vms_ctl_server *server)
{
	int r;

	server->pause_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (server->pause_fd < 0)
		return -errno;
	r = vms_loop_add(server->loop, server->pause_fd, VMS_WATCH_READ, WATCH_PRIORITY,
			 on_pause_over, server, &server->pause_watch);
	if (r < 0)
		return r;
	return vms_loop_add(server->loop, server->fd, VMS_WATCH_READ, WATCH_PRIORITY, on_connect,
			    server, &server->watch);
}

int vms_ctl_serve(struct vms_sup *sup, struct vms_ctl_server **ret_server, struct vms_err *err)
{
	struct vms_ctl_server *server = calloc(1, sizeof(*server));
	int r;

	if (!server)
		return vms_err_set(err, -ENOMEM, "out of memory for the control socket");
	server->sup = sup;
	server->loop = vms_sup_loop(sup);
	server->dirfd = server->fd = server->pause_fd = -1;
	for (size_t i = 0; i < VMS_CTL_CLIENTS_MAX; i++) {
		server->clients[i].server = server;
		server->clients[i].fd = -1;
	}
	r = vms_ctl_dir_own(&server->dirfd, err);
	if (r < 0) {
		vms_ctl_server_free(server);
		return r;
	}
	r = open_socket(server);
	if (r == 0)
		r = start_watching(server);
	if (r < 0) {
		vms_ctl_server_free(server);
		return vms_err_set(err, r, "cannot open the control socket: %s", strerror(-r));
	}
	*ret_server = server;
	return 0;
}

/* Only if the name still leads to our socket: it may have been taken over (see open_socket). */
static void remove_socket(struct vms_ctl_server *server)
{
	char name[VMS_CTL_NAME_MAX];
	struct stat st;

	vms_ctl_dir_name(getpid(), name);
	if (server->in_place && fstatat(server->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_dev == server->identity.st_dev && st.st_ino == server->identity.st_ino)
		(void)unlinkat(server->dirfd, name, 0);
}

void vms_ctl_server_free(struct vms_ctl_server *server)
{
	if (!server)
		return;
	for (size_t i = 0; i < VMS_CTL_CLIENTS_MAX; i++) {
		if (server->clients[i].fd >= 0)
			drop_client(&server->clients[i]);
	}
	vms_watch_free(server->watch);
	vms_watch_free(server->pause_watch);
	remove_socket(server);
	vms_fd_close(&server->pause_fd);
	vms_fd_close(&server->fd);
	vms_fd_close(&server->dirfd);
	free(server);
}
