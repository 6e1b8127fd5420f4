/* A child's open file; see the header. */
#include "vmsup/host/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "vmsup/base/fd.h"
#include "vmsup/host/maps.h"
#include "vmsup/host/proc.h"

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

/* The open mode, from procfs. */
static int open_mode(pid_t tid, int fd)
{
	char path[48], buf[256], *at;
	vms_autofd info = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", tid, fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	n = info < 0 ? -1 : read(info, buf, sizeof(buf) - 1);
	if (n <= 0)
		return -ENOENT;
	buf[n] = '\0';
	at = strstr(buf, "flags:");
	return at ? (int)strtoul(at + strlen("flags:"), NULL, 8) : -ENOENT;
}

/* The device of the kernel's internal tmpfs, where memfds are. */
static dev_t memfd_device(void)
{
	static dev_t cached;
	struct stat st;
	vms_autofd fd = -1;

	if (cached)
		return cached;
	fd = memfd_create("vmsup", MFD_CLOEXEC);
	if (fd >= 0 && fstat(fd, &st) == 0)
		cached = st.st_dev;
	return cached;
}

bool vms_file_is_memory(uint64_t dev)
{
	return dev && dev == memfd_device();
}

static int seals_of(int pidfd, int fd)
{
	vms_autofd copy = vms_proc_getfd(pidfd, fd);

	return copy < 0 ? 0 : fcntl(copy, F_GET_SEALS);
}

/* File systems with f_op->get_unmapped_area = thp_get_unmapped_area (6.18). On a block device: it is no FUSE of the child's. */
static bool aligns_huge(int pidfd, int fd)
{
	vms_autofd copy = vms_proc_getfd(pidfd, fd);
	struct statfs fs;

	if (copy < 0 || fstatfs(copy, &fs) < 0)
		return false;
	return fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC;
}

void vms_file_facts(pid_t tid, int pidfd, int fd, struct vms_facts *facts)
{
	struct statx st;
	char path[48];
	int mode = open_mode(tid, fd), seals;

	/* A descriptor that is none, for mmap (fs/file.c fget). */
	if (mode < 0 || (mode & O_PATH))
		return;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", tid, fd);
	if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE, &st) < 0)
		return;
	facts->file.known = true;
	facts->file.may = VMS_PROT_ALL;
	if ((mode & O_ACCMODE) == O_RDONLY)
		facts->file.may &= (uint8_t)~VMS_PROT_WRITE;
	if (makedev(st.stx_dev_major, st.stx_dev_minor) == memfd_device()) {
		seals = seals_of(pidfd, fd);
		if (seals > 0 && (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)))
			facts->file.may &= (uint8_t)~VMS_PROT_WRITE;
	}
	/* hugetlbfs. The file system of a child may say so, too: then the kernel is left to choose. */
	facts->file.hugetlb = !st.stx_dev_major && st.stx_blksize >= VMS_HUGE_SIZE;
	facts->file.is_zero = S_ISCHR(st.stx_mode) && st.stx_rdev_major == 1 && st.stx_rdev_minor == 5;
	if (st.stx_dev_major && S_ISREG(st.stx_mode))
		facts->file.thp = aligns_huge(pidfd, fd);
}

/* Device and inode as /proc/PID/maps shows them, which on some file systems is not what stat says: map it, and look. */
static bool identify(int fd, uint64_t *ret_dev, uint64_t *ret_ino)
{
	const size_t size = (size_t)VMS_PAGE_SIZE;
	struct vms_vma_list list = { 0 };
	struct vms_maps maps = VMS_MAPS_INIT;
	void *at = mmap(NULL, size, PROT_NONE, MAP_PRIVATE, fd, 0);
	struct vms_range range = { (uintptr_t)at, (uintptr_t)at + size };
	bool ok = false;

	if (at == MAP_FAILED)
		return false;
	if (vms_maps_open(getpid(), &maps) == 0) {
		ok = vms_maps_read(&maps, &range, &list) == 0 && list.nr == 1;
		if (ok) {
			*ret_dev = list.items[0].dev;
			*ret_ino = list.items[0].ino;
		}
		vms_maps_close(&maps);
	}
	vms_vma_list_done(&list);
	munmap(at, size);
	return ok;
}

/* The name, as far as it alone can tell. */
static bool is_under(const char *name, char *const *dirs, size_t nr)
{
	static const char gone[] = " (deleted)";
	const size_t len = strlen(name);

	if (len >= sizeof(gone) - 1 && strcmp(name + len - (sizeof(gone) - 1), gone) == 0)
		return false;
	for (size_t i = 0; i < nr; i++) {
		if (strncmp(name, dirs[i], strlen(dirs[i])) == 0)
			return true;
	}
	return false;
}

/* In a mount namespace of its own a child can mount what it likes under any name: the file must have that name here, too. */
static bool is_here(const char *name, uint64_t dev, uint64_t ino)
{
	vms_autofd fd = -1;
	uint64_t my_dev, my_ino;
	struct stat st;

	if (stat(name, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	if (st.st_dev == dev && st.st_ino == ino)
		return true;
	fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return fd >= 0 && identify(fd, &my_dev, &my_ino) && my_dev == dev && my_ino == ino;
}

bool vms_file_name_is_under(const char *name, uint64_t dev, uint64_t ino, char *const *dirs, size_t nr)
{
	return is_under(name, dirs, nr) && is_here(name, dev, ino);
}

/* @dev and @ino: of what is mapped. */
static bool file_is_under(int fd, uint64_t dev, uint64_t ino, char *const *dirs, size_t nr)
{
	char link[48], path[4096];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return false;
	path[n] = '\0';
	return vms_file_name_is_under(path, dev, ino, dirs, nr);
}

bool vms_file_is_under(int fd, char *const *dirs, size_t nr)
{
	uint64_t dev, ino;

	return identify(fd, &dev, &ino) && file_is_under(fd, dev, ino, dirs, nr);
}

void vms_file_vet(int pidfd, int fd, char *const *dirs, size_t nr, struct vms_facts *facts)
{
	vms_autofd copy = vms_proc_getfd(pidfd, fd);
	struct stat st;
	int mode;

	facts->file.known = false;
	if (copy < 0 || fstat(copy, &st) < 0)
		return;
	mode = fcntl(copy, F_GETFL);
	/* What cannot be mapped by us cannot be mapped by the child either: the kernel says why. */
	if (!identify(copy, &facts->file.dev, &facts->file.ino))
		facts->file.dev = facts->file.ino = UINT64_MAX;
	facts->file.known = true;
	facts->file.is_memory = st.st_dev == memfd_device();
	facts->file.is_writable = mode < 0 || (mode & O_ACCMODE) != O_RDONLY;
	facts->file.trusted = file_is_under(copy, facts->file.dev, facts->file.ino, dirs, nr);
}
