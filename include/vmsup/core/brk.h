/*
 * The program break of one address space: three numbers.
 */
#ifndef VMSUP_CORE_BRK_H
#define VMSUP_CORE_BRK_H

#include "vmsup/base/addr.h"

struct vms_brk {
	vms_addr_t base; /* where the heap starts; the break never goes below it */
	vms_addr_t current; /* the break, byte-exact, as the child is told */
	vms_addr_t frontier; /* page-aligned end of what is really backed */
	bool is_unknown; /* the program has used PR_SET_MM: the three may be wrong */
};

/** Start with an empty heap at @base. */
void vms_brk_init(struct vms_brk *brk, vms_addr_t base);
/** Move base, break and frontier above @addr when the heap is still empty and begins below it. */
void vms_brk_ensure_past(struct vms_brk *brk, vms_addr_t addr);
/** The break was set to @addr (byte-exact) and the kernel backed it up to its page. */
void vms_brk_set(struct vms_brk *brk, vms_addr_t addr);

#endif
