/* Log lines; see the header. One write(2) a line, so that lines of several processes do not mix. */
#include "vmsup/base/log.h"
#include "vmsup/base/fd.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void emit(const char *fmt, va_list ap)
{
	char line[1024] = "vmsup: ";
	size_t used = strlen(line);
	int n = vsnprintf(line + used, sizeof(line) - used - 1, fmt, ap);

	if (n < 0)
		return;
	used = strlen(line);
	line[used++] = '\n';
	(void)vms_fd_write_all(STDERR_FILENO, line, used);
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
