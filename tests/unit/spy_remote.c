/*
 * Spy and victim: remote calls. A forked victim waits in a trapped mmap; the test makes it run another mmap instead, and the
 * victim itself says whether it saw anything but the result.
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spy.h"
#include "vmsup/core/call.h"
#include "vmsup/host/remote.h"
#include "vmsup/host/tracee.h"

/* The victim's call is known by its length. */
#define LENGTH 0x5000u
/* Free in every ordinary process: far below mmap_base, far above brk. */
#define PLACE ((vms_addr_t)0x210000000000)
#define OTHER_PLACE ((vms_addr_t)0x220000000000)

/* ---- what the victims do; their exit status is the claim that failed, 0 for none ---- */

static volatile sig_atomic_t usr1_seen, trap_seen;

static void on_usr1(int sig)
{
	(void)sig;
	usr1_seen++;
}

static void on_trap(int sig)
{
	(void)sig;
	trap_seen++;
}

static long plain_mmap(void)
{
	return syscall(SYS_mmap, NULL, (size_t)LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static int expect_place(void *arg)
{
	const vms_addr_t *want = arg;
	volatile char *p = (volatile char *)plain_mmap();

	if ((uintptr_t)p != *want)
		return 1;
	p[0] = p[LENGTH - 1] = 7;
	return 0;
}

static int expect_errno(void *arg)
{
	return plain_mmap() == -1 && errno == *(int *)arg ? 0 : 1;
}

/* Every register that a system call keeps holds a value of its own before, and must hold it afterwards. */
static int expect_registers(void *arg)
{
	uint64_t a = SYS_mmap, b = 0x1111111111111111, d = PROT_READ | PROT_WRITE, di = 0, si = LENGTH;
	register uint64_t r8 __asm__("r8") = (uint64_t)-1;
	register uint64_t r9 __asm__("r9") = 0;
	register uint64_t r10 __asm__("r10") = MAP_PRIVATE | MAP_ANONYMOUS;
	register uint64_t r12 __asm__("r12") = 0x2222222222222222;
	register uint64_t r13 __asm__("r13") = 0x3333333333333333;
	register uint64_t r14 __asm__("r14") = 0x4444444444444444;
	register uint64_t r15 __asm__("r15") = 0x5555555555555555;
	double x = 1.25;

	__asm__ volatile("syscall"
			 : "+a"(a), "+b"(b), "+d"(d), "+D"(di), "+S"(si), "+r"(r8), "+r"(r9), "+r"(r10), "+r"(r12),
			   "+r"(r13), "+r"(r14), "+r"(r15), "+x"(x)
			 :
			 : "rcx", "r11", "memory", "cc");
	if (a != *(vms_addr_t *)arg)
		return 1;
	if (b != 0x1111111111111111 || r12 != 0x2222222222222222 || r13 != 0x3333333333333333 ||
	    r14 != 0x4444444444444444 || r15 != 0x5555555555555555)
		return 2;
	if (d != (PROT_READ | PROT_WRITE) || di != 0 || si != LENGTH || r8 != (uint64_t)-1 || r9 != 0 ||
	    r10 != (MAP_PRIVATE | MAP_ANONYMOUS))
		return 3;
	return x == 1.25 ? 0 : 4;
}

/* USR1 is handled, USR2 is blocked; both come while the call is under way. */
static int expect_signals(void *arg)
{
	struct sigaction action = { .sa_handler = on_usr1 };
	sigset_t mine, now, pending;

	sigemptyset(&mine);
	sigaddset(&mine, SIGUSR2);
	sigaddset(&mine, SIGRTMIN + 3);
	sigprocmask(SIG_SETMASK, &mine, NULL);
	sigaction(SIGUSR1, &action, NULL);
	if (plain_mmap() != (long)*(vms_addr_t *)arg)
		return 1;
	if (usr1_seen != 1)
		return 2;
	sigpending(&pending);
	if (!sigismember(&pending, SIGUSR2))
		return 3;
	sigprocmask(SIG_SETMASK, NULL, &now);
	for (int sig = 1; sig < SIGRTMAX; sig++) {
		if (sigismember(&mine, sig) != sigismember(&now, sig))
			return 4;
	}
	return 0;
}

static int expect_trap_handler(void *arg)
{
	struct sigaction action = { .sa_handler = on_trap }, now;

	sigaction(SIGTRAP, &action, NULL);
	if (plain_mmap() != (long)*(vms_addr_t *)arg)
		return 1;
	if (trap_seen)
		return 2;
	if (sigaction(SIGTRAP, NULL, &now) < 0 || now.sa_handler != on_trap)
		return 3;
	kill(getpid(), SIGTRAP);
	return trap_seen == 1 ? 0 : 4;
}

static void *thread_body(void *arg)
{
	return (void *)(intptr_t)expect_place(arg);
}

static int expect_in_thread(void *arg)
{
	pthread_t thread;
	void *result;

	if (pthread_create(&thread, NULL, thread_body, arg) || pthread_join(thread, &result))
		return 9;
	return (int)(intptr_t)result;
}

static int two_calls(void *arg)
{
	if (plain_mmap() != (long)*(vms_addr_t *)arg)
		return 1;
	return plain_mmap() > 0 ? 0 : 2;
}

/* ---- the spy's side ---- */

static void set_args(const struct spy *spy, uint64_t args[6], vms_addr_t addr)
{
	args[0] = addr;
	args[1] = LENGTH;
	args[2] = PROT_READ | PROT_WRITE;
	args[3] = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
	args[4] = (uint32_t)-1;
	args[5] = 0;
	vms_cookie_mark(&spy->cookie, SYS_mmap, args);
}

static struct vms_trap the_call(struct spy *spy)
{
	return spy_receive_marked(spy, SYS_mmap, 1, LENGTH);
}

/* Seize, and answer the notification: a stop follows. */
static void begin(struct spy *spy, const struct vms_trap *trap, vms_addr_t addr, struct vms_remote *remote)
{
	uint64_t args[6];

	set_args(spy, args, addr);
	ck_assert_int_eq(vms_remote_begin(remote, trap->tid, false, trap->ip, 0, VMS_ARCH_X86_64, SYS_mmap, args), 0);
	ck_assert_int_eq(vms_listener_refuse(&spy->listener, trap->id, ENOSYS), 0);
}

static void run_to_result(struct vms_remote *remote)
{
	int r;

	do {
		r = vms_remote_stop(remote, spy_wait(remote->tid));
		ck_assert_int_ge(r, 0);
	} while (r == 0);
	ck_assert_int_eq(remote->stage, VMS_REMOTE_DONE);
}

static void expect_clean_end(struct spy *spy)
{
	int status = spy_serve_to_end(spy);

	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the victim: %s", spy_say(status));
}

/* The whole of a remote mmap at PLACE for a victim that runs @body. */
static void remote_mmap_for(int (*body)(void *arg))
{
	vms_addr_t want = PLACE;
	struct spy spy = spy_start(VMS_TRAP_SUPERVISE, body, &want);
	struct vms_trap trap = the_call(&spy);
	struct vms_remote remote;

	begin(&spy, &trap, PLACE, &remote);
	run_to_result(&remote);
	ck_assert_int_eq(remote.result, (int64_t)PLACE);
	ck_assert_int_eq(vms_remote_finish(&remote, remote.result), 0);
	expect_clean_end(&spy);
	spy_end(&spy);
}

START_TEST(the_victim_gets_the_address_that_was_chosen_for_it)
{
	remote_mmap_for(expect_place);
}
END_TEST

START_TEST(every_register_but_the_result_is_as_before)
{
	remote_mmap_for(expect_registers);
}
END_TEST

START_TEST(a_thread_other_than_the_leader_can_be_served)
{
	remote_mmap_for(expect_in_thread);
}
END_TEST

START_TEST(a_handler_of_sigtrap_survives)
{
	remote_mmap_for(expect_trap_handler);
}
END_TEST

START_TEST(the_next_call_is_an_ordinary_notification_again)
{
	remote_mmap_for(two_calls);
}
END_TEST

START_TEST(the_value_that_finish_gives_is_what_the_victim_sees)
{
	int want = ENOMEM;
	struct spy spy = spy_start(VMS_TRAP_SUPERVISE, expect_errno, &want);
	struct vms_trap trap = the_call(&spy);
	struct vms_remote remote;

	begin(&spy, &trap, PLACE, &remote);
	run_to_result(&remote);
	ck_assert_int_eq(vms_remote_finish(&remote, -ENOMEM), 0);
	expect_clean_end(&spy);
	spy_end(&spy);
}
END_TEST

START_TEST(a_call_that_fails_has_its_errno_as_result)
{
	int want = EINVAL;
	struct spy spy = spy_start(VMS_TRAP_SUPERVISE, expect_errno, &want);
	struct vms_trap trap = the_call(&spy);
	struct vms_remote remote;

	begin(&spy, &trap, PLACE + 1, &remote); /* unaligned */
	run_to_result(&remote);
	ck_assert_int_eq(remote.result, -EINVAL);
	ck_assert_int_eq(vms_remote_finish(&remote, remote.result), 0);
	expect_clean_end(&spy);
	spy_end(&spy);
}
END_TEST

START_TEST(a_rejected_place_can_be_followed_by_another)
{
	vms_addr_t want = OTHER_PLACE;
	struct spy spy;
	struct vms_trap trap;
	struct vms_remote remote;
	uint64_t args[6];

	/* The victim inherits something at PLACE. */
	ck_assert_ptr_eq(mmap((void *)(uintptr_t)PLACE, 4096, PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
			 (void *)(uintptr_t)PLACE);
	spy = spy_start(VMS_TRAP_SUPERVISE, expect_place, &want);
	trap = the_call(&spy);
	begin(&spy, &trap, PLACE, &remote);
	run_to_result(&remote);
	ck_assert_int_eq(remote.result, -EEXIST);
	set_args(&spy, args, OTHER_PLACE);
	ck_assert_int_eq(vms_remote_again(&remote, args), 0);
	run_to_result(&remote);
	ck_assert_int_eq(remote.result, (int64_t)OTHER_PLACE);
	ck_assert_int_eq(vms_remote_finish(&remote, remote.result), 0);
	expect_clean_end(&spy);
	spy_end(&spy);
}
END_TEST

START_TEST(a_call_without_the_cookie_would_be_notified_again)
{
	vms_addr_t want = PLACE;
	struct spy spy = spy_start(VMS_TRAP_SUPERVISE, expect_place, &want);
	struct vms_trap trap = the_call(&spy), again;
	struct vms_remote remote;
	uint64_t args[6];

	set_args(&spy, args, PLACE);
	args[4] = (uint32_t)-1;
	ck_assert_int_eq(vms_remote_begin(&remote, trap.tid, false, trap.ip, 0, VMS_ARCH_X86_64, SYS_mmap, args), 0);
	ck_assert_int_eq(vms_listener_refuse(&spy.listener, trap.id, ENOSYS), 0);
	ck_assert_int_eq(vms_remote_stop(&remote, spy_wait(trap.tid)), 0);
	again = spy_receive(&spy);
	ck_assert_int_eq(again.tid, trap.tid);
	ck_assert_uint_eq(again.args[0], PLACE);
	ck_assert_int_eq(vms_listener_continue(&spy.listener, again.id), 0);
	run_to_result(&remote);
	ck_assert_int_eq(vms_remote_finish(&remote, remote.result), 0);
	expect_clean_end(&spy);
	spy_end(&spy);
}
END_TEST

START_TEST(a_seized_thread_stays_seized)
{
	vms_addr_t want = PLACE;
	struct spy spy = spy_start(VMS_TRAP_SUPERVISE, expect_place, &want);
	struct vms_trap trap = the_call(&spy);
	struct vms_remote remote;
	uint64_t args[6];
	int status;

	ck_assert_int_eq(vms_tracee_seize(trap.tid, PTRACE_O_EXITKILL | PTRACE_O_TRACEEXIT), 0);
	set_args(&spy, args, PLACE);
	ck_assert_int_eq(vms_remote_begin(&remote, trap.tid, true, trap.ip, 0, VMS_ARCH_X86_64, SYS_mmap, args), 0);
	ck_assert_int_eq(vms_listener_refuse(&spy.listener, trap.id, ENOSYS), 0);
	run_to_result(&remote);
	ck_assert_int_eq(vms_remote_finish(&remote, remote.result), 0);
	status = spy_wait(trap.tid);
	ck_assert_int_eq(status >> 8, SIGTRAP | PTRACE_EVENT_EXIT << 8);
	ck_assert_int_eq(vms_tracee_detach(trap.tid, 0), 0);
	expect_clean_end(&spy);
	spy_end(&spy);
}
END_TEST

START_TEST(a_victim_of_another_tracer_is_refused_and_goes_on)
{
	int want = EXDEV;
	struct spy spy = spy_start(VMS_TRAP_SUPERVISE, expect_errno, &want);
	struct vms_trap trap = the_call(&spy);
	struct vms_remote remote;
	uint64_t args[6];
	int up[2];
	pid_t rival;
	char c;

	ck_assert_int_eq(pipe(up), 0);
	rival = fork();
	if (rival == 0) {
		c = vms_tracee_seize(trap.tid, 0) == 0 ? 'y' : 'n';
		(void)!write(up[1], &c, 1);
		pause();
		_exit(0);
	}
	ck_assert(read(up[0], &c, 1) == 1 && c == 'y');
	set_args(&spy, args, PLACE);
	ck_assert_int_eq(vms_remote_begin(&remote, trap.tid, false, trap.ip, 0, VMS_ARCH_X86_64, SYS_mmap, args), -EPERM);
	kill(rival, SIGKILL);
	waitpid(rival, NULL, 0);
	ck_assert_int_eq(vms_listener_refuse(&spy.listener, trap.id, EXDEV), 0);
	expect_clean_end(&spy);
	spy_end(&spy);
}
END_TEST

/* ---- signals ---- */

static void hit_kill(pid_t pid)
{
	kill(pid, SIGKILL);
}

enum when { BEFORE_SEIZE, BEFORE_ANSWER, AT_FIRST_STOP, WHILE_STEPPING, AT_THE_END, NR_WHEN };

/* A remote mmap with @hit called at the moment @when. Stops at the result, or when the victim has gone (then false). */
static bool remote_with(struct spy *spy, const struct vms_trap *trap, enum when when, void (*hit)(pid_t pid),
			struct vms_remote *remote)
{
	uint64_t args[6];
	int status, r;

	if (when == BEFORE_SEIZE)
		hit(spy->pid);
	set_args(spy, args, PLACE);
	r = vms_remote_begin(remote, trap->tid, false, trap->ip, 0, VMS_ARCH_X86_64, SYS_mmap, args);
	/* The kernel says EPERM too for a task that is dying. */
	if (r == -ESRCH || (r == -EPERM && when == BEFORE_SEIZE && hit == hit_kill)) {
		ck_assert_msg(WIFSIGNALED(spy_wait(spy->pid)), "not gone");
		return false;
	}
	ck_assert_int_eq(r, 0);
	if (when == BEFORE_ANSWER)
		hit(spy->pid);
	vms_ignore(vms_listener_refuse(&spy->listener, trap->id, ENOSYS));
	for (bool first = true;; first = false) {
		status = spy_wait(remote->tid);
		if (when == AT_FIRST_STOP && first)
			hit(spy->pid);
		r = vms_remote_stop(remote, status);
		if (r == -ESRCH) {
			if (WIFSTOPPED(status)) /* killed at the stop: its end is still to come */
				status = spy_wait(remote->tid);
			ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%s", spy_say(status));
			return false;
		}
		ck_assert_int_ge(r, 0);
		if (r == 1)
			break;
		if (when == WHILE_STEPPING && first)
			hit(spy->pid);
	}
	if (when == AT_THE_END)
		hit(spy->pid);
	return true;
}

static void hit_usr(pid_t pid)
{
	kill(pid, SIGUSR1);
	kill(pid, SIGUSR2);
}

START_TEST(handlers_wait_until_the_call_is_over_and_the_mask_is_as_before)
{
	vms_addr_t want = PLACE;
	struct spy spy = spy_start(VMS_TRAP_SUPERVISE, expect_signals, &want);
	struct vms_trap trap = the_call(&spy);
	struct vms_remote remote;

	ck_assert(remote_with(&spy, &trap, (enum when)_i, hit_usr, &remote));
	ck_assert_int_eq(remote.result, (int64_t)PLACE);
	ck_assert_int_eq(vms_remote_finish(&remote, remote.result), 0);
	expect_clean_end(&spy);
	spy_end(&spy);
}
END_TEST

START_TEST(a_victim_that_is_killed_in_mid_call_is_reported_gone)
{
	vms_addr_t want = PLACE;
	struct spy spy = spy_start(VMS_TRAP_SUPERVISE, expect_place, &want);
	struct vms_trap trap = the_call(&spy);
	struct vms_remote remote;

	if (remote_with(&spy, &trap, (enum when)_i, hit_kill, &remote)) {
		int status;

		/* Killed when the result was there already: the end says so, or the wait does. */
		vms_ignore(vms_remote_finish(&remote, remote.result));
		status = spy_wait(spy.pid);
		ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%s", spy_say(status));
	}
	ck_assert_int_eq(waitpid(spy.pid, NULL, __WALL | WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
	spy_end(&spy);
}
END_TEST

static void hit_stop(pid_t pid)
{
	kill(pid, SIGSTOP);
}

/* As a shell with Ctrl-Z and fg: stop in the middle, look that it stays stopped, go on. */
START_TEST(a_stop_in_mid_call_holds_and_ends_with_sigcont)
{
	vms_addr_t want = PLACE;
	struct spy spy = spy_start(VMS_TRAP_SUPERVISE, expect_place, &want);
	struct vms_trap trap = the_call(&spy);
	struct vms_remote remote;
	uint64_t args[6];
	bool done = false;
	int status, r;

	if (_i == BEFORE_SEIZE)
		hit_stop(spy.pid);
	set_args(&spy, args, PLACE);
	ck_assert_int_eq(vms_remote_begin(&remote, trap.tid, false, trap.ip, 0, VMS_ARCH_X86_64, SYS_mmap, args), 0);
	if (_i == BEFORE_ANSWER)
		hit_stop(spy.pid);
	ck_assert_int_eq(vms_listener_refuse(&spy.listener, trap.id, ENOSYS), 0);
	for (bool first = true; spy_has_news(remote.tid, first ? 10000 : 300); first = false) {
		status = spy_wait(remote.tid);
		if (_i == AT_FIRST_STOP && first)
			hit_stop(spy.pid);
		r = vms_remote_stop(&remote, status);
		ck_assert_int_ge(r, 0);
		if (_i == WHILE_STEPPING && first)
			hit_stop(spy.pid);
		if (r == 1) {
			done = true;
			if (_i == AT_THE_END)
				hit_stop(spy.pid);
			ck_assert_int_eq(remote.result, (int64_t)PLACE);
			ck_assert_int_eq(vms_remote_finish(&remote, remote.result), 0);
			break;
		}
	}
	/* Let go or still in our hands, it is stopped. */
	spy_wait_state(spy.pid, done ? 'T' : 't');
	ck_assert_int_eq(kill(spy.pid, SIGCONT), 0);
	if (!done) {
		run_to_result(&remote);
		ck_assert_int_eq(remote.result, (int64_t)PLACE);
		ck_assert_int_eq(vms_remote_finish(&remote, remote.result), 0);
	}
	for (;;) {
		status = spy_serve_to_end(&spy);
		if (!WIFSTOPPED(status))
			break;
	}
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the victim: %s", spy_say(status));
	spy_end(&spy);
}
END_TEST

START_TEST(an_abandoned_call_gives_enomem)
{
	int want = ENOMEM;
	struct spy spy = spy_start(VMS_TRAP_SUPERVISE, expect_errno, &want);
	struct vms_trap trap = the_call(&spy);
	struct vms_remote remote;
	uint64_t args[6];

	set_args(&spy, args, PLACE);
	/* As if the thread were somewhere else than it should be. */
	ck_assert_int_eq(vms_remote_begin(&remote, trap.tid, false, trap.ip + 16, 0, VMS_ARCH_X86_64, SYS_mmap, args), 0);
	ck_assert_int_eq(vms_listener_refuse(&spy.listener, trap.id, ENOSYS), 0);
	ck_assert_int_eq(vms_remote_stop(&remote, spy_wait(trap.tid)), -EPROTO);
	vms_remote_abandon(&remote);
	expect_clean_end(&spy);
	spy_end(&spy);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("remote");
	TCase *tc = tcase_create("remote");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, the_victim_gets_the_address_that_was_chosen_for_it);
	tcase_add_test(tc, every_register_but_the_result_is_as_before);
	tcase_add_test(tc, a_thread_other_than_the_leader_can_be_served);
	tcase_add_test(tc, a_handler_of_sigtrap_survives);
	tcase_add_test(tc, the_next_call_is_an_ordinary_notification_again);
	tcase_add_test(tc, the_value_that_finish_gives_is_what_the_victim_sees);
	tcase_add_test(tc, a_call_that_fails_has_its_errno_as_result);
	tcase_add_test(tc, a_rejected_place_can_be_followed_by_another);
	tcase_add_test(tc, a_call_without_the_cookie_would_be_notified_again);
	tcase_add_test(tc, a_seized_thread_stays_seized);
	tcase_add_test(tc, a_victim_of_another_tracer_is_refused_and_goes_on);
	tcase_add_loop_test(tc, handlers_wait_until_the_call_is_over_and_the_mask_is_as_before, BEFORE_ANSWER,
			    NR_WHEN);
	tcase_add_loop_test(tc, a_victim_that_is_killed_in_mid_call_is_reported_gone, 0, NR_WHEN);
	tcase_add_loop_test(tc, a_stop_in_mid_call_holds_and_ends_with_sigcont, 0, NR_WHEN);
	tcase_add_test(tc, an_abandoned_call_gives_enomem);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
