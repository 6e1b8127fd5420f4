/* Limits; see the header. */
#include "vmsup/core/limit.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#define MAP_HUGE_MASK 0x3f
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

/* fs/aio.c: 32 bytes an event, of which there are at least two for each CPU and a page for the header; from above. */
#define AIO_EVENT_SIZE 32
#define AIO_EXTRA ((vms_addr_t)1 << 20)

const struct vms_limits vms_limits_none = {
	{ VMS_UNLIMITED, VMS_UNLIMITED, VMS_UNLIMITED, VMS_UNLIMITED, VMS_UNLIMITED, VMS_UNLIMITED },
};

static const char *const names[VMS_NR_LIMITS] = {
	[VMS_LIMIT_NONE] = "none", [VMS_LIMIT_VA] = "va",     [VMS_LIMIT_COMMIT] = "commit",
	[VMS_LIMIT_MAPS] = "maps", [VMS_LIMIT_HEAP] = "heap", [VMS_LIMIT_STACK] = "stack",
};

const char *vms_limit_name(enum vms_limit limit)
{
	return names[limit];
}

bool vms_limits_any(const struct vms_limits *limits)
{
	for (int i = VMS_LIMIT_VA; i < VMS_NR_LIMITS; i++) {
		if (limits->max[i] != VMS_UNLIMITED)
			return true;
	}
	return false;
}

static bool is_top_gap(const struct vms_space *space, const struct vms_vma *vma)
{
	return vma && vma->kind == VMS_KIND_FENCE && !(space->policy && vms_policy_is_wall(space->policy, &vma->range));
}

void vms_usage_of(const struct vms_space *space, struct vms_usage *ret_usage)
{
	const struct vms_tree *tree = &space->tree;
	struct vms_usage u = { 0 };

	u.used[VMS_LIMIT_VA] = tree->va;
	u.used[VMS_LIMIT_COMMIT] = tree->commit;
	u.used[VMS_LIMIT_MAPS] = tree->count;
	u.used[VMS_LIMIT_HEAP] = space->brk.current - space->brk.base;
	for (const struct vms_vma *vma = vms_tree_last(tree); is_top_gap(space, vma); vma = vms_tree_prev(vma)) {
		u.used[VMS_LIMIT_VA] -= vms_range_size(&vma->range);
		u.used[VMS_LIMIT_MAPS]--;
	}
	for (size_t i = 0; space->policy && i < space->policy->nr_walls; i++) {
		const struct vms_range *wall = &space->policy->walls[i];

		for (const struct vms_vma *vma = vms_tree_find_from(tree, wall->start); vma && vms_range_covers(wall, &vma->range);
		     vma = vms_tree_next(vma)) {
			u.used[VMS_LIMIT_VA] -= vms_range_size(&vma->range);
			u.used[VMS_LIMIT_MAPS]--;
		}
	}
	*ret_usage = u;
}

vms_addr_t vms_commit_seen(const struct vms_space *space, const struct vms_vma *seen, size_t nr)
{
	vms_addr_t sum = 0;

	for (size_t i = 0; i < nr; i++) {
		const struct vms_vma *mine;

		for (mine = vms_tree_find_from(&space->tree, seen[i].range.start); mine && mine->range.start < seen[i].range.end;
		     mine = vms_tree_next(mine)) {
			struct vms_vma part = seen[i];

			vms_vma_clip(&part, &mine->range);
			part.kind = mine->kind;
			if (vms_vma_is_commit(&part))
				sum += vms_range_size(&part.range);
		}
	}
	return sum;
}

void vms_usage_add(struct vms_usage *to, const struct vms_usage *what)
{
	for (int i = 0; i < VMS_NR_LIMITS; i++)
		to->used[i] += what->used[i];
}

void vms_usage_sub(struct vms_usage *to, const struct vms_usage *what)
{
	for (int i = 0; i < VMS_NR_LIMITS; i++)
		to->used[i] -= what->used[i];
}

/* ---- what a plan adds ---- */

/* What is mapped in a range, and what a cut at its edges leaves. */
struct covered {
	int64_t va, commit;
	int64_t maps; /* fewer VMAs once the range is cleared; -1: one more, its middle was cut out */
};

static int64_t size_of(const struct vms_range *range)
{
	return range->start < range->end ? (int64_t)vms_range_size(range) : 0;
}

static struct covered covered_by(const struct vms_tree *tree, const struct vms_range *range)
{
	struct covered c = { 0 };
	const struct vms_vma *vma;

	if (!size_of(range))
		return c;
	for (vma = vms_tree_find_from(tree, range->start); vma && vma->range.start < range->end; vma = vms_tree_next(vma)) {
		struct vms_vma part = *vma;

		vms_vma_clip(&part, range);
		c.va += size_of(&part.range);
		c.commit += vms_vma_is_commit(&part) ? size_of(&part.range) : 0;
		if (vma->range.start >= range->start && vma->range.end <= range->end)
			c.maps++;
		else if (vma->range.start < range->start && vma->range.end > range->end)
			c.maps--;
	}
	return c;
}

/* How many more VMAs there are when @vma fills its range, which is clear but for what reaches over its edges. */
static int64_t maps_of(const struct vms_tree *tree, const struct vms_vma *vma)
{
	const struct vms_vma *prev = vms_tree_find_below(tree, vma->range.start);
	const struct vms_vma *next = vms_tree_find_from(tree, vma->range.end);
	struct vms_vma cut;
	int64_t n = 1;

	if (prev && prev->range.end >= vma->range.start) {
		cut = *prev;
		vms_vma_clip(&cut, &(struct vms_range){ prev->range.start, vma->range.start });
		n -= vms_vma_can_merge(&cut, vma);
	}
	if (next && next->range.start <= vma->range.end) {
		cut = *next;
		vms_vma_clip(&cut, &(struct vms_range){ vma->range.end, next->range.end });
		n -= vms_vma_can_merge(vma, &cut);
	}
	return n;
}

struct delta {
	int64_t va, commit, maps, heap;
};

static void add_mapping(const struct vms_tree *tree, const struct vms_vma *vma, struct delta *d)
{
	struct covered c = covered_by(tree, &vma->range);

	d->va += size_of(&vma->range) - c.va;
	d->commit += (vms_vma_is_commit(vma) ? size_of(&vma->range) : 0) - c.commit;
	d->maps += maps_of(tree, vma) - c.maps;
}

static void add_removal(const struct vms_tree *tree, const struct vms_range *range, struct delta *d)
{
	struct covered c = covered_by(tree, range);

	d->va -= c.va;
	d->commit -= c.commit;
	d->maps -= c.maps;
}

static void add_protect(const struct vms_tree *tree, const struct vms_plan *plan, struct delta *d)
{
	const struct vms_vma *vma;

	for (vma = vms_tree_find_from(tree, plan->range.start); vma && vma->range.start < plan->range.end;
	     vma = vms_tree_next(vma)) {
		struct vms_vma part = *vma;

		vms_vma_clip(&part, &plan->range);
		d->commit -= vms_vma_is_commit(&part) ? size_of(&part.range) : 0;
		part.prot = plan->vma.prot;
		d->commit += vms_vma_is_commit(&part) ? size_of(&part.range) : 0;
		if (part.prot != vma->prot)
			d->maps += (vma->range.start < plan->range.start) + (vma->range.end > plan->range.end);
	}
}

/* The kernel moves the break over free addresses only. */
static vms_addr_t free_below(const struct vms_tree *tree, vms_addr_t end)
{
	const struct vms_vma *below = vms_tree_find_below(tree, end);

	return below && below->range.end < end ? end - below->range.end : 0;
}

/* PROT_GROWSDOWN: the kernel begins where the mapping does, which to it may be one and to us several. */
static void add_stretched(const struct vms_tree *tree, const struct vms_req *req, struct delta *d)
{
	const vms_addr_t start = vms_tree_run_start(tree, req->mprotect.addr);
	struct vms_plan plan = { .range = { start, req->mprotect.addr + vms_page_up(req->mprotect.length) } };

	plan.vma.prot = req->mprotect.prot;
	if (size_of(&plan.range))
		add_protect(tree, &plan, d);
	/* What lies below the mapping stays, and so counts for it does not. */
	d->maps += 2;
}

/* The kernel decides what happens: the most that it may be, from the arguments. */
static void add_unknown(const struct vms_tree *tree, const struct vms_req *req, const struct vms_facts *facts, struct delta *d)
{
	vms_addr_t size = 0;
	unsigned int shift;

	switch (req->call) {
	case VMS_CALL_MMAP:
		shift = req->mmap.flags >> MAP_HUGE_SHIFT & MAP_HUGE_MASK;
		size = (vms_addr_t)1 << (shift ? shift : 21);
		size = req->mmap.flags & MAP_HUGETLB ? (req->mmap.length + size - 1) & ~(size - 1) :
						       vms_page_up(req->mmap.length);
		d->commit = (req->mmap.prot & VMS_PROT_WRITE) && !(req->mmap.flags & MAP_NORESERVE) ? (int64_t)size : 0;
		break;
	case VMS_CALL_MREMAP:
		size = vms_page_up(req->mremap.new_length);
		if (!(req->mremap.flags & MREMAP_DONTUNMAP))
			size -= size < vms_page_up(req->mremap.old_length) ? size : vms_page_up(req->mremap.old_length);
		d->commit = (int64_t)size;
		break;
	case VMS_CALL_SHMAT:
		size = vms_page_up(facts->shm.size);
		d->commit = (int64_t)size;
		break;
	case VMS_CALL_IO_SETUP:
		size = vms_page_up((req->args[0] & UINT32_MAX) * AIO_EVENT_SIZE) + AIO_EXTRA;
		break;
	case VMS_CALL_MAP_SHADOW_STACK:
		size = vms_page_up(req->args[1]);
		d->commit = (int64_t)size;
		break;
	case VMS_CALL_BRK:
		size = free_below(tree, vms_page_up(req->brk.addr));
		d->commit = (int64_t)size;
		d->heap = (int64_t)size;
		break;
	case VMS_CALL_MPROTECT:
	case VMS_CALL_PKEY_MPROTECT:
		add_stretched(tree, req, d);
		return;
	default:
		return;
	}
	d->va = (int64_t)size;
	d->maps = 1;
}

static void count_plan(const struct vms_space *space, const struct vms_req *req, const struct vms_facts *facts,
		       const struct vms_plan *plan, struct delta *d)
{
	const struct vms_tree *tree = &space->tree;

	switch (plan->effect) {
	case VMS_EFFECT_MAP:
		add_mapping(tree, &plan->vma, d);
		break;
	case VMS_EFFECT_MOVE:
		add_mapping(tree, &plan->vma, d);
		if (!plan->keeps_source)
			add_removal(tree, &plan->from, d);
		break;
	case VMS_EFFECT_UNMAP:
		add_removal(tree, &plan->range, d);
		break;
	case VMS_EFFECT_PROTECT:
		add_protect(tree, plan, d);
		break;
	case VMS_EFFECT_BRK:
		d->heap = (int64_t)(plan->brk - space->brk.current);
		if (!size_of(&plan->range))
			break;
		if (plan->brk > space->brk.frontier)
			add_mapping(tree, &plan->vma, d);
		else
			add_removal(tree, &plan->range, d);
		break;
	case VMS_EFFECT_UNKNOWN:
		add_unknown(tree, req, facts, d);
		break;
	case VMS_EFFECT_NONE:
	case VMS_EFFECT_SEAL:
		break;
	}
}

static uint64_t at_least_0(int64_t value)
{
	return value > 0 ? (uint64_t)value : 0;
}

void vms_usage_growth(const struct vms_space *space, const struct vms_req *req, const struct vms_facts *facts,
		      const struct vms_plan *plan, struct vms_usage *ret_growth)
{
	struct delta d = { 0 };

	count_plan(space, req, facts, plan, &d);
	*ret_growth = (struct vms_usage){ { 0, at_least_0(d.va), at_least_0(d.commit), at_least_0(d.maps),
					    at_least_0(d.heap), 0 } };
}

enum vms_limit vms_limits_passed(const struct vms_limits *limits, const struct vms_usage *used,
				 const struct vms_usage *growth)
{
	for (int i = VMS_LIMIT_VA; i < VMS_NR_LIMITS; i++) {
		if (growth->used[i] && limits->max[i] != VMS_UNLIMITED &&
		    (used->used[i] > limits->max[i] || growth->used[i] > limits->max[i] - used->used[i]))
			return (enum vms_limit)i;
	}
	return VMS_LIMIT_NONE;
}

struct vms_plan vms_limit_refusal(const struct vms_space *space, const struct vms_req *req)
{
	/* brk(0), whose answer only the kernel knows. */
	if (req->call == VMS_CALL_BRK && space->brk.is_unknown)
		return (struct vms_plan){ .verdict = VMS_REMOTE };
	if (req->call == VMS_CALL_BRK)
		return vms_plan_reply(space->brk.current);
	return vms_plan_refuse(ENOMEM);
}
