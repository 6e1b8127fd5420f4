/* Ranges, and the sentences for ranges that are not right. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmsup/core/range.h"

START_TEST(init_takes_only_aligned_ranges_that_are_not_empty)
{
	struct vms_range r = { 1, 2 };

	ck_assert_int_eq(vms_range_init(&r, 0x2000, 0x2000), -EINVAL);
	ck_assert_int_eq(vms_range_init(&r, 0x3000, 0x2000), -EINVAL);
	ck_assert_int_eq(vms_range_init(&r, 0x1001, 0x3000), -EINVAL);
	ck_assert_int_eq(vms_range_init(&r, 0x1000, 0x3800), -EINVAL);
	ck_assert_int_eq(vms_range_init(&r, 0xfffffffffffff000, 0), -EINVAL);
	ck_assert_uint_eq(r.start, 1);
	ck_assert_uint_eq(r.end, 2);
	ck_assert_int_eq(vms_range_init(&r, 0, 0xfffffffffffff000), 0);
	ck_assert_uint_eq(r.start, 0);
	ck_assert_uint_eq(vms_range_size(&r), 0xfffffffffffff000);
}
END_TEST

START_TEST(relations_treat_the_end_as_outside)
{
	struct vms_range a = { 0x1000, 0x3000 }, b = { 0x3000, 0x4000 }, c = { 0x2000, 0x3000 };

	ck_assert(vms_range_has(&a, 0x1000));
	ck_assert(vms_range_has(&a, 0x2fff));
	ck_assert(!vms_range_has(&a, 0x3000));
	ck_assert(!vms_range_has(&a, 0xfff));
	ck_assert(!vms_range_overlaps(&a, &b));
	ck_assert(!vms_range_overlaps(&b, &a));
	ck_assert(vms_range_overlaps(&a, &c));
	ck_assert(vms_range_overlaps(&c, &a));
	ck_assert(vms_range_covers(&a, &c));
	ck_assert(vms_range_covers(&a, &a));
	ck_assert(!vms_range_covers(&c, &a));
	ck_assert(!vms_range_covers(&a, &b));
}
END_TEST

static void takes(const char *text, vms_addr_t start, vms_addr_t end)
{
	struct vms_range r = { 1, 2 };
	struct vms_err err = VMS_ERR_INIT;

	ck_assert_msg(vms_range_parse(text, &r, &err) == 0, "%s: %s", text, err.text);
	ck_assert_uint_eq(r.start, start);
	ck_assert_uint_eq(r.end, end);
}

static void says(const char *text, const char *sentence)
{
	struct vms_range r = { 1, 2 };
	struct vms_err err = VMS_ERR_INIT;

	ck_assert_int_eq(vms_range_parse(text, &r, &err), -EINVAL);
	ck_assert_str_eq(err.text, sentence);
	ck_assert_uint_eq(r.start, 1);
	ck_assert_uint_eq(r.end, 2);
	ck_assert_int_eq(vms_range_parse(text, &r, NULL), -EINVAL);
}

START_TEST(a_range_is_two_numbers_and_a_dash)
{
	takes("0x10000-0x7fff0000", 0x10000, 0x7fff0000);
	takes("65536-128K", 65536, 131072);
	takes("8G-0x400000000", 0x200000000, 0x400000000);
	takes("0-0xfffffffffffff000", 0, 0xfffffffffffff000);
}
END_TEST

START_TEST(a_reversed_or_empty_range_is_explained)
{
	says("0x20000-0x10000",
	     "--range 0x20000-0x10000: the start is not below the end; write LO-HI with LO < HI");
	says("64K-0x10000",
	     "--range 64K-0x10000: the start is not below the end; write LO-HI with LO < HI");
}
END_TEST

START_TEST(an_unaligned_side_is_explained_with_the_nearest_aligned_ones)
{
	says("0x10001-0x20000",
	     "--range 0x10001-0x20000: the start is not a multiple of the page size (0x1000); "
	     "write 0x10000 or 0x11000");
	says("0x10000-0x20fff",
	     "--range 0x10000-0x20fff: the end is not a multiple of the page size (0x1000); "
	     "write 0x20000 or 0x21000");
	says("0-0xffffffffffffffff",
	     "--range 0-0xffffffffffffffff: the end is not a multiple of the page size (0x1000); "
	     "write 0xfffffffffffff000");
}
END_TEST

START_TEST(a_side_that_is_missing_or_no_number_is_explained)
{
	says("", "--range : there is no '-' in it; write LO-HI, for example 0x10000-0x7fff0000");
	says("0x10000",
	     "--range 0x10000: there is no '-' in it; write LO-HI, for example 0x10000-0x7fff0000");
	says("-0x10000",
	     "--range -0x10000: the start is missing; write LO-HI, for example 0x10000-0x7fff0000");
	says("1M-", "--range 1M-: the end is missing; write LO-HI, for example 0x10000-0x7fff0000");
	says("low-0x10000", "--range low-0x10000: the start 'low' is not a number; write decimal "
			    "or 0x hexadecimal, "
			    "with a suffix K, M, G or T if you like");
	says("1M-2M-3M", "--range 1M-2M-3M: the end '2M-3M' is not a number; write decimal or 0x "
			 "hexadecimal, with a suffix K, M, G or T if you like");
	says("1M-99999999T",
	     "--range 1M-99999999T: the end '99999999T' does not fit in 64 bits; write a smaller "
	     "address");
}
END_TEST

START_TEST(a_very_long_text_is_cut_and_the_advice_is_not)
{
	char text[3000];
	struct vms_range r;
	struct vms_err err = VMS_ERR_INIT;

	memset(text, 'z', sizeof(text));
	text[sizeof(text) - 1] = 0;
	text[1500] = '-';
	ck_assert_int_eq(vms_range_parse(text, &r, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "zzz...: the start 'zzz"));
	ck_assert_ptr_nonnull(strstr(err.text, "if you like"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("range");
	TCase *tc = tcase_create("range");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, init_takes_only_aligned_ranges_that_are_not_empty);
	tcase_add_test(tc, relations_treat_the_end_as_outside);
	tcase_add_test(tc, a_range_is_two_numbers_and_a_dash);
	tcase_add_test(tc, a_reversed_or_empty_range_is_explained);
	tcase_add_test(tc, an_unaligned_side_is_explained_with_the_nearest_aligned_ones);
	tcase_add_test(tc, a_side_that_is_missing_or_no_number_is_explained);
	tcase_add_test(tc, a_very_long_text_is_cut_and_the_advice_is_not);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
