/* The sentence for a person; see the header. */
#include "vmsup/base/err.h"

#include <stdarg.h>
#include <stdio.h>

int vms_err_set(struct vms_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return code;
}
