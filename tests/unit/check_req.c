/* Decoding: six registers to a request. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "vmsup/core/req.h"

static struct vms_req req;

static void decode(int nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	const uint64_t args[6] = { a, b, c, d, e, f };

	memset(&req, 0xee, sizeof(req));
	ck_assert_int_eq(vms_req_decode(VMS_ARCH_X86_64, nr, args, &req), 0);
	ck_assert(memcmp(req.args, args, sizeof(args)) == 0);
}

START_TEST(an_unknown_number_is_enosys_and_writes_nothing)
{
	const uint64_t args[6] = { 1, 2, 3, 4, 5, 6 };
	struct vms_req before;

	memset(&req, 0x77, sizeof(req));
	before = req;
	ck_assert_int_eq(vms_req_decode(VMS_ARCH_X86_64, SYS_read, args, &req), -ENOSYS);
	ck_assert_int_eq(vms_req_decode(VMS_ARCH_X86_64, -1, args, &req), -ENOSYS);
	ck_assert_int_eq(vms_req_decode(VMS_ARCH_X86_64, 0x40000000 | SYS_mmap, args, &req), -ENOSYS);
	ck_assert(memcmp(&before, &req, sizeof(req)) == 0);
}
END_TEST

START_TEST(mmap_takes_its_arguments_with_the_kernels_types)
{
	decode(SYS_mmap, 0x7000, 0x1001, ~UINT64_C(0), UINT64_C(0xaaaaaaaa00000022), UINT64_C(0x1234ffffffff), 0x9000);
	ck_assert_int_eq(req.call, VMS_CALL_MMAP);
	ck_assert_uint_eq(req.mmap.addr, 0x7000);
	ck_assert_uint_eq(req.mmap.length, 0x1001);
	ck_assert_uint_eq(req.mmap.prot, 7);
	ck_assert_uint_eq(req.mmap.flags, 0x22);
	ck_assert_int_eq(req.mmap.fd, -1);
	ck_assert_uint_eq(req.mmap.offset, 0x9000);
}
END_TEST

START_TEST(an_address_and_a_length_are_a_span)
{
	static const int calls[] = { SYS_munmap, 462, SYS_remap_file_pages, SYS_mincore, SYS_msync };

	for (size_t i = 0; i < 5; i++) {
		decode(calls[i], 0x5000, 0x77, 1, 2, 3, 4);
		ck_assert_uint_eq(req.span.addr, 0x5000);
		ck_assert_uint_eq(req.span.length, 0x77);
	}
}
END_TEST

START_TEST(mprotect_has_a_key_only_when_it_was_given)
{
	decode(SYS_mprotect, 0x5000, 0x77, 5, 9, 3, 4);
	ck_assert_uint_eq(req.mprotect.addr, 0x5000);
	ck_assert_uint_eq(req.mprotect.length, 0x77);
	ck_assert_uint_eq(req.mprotect.prot, 5);
	ck_assert_int_eq(req.mprotect.pkey, -1);
	decode(SYS_pkey_mprotect, 0x5000, 0x77, 5, 9, 3, 4);
	ck_assert_int_eq(req.mprotect.pkey, 9);
}
END_TEST

START_TEST(mremap_has_five)
{
	decode(SYS_mremap, 1, 2, 3, UINT64_C(0x900000003), 5, 6);
	ck_assert_uint_eq(req.mremap.old_addr, 1);
	ck_assert_uint_eq(req.mremap.old_length, 2);
	ck_assert_uint_eq(req.mremap.new_length, 3);
	ck_assert_uint_eq(req.mremap.flags, 3);
	ck_assert_uint_eq(req.mremap.new_addr, 5);
}
END_TEST

START_TEST(brk_shm_and_personality)
{
	decode(SYS_brk, 0x123456, 0, 0, 0, 0, 0);
	ck_assert_uint_eq(req.brk.addr, 0x123456);
	decode(SYS_shmat, UINT64_C(0x100000007), 0x8000, UINT64_C(0x500001000), 0, 0, 0);
	ck_assert_int_eq(req.shmat.id, 7);
	ck_assert_uint_eq(req.shmat.addr, 0x8000);
	ck_assert_int_eq(req.shmat.flags, 0x1000);
	decode(SYS_shmdt, 0x8000, 0, 0, 0, 0, 0);
	ck_assert_uint_eq(req.shmdt.addr, 0x8000);
	decode(SYS_personality, 0xffffffff, 0, 0, 0, 0, 0);
	ck_assert_uint_eq(req.personality.persona, 0xffffffff);
}
END_TEST

START_TEST(the_three_limit_calls_look_alike)
{
	decode(SYS_setrlimit, 9, 0x1000, 0, 0, 0, 0);
	ck_assert_int_eq(req.rlimit.pid, 0);
	ck_assert_uint_eq(req.rlimit.new_limit, 0x1000);
	ck_assert_uint_eq(req.rlimit.old_limit, 0);
	decode(SYS_getrlimit, 9, 0x1000, 0, 0, 0, 0);
	ck_assert_uint_eq(req.rlimit.new_limit, 0);
	ck_assert_uint_eq(req.rlimit.old_limit, 0x1000);
	decode(SYS_prlimit64, 44, 9, 0x2000, 0x3000, 0, 0);
	ck_assert_int_eq(req.rlimit.pid, 44);
	ck_assert_uint_eq(req.rlimit.new_limit, 0x2000);
	ck_assert_uint_eq(req.rlimit.old_limit, 0x3000);
}
END_TEST

START_TEST(sigaction_keeps_the_address_of_the_action)
{
	decode(SYS_rt_sigaction, 10, 0x4444, 0x5555, 8, 0, 0);
	ck_assert_uint_eq(req.sigaction.action, 0x4444);
}
END_TEST

START_TEST(calls_without_a_decoder_have_their_registers)
{
	decode(SYS_execve, 1, 2, 3, 4, 5, 6);
	ck_assert_int_eq(req.call, VMS_CALL_EXECVE);
	decode(SYS_exit_group, 3, 0, 0, 0, 0, 0);
	ck_assert_int_eq(req.call, VMS_CALL_EXIT_GROUP);
}
END_TEST

static void decode_i386(int nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	/* The kernel does not look at what 64-bit code leaves above. */
	const uint64_t above = UINT64_C(0xabcd) << 32;
	const uint64_t args[6] = { a | above, b | above, c | above, d | above, e | above, f | above };

	memset(&req, 0xee, sizeof(req));
	ck_assert_int_eq(vms_req_decode(VMS_ARCH_I386, nr, args, &req), 0);
	ck_assert_int_eq(req.arch, VMS_ARCH_I386);
	for (int i = 0; i < 6; i++)
		ck_assert_uint_le(req.args[i], UINT32_MAX);
}

START_TEST(mmap2_counts_its_offset_in_pages_and_knows_no_low_2g)
{
	decode_i386(192, 0xfffff000, 0x1001, 7, MAP_PRIVATE | MAP_32BIT | 0x80, 0xffffffff, 0xfffffff0);
	ck_assert_int_eq(req.call, VMS_CALL_MMAP);
	ck_assert_uint_eq(req.mmap.addr, 0xfffff000);
	ck_assert_uint_eq(req.mmap.length, 0x1001);
	ck_assert_uint_eq(req.mmap.prot, 7);
	ck_assert_uint_eq(req.mmap.flags, MAP_PRIVATE);
	ck_assert_int_eq(req.mmap.fd, -1);
	ck_assert_uint_eq(req.mmap.offset, UINT64_C(0xfffffff0000));
	ck_assert_uint_eq(req.args[5], 0xfffffff0);
}
END_TEST

START_TEST(old_mmap_is_decoded_from_a_copy_of_its_block)
{
	const uint32_t words[6] = { 0x8000, 0x2000, 3, MAP_SHARED, 9, 0x3000 };
	const uint32_t odd[6] = { 0x8000, 0x2000, 3, MAP_SHARED, 9, 0x3001 };

	decode_i386(90, 0x12345678, 0, 0, 0, 0, 0);
	ck_assert_int_eq(req.form, VMS_FORM_BLOCK);
	ck_assert_uint_eq(req.args[0], 0x12345678);
	ck_assert_int_eq(vms_req_decode_block(&req, odd), -EINVAL);
	ck_assert_uint_eq(req.args[0], 0x12345678);
	ck_assert_int_eq(vms_req_decode_block(&req, words), 0);
	ck_assert_int_eq(req.form, VMS_FORM_BLOCK);
	ck_assert_uint_eq(req.mmap.addr, 0x8000);
	ck_assert_uint_eq(req.mmap.length, 0x2000);
	ck_assert_uint_eq(req.mmap.flags, MAP_SHARED);
	ck_assert_int_eq(req.mmap.fd, 9);
	ck_assert_uint_eq(req.mmap.offset, 0x3000);
	/* As mmap2 wants them. */
	ck_assert_uint_eq(req.args[3], MAP_SHARED);
	ck_assert_uint_eq(req.args[5], 3);
}
END_TEST

START_TEST(ipc_is_shmat_or_shmdt)
{
	decode_i386(117, 21, 7, 0x1000, 0x5000, 0x8000, 0);
	ck_assert_int_eq(req.call, VMS_CALL_SHMAT);
	ck_assert_int_eq(req.shmat.id, 7);
	ck_assert_uint_eq(req.shmat.addr, 0x8000);
	ck_assert_int_eq(req.shmat.flags, 0x1000);
	ck_assert_uint_eq(req.args[0], 7);
	ck_assert_uint_eq(req.args[1], 0x8000);
	ck_assert_uint_eq(req.args[2], 0x1000);
	ck_assert_uint_eq(req.args[3], 0x5000);
	decode_i386(117, 22, 0, 0, 0, 0x8000, 0);
	ck_assert_int_eq(req.call, VMS_CALL_SHMDT);
	ck_assert_uint_eq(req.shmdt.addr, 0x8000);
	/* Version 1 of SHMAT is refused by the kernel: no place is to be chosen for it. */
	decode_i386(117, 0x10000 | 21, 7, 0x1000, 0x5000, 0x8000, 0);
	ck_assert_int_eq(req.call, VMS_CALL_SHMDT);
}
END_TEST

START_TEST(other_i386_calls_are_decoded_like_those_of_x86_64)
{
	decode_i386(163, 0x1000, 0x2000, 0x3000, 3, 0x5000, 0);
	ck_assert_int_eq(req.call, VMS_CALL_MREMAP);
	ck_assert_uint_eq(req.mremap.new_addr, 0x5000);
	decode_i386(45, 0xfffffffe, 0, 0, 0, 0, 0);
	ck_assert_uint_eq(req.brk.addr, 0xfffffffe);
	decode_i386(76, 9, 0x1000, 0, 0, 0, 0);
	ck_assert_int_eq(req.form, VMS_FORM_OLD);
	ck_assert_uint_eq(req.rlimit.old_limit, 0x1000);
	decode_i386(48, 10, 0x4444, 0, 0, 0, 0);
	ck_assert_int_eq(req.form, VMS_FORM_SIGNAL);
	ck_assert_uint_eq(req.sigaction.action, 0x4444);
	decode_i386(1, 0, 0, 0, 0, 0, 0);
	ck_assert_int_eq(req.call, VMS_CALL_EXIT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("req");
	TCase *tc = tcase_create("req");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, an_unknown_number_is_enosys_and_writes_nothing);
	tcase_add_test(tc, mmap_takes_its_arguments_with_the_kernels_types);
	tcase_add_test(tc, an_address_and_a_length_are_a_span);
	tcase_add_test(tc, mprotect_has_a_key_only_when_it_was_given);
	tcase_add_test(tc, mremap_has_five);
	tcase_add_test(tc, brk_shm_and_personality);
	tcase_add_test(tc, the_three_limit_calls_look_alike);
	tcase_add_test(tc, sigaction_keeps_the_address_of_the_action);
	tcase_add_test(tc, calls_without_a_decoder_have_their_registers);
	tcase_add_test(tc, mmap2_counts_its_offset_in_pages_and_knows_no_low_2g);
	tcase_add_test(tc, old_mmap_is_decoded_from_a_copy_of_its_block);
	tcase_add_test(tc, ipc_is_shmat_or_shmdt);
	tcase_add_test(tc, other_i386_calls_are_decoded_like_those_of_x86_64);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
