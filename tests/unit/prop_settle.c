/*
 * Property test of decide and settle: random calls are decided on a space, and a model of the kernel does them, refuses them,
 * does a part of them, or puts them somewhere else. Whatever it did, the tree agrees with it afterwards, and settling has
 * allocated nothing that had not been reserved when it was done as planned.
 *
 * usage: prop_settle [SEED]; VMS_SEED and VMS_ITERATIONS in the environment. A seed replays a run.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "vmsup/core/decide.h"
#include "vmsup/core/settle.h"

#define PAGES(n) ((vms_addr_t)(n) << VMS_PAGE_SHIFT)
#define NR_PAGES 200
#define LO ((vms_addr_t)0x100000)
#define HI (LO + PAGES(NR_PAGES))
#define HEAP_PAGES 40 /* of the lowest pages, kept for the heap */
#define MAX_SEEN (NR_PAGES + 1)

static uint64_t seed, iteration, rng;
static struct vms_space space;
static struct vms_tree kernel;
static struct vms_vma seen_range[MAX_SEEN], seen_from[MAX_SEEN], seen_all[MAX_SEEN];
static uint64_t next_ino = 1000;
static unsigned int counts[4];
static bool strict;

static uint64_t chance(uint64_t n)
{
	uint64_t z;

	rng += 0x9e3779b97f4a7c15u;
	z = rng;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (z ^ (z >> 31)) % n;
}

static void __attribute__((format(printf, 1, 2), noreturn)) fail(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "prop_settle: seed %" PRIu64 ", iteration %" PRIu64 ": ", seed, iteration);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static void *strict_alloc(size_t size)
{
	if (strict)
		fail("settling as planned needed memory");
	return malloc(size);
}

static void must(int r)
{
	if (r < 0)
		fail("the model: %s", strerror(-r));
}

/* ---- the kernel ---- */

static struct vms_vma as_shown(const struct vms_vma *vma)
{
	return (struct vms_vma){ .range = vma->range, .prot = vma->prot, .may = VMS_PROT_ALL, .ino = vma->ino,
				 .dev = vma->dev, .offset = vma->offset, .flags = vma->flags & VMS_VMA_SHARED,
				 .kind = vma->ino ? VMS_KIND_FILE : VMS_KIND_ANON };
}

static size_t look(const struct vms_range *range, struct vms_vma *out)
{
	const struct vms_vma *vma;
	size_t n = 0;

	if (range->start >= range->end)
		return 0;
	for (vma = vms_tree_find_from(&kernel, range->start); vma && vma->range.start < range->end;
	     vma = vms_tree_next(vma))
		out[n++] = as_shown(vma);
	return n;
}

static void set_prot(struct vms_vma *vma, void *arg)
{
	vma->prot = *(const uint8_t *)arg;
}

/* What the kernel makes of the planned mapping at @range. */
static struct vms_vma real_vma(const struct vms_plan *plan, const struct vms_range *range)
{
	struct vms_vma vma = plan->vma;

	vma.range = *range;
	if (!vma.ino && (vma.kind == VMS_KIND_FILE || (vma.flags & VMS_VMA_SHARED))) {
		vma.ino = vma.kind == VMS_KIND_FILE ? 1 + chance(3) : next_ino++;
		vma.dev = 2;
	}
	return as_shown(&vma);
}

static bool is_empty(const struct vms_range *range)
{
	return range->start >= range->end;
}

/* Do @plan to the model; mapped at @at instead of where it was planned. */
static void act(const struct vms_plan *plan, vms_addr_t at)
{
	struct vms_range to = { at, at + (plan->range.end - plan->range.start) };
	struct vms_vma vma;
	uint8_t prot = plan->vma.prot;

	switch (plan->effect) {
	case VMS_EFFECT_MAP:
		vma = real_vma(plan, &to);
		must(vms_tree_replace(&kernel, &vma));
		break;
	case VMS_EFFECT_UNMAP:
		must(vms_tree_remove(&kernel, &plan->range));
		break;
	case VMS_EFFECT_PROTECT:
		must(vms_tree_change(&kernel, &plan->range, set_prot, &prot));
		break;
	case VMS_EFFECT_MOVE:
		vma = *vms_tree_find(&kernel, plan->from.start);
		if (vma.ino)
			vma.offset += plan->from.start - vma.range.start;
		vma.range = to;
		if (!plan->keeps_source && !is_empty(&plan->from))
			must(vms_tree_remove(&kernel, &plan->from));
		must(vms_tree_replace(&kernel, &vma));
		break;
	case VMS_EFFECT_BRK:
		if (is_empty(&plan->range))
			break;
		vma = as_shown(&plan->vma);
		if (vms_page_up(plan->brk) == plan->range.end)
			must(vms_tree_replace(&kernel, &vma));
		else
			must(vms_tree_remove(&kernel, &plan->range));
		break;
	default:
		break;
	}
}

/* A part of it, then an error, as mprotect at a hole or a mapping that failed after making room. */
static void act_in_part(const struct vms_plan *plan)
{
	struct vms_plan part = *plan;
	vms_addr_t pages = (plan->range.end - plan->range.start) >> VMS_PAGE_SHIFT;

	if (!pages || plan->effect == VMS_EFFECT_BRK)
		return;
	part.range.end = part.range.start + PAGES(chance(pages));
	if (is_empty(&part.range))
		return;
	if (plan->effect == VMS_EFFECT_MAP || plan->effect == VMS_EFFECT_MOVE)
		part.effect = VMS_EFFECT_UNMAP;
	act(&part, part.range.start);
}

static void act_elsewhere(const struct vms_plan *plan)
{
	vms_addr_t at, length = plan->range.end - plan->range.start;

	if (vms_tree_find_gap(&kernel, LO + PAGES(HEAP_PAGES), HI, length, true, &at) == 0)
		act(plan, at);
}

/* ---- the calls ---- */

static vms_addr_t some_addr(void)
{
	return LO + PAGES(HEAP_PAGES + chance(NR_PAGES - HEAP_PAGES));
}

static vms_addr_t some_length(void)
{
	return PAGES(1 + chance(chance(3) ? 6 : 30)) - (chance(3) ? 0 : chance(4096));
}

static void some_call(struct vms_req *req)
{
	const vms_addr_t addr = some_addr(), length = some_length();
	const uint64_t prot = chance(8);
	uint64_t args[6] = { addr, length, prot, MAP_PRIVATE | MAP_ANONYMOUS, (uint32_t)-1, 0 };
	int nr = SYS_mmap;

	switch (chance(8)) {
	case 0 ... 2:
		if (chance(2))
			args[3] |= chance(4) ? MAP_FIXED : MAP_FIXED_NOREPLACE;
		if (chance(4) == 0)
			args[3] |= MAP_NORESERVE;
		if (chance(4) == 0)
			args[3] = (args[3] & ~(uint64_t)MAP_PRIVATE) | MAP_SHARED;
		if (chance(3) == 0) {
			args[3] &= ~(uint64_t)MAP_ANONYMOUS;
			args[4] = 3;
			args[5] = PAGES(chance(10));
		}
		break;
	case 3:
		nr = SYS_munmap;
		break;
	case 4:
		nr = SYS_mprotect;
		break;
	case 5 ... 6: {
		const struct vms_vma *vma = vms_tree_find_from(&space.tree, addr);

		nr = SYS_mremap;
		if (vma) {
			args[0] = vma->range.start;
			args[1] = chance(8) ? vms_range_size(&vma->range) : 0;
		}
		args[2] = some_length();
		args[3] = MREMAP_MAYMOVE | (chance(2) ? MREMAP_FIXED : 0) | (chance(6) ? 0 : 4);
		args[4] = some_addr();
		break;
	}
	default:
		nr = SYS_brk;
		args[0] = LO + PAGES(1) + chance(PAGES(HEAP_PAGES - 2));
		break;
	}
	must(vms_req_decode(VMS_ARCH_X86_64, nr, args, req));
}

/* The kernel refuses NOREPLACE over something, and a break beside something; the plan must not count on either. */
static bool must_refuse(const struct vms_req *req, const struct vms_plan *plan)
{
	if (req->call == VMS_CALL_MMAP && (req->mmap.flags & MAP_FIXED_NOREPLACE))
		return !vms_tree_is_free(&kernel, &plan->range);
	return plan->effect == VMS_EFFECT_MOVE && (req->mremap.flags & MREMAP_FIXED) &&
	       !(req->mremap.flags & MREMAP_MAYMOVE);
}

static void reread(void)
{
	const struct vms_range all = { LO, HI };
	size_t n = look(&all, seen_all);

	must(vms_space_adopt(&space, &all, seen_all, n, false));
}

static void check(const char *what)
{
	const struct vms_range all = { LO, HI };
	size_t n = look(&all, seen_all);

	if (!vms_tree_is_sound(&space.tree))
		fail("%s: the tree is not sound", what);
	if (!vms_space_agrees(&space, &all, seen_all, n))
		fail("%s: tree and kernel differ", what);
}

static void one_call(void)
{
	const struct vms_facts facts = { .file = { .known = false } };
	struct vms_seen seen = { .range = seen_range, .from = seen_from };
	struct vms_plan plan;
	struct vms_req req;
	enum vms_settled got;
	unsigned int how = (unsigned int)chance(10);
	vms_addr_t old_brk = space.brk.current;

	some_call(&req);
	must(vms_decide(&space, &req, &facts, NULL, 0, 0, &plan));
	if (plan.verdict != VMS_CONTINUE || plan.effect == VMS_EFFECT_NONE)
		return;
	if (plan.effect == VMS_EFFECT_UNKNOWN) {
		reread();
		return;
	}
	if (must_refuse(&req, &plan))
		how = 9;
	/* mprotect ends at the first hole. */
	if (plan.effect == VMS_EFFECT_PROTECT && how < 7 && !vms_tree_is_full(&kernel, &plan.range))
		how = 8;
	if (how < 7)
		act(&plan, plan.range.start);
	else if (how == 7 && plan.chosen)
		act_elsewhere(&plan);
	else if (how == 8)
		act_in_part(&plan);
	seen.nr_range = look(&plan.range, seen_range);
	seen.nr_from = look(&plan.from, seen_from);
	strict = how < 7;
	got = vms_settle(&space, &plan, &seen);
	strict = false;
	counts[got]++;
	/* A replacement that looks like what it replaces may have been refused: only smaps tells. */
	if (how < 7 && got != VMS_SETTLED_DONE &&
	    !(got == VMS_SETTLED_REREAD && !plan.chosen &&
	      (plan.effect == VMS_EFFECT_MAP || (plan.effect == VMS_EFFECT_MOVE && plan.keeps_source))))
		fail("%s was done and settled as %d", vms_call_get(req.call)->name, got);
	if (got == VMS_SETTLED_REREAD)
		reread();
	check(vms_call_get(req.call)->name);
	if (req.call == VMS_CALL_BRK && how < 7 && space.brk.current != req.brk.addr)
		fail("the break was moved and stays");
	/* A heap that the kernel has not changed, by as much as a page, is a break that was refused. */
	if (req.call == VMS_CALL_BRK && how >= 7 && !is_empty(&plan.range) && space.brk.current != old_brk)
		fail("the break was refused and moves");
}

int main(int argc, char **argv)
{
	const char *text = argc > 1 ? argv[1] : getenv("VMS_SEED");
	const char *count = getenv("VMS_ITERATIONS");
	uint64_t iterations = count ? strtoull(count, NULL, 0) : 40000;
	const struct vms_range range = { LO, HI }, user = { 0, 0x7ffffffff000 };
	const struct vms_place_rules rules = { .mmap_min_addr = 0x10000, .hint_min = 0x10000, .guard = PAGES(4), .seals = true };

	seed = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL) * 1000003u;
	rng = seed;
	printf("prop_settle: seed %" PRIu64 ", %" PRIu64 " iterations\n", seed, iterations);
	fflush(stdout);
	vms_space_init(&space, &range, &user, &rules);
	space.confined = true;
	space.ceiling = HI;
	space.tree.alloc = strict_alloc;
	vms_tree_init(&kernel, PAGES(4));
	vms_brk_init(&space.brk, LO + PAGES(1));
	for (; iteration < iterations; iteration++)
		one_call();
	printf("prop_settle: %u done, %u undone, %u other, %u reread\n", counts[VMS_SETTLED_DONE],
	       counts[VMS_SETTLED_UNDONE], counts[VMS_SETTLED_OTHER], counts[VMS_SETTLED_REREAD]);
	for (int i = 0; i < 4; i++) {
		if (iterations >= 10000 && !counts[i])
			fail("never settled as %d: the test does not test", i);
	}
	vms_space_done(&space);
	vms_tree_done(&kernel);
	return 0;
}
