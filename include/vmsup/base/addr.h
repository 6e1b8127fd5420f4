/*
 * Addresses in a child. They are numbers, never pointers of ours: nothing here can be
 * dereferenced by mistake.
 */
#ifndef VMSUP_BASE_ADDR_H
#define VMSUP_BASE_ADDR_H

#include <stdbool.h>
#include <stdint.h>

/** An address, or a length in bytes, in a child's address space. */
typedef uint64_t vms_addr_t;

#define VMS_PAGE_SHIFT 12
#define VMS_PAGE_SIZE ((vms_addr_t)1 << VMS_PAGE_SHIFT)
#define VMS_PAGE_MASK (~(VMS_PAGE_SIZE - 1))
/** Size of a PMD-mapped transparent huge page on x86-64. */
#define VMS_HUGE_SIZE ((vms_addr_t)2 << 20)

static inline bool vms_page_aligned(vms_addr_t a)
{
	return (a & ~VMS_PAGE_MASK) == 0;
}

static inline vms_addr_t vms_page_down(vms_addr_t a)
{
	return a & VMS_PAGE_MASK;
}

/** Round up to a page; 0 when that passes 2^64, as the kernel's PAGE_ALIGN. */
static inline vms_addr_t vms_page_up(vms_addr_t a)
{
	return (a + VMS_PAGE_SIZE - 1) & VMS_PAGE_MASK;
}

static inline vms_addr_t vms_addr_min(vms_addr_t a, vms_addr_t b)
{
	return a < b ? a : b;
}

static inline vms_addr_t vms_addr_max(vms_addr_t a, vms_addr_t b)
{
	return a > b ? a : b;
}

#endif
