/* Directories of control sockets; see the header. */
#include "vmsup/ctl/dir.h"
#include "vmsup/base/fd.h"
#include "vmsup/base/num.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* More than anybody has; a hostile user must not make root's `ps` run for ever. */
#define MAX_DIRS 512
#define MAX_SPOTS 4096

#define NR_CANDIDATES 4

/* One place where a user's sockets may be. */
struct candidate {
	char path[PATH_MAX];
	bool parent_is_ours; /* use it only inside a directory of the same user */
};

/* In order of preference. The environment is only ours, not that of @uid. */
static size_t list_candidates(uid_t uid, struct candidate ret[NR_CANDIDATES])
{
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	size_t n = 0;

	if (uid == geteuid() && xdg && xdg[0] == '/' && strlen(xdg) < PATH_MAX - 16) {
		ret[n].parent_is_ours = true;
		snprintf(ret[n++].path, PATH_MAX, "%s/vmsup", xdg);
	}
	ret[n].parent_is_ours = true;
	snprintf(ret[n++].path, PATH_MAX, "/run/user/%u/vmsup", uid);
	if (uid == 0) {
		ret[n].parent_is_ours = false;
		snprintf(ret[n++].path, PATH_MAX, "/run/vmsup");
	}
	ret[n].parent_is_ours = false;
	snprintf(ret[n++].path, PATH_MAX, "/tmp/vmsup-%u", uid);
	return n;
}

static bool parent_belongs_to(const char *path, uid_t uid)
{
	char parent[PATH_MAX];
	size_t len = (size_t)(strrchr(path, '/') - path);
	struct stat st;

	memcpy(parent, path, len);
	parent[len] = '\0';
	return stat(parent, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == uid;
}

/*
 * Open a directory that is @uid's alone. -EPERM when it is somebody else's or others may write to
 * it.
 */
static int open_dir(const char *path, uid_t uid)
{
	vms_autofd fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_uid != uid || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return -EPERM;
	return vms_fd_steal(&fd);
}

static int make_dir(const char *path)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	return open_dir(path, geteuid());
}

int vms_ctl_dir_own(int *ret_fd, struct vms_err *err)
{
	struct candidate candidates[NR_CANDIDATES];
	size_t n = list_candidates(geteuid(), candidates);
	int fd = -ENOENT;

	for (size_t i = 0; i < n; i++) {
		const struct candidate *c = &candidates[i];

		if (c->parent_is_ours && !parent_belongs_to(c->path, geteuid()))
			continue;
		fd = make_dir(c->path);
		if (fd >= 0) {
			*ret_fd = fd;
			return 0;
		}
	}
	/* The last candidate is in /tmp, where anybody may have put something first. */
	if (fd == -EPERM || fd == -ENOTDIR || fd == -ELOOP)
		return vms_err_set(
			err, fd,
			"%s is not a directory of this user that only this user may write "
			"to; remove it, or set XDG_RUNTIME_DIR to a directory of your own",
			candidates[n - 1].path);
	return vms_err_set(err, fd,
			   "cannot make %s: %s; set XDG_RUNTIME_DIR to a directory of your own",
			   candidates[n - 1].path, strerror(-fd));
}

void vms_ctl_dir_name(pid_t pid, char ret_name[VMS_CTL_NAME_MAX])
{
	snprintf(ret_name, VMS_CTL_NAME_MAX, "%d.sock", (int)pid);
}

void vms_ctl_dir_forget(pid_t pid)
{
	char name[VMS_CTL_NAME_MAX];
	vms_autofd folder = -1;

	vms_ctl_dir_name(pid, name);
	if (vms_ctl_dir_own(&folder, NULL) == 0)
		(void)unlinkat(folder, name, 0);
}

/* "123.sock" to 123; 0 when it is no such name. */
static pid_t name_to_pid(const char *name)
{
	char again[VMS_CTL_NAME_MAX];
	const char *dot = strchr(name, '.');
	uint64_t value;

	if (!dot || vms_num_parse(name, dot, &value) < 0 || value < 1 || value > INT_MAX)
		return 0;
	vms_ctl_dir_name((pid_t)value, again);
	return strcmp(again, name) == 0 ? (pid_t)value : 0;
}

static void close_dirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

#define autodir __attribute__((cleanup(close_dirp))) DIR *

/* A stream on a directory whose descriptor stays with the caller. */
static DIR *open_stream(int dirfd)
{
	vms_autofd fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (dir)
		(void)vms_fd_steal(&fd);
	return dir;
}

static int add_spot(struct vms_ctl_spots *list, const struct vms_ctl_spot *spot)
{
	struct vms_ctl_spot *spots;

	spots = realloc(list->spots, (list->nr_spots + 1) * sizeof(*spots));
	if (!spots)
		return -ENOMEM;
	list->spots = spots;
	spots[list->nr_spots++] = *spot;
	return 0;
}

static bool have_dir(const struct vms_ctl_spots *list, int fd)
{
	struct stat new, old;

	if (fstat(fd, &new) < 0)
		return true;
	for (size_t i = 0; i < list->nr_dirs; i++) {
		if (fstat(list->dirs[i], &old) == 0 && old.st_dev == new.st_dev &&
		    old.st_ino == new.st_ino)
			return true;
	}
	return false;
}

/* Add what is in @path. A directory that is not there, or not @uid's, holds nothing. */
static int add_dir(struct vms_ctl_spots *list, const char *path, uid_t uid)
{
	vms_autofd fd = open_dir(path, uid);
	autodir dir = NULL;
	struct dirent *entry;
	struct vms_ctl_spot spot;
	int *dirs;

	if (fd < 0 || have_dir(list, fd) || list->nr_dirs >= MAX_DIRS)
		return 0;
	dir = open_stream(fd);
	if (!dir)
		return 0;
	dirs = realloc(list->dirs, (list->nr_dirs + 1) * sizeof(*dirs));
	if (!dirs)
		return -ENOMEM;
	list->dirs = dirs;
	dirs[list->nr_dirs++] = fd;
	spot = (struct vms_ctl_spot){ .dirfd = vms_fd_steal(&fd), .uid = uid };
	while ((entry = readdir(dir)) && list->nr_spots < MAX_SPOTS) {
		spot.pid = name_to_pid(entry->d_name);
		if (spot.pid && add_spot(list, &spot) < 0)
			return -ENOMEM;
	}
	return 0;
}

int vms_ctl_spots_add_user(struct vms_ctl_spots *list, uid_t uid)
{
	struct candidate candidates[NR_CANDIDATES];
	size_t n = list_candidates(uid, candidates);

	for (size_t i = 0; i < n; i++) {
		int r = add_dir(list, candidates[i].path, uid);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Add the users that have an entry @prefix<uid> in @parent. */
static int add_users_in(struct vms_ctl_spots *list, const char *parent, const char *prefix)
{
	autodir dir = opendir(parent);
	struct dirent *entry;
	uint64_t uid;

	if (!dir)
		return 0;
	while ((entry = readdir(dir))) {
		int r;

		if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0 ||
		    vms_num_parse(entry->d_name + strlen(prefix), NULL, &uid) < 0 || uid > UINT_MAX)
			continue;
		r = vms_ctl_spots_add_user(list, (uid_t)uid);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Add the units vmsup@NAME.service, each of which has a runtime directory and mostly a user of its own. */
static int add_units(struct vms_ctl_spots *list)
{
	autodir dir = opendir("/run");
	struct dirent *entry;
	char path[PATH_MAX];
	struct stat st;

	if (!dir)
		return 0;
	while ((entry = readdir(dir))) {
		int r;

		if (strncmp(entry->d_name, "vmsup-", 6) != 0 ||
		    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
			continue;
		snprintf(path, sizeof(path), "/run/%s/vmsup", entry->d_name);
		r = add_dir(list, path, st.st_uid);
		if (r < 0)
			return r;
	}
	return 0;
}

int vms_ctl_spots_add_all(struct vms_ctl_spots *list)
{
	int r = vms_ctl_spots_add_user(list, geteuid());

	if (r == 0)
		r = vms_ctl_spots_add_user(list, 0);
	if (r == 0)
		r = add_users_in(list, "/run/user", "");
	if (r == 0)
		r = add_users_in(list, "/tmp", "vmsup-");
	if (r == 0)
		r = add_units(list);
	return r;
}

void vms_ctl_spots_done(struct vms_ctl_spots *list)
{
	for (size_t i = 0; i < list->nr_dirs; i++)
		vms_fd_close(&list->dirs[i]);
	free(list->dirs);
	free(list->spots);
	*list = (struct vms_ctl_spots)VMS_CTL_SPOTS_INIT;
}
