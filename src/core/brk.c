/* The program break; see the header. Source: mm/mmap.c sys_brk (6.18). */
#include "vmsup/core/brk.h"

void vms_brk_init(struct vms_brk *brk, vms_addr_t base)
{
	brk->base = base;
	brk->current = base;
	brk->frontier = vms_page_up(base);
	brk->is_unknown = false;
}

void vms_brk_ensure_past(struct vms_brk *brk, vms_addr_t addr)
{
	if (brk->current == brk->base && brk->base < addr)
		vms_brk_init(brk, addr);
}

void vms_brk_set(struct vms_brk *brk, vms_addr_t addr)
{
	brk->current = addr;
	brk->frontier = vms_page_up(addr);
}
