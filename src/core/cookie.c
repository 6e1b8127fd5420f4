/* The cookie; see the header. Where it goes is said by the table of calls. */
#include "vmsup/core/cookie.h"

#include <sys/mman.h>

#include "vmsup/core/call.h"

void vms_cookie_mark(const struct vms_cookie *cookie, int nr, uint64_t args[6])
{
	enum vms_call call = vms_call_by_nr(VMS_ARCH_X86_64, nr);
	enum vms_cookie_kind kind =
		call < VMS_NR_CALLS ? vms_call_get(call)->cookie : VMS_COOKIE_NONE;

	switch (kind) {
	case VMS_COOKIE_NONE:
		break;
	case VMS_COOKIE_R9:
		args[5] = cookie->r9;
		break;
	case VMS_COOKIE_MMAP:
		args[4] = (uint64_t)cookie->fd_high << 32 | (uint32_t)args[4];
		if (args[3] & MAP_ANONYMOUS)
			args[5] = (uint64_t)cookie->offset_high << 32;
		break;
	}
}
