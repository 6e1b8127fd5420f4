/* Log lines; see the header. One write(2) a line, so that lines of several processes do not mix. */
#include "vmsup/base/log.h"
#include "vmsup/base/fd.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static bool never_waits;

void vms_log_never_wait(void)
{
	never_waits = true;
}

static void write_line(const char *line, size_t len)
{
	const struct iovec iov = { (void *)(uintptr_t)line, len };
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };

	/* Pipes and sockets take the flag; files do not, and are never full; terminals do not either. */
	if (never_waits && (pwritev2(STDERR_FILENO, &iov, 1, -1, RWF_NOWAIT) >= 0 || errno == EAGAIN || poll(&p, 1, 0) != 1))
		return;
	(void)vms_fd_write_all(STDERR_FILENO, line, len);
}

static void emit(const char *fmt, va_list ap)
{
	char line[1024] = "vmsup: ";
	size_t used = strlen(line);
	int n = vsnprintf(line + used, sizeof(line) - used - 1, fmt, ap);

	if (n < 0)
		return;
	used = strlen(line);
	line[used++] = '\n';
	write_line(line, used);
}

void vms_log(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit(fmt, ap);
	va_end(ap);
}

void vms_log_limited(struct vms_log_budget *budget, const char *fmt, ...)
{
	va_list ap;

	if (budget->used >= budget->max)
		return;
	va_start(ap, fmt);
	emit(fmt, ap);
	va_end(ap);
	if (++budget->used == budget->max)
		vms_log("further messages of this kind are not shown");
}
