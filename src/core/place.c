/*
 * Placement; see the header.
 *
 * The kernel's rule, as read in 6.18 and measured: a hint is taken when the whole of it is free; MAP_32BIT is a
 * bottom-up first fit in [1 GiB, 2 GiB); everything else is a top-down first fit below mm->mmap_base, tried first
 * with a huge page of slack where the mapping could hold huge pages.
 */
#include "vmsup/core/place.h"

#include <errno.h>

#define LOW2G_END ((vms_addr_t)2 << 30)
#define KERNEL_LOW_START ((vms_addr_t)1 << 30)
#define FOUR_G ((vms_addr_t)4 << 30)
/* arch/x86/include/asm/page_64_types.h DEFAULT_MAP_WINDOW */
#define WINDOW_END (((vms_addr_t)1 << 47) - VMS_PAGE_SIZE)

/* The hint as the kernel uses it; 0 when it will be ignored. mm/mmap.c round_hint_to_min. */
static vms_addr_t usable_hint(const struct vms_space *space, const struct vms_place_req *req)
{
	vms_addr_t hint = vms_page_down(req->hint);
	struct vms_range want;
	const struct vms_vma *above;

	if (!hint)
		return 0;
	/* arch_get_unmapped_area takes a hint below 2 GiB, also one below where the search for MAP_32BIT begins. */
	if (req->low2g && (hint >= LOW2G_END || req->length > LOW2G_END - hint))
		return 0;
	if (hint < space->rules.hint_min)
		hint = vms_page_up(space->rules.hint_min);
	if (hint >= space->range.end || req->length > space->range.end - hint || hint < space->range.start)
		return 0;
	want = (struct vms_range){ hint, hint + req->length };
	if (!vms_tree_is_free(&space->tree, &want))
		return 0;
	above = vms_tree_find_from(&space->tree, want.end);
	if (above && (above->flags & VMS_VMA_GROWSDOWN) &&
	    above->range.start - want.end < space->tree.guard)
		return 0;
	return hint;
}

static int top_down(const struct vms_space *space, const struct vms_place_req *req, vms_addr_t high,
		    vms_addr_t length, vms_addr_t *ret_addr)
{
	vms_addr_t low = vms_addr_max(space->range.start, space->rules.mmap_min_addr);

	if (req->above4g && space->rules.above4g)
		low = vms_addr_max(low, FOUR_G);
	high = vms_addr_min(high, space->range.end);
	if (low >= high)
		return -ENOMEM;
	return vms_tree_find_gap(&space->tree, low, high, length, false, ret_addr);
}

/* True when the kernel first looks for a place with room to align a huge page. */
static bool wants_huge(const struct vms_space *space, const struct vms_place_req *req)
{
	vms_addr_t first_huge;

	/* For anonymous memory a hint keeps the kernel from it; one within the first page is none. */
	if (req->low2g || (!req->has_file && vms_page_down(req->hint)))
		return false;
	/* Not for 32-bit calls: by the rule of 6.8, which 6.1 and 6.6 have got since. */
	if (req->i386)
		return false;
	if (req->has_file || req->shared_anon) {
		if (!req->thp_file || req->shared_anon)
			return false;
	} else if (!(space->rules.thp_anon_any && req->length >= VMS_HUGE_SIZE) &&
		   !(space->rules.thp_anon_multiple && req->length % VMS_HUGE_SIZE == 0)) {
		return false;
	}
	first_huge = (req->offset + VMS_HUGE_SIZE - 1) & ~(VMS_HUGE_SIZE - 1);
	return first_huge < req->offset + req->length &&
	       req->offset + req->length - first_huge >= VMS_HUGE_SIZE;
}

/* mm/huge_memory.c __thp_get_unmapped_area */
static int huge_aligned(const struct vms_space *space, const struct vms_place_req *req, vms_addr_t high,
			vms_addr_t *ret_addr)
{
	vms_addr_t found, sub;
	int r = top_down(space, req, high, req->length + VMS_HUGE_SIZE, &found);

	if (r < 0)
		return r;
	sub = (req->offset - found) & (VMS_HUGE_SIZE - 1);
	*ret_addr = sub || !space->rules.thp_to_top ? found + sub : found + VMS_HUGE_SIZE;
	return 0;
}

/*
 * When a gap right below a grows-down VMA is long enough but for the guard, the kernel goes on searching below the whole
 * guard, and so passes by what gaps lie in it between other VMAs. Our search does not.
 */
static bool near_growing(const struct vms_space *space, vms_addr_t end)
{
	const vms_addr_t reach = end + space->tree.guard + VMS_HUGE_SIZE;
	const struct vms_vma *vma;

	for (vma = vms_tree_find_from(&space->tree, end); vma && vma->range.start < reach; vma = vms_tree_next(vma)) {
		if (vma->flags & VMS_VMA_GROWSDOWN)
			return true;
	}
	return false;
}

/* The hint as it counts for @req: where a huge page may be aligned, it must be free with the room for that. */
static vms_addr_t kernel_hint(const struct vms_space *space, const struct vms_place_req *req, vms_addr_t high)
{
	struct vms_place_req padded = *req;
	vms_addr_t hint, other;

	if (!req->has_file || !wants_huge(space, req))
		return usable_hint(space, req);
	padded.length += VMS_HUGE_SIZE;
	hint = usable_hint(space, &padded);
	if (hint || huge_aligned(space, req, high, &other) == 0)
		return hint;
	return usable_hint(space, req);
}

static int kernel_search(const struct vms_space *space, const struct vms_place_req *req, vms_addr_t high,
			 vms_addr_t *ret_addr)
{
	if (wants_huge(space, req) && huge_aligned(space, req, high, ret_addr) == 0)
		return 0;
	return top_down(space, req, high, req->length, ret_addr);
}

static int kernel_low2g(const struct vms_space *space, const struct vms_place_req *req, vms_addr_t *ret_addr)
{
	vms_addr_t low = vms_addr_max(space->range.start, KERNEL_LOW_START);
	vms_addr_t high = vms_addr_min(space->range.end, LOW2G_END);

	if (low >= high)
		return -ENOMEM;
	return vms_tree_find_gap(&space->tree, low, high, req->length, true, ret_addr);
}

int vms_place_kernel(const struct vms_space *space, const struct vms_place_req *req, vms_addr_t *ret_addr,
		     bool *ret_certain)
{
	vms_addr_t hint;
	int r;

	*ret_certain = !req->hugetlb && !space->legacy_layout;
	if (req->low2g) {
		/* arch/x86/kernel/sys_x86_64.c find_start_end: the start is random within 32 MiB. */
		*ret_certain = false;
		return kernel_low2g(space, req, ret_addr);
	}
	hint = kernel_hint(space, req, space->ceiling ? space->ceiling : space->range.end);
	if (hint) {
		*ret_addr = hint;
		return 0;
	}
	r = kernel_search(space, req, space->ceiling ? space->ceiling : space->range.end, ret_addr);
	/* Releases of 6.7 and before may not have that rule. */
	if (req->i386 && req->thp_file && !space->rules.thp_to_top && req->length >= VMS_HUGE_SIZE)
		*ret_certain = false;
	/* With 57-bit addresses a hint above 47 bits makes the search begin above them; in a range the fence is there. */
	if (!space->confined && req->hint > WINDOW_END && space->user.end > WINDOW_END)
		*ret_certain = false;
	if (!space->ceiling || (r == 0 && near_growing(space, *ret_addr + req->length)))
		*ret_certain = false;
	if (r == -ENOMEM && !space->confined) {
		/* Below mmap_base nothing is left: the kernel then looks bottom-up, from a base unknown here. */
		*ret_certain = false;
		return vms_tree_find_gap(&space->tree, space->rules.mmap_min_addr, space->range.end,
					 req->length, true, ret_addr);
	}
	if (r == -ENOMEM && space->ceiling && space->ceiling < space->range.end)
		*ret_certain = false;
	return r;
}

int vms_place_find(struct vms_space *space, const struct vms_place_req *req, vms_addr_t bound,
		   vms_addr_t *ret_addr)
{
	vms_addr_t high = space->range.end;
	vms_addr_t hint = bound ? 0 : usable_hint(space, req);

	if (space->policy) {
		struct vms_range span = { hint, hint + req->length };

		if (hint && !vms_policy_keeps_out(space->policy, &span, req->low2g)) {
			*ret_addr = hint;
			return 0;
		}
		return vms_policy_find(space, req, bound, ret_addr);
	}
	/* A place below the rejected one: its last byte may lie above, its start may not. */
	if (bound && bound < high)
		high = bound;
	if (hint) {
		*ret_addr = hint;
		return 0;
	}
	if (req->low2g) {
		if (!bound && kernel_low2g(space, req, ret_addr) == 0)
			return 0;
		high = vms_addr_min(high, LOW2G_END);
		return top_down(space, req, high, req->length, ret_addr);
	}
	if (space->ceiling && space->ceiling < high &&
	    kernel_search(space, req, space->ceiling, ret_addr) == 0)
		return 0;
	return kernel_search(space, req, high, ret_addr);
}
