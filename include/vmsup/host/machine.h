/*
 * What this machine's kernel does; learned once at start-up, by trying, not by version numbers.
 */
#ifndef VMSUP_HOST_MACHINE_H
#define VMSUP_HOST_MACHINE_H

#include <stdbool.h>

#include "vmsup/core/space.h"

struct vms_machine {
	struct vms_range user; /* [0, end of user addresses) */
	struct vms_place_rules rules;
	bool has_mseal; /* Linux 6.10 */
	bool maps_page_zero; /* our personality is MMAP_PAGE_ZERO, and so is that of our children */
	bool legacy_layout; /* mmaps are searched for bottom-up: by our personality or by sysctl */
	/* Below this the kernel's top-down search always starts above: mm->mmap_base is never lower. */
	vms_addr_t lowest_mmap_base;
	struct vms_range i386_user; /* user addresses of an i386 program */
	vms_addr_t i386_random; /* the largest random part of its mmap_base, bytes */
};

/** Learn. Maps and unmaps a few pages of the calling process. */
void vms_machine_learn(struct vms_machine *ret_machine);
/** Where mappings of a program may be at all: from vm.mmap_min_addr on, a whole page. */
struct vms_range vms_machine_addresses(void);

/** What lowest_mmap_base is for an i386 program that is executed with RLIMIT_STACK @stack_limit, in bytes. */
vms_addr_t vms_machine_i386_mmap_base(const struct vms_machine *machine, vms_addr_t stack_limit);

#endif
