/*
 * File descriptors that close themselves. Ownership is handed over with vms_fd_steal.
 */
#ifndef VMSUP_BASE_FD_H
#define VMSUP_BASE_FD_H

#include <stddef.h>
#include <unistd.h>

static inline void vms_fd_closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/** Close and forget; a negative descriptor is left alone. */
static inline void vms_fd_close(int *fd)
{
	vms_fd_closep(fd);
}

static inline int vms_fd_steal(int *fd)
{
	int out = *fd;

	*fd = -1;
	return out;
}

#define vms_autofd __attribute__((cleanup(vms_fd_closep))) int

/** Read up to @len bytes, again after EINTR. Returns the count (short only at the end of file) or -errno. */
ssize_t vms_fd_read_all(int fd, void *buf, size_t len);
/** Write all @len bytes, again after EINTR. 0 or -errno. */
int vms_fd_write_all(int fd, const void *buf, size_t len);

/**
 * Give up what was inherited: stdin and stdout become /dev/null (closed, should that fail), and everything above stderr is closed
 * but the @nr descriptors of @keep (negative ones are skipped).
 */
void vms_fd_let_go(const int *keep, size_t nr);

#endif
