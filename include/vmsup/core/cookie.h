/*
 * The cookie: random bits in argument registers that the kernel ignores. They let the supervisor's own injected calls pass
 * the filter of the child that makes them.
 */
#ifndef VMSUP_CORE_COOKIE_H
#define VMSUP_CORE_COOKIE_H

#include <stdint.h>

struct vms_cookie {
	uint64_t r9; /* sixth argument of calls with five or fewer */
	uint32_t fd_high; /* mmap: upper half of the fd register */
	uint32_t offset_high; /* anonymous mmap: upper half of the offset register */
};

/** Mark the arguments of the injected call number @nr of x86-64: the only ones that a cookie lets pass. */
void vms_cookie_mark(const struct vms_cookie *cookie, int nr, uint64_t args[6]);

#endif
