/* Numbers as people write them. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmsup/base/num.h"

static void takes(const char *text, uint64_t want)
{
	uint64_t value = 42;

	ck_assert_int_eq(vms_num_parse(text, NULL, &value), 0);
	ck_assert_uint_eq(value, want);
}

static void refuses(const char *text, int code)
{
	uint64_t value = 42;

	ck_assert_int_eq(vms_num_parse(text, NULL, &value), code);
	ck_assert_uint_eq(value, 42);
}

START_TEST(decimal_and_hexadecimal_are_taken)
{
	takes("0", 0);
	takes("65536", 65536);
	takes("007", 7);
	takes("0x0", 0);
	takes("0x7fff0000", 0x7fff0000);
	takes("0XaBcDeF", 0xabcdef);
	takes("18446744073709551615", UINT64_MAX);
	takes("0xffffffffffffffff", UINT64_MAX);
}
END_TEST

START_TEST(a_suffix_multiplies_by_powers_of_1024)
{
	takes("64K", 64 << 10);
	takes("3m", 3 << 20);
	takes("2G", (uint64_t)2 << 30);
	takes("1t", (uint64_t)1 << 40);
	takes("0x10k", 0x4000);
	takes("16777215T", (uint64_t)16777215 << 40);
}
END_TEST

START_TEST(what_is_not_a_number_is_refused)
{
	static const char *const texts[] = { "",    " 1",  "1 ",  "+1", "-1", "x",   "0x",   "0xg",
					     "12a", "1KB", "1KK", "1P", "K",  "0xK", "1.5G", "\n" };
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		refuses(texts[i], -EINVAL);
}
END_TEST

START_TEST(what_passes_64_bits_is_out_of_range)
{
	refuses("18446744073709551616", -ERANGE);
	refuses("0x10000000000000000", -ERANGE);
	refuses("99999999999999999999999999999999", -ERANGE);
	refuses("16777216T", -ERANGE);
	refuses("0x40000000000000K", -ERANGE);
}
END_TEST

START_TEST(the_text_ends_where_the_caller_says)
{
	const char *text = "0x1000-0x2000";
	uint64_t value = 42;

	ck_assert_int_eq(vms_num_parse(text, text + 6, &value), 0);
	ck_assert_uint_eq(value, 0x1000);
	ck_assert_int_eq(vms_num_parse(text, text + 7, &value), -EINVAL);
	ck_assert_int_eq(vms_num_parse(text, text, &value), -EINVAL);
	ck_assert_int_eq(vms_num_parse(text, text + 1, &value), 0);
	ck_assert_uint_eq(value, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("num");
	TCase *tc = tcase_create("num");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, decimal_and_hexadecimal_are_taken);
	tcase_add_test(tc, a_suffix_multiplies_by_powers_of_1024);
	tcase_add_test(tc, what_is_not_a_number_is_refused);
	tcase_add_test(tc, what_passes_64_bits_is_out_of_range);
	tcase_add_test(tc, the_text_ends_where_the_caller_says);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
