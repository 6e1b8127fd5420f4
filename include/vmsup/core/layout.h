/*
 * Where the parts of a fresh image go inside the range. Pure.
 *
 *	lo [exe][1 MiB][hole of RLIMIT_STACK][stack][brk ->      <- mmaps][ld.so][vdso] hi
 *
 * The stack lies low: the kernel packs mappings from the top downwards, and a stack high in the range could never grow.
 * What lies between vdso and hi (a random distance) is the top gap: it is mapped PROT_NONE, or the kernel would fill it first
 * and the top of the mmaps would be no more random than hi. It is an ordinary mapping: the program may replace it.
 */
#ifndef VMSUP_CORE_LAYOUT_H
#define VMSUP_CORE_LAYOUT_H

#include "vmsup/core/range.h"

/** One part that moves as a whole: sizes in bytes, page multiples; size 0: absent. */
struct vms_layout_part {
	vms_addr_t size;
	vms_addr_t align; /* power of two; at least a page */
	vms_addr_t fixed; /* not 0: it cannot move and starts here */
};

struct vms_layout_req {
	struct vms_range range;
	struct vms_range whole; /* where a part that cannot move may lie; empty: in range only */
	struct vms_layout_part exe;
	struct vms_layout_part interp;
	struct vms_layout_part vdso; /* with vvar */
	struct vms_layout_part stack; /* size as it is now */
	vms_addr_t stack_limit; /* RLIMIT_STACK, bytes; all ones: unlimited */
	bool randomize;
	uint64_t seed; /* with randomize: the same seed gives the same layout */
	bool whole_top; /* with randomize: the top gap is as large as it may be, because a limit counts it */
};

struct vms_layout {
	vms_addr_t exe, interp, vdso; /* new starts */
	vms_addr_t stack; /* new start of the mapping as it is now; its end is fixed while it grows */
	vms_addr_t stack_floor; /* the lowest address it may grow to */
	vms_addr_t brk; /* start of the heap */
	vms_addr_t top; /* start of the top gap; the range's end when there is none */
};

/** The largest top gap in a range, bytes. */
vms_addr_t vms_layout_top_max(const struct vms_range *range);

/** A stack of this size is kept room for when RLIMIT_STACK is unlimited, if the range has it. */
#define VMS_LAYOUT_STACK_DEFAULT ((vms_addr_t)64 << 20)

/**
 * Lay out. Returns 0; -ENOMEM when the range is too small, -ERANGE when a part that cannot move lies outside it;
 * then @err says so.
 */
VMS_MUST_CHECK int vms_layout_make(const struct vms_layout_req *req, struct vms_layout *ret_layout,
				   struct vms_err *err);

/** The next number of a splitmix64 sequence; @state is advanced. */
uint64_t vms_layout_random(uint64_t *state);

#endif
