/* Placement rules on prepared spaces. Whether the kernel keeps them is oracle_place's matter. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "vmsup/core/place.h"

#define PAGES(n) ((vms_addr_t)(n) << VMS_PAGE_SHIFT)
#define MIB ((vms_addr_t)1 << 20)
#define LO ((vms_addr_t)0x10000)
#define HI ((vms_addr_t)0x7fff0000)

static struct vms_space space;

static void setup(void)
{
	const struct vms_range range = { LO, HI }, user = { 0, 0x7ffffffff000 };
	const struct vms_place_rules rules = { .mmap_min_addr = 0x10000, .hint_min = 0x10000, .guard = MIB, .thp_anon_multiple = true,
					       .thp_to_top = true, .above4g = true };

	vms_space_init(&space, &range, &user, &rules);
	space.confined = true;
	space.ceiling = HI;
}

static void teardown(void)
{
	vms_space_done(&space);
}

static void add(vms_addr_t start, vms_addr_t end, uint32_t flags)
{
	struct vms_vma vma = { .range = { start, end }, .flags = flags, .may = VMS_PROT_ALL };

	ck_assert_int_eq(vms_tree_insert(&space.tree, &vma), 0);
}

static vms_addr_t kernel(const struct vms_place_req *req, bool want_certain)
{
	vms_addr_t addr = 0;
	bool certain = !want_certain;

	ck_assert_int_eq(vms_place_kernel(&space, req, &addr, &certain), 0);
	ck_assert_int_eq(certain, want_certain);
	return addr;
}

static vms_addr_t find(const struct vms_place_req *req, vms_addr_t max_start)
{
	vms_addr_t addr = 0;

	ck_assert_int_eq(vms_place_find(&space, req, max_start, &addr), 0);
	return addr;
}

START_TEST(the_highest_gap_that_fits_is_filled_from_its_top)
{
	add(HI - PAGES(10), HI - PAGES(4), 0);
	ck_assert_uint_eq(kernel(&(struct vms_place_req){ .length = PAGES(4) }, true), HI - PAGES(4));
	ck_assert_uint_eq(kernel(&(struct vms_place_req){ .length = PAGES(5) }, true), HI - PAGES(15));
}
END_TEST

START_TEST(the_guard_below_a_growing_mapping_is_kept)
{
	vms_addr_t addr;
	bool certain;

	add(HI - PAGES(1), HI, VMS_VMA_GROWSDOWN);
	ck_assert_int_eq(vms_place_kernel(&space, &(struct vms_place_req){ .length = PAGES(1) }, &addr, &certain), 0);
	ck_assert_uint_eq(addr, HI - PAGES(2) - MIB);
}
END_TEST

/*
 * mm/vma.c unmapped_area_topdown: a gap that would do but for the guard above it ends the search in the whole of that guard,
 * also in gaps that lie there below another mapping.
 */
START_TEST(within_the_guard_of_a_growing_mapping_nothing_is_certain)
{
	vms_addr_t addr;
	bool certain;

	add(HI - PAGES(4), HI, VMS_VMA_GROWSDOWN);
	add(HI - PAGES(10), HI - PAGES(8), 0);
	ck_assert_int_eq(vms_place_kernel(&space, &(struct vms_place_req){ .length = PAGES(3) }, &addr, &certain), 0);
	ck_assert(!certain || addr == HI - PAGES(4) - MIB - PAGES(3));
}
END_TEST

START_TEST(a_hint_is_taken_only_when_all_of_it_is_free_and_clear_of_a_guard)
{
	add(0x30000000, 0x30001000, VMS_VMA_GROWSDOWN);
	ck_assert_uint_eq(kernel(&(struct vms_place_req){ .length = PAGES(1), .hint = 0x30000000 - MIB - PAGES(1) }, true),
			  0x30000000 - MIB - PAGES(1));
	ck_assert_uint_eq(kernel(&(struct vms_place_req){ .length = PAGES(1), .hint = 0x30000000 - MIB }, true),
			  HI - PAGES(1));
	ck_assert_uint_eq(kernel(&(struct vms_place_req){ .length = PAGES(1), .hint = 0x30001000 }, true), 0x30001000);
}
END_TEST

START_TEST(a_hint_below_mmap_min_addr_is_raised_to_it)
{
	ck_assert_uint_eq(kernel(&(struct vms_place_req){ .length = PAGES(1), .hint = 0x3000 }, true), 0x10000);
}
END_TEST

START_TEST(a_hint_within_the_first_page_is_none)
{
	ck_assert_uint_eq(kernel(&(struct vms_place_req){ .length = PAGES(1), .hint = 0xfff }, true), HI - PAGES(1));
	/* And then it does not keep a huge page from being aligned either. */
	ck_assert_uint_eq(kernel(&(struct vms_place_req){ .length = 2 * MIB, .hint = 0xfff }, true), 0x7fc00000);
}
END_TEST

START_TEST(multiples_of_2_mib_are_aligned_when_there_is_room_for_it)
{
	ck_assert_uint_eq(kernel(&(struct vms_place_req){ .length = 4 * MIB }, true), 0x7fa00000);
	ck_assert_uint_eq(kernel(&(struct vms_place_req){ .length = 4 * MIB + PAGES(1) }, true), HI - 4 * MIB - PAGES(1));
	add(LO, HI - 5 * MIB, 0);
	ck_assert_uint_eq(kernel(&(struct vms_place_req){ .length = 4 * MIB }, true), HI - 4 * MIB);
	space.rules.thp_anon_multiple = false;
	ck_assert_uint_eq(kernel(&(struct vms_place_req){ .length = 2 * MIB }, true), HI - 2 * MIB);
}
END_TEST

START_TEST(a_place_that_is_aligned_as_found_is_at_the_end_of_the_slack_that_the_kernel_takes)
{
	add(0x7fc00000, HI, 0);
	ck_assert_uint_eq(kernel(&(struct vms_place_req){ .length = 2 * MIB }, true), 0x7fa00000);
	space.rules.thp_to_top = false;
	ck_assert_uint_eq(kernel(&(struct vms_place_req){ .length = 2 * MIB }, true), 0x7f800000);
	add(0x7fbff000, 0x7fc00000, 0);
	ck_assert_uint_eq(kernel(&(struct vms_place_req){ .length = 2 * MIB }, true), 0x7f800000);
}
END_TEST

START_TEST(a_file_is_aligned_by_its_offset_where_its_file_system_does_so)
{
	struct vms_place_req req = { .length = 4 * MIB, .has_file = true, .thp_file = true, .offset = PAGES(5) };

	ck_assert_uint_eq(kernel(&req, true) & (VMS_HUGE_SIZE - 1), PAGES(5));
	req.thp_file = false;
	ck_assert_uint_eq(kernel(&req, true), HI - 4 * MIB);
	/* No whole huge page of the file lies in it. */
	req.thp_file = true;
	req.length = 2 * MIB;
	ck_assert_uint_eq(kernel(&req, true), HI - 2 * MIB);
}
END_TEST

START_TEST(above4g_keeps_out_of_the_first_4_gib)
{
	vms_addr_t addr;
	bool certain;

	ck_assert_int_eq(vms_place_kernel(&space, &(struct vms_place_req){ .length = PAGES(1), .above4g = true }, &addr,
					  &certain),
			 -ENOMEM);
	/* Before Linux 6.6 the flag means nothing. */
	space.rules.above4g = false;
	ck_assert_uint_eq(kernel(&(struct vms_place_req){ .length = PAGES(1), .above4g = true }, true), HI - PAGES(1));
}
END_TEST

START_TEST(with_57_bit_addresses_a_high_hint_is_certain_in_a_fence_only)
{
	const struct vms_place_req req = { .length = PAGES(1), .hint = 0x7ffffffff001 };

	space.user.end = (vms_addr_t)1 << 56;
	kernel(&req, true);
	space.confined = false;
	kernel(&req, false);
	space.user.end = 0x7ffffffff000;
	kernel(&req, true);
}
END_TEST

START_TEST(no_gap_is_enomem)
{
	vms_addr_t addr = 5;
	bool certain;

	add(LO, HI, 0);
	ck_assert_int_eq(vms_place_kernel(&space, &(struct vms_place_req){ .length = PAGES(1) }, &addr, &certain),
			 -ENOMEM);
	ck_assert_int_eq(vms_place_find(&space, &(struct vms_place_req){ .length = PAGES(1) }, 0, &addr), -ENOMEM);
	ck_assert_int_eq(vms_place_find(&space, &(struct vms_place_req){ .length = PAGES(1), .low2g = true }, 0, &addr),
			 -ENOMEM);
}
END_TEST

START_TEST(what_is_not_known_is_not_certain)
{
	kernel(&(struct vms_place_req){ .length = PAGES(1), .hugetlb = true }, false);
	space.legacy_layout = true;
	kernel(&(struct vms_place_req){ .length = PAGES(1) }, false);
	space.legacy_layout = false;
	space.ceiling = 0;
	kernel(&(struct vms_place_req){ .length = PAGES(1) }, false);
	kernel(&(struct vms_place_req){ .length = PAGES(1), .hint = 0x30000000 }, true);
}
END_TEST

START_TEST(the_kernel_is_not_certain_of_low2g_where_its_window_begins_at_random)
{
	/* arch/x86/kernel/sys_x86_64.c find_start_end: up to 32 MiB above 1 GiB. */
	kernel(&(struct vms_place_req){ .length = PAGES(1), .low2g = true }, false);
}
END_TEST

START_TEST(our_own_search_stays_below_what_was_rejected)
{
	struct vms_place_req req = { .length = PAGES(2) };

	ck_assert_uint_eq(find(&req, 0), HI - PAGES(2));
	ck_assert_uint_eq(find(&req, HI - PAGES(2)), HI - PAGES(4));
	ck_assert_uint_eq(find(&req, LO + PAGES(2)), LO);
}
END_TEST

START_TEST(our_own_search_never_leaves_the_range)
{
	space.confined = false;
	space.ceiling = 0x7ff000000000;
	ck_assert_uint_eq(find(&(struct vms_place_req){ .length = PAGES(2) }, 0), HI - PAGES(2));
	ck_assert_uint_eq(find(&(struct vms_place_req){ .length = PAGES(2), .hint = HI }, 0), HI - PAGES(2));
}
END_TEST

START_TEST(our_own_low2g_uses_the_kernels_window_first_and_then_what_is_below)
{
	struct vms_place_req req = { .length = PAGES(2), .low2g = true };

	ck_assert_uint_eq(find(&req, 0), 0x40000000);
	add(0x40000000, HI, 0);
	ck_assert_uint_eq(find(&req, 0), 0x40000000 - PAGES(2));
	space.range = (struct vms_range){ 0x70000000, 0x200000000 };
	vms_tree_clear(&space.tree);
	ck_assert_uint_eq(find(&req, 0), 0x70000000);
	add(0x70000000, 0x80000000, 0);
	vms_addr_t addr;
	ck_assert_int_eq(vms_place_find(&space, &req, 0, &addr), -ENOMEM);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("place");
	TCase *tc = tcase_create("place");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, the_highest_gap_that_fits_is_filled_from_its_top);
	tcase_add_test(tc, the_guard_below_a_growing_mapping_is_kept);
	tcase_add_test(tc, within_the_guard_of_a_growing_mapping_nothing_is_certain);
	tcase_add_test(tc, a_hint_is_taken_only_when_all_of_it_is_free_and_clear_of_a_guard);
	tcase_add_test(tc, a_hint_below_mmap_min_addr_is_raised_to_it);
	tcase_add_test(tc, a_hint_within_the_first_page_is_none);
	tcase_add_test(tc, multiples_of_2_mib_are_aligned_when_there_is_room_for_it);
	tcase_add_test(tc, a_place_that_is_aligned_as_found_is_at_the_end_of_the_slack_that_the_kernel_takes);
	tcase_add_test(tc, a_file_is_aligned_by_its_offset_where_its_file_system_does_so);
	tcase_add_test(tc, above4g_keeps_out_of_the_first_4_gib);
	tcase_add_test(tc, with_57_bit_addresses_a_high_hint_is_certain_in_a_fence_only);
	tcase_add_test(tc, no_gap_is_enomem);
	tcase_add_test(tc, what_is_not_known_is_not_certain);
	tcase_add_test(tc, the_kernel_is_not_certain_of_low2g_where_its_window_begins_at_random);
	tcase_add_test(tc, our_own_search_stays_below_what_was_rejected);
	tcase_add_test(tc, our_own_search_never_leaves_the_range);
	tcase_add_test(tc, our_own_low2g_uses_the_kernels_window_first_and_then_what_is_below);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
