/* The table of trapped calls: whole, without doubles, and right about what each call needs. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "vmsup/core/call.h"

START_TEST(every_entry_is_filled_in_and_no_number_comes_twice)
{
	for (int i = 0; i < VMS_NR_CALLS; i++) {
		const struct vms_call_info *info = vms_call_get((enum vms_call)i);

		ck_assert_ptr_nonnull(info->name);
		ck_assert_uint_gt(strlen(info->name), 0);
		ck_assert_uint_le(info->nr_args, 6);
		ck_assert_uint_ne(info->when, 0);
		ck_assert_int_eq(vms_call_by_nr(VMS_ARCH_X86_64, info->nr), i);
		for (int j = 0; j < i; j++) {
			ck_assert_str_ne(info->name, vms_call_get((enum vms_call)j)->name);
			ck_assert_int_ne(info->nr, vms_call_get((enum vms_call)j)->nr);
		}
	}
}
END_TEST

START_TEST(every_i386_number_comes_once)
{
	size_t nr;
	const struct vms_i386_call *calls = vms_i386_calls(&nr);

	for (size_t i = 0; i < nr; i++) {
		ck_assert_ptr_eq(vms_i386_find(calls[i].nr), &calls[i]);
		ck_assert_int_eq(vms_call_by_nr(VMS_ARCH_I386, calls[i].nr), calls[i].call);
		for (size_t j = 0; j < i; j++)
			ck_assert_int_ne(calls[i].nr, calls[j].nr);
	}
	ck_assert_ptr_null(vms_i386_find(SYS_mmap)); /* lseek, of i386 */
	ck_assert_int_eq(vms_call_by_nr(VMS_ARCH_I386, SYS_mmap), VMS_NR_CALLS);
}
END_TEST

START_TEST(every_call_has_an_i386_number_with_its_arguments_in_registers)
{
	for (int i = 0; i < VMS_NR_CALLS; i++) {
		const struct vms_i386_call *found = vms_i386_find(vms_call_nr(VMS_ARCH_I386, (enum vms_call)i));

		ck_assert_ptr_nonnull(found);
		ck_assert_int_eq(found->call, i);
		ck_assert(found->form == VMS_FORM_SAME || found->form == VMS_FORM_PAGES);
		ck_assert_int_eq(vms_call_nr(VMS_ARCH_X86_64, (enum vms_call)i), vms_call_get((enum vms_call)i)->nr);
	}
}
END_TEST

START_TEST(a_number_outside_the_table_is_no_call)
{
	static const int others[] = { -1, SYS_read, SYS_vfork, SYS_madvise, 1 << 30, 0x40000000 | SYS_mmap };

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		ck_assert_int_eq(vms_call_by_nr(VMS_ARCH_X86_64, others[i]), VMS_NR_CALLS);
}
END_TEST

START_TEST(a_cookie_lies_only_in_an_argument_that_the_call_ignores)
{
	for (int i = 0; i < VMS_NR_CALLS; i++) {
		const struct vms_call_info *info = vms_call_get((enum vms_call)i);

		if (info->cookie == VMS_COOKIE_R9)
			ck_assert_msg(info->nr_args < 6, "%s", info->name);
		if (info->cookie == VMS_COOKIE_MMAP)
			ck_assert_int_eq(i, VMS_CALL_MMAP);
	}
}
END_TEST

START_TEST(what_is_injected_has_a_cookie)
{
	static const int injected[] = { SYS_mmap, SYS_munmap, SYS_mremap, SYS_prctl, SYS_shmat, 462 };

	for (size_t i = 0; i < sizeof(injected) / sizeof(injected[0]); i++)
		ck_assert_int_ne(vms_call_get(vms_call_by_nr(VMS_ARCH_X86_64, injected[i]))->cookie, VMS_COOKIE_NONE);
}
END_TEST

START_TEST(a_range_is_kept_in_both_modes)
{
	/* exec, limits and the image's bookkeeping matter to the fence alone as well. */
	static const enum vms_call both[] = { VMS_CALL_EXECVE, VMS_CALL_EXECVEAT, VMS_CALL_SETRLIMIT, VMS_CALL_PRLIMIT64,
					      VMS_CALL_PRCTL, VMS_CALL_ARCH_PRCTL, VMS_CALL_PERSONALITY, VMS_CALL_SECCOMP };

	for (size_t i = 0; i < sizeof(both) / sizeof(both[0]); i++)
		ck_assert_uint_eq(vms_call_get(both[i])->when & (VMS_TRAP_FENCE | VMS_TRAP_SUPERVISE),
				  VMS_TRAP_FENCE | VMS_TRAP_SUPERVISE);
	for (int i = VMS_CALL_MMAP; i <= VMS_CALL_MAP_SHADOW_STACK; i++)
		ck_assert_uint_eq(vms_call_get((enum vms_call)i)->when, VMS_TRAP_SUPERVISE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("call");
	TCase *tc = tcase_create("call");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, every_entry_is_filled_in_and_no_number_comes_twice);
	tcase_add_test(tc, every_i386_number_comes_once);
	tcase_add_test(tc, every_call_has_an_i386_number_with_its_arguments_in_registers);
	tcase_add_test(tc, a_number_outside_the_table_is_no_call);
	tcase_add_test(tc, a_cookie_lies_only_in_an_argument_that_the_call_ignores);
	tcase_add_test(tc, what_is_injected_has_a_cookie);
	tcase_add_test(tc, a_range_is_kept_in_both_modes);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
