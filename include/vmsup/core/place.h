/*
 * Where a mapping goes. Two searches: the one the kernel itself will do (so that it can be let
 * do it), and our own inside the range.
 */
#ifndef VMSUP_CORE_PLACE_H
#define VMSUP_CORE_PLACE_H

#include "vmsup/core/space.h"

/** What the request asks of its place. Bytes; length is a page multiple. */
struct vms_place_req {
	vms_addr_t length;
	vms_addr_t hint; /* 0: none */
	uint64_t offset; /* of a file mapping */
	bool has_file; /* file, memfd or shared memory: not private anonymous */
	bool shared_anon;
	bool low2g; /* MAP_32BIT */
	bool above4g; /* MAP_ABOVE4G */
	bool hugetlb;
	bool thp_file; /* the file system aligns as ext4 does */
	bool i386; /* asked for by an i386 call */
};

/**
 * The address the kernel will choose for @req by itself, and whether the rule is certain to hold here.
 * Returns 0, or -ENOMEM when the kernel would find no place.
 * Source: arch/x86/kernel/sys_x86_64.c arch_get_unmapped_area_topdown, mm/mmap.c __get_unmapped_area,
 * mm/huge_memory.c __thp_get_unmapped_area (6.18).
 */
VMS_MUST_CHECK int vms_place_kernel(const struct vms_space *space, const struct vms_place_req *req,
				    vms_addr_t *ret_addr, bool *ret_certain);

/**
 * The address we choose inside the range. With @bound, which a retry passes (the address that was rejected), everything at or
 * above it is left out, or what a policy says instead; 0 means no bound. The kernel's rule is kept where it finds a place inside the range, unless the space
 * has a policy.
 * Returns 0 or -ENOMEM.
 */
VMS_MUST_CHECK int vms_place_find(struct vms_space *space, const struct vms_place_req *req,
				  vms_addr_t bound, vms_addr_t *ret_addr);

#endif
