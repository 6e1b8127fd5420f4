/* Whole reads and writes; see the header. */
#include "vmsup/base/fd.h"

#include <errno.h>
#include <fcntl.h>

ssize_t vms_fd_read_all(int fd, void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, (char *)buf + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int vms_fd_write_all(int fd, const void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(fd, (const char *)buf + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

static void close_above(int from, const int *keep, size_t nr)
{
	for (;;) {
		int next = -1;

		for (size_t i = 0; i < nr; i++) {
			if (keep[i] >= from && (next < 0 || keep[i] < next))
				next = keep[i];
		}
		if (next < 0)
			break;
		if (next > from)
			close_range((unsigned int)from, (unsigned int)next - 1, 0);
		from = next + 1;
	}
	close_range((unsigned int)from, ~0u, 0);
}

void vms_fd_let_go(const int *keep, size_t nr)
{
	vms_autofd null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; fd <= STDOUT_FILENO; fd++) {
		if (null < 0 || dup2(null, fd) < 0)
			close(fd);
	}
	vms_fd_close(&null);
	close_above(STDERR_FILENO + 1, keep, nr);
}
