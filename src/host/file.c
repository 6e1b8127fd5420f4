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

	if (mode < 0)
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
	if (st.stx_dev_major && S_ISREG(st.stx_mode))
		facts->file.thp = aligns_huge(pidfd, fd);
}
