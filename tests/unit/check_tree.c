/* The tree of VMAs, claim by claim. Random operations are in prop_tree.c. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmsup/core/tree.h"

#define GUARD 0x100000 /* 256 pages */
#define RW (VMS_PROT_READ | VMS_PROT_WRITE)

static struct vms_tree tree;

static void setup(void)
{
	vms_tree_init(&tree, GUARD);
}

static void teardown(void)
{
	ck_assert(vms_tree_is_sound(&tree));
	vms_tree_done(&tree);
}

static void *no_memory(size_t size)
{
	(void)size;
	return NULL;
}

static void *two_more(size_t size)
{
	static int left = 2;

	return left-- > 0 ? malloc(size) : NULL;
}

static struct vms_vma anon(vms_addr_t start, vms_addr_t end, unsigned int prot)
{
	return (struct vms_vma){
		.range = { start, end },
		.prot = (uint8_t)prot,
		.may = VMS_PROT_ALL,
		.kind = VMS_KIND_ANON,
	};
}

static int insert(vms_addr_t start, vms_addr_t end, unsigned int prot)
{
	struct vms_vma vma = anon(start, end, prot);

	return vms_tree_insert(&tree, &vma);
}

static int insert_stack(vms_addr_t start, vms_addr_t end)
{
	struct vms_vma vma = anon(start, end, RW);

	vma.flags = VMS_VMA_GROWSDOWN;
	return vms_tree_insert(&tree, &vma);
}

static int remove_range(vms_addr_t start, vms_addr_t end)
{
	return vms_tree_remove(&tree, &(struct vms_range){ start, end });
}

/* The tree holds exactly these: start, end, prot, ..., 0. */
static void holds(const vms_addr_t *want)
{
	const struct vms_vma *vma = vms_tree_first(&tree);
	size_t count = 0;

	ck_assert(vms_tree_is_sound(&tree));
	for (; want[1]; want += 3, vma = vms_tree_next(vma), count++) {
		ck_assert_ptr_nonnull(vma);
		ck_assert_uint_eq(vma->range.start, want[0]);
		ck_assert_uint_eq(vma->range.end, want[1]);
		ck_assert_uint_eq(vma->prot, want[2]);
	}
	ck_assert_ptr_null(vma);
	ck_assert_uint_eq(tree.count, count);
}

#define HOLDS(...) holds((const vms_addr_t[]){ __VA_ARGS__, 0, 0 })

static void set_prot(struct vms_vma *vma, void *arg)
{
	vma->prot = *(uint8_t *)arg;
}

static int protect(vms_addr_t start, vms_addr_t end, uint8_t prot)
{
	return vms_tree_change(&tree, &(struct vms_range){ start, end }, set_prot, &prot);
}

static vms_addr_t gap(vms_addr_t low, vms_addr_t high, vms_addr_t length, bool bottom_up)
{
	vms_addr_t addr = 1;
	int r = vms_tree_find_gap(&tree, low, high, length, bottom_up, &addr);

	if (r < 0) {
		ck_assert_int_eq(r, -ENOMEM);
		ck_assert_uint_eq(addr, 1);
	}
	return addr;
}

#define NO_GAP 1 /* not a page: what gap() has when there is none */

START_TEST(an_empty_tree_has_nothing_and_is_all_gap)
{
	ck_assert_ptr_null(vms_tree_first(&tree));
	ck_assert_ptr_null(vms_tree_last(&tree));
	ck_assert_ptr_null(vms_tree_find(&tree, 0));
	ck_assert_ptr_null(vms_tree_find_from(&tree, 0));
	ck_assert_ptr_null(vms_tree_find_below(&tree, UINT64_MAX));
	ck_assert(vms_tree_is_free(&tree, &(struct vms_range){ 0, 0x1000 }));
	ck_assert(!vms_tree_is_full(&tree, &(struct vms_range){ 0, 0x1000 }));
	ck_assert_int_eq(remove_range(0, 0x10000), 0);
	ck_assert_uint_eq(gap(0x10000, 0x20000, 0x1000, false), 0x1f000);
	ck_assert_uint_eq(gap(0x10000, 0x20000, 0x1000, true), 0x10000);
	ck_assert_uint_eq(gap(0x10000, 0x20000, 0x10000, false), 0x10000);
	ck_assert_uint_eq(gap(0x10000, 0x20000, 0x11000, false), NO_GAP);
	ck_assert_uint_eq(gap(0x20000, 0x10000, 0x1000, false), NO_GAP);
}
END_TEST

START_TEST(inserting_over_a_vma_is_refused)
{
	ck_assert_int_eq(insert(0x10000, 0x20000, RW), 0);
	ck_assert_int_eq(insert(0x1f000, 0x21000, RW), -EEXIST);
	ck_assert_int_eq(insert(0xf000, 0x11000, RW), -EEXIST);
	ck_assert_int_eq(insert(0x14000, 0x15000, RW), -EEXIST);
	ck_assert_int_eq(insert(0x1000, 0x30000, RW), -EEXIST);
	HOLDS(0x10000, 0x20000, RW);
}
END_TEST

START_TEST(inserting_joins_both_neighbours)
{
	ck_assert_int_eq(insert(0x10000, 0x11000, RW), 0);
	ck_assert_int_eq(insert(0x12000, 0x13000, RW), 0);
	HOLDS(0x10000, 0x11000, RW, 0x12000, 0x13000, RW);
	ck_assert_int_eq(insert(0x11000, 0x12000, RW), 0);
	HOLDS(0x10000, 0x13000, RW);
	ck_assert_int_eq(insert(0x13000, 0x14000, VMS_PROT_READ), 0);
	HOLDS(0x10000, 0x13000, RW, 0x13000, 0x14000, VMS_PROT_READ);
}
END_TEST

START_TEST(the_find_calls_agree_at_edges)
{
	const struct vms_vma *a, *b;

	ck_assert_int_eq(insert(0x10000, 0x12000, RW), 0);
	ck_assert_int_eq(insert(0x14000, 0x15000, RW), 0);
	a = vms_tree_first(&tree);
	b = vms_tree_last(&tree);
	ck_assert_ptr_eq(vms_tree_next(a), b);
	ck_assert_ptr_eq(vms_tree_prev(b), a);
	ck_assert_ptr_null(vms_tree_prev(a));
	ck_assert_ptr_null(vms_tree_next(b));
	ck_assert_ptr_null(vms_tree_find(&tree, 0xffff));
	ck_assert_ptr_eq(vms_tree_find(&tree, 0x10000), a);
	ck_assert_ptr_eq(vms_tree_find(&tree, 0x11fff), a);
	ck_assert_ptr_null(vms_tree_find(&tree, 0x12000));
	ck_assert_ptr_eq(vms_tree_find_from(&tree, 0), a);
	ck_assert_ptr_eq(vms_tree_find_from(&tree, 0x11fff), a);
	ck_assert_ptr_eq(vms_tree_find_from(&tree, 0x12000), b);
	ck_assert_ptr_null(vms_tree_find_from(&tree, 0x15000));
	ck_assert_ptr_null(vms_tree_find_below(&tree, 0x10000));
	ck_assert_ptr_eq(vms_tree_find_below(&tree, 0x10001), a);
	ck_assert_ptr_eq(vms_tree_find_below(&tree, 0x14000), a);
	ck_assert_ptr_eq(vms_tree_find_below(&tree, UINT64_MAX), b);
}
END_TEST

START_TEST(full_means_no_hole_and_free_means_no_vma)
{
	ck_assert_int_eq(insert(0x10000, 0x12000, RW), 0);
	ck_assert_int_eq(insert(0x12000, 0x13000, VMS_PROT_READ), 0);
	ck_assert_int_eq(insert(0x14000, 0x15000, RW), 0);
	ck_assert(vms_tree_is_full(&tree, &(struct vms_range){ 0x10000, 0x13000 }));
	ck_assert(vms_tree_is_full(&tree, &(struct vms_range){ 0x11000, 0x12000 }));
	ck_assert(!vms_tree_is_full(&tree, &(struct vms_range){ 0x10000, 0x15000 }));
	ck_assert(!vms_tree_is_full(&tree, &(struct vms_range){ 0xf000, 0x12000 }));
	ck_assert(vms_tree_is_free(&tree, &(struct vms_range){ 0x13000, 0x14000 }));
	ck_assert(!vms_tree_is_free(&tree, &(struct vms_range){ 0x13000, 0x15000 }));
	ck_assert(vms_tree_is_free(&tree, &(struct vms_range){ 0, 0x10000 }));
	ck_assert(vms_tree_is_free(&tree, &(struct vms_range){ 0x15000, 0x16000 }));
}
END_TEST

START_TEST(removing_the_middle_leaves_two_parts_with_their_offsets)
{
	struct vms_vma vma = anon(0x10000, 0x18000, RW);

	vma.dev = 1;
	vma.ino = 2;
	vma.offset = 0x5000;
	ck_assert_int_eq(vms_tree_insert(&tree, &vma), 0);
	ck_assert_int_eq(remove_range(0x12000, 0x15000), 0);
	HOLDS(0x10000, 0x12000, RW, 0x15000, 0x18000, RW);
	ck_assert_uint_eq(vms_tree_first(&tree)->offset, 0x5000);
	ck_assert_uint_eq(vms_tree_last(&tree)->offset, 0xa000);
	ck_assert_uint_eq(tree.va, 0x5000);
	ck_assert_uint_eq(tree.commit, 0x5000);
}
END_TEST

START_TEST(removing_across_vmas_cuts_the_outer_ones)
{
	vms_addr_t at;

	for (at = 0x10000; at < 0x20000; at += 0x4000)
		ck_assert_int_eq(insert(at, at + 0x3000, RW), 0);
	ck_assert_int_eq(remove_range(0x11000, 0x1d000), 0);
	HOLDS(0x10000, 0x11000, RW, 0x1d000, 0x1f000, RW);
	ck_assert_int_eq(remove_range(0, 0xfffffffffffff000), 0);
	ck_assert_uint_eq(tree.count, 0);
	ck_assert_uint_eq(tree.va, 0);
	ck_assert_uint_eq(tree.commit, 0);
}
END_TEST

START_TEST(replacing_inside_a_vma_makes_three_and_back_makes_one)
{
	struct vms_vma vma = anon(0x12000, 0x13000, VMS_PROT_READ);

	ck_assert_int_eq(insert(0x10000, 0x18000, RW), 0);
	ck_assert_int_eq(vms_tree_replace(&tree, &vma), 0);
	HOLDS(0x10000, 0x12000, RW, 0x12000, 0x13000, VMS_PROT_READ, 0x13000, 0x18000, RW);
	vma.prot = RW;
	ck_assert_int_eq(vms_tree_replace(&tree, &vma), 0);
	HOLDS(0x10000, 0x18000, RW);
}
END_TEST

START_TEST(changing_splits_at_the_edges_and_skips_holes)
{
	ck_assert_int_eq(insert(0x10000, 0x14000, RW), 0);
	ck_assert_int_eq(insert(0x16000, 0x18000, RW), 0);
	ck_assert_int_eq(protect(0x12000, 0x17000, VMS_PROT_READ), 0);
	HOLDS(0x10000, 0x12000, RW, 0x12000, 0x14000, VMS_PROT_READ, 0x16000, 0x17000,
	      VMS_PROT_READ, 0x17000, 0x18000, RW);
	ck_assert_uint_eq(tree.commit, 0x3000);
	ck_assert_int_eq(protect(0x12000, 0x17000, RW), 0);
	HOLDS(0x10000, 0x14000, RW, 0x16000, 0x18000, RW);
	ck_assert_uint_eq(tree.commit, 0x6000);
}
END_TEST

START_TEST(changing_nothing_leaves_the_vma_whole)
{
	ck_assert_int_eq(insert(0x10000, 0x14000, RW), 0);
	ck_assert_int_eq(protect(0x11000, 0x12000, RW), 0);
	HOLDS(0x10000, 0x14000, RW);
}
END_TEST

START_TEST(changing_makes_neighbours_on_both_sides_one)
{
	ck_assert_int_eq(insert(0x10000, 0x11000, VMS_PROT_READ), 0);
	ck_assert_int_eq(insert(0x11000, 0x12000, RW), 0);
	ck_assert_int_eq(insert(0x12000, 0x13000, 0), 0);
	ck_assert_int_eq(insert(0x13000, 0x14000, VMS_PROT_READ), 0);
	ck_assert_int_eq(protect(0x11000, 0x13000, VMS_PROT_READ), 0);
	HOLDS(0x10000, 0x14000, VMS_PROT_READ);
}
END_TEST

START_TEST(moving_keeps_holes_and_clears_the_target)
{
	ck_assert_int_eq(insert(0x10000, 0x14000, RW), 0);
	ck_assert_int_eq(insert(0x15000, 0x16000, VMS_PROT_READ), 0);
	ck_assert_int_eq(insert(0x20000, 0x30000, 0), 0);
	ck_assert_int_eq(vms_tree_move(&tree, &(struct vms_range){ 0x12000, 0x17000 }, 0x22000), 0);
	HOLDS(0x10000, 0x12000, RW, 0x20000, 0x22000, 0, 0x22000, 0x24000, RW, 0x25000, 0x26000,
	      VMS_PROT_READ, 0x27000, 0x30000, 0);
	ck_assert_uint_eq(tree.va, 0x2000 + 0x2000 + 0x2000 + 0x1000 + 0x9000);
}
END_TEST

START_TEST(moving_onto_itself_or_past_the_end_is_refused)
{
	struct vms_range from = { 0x10000, 0x14000 };

	ck_assert_int_eq(insert(0x10000, 0x14000, RW), 0);
	ck_assert_int_eq(vms_tree_move(&tree, &from, 0x10000), -EINVAL);
	ck_assert_int_eq(vms_tree_move(&tree, &from, 0x13000), -EINVAL);
	ck_assert_int_eq(vms_tree_move(&tree, &from, 0xd000), -EINVAL);
	ck_assert_int_eq(vms_tree_move(&tree, &from, 0xffffffffffffd000), -EINVAL);
	ck_assert_int_eq(vms_tree_move(&tree, &from, 0x20800), -EINVAL);
	HOLDS(0x10000, 0x14000, RW);
	ck_assert_int_eq(vms_tree_move(&tree, &from, 0x14000), 0);
	ck_assert_int_eq(vms_tree_move(&tree, &(struct vms_range){ 0x14000, 0x18000 }, 0x10000), 0);
	HOLDS(0x10000, 0x14000, RW);
}
END_TEST

START_TEST(without_memory_every_operation_leaves_the_tree_alone)
{
	struct vms_vma vma = anon(0x12000, 0x13000, VMS_PROT_READ);

	ck_assert_int_eq(insert(0x10000, 0x18000, RW), 0);
	ck_assert_uint_eq(tree.nr_spare, 0);
	tree.alloc = no_memory;
	ck_assert_int_eq(vms_tree_reserve(&tree, 1), -ENOMEM);
	ck_assert_int_eq(insert(0x20000, 0x21000, RW), -ENOMEM);
	ck_assert_int_eq(remove_range(0x12000, 0x13000), -ENOMEM);
	ck_assert_int_eq(vms_tree_replace(&tree, &vma), -ENOMEM);
	ck_assert_int_eq(protect(0x12000, 0x13000, 0), -ENOMEM);
	ck_assert_int_eq(vms_tree_move(&tree, &(struct vms_range){ 0x12000, 0x13000 }, 0x20000),
			 -ENOMEM);
	HOLDS(0x10000, 0x18000, RW);
	/* What needs no node needs no memory. */
	ck_assert_int_eq(insert(0x18000, 0x19000, RW), 0);
	ck_assert_int_eq(remove_range(0x10000, 0x11000), 0);
	ck_assert_int_eq(protect(0x11000, 0x19000, 0), 0);
	ck_assert_int_eq(vms_tree_move(&tree, &(struct vms_range){ 0x11000, 0x19000 }, 0x1000), 0);
	HOLDS(0x1000, 0x9000, 0);
}
END_TEST

START_TEST(a_reservation_that_fails_half_way_keeps_nothing)
{
	ck_assert_int_eq(vms_tree_reserve(&tree, 1), 0);
	tree.alloc = two_more;
	ck_assert_int_eq(vms_tree_reserve(&tree, 4), -ENOMEM);
	ck_assert_uint_eq(tree.nr_spare, 1);
}
END_TEST

START_TEST(moving_thousands_needs_no_memory)
{
	struct vms_range from = { 0x1000000, 0x1000000 + 5000 * 0x2000 };
	vms_addr_t i;

	for (i = 0; i < 5000; i++)
		ck_assert_int_eq(
			insert(from.start + i * 0x2000, from.start + i * 0x2000 + 0x1000, RW), 0);
	tree.alloc = no_memory;
	ck_assert_int_eq(vms_tree_move(&tree, &from, from.end), 0);
	ck_assert_uint_eq(tree.count, 5000);
	ck_assert_uint_eq(vms_tree_first(&tree)->range.start, from.end);
}
END_TEST

START_TEST(reserved_nodes_are_enough_and_stay_through_clear)
{
	struct vms_vma vma = anon(0x12000, 0x13000, VMS_PROT_READ);

	ck_assert_int_eq(insert(0x10000, 0x18000, RW), 0);
	ck_assert_int_eq(vms_tree_reserve(&tree, 100), 0);
	ck_assert_uint_eq(tree.nr_spare, 100);
	tree.alloc = no_memory;
	ck_assert_int_eq(vms_tree_replace(&tree, &vma), 0);
	ck_assert_uint_eq(tree.nr_spare, 98);
	vms_tree_clear(&tree);
	ck_assert_uint_eq(tree.count, 0);
	ck_assert_uint_ge(tree.nr_spare, 98);
	ck_assert_int_eq(vms_tree_reserve(&tree, 98), 0);
}
END_TEST

START_TEST(removed_nodes_are_kept_for_later_up_to_a_few)
{
	vms_addr_t i;

	for (i = 1; i <= 10000; i++)
		ck_assert_int_eq(insert(i * 0x2000, i * 0x2000 + 0x1000, RW), 0);
	ck_assert_uint_eq(tree.count, 10000);
	ck_assert_int_eq(remove_range(0, 0x10000000), 0);
	ck_assert_uint_eq(tree.count, 0);
	ck_assert_uint_gt(tree.nr_spare, 0);
	ck_assert_uint_le(tree.nr_spare, 256);
}
END_TEST

START_TEST(a_copy_is_equal_and_apart)
{
	struct vms_tree copy;

	ck_assert_int_eq(insert(0x10000, 0x14000, RW), 0);
	ck_assert_int_eq(insert(0x16000, 0x18000, 0), 0);
	vms_tree_init(&copy, 0);
	ck_assert_int_eq(vms_tree_copy(&copy, &tree), 0);
	ck_assert(vms_tree_is_sound(&copy));
	ck_assert_uint_eq(copy.count, 2);
	ck_assert_uint_eq(copy.va, tree.va);
	ck_assert_uint_eq(copy.commit, tree.commit);
	ck_assert_uint_eq(copy.guard, tree.guard);
	ck_assert_int_eq(remove_range(0, 0x20000), 0);
	ck_assert_uint_eq(copy.count, 2);
	ck_assert_uint_eq(vms_tree_first(&copy)->range.end, 0x14000);
	ck_assert_int_eq(vms_tree_copy(&copy, &copy), 0);
	ck_assert_uint_eq(copy.count, 2);
	vms_tree_done(&copy);
	vms_tree_done(&copy);
}
END_TEST

START_TEST(top_down_takes_the_highest_gap_and_its_top)
{
	ck_assert_int_eq(insert(0x30000, 0x40000, RW), 0);
	ck_assert_int_eq(insert(0x42000, 0x50000, RW), 0);
	ck_assert_uint_eq(gap(0x10000, 0x50000, 0x1000, false), 0x41000);
	ck_assert_uint_eq(gap(0x10000, 0x50000, 0x2000, false), 0x40000);
	ck_assert_uint_eq(gap(0x10000, 0x50000, 0x3000, false), 0x2d000);
	ck_assert_uint_eq(gap(0x10000, 0x50000, 0x20000, false), 0x10000);
	ck_assert_uint_eq(gap(0x10000, 0x50000, 0x21000, false), NO_GAP);
	ck_assert_uint_eq(gap(0x10000, 0x60000, 0x10000, false), 0x50000);
}
END_TEST

START_TEST(bottom_up_takes_the_lowest_gap_and_its_bottom)
{
	ck_assert_int_eq(insert(0x30000, 0x40000, RW), 0);
	ck_assert_int_eq(insert(0x42000, 0x50000, RW), 0);
	ck_assert_uint_eq(gap(0x10000, 0x60000, 0x1000, true), 0x10000);
	ck_assert_uint_eq(gap(0x2f000, 0x60000, 0x2000, true), 0x40000);
	ck_assert_uint_eq(gap(0x2f000, 0x60000, 0x3000, true), 0x50000);
	ck_assert_uint_eq(gap(0x30000, 0x52000, 0x3000, true), NO_GAP);
}
END_TEST

START_TEST(limits_cut_gaps)
{
	ck_assert_int_eq(insert(0x30000, 0x40000, RW), 0);
	ck_assert_int_eq(insert(0x48000, 0x50000, RW), 0);
	/* high inside the gap, inside the VMA above, and low inside the gap */
	ck_assert_uint_eq(gap(0x10000, 0x44000, 0x4000, false), 0x40000);
	ck_assert_uint_eq(gap(0x10000, 0x44000, 0x5000, false), 0x2b000);
	ck_assert_uint_eq(gap(0x10000, 0x4c000, 0x8000, false), 0x40000);
	ck_assert_uint_eq(gap(0x42000, 0x4c000, 0x6000, false), 0x42000);
	ck_assert_uint_eq(gap(0x42000, 0x4c000, 0x7000, false), NO_GAP);
	/* nothing but VMA */
	ck_assert_uint_eq(gap(0x31000, 0x3f000, 0x1000, false), NO_GAP);
	/* unaligned limits are narrowed to pages */
	ck_assert_uint_eq(gap(0x40001, 0x47fff, 0x6000, false), 0x41000);
	ck_assert_uint_eq(gap(0x40001, 0x47fff, 0x7000, false), NO_GAP);
}
END_TEST

START_TEST(a_guard_is_kept_below_a_grows_down_vma_only)
{
	ck_assert_int_eq(insert_stack(0x10000000, 0x10021000), 0);
	ck_assert_uint_eq(gap(0x10000, 0x10021000, 0x1000, false), 0x10000000 - GUARD - 0x1000);
	/* high inside the guard */
	ck_assert_uint_eq(gap(0x10000, 0x10000000 - 0x5000, 0x1000, false),
			  0x10000000 - GUARD - 0x1000);
	ck_assert_uint_eq(gap(0x10000000 - GUARD, 0x10021000, 0x1000, false), NO_GAP);
	/* a VMA inside the guard takes the place of the boundary */
	ck_assert_int_eq(insert(0x10000000 - 0x8000, 0x10000000 - 0x7000, RW), 0);
	ck_assert_uint_eq(gap(0x10000, 0x10021000, 0x1000, false), 0x10000000 - 0x9000);
}
END_TEST

START_TEST(a_grows_down_vma_below_the_guard_has_no_gap)
{
	ck_assert_int_eq(insert_stack(0x10000, 0x20000), 0);
	ck_assert_uint_eq(gap(0, 0x20000, 0x1000, false), NO_GAP);
	ck_assert_uint_eq(gap(0, 0x20000, 0x1000, true), NO_GAP);
}
END_TEST

START_TEST(the_search_does_not_wrap_at_the_end_of_addresses)
{
	const vms_addr_t top = 0xfffffffffffff000;

	ck_assert_uint_eq(gap(0, UINT64_MAX, 0x1000, false), top - 0x1000);
	ck_assert_uint_eq(gap(0, UINT64_MAX, top, false), 0);
	ck_assert_uint_eq(gap(0x1000, UINT64_MAX, top, false), NO_GAP);
	ck_assert_uint_eq(gap(top, UINT64_MAX, 0x1000, false), NO_GAP);
	ck_assert_uint_eq(gap(UINT64_MAX - 1, UINT64_MAX, 0x1000, true), NO_GAP);
	ck_assert_int_eq(insert(top - 0x2000, top, RW), 0);
	ck_assert_uint_eq(gap(0, UINT64_MAX, 0x1000, false), top - 0x3000);
	ck_assert_uint_eq(gap(top - 0x2000, UINT64_MAX, 0x1000, false), NO_GAP);
	ck_assert_int_eq(remove_range(top - 0x1000, top), 0);
	ck_assert_uint_eq(gap(0, UINT64_MAX, 0x1000, false), top - 0x1000);
}
END_TEST

/* The one wide gap lies below VMA i. The one above i grows down: no gap before, none after. */
START_TEST(a_gap_is_gone_with_its_vma_wherever_that_is_in_the_tree)
{
	vms_addr_t at, start;
	unsigned int i, k;

	for (i = 1; i < 100; i++) {
		vms_tree_clear(&tree);
		start = 0;
		for (at = 0, k = 0; k < 100; k++) {
			at += k == i ? 0x20000 : 0x2000;
			if (k == i)
				start = at;
			ck_assert_int_eq(k == i + 1 ? insert_stack(at, at + 0x1000) :
						      insert(at, at + 0x1000, RW),
					 0);
			at += 0x1000;
		}
		ck_assert_uint_eq(gap(0, at, 0x20000, false), start - 0x20000);
		ck_assert_int_eq(remove_range(start, start + 0x1000), 0);
		ck_assert(vms_tree_is_sound(&tree));
		ck_assert_uint_eq(gap(0, at, 0x20000, false), i == 99 ? start - 0x1f000 : NO_GAP);
	}
}
END_TEST

START_TEST(sixty_thousand_vmas_are_searched_through_a_few_nodes)
{
	vms_addr_t i, n = 60000;

	/* One page mapped, one free; a single gap of two pages in the middle. */
	for (i = 0; i < n; i++)
		ck_assert_int_eq(insert(0x100000 + i * 0x2000, 0x101000 + i * 0x2000, RW), 0);
	ck_assert_int_eq(remove_range(0x100000 + n * 0x1000, 0x101000 + n * 0x1000), 0);
	ck_assert(vms_tree_is_sound(&tree));
	/* A walk over all of them would make this a thousand million steps or more. */
	for (i = 0; i < 100000; i++) {
		ck_assert_uint_eq(gap(0x100000, 0x100000 + n * 0x2000, 0x3000, i & 1),
				  0xff000 + n * 0x1000);
		ck_assert_uint_eq(gap(0x101000, 0x100000 + n * 0x2000, 0x4000, i & 1), NO_GAP);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tree");
	TCase *tc = tcase_create("tree");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, an_empty_tree_has_nothing_and_is_all_gap);
	tcase_add_test(tc, inserting_over_a_vma_is_refused);
	tcase_add_test(tc, inserting_joins_both_neighbours);
	tcase_add_test(tc, the_find_calls_agree_at_edges);
	tcase_add_test(tc, full_means_no_hole_and_free_means_no_vma);
	tcase_add_test(tc, removing_the_middle_leaves_two_parts_with_their_offsets);
	tcase_add_test(tc, removing_across_vmas_cuts_the_outer_ones);
	tcase_add_test(tc, replacing_inside_a_vma_makes_three_and_back_makes_one);
	tcase_add_test(tc, changing_splits_at_the_edges_and_skips_holes);
	tcase_add_test(tc, changing_nothing_leaves_the_vma_whole);
	tcase_add_test(tc, changing_makes_neighbours_on_both_sides_one);
	tcase_add_test(tc, moving_keeps_holes_and_clears_the_target);
	tcase_add_test(tc, moving_onto_itself_or_past_the_end_is_refused);
	tcase_add_test(tc, without_memory_every_operation_leaves_the_tree_alone);
	tcase_add_test(tc, a_reservation_that_fails_half_way_keeps_nothing);
	tcase_add_test(tc, moving_thousands_needs_no_memory);
	tcase_add_test(tc, reserved_nodes_are_enough_and_stay_through_clear);
	tcase_add_test(tc, removed_nodes_are_kept_for_later_up_to_a_few);
	tcase_add_test(tc, a_copy_is_equal_and_apart);
	tcase_add_test(tc, top_down_takes_the_highest_gap_and_its_top);
	tcase_add_test(tc, bottom_up_takes_the_lowest_gap_and_its_bottom);
	tcase_add_test(tc, limits_cut_gaps);
	tcase_add_test(tc, a_guard_is_kept_below_a_grows_down_vma_only);
	tcase_add_test(tc, a_grows_down_vma_below_the_guard_has_no_gap);
	tcase_add_test(tc, the_search_does_not_wrap_at_the_end_of_addresses);
	tcase_add_test(tc, a_gap_is_gone_with_its_vma_wherever_that_is_in_the_tree);
	tcase_add_test(tc, sixty_thousand_vmas_are_searched_through_a_few_nodes);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
