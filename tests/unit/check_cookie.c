/* Marking an injected call, and nothing of it that the kernel reads. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "vmsup/core/cookie.h"

static const struct vms_cookie cookie = { .r9 = 0x1122334455667788, .fd_high = 0xaabbccdd, .offset_high = 0x01020304 };

static void mark(int nr, uint64_t args[6])
{
	for (int i = 0; i < 6; i++)
		args[i] = 0x100 + (uint64_t)i;
	if (nr == SYS_mmap) {
		args[3] = MAP_PRIVATE;
		args[4] = 0x104;
	}
	vms_cookie_mark(&cookie, nr, args);
}

START_TEST(calls_of_five_arguments_or_fewer_have_it_in_the_sixth)
{
	static const int calls[] = { SYS_munmap, SYS_mremap, SYS_prctl, SYS_shmat, 462 };

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		uint64_t args[6];

		mark(calls[i], args);
		ck_assert_uint_eq(args[5], cookie.r9);
		for (int k = 0; k < 5; k++)
			ck_assert_uint_eq(args[k], 0x100 + (uint64_t)k);
	}
}
END_TEST

START_TEST(mmap_of_a_file_has_it_in_the_upper_half_of_the_descriptor_only)
{
	uint64_t args[6];

	mark(SYS_mmap, args);
	ck_assert_uint_eq(args[4], UINT64_C(0xaabbccdd00000104));
	ck_assert_uint_eq(args[5], 0x105);
}
END_TEST

START_TEST(anonymous_mmap_has_more_of_it_in_the_offset)
{
	uint64_t args[6] = { 1, 2, 3, MAP_PRIVATE | MAP_ANONYMOUS, (uint32_t)-1, 0 };

	vms_cookie_mark(&cookie, SYS_mmap, args);
	ck_assert_uint_eq(args[4], UINT64_C(0xaabbccddffffffff));
	ck_assert_uint_eq(args[5], UINT64_C(0x0102030400000000));
	ck_assert_int_eq((int)args[4], -1);
	/* The kernel takes page-aligned offsets only. */
	ck_assert_uint_eq(args[5] & 4095, 0);
}
END_TEST

START_TEST(marking_twice_is_marking_once)
{
	uint64_t args[6] = { 1, 2, 3, MAP_PRIVATE | MAP_ANONYMOUS, (uint32_t)-1, 0 }, once[6];

	vms_cookie_mark(&cookie, SYS_mmap, args);
	memcpy(once, args, sizeof(args));
	vms_cookie_mark(&cookie, SYS_mmap, args);
	ck_assert(memcmp(once, args, sizeof(args)) == 0);
}
END_TEST

START_TEST(a_call_that_is_never_injected_is_left_alone)
{
	static const int calls[] = { SYS_munlock, SYS_brk, SYS_execve, SYS_read };

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		uint64_t args[6];

		mark(calls[i], args);
		for (int k = 0; k < 6; k++)
			ck_assert_uint_eq(args[k], 0x100 + (uint64_t)k);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cookie");
	TCase *tc = tcase_create("cookie");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, calls_of_five_arguments_or_fewer_have_it_in_the_sixth);
	tcase_add_test(tc, mmap_of_a_file_has_it_in_the_upper_half_of_the_descriptor_only);
	tcase_add_test(tc, anonymous_mmap_has_more_of_it_in_the_offset);
	tcase_add_test(tc, marking_twice_is_marking_once);
	tcase_add_test(tc, a_call_that_is_never_injected_is_left_alone);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
