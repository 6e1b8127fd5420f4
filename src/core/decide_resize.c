/* Decisions of calls that resize and move what is there: mremap and brk; see decide.c. */
#include <errno.h>
#include <sys/mman.h>

#include "vmsup/core/decide.h"
#include "vmsup/core/place.h"
#include "vmsup/core/policy.h"
#include "decision.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

/* The mapping that mremap makes of @src at @span. */
static struct vms_vma moved_vma(const struct vms_vma *src, vms_addr_t old_addr, const struct vms_range *span)
{
	struct vms_vma vma = *src;

	if (vma.ino)
		vma.offset += old_addr - src->range.start;
	vma.range = *span;
	return vma;
}

static struct vms_plan mremap_to(const struct vms_decision *d, const struct vms_vma *src,
				 const struct vms_range *from, const struct vms_range *to)
{
	uint32_t flags = d->req->mremap.flags;
	struct vms_plan plan = { .verdict = VMS_CONTINUE, .effect = VMS_EFFECT_MOVE };

	plan.range = *to;
	plan.from = *from;
	plan.keeps_source = d->req->mremap.old_length == 0 || (flags & MREMAP_DONTUNMAP);
	plan.vma = moved_vma(src, from->start, to);
	return plan;
}

static struct vms_plan mremap_fixed(const struct vms_decision *d, const struct vms_vma *src,
				    const struct vms_range *from)
{
	const struct vms_req *req = d->req;
	struct vms_range to;

	if (!vms_decision_span(d->space, req->mremap.new_addr, req->mremap.new_length, &to))
		return vms_plan_pass();
	if (vms_decision_is_outside(d->space, &to) && !src)
		return vms_plan_refuse(EFAULT);
	if (vms_decision_is_outside(d->space, &to))
		return vms_plan_refuse(to.start < d->space->range.start ? EPERM : EINVAL);
	if (!src || from->end > src->range.end)
		return vms_decision_unknown();
	return mremap_to(d, src, from, &to);
}

/* True when a mapping that grows by @more would come into a hole, or close a guard gap. */
static bool grows_into_policy(const struct vms_space *space, const struct vms_range *more)
{
	const struct vms_policy *policy = space->policy;
	const struct vms_vma *next = vms_tree_find_from(&space->tree, more->end);

	return vms_policy_keeps_out(policy, more, false) ||
	       (next && next->range.start - more->end < policy->guard_gap);
}

/* Growing: in place when what follows is free, else to a place of its own. */
static struct vms_plan mremap_grow(const struct vms_decision *d, const struct vms_vma *src,
				   const struct vms_range *from, vms_addr_t new_size)
{
	const struct vms_req *req = d->req;
	struct vms_range more = { from->end, from->start + new_size };
	struct vms_place_req want = {
		.length = new_size,
		.has_file = src->ino != 0,
		.thp_file = d->facts->file.known && d->facts->file.thp,
		.offset = src->ino ? src->offset + (from->start - src->range.start) : 0,
		.i386 = req->arch == VMS_ARCH_I386,
	};
	struct vms_plan plan = { .verdict = VMS_CONTINUE };
	struct vms_plan move;
	bool in_place, kept_out;
	vms_addr_t addr;

	if (req->mremap.flags & MREMAP_DONTUNMAP)
		return vms_decision_unknown();
	in_place = req->mremap.old_length != 0 && from->end == src->range.end && !vms_decision_is_outside(d->space, &more) &&
		   more.end <= d->space->user.end && vms_tree_is_free(&d->space->tree, &more);
	kept_out = in_place && d->space->policy && grows_into_policy(d->space, &more);
	if (in_place && !kept_out) {
		plan.effect = VMS_EFFECT_MAP;
		plan.chosen = true;
		plan.range = more;
		plan.vma = moved_vma(src, from->end, &more);
		return plan;
	}
	if (vms_decision_is_foreign(d))
		return vms_decision_unknown();
	if (!(req->mremap.flags & MREMAP_MAYMOVE))
		return kept_out ? vms_plan_refuse(ENOMEM) : vms_decision_unknown();
	/* The kernel would grow it in place. */
	if (kept_out)
		plan.verdict = VMS_REMOTE;
	if ((kept_out ? vms_decision_choose(d, &want, &addr) : vms_decision_place(d, &want, &plan, &addr)) < 0)
		return kept_out ? vms_plan_refuse(ENOMEM) : vms_decision_unknown();
	move = mremap_to(d, src, from, &(struct vms_range){ addr, addr + new_size });
	move.verdict = plan.verdict;
	move.chosen = true;
	/* Whether the file's own rule aligns it is not known here. */
	move.certain = plan.certain && !(src->ino && new_size >= VMS_HUGE_SIZE);
	if (move.verdict == VMS_REMOTE) {
		vms_decision_copy_args(&move, req);
		move.args[3] = req->mremap.flags | MREMAP_FIXED;
		move.args[4] = addr;
	}
	return move;
}

/* What mm/mremap.c check_mremap_params (6.18) refuses, whatever is mapped. */
static bool is_wrong_mremap(const struct vms_decision *d)
{
	const struct vms_req *req = d->req;
	const uint32_t flags = req->mremap.flags;
	const vms_addr_t to = req->mremap.new_addr, end = d->space->user.end;
	const vms_addr_t old_size = vms_page_up(req->mremap.old_length), new_size = vms_page_up(req->mremap.new_length);
	const struct vms_range source = { req->mremap.old_addr, req->mremap.old_addr + old_size };

	if ((flags & ~(uint32_t)(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP)) || !vms_page_aligned(source.start) ||
	    !new_size || new_size > end)
		return true;
	if (!(flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)))
		return false;
	return to > end - new_size || !vms_page_aligned(to) || !(flags & MREMAP_MAYMOVE) ||
	       ((flags & MREMAP_DONTUNMAP) && old_size != new_size) ||
	       vms_range_overlaps(&source, &(struct vms_range){ to, to + new_size });
}

struct vms_plan vms_decide_mremap(const struct vms_decision *d)
{
	const struct vms_req *req = d->req;
	vms_addr_t old_size = vms_page_up(req->mremap.old_length);
	vms_addr_t new_size = vms_page_up(req->mremap.new_length);
	const vms_addr_t old_addr = req->mremap.old_addr;
	const struct vms_vma *src = vms_tree_find(&d->space->tree, old_addr);
	struct vms_range from = { old_addr, old_addr + old_size };
	struct vms_plan plan = vms_plan_pass();

	if (is_wrong_mremap(d) || old_addr >= d->space->user.end || old_size > d->space->user.end - old_addr)
		return plan;
	if (d->space->confined && (old_addr < d->space->range.start || from.end > d->space->range.end))
		return vms_plan_refuse(vms_range_has(&d->space->range, old_addr) && new_size < old_size ? EINVAL : EFAULT);
	if (req->mremap.flags & MREMAP_FIXED)
		return mremap_fixed(d, src, &from);
	if (!src || from.end > src->range.end || (src->flags & VMS_VMA_HUGETLB))
		return vms_decision_unknown();
	if (new_size > old_size || (req->mremap.flags & MREMAP_DONTUNMAP))
		return mremap_grow(d, src, &from, new_size);
	if (new_size < old_size) {
		plan.effect = VMS_EFFECT_UNMAP;
		plan.range = (struct vms_range){ old_addr + new_size, from.end };
	}
	return plan;
}

/* mm/mmap.c sys_brk: a page, or the guard of what grows down, stays free between the heap and the next mapping. */
static bool meets_next(const struct vms_space *space, vms_addr_t end)
{
	const struct vms_vma *next = vms_tree_find_from(&space->tree, space->brk.frontier);
	vms_addr_t guard = next && (next->flags & VMS_VMA_GROWSDOWN) ? space->tree.guard : 0;

	return next && end + VMS_PAGE_SIZE > next->range.start - guard;
}

struct vms_plan vms_decide_brk(const struct vms_decision *d)
{
	const struct vms_brk *brk = &d->space->brk;
	vms_addr_t addr = d->req->brk.addr, end = vms_page_up(addr);
	struct vms_plan plan = vms_plan_pass();

	if (brk->is_unknown)
		return vms_decision_unknown();
	if (addr < brk->base)
		return plan;
	/* The kernel refuses by itself what runs into the fence or out of the user addresses. */
	if (!end || end > d->space->user.end || (d->space->confined && end > d->space->range.end))
		return plan;
	plan.effect = VMS_EFFECT_BRK;
	plan.brk = addr;
	plan.vma = (struct vms_vma){ .prot = vms_decision_prot(d->space, VMS_PROT_READ | VMS_PROT_WRITE), .may = VMS_PROT_ALL,
				     .kind = VMS_KIND_HEAP };
	if (end > brk->frontier && d->space->policy &&
	    vms_policy_keeps_out(d->space->policy, &(struct vms_range){ brk->frontier, end }, false))
		return vms_plan_reply(brk->current);
	if (end > brk->frontier && meets_next(d->space, end)) {
		/* Refused, as far as the tree knows. What is there looks like the heap that would have come. */
		plan.effect = VMS_EFFECT_UNKNOWN;
		return plan;
	}
	if (end > brk->frontier)
		plan.range = (struct vms_range){ brk->frontier, end };
	else
		plan.range = (struct vms_range){ end, brk->frontier };
	plan.vma.range = plan.range;
	return plan;
}
