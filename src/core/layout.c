/* Layout of a fresh image; see the header. */
#include "vmsup/core/layout.h"

#include <errno.h>

#define MIB ((vms_addr_t)1 << 20)
/* Between exe and the stack's hole: the kernel's stack_guard_gap, so that the whole hole can be used. */
#define GUARD MIB
/* Random offsets never take more than these shares of the range. */
#define EXE_SHARE 64
#define STACK_SHARE 256
#define BRK_SHARE 256
#define TOP_SHARE 128
/* PR_SET_MM_MAP takes no address below the LSM's mmap_min_addr, which is this or less and shows nowhere. */
#define LOWEST_IMAGE ((vms_addr_t)0x10000)
#define MAX_SLIDE ((vms_addr_t)1 << 32)

uint64_t vms_layout_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static vms_addr_t align_up(vms_addr_t a, vms_addr_t align)
{
	return (a + align - 1) & ~(align - 1);
}

static vms_addr_t align_down(vms_addr_t a, vms_addr_t align)
{
	return a & ~(align - 1);
}

static vms_addr_t slide_room(const struct vms_range *range, unsigned int share)
{
	vms_addr_t room = vms_range_size(range) / share;

	return room > MAX_SLIDE ? MAX_SLIDE : room;
}

vms_addr_t vms_layout_top_max(const struct vms_range *range)
{
	return vms_page_down(slide_room(range, TOP_SHARE));
}

/* A page-aligned distance below @range / @share. */
static vms_addr_t slide(const struct vms_layout_req *req, uint64_t *state, unsigned int share)
{
	vms_addr_t room = slide_room(&req->range, share);

	if (!req->randomize || room < VMS_PAGE_SIZE)
		return 0;
	return vms_page_down(vms_layout_random(state) % room);
}

/* Room for the stack: its limit, but never more than a quarter of the range. */
static vms_addr_t stack_room(const struct vms_layout_req *req)
{
	vms_addr_t quarter = vms_page_down(vms_range_size(&req->range) / 4);
	vms_addr_t room = req->stack_limit;

	if (room > ((vms_addr_t)1 << 46))
		room = VMS_LAYOUT_STACK_DEFAULT;
	room = vms_page_up(room);
	if (room > quarter)
		room = quarter;
	return vms_addr_max(room, req->stack.size);
}

static int too_small(const struct vms_layout_req *req, struct vms_err *err)
{
	return vms_err_set(err, -ENOMEM,
			   "the range 0x%llx-0x%llx is too small for the program's image and stack (%llu KiB): "
			   "choose a larger --range",
			   (unsigned long long)req->range.start, (unsigned long long)req->range.end,
			   (unsigned long long)((req->exe.size + req->interp.size + req->vdso.size +
						 req->stack.size) >> 10));
}

int vms_layout_make(const struct vms_layout_req *req, struct vms_layout *ret_layout, struct vms_err *err)
{
	const vms_addr_t lo = req->range.start, hi = req->range.end;
	const vms_addr_t room = stack_room(req), guard = GUARD;
	uint64_t state = req->seed;
	vms_addr_t exe_slide = slide(req, &state, EXE_SHARE), stack_slide = slide(req, &state, STACK_SHARE);
	vms_addr_t brk_slide = slide(req, &state, BRK_SHARE), top_slide = slide(req, &state, TOP_SHARE);
	struct vms_layout out = { 0 };
	vms_addr_t top, bottom;

	if (req->randomize && req->whole_top)
		top_slide = vms_layout_top_max(&req->range);
	if (req->exe.size + req->interp.size + req->vdso.size + room + 2 * guard > hi - lo)
		return too_small(req, err);
	top = vms_page_down(hi - top_slide);
	out.top = top;
	out.vdso = align_down(top - req->vdso.size, vms_addr_max(req->vdso.align, VMS_PAGE_SIZE));
	out.interp = align_down(out.vdso - req->interp.size, vms_addr_max(req->interp.align, VMS_PAGE_SIZE));

	if (req->exe.fixed) {
		const struct vms_range *whole = req->whole.start < req->whole.end ? &req->whole : &req->range;
		struct vms_range exe = { req->exe.fixed, req->exe.fixed + req->exe.size };

		if (!vms_range_covers(whole, &exe))
			return vms_err_set(err, -ERANGE,
					   "the program is linked to run at 0x%llx-0x%llx only, outside the range "
					   "0x%llx-0x%llx: choose a --range that holds it, or build it as a PIE",
					   (unsigned long long)exe.start, (unsigned long long)exe.end,
					   (unsigned long long)whole->start, (unsigned long long)whole->end);
		out.exe = exe.start;
		bottom = vms_range_overlaps(&exe, &req->range) ? exe.end : lo;
		/* An image high in the range: what has no room above it goes below. */
		if (bottom == exe.end &&
		    (exe.end > out.interp || out.interp - exe.end < room + 3 * guard + stack_slide + brk_slide)) {
			top = exe.start < top ? exe.start : top;
			out.vdso = align_down(top - req->vdso.size, vms_addr_max(req->vdso.align, VMS_PAGE_SIZE));
			out.interp = align_down(out.vdso - req->interp.size,
						vms_addr_max(req->interp.align, VMS_PAGE_SIZE));
			bottom = lo;
			out.top = hi;
			stack_slide = 0;
			brk_slide = 0;
		}
	} else {
		vms_addr_t align = vms_addr_max(req->exe.align, VMS_PAGE_SIZE);
		/* At or above its own size, so that a debugger does not take the load address for an offset. */
		vms_addr_t low = req->exe.size < vms_range_size(&req->range) / 4 ? req->exe.size : 0;

		low = vms_addr_max(low, LOWEST_IMAGE);
		out.exe = align_up(vms_addr_max(lo, low) + exe_slide, align);
		bottom = out.exe + req->exe.size;
	}
	out.stack_floor = bottom + guard + stack_slide;
	out.stack = out.stack_floor + room - req->stack.size;
	out.brk = out.stack + req->stack.size + VMS_PAGE_SIZE + brk_slide;
	if (out.interp < lo || out.interp > top || out.brk + guard > out.interp || out.stack_floor < bottom)
		return too_small(req, err);
	*ret_layout = out;
	return 0;
}
