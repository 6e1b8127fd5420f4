/*
 * Fuzz: any registers are decoded and decided on a prepared space, and then settled with any picture of the kernel.
 *
 * Input: records of 64 bytes, one call each: what kind of space and facts (8 bytes), the call's index or number (8), six
 * registers (48).
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "fuzz.h"
#include "vmsup/core/decide.h"
#include "vmsup/core/settle.h"

#define LO ((vms_addr_t)0x10000)
#define HI ((vms_addr_t)0x7fff0000)
#define RECORD 64

static struct vms_space space;

static void add(vms_addr_t start, vms_addr_t end, uint8_t prot, uint32_t flags, uint64_t ino)
{
	struct vms_vma vma = { .range = { start, end }, .prot = prot, .may = VMS_PROT_ALL, .flags = flags, .ino = ino,
			       .dev = ino ? 1 : 0, .kind = ino ? VMS_KIND_FILE : VMS_KIND_ANON };

	EXPECT(vms_tree_insert(&space.tree, &vma) == 0);
}

static void prepare(void)
{
	const struct vms_range range = { LO, HI }, user = { 0, 0x7ffffffff000 };
	const struct vms_place_rules rules = { .mmap_min_addr = 0x10000, .guard = 0x100000, .thp_anon_multiple = true,
					     .seals = true };

	vms_space_init(&space, &range, &user, &rules);
	space.confined = true;
	space.ceiling = HI;
	vms_brk_init(&space.brk, 0x1000000);
	vms_brk_set(&space.brk, 0x1004000);
	add(LO, LO + 0x1000, 1, 0, 3);
	add(0x1000000, 0x1004000, 3, 0, 0);
	add(0x20000000, 0x20003000, 1, 0, 7);
	add(0x30000000, 0x30002000, 3, VMS_VMA_GROWSDOWN, 0);
	add(0x40000000, 0x40004000, 3, VMS_VMA_SHARED, 9);
	add(HI - 0x10000, HI, 5, VMS_VMA_SEALED, 0);
}

static void check_plan(const struct vms_req *req, const struct vms_plan *plan)
{
	EXPECT(plan->verdict <= VMS_REMOTE && plan->effect <= VMS_EFFECT_UNKNOWN);
	if (plan->verdict == VMS_REFUSE) {
		EXPECT(plan->error > 0 && plan->error < 4096 && plan->effect == VMS_EFFECT_NONE);
		return;
	}
	if (plan->verdict == VMS_REPLY) {
		EXPECT(plan->effect == VMS_EFFECT_NONE);
		return;
	}
	EXPECT(plan->range.start <= plan->range.end && plan->from.start <= plan->from.end);
	EXPECT(vms_page_aligned(plan->range.start) && vms_page_aligned(plan->range.end));
	/* Nothing that is let through or made may touch a page outside the range. */
	if (space.confined && plan->range.start < plan->range.end)
		EXPECT(vms_range_covers(&space.range, &plan->range));
	if (plan->effect == VMS_EFFECT_MAP || plan->effect == VMS_EFFECT_MOVE) {
		EXPECT(plan->vma.range.start == plan->range.start && plan->vma.range.end == plan->range.end);
		EXPECT(plan->range.start < plan->range.end);
		EXPECT((plan->vma.prot & ~VMS_PROT_ALL) == 0);
		if (plan->chosen)
			EXPECT(vms_tree_is_free(&space.tree, &plan->range));
	}
	if (plan->verdict == VMS_REMOTE && req->call == VMS_CALL_MMAP)
		EXPECT(plan->args[0] == plan->range.start && plan->args[1] == req->args[1]);
	if (plan->low2g && plan->effect == VMS_EFFECT_MAP)
		EXPECT(plan->range.end <= 0x80000000);
}

/* The kernel's picture: the tree's own, or nothing, or one mapping over all of it. */
static size_t picture(unsigned int which, const struct vms_range *range, struct vms_vma *out, const struct vms_plan *plan)
{
	const struct vms_vma *vma;
	size_t n = 0;

	if (range->start >= range->end || which == 0)
		return 0;
	if (which == 1) {
		out[0] = plan->vma;
		out[0].range = *range;
		out[0].kind = out[0].ino ? VMS_KIND_FILE : VMS_KIND_ANON;
		return 1;
	}
	for (vma = vms_tree_find_from(&space.tree, range->start); vma && vma->range.start < range->end && n < 64;
	     vma = vms_tree_next(vma))
		out[n++] = *vma;
	return n;
}

static void one_call(const uint8_t *record)
{
	struct vms_vma seen_range[64], seen_from[64];
	struct vms_seen seen = { .range = seen_range, .from = seen_from };
	struct vms_plan plan, other = { .effect = VMS_EFFECT_MAP, .range = { 0x50000000, 0x50010000 } };
	const struct vms_plan *const busy[] = { &other };
	struct vms_facts facts = { .file = { .known = false } };
	struct vms_req req;
	uint64_t words[8];
	vms_addr_t max_start;
	size_t count = space.tree.count;
	enum vms_arch arch;
	int nr, r;

	memcpy(words, record, sizeof(words));
	arch = words[0] >> 11 & 1 ? VMS_ARCH_I386 : VMS_ARCH_X86_64;
	space.arch = words[0] >> 12 & 1 ? VMS_ARCH_I386 : VMS_ARCH_X86_64;
	nr = words[1] < VMS_NR_CALLS ? vms_call_nr(arch, (enum vms_call)words[1]) : (int)words[1];
	r = vms_req_decode(arch, nr, &words[2], &req);
	EXPECT(r == 0 || r == -ENOSYS);
	EXPECT((r == 0) == (vms_call_by_nr(arch, nr) < VMS_NR_CALLS));
	if (r == 0 && req.form == VMS_FORM_BLOCK)
		r = vms_req_decode_block(&req, (const uint32_t *)(const void *)&words[2]);
	if (r < 0)
		return;
	space.remote_only = words[0] & 1;
	facts.file.known = words[0] & 2;
	facts.file.may = (uint8_t)(words[0] >> 8) & VMS_PROT_ALL;
	facts.file.thp = words[0] & 4;
	facts.shm.known = words[0] & 8;
	facts.shm.size = words[0] >> 16;
	max_start = words[0] & 16 ? words[2] : 0;
	EXPECT((vms_decide_needs(&space, &req) & ~(VMS_NEED_FILE | VMS_NEED_SHM)) == 0);
	r = vms_decide(&space, &req, &facts, busy, words[0] >> 5 & 1, max_start, &plan);
	EXPECT(r == 0 || r == -ENOMEM);
	EXPECT(space.tree.count == count);
	if (r < 0)
		return;
	check_plan(&req, &plan);
	if (plan.verdict != VMS_CONTINUE && plan.verdict != VMS_REMOTE)
		return;
	seen.nr_range = picture(words[0] >> 6 & 3, &plan.range, seen_range, &plan);
	seen.nr_from = picture(words[0] >> 8 & 3, &plan.from, seen_from, &plan);
	(void)vms_settle_shows(&space, &plan, &seen);
	(void)vms_settle(&space, &plan, &seen);
	EXPECT(vms_tree_is_sound(&space.tree));
	EXPECT(space.brk.current >= space.brk.base && space.brk.frontier == vms_page_up(space.brk.current));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	prepare();
	for (; size >= RECORD; data += RECORD, size -= RECORD)
		one_call(data);
	vms_space_done(&space);
	return 0;
}
