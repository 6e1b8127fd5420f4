/*
 * The filter and its listener in a real process: what is notified, what passes, what is refused, what the cookie opens, and
 * what the three answers mean to the caller.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spy.h"
#include "vmsup/core/call.h"
#include "vmsup/core/cookie.h"
#include "vmsup/trap/filter.h"

#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define EVERYTHING (VMS_TRAP_FENCE | VMS_TRAP_SUPERVISE | VMS_TRAP_GUARD | VMS_TRAP_AUDIT | VMS_TRAP_ASKED | VMS_TRAP_TREE)

struct one_call {
	long nr;
	uint64_t args[6];
	bool fence, supervise, guard; /* notified with only that feature? */
};

static int make_call(void *arg)
{
	const struct one_call *c = arg;

	syscall(c->nr, c->args[0], c->args[1], c->args[2], c->args[3], c->args[4], c->args[5]);
	return 0;
}

/* True when the victim's one call is notified; it is refused then, and the victim must end either way. */
static bool is_notified(unsigned int when, const struct one_call *call)
{
	struct one_call copy = *call;
	struct spy spy = spy_start(when, make_call, &copy);
	bool notified = false;
	int status;

	/* Before Linux 6.11 the listener hangs up only when the victim has been waited for. */
	for (int waited = 0; !spy_has_news(spy.pid, 0); waited++) {
		struct pollfd p = { .fd = spy.listener.fd, .events = POLLIN };
		struct vms_trap trap;

		ck_assert_int_lt(waited, 10000);
		if (poll(&p, 1, 1) != 1 || !(p.revents & POLLIN))
			continue;
		if (vms_listener_receive(&spy.listener, &trap) < 0)
			continue;
		if (trap.nr == call->nr) {
			notified = true;
			ck_assert(memcmp(trap.args, call->args, sizeof(trap.args)) == 0);
			ck_assert_int_eq(trap.tid, spy.pid);
			ck_assert_int_eq(vms_listener_refuse(&spy.listener, trap.id, EPERM), 0);
		} else {
			ck_assert_int_eq(vms_listener_continue(&spy.listener, trap.id), 0);
		}
	}
	status = spy_wait(spy.pid);
	ck_assert_msg(WIFEXITED(status), "%s", spy_say(status));
	spy_end(&spy);
	return notified;
}

static const struct one_call calls[] = {
	{ SYS_mmap, { 0, 4096, 3, ANON, (uint32_t)-1, 0 }, false, true, false },
	{ SYS_munmap, { 0x10000, 4096 }, false, true, false },
	{ SYS_mremap, { 0x10000, 4096, 8192, 0 }, false, true, false },
	{ SYS_mprotect, { 0x10000, 4096, 1 }, false, true, false },
	{ SYS_pkey_mprotect, { 0x10000, 4096, 1, (uint32_t)-1 }, false, true, false },
	{ SYS_brk, { 1 }, false, true, false },
	{ SYS_brk, { 0 }, false, false, false },
	{ SYS_shmat, { 1, 0, 0 }, false, true, false },
	{ SYS_shmdt, { 0x10000 }, false, true, false },
	{ SYS_io_setup, { 0, 0 }, false, true, false },
	{ 462, { 0, 0, 0 }, false, true, false },
	{ 453, { 0, 0, 0 }, false, true, false },
	{ SYS_execve, { 0, 0, 0 }, true, true, false },
	{ SYS_execveat, { 0, 0, 0, 0, 0 }, true, true, false },
	{ SYS_setrlimit, { RLIMIT_AS, 0 }, true, true, false },
	{ SYS_setrlimit, { RLIMIT_AS | UINT64_C(0x700000000), 0 }, true, true, false },
	{ SYS_setrlimit, { RLIMIT_NOFILE, 0 }, false, false, false },
	{ SYS_getrlimit, { RLIMIT_AS, 0 }, true, true, false },
	{ SYS_prlimit64, { 0, RLIMIT_AS, 0, 0 }, true, true, false },
	{ SYS_prlimit64, { 0, RLIMIT_STACK, 0, 0 }, false, false, false },
	{ SYS_prctl, { PR_SET_MM, 0, 0, 0, 0 }, true, true, false },
	{ SYS_prctl, { PR_GET_NAME, 0, 0, 0, 0 }, false, false, false },
	{ SYS_prctl, { PR_SET_SECCOMP, 0, 0, 0, 0 }, true, true, false },
	{ SYS_prctl, { PR_SET_DUMPABLE, 0, 0, 0, 0 }, true, true, false },
	{ SYS_seccomp, { 1, 0, 0 }, true, true, false },
	{ SYS_seccomp, { UINT64_C(0x100000001), 0, 0 }, true, true, false },
	{ SYS_seccomp, { 2, 0, 0 }, false, false, false },
	{ SYS_mlockall, { 1 }, true, false, false },
	{ SYS_mlockall, { 7 }, true, false, false },
	{ SYS_mlockall, { 2 }, false, false, false },
	{ SYS_arch_prctl, { 0x2003, 0 }, true, true, false },
	{ SYS_arch_prctl, { 0x1003, 0 }, false, false, false },
	{ SYS_personality, { 0xffffffff }, true, true, false },
	{ SYS_rt_sigaction, { SIGUSR1, 16, 0, 8 }, false, false, true },
	{ SYS_rt_sigaction, { SIGUSR1, 0, 0, 8 }, false, false, false },
	{ SYS_read, { (uint32_t)-1, 0, 0 }, false, false, false },
	{ SYS_madvise, { 0x10000, 4096, 4 }, false, false, false },
	{ SYS_getpid, { 0 }, false, false, false },
};

START_TEST(each_call_is_notified_with_the_features_that_need_it)
{
	const struct one_call *call = &calls[_i];

	ck_assert_int_eq(is_notified(VMS_TRAP_FENCE, call), call->fence);
	ck_assert_int_eq(is_notified(VMS_TRAP_SUPERVISE, call), call->supervise);
	ck_assert_int_eq(is_notified(VMS_TRAP_GUARD, call), call->guard);
}
END_TEST

START_TEST(only_limits_of_the_tree_need_forks)
{
	const struct one_call forks[] = { { .nr = SYS_fork }, { .nr = SYS_clone, .args = { SIGCHLD } }, { .nr = SYS_clone3 } };
	/* Without CLONE_SIGHAND the kernel refuses it. */
	const struct one_call thread = { .nr = SYS_clone, .args = { CLONE_VM | CLONE_THREAD } };

	for (size_t i = 0; i < sizeof(forks) / sizeof(forks[0]); i++)
		ck_assert(is_notified(VMS_TRAP_SUPERVISE | VMS_TRAP_TREE, &forks[i]));
	ck_assert(!is_notified(VMS_TRAP_SUPERVISE | VMS_TRAP_TREE, &thread));
	ck_assert(!is_notified(VMS_TRAP_SUPERVISE, &forks[2]));
}
END_TEST

START_TEST(only_a_range_needs_to_hide_what_is_mapped)
{
	static const int numbers[] = { SYS_mincore, SYS_msync };

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		const struct one_call call = { .nr = numbers[i] };

		ck_assert(!is_notified(VMS_TRAP_SUPERVISE, &call));
		ck_assert(is_notified(VMS_TRAP_SUPERVISE | VMS_TRAP_ASKED, &call));
	}
}
END_TEST

/* ---- the cookie, and what is refused without asking ---- */

/*
 * A child loads the filter for everything, closes the listener and makes one call. Without a listener a notified call
 * fails with ENOSYS; one that passes has the kernel's answer. Exits with the errno, 0 for success.
 */
static int errno_of(const struct vms_cookie *cookie, long nr, const uint64_t args[6])
{
	struct vms_filter filter;
	int status;
	pid_t pid;

	ck_assert_int_eq(vms_filter_build(EVERYTHING & ~VMS_TRAP_AUDIT, cookie, NULL, &filter, NULL), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		int fd = vms_filter_load(&filter);

		if (fd < 0)
			_exit(255);
		close(fd);
		_exit(syscall(nr, args[0], args[1], args[2], args[3], args[4], args[5]) == -1 ? errno : 0);
	}
	status = spy_wait(pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) != 255, "%s", spy_say(status));
	vms_filter_done(&filter);
	return WEXITSTATUS(status);
}

/* Every call that is injected, and its errno when it is let through. */
static const struct {
	long nr;
	uint64_t args[6];
	int error;
	unsigned int bits; /* of cookie, to be flipped one by one: the argument and its first bit */
	int arg;
	unsigned int first_bit;
} injected[] = {
	{ SYS_munmap, { 0x10001, 4096 }, EINVAL, 64, 5, 0 },
	{ SYS_mremap, { 0x10001, 4096, 8192 }, EINVAL, 64, 5, 0 },
	{ SYS_prctl, { PR_SET_MM, PR_SET_MM_MAP, 0, 1, 0 }, EINVAL, 64, 5, 0 },
	{ SYS_shmat, { 0x7fffffff, 0, 0 }, EINVAL, 64, 5, 0 },
	{ SYS_mprotect, { 0x10001, 4096, PROT_READ }, EINVAL, 64, 5, 0 },
	{ SYS_personality, { 0xffffffff }, 0, 64, 5, 0 },
	{ SYS_mmap, { 0, 4096, PROT_NONE, ANON, (uint32_t)-1, 0 }, 0, 32, 4, 32 },
	{ SYS_mmap, { 0, 4096, PROT_NONE, ANON, (uint32_t)-1, 0 }, 0, 52, 5, 12 },
	{ SYS_mmap, { 0, 4096, PROT_READ, MAP_PRIVATE, 12345, 0 }, EBADF, 32, 4, 32 },
	/* Only with mseal (Linux 6.10): without it the kernel's own answer is that of a notified call. */
	{ 462, { 0x10001, 4096, 0 }, EINVAL, 64, 5, 0 },
};

START_TEST(a_call_with_the_cookie_passes_and_one_wrong_bit_is_notified)
{
	struct vms_cookie cookie;
	uint64_t args[6];

	if (injected[_i].nr == 462 && syscall(462, 0, 0, 0) < 0)
		return;
	ck_assert_int_eq(vms_cookie_draw(&cookie), 0);
	memcpy(args, injected[_i].args, sizeof(args));
	vms_cookie_mark(&cookie, (int)injected[_i].nr, args);
	ck_assert_int_eq(errno_of(&cookie, injected[_i].nr, args), injected[_i].error);
	for (unsigned int bit = 0; bit < injected[_i].bits; bit += 3) {
		uint64_t wrong[6];

		memcpy(wrong, args, sizeof(wrong));
		wrong[injected[_i].arg] ^= UINT64_C(1) << (injected[_i].first_bit + bit);
		ck_assert_msg(errno_of(&cookie, injected[_i].nr, wrong) == ENOSYS, "bit %u of argument %d does not matter",
			      injected[_i].first_bit + bit, injected[_i].arg);
	}
}
END_TEST

START_TEST(the_cookie_opens_only_calls_that_are_injected)
{
	static const long others[] = { SYS_brk, SYS_shmdt, SYS_pkey_mprotect, SYS_io_setup };
	struct vms_cookie cookie;

	ck_assert_int_eq(vms_cookie_draw(&cookie), 0);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		const uint64_t args[6] = { 1, 1, 1, 1, (uint64_t)cookie.fd_high << 32, cookie.r9 };

		ck_assert_int_eq(errno_of(&cookie, others[i], args), ENOSYS);
	}
}
END_TEST

START_TEST(cookies_differ_and_are_nothing_that_a_program_passes_by_accident)
{
	struct vms_cookie a, b;

	for (int i = 0; i < 200; i++) {
		ck_assert_int_eq(vms_cookie_draw(&a), 0);
		ck_assert_int_eq(vms_cookie_draw(&b), 0);
		ck_assert(a.r9 != b.r9 || a.fd_high != b.fd_high);
		ck_assert_uint_gt(a.r9, UINT32_MAX);
		ck_assert(a.fd_high != 0 && a.fd_high != UINT32_MAX);
		/* The kernel must take it as an offset: not negative, and length added it does not wrap. */
		ck_assert(a.offset_high != 0 && a.offset_high < UINT32_MAX / 2);
	}
}
END_TEST

START_TEST(x32_calls_are_refused_without_asking)
{
	struct vms_cookie cookie;
	const uint64_t none[6] = { 0 };

	ck_assert_int_eq(vms_cookie_draw(&cookie), 0);
	ck_assert_int_eq(errno_of(&cookie, 0x40000000 | SYS_getpid, none), ENOSYS);
}
END_TEST

/* int $0x80 with the number of i386's getpid. */
static int i386_call(void *arg)
{
	long result = 20;

	(void)arg;
	__asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
	return (int)result == -ENOSYS ? 0 : 1;
}

START_TEST(i386_calls_of_a_64_bit_process_are_enosys)
{
	struct spy spy = spy_start(VMS_TRAP_FENCE, i386_call, NULL);
	int status = spy_serve_to_end(&spy);

	/* A kernel without IA32 emulation raises SIGSEGV: that is no way out either. */
	ck_assert_msg((WIFEXITED(status) && WEXITSTATUS(status) == 0) || (WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV),
		      "%s", spy_say(status));
	spy_end(&spy);
}
END_TEST

/* ---- i386 calls; what 64-bit code leaves in the upper halves of its registers means nothing ---- */

#define ABOVE (UINT64_C(0xdeadbeef) << 32)

static long int80(uint64_t nr, const uint64_t args[5])
{
	long result = (long)nr;

	__asm__ volatile("int $0x80"
			 : "+a"(result)
			 : "b"(args[0] | ABOVE), "c"(args[1] | ABOVE), "d"(args[2] | ABOVE), "S"(args[3] | ABOVE),
			   "D"(args[4] | ABOVE)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)result;
}

struct i386_victim {
	uint64_t nr;
	uint64_t args[6];
};

static int make_i386_call(void *arg)
{
	const struct i386_victim *v = arg;

	return (int)-int80(v->nr, v->args);
}

static const struct {
	struct i386_victim call;
	unsigned int when; /* asked about with these features; 0: never */
	int status; /* what the victim sees else: a positive errno, or 0 */
} i386_calls[] = {
	{ { 192, { 0, 4096 } }, VMS_TRAP_SUPERVISE, 0 }, /* mmap2 */
	{ { 90, { 1 } }, VMS_TRAP_SUPERVISE, EFAULT }, /* mmap */
	{ { 91, { 0x10001, 4096 } }, VMS_TRAP_SUPERVISE, EINVAL },
	{ { 163, { 0x10001, 4096, 4096 } }, VMS_TRAP_SUPERVISE, EINVAL },
	{ { 125, { 0x10001, 4096 } }, VMS_TRAP_SUPERVISE, EINVAL },
	{ { 45, { 1 } }, VMS_TRAP_SUPERVISE, 0 },
	{ { 117, { 21 } }, VMS_TRAP_SUPERVISE, 0 }, /* ipc: SHMAT */
	{ { 117, { 0x10000 | 22 } }, VMS_TRAP_SUPERVISE, 0 }, /* ipc: SHMDT of version 1 */
	{ { 117, { 24, 0x7fffffff } }, 0, EINVAL }, /* ipc: SHMCTL */
	{ { 11, { 0 } }, VMS_TRAP_SUPERVISE | VMS_TRAP_FENCE, 0 }, /* execve */
	{ { 358, { 0 } }, VMS_TRAP_SUPERVISE | VMS_TRAP_FENCE, 0 }, /* execveat */
	{ { 75, { RLIMIT_AS, 1 } }, VMS_TRAP_SUPERVISE | VMS_TRAP_FENCE, 0 },
	{ { 75, { RLIMIT_CORE, 1 } }, 0, EFAULT },
	{ { 191, { RLIMIT_AS, 1 } }, VMS_TRAP_SUPERVISE | VMS_TRAP_FENCE, 0 },
	{ { 76, { RLIMIT_AS, 1 } }, VMS_TRAP_SUPERVISE | VMS_TRAP_FENCE, 0 },
	{ { 340, { 0, RLIMIT_AS } }, VMS_TRAP_SUPERVISE | VMS_TRAP_FENCE, 0 },
	{ { 172, { PR_SET_MM } }, VMS_TRAP_SUPERVISE | VMS_TRAP_FENCE, 0 },
	{ { 172, { PR_GET_DUMPABLE } }, 0, -1 },
	{ { 384, { 0x2002 } }, VMS_TRAP_SUPERVISE | VMS_TRAP_FENCE, 0 }, /* arch_prctl: ARCH_MAP_VDSO_32 */
	{ { 384, { 0x1 } }, 0, EINVAL },
	{ { 136, { 0 } }, VMS_TRAP_SUPERVISE | VMS_TRAP_FENCE, 0 },
	{ { 174, { SIGUSR1, 1, 0, 8 } }, VMS_TRAP_GUARD, EFAULT },
	{ { 174, { SIGUSR1, 0, 0, 8 } }, 0, 0 },
	{ { 67, { SIGUSR1, 1 } }, VMS_TRAP_GUARD, EFAULT },
	{ { 48, { SIGUSR1, 0 } }, 0, 0 },
	{ { 48, { SIGUSR1, 5 } }, VMS_TRAP_GUARD, 0 },
	{ { 86, { 0 } }, 0, ENOSYS }, /* uselib */
	{ { 3, { 12345 } }, 0, EBADF }, /* read */
};

START_TEST(i386_calls_are_asked_about_by_their_own_numbers)
{
	static const unsigned int features[] = { VMS_TRAP_SUPERVISE, VMS_TRAP_FENCE, VMS_TRAP_GUARD };
	const int answer = 77; /* no errno that any of them has */

	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		struct i386_victim victim = i386_calls[_i].call;
		struct spy spy = spy_start(features[i] | VMS_TRAP_I386, make_i386_call, &victim);
		bool notified = false;
		int status;

		for (int waited = 0; !spy_has_news(spy.pid, 0); waited++) {
			struct pollfd p = { .fd = spy.listener.fd, .events = POLLIN };
			struct vms_trap trap;

			ck_assert_int_lt(waited, 10000);
			if (poll(&p, 1, 1) != 1 || !(p.revents & POLLIN))
				continue;
			if (vms_listener_receive(&spy.listener, &trap) < 0)
				continue;
			if (trap.arch == VMS_ARCH_I386) {
				ck_assert_int_eq(trap.nr, (int)victim.nr);
				notified = true;
				ck_assert_int_eq(vms_listener_refuse(&spy.listener, trap.id, answer), 0);
			} else {
				ck_assert_int_eq(vms_listener_continue(&spy.listener, trap.id), 0);
			}
		}
		status = spy_wait(spy.pid);
		spy_end(&spy);
		if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV)
			return; /* a kernel without IA32 emulation */
		ck_assert_msg(notified == !!(i386_calls[_i].when & features[i]), "%u: asked %d", features[i], notified);
		if (notified)
			ck_assert_msg(WEXITSTATUS(status) == answer, "%s", spy_say(status));
		else if (!i386_calls[_i].when)
			ck_assert_msg(WEXITSTATUS(status) == (i386_calls[_i].status & 0xff), "%s", spy_say(status));
	}
}
END_TEST

START_TEST(with_i386_calls_x86_64_is_asked_about_as_without)
{
	const struct one_call mmap_call = { SYS_mmap, { 0, 4096, 3, ANON, (uint32_t)-1, 0 }, false, true, false };
	const struct one_call x32 = { 0x40000000 | SYS_mmap, { 0 }, false, false, false };

	ck_assert(is_notified(VMS_TRAP_SUPERVISE | VMS_TRAP_I386, &mmap_call));
	ck_assert(!is_notified(VMS_TRAP_FENCE | VMS_TRAP_I386, &mmap_call));
	ck_assert(!is_notified(EVERYTHING | VMS_TRAP_I386, &x32));
}
END_TEST

/* ---- loading ---- */

START_TEST(loading_sets_no_new_privs_and_gives_a_descriptor_that_exec_closes)
{
	struct vms_filter filter;
	struct vms_cookie cookie;
	int status;
	pid_t pid;

	ck_assert_int_eq(vms_cookie_draw(&cookie), 0);
	/* Nobody will answer: the second seccomp(2) must not be trapped. */
	ck_assert_int_eq(vms_filter_build(VMS_TRAP_GUARD, &cookie, NULL, &filter, NULL), 0);
	pid = fork();
	if (pid == 0) {
		int fd = vms_filter_load(&filter);

		if (fd < 0)
			_exit(1);
		if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
			_exit(2);
		if (fcntl(fd, F_GETFD) != FD_CLOEXEC)
			_exit(3);
		/* One listener a task tree. */
		if (vms_filter_load(&filter) != -EBUSY)
			_exit(4);
		_exit(0);
	}
	status = spy_wait(pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s", spy_say(status));
	vms_filter_done(&filter);
	ck_assert_ptr_null(filter.prog.filter);
}
END_TEST

START_TEST(filters_for_more_features_are_longer_and_all_are_loadable)
{
	struct vms_cookie cookie;
	unsigned short last = 0;
	static const unsigned int when[] = { 0, VMS_TRAP_FENCE, VMS_TRAP_FENCE | VMS_TRAP_SUPERVISE, EVERYTHING };

	ck_assert_int_eq(vms_cookie_draw(&cookie), 0);
	for (size_t i = 0; i < 4; i++) {
		struct vms_filter filter;

		ck_assert_int_eq(vms_filter_build(when[i], &cookie, NULL, &filter, NULL), 0);
		ck_assert_uint_gt(filter.prog.len, last);
		ck_assert_uint_lt(filter.prog.len, 4096);
		last = filter.prog.len;
		vms_filter_done(&filter);
	}
}
END_TEST

/* ---- the answers ---- */

static int answers(void *arg)
{
	(void)arg;
	if (syscall(SYS_munmap, 0x7777, 1) != 0x12345)
		return 1;
	if (syscall(SYS_munmap, 0x7777, 2) != -1 || errno != EXDEV)
		return 2;
	/* Unaligned: the kernel says EINVAL. */
	if (syscall(SYS_munmap, 0x7777, 3) != -1 || errno != EINVAL)
		return 3;
	return 0;
}

START_TEST(the_caller_gets_what_was_answered)
{
	struct spy spy = spy_start(VMS_TRAP_SUPERVISE, answers, NULL);
	struct vms_trap trap;
	int status;

	trap = spy_receive_marked(&spy, SYS_munmap, 1, 1);
	ck_assert_int_eq(trap.tid, spy.pid);
	ck_assert(vms_listener_is_valid(&spy.listener, trap.id));
	ck_assert_int_eq(vms_listener_reply(&spy.listener, trap.id, 0x12345), 0);
	/* Answered is answered, whether or not the victim has taken it yet. */
	int again = vms_listener_reply(&spy.listener, trap.id, 1);
	ck_assert_msg(again == -ENOENT || again == -EINPROGRESS, "%d", again);
	trap = spy_receive_marked(&spy, SYS_munmap, 1, 2);
	ck_assert_int_eq(vms_listener_refuse(&spy.listener, trap.id, EXDEV), 0);
	trap = spy_receive_marked(&spy, SYS_munmap, 1, 3);
	ck_assert_int_eq(vms_listener_continue(&spy.listener, trap.id), 0);
	status = spy_serve_to_end(&spy);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s", spy_say(status));
	spy_end(&spy);
}
END_TEST

START_TEST(the_answer_to_a_dead_caller_is_stale)
{
	struct spy spy = spy_start(VMS_TRAP_SUPERVISE, answers, NULL);
	struct vms_trap trap = spy_receive_marked(&spy, SYS_munmap, 1, 1);

	kill(spy.pid, SIGKILL);
	ck_assert(WIFSIGNALED(spy_wait(spy.pid)));
	ck_assert(!vms_listener_is_valid(&spy.listener, trap.id));
	ck_assert_int_eq(vms_listener_continue(&spy.listener, trap.id), -ENOENT);
	ck_assert_int_eq(vms_listener_refuse(&spy.listener, trap.id, EPERM), -ENOENT);
	spy_end(&spy);
}
END_TEST

static int in_other_thread_of_time(void *arg)
{
	(void)arg;
	return syscall(SYS_munmap, 0x7777, 1) == -1 && errno == EINVAL ? 0 : 1;
}

START_TEST(a_notification_withdrawn_before_it_is_received_is_asked_again)
{
	struct spy spy = spy_start(VMS_TRAP_SUPERVISE, in_other_thread_of_time, NULL);
	struct pollfd p = { .fd = spy.listener.fd, .events = POLLIN };
	struct vms_trap trap;
	int status;

	/* Stopped while nobody has received it, the call is withdrawn; continued, it comes again. */
	ck_assert_int_eq(poll(&p, 1, 10000), 1);
	kill(spy.pid, SIGSTOP);
	spy_wait_state(spy.pid, 'T');
	kill(spy.pid, SIGCONT);
	trap = spy_receive_marked(&spy, SYS_munmap, 1, 1);
	ck_assert_int_eq(vms_listener_continue(&spy.listener, trap.id), 0);
	do {
		status = spy_serve_to_end(&spy);
	} while (WIFSTOPPED(status));
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s", spy_say(status));
	spy_end(&spy);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("filter");
	TCase *tc = tcase_create("filter");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, each_call_is_notified_with_the_features_that_need_it, 0,
			    (int)(sizeof(calls) / sizeof(calls[0])));
	tcase_add_test(tc, only_limits_of_the_tree_need_forks);
	tcase_add_test(tc, only_a_range_needs_to_hide_what_is_mapped);
	tcase_add_loop_test(tc, a_call_with_the_cookie_passes_and_one_wrong_bit_is_notified, 0,
			    (int)(sizeof(injected) / sizeof(injected[0])));
	tcase_add_test(tc, the_cookie_opens_only_calls_that_are_injected);
	tcase_add_test(tc, cookies_differ_and_are_nothing_that_a_program_passes_by_accident);
	tcase_add_test(tc, x32_calls_are_refused_without_asking);
	tcase_add_test(tc, i386_calls_of_a_64_bit_process_are_enosys);
	tcase_add_loop_test(tc, i386_calls_are_asked_about_by_their_own_numbers, 0,
			    (int)(sizeof(i386_calls) / sizeof(i386_calls[0])));
	tcase_add_test(tc, with_i386_calls_x86_64_is_asked_about_as_without);
	tcase_add_test(tc, loading_sets_no_new_privs_and_gives_a_descriptor_that_exec_closes);
	tcase_add_test(tc, filters_for_more_features_are_longer_and_all_are_loadable);
	tcase_add_test(tc, the_caller_gets_what_was_answered);
	tcase_add_test(tc, the_answer_to_a_dead_caller_is_stale);
	tcase_add_test(tc, a_notification_withdrawn_before_it_is_received_is_asked_again);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
