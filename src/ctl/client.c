/* Asking supervisors; see the header. */
#include "vmsup/ctl/client.h"
#include "vmsup/base/fd.h"
#include "vmsup/ctl/dir.h"
#include "vmsup/wire/frame.h"
#include "vmsup/wire/msg.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

static void drop_json(json_t **json)
{
	json_decref(*json);
}

#define autojson __attribute__((cleanup(drop_json))) json_t *
#define autospots __attribute__((cleanup(vms_ctl_spots_done))) struct vms_ctl_spots
#define autoinbox __attribute__((cleanup(vms_inbox_done))) struct vms_inbox

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Remove the socket of a dead supervisor, if it is ours and the name still leads to it. */
static void remove_stale(const struct vms_ctl_spot *spot, const char *name, const struct stat *dead)
{
	struct stat now;

	if (spot->uid == geteuid() && fstatat(spot->dirfd, name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
	    now.st_dev == dead->st_dev && now.st_ino == dead->st_ino)
		(void)unlinkat(spot->dirfd, name, 0);
}

static int connect_inode(int inode_fd)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	/* A stopped supervisor with a full queue makes connect wait; this bounds it. */
	struct timeval limit = { .tv_sec = VMS_CTL_TIMEOUT_MS / 1000 };
	vms_autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return -errno;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d", inode_fd);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return vms_fd_steal(&fd);
}

/*
 * Connect to the very inode that was checked, by its descriptor: a name could be a symbolic link to
 * some other service by the time we use it. Returns a descriptor; -ENOENT: nobody is there.
 */
static int connect_spot(const struct vms_ctl_spot *spot)
{
	char name[VMS_CTL_NAME_MAX];
	vms_autofd inode = -1, fd = -1;
	struct stat st;
	struct ucred peer;
	socklen_t len = sizeof(peer);

	vms_ctl_dir_name(spot->pid, name);
	inode = openat(spot->dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (inode < 0)
		return -errno;
	if (fstat(inode, &st) < 0)
		return -errno;
	if (!S_ISSOCK(st.st_mode) || st.st_uid != spot->uid)
		return -EPERM;
	fd = connect_inode(inode);
	if (fd == -ECONNREFUSED) {
		remove_stale(spot, name, &st);
		return -ENOENT;
	}
	if (fd < 0)
		return fd;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return -errno;
	if (peer.uid != spot->uid && peer.uid != 0)
		return -EPERM;
	return vms_fd_steal(&fd);
}

/* Wait for one whole line until @deadline. */
static int receive_line(int fd, int64_t deadline, struct vms_inbox *inbox, char **ret_line,
			size_t *ret_len)
{
	for (;;) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		int64_t left = deadline - now_ms();
		size_t count = 0;
		int r = vms_inbox_line(inbox, ret_line, ret_len);

		if (r != -EAGAIN)
			return r;
		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(&pfd, 1, (int)left) < 0 && errno != EINTR)
			return -errno;
		r = vms_inbox_receive(inbox, fd, &count);
		if (r < 0 && r != -EAGAIN)
			return r;
		if (r == 0 && count == 0)
			return -ECONNRESET;
	}
}

static int exchange(const struct vms_ctl_spot *spot, const struct vms_ask *ask, json_t **ret_result,
		    struct vms_err *err)
{
	int64_t deadline = now_ms() + VMS_CTL_TIMEOUT_MS;
	autoinbox inbox;
	vms_autofd fd = -1;
	char *line;
	size_t len;
	ssize_t n;
	int r;

	vms_inbox_init(&inbox, VMS_FRAME_REPLY_MAX);
	fd = connect_spot(spot);
	if (fd < 0)
		return fd;
	r = vms_ask_format(ask, &line, &len);
	if (r < 0)
		return r;
	/* A request is far smaller than a new socket's buffer: all of it goes at once. */
	n = send(fd, line, len, MSG_NOSIGNAL);
	r = n < 0 ? -errno : (size_t)n < len ? -EIO : 0;
	free(line);
	if (r < 0)
		return r;
	r = receive_line(fd, deadline, &inbox, &line, &len);
	if (r < 0)
		return r;
	return vms_reply_parse(line, len, ret_result, err);
}

/* Ask one supervisor. -ENOENT: it is gone. Every other failure has a sentence. */
static int ask_spot(const struct vms_ctl_spot *spot, const struct vms_ask *ask, json_t **ret_result,
		    struct vms_err *err)
{
	int r;

	err->text[0] = '\0';
	r = exchange(spot, ask, ret_result, err);
	if (r == 0 || r == -ENOENT || err->text[0])
		return r;
	if (r == -ECONNRESET || r == -EPIPE) /* it ended under our hands */
		return -ENOENT;
	if (r == -ETIMEDOUT)
		return vms_err_set(err, r, "supervisor %d gave no answer within %d seconds",
				   (int)spot->pid, VMS_CTL_TIMEOUT_MS / 1000);
	return vms_err_set(err, r, "cannot ask supervisor %d: %s", (int)spot->pid, strerror(-r));
}

/* What /proc says about a process. */
struct who {
	pid_t tgid;
	pid_t parent;
	uid_t uid; /* effective */
	bool has_ended; /* and nobody has waited for it */
	bool is_free; /* of seccomp filters, which every supervised process has */
};

static int read_who(pid_t pid, struct who *ret_who)
{
	char path[64], text[4096];
	const char *tgid, *parent, *uid;
	vms_autofd fd = -1;
	unsigned int ids[2];
	int pids[2];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = vms_fd_read_all(fd, text, sizeof(text) - 1);
	if (n < 0)
		return (int)n;
	text[n] = '\0';
	/* The name, which comes first, has its newlines escaped: it cannot fake a field. */
	tgid = strstr(text, "\nTgid:");
	parent = strstr(text, "\nPPid:");
	uid = strstr(text, "\nUid:");
	if (!tgid || !parent || !uid || sscanf(tgid, "\nTgid: %d", &pids[0]) != 1 ||
	    sscanf(parent, "\nPPid: %d", &pids[1]) != 1 ||
	    sscanf(uid, "\nUid: %u %u", &ids[0], &ids[1]) != 2)
		return -EIO;
	*ret_who = (struct who){
		.tgid = pids[0],
		.parent = pids[1],
		.uid = ids[1],
		.has_ended = strstr(text, "\nState:\tZ") || strstr(text, "\nState:\tX"),
		.is_free = strstr(text, "\nSeccomp:\t0\n"),
	};
	return 0;
}

/* A process above @who, which is not its own. False: it has no parent, or @height, which begins at 0, is too much to be true. */
static bool climb(struct who *who, pid_t *ret_pid, int *height)
{
	/* Pids may be recycled while we climb; the bound keeps that from going in circles. */
	if (who->parent <= 0 || ++*height > 1024)
		return false;
	*ret_pid = who->parent;
	if (read_who(who->parent, who) < 0)
		who->parent = 0;
	return true;
}

/*
 * A supervisor is an ancestor of its tree: bring the ancestors of a process to the front, so that
 * one that hangs and has nothing to do with it is not waited for.
 */
static void ancestors_first(struct vms_ctl_spots *list, struct who who)
{
	size_t front = 0;
	int height = 0;
	pid_t pid;

	while (climb(&who, &pid, &height)) {
		for (size_t i = front; i < list->nr_spots; i++) {
			struct vms_ctl_spot spot = list->spots[i];

			if (spot.pid != pid)
				continue;
			list->spots[i] = list->spots[front];
			list->spots[front++] = spot;
		}
	}
}

/*
 * False when the process cannot be in the tree of this supervisor: neither it nor its parent is an ancestor. (The parent is, when
 * vmsupd has started another supervisor for a tree whose first one died.)
 */
static bool may_have(const struct vms_ctl_spot *spot, struct who who)
{
	struct who supervisor;
	int height = 0;
	pid_t pid;

	/* Its number may be one of another namespace. */
	if (read_who(spot->pid, &supervisor) < 0)
		return true;
	while (climb(&who, &pid, &height)) {
		if (pid == spot->pid || pid == supervisor.parent)
			return true;
	}
	return false;
}

static int find_spots_for(const struct who *who, struct vms_ctl_spots *list)
{
	int r;

	if (geteuid() == 0)
		r = vms_ctl_spots_add_all(list);
	else
		r = vms_ctl_spots_add_user(list, geteuid());
	/* The process may have changed its user, or another user's supervisor may run it. */
	if (r == 0)
		r = vms_ctl_spots_add_user(list, who->uid);
	return r;
}

/* A supervisor itself may be asked about, too. */
static bool is_one_of(const struct vms_ctl_spots *list, pid_t pid)
{
	for (size_t i = 0; i < list->nr_spots; i++) {
		if (list->spots[i].pid == pid)
			return true;
	}
	return false;
}

static int say_not_found(pid_t pid, const struct who *who, struct vms_err *err)
{
	if (who->has_ended)
		return vms_err_set(err, -ESRCH,
				   "process %d has ended and has no address space any more; only its "
				   "parent has not waited for it yet",
				   (int)pid);
	if (geteuid() != 0 && who->uid != geteuid())
		return vms_err_set(
			err, -ESRCH,
			"no supervisor of this user has process %d; it belongs to user %u, "
			"and only that user and root may ask about it",
			(int)pid, who->uid);
	return vms_err_set(
		err, -ESRCH,
		"process %d is not supervised: no vmsup that can be asked has it in its tree",
		(int)pid);
}

int vms_ctl_process(const struct vms_ask *about, json_t **ret_result, struct vms_err *err)
{
	autospots list = VMS_CTL_SPOTS_INIT;
	struct vms_err last = VMS_ERR_INIT;
	struct vms_ask ask = *about;
	const pid_t pid = ask.pid;
	struct who who;
	int r = read_who(pid, &who), trouble = 0;

	if (r < 0)
		return vms_err_set(err, -ESRCH, "there is no process %d", (int)pid);
	r = find_spots_for(&who, &list);
	if (r < 0)
		return vms_err_set(err, r, "out of memory");
	if (who.is_free && !who.has_ended && !is_one_of(&list, pid))
		return say_not_found(pid, &who, err);
	ancestors_first(&list, who);
	ask.pid = who.tgid;
	for (size_t i = 0; i < list.nr_spots; i++) {
		r = ask_spot(&list.spots[i], &ask, ret_result, &last);
		if (r == 0)
			return 0;
		if (r == -ESRCH || r == -ENOENT || (r == -ETIMEDOUT && !may_have(&list.spots[i], who)))
			continue;
		if (!trouble)
			*err = last;
		trouble = r;
	}
	return trouble ? trouble : say_not_found(pid, &who, err);
}

static int add_silent(json_t *silent, const struct vms_ctl_spot *spot, const struct vms_err *why)
{
	return json_array_append_new(silent, json_pack("{s:i, s:I, s:o}", "supervisor",
						       (int)spot->pid, "uid", (json_int_t)spot->uid,
						       "error", vms_msg_text(why->text)));
}

int vms_ctl_ps(json_t **ret_ps, struct vms_err *err)
{
	autospots list = VMS_CTL_SPOTS_INIT;
	const struct vms_ask ask = { .kind = VMS_ASK_PS };
	autojson root = json_pack("{s:[], s:[]}", "supervisors", "silent");
	json_t *supervisors = json_object_get(root, "supervisors");
	json_t *silent = json_object_get(root, "silent");
	int r;

	if (geteuid() == 0)
		r = vms_ctl_spots_add_all(&list);
	else
		r = vms_ctl_spots_add_user(&list, geteuid());
	for (size_t i = 0; root && r == 0 && i < list.nr_spots; i++) {
		struct vms_err why;
		json_t *one;

		r = ask_spot(&list.spots[i], &ask, &one, &why);
		if (r == -ENOENT)
			r = 0;
		else
			r = r == 0 ? json_array_append_new(supervisors, one) :
				     add_silent(silent, &list.spots[i], &why);
	}
	if (!root || r < 0)
		return vms_err_set(err, -ENOMEM, "out of memory");
	*ret_ps = json_incref(root);
	return 0;
}
