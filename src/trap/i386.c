/*
 * The part of the filter for i386 calls; see the header.
 *
 * Only the lower halves of arguments are looked at: an i386 call made by 64-bit code may have anything above, and the kernel
 * ignores it. No injected call passes: there is no room for a cookie in six registers of 32 bits. What the supervisor makes a
 * thread call is notified like any other call.
 */
#include "i386.h"

#include <errno.h>
#include <stdbool.h>

#include <linux/audit.h>
#include <linux/seccomp.h>

#include "vmsup/core/call.h"

#define NR_USELIB 86

struct writer {
	struct sock_filter *code;
	size_t nr;
};

static void put(struct writer *w, uint16_t op, uint32_t k, uint8_t jt, uint8_t jf)
{
	if (w->nr < VMS_I386_MAX_CODE)
		w->code[w->nr++] = (struct sock_filter)BPF_JUMP(op, k, jt, jf);
}

static void load(struct writer *w, size_t offset)
{
	put(w, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void ret(struct writer *w, uint32_t action)
{
	put(w, BPF_RET | BPF_K, action, 0, 0);
}

/* Return @action when @test holds; else run on. */
static void put_test(struct writer *w, const struct vms_arg_test *test, uint32_t action)
{
	const bool wants_equal = test->op != VMS_TEST_NE;

	if (test->op == VMS_TEST_NONE) {
		ret(w, action);
		return;
	}
	/* Little-endian: the lower half comes first. */
	load(w, offsetof(struct seccomp_data, args[0]) + test->arg * sizeof(uint64_t));
	if (test->op == VMS_TEST_CLEAR)
		put(w, BPF_JMP | BPF_JSET | BPF_K, (uint32_t)test->value, 1, 0);
	else
		put(w, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)test->value, wants_equal ? 0 : 1, wants_equal ? 1 : 0);
	ret(w, action);
}

/* The accumulator holds the number, before and after. */
static void put_call(struct writer *w, int nr, const struct vms_arg_test *tests, uint32_t action)
{
	const size_t at = w->nr;

	put(w, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 0, 0);
	for (size_t i = 0; i < VMS_MAX_TESTS; i++) {
		if (i > 0 && tests[i].op == VMS_TEST_NONE)
			break;
		put_test(w, &tests[i], action);
	}
	if (tests[0].op != VMS_TEST_NONE)
		ret(w, SECCOMP_RET_ALLOW);
	w->code[at].jf = (uint8_t)(w->nr - at - 1);
}

/* ipc(2) is many calls; above its number there is a version. */
static void put_ipc(struct writer *w, int nr)
{
	put(w, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 0, 6);
	load(w, offsetof(struct seccomp_data, args[0]));
	put(w, BPF_ALU | BPF_AND | BPF_K, 0xffff, 0, 0);
	put(w, BPF_JMP | BPF_JEQ | BPF_K, VMS_IPC_SHMAT, 1, 0);
	put(w, BPF_JMP | BPF_JEQ | BPF_K, VMS_IPC_SHMDT, 0, 1);
	ret(w, SECCOMP_RET_USER_NOTIF);
	ret(w, SECCOMP_RET_ALLOW);
}

size_t vms_filter_i386(unsigned int when, struct sock_filter *code)
{
	static const struct vms_arg_test always[VMS_MAX_TESTS] = { { VMS_TEST_NONE, 0, 0 } };
	struct writer w = { .code = code };
	const struct vms_i386_call *calls;
	size_t nr;

	calls = vms_i386_calls(&nr);
	load(&w, offsetof(struct seccomp_data, arch));
	put(&w, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_I386, 1, 0);
	put(&w, BPF_JMP | BPF_JA, 0, 0, 0);
	load(&w, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < nr; i++) {
		const struct vms_call_info *info = vms_call_get(calls[i].call);

		if (!(info->when & when))
			continue;
		if (calls[i].form == VMS_FORM_IPC)
			put_ipc(&w, calls[i].nr);
		else
			put_call(&w, calls[i].nr, info->any_of, SECCOMP_RET_USER_NOTIF);
	}
	/* A library of a.out's days is mapped where it says. Linux 6.15 has dropped the call. */
	put_call(&w, NR_USELIB, always, SECCOMP_RET_ERRNO | ENOSYS);
	ret(&w, SECCOMP_RET_ALLOW);
	code[2].k = (uint32_t)(w.nr - 3);
	return w.nr;
}
