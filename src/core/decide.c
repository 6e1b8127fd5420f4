/*
 * Decide; see the header. One function a call, found by the table at the end.
 *
 * A request that Linux would refuse for reasons of its own is passed on: the kernel knows its errnos and their
 * order best, and settling sees that nothing has changed.
 */
#include "vmsup/core/decide.h"

#include <errno.h>

#include <linux/prctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/shm.h>

#include "vmsup/core/place.h"
#include "vmsup/core/policy.h"
#include "decision.h"

#ifndef MAP_ABOVE4G
#define MAP_ABOVE4G 0x80
#endif
#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
/*
 * What MAP_SHARED_VALIDATE takes for any file: include/linux/mman.h LEGACY_MAP_MASK (6.18), without the size of huge pages.
 * MAP_FIXED_NOREPLACE is none of them.
 */
#define LEGACY_FLAGS                                                                               \
	((uint32_t)(MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_DENYWRITE | MAP_EXECUTABLE |         \
		    MAP_GROWSDOWN | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_STACK |          \
		    MAP_HUGETLB | MAP_32BIT | MAP_ABOVE4G))
/* At most this many candidates are tried for one placement. */
#define MAX_TRIES 64

struct vms_plan vms_decision_unknown(void)
{
	struct vms_plan plan = vms_plan_pass();

	plan.effect = VMS_EFFECT_UNKNOWN;
	return plan;
}

/* [addr, addr + length) rounded up to pages; false when it is empty, unaligned or leaves the user addresses. */
bool vms_decision_span(const struct vms_space *space, vms_addr_t addr, vms_addr_t length,
		      struct vms_range *ret_span)
{
	vms_addr_t size = vms_page_up(length);

	if (!size || !vms_page_aligned(addr) || addr > space->user.end || size > space->user.end - addr)
		return false;
	*ret_span = (struct vms_range){ addr, addr + size };
	return true;
}

/*
 * 64-bit code that makes an i386 call, or the reverse: the kernel then searches from another base. The fence keeps what it finds
 * inside.
 */
bool vms_decision_is_foreign(const struct vms_decision *d)
{
	return d->req->arch != d->space->arch;
}

static bool is_wall(const struct vms_space *space, const struct vms_range *span)
{
	return space->policy && vms_policy_is_wall(space->policy, span);
}

bool vms_decision_is_outside(const struct vms_space *space, const struct vms_range *span)
{
	return space->confined && (!vms_range_covers(&space->range, span) || is_wall(space, span));
}

/* What the child sees for a fixed address outside its range: as mmap_min_addr below, as TASK_SIZE above. */
static int outside_errno(const struct vms_space *space, const struct vms_range *span)
{
	return span->start < space->range.start ? EPERM : ENOMEM;
}

/* True when another thread's call in flight may touch @span; then *ret_what is what it touches. */
static bool busy_at(const struct vms_decision *d, const struct vms_range *span, struct vms_range *ret_what)
{
	for (size_t i = 0; i < d->nr_busy; i++) {
		const struct vms_plan *plan = d->busy[i];

		/* What may be anywhere cannot be avoided; should it be here, the kernel rejects the place. */
		if (plan->effect == VMS_EFFECT_UNKNOWN || !vms_plan_touches(plan, span))
			continue;
		*ret_what = vms_range_overlaps(&plan->range, span) ? plan->range : plan->from;
		return true;
	}
	return false;
}

/*
 * Our own choice: like vms_place_find, and clear of what other threads have in flight. From a place that is rejected or busy
 * the search goes on downwards (with --layout bottom-up, upwards); where it did not begin at the end, once more from there.
 */
int vms_decision_choose(const struct vms_decision *d, const struct vms_place_req *want, vms_addr_t *ret_addr)
{
	const enum vms_layout_kind layout = d->space->policy ? d->space->policy->layout : VMS_LAYOUT_TOP_DOWN;
	const bool up = layout == VMS_LAYOUT_BOTTOM_UP;
	vms_addr_t bound = d->max_start;
	bool is_last = !want->hint && !want->low2g && (up || layout == VMS_LAYOUT_TOP_DOWN);

	for (int i = 0; i < MAX_TRIES; i++) {
		struct vms_range span, busy;
		vms_addr_t addr;
		int r = vms_place_find(d->space, want, bound, &addr);

		if (r < 0 && (is_last || !bound))
			return r;
		if (r < 0) {
			is_last = true;
			bound = up ? VMS_PAGE_SIZE : d->space->range.end;
			continue;
		}
		span = (struct vms_range){ addr, addr + want->length };
		/* The rejected place again: step past it. */
		busy = span;
		if (addr != d->max_start && !busy_at(d, &span, &busy)) {
			*ret_addr = addr;
			return 0;
		}
		if (addr == d->max_start)
			bound = addr;
		else if (up)
			bound = busy.end - VMS_PAGE_SIZE > addr ? busy.end - VMS_PAGE_SIZE : addr;
		else
			bound = busy.start < addr ? busy.start : addr;
	}
	return -ENOMEM;
}

/* What grows down may have grown since the tree was told: whether a hint below it leaves the guard free, only the kernel knows. */
static bool is_below_growing(const struct vms_space *space, const struct vms_place_req *want)
{
	const struct vms_vma *above = want->hint && !want->low2g ? vms_tree_find_from(&space->tree, want->hint) : NULL;

	return above && (above->flags & VMS_VMA_GROWSDOWN) && above->range.start > want->hint;
}

/*
 * The address for a request that leaves it open: the kernel's own choice where that is what we want too.
 * Sets verdict, chosen and certain of @plan. -ENOMEM: nothing fits.
 */
int vms_decision_place(const struct vms_decision *d, const struct vms_place_req *want, struct vms_plan *plan,
		 vms_addr_t *ret_addr)
{
	int r;

	plan->verdict = VMS_CONTINUE;
	plan->chosen = true;
	plan->low2g = want->low2g;
	/* MAP_32BIT is searched for from a start that the kernel draws anew for each call. */
	if (!d->space->remote_only && !d->space->legacy_layout && !want->low2g && !d->max_start) {
		r = vms_place_kernel(d->space, want, ret_addr, &plan->certain);
		if (r == 0 && (!d->space->policy || (plan->certain && vms_policy_accepts(d->space, want, *ret_addr))))
			return 0;
	}
	if ((want->hugetlb || (is_below_growing(d->space, want) && !d->space->policy)) && !d->max_start)
		return vms_place_kernel(d->space, want, ret_addr, &plan->certain);
	r = vms_decision_choose(d, want, ret_addr);
	if (r < 0)
		return r;
	plan->verdict = VMS_REMOTE;
	plan->certain = true;
	return 0;
}

void vms_decision_copy_args(struct vms_plan *plan, const struct vms_req *req)
{
	for (int i = 0; i < 6; i++)
		plan->args[i] = req->args[i];
}

/* mm/mmap.c do_mmap, mm/mprotect.c: READ_IMPLIES_EXEC. */
uint8_t vms_decision_prot(const struct vms_space *space, uint8_t prot)
{
	return space->read_implies_exec && (prot & VMS_PROT_READ) ? prot | VMS_PROT_EXEC : prot;
}

/* do_mmap (6.18): anything else is EINVAL. Huge pages are of a file, if one without a name. */
static bool is_map_type(uint32_t flags)
{
	const uint32_t type = flags & MAP_TYPE;
	const bool anon = (flags & (MAP_ANONYMOUS | MAP_HUGETLB)) == MAP_ANONYMOUS;

	return type == MAP_PRIVATE || type == MAP_SHARED || type == (anon ? MAP_DROPPABLE : MAP_SHARED_VALIDATE);
}

static struct vms_vma mmap_vma(const struct vms_decision *d)
{
	const struct vms_req *req = d->req;
	uint32_t flags = req->mmap.flags;
	struct vms_vma vma = { .prot = vms_decision_prot(d->space, req->mmap.prot), .may = VMS_PROT_ALL };

	if ((flags & MAP_TYPE) == MAP_DROPPABLE)
		vma.flags |= VMS_VMA_NORESERVE;
	else if ((flags & MAP_TYPE) != MAP_PRIVATE)
		vma.flags |= VMS_VMA_SHARED;
	if ((flags & MAP_NORESERVE) && !d->space->rules.never_overcommit)
		vma.flags |= VMS_VMA_NORESERVE;
	if (flags & MAP_GROWSDOWN)
		vma.flags |= VMS_VMA_GROWSDOWN;
	if (flags & MAP_HUGETLB)
		vma.flags |= VMS_VMA_HUGETLB;
	if (!(flags & MAP_ANONYMOUS)) {
		vma.kind = VMS_KIND_FILE;
		vma.offset = req->mmap.offset;
		if ((vma.flags & VMS_VMA_SHARED) && d->facts->file.known)
			vma.may = d->facts->file.may;
		/* drivers/char/mem.c mmap_zero, shmem_zero_setup */
		if ((vma.flags & VMS_VMA_SHARED) && d->facts->file.is_zero)
			vma.kind = VMS_KIND_ANON;
	}
	return vma;
}

static struct vms_plan decide_mmap_fixed(const struct vms_decision *d)
{
	const struct vms_req *req = d->req;
	struct vms_plan plan = vms_plan_pass();
	struct vms_range span;

	if (!is_map_type(req->mmap.flags) ||
	    !vms_decision_span(d->space, req->mmap.addr, req->mmap.length, &span) || !vms_page_aligned(req->mmap.offset))
		return plan;
	if (vms_decision_is_outside(d->space, &span)) {
		/* As the kernel, which looks at the file before it looks for the place. */
		if (!(req->mmap.flags & MAP_ANONYMOUS) && !d->facts->file.known)
			return vms_plan_refuse(EBADF);
		return vms_plan_refuse(outside_errno(d->space, &span));
	}
	/* EEXIST, unless another thread is just clearing the place. */
	if ((req->mmap.flags & MAP_FIXED_NOREPLACE) && !vms_tree_is_free(&d->space->tree, &span))
		return d->nr_busy ? vms_decision_unknown() : plan;
	plan.effect = VMS_EFFECT_MAP;
	plan.certain = true;
	plan.range = span;
	plan.vma = mmap_vma(d);
	plan.vma.range = span;
	if (req->mmap.flags & MAP_HUGETLB)
		plan.effect = VMS_EFFECT_UNKNOWN;
	return plan;
}

static struct vms_plan decide_mmap(const struct vms_decision *d)
{
	const struct vms_req *req = d->req;
	uint32_t flags = req->mmap.flags, type = flags & MAP_TYPE;
	bool anon = flags & MAP_ANONYMOUS;
	struct vms_place_req want = {
		.length = vms_page_up(req->mmap.length),
		.hint = req->mmap.addr,
		.offset = anon ? 0 : req->mmap.offset,
		.has_file = !anon,
		.shared_anon = anon && type != MAP_PRIVATE && type != MAP_DROPPABLE,
		.low2g = flags & MAP_32BIT,
		.above4g = flags & MAP_ABOVE4G,
		.hugetlb = (flags & MAP_HUGETLB) || (!anon && d->facts->file.hugetlb),
		.thp_file = d->facts->file.known && d->facts->file.thp,
		.i386 = req->arch == VMS_ARCH_I386,
	};
	struct vms_plan plan = { .verdict = VMS_CONTINUE };
	vms_addr_t addr;

	if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))
		return decide_mmap_fixed(d);
	if (!is_map_type(flags) || !want.length || want.length > d->space->user.end ||
	    !vms_page_aligned(req->mmap.offset))
		return vms_plan_pass();
	if (want.hugetlb || vms_decision_is_foreign(d) || (type == MAP_SHARED_VALIDATE && (req->args[3] & ~(uint64_t)LEGACY_FLAGS))) {
		plan = vms_decision_unknown();
		plan.chosen = true;
		return plan;
	}
	if (vms_decision_place(d, &want, &plan, &addr) < 0) {
		/* A file's own errors come first, and only the kernel knows them. */
		return anon ? vms_plan_refuse(ENOMEM) : vms_decision_unknown();
	}
	plan.effect = VMS_EFFECT_MAP;
	plan.vma = mmap_vma(d);
	plan.range = (struct vms_range){ addr, addr + want.length };
	plan.vma.range = plan.range;
	if (plan.low2g)
		plan.vma.flags |= VMS_VMA_LOW2G;
	if (plan.verdict == VMS_REMOTE) {
		vms_decision_copy_args(&plan, req);
		plan.args[0] = addr;
		/* With flags that every file takes, it is MAP_SHARED; by its own name it would refuse the one that is added. */
		if (type == MAP_SHARED_VALIDATE)
			flags ^= type ^ MAP_SHARED;
		plan.args[3] = (flags & ~(uint32_t)MAP_32BIT) | MAP_FIXED_NOREPLACE;
	}
	return plan;
}

static struct vms_plan decide_munmap(const struct vms_decision *d)
{
	struct vms_plan plan = vms_plan_pass();
	struct vms_range span;

	if (!vms_decision_span(d->space, d->req->span.addr, d->req->span.length, &span))
		return plan;
	if (d->space->confined && span.end > d->space->range.end)
		return vms_plan_refuse(EINVAL);
	/* Below the range the child has nothing: as under mmap_min_addr, there is nothing to remove and nothing wrong. */
	if (vms_decision_is_outside(d->space, &span)) {
		if (span.end <= d->space->range.start || is_wall(d->space, &span))
			return vms_plan_reply(0);
		span.start = d->space->range.start;
		plan.verdict = VMS_REMOTE;
		plan.args[0] = span.start;
		plan.args[1] = vms_range_size(&span);
	}
	plan.effect = VMS_EFFECT_UNMAP;
	plan.range = span;
	return plan;
}

/* The kernel changes what lies before the first hole, and then says ENOMEM. In a sealed fence there is no harm in asking. */
static struct vms_plan mprotect_outside(const struct vms_decision *d, const struct vms_range *span)
{
	const struct vms_range inside = { span->start, d->space->range.end };

	/* Nothing is there, natively or here; but a key may be wrong. */
	if (span->end <= d->space->rules.mmap_min_addr)
		return vms_plan_pass();
	if (d->space->rules.seals && vms_range_has(&d->space->range, span->start) && !is_wall(d->space, span) &&
	    !vms_tree_is_full(&d->space->tree, &inside))
		return vms_decision_unknown();
	return vms_plan_refuse(ENOMEM);
}

/* mm/mprotect.c do_mprotect_pkey (6.18) looks for a hole only: a length that leaves the user addresses is no error by itself. */
static bool make_protect_span(const struct vms_space *space, vms_addr_t addr, vms_addr_t length, struct vms_range *ret_span)
{
	vms_addr_t size = vms_page_up(length);

	if (size && addr < space->user.end && addr + size > addr && addr + size > space->user.end)
		size = space->user.end - vms_page_down(addr);
	return vms_decision_span(space, addr, size, ret_span);
}

static struct vms_plan decide_mprotect(const struct vms_decision *d)
{
	const struct vms_req *req = d->req;
	struct vms_plan plan = vms_plan_pass();
	struct vms_range span;

	if (!make_protect_span(d->space, req->mprotect.addr, req->mprotect.length, &span))
		return plan;
	if (vms_decision_is_outside(d->space, &span))
		return mprotect_outside(d, &span);
	/* PROT_GROWSDOWN and PROT_GROWSUP stretch the range to the end of the mapping. */
	if (req->args[2] & ~(uint64_t)VMS_PROT_ALL)
		return vms_decision_unknown();
	plan.effect = VMS_EFFECT_PROTECT;
	plan.range = span;
	plan.vma.prot = vms_decision_prot(d->space, req->mprotect.prot);
	plan.sets_pkey = req->mprotect.pkey >= 0;
	plan.vma.pkey = plan.sets_pkey ? (uint8_t)req->mprotect.pkey : 0;
	return plan;
}

static struct vms_vma shm_vma(int flags, const struct vms_range *range)
{
	struct vms_vma vma = { .range = *range, .flags = VMS_VMA_SHARED, .kind = VMS_KIND_SHM,
			       .prot = VMS_PROT_READ, .may = VMS_PROT_ALL };

	if (flags & SHM_RDONLY)
		vma.may &= (uint8_t)~VMS_PROT_WRITE;
	else
		vma.prot |= VMS_PROT_WRITE;
	if (flags & SHM_EXEC)
		vma.prot |= VMS_PROT_EXEC;
	return vma;
}

static struct vms_plan decide_shmat(const struct vms_decision *d)
{
	const struct vms_req *req = d->req;
	struct vms_place_req want = { .length = vms_page_up(d->facts->shm.size),
				      .has_file = true,
				      .i386 = req->arch == VMS_ARCH_I386 };
	struct vms_plan plan = { 0 };
	struct vms_range span;
	vms_addr_t addr;

	if (!d->facts->shm.known || !want.length)
		return vms_decision_unknown();
	if (req->shmat.addr) {
		if (vms_decision_span(d->space, vms_page_down(req->shmat.addr), want.length, &span) &&
		    vms_decision_is_outside(d->space, &span))
			return vms_plan_refuse(EINVAL);
		return vms_decision_unknown();
	}
	if (req->shmat.flags & SHM_REMAP)
		return vms_plan_pass();
	/* Our place was refused with EINVAL: something is there, or these are huge pages, of which nobody tells. */
	if (d->max_start) {
		plan = vms_decision_unknown();
		plan.verdict = VMS_REMOTE;
		vms_decision_copy_args(&plan, req);
		return plan;
	}
	if (vms_decision_is_foreign(d) || vms_decision_place(d, &want, &plan, &addr) < 0)
		return vms_decision_unknown();
	plan.effect = VMS_EFFECT_MAP;
	plan.range = (struct vms_range){ addr, addr + want.length };
	plan.vma = shm_vma(req->shmat.flags, &plan.range);
	if (plan.verdict == VMS_REMOTE) {
		vms_decision_copy_args(&plan, req);
		plan.args[1] = addr;
	}
	return plan;
}

/* A mapping of huge pages is not cut within one: what is asked of a part may fail. */
static bool has_hugetlb(const struct vms_tree *tree, const struct vms_range *span)
{
	const struct vms_vma *vma;

	for (vma = vms_tree_find_from(tree, span->start); vma && vma->range.start < span->end; vma = vms_tree_next(vma)) {
		if (vma->flags & VMS_VMA_HUGETLB)
			return true;
	}
	return false;
}

static struct vms_plan decide_mseal(const struct vms_decision *d)
{
	struct vms_plan plan = vms_plan_pass();
	struct vms_range span;

	/* Before Linux 6.10 there is no such call. */
	if (!d->space->rules.seals || d->req->args[2] ||
	    !vms_decision_span(d->space, d->req->span.addr, d->req->span.length, &span))
		return plan;
	if (vms_decision_is_outside(d->space, &span))
		return vms_plan_refuse(ENOMEM);
	if (has_hugetlb(&d->space->tree, &span))
		return vms_decision_unknown();
	if (vms_tree_is_full(&d->space->tree, &span)) {
		plan.effect = VMS_EFFECT_SEAL;
		plan.range = span;
	}
	return plan;
}

/* What the kernel refuses before it looks at mappings. Source: mm/msync.c, mm/mincore.c (6.18). */
static bool is_wrong_question(const struct vms_decision *d, const struct vms_range *span)
{
	const int flags = (int)d->req->args[2];
	const vms_addr_t vector = d->req->args[2], pages = vms_range_size(span) / VMS_PAGE_SIZE;

	if (d->req->call == VMS_CALL_MSYNC)
		return (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) || ((flags & MS_ASYNC) && (flags & MS_SYNC));
	return vector > d->space->user.end || pages > d->space->user.end - vector;
}

/* Is something there? Not outside. Across the edge the kernel answers, and sees the fence. */
static struct vms_plan decide_question(const struct vms_decision *d)
{
	struct vms_range span;

	if (vms_decision_span(d->space, d->req->span.addr, d->req->span.length, &span) && d->space->confined &&
	    (!vms_range_overlaps(&d->space->range, &span) || is_wall(d->space, &span)) && !is_wrong_question(d, &span))
		return vms_plan_refuse(ENOMEM);
	return vms_plan_pass();
}

/* The kernel places or removes mappings by itself; the fence keeps them inside. */
static struct vms_plan decide_unknown(const struct vms_decision *d)
{
	(void)d;
	return vms_decision_unknown();
}

/*
 * Of prctl only PR_SET_MM and PR_SET_SECCOMP are trapped. PR_SET_MM moves no mapping, but may move the break, and nobody tells
 * where it is then. A break that lies in a fence which is not sealed would let brk unmap it.
 */
static struct vms_plan decide_prctl(const struct vms_decision *d)
{
	if ((uint32_t)d->req->args[0] != PR_SET_MM)
		return vms_plan_pass();
	if (d->space->confined && !d->space->rules.seals)
		return vms_plan_refuse(EPERM);
	d->space->brk.is_unknown = true;
	return vms_plan_pass();
}

static struct vms_plan decide_personality(const struct vms_decision *d)
{
	uint64_t persona = d->req->personality.persona;

	if (d->space->confined && (uint32_t)persona != 0xffffffffu &&
	    (persona & (ADDR_COMPAT_LAYOUT | MMAP_PAGE_ZERO)))
		return vms_plan_refuse(EPERM);
	/* All that is readable would be executable. */
	if (!vms_exec_policy_is_plain(&d->space->exec_policy) && (uint32_t)persona != 0xffffffffu &&
	    (persona & READ_IMPLIES_EXEC))
		return vms_plan_refuse(EPERM);
	return vms_plan_pass();
}

static struct vms_plan decide_pass(const struct vms_decision *d)
{
	(void)d;
	return vms_plan_pass();
}

typedef struct vms_plan decide_fn(const struct vms_decision *d);

static decide_fn *const deciders[VMS_NR_CALLS] = {
	[VMS_CALL_MMAP] = decide_mmap,
	[VMS_CALL_MUNMAP] = decide_munmap,
	[VMS_CALL_MREMAP] = vms_decide_mremap,
	[VMS_CALL_MPROTECT] = decide_mprotect,
	[VMS_CALL_PKEY_MPROTECT] = decide_mprotect,
	[VMS_CALL_BRK] = vms_decide_brk,
	[VMS_CALL_SHMAT] = decide_shmat,
	[VMS_CALL_SHMDT] = decide_unknown,
	[VMS_CALL_REMAP_FILE_PAGES] = decide_unknown,
	[VMS_CALL_IO_SETUP] = decide_unknown,
	[VMS_CALL_IO_DESTROY] = decide_unknown,
	[VMS_CALL_MSEAL] = decide_mseal,
	[VMS_CALL_MAP_SHADOW_STACK] = decide_unknown,
	[VMS_CALL_MINCORE] = decide_question,
	[VMS_CALL_MSYNC] = decide_question,
	[VMS_CALL_MLOCKALL] = decide_pass,
	[VMS_CALL_EXECVE] = decide_pass,
	[VMS_CALL_EXECVEAT] = decide_pass,
	[VMS_CALL_SETRLIMIT] = decide_pass,
	[VMS_CALL_GETRLIMIT] = decide_pass,
	[VMS_CALL_PRLIMIT64] = decide_pass,
	[VMS_CALL_PRCTL] = decide_prctl,
	[VMS_CALL_ARCH_PRCTL] = decide_unknown,
	[VMS_CALL_PERSONALITY] = decide_personality,
	[VMS_CALL_SECCOMP] = decide_pass,
	[VMS_CALL_USERFAULTFD] = decide_pass,
	[VMS_CALL_IOCTL] = decide_pass,
	[VMS_CALL_FORK] = decide_pass,
	[VMS_CALL_CLONE] = decide_pass,
	[VMS_CALL_CLONE3] = decide_pass,
	[VMS_CALL_RT_SIGACTION] = decide_pass,
	[VMS_CALL_EXIT] = decide_pass,
	[VMS_CALL_EXIT_GROUP] = decide_pass,
};

static unsigned int mmap_needs(const struct vms_space *space, const struct vms_req *req)
{
	struct vms_range span;

	if (req->mmap.flags & MAP_ANONYMOUS)
		return 0;
	if (!vms_exec_policy_is_plain(&space->exec_policy))
		return VMS_NEED_FILE | VMS_NEED_VET;
	/* The open mode matters for a shared mapping, the file system for one that may hold a huge page. */
	if ((req->mmap.flags & MAP_TYPE) != MAP_PRIVATE || req->mmap.length >= VMS_HUGE_SIZE)
		return VMS_NEED_FILE;
	/* What is refused must have a file, and a place of our choice suit it. */
	if (req->mmap.flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))
		return vms_decision_span(space, req->mmap.addr, req->mmap.length, &span) && vms_decision_is_outside(space, &span) ? VMS_NEED_FILE : 0;
	return space->remote_only || (req->mmap.flags & MAP_32BIT) ? VMS_NEED_FILE : 0;
}

unsigned int vms_decide_needs(const struct vms_space *space, const struct vms_req *req)
{
	switch (req->call) {
	case VMS_CALL_MMAP:
		return mmap_needs(space, req);
	case VMS_CALL_SHMAT:
		return VMS_NEED_SHM;
	default:
		return 0;
	}
}

int vms_decide(struct vms_space *space, const struct vms_req *req, const struct vms_facts *facts,
	       const struct vms_plan *const *busy, size_t nr_busy, vms_addr_t max_start,
	       struct vms_plan *ret_plan)
{
	struct vms_decision d = {
		.space = space,
		.req = req,
		.facts = facts,
		.busy = busy,
		.nr_busy = nr_busy,
		.max_start = max_start,
	};
	struct vms_plan plan = deciders[req->call](&d);
	int r;

	vms_wx_prepare(space, req, facts, &plan);
	/* Settling must not fail once the child has changed: a move needs most, and so may every other in flight. */
	if (plan.effect != VMS_EFFECT_NONE) {
		r = vms_tree_reserve(&space->tree, 4 * (nr_busy + 1));
		if (r < 0)
			return r;
	}
	*ret_plan = plan;
	return 0;
}
