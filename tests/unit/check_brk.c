/* The three numbers of a program break. */
#include <check.h>
#include <stdlib.h>

#include "vmsup/core/brk.h"

static void is(const struct vms_brk *brk, vms_addr_t base, vms_addr_t current, vms_addr_t frontier)
{
	ck_assert_uint_eq(brk->base, base);
	ck_assert_uint_eq(brk->current, current);
	ck_assert_uint_eq(brk->frontier, frontier);
}

START_TEST(an_empty_heap_begins_at_its_base_byte_exact)
{
	struct vms_brk brk;

	vms_brk_init(&brk, 0x5000);
	is(&brk, 0x5000, 0x5000, 0x5000);
	vms_brk_init(&brk, 0x5123);
	is(&brk, 0x5123, 0x5123, 0x6000);
}
END_TEST

START_TEST(the_frontier_is_the_page_behind_the_break)
{
	struct vms_brk brk;

	vms_brk_init(&brk, 0x5000);
	vms_brk_set(&brk, 0x7001);
	is(&brk, 0x5000, 0x7001, 0x8000);
	vms_brk_set(&brk, 0x7000);
	is(&brk, 0x5000, 0x7000, 0x7000);
	vms_brk_set(&brk, 0x5000);
	is(&brk, 0x5000, 0x5000, 0x5000);
}
END_TEST

START_TEST(ensure_past_moves_an_empty_heap_upwards_only)
{
	struct vms_brk brk;

	vms_brk_init(&brk, 0x5000);
	vms_brk_ensure_past(&brk, 0x4000);
	is(&brk, 0x5000, 0x5000, 0x5000);
	vms_brk_ensure_past(&brk, 0x9100);
	is(&brk, 0x9100, 0x9100, 0xa000);
}
END_TEST

START_TEST(ensure_past_leaves_a_heap_in_use_where_it_is)
{
	struct vms_brk brk;

	vms_brk_init(&brk, 0x5000);
	vms_brk_set(&brk, 0x5008);
	vms_brk_ensure_past(&brk, 0x9000);
	is(&brk, 0x5000, 0x5008, 0x6000);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("brk");
	TCase *tc = tcase_create("brk");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, an_empty_heap_begins_at_its_base_byte_exact);
	tcase_add_test(tc, the_frontier_is_the_page_behind_the_break);
	tcase_add_test(tc, ensure_past_moves_an_empty_heap_upwards_only);
	tcase_add_test(tc, ensure_past_leaves_a_heap_in_use_where_it_is);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
