/* Placement policy: nothing is placed in a hole, and every rule holds for what is placed. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "vmsup/core/limit.h"
#include "vmsup/core/place.h"
#include "vmsup/core/policy.h"

#define PAGE VMS_PAGE_SIZE
#define MIB ((vms_addr_t)1 << 20)
#define GIB ((vms_addr_t)1 << 30)

static struct vms_space space;
static struct vms_policy policy;

static void setup(void)
{
	const struct vms_range range = { 0x10000, 0x100000000 }, user = { 0, 0x7ffffffff000 };
	const struct vms_place_rules rules = { .mmap_min_addr = 0x10000, .hint_min = 0x10000, .guard = 256 * PAGE };

	vms_space_init(&space, &range, &user, &rules);
	policy = (struct vms_policy){ 0 };
	space.policy = &policy;
	space.random = 42;
	space.confined = true;
	space.ceiling = range.end;
}

static void teardown(void)
{
	vms_space_done(&space);
}

static void hole(vms_addr_t start, vms_addr_t end)
{
	ck_assert_int_eq(vms_policy_add_hole(&policy, &(struct vms_range){ start, end }), 0);
}

/* The address that is chosen for @length, mapped from now on. */
static vms_addr_t place_as(vms_addr_t length, bool low2g)
{
	const struct vms_place_req req = { .length = length, .low2g = low2g };
	struct vms_vma vma = { .prot = VMS_PROT_READ, .may = VMS_PROT_ALL };
	vms_addr_t addr;

	if (vms_place_find(&space, &req, 0, &addr) < 0)
		return 0;
	vma.range = (struct vms_range){ addr, addr + length };
	ck_assert_uint_eq(addr % PAGE, 0);
	ck_assert(vms_range_covers(&space.range, &vma.range));
	ck_assert(!vms_policy_keeps_out(&policy, &vma.range, low2g));
	ck_assert_int_eq(vms_tree_insert(&space.tree, &vma), 0);
	return addr;
}

static vms_addr_t place(vms_addr_t length)
{
	return place_as(length, false);
}

START_TEST(holes_are_joined_and_sorted)
{
	hole(0x50000, 0x60000);
	hole(0x10000, 0x20000);
	hole(0x30000, 0x40000);
	ck_assert_uint_eq(policy.nr_holes, 3);
	ck_assert_uint_eq(policy.holes[0].start, 0x10000);
	ck_assert_uint_eq(policy.holes[2].start, 0x50000);
	hole(0x1f000, 0x30000);
	ck_assert_uint_eq(policy.nr_holes, 2);
	ck_assert_uint_eq(policy.holes[0].end, 0x40000);
	hole(0, 0x100000);
	ck_assert_uint_eq(policy.nr_holes, 1);
	ck_assert_uint_eq(policy.holes[0].end, 0x100000);
}
END_TEST

START_TEST(too_many_holes_are_refused_and_change_nothing)
{
	for (vms_addr_t i = 0; i < VMS_MAX_HOLES; i++)
		hole((2 * i + 16) * PAGE, (2 * i + 17) * PAGE);
	ck_assert_int_eq(vms_policy_add_hole(&policy, &(struct vms_range){ GIB, 2 * GIB }), -ENOSPC);
	ck_assert_uint_eq(policy.nr_holes, VMS_MAX_HOLES);
	/* One that joins two there is room for. */
	hole(17 * PAGE, 18 * PAGE);
	ck_assert_uint_eq(policy.nr_holes, VMS_MAX_HOLES - 1);
}
END_TEST

START_TEST(top_down_passes_by_a_hole)
{
	hole(0xf0000000, 0xfff00000);
	ck_assert_uint_eq(place(MIB), 0xfff00000);
	ck_assert_uint_eq(place(MIB), 0xeff00000);
	ck_assert_uint_eq(place(2 * MIB), 0xefd00000);
}
END_TEST

START_TEST(bottom_up_takes_the_lowest_gap)
{
	policy.layout = VMS_LAYOUT_BOTTOM_UP;
	hole(0x20000, 0x40000);
	ck_assert_uint_eq(place(0x10000), 0x10000);
	ck_assert_uint_eq(place(0x10000), 0x40000);
	ck_assert_uint_eq(place(PAGE), 0x50000);
}
END_TEST

START_TEST(the_low_zone_is_for_map_32bit_only)
{
	policy.low = (struct vms_range){ GIB, 2 * GIB };
	/* Above the zone, then below it. */
	while (place(256 * MIB) >= 2 * GIB)
		;
	for (int i = 0; i < 3; i++)
		place(256 * MIB);
	ck_assert_uint_eq(place(256 * MIB), 0);
	ck_assert_uint_eq(place_as(512 * MIB, true), GIB);
	ck_assert_uint_eq(place_as(512 * MIB, true), GIB + 512 * MIB);
	ck_assert_uint_eq(place_as(512 * MIB, true), 0);
}
END_TEST

START_TEST(large_mappings_are_aligned_and_small_ones_are_not)
{
	policy.align = 2 * MIB;
	place(PAGE);
	for (int i = 0; i < 20; i++) {
		ck_assert_uint_eq(place(2 * MIB + (vms_addr_t)i * PAGE) % (2 * MIB), 0);
		ck_assert_uint_ne(place(PAGE) % (2 * MIB), 0);
	}
	policy.layout = VMS_LAYOUT_BOTTOM_UP;
	for (int i = 0; i < 20; i++)
		ck_assert_uint_eq(place(3 * MIB) % (2 * MIB), 0);
}
END_TEST

static void check_gaps(vms_addr_t gap)
{
	const struct vms_vma *vma = vms_tree_first(&space.tree), *next;

	for (; vma && (next = vms_tree_next(vma)); vma = next)
		ck_assert_uint_ge(next->range.start - vma->range.end, gap);
}

START_TEST(guard_gaps_stay_free_on_both_sides)
{
	const enum vms_layout_kind kinds[] = { VMS_LAYOUT_TOP_DOWN, VMS_LAYOUT_BOTTOM_UP, VMS_LAYOUT_RANDOM, VMS_LAYOUT_SCATTER };

	policy.guard_gap = 16 * PAGE;
	for (size_t k = 0; k < 4; k++) {
		policy.layout = kinds[k];
		for (vms_addr_t i = 1; i < 40; i++)
			ck_assert_uint_ne(place(i * PAGE), 0);
		check_gaps(policy.guard_gap);
	}
}
END_TEST

START_TEST(scatter_is_everywhere_and_repeatable)
{
	vms_addr_t first[64], halves[2] = { 0, 0 };

	policy.layout = VMS_LAYOUT_SCATTER;
	for (int i = 0; i < 64; i++) {
		first[i] = place(PAGE);
		halves[first[i] >= 0x80000000]++;
	}
	ck_assert_uint_gt(halves[0], 8);
	ck_assert_uint_gt(halves[1], 8);
	vms_tree_clear(&space.tree);
	space.random = 42;
	for (int i = 0; i < 64; i++)
		ck_assert_uint_eq(place(PAGE), first[i]);
}
END_TEST

START_TEST(random_is_top_down_with_distances)
{
	const vms_addr_t room = 50 * (VMS_RANDOM_PAGES + 1) * PAGE;
	vms_addr_t alone = 0;

	policy.layout = VMS_LAYOUT_RANDOM;
	/* Near the top, but not side by side; what fits into an earlier distance may come there. */
	for (int i = 0; i < 50; i++)
		ck_assert_uint_ge(place(PAGE), space.range.end - room);
	for (const struct vms_vma *vma = vms_tree_first(&space.tree); vma; vma = vms_tree_next(vma))
		alone += vms_range_size(&vma->range) == PAGE;
	ck_assert_uint_gt(alone, 30);
}
END_TEST

START_TEST(what_fits_is_found_whatever_the_layout)
{
	const enum vms_layout_kind kinds[] = { VMS_LAYOUT_TOP_DOWN, VMS_LAYOUT_BOTTOM_UP, VMS_LAYOUT_RANDOM, VMS_LAYOUT_SCATTER };

	/* One gap of 16 pages is left. */
	hole(0x10000, 0x40000000);
	hole(0x40010000, 0x100000000);
	for (size_t k = 0; k < 4; k++) {
		policy.layout = kinds[k];
		vms_tree_clear(&space.tree);
		ck_assert_uint_eq(place(16 * PAGE), 0x40000000);
		ck_assert_uint_eq(place(PAGE), 0);
		vms_tree_clear(&space.tree);
		ck_assert_uint_eq(place(17 * PAGE), 0);
	}
}
END_TEST

START_TEST(the_kernels_choice_is_taken_where_it_is_right)
{
	const struct vms_place_req req = { .length = 2 * MIB };

	hole(0x40000000, 0x50000000);
	ck_assert(vms_policy_accepts(&space, &req, 0x60000000));
	ck_assert(!vms_policy_accepts(&space, &req, 0x4ff00000));
	policy.align = 2 * MIB;
	ck_assert(!vms_policy_accepts(&space, &req, 0x60100000));
	policy.align = 0;
	policy.layout = VMS_LAYOUT_SCATTER;
	ck_assert(!vms_policy_accepts(&space, &req, 0x60000000));
}
END_TEST

START_TEST(the_widest_part_avoids_holes_and_the_low_zone)
{
	const struct vms_range range = { 0x10000, 0x100000000 };
	struct vms_range part;

	ck_assert(vms_policy_widest(&policy, &range, &part));
	ck_assert_uint_eq(part.start, range.start);
	ck_assert_uint_eq(part.end, range.end);
	policy.low = (struct vms_range){ GIB, 2 * GIB };
	ck_assert(vms_policy_widest(&policy, &range, &part));
	ck_assert_uint_eq(part.start, 2 * GIB);
	hole(0xa0000000, 0xf0000000);
	ck_assert(vms_policy_widest(&policy, &range, &part));
	ck_assert_uint_eq(part.start, 0x10000);
	ck_assert_uint_eq(part.end, GIB);
	hole(0, 0x100000000);
	ck_assert(!vms_policy_widest(&policy, &range, &part));
}
END_TEST

START_TEST(a_plain_policy_is_no_policy)
{
	ck_assert(vms_policy_is_plain(&policy));
	policy.guard_gap = PAGE;
	ck_assert(!vms_policy_is_plain(&policy));
}
END_TEST

/* Random policies and lengths: place() checks each place; and nothing is refused while a plain search finds room. */
START_TEST(random_policies_keep_their_word)
{
	const char *text = getenv("VMS_SEED");
	unsigned int seed = text ? (unsigned int)strtoul(text, NULL, 0) : 4711;

	for (int round = 0; round < 60; round++) {
		vms_tree_clear(&space.tree);
		policy = (struct vms_policy){ .layout = (enum vms_layout_kind)(rand_r(&seed) % 4) };
		if (rand_r(&seed) % 2)
			policy.align = PAGE << (1 + rand_r(&seed) % 10);
		if (rand_r(&seed) % 2)
			policy.guard_gap = (vms_addr_t)(rand_r(&seed) % 30) * PAGE;
		for (int i = rand_r(&seed) % 12; i > 0; i--) {
			vms_addr_t at = (vms_addr_t)(rand_r(&seed) % 0x100000) * PAGE;

			hole(at, at + (1 + (vms_addr_t)(rand_r(&seed) % 20000)) * PAGE);
		}
		for (int i = 0; i < 100; i++) {
			vms_addr_t length = (1 + (vms_addr_t)(rand_r(&seed) % 3000)) * PAGE, addr = place(length);

			ck_assert_msg(addr, "round %d: no room for %llx", round, (unsigned long long)length);
			if (policy.align && length >= policy.align)
				ck_assert_uint_eq(addr % policy.align, 0);
		}
		if (policy.guard_gap)
			check_gaps(policy.guard_gap);
	}
}
END_TEST

static void check_walls(const struct vms_range *want, size_t nr)
{
	ck_assert_uint_eq(policy.nr_walls, nr);
	for (size_t i = 0; i < nr; i++) {
		ck_assert_uint_eq(policy.walls[i].start, want[i].start);
		ck_assert_uint_eq(policy.walls[i].end, want[i].end);
		ck_assert(vms_policy_is_wall(&policy, &want[i]));
		ck_assert(vms_policy_keeps_out(&policy, &want[i], false));
	}
}

START_TEST(holes_outside_the_range_leave_walls)
{
	const struct vms_range range = { GIB, 2 * GIB };
	struct vms_range hull;

	ck_assert_int_eq(vms_policy_widen(&policy, &range, &hull), 0);
	ck_assert(hull.start == GIB && hull.end == 2 * GIB);
	check_walls(NULL, 0);
	hole(0x10000, 0x110000);
	hole(MIB * 512, MIB * 513);
	hole(GIB + MIB, GIB + 2 * MIB);
	hole(3 * GIB, 4 * GIB);
	ck_assert_int_eq(vms_policy_widen(&policy, &range, &hull), 0);
	ck_assert(hull.start == 0x10000 && hull.end == 4 * GIB);
	check_walls((const struct vms_range[]){ { 0x110000, MIB * 512 }, { MIB * 513, GIB }, { 2 * GIB, 3 * GIB } }, 3);
	ck_assert(!vms_policy_is_wall(&policy, &(struct vms_range){ 0x10000, 0x11000 }));
	ck_assert(!vms_policy_is_wall(&policy, &(struct vms_range){ GIB - PAGE, GIB + PAGE }));
	ck_assert(vms_policy_widest(&policy, &hull, &hull));
	ck_assert(hull.start == GIB + 2 * MIB && hull.end == 2 * GIB);
}
END_TEST

START_TEST(a_hole_across_the_edge_leaves_no_wall_there)
{
	const struct vms_range range = { GIB, 2 * GIB };
	struct vms_range hull;

	hole(GIB / 2, GIB + MIB);
	hole(2 * GIB - MIB, 2 * GIB);
	ck_assert_int_eq(vms_policy_widen(&policy, &range, &hull), 0);
	ck_assert(hull.start == GIB / 2 && hull.end == 2 * GIB);
	check_walls(NULL, 0);
	hole(5 * GIB, 6 * GIB);
	ck_assert_int_eq(vms_policy_widen(&policy, &range, &hull), 0);
	check_walls((const struct vms_range[]){ { 2 * GIB, 5 * GIB } }, 1);
}
END_TEST

START_TEST(walls_are_not_counted)
{
	const struct vms_range range = { GIB, 2 * GIB };
	struct vms_vma wall = { .prot = 0, .may = VMS_PROT_ALL, .kind = VMS_KIND_FENCE };
	struct vms_usage usage;
	struct vms_range hull;

	hole(0x10000, 0x110000);
	hole(3 * GIB, 4 * GIB - PAGE);
	ck_assert_int_eq(vms_policy_widen(&policy, &range, &hull), 0);
	for (size_t i = 0; i < policy.nr_walls; i++) {
		wall.range = policy.walls[i];
		ck_assert_int_eq(vms_tree_insert(&space.tree, &wall), 0);
	}
	vms_usage_of(&space, &usage);
	ck_assert_uint_eq(usage.used[VMS_LIMIT_VA], 0);
	ck_assert_uint_eq(usage.used[VMS_LIMIT_MAPS], 0);
	ck_assert_uint_ne(place(PAGE), 0);
	vms_usage_of(&space, &usage);
	ck_assert_uint_eq(usage.used[VMS_LIMIT_VA], PAGE);
	ck_assert_uint_eq(usage.used[VMS_LIMIT_MAPS], 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("policy");
	TCase *t = tcase_create("policy");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, holes_are_joined_and_sorted);
	tcase_add_test(t, too_many_holes_are_refused_and_change_nothing);
	tcase_add_test(t, top_down_passes_by_a_hole);
	tcase_add_test(t, bottom_up_takes_the_lowest_gap);
	tcase_add_test(t, the_low_zone_is_for_map_32bit_only);
	tcase_add_test(t, large_mappings_are_aligned_and_small_ones_are_not);
	tcase_add_test(t, guard_gaps_stay_free_on_both_sides);
	tcase_add_test(t, scatter_is_everywhere_and_repeatable);
	tcase_add_test(t, random_is_top_down_with_distances);
	tcase_add_test(t, what_fits_is_found_whatever_the_layout);
	tcase_add_test(t, the_kernels_choice_is_taken_where_it_is_right);
	tcase_add_test(t, the_widest_part_avoids_holes_and_the_low_zone);
	tcase_add_test(t, a_plain_policy_is_no_policy);
	tcase_add_test(t, random_policies_keep_their_word);
	tcase_add_test(t, holes_outside_the_range_leave_walls);
	tcase_add_test(t, a_hole_across_the_edge_leaves_no_wall_there);
	tcase_add_test(t, walls_are_not_counted);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
