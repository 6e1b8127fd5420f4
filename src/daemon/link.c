/*
 * The socket to a supervisor: messages of sup/supervisor.h with their descriptors. And how a vmsupd that has just started finds the
 * supervisors that are there: each listens on a socket of its own, and what the service manager has kept tells of those that are not.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <uthash.h>

#include "vmsup/base/fd.h"
#include "vmsup/base/log.h"
#include "vmsup/daemon/daemon.h"

#define MAX_FDS 3
#define SUFFIX ".link"
/* Messages that are dealt with before others get a turn. */
#define MAX_AT_ONCE 64
/* For all supervisors that a vmsupd finds at its start together; later on nobody is waited for. */
#define HELLO_MS 2000

static int receive(int link, struct vms_front_msg *ret_msg, int fds[MAX_FDS], size_t *ret_nr)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))];
	} control;
	struct iovec iov = { ret_msg, sizeof(*ret_msg) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control) };
	const ssize_t n = recvmsg(link, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *cmsg;

	*ret_nr = 0;
	if (n < 0)
		return -errno;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS) {
		*ret_nr = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(cmsg), *ret_nr * sizeof(int));
	}
	if (n == (ssize_t)sizeof(*ret_msg)) {
		ret_msg->text[sizeof(ret_msg->text) - 1] = '\0';
		return 0;
	}
	for (size_t i = 0; i < *ret_nr; i++)
		close(fds[i]);
	*ret_nr = 0;
	return -EPIPE;
}

static void on_link(void *arg, int fd, unsigned int events)
{
	struct vms_tenant *tenant = arg;

	(void)events;
	for (int i = 0; i < MAX_AT_ONCE && tenant->link == fd; i++) {
		struct vms_front_msg msg;
		int fds[MAX_FDS], r;
		size_t nr;

		r = receive(fd, &msg, fds, &nr);
		if (r == -EAGAIN || r == -EINTR)
			return;
		if (r < 0) {
			/* Whether it has died tells its pidfd. */
			if (r != -ECONNRESET)
				vms_link_close(tenant);
			continue;
		}
		vms_tenant_message(tenant, &msg, fds, nr);
		for (size_t k = 0; k < nr; k++) {
			if (fds[k] >= 0)
				close(fds[k]);
		}
	}
}

void vms_link_drain(struct vms_tenant *tenant)
{
	on_link(tenant, tenant->link, VMS_WATCH_READ);
}

int vms_link_watch(struct vms_tenant *tenant)
{
	return vms_loop_add(tenant->daemon->loop, tenant->link, VMS_WATCH_READ, 0, on_link, tenant, &tenant->link_watch);
}

void vms_link_close(struct vms_tenant *tenant)
{
	vms_watch_free(tenant->link_watch);
	tenant->link_watch = NULL;
	vms_fd_close(&tenant->link);
}

bool vms_link_tell(const struct vms_tenant *tenant, enum vms_front_kind kind, int value, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .bytes = { 0 } };
	struct vms_front_msg m = { .kind = kind, .value = value };
	struct iovec iov = { &m, sizeof(m) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (tenant->link < 0)
		return false;
	if (fd >= 0) {
		struct cmsghdr *cmsg;

		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	}
	return sendmsg(tenant->link, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

/* --- those that are there ------------------------------------------------------------------------ */

/* Without waiting: a supervisor that has stopped leaves those that connect in its queue. */
static int connect_to(struct vms_tenant *tenant)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	vms_autofd fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (fd < 0)
		return -errno;
	if (snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s" SUFFIX, tenant->daemon->link_folder, tenant->name) >=
	    (int)sizeof(address.sun_path))
		return -ENAMETOOLONG;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return -errno;
	if (peer.uid != geteuid())
		return -EPERM;
	tenant->hello_pid = peer.pid;
	tenant->hello = vms_fd_steal(&fd);
	return 0;
}

/* -EAGAIN: it has not come yet. */
static int receive_hello(int fd, struct vms_front_msg *ret_msg, int fds[MAX_FDS])
{
	size_t nr;
	int r = receive(fd, ret_msg, fds, &nr);

	if (r == 0 && ret_msg->kind == VMS_FRONT_HELLO && nr == MAX_FDS)
		return 0;
	for (size_t i = 0; r == 0 && i < nr; i++)
		close(fds[i]);
	return r < 0 ? r : -EPROTO;
}

void vms_link_find(struct vms_tenant *tenant)
{
	struct vms_front_msg msg;
	int fds[MAX_FDS], r = tenant->hello < 0 ? connect_to(tenant) : 0;

	/* Nobody listens, any more or yet: whether somebody is there tells the lock. */
	if (r < 0)
		return;
	r = receive_hello(tenant->hello, &msg, fds);
	if (r == -EAGAIN || r == -EINTR)
		return;
	if (r == 0) {
		vms_tenant_resume(tenant, tenant->hello_pid, vms_fd_steal(&tenant->hello), fds[0], fds[1], fds[2]);
		tenant->program = msg.value;
	}
	vms_fd_close(&tenant->hello);
}

void vms_link_remove(const struct vms_tenant *tenant)
{
	char file[VMS_TENANT_NAME_MAX + sizeof(SUFFIX)];

	snprintf(file, sizeof(file), "%s" SUFFIX, tenant->name);
	vms_ignore(unlinkat(tenant->daemon->link_folder, file, 0));
}

int vms_link_lock(const struct vms_tenant *tenant, int *ret_fd)
{
	char path[4200];
	vms_autofd fd = -1;

	snprintf(path, sizeof(path), "%s/sup/%s.lock", tenant->daemon->options.runtime, tenant->name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	*ret_fd = vms_fd_steal(&fd);
	return 0;
}

struct stored {
	char name[VMS_TENANT_NAME_MAX + 1];
	int start, board, listener;
	UT_hash_handle hh;
};

struct finding {
	struct vms_daemon *daemon;
	struct stored *stored;
	int socket; /* the control socket, from the service manager; -1: none */
};

static bool listens(int fd)
{
	int domain = 0, accepts = 0;
	socklen_t len = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 || domain != AF_UNIX)
		return false;
	len = sizeof(int);
	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &len) == 0 && accepts;
}

/* tenant.NAME.start, .board, .listener */
static void take_stored(const char *label, int fd, void *arg)
{
	struct finding *f = arg;
	const char *last = strrchr(label, '.');
	struct stored *s;
	char name[VMS_TENANT_NAME_MAX + 1];
	int *where;

	if (strncmp(label, "tenant.", 7) != 0 || !last || last < label + 8 || (size_t)(last - label - 7) >= sizeof(name)) {
		if (f->socket < 0 && strncmp(label, "tenant.", 7) != 0 && listens(fd))
			f->socket = fd;
		else
			close(fd);
		return;
	}
	snprintf(name, sizeof(name), "%.*s", (int)(last - label - 7), label + 7);
	HASH_FIND_STR(f->stored, name, s);
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s) {
			close(fd);
			return;
		}
		memcpy(s->name, name, sizeof(name));
		s->start = s->board = s->listener = -1;
		HASH_ADD_STR(f->stored, name, s);
	}
	where = strcmp(last, ".start") == 0 ? &s->start : strcmp(last, ".board") == 0 ? &s->board : &s->listener;
	vms_fd_close(where);
	*where = fd;
}

/* A tree whose supervisor is gone with the vmsupd before this one. */
static void use_stored(struct vms_daemon *daemon, struct stored *s)
{
	struct vms_tenant *tenant = vms_tenant_get(daemon, s->name);

	/* Its supervisor lives, and will hand them over: they stay in the store. */
	if (tenant && tenant->is_silent) {
		vms_fd_close(&s->start);
		vms_fd_close(&s->board);
		vms_fd_close(&s->listener);
		return;
	}
	if (tenant && !vms_tenant_is_up(tenant) && s->start >= 0 && s->board >= 0 && s->listener >= 0) {
		vms_tenant_resume(tenant, 0, -1, s->listener, s->start, s->board);
		tenant->is_stored = true;
		return;
	}
	/* Of a run that had hardly begun or had ended: nobody can use them. */
	if (tenant && !vms_tenant_is_up(tenant))
		vms_notify_drop(tenant);
	vms_fd_close(&s->start);
	vms_fd_close(&s->board);
	vms_fd_close(&s->listener);
}

/* Those whose supervisor has left a socket. */
static void list_links(struct vms_daemon *daemon)
{
	DIR *dir = fdopendir(openat(daemon->link_folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		const size_t len = strlen(entry->d_name), cut = strlen(SUFFIX);
		char name[VMS_TENANT_NAME_MAX + 1];

		if (entry->d_name[0] == '.' || len <= cut || len - cut >= sizeof(name) || strcmp(entry->d_name + len - cut, SUFFIX) != 0)
			continue;
		memcpy(name, entry->d_name, len - cut);
		name[len - cut] = '\0';
		(void)vms_tenant_get(daemon, name);
	}
	if (dir)
		closedir(dir);
}

static void find_waiting(struct vms_daemon *daemon, int ms)
{
	struct pollfd *fds = calloc(HASH_COUNT(daemon->tenants) + 1, sizeof(*fds));
	nfds_t nr = 0;

	for (struct vms_tenant *t = daemon->tenants; fds && t; t = t->hh.next) {
		if (t->hello >= 0)
			fds[nr++] = (struct pollfd){ .fd = t->hello, .events = POLLIN };
	}
	if (fds)
		vms_ignore(poll(fds, nr, ms));
	free(fds);
	for (struct vms_tenant *t = daemon->tenants; t; t = t->hh.next) {
		if (t->hello >= 0)
			vms_link_find(t);
	}
}

static bool is_waited_for(const struct vms_daemon *daemon)
{
	for (const struct vms_tenant *t = daemon->tenants; t; t = t->hh.next) {
		if (t->hello >= 0)
			return true;
	}
	return false;
}

int vms_link_find_all(struct vms_daemon *daemon)
{
	struct finding finding = { .daemon = daemon, .socket = -1 };
	const long long end = vms_daemon_now_ns() + HELLO_MS * 1000000LL;
	struct stored *s, *next;

	list_links(daemon);
	for (struct vms_tenant *t = daemon->tenants; t; t = t->hh.next)
		vms_link_find(t);
	while (is_waited_for(daemon) && vms_daemon_now_ns() < end)
		find_waiting(daemon, (int)((end - vms_daemon_now_ns()) / 1000000) + 1);
	for (struct vms_tenant *t = daemon->tenants; t; t = t->hh.next) {
		t->is_silent = t->hello >= 0;
		if (t->is_silent)
			vms_log("the supervisor of tenant %s does not answer", t->name);
	}
	vms_notify_each_fd(take_stored, &finding);
	HASH_ITER(hh, finding.stored, s, next) {
		HASH_DEL(finding.stored, s);
		use_stored(daemon, s);
		free(s);
	}
	return finding.socket;
}
