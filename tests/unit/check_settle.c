/*
 * Settling: a plan, what the kernel shows afterwards, and what the tree then holds. The kernel's side is played here by a
 * second tree, so that "what it shows" is always a whole and honest picture.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "vmsup/core/decide.h"
#include "vmsup/core/settle.h"

#define PAGES(n) ((vms_addr_t)(n) << VMS_PAGE_SHIFT)
#define LO ((vms_addr_t)0x10000)
#define HI ((vms_addr_t)0x7fff0000)
#define HEAP ((vms_addr_t)0x1000000)
#define A ((vms_addr_t)0x20000000)
#define FREE ((vms_addr_t)0x40000000)
#define RW (VMS_PROT_READ | VMS_PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define MAX_SEEN 32
#ifndef SYS_mseal
#define SYS_mseal 462
#endif

static struct vms_space space;
static struct vms_tree kernel;
static struct vms_plan plan;
static struct vms_vma seen_range[MAX_SEEN], seen_from[MAX_SEEN];

static struct vms_vma anon(vms_addr_t start, vms_addr_t end, uint8_t prot)
{
	return (struct vms_vma){ .range = { start, end }, .prot = prot, .may = VMS_PROT_ALL };
}

static struct vms_vma file(vms_addr_t start, vms_addr_t end, uint64_t ino, uint64_t offset)
{
	return (struct vms_vma){ .range = { start, end }, .prot = VMS_PROT_READ, .may = VMS_PROT_ALL, .ino = ino, .dev = 5,
				 .offset = offset, .kind = VMS_KIND_FILE };
}

static void kernel_has(struct vms_vma vma)
{
	ck_assert_int_eq(vms_tree_replace(&kernel, &vma), 0);
}

static void kernel_lacks(vms_addr_t start, vms_addr_t end)
{
	ck_assert_int_eq(vms_tree_remove(&kernel, &(struct vms_range){ start, end }), 0);
}

static void both_have(struct vms_vma vma)
{
	ck_assert_int_eq(vms_tree_insert(&space.tree, &vma), 0);
	ck_assert_int_eq(vms_tree_insert(&kernel, &vma), 0);
}

static void setup(void)
{
	const struct vms_range range = { LO, HI }, user = { 0, 0x7ffffffff000 };
	const struct vms_place_rules rules = { .mmap_min_addr = 0x10000, .hint_min = 0x10000, .guard = PAGES(256), .seals = true };

	vms_space_init(&space, &range, &user, &rules);
	vms_tree_init(&kernel, PAGES(256));
	space.confined = true;
	space.ceiling = HI;
	vms_brk_init(&space.brk, HEAP);
	vms_brk_set(&space.brk, HEAP + PAGES(4));
	both_have(anon(HEAP, HEAP + PAGES(4), RW));
	both_have(anon(A, A + PAGES(4), RW));
	both_have(file(A + PAGES(4), A + PAGES(8), 9, PAGES(2)));
}

static void teardown(void)
{
	vms_space_done(&space);
	vms_tree_done(&kernel);
}

static void decide_any(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	const uint64_t args[6] = { a, b, c, d, e, f };
	struct vms_facts facts = { .file = { .known = false } };
	struct vms_req req;

	ck_assert_int_eq(vms_req_decode(VMS_ARCH_X86_64, (int)nr, args, &req), 0);
	ck_assert_int_eq(vms_decide(&space, &req, &facts, NULL, 0, 0, &plan), 0);
}

static void decide(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	decide_any(nr, a, b, c, d, e, f);
	ck_assert_int_eq(plan.verdict, VMS_CONTINUE);
}

/* As the kernel tells it: no attribute that maps does not show. */
static size_t look(const struct vms_range *range, struct vms_vma *out)
{
	const struct vms_vma *vma;
	size_t n = 0;

	if (range->start >= range->end)
		return 0;
	for (vma = vms_tree_find_from(&kernel, range->start); vma && vma->range.start < range->end;
	     vma = vms_tree_next(vma)) {
		ck_assert_uint_lt(n, MAX_SEEN);
		out[n] = (struct vms_vma){ .range = vma->range, .prot = vma->prot, .may = VMS_PROT_ALL, .ino = vma->ino,
					   .dev = vma->dev, .offset = vma->offset, .flags = vma->flags & VMS_VMA_SHARED,
					   .kind = vma->ino ? VMS_KIND_FILE : VMS_KIND_ANON };
		n++;
	}
	return n;
}

static struct vms_seen see(void)
{
	struct vms_seen seen = { .range = seen_range, .from = seen_from };

	seen.nr_range = look(&plan.range, seen_range);
	seen.nr_from = look(&plan.from, seen_from);
	return seen;
}

static void expect_agreement(void)
{
	const struct vms_range all = { LO, HI };
	struct vms_vma out[MAX_SEEN];
	size_t n = look(&all, out);

	ck_assert(vms_tree_is_sound(&space.tree));
	ck_assert_msg(vms_space_agrees(&space, &all, out, n), "tree and kernel differ");
}

static void settle(enum vms_settled want)
{
	struct vms_seen seen = see();
	enum vms_settled got = vms_settle(&space, &plan, &seen);

	ck_assert_msg(got == want, "settled as %d, not %d", got, want);
	if (want != VMS_SETTLED_REREAD)
		expect_agreement();
}

/* ---- it happened ---- */

START_TEST(a_mapping_that_appeared_is_in_the_tree)
{
	decide(SYS_mmap, FREE, PAGES(2), RW, ANON | MAP_NORESERVE, -1u, 0);
	kernel_has(anon(FREE, FREE + PAGES(2), RW));
	settle(VMS_SETTLED_DONE);
	ck_assert_uint_eq(vms_tree_find(&space.tree, FREE)->flags, VMS_VMA_NORESERVE);
}
END_TEST

START_TEST(a_mapping_that_the_kernel_joined_with_its_neighbour_is_found)
{
	decide(SYS_mmap, A - PAGES(1), PAGES(1), RW, ANON | MAP_FIXED, -1u, 0);
	kernel_has(anon(A - PAGES(1), A, RW));
	ck_assert_uint_eq(vms_tree_find(&kernel, A)->range.start, A - PAGES(1));
	settle(VMS_SETTLED_DONE);
}
END_TEST

START_TEST(a_file_is_the_one_that_the_kernel_shows)
{
	decide(SYS_mmap, FREE, PAGES(2), PROT_READ, MAP_PRIVATE, 3, PAGES(6));
	kernel_has(file(FREE, FREE + PAGES(2), 77, PAGES(6)));
	settle(VMS_SETTLED_DONE);
	ck_assert_uint_eq(vms_tree_find(&space.tree, FREE)->ino, 77);
	ck_assert_uint_eq(vms_tree_find(&space.tree, FREE)->offset, PAGES(6));
}
END_TEST

START_TEST(shared_anonymous_memory_learns_its_inode)
{
	struct vms_vma vma = anon(FREE, FREE + PAGES(2), RW);

	vma.flags = VMS_VMA_SHARED;
	vma.ino = 1234;
	vma.dev = 1;
	decide(SYS_mmap, FREE, PAGES(2), RW, MAP_SHARED | MAP_ANONYMOUS, -1u, 0);
	kernel_has(vma);
	settle(VMS_SETTLED_DONE);
	ck_assert_uint_eq(vms_tree_find(&space.tree, FREE)->ino, 1234);
	ck_assert_uint_eq(vms_tree_find(&space.tree, FREE)->kind, VMS_KIND_ANON);
}
END_TEST

START_TEST(a_fixed_mapping_replaces_what_was_there)
{
	decide(SYS_mmap, A + PAGES(2), PAGES(4), PROT_READ, ANON | MAP_FIXED, -1u, 0);
	kernel_has(anon(A + PAGES(2), A + PAGES(6), VMS_PROT_READ));
	settle(VMS_SETTLED_DONE);
	ck_assert_uint_eq(vms_tree_find(&space.tree, A + PAGES(6))->offset, PAGES(4));
}
END_TEST

START_TEST(an_unmapped_range_is_gone)
{
	decide(SYS_munmap, A + PAGES(1), PAGES(5), 0, 0, 0, 0);
	kernel_lacks(A + PAGES(1), A + PAGES(6));
	settle(VMS_SETTLED_DONE);
}
END_TEST

START_TEST(a_changed_protection_is_recorded)
{
	struct vms_vma f = file(A + PAGES(4), A + PAGES(6), 9, PAGES(2));

	decide(SYS_mprotect, A + PAGES(1), PAGES(5), PROT_NONE, 0, 0, 0);
	kernel_has(anon(A + PAGES(1), A + PAGES(4), 0));
	f.prot = 0;
	kernel_has(f);
	settle(VMS_SETTLED_DONE);
}
END_TEST

START_TEST(mprotect_keeps_the_protection_key)
{
	const struct vms_vma *vma;

	decide(SYS_pkey_mprotect, A, PAGES(1), PROT_READ, 5, 0, 0);
	kernel_has(anon(A, A + PAGES(1), VMS_PROT_READ));
	settle(VMS_SETTLED_DONE);
	ck_assert_uint_eq(vms_tree_find(&space.tree, A)->pkey, 5);
	decide(SYS_mprotect, A, PAGES(1), RW, 0, 0, 0);
	kernel_has(anon(A, A + PAGES(1), RW));
	settle(VMS_SETTLED_DONE);
	vma = vms_tree_find(&space.tree, A);
	ck_assert_uint_eq(vma->prot, RW);
	ck_assert_uint_eq(vma->pkey, 5);
}
END_TEST

START_TEST(a_move_takes_the_mapping_along)
{
	decide(SYS_mremap, A + PAGES(5), PAGES(2), PAGES(2), MREMAP_MAYMOVE | MREMAP_FIXED, FREE, 0);
	kernel_lacks(A + PAGES(5), A + PAGES(7));
	kernel_has(file(FREE, FREE + PAGES(2), 9, PAGES(3)));
	settle(VMS_SETTLED_DONE);
}
END_TEST

START_TEST(a_move_that_grows_is_longer_at_its_new_place)
{
	both_have(anon(A + PAGES(8), A + PAGES(9), VMS_PROT_READ));
	decide(SYS_mremap, A + PAGES(4), PAGES(4), PAGES(6), MREMAP_MAYMOVE, 0, 0);
	ck_assert_int_eq(plan.effect, VMS_EFFECT_MOVE);
	kernel_lacks(A + PAGES(4), A + PAGES(8));
	kernel_has(file(plan.range.start, plan.range.end, 9, PAGES(2)));
	settle(VMS_SETTLED_DONE);
}
END_TEST

START_TEST(dontunmap_leaves_the_source_mapped)
{
	decide(SYS_mremap, A, PAGES(4), PAGES(4), MREMAP_MAYMOVE | MREMAP_FIXED | 4, FREE, 0);
	kernel_has(anon(FREE, FREE + PAGES(4), RW));
	settle(VMS_SETTLED_DONE);
}
END_TEST

START_TEST(growth_in_place_is_part_of_its_mapping)
{
	decide(SYS_mremap, A + PAGES(4), PAGES(4), PAGES(6), 0, 0, 0);
	kernel_has(file(A + PAGES(8), A + PAGES(10), 9, PAGES(6)));
	settle(VMS_SETTLED_DONE);
	ck_assert_uint_eq(vms_tree_find(&space.tree, A + PAGES(4))->range.end, A + PAGES(10));
}
END_TEST

START_TEST(a_seal_is_kept_in_the_tree)
{
	decide(462, A, PAGES(2), 0, 0, 0, 0);
	settle(VMS_SETTLED_DONE);
	ck_assert(vms_tree_find(&space.tree, A)->flags & VMS_VMA_SEALED);
	ck_assert(!(vms_tree_find(&space.tree, A + PAGES(2))->flags & VMS_VMA_SEALED));
}
END_TEST

/* ---- it did not happen ---- */

START_TEST(a_refused_fixed_mapping_changes_nothing)
{
	decide(SYS_mmap, A, PAGES(2), PROT_READ, ANON | MAP_FIXED, -1u, 0);
	settle(VMS_SETTLED_UNDONE);
}
END_TEST

START_TEST(noreplace_over_a_mapping_like_the_new_one_leaves_its_attributes)
{
	struct vms_vma vma = anon(FREE, FREE + PAGES(2), RW);

	vma.flags = VMS_VMA_GROWSDOWN | VMS_VMA_NORESERVE;
	both_have(vma);
	/* EEXIST; and what is there looks as the new one would. */
	decide(SYS_mmap, FREE, PAGES(2), RW, ANON | MAP_FIXED_NOREPLACE, -1u, 0);
	struct vms_seen seen = see();
	vms_settle(&space, &plan, &seen);
	expect_agreement();
	ck_assert_uint_eq(vms_tree_find(&space.tree, FREE)->flags, VMS_VMA_GROWSDOWN | VMS_VMA_NORESERVE);
}
END_TEST

START_TEST(a_refused_munmap_changes_nothing)
{
	decide(SYS_munmap, A, PAGES(8), 0, 0, 0, 0);
	settle(VMS_SETTLED_UNDONE);
	ck_assert_uint_eq(vms_tree_find(&space.tree, A + PAGES(4))->ino, 9);
}
END_TEST

START_TEST(a_refused_mprotect_changes_nothing)
{
	decide(SYS_mprotect, A, PAGES(8), PROT_EXEC, 0, 0, 0);
	settle(VMS_SETTLED_UNDONE);
}
END_TEST

START_TEST(a_refused_move_changes_nothing)
{
	decide(SYS_mremap, A, PAGES(4), PAGES(4), MREMAP_MAYMOVE | MREMAP_FIXED, FREE, 0);
	settle(VMS_SETTLED_UNDONE);
}
END_TEST

START_TEST(a_refused_move_onto_a_mapping_like_itself_is_not_taken_for_done)
{
	both_have(anon(FREE, FREE + PAGES(4), RW));
	decide(SYS_mremap, A, PAGES(4), PAGES(4), MREMAP_MAYMOVE | MREMAP_FIXED, FREE, 0);
	settle(VMS_SETTLED_UNDONE);
	ck_assert_ptr_nonnull(vms_tree_find(&space.tree, A));
}
END_TEST

START_TEST(a_chosen_place_that_stays_empty_asks_for_the_whole_space)
{
	decide(SYS_mmap, 0, PAGES(2), RW, ANON, -1u, 0);
	ck_assert(plan.chosen);
	settle(VMS_SETTLED_REREAD);
	ck_assert_ptr_null(vms_tree_find(&space.tree, plan.range.start));
}
END_TEST

/* ---- a part of it happened, or something else ---- */

START_TEST(an_mprotect_that_ended_at_a_hole_is_recorded_as_far_as_it_came)
{
	both_have(anon(A + PAGES(9), A + PAGES(10), RW));
	decide(SYS_mprotect, A + PAGES(2), PAGES(8), PROT_NONE, 0, 0, 0);
	kernel_has(anon(A + PAGES(2), A + PAGES(4), 0));
	struct vms_vma f = file(A + PAGES(4), A + PAGES(8), 9, PAGES(2));
	f.prot = 0;
	kernel_has(f);
	settle(VMS_SETTLED_OTHER);
	ck_assert_uint_eq(vms_tree_find(&space.tree, A + PAGES(9))->prot, RW);
}
END_TEST

START_TEST(a_munmap_of_a_part_is_recorded_as_far_as_it_came)
{
	decide(SYS_munmap, A, PAGES(8), 0, 0, 0, 0);
	kernel_lacks(A, A + PAGES(4));
	settle(VMS_SETTLED_OTHER);
}
END_TEST

START_TEST(a_fixed_mapping_that_failed_after_unmapping_leaves_a_hole)
{
	decide(SYS_mmap, A, PAGES(2), PROT_READ, MAP_PRIVATE | MAP_FIXED, 3, 0);
	kernel_lacks(A, A + PAGES(2));
	settle(VMS_SETTLED_OTHER);
	ck_assert_ptr_null(vms_tree_find(&space.tree, A));
}
END_TEST

START_TEST(a_move_that_unmapped_its_target_and_failed_is_repaired_on_both_sides)
{
	both_have(file(FREE, FREE + PAGES(4), 44, 0));
	decide(SYS_mremap, A, PAGES(4), PAGES(4), MREMAP_MAYMOVE | MREMAP_FIXED, FREE, 0);
	kernel_lacks(FREE, FREE + PAGES(4));
	settle(VMS_SETTLED_OTHER);
	ck_assert_ptr_nonnull(vms_tree_find(&space.tree, A));
}
END_TEST

START_TEST(what_is_mapped_below_something_that_may_have_grown_asks_for_the_whole_space)
{
	struct vms_vma stack = anon(FREE + PAGES(100), FREE + PAGES(101), RW);

	stack.flags |= VMS_VMA_GROWSDOWN;
	both_have(stack);
	stack.range.start = FREE + PAGES(20);
	kernel_has(stack);
	decide(SYS_mmap, FREE + PAGES(40), PAGES(1), PROT_READ, ANON | MAP_FIXED, -1u, 0);
	kernel_has(anon(FREE + PAGES(40), FREE + PAGES(41), PROT_READ));
	settle(VMS_SETTLED_REREAD);
	decide(SYS_munmap, FREE + PAGES(60), PAGES(41), 0, 0, 0, 0);
	kernel_lacks(FREE + PAGES(60), FREE + PAGES(101));
	settle(VMS_SETTLED_REREAD);
}
END_TEST

START_TEST(a_protection_that_READ_IMPLIES_EXEC_added_to_is_recorded)
{
	decide(SYS_mmap, FREE, PAGES(1), RW, ANON | MAP_FIXED, -1u, 0);
	kernel_has(anon(FREE, FREE + PAGES(1), RW | VMS_PROT_EXEC));
	settle(VMS_SETTLED_DONE);
	ck_assert_uint_eq(vms_tree_find(&space.tree, FREE)->prot, RW | VMS_PROT_EXEC);
}
END_TEST

START_TEST(a_place_that_somebody_else_has_taken_asks_for_the_whole_space)
{
	decide(SYS_mmap, 0, PAGES(1), RW, ANON, -1u, 0);
	both_have(anon(plan.range.start, plan.range.end, RW));
	settle(VMS_SETTLED_REREAD);
}
END_TEST

START_TEST(two_objects_are_not_one_mapping)
{
	struct vms_vma one = anon(FREE, FREE + PAGES(2), RW), two = anon(FREE + PAGES(2), FREE + PAGES(4), RW);

	one.flags = two.flags = VMS_VMA_SHARED;
	one.dev = two.dev = 1;
	one.ino = 70;
	two.ino = 71;
	both_have(one);
	both_have(two);
	decide(SYS_mmap, FREE + PAGES(1), PAGES(2), RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1u, 0);
	settle(VMS_SETTLED_UNDONE);
}
END_TEST

START_TEST(what_READ_IMPLIES_EXEC_may_have_made_or_was_there_before_is_not_taken_for_done)
{
	both_have(anon(FREE, FREE + PAGES(2), RW | VMS_PROT_EXEC));
	decide(SYS_mmap, FREE, PAGES(2), RW, ANON | MAP_FIXED, -1u, 0);
	settle(VMS_SETTLED_REREAD);
}
END_TEST

START_TEST(an_unknown_effect_asks_for_the_whole_space)
{
	decide(SYS_shmdt, A, 0, 0, 0, 0, 0);
	settle(VMS_SETTLED_REREAD);
}
END_TEST

/* ---- brk ---- */

START_TEST(a_grown_heap_moves_the_break)
{
	decide(SYS_brk, HEAP + PAGES(6) + 10, 0, 0, 0, 0, 0);
	kernel_has(anon(HEAP + PAGES(4), HEAP + PAGES(7), RW));
	settle(VMS_SETTLED_DONE);
	ck_assert_uint_eq(space.brk.current, HEAP + PAGES(6) + 10);
	ck_assert_uint_eq(space.brk.frontier, HEAP + PAGES(7));
	ck_assert_uint_eq(vms_tree_find(&space.tree, HEAP + PAGES(6))->kind, VMS_KIND_HEAP);
}
END_TEST

START_TEST(a_shrunk_heap_moves_the_break_back)
{
	decide(SYS_brk, HEAP + 1, 0, 0, 0, 0, 0);
	kernel_lacks(HEAP + PAGES(1), HEAP + PAGES(4));
	settle(VMS_SETTLED_DONE);
	ck_assert_uint_eq(space.brk.current, HEAP + 1);
	ck_assert_uint_eq(space.brk.frontier, HEAP + PAGES(1));
}
END_TEST

START_TEST(a_break_that_was_refused_stays)
{
	decide(SYS_brk, HEAP + PAGES(9), 0, 0, 0, 0, 0);
	settle(VMS_SETTLED_UNDONE);
	ck_assert_uint_eq(space.brk.current, HEAP + PAGES(4));
}
END_TEST

/* The kernel grows no heap into a mapping; that this one looks like a grown heap proves nothing. */
START_TEST(a_break_refused_for_a_mapping_in_its_way_stays)
{
	both_have(anon(HEAP + PAGES(4), HEAP + PAGES(20), RW));
	decide_any(SYS_brk, HEAP + PAGES(9), 0, 0, 0, 0, 0);
	if (plan.verdict == VMS_REPLY) {
		ck_assert_uint_eq(plan.value, HEAP + PAGES(4));
	} else {
		struct vms_seen seen = see();

		vms_settle(&space, &plan, &seen);
		expect_agreement();
	}
	ck_assert_uint_eq(space.brk.current, HEAP + PAGES(4));
	ck_assert_uint_eq(space.brk.frontier, HEAP + PAGES(4));
}
END_TEST

START_TEST(a_hole_in_the_heap_stays_a_hole_when_it_shrinks_and_grows)
{
	kernel_lacks(HEAP + PAGES(1), HEAP + PAGES(2));
	ck_assert_int_eq(vms_tree_remove(&space.tree, &(struct vms_range){ HEAP + PAGES(1), HEAP + PAGES(2) }), 0);
	decide(SYS_brk, HEAP + PAGES(3), 0, 0, 0, 0, 0);
	kernel_lacks(HEAP + PAGES(3), HEAP + PAGES(4));
	settle(VMS_SETTLED_DONE);
	decide(SYS_brk, HEAP + PAGES(5), 0, 0, 0, 0, 0);
	kernel_has(anon(HEAP + PAGES(3), HEAP + PAGES(5), RW));
	settle(VMS_SETTLED_DONE);
	ck_assert_ptr_null(vms_tree_find(&space.tree, HEAP + PAGES(1)));
}
END_TEST

START_TEST(a_break_within_its_page_needs_nothing_from_the_kernel)
{
	decide(SYS_brk, HEAP + PAGES(3) + 77, 0, 0, 0, 0, 0);
	settle(VMS_SETTLED_DONE);
	ck_assert_uint_eq(space.brk.current, HEAP + PAGES(3) + 77);
	ck_assert_uint_eq(space.brk.frontier, HEAP + PAGES(4));
}
END_TEST

/* ---- whether a call in flight has happened ---- */

START_TEST(a_call_in_flight_shows_only_when_all_of_it_is_there)
{
	struct vms_seen seen;

	decide(SYS_mmap, FREE, PAGES(4), RW, ANON, -1u, 0);
	seen = see();
	ck_assert(!vms_settle_shows(&space, &plan, &seen));
	kernel_has(anon(FREE, FREE + PAGES(2), RW));
	seen = see();
	ck_assert(!vms_settle_shows(&space, &plan, &seen));
	kernel_has(anon(FREE + PAGES(2), FREE + PAGES(4), VMS_PROT_READ));
	seen = see();
	ck_assert(!vms_settle_shows(&space, &plan, &seen));
	kernel_has(anon(FREE, FREE + PAGES(4), RW));
	seen = see();
	ck_assert(vms_settle_shows(&space, &plan, &seen));
}
END_TEST

START_TEST(another_file_or_another_offset_is_not_what_was_planned)
{
	struct vms_seen seen;

	decide(SYS_mmap, FREE, PAGES(2), PROT_READ, MAP_PRIVATE, 3, PAGES(1));
	kernel_has(file(FREE, FREE + PAGES(2), 8, PAGES(2)));
	seen = see();
	ck_assert(!vms_settle_shows(&space, &plan, &seen));
	kernel_has(file(FREE, FREE + PAGES(2), 8, PAGES(1)));
	seen = see();
	ck_assert(vms_settle_shows(&space, &plan, &seen));
	decide(SYS_mmap, FREE, PAGES(2), PROT_READ, ANON | MAP_FIXED, -1u, 0);
	seen = see();
	ck_assert(!vms_settle_shows(&space, &plan, &seen));
}
END_TEST

START_TEST(a_move_shows_only_when_its_source_is_gone)
{
	struct vms_seen seen;

	decide(SYS_mremap, A, PAGES(4), PAGES(4), MREMAP_MAYMOVE | MREMAP_FIXED, FREE, 0);
	kernel_has(anon(FREE, FREE + PAGES(4), RW));
	seen = see();
	ck_assert(!vms_settle_shows(&space, &plan, &seen));
	kernel_lacks(A, A + PAGES(4));
	seen = see();
	ck_assert(vms_settle_shows(&space, &plan, &seen));
}
END_TEST

START_TEST(a_seal_in_flight_never_shows)
{
	const struct vms_seen seen = { 0 };

	decide(SYS_mseal, A, PAGES(4), 0, 0, 0, 0);
	ck_assert_int_eq(plan.effect, VMS_EFFECT_SEAL);
	ck_assert(!vms_settle_shows(&space, &plan, &seen));
}
END_TEST

START_TEST(an_unknown_effect_never_shows)
{
	struct vms_seen seen = { .nr_range = 0 };

	plan = (struct vms_plan){ .effect = VMS_EFFECT_UNKNOWN };
	ck_assert(!vms_settle_shows(&space, &plan, &seen));
}
END_TEST

static unsigned int nr_refused;

static void *no_memory(size_t size)
{
	(void)size;
	nr_refused++;
	return NULL;
}

START_TEST(what_decide_reserved_is_enough_for_the_planned_case)
{
	decide(SYS_mmap, A + PAGES(1), PAGES(1), PROT_EXEC, ANON | MAP_FIXED, -1u, 0);
	kernel_has(anon(A + PAGES(1), A + PAGES(2), VMS_PROT_EXEC));
	space.tree.alloc = no_memory;
	settle(VMS_SETTLED_DONE);
	ck_assert_uint_eq(nr_refused, 0);
}
END_TEST

START_TEST(the_most_mappings_ever_are_counted)
{
	size_t before = space.tree.count;

	decide(SYS_mmap, FREE, PAGES(1), RW, ANON | MAP_FIXED, -1u, 0);
	kernel_has(anon(FREE, FREE + PAGES(1), RW));
	settle(VMS_SETTLED_DONE);
	ck_assert_uint_eq(space.max_vmas, before + 1);
	decide(SYS_munmap, FREE, PAGES(1), 0, 0, 0, 0);
	kernel_lacks(FREE, FREE + PAGES(1));
	settle(VMS_SETTLED_DONE);
	ck_assert_uint_eq(space.max_vmas, before + 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("settle");
	TCase *tc = tcase_create("settle");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_mapping_that_appeared_is_in_the_tree);
	tcase_add_test(tc, a_mapping_that_the_kernel_joined_with_its_neighbour_is_found);
	tcase_add_test(tc, a_file_is_the_one_that_the_kernel_shows);
	tcase_add_test(tc, shared_anonymous_memory_learns_its_inode);
	tcase_add_test(tc, a_fixed_mapping_replaces_what_was_there);
	tcase_add_test(tc, an_unmapped_range_is_gone);
	tcase_add_test(tc, a_changed_protection_is_recorded);
	tcase_add_test(tc, mprotect_keeps_the_protection_key);
	tcase_add_test(tc, a_move_takes_the_mapping_along);
	tcase_add_test(tc, a_move_that_grows_is_longer_at_its_new_place);
	tcase_add_test(tc, dontunmap_leaves_the_source_mapped);
	tcase_add_test(tc, growth_in_place_is_part_of_its_mapping);
	tcase_add_test(tc, a_seal_is_kept_in_the_tree);
	tcase_add_test(tc, a_refused_fixed_mapping_changes_nothing);
	tcase_add_test(tc, noreplace_over_a_mapping_like_the_new_one_leaves_its_attributes);
	tcase_add_test(tc, a_refused_munmap_changes_nothing);
	tcase_add_test(tc, a_refused_mprotect_changes_nothing);
	tcase_add_test(tc, a_refused_move_changes_nothing);
	tcase_add_test(tc, a_refused_move_onto_a_mapping_like_itself_is_not_taken_for_done);
	tcase_add_test(tc, a_chosen_place_that_stays_empty_asks_for_the_whole_space);
	tcase_add_test(tc, an_mprotect_that_ended_at_a_hole_is_recorded_as_far_as_it_came);
	tcase_add_test(tc, a_munmap_of_a_part_is_recorded_as_far_as_it_came);
	tcase_add_test(tc, a_fixed_mapping_that_failed_after_unmapping_leaves_a_hole);
	tcase_add_test(tc, a_move_that_unmapped_its_target_and_failed_is_repaired_on_both_sides);
	tcase_add_test(tc, what_is_mapped_below_something_that_may_have_grown_asks_for_the_whole_space);
	tcase_add_test(tc, a_protection_that_READ_IMPLIES_EXEC_added_to_is_recorded);
	tcase_add_test(tc, a_place_that_somebody_else_has_taken_asks_for_the_whole_space);
	tcase_add_test(tc, two_objects_are_not_one_mapping);
	tcase_add_test(tc, what_READ_IMPLIES_EXEC_may_have_made_or_was_there_before_is_not_taken_for_done);
	tcase_add_test(tc, an_unknown_effect_asks_for_the_whole_space);
	tcase_add_test(tc, a_grown_heap_moves_the_break);
	tcase_add_test(tc, a_shrunk_heap_moves_the_break_back);
	tcase_add_test(tc, a_break_that_was_refused_stays);
	tcase_add_test(tc, a_break_refused_for_a_mapping_in_its_way_stays);
	tcase_add_test(tc, a_hole_in_the_heap_stays_a_hole_when_it_shrinks_and_grows);
	tcase_add_test(tc, a_break_within_its_page_needs_nothing_from_the_kernel);
	tcase_add_test(tc, a_call_in_flight_shows_only_when_all_of_it_is_there);
	tcase_add_test(tc, another_file_or_another_offset_is_not_what_was_planned);
	tcase_add_test(tc, a_move_shows_only_when_its_source_is_gone);
	tcase_add_test(tc, a_seal_in_flight_never_shows);
	tcase_add_test(tc, an_unknown_effect_never_shows);
	tcase_add_test(tc, what_decide_reserved_is_enough_for_the_planned_case);
	tcase_add_test(tc, the_most_mappings_ever_are_counted);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
