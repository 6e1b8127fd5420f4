/*
 * Claim: a program that traces others of its tree gets nothing of them outside, and blocks nobody but them.
 * tracer LO HI rewrite: calls turned into mapping calls at their entry and at a seccomp stop
 * tracer LO HI poke: a child made to map, by its tracer's own remote calls
 * tracer LO HI seize: tasks seized before and while they exec
 * tracer LO HI orphan: an orphan, whose parent is the supervisor, that asks its parent to trace it
 * tracer LO HI untraced: children by clone and clone3 with CLONE_UNTRACED
 * tracer LO HI end: what is executed
 */
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#include "hostile.h"

static uintptr_t outside(void)
{
	return lo > 0x11000 ? lo - PAGE : hi;
}

/* SECCOMP_RET_TRACE for getpid, which vmsup's own filter lets through. */
static void trace_getpid(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { sizeof(code) / sizeof(code[0]), code };

	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
		broken("seccomp");
}

static void traced(void)
{
	ptrace(PTRACE_TRACEME, 0, 0, 0);
	raise(SIGSTOP);
	trace_getpid();
	for (int i = 0; i < 8; i++)
		syscall(SYS_getpid);
	check_fence("rewritten calls");
	_exit(0);
}

/* What each rewritten getpid becomes. */
static void rewrite_regs(struct user_regs_struct *regs, int turn)
{
	static const long nrs[] = { SYS_mmap, SYS_munmap, SYS_mprotect, SYS_mremap, SYS_shmat, SYS_prctl, SYS_personality };

	regs->orig_rax = (unsigned long)nrs[turn % 7];
	regs->rdi = turn % 7 == 5 ? PR_SET_MM : turn % 7 == 6 ? 0x0100000 : outside();
	regs->rsi = turn % 7 == 5 ? 1 : PAGE;
	regs->rdx = RW;
	regs->r10 = ANON | MAP_FIXED;
	regs->r8 = (unsigned long)-1;
	regs->r9 = 0;
}

static void rewrite(void)
{
	pid_t pid = fork();
	int status, turn = 0;

	if (pid == 0)
		traced();
	waitpid(pid, &status, 0);
	ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
	ptrace(PTRACE_SYSCALL, pid, 0, 0);
	while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
		struct user_regs_struct regs;

		ptrace(PTRACE_GETREGS, pid, 0, &regs);
		/* At the entry of odd turns, at the seccomp stop of even ones. */
		if (regs.orig_rax == SYS_getpid && (long)regs.rax == -ENOSYS &&
		    (turn % 2 == (status >> 8 == (SIGTRAP | 0x80)))) {
			rewrite_regs(&regs, turn);
			ptrace(PTRACE_SETREGS, pid, 0, &regs);
		}
		if (regs.orig_rax == SYS_getpid && (long)regs.rax == -ENOSYS && status >> 16 == PTRACE_EVENT_SECCOMP)
			turn++;
		ptrace(PTRACE_SYSCALL, pid, 0, WSTOPSIG(status) == SIGSEGV ? SIGSEGV : 0);
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_BROKEN);
}

/* One call made by the stopped @pid, through the system call instruction that it stopped behind. */
static long remote_call(pid_t pid, long nr, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
	struct user_regs_struct saved, regs;
	int status;

	ptrace(PTRACE_GETREGS, pid, 0, &saved);
	regs = saved;
	regs.rip -= 2;
	regs.rax = (unsigned long)nr;
	regs.orig_rax = (unsigned long)-1;
	regs.rdi = a;
	regs.rsi = b;
	regs.rdx = c;
	regs.r10 = d;
	regs.r8 = (unsigned long)-1;
	regs.r9 = 0;
	ptrace(PTRACE_SETREGS, pid, 0, &regs);
	ptrace(PTRACE_SINGLESTEP, pid, 0, 0);
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return -1;
	ptrace(PTRACE_GETREGS, pid, 0, &regs);
	ptrace(PTRACE_SETREGS, pid, 0, &saved);
	return (long)regs.rax;
}

static void poke(void)
{
	pid_t pid = fork();
	int status;
	long at;

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		syscall(SYS_kill, getpid(), SIGSTOP);
		check_fence("remote calls");
		_exit(0);
	}
	waitpid(pid, &status, 0);
	remote_call(pid, SYS_munmap, outside(), PAGE, 0, 0);
	at = remote_call(pid, SYS_mmap, outside(), PAGE, RW, ANON | MAP_FIXED);
	if (at == (long)outside() ||
	    remote_call(pid, SYS_mprotect, outside(), PAGE, RW, 0) == 0)
		escaped("a remote call");
	at = remote_call(pid, SYS_mmap, 0, PAGE, RW, ANON);
	if (at < 0 || is_outside(at))
		escaped("a remote mmap");
	ptrace(PTRACE_DETACH, pid, 0, 0);
	wait_for(pid);
}

static void seize(char **argv)
{
	for (int i = 0; i < 40; i++) {
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			if (i % 4 == 3)
				ptrace(PTRACE_TRACEME, 0, 0, 0);
			execv("/proc/self/exe", self_argv(argv, "end", NULL));
			/* Traced by somebody else, it cannot be moved. */
			_exit(errno == EPERM ? 0 : EXIT_BROKEN);
		}
		if (i % 4 != 3) {
			for (int k = 0; k < (i % 4) * 20; k++)
				sched_yield();
			if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0 && i % 4 == 2)
				ptrace(PTRACE_INTERRUPT, pid, 0, 0);
		}
		while (waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status))
			ptrace(PTRACE_CONT, pid, 0, 0);
		if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_OUTSIDE)
			_exit(EXIT_OUTSIDE);
	}
}

static void orphan(char **argv)
{
	int ends[2];
	char c;
	pid_t pid;

	if (pipe(ends) < 0)
		broken("pipe");
	pid = fork();
	if (pid == 0) {
		pid = fork();
		if (pid == 0) {
			close(ends[0]);
			usleep(50000);
			ptrace(PTRACE_TRACEME, 0, 0, 0);
			munmap(mmap(NULL, PAGE, RW, ANON, -1, 0), PAGE);
			execv("/proc/self/exe", self_argv(argv, "end", NULL));
			_exit(0);
		}
		_exit(0);
	}
	wait_for(pid);
	close(ends[1]);
	if (read(ends[0], &c, 1) != 0)
		broken("read");
}

static int child(void *arg)
{
	(void)arg;
	check_fence("CLONE_UNTRACED");
	_exit(0);
}

static void on_signal(int sig)
{
	(void)sig;
}

static void untraced(void)
{
	static char stack[65536] __attribute__((aligned(16)));
	struct clone_args how = { .flags = CLONE_UNTRACED, .exit_signal = SIGCHLD };
	struct sigaction sa = { .sa_handler = on_signal };
	pid_t pid;

	/* Under the signal guard children are traced. */
	sigaction(SIGUSR1, &sa, NULL);
	pid = clone(child, stack + sizeof(stack), CLONE_UNTRACED | SIGCHLD, NULL);
	if (pid >= 0)
		wait_for(pid);
	pid = (pid_t)syscall(SYS_clone3, &how, sizeof(how));
	if (pid == 0)
		child(NULL);
	if (pid >= 0)
		wait_for(pid);
}

int main(int argc, char **argv)
{
	const char *how = argc > 3 ? argv[3] : "";

	if (argc < 4)
		return 99;
	take_range(argv);
	if (strcmp(how, "end") == 0)
		return has_pages_outside("/proc/self/maps") ? EXIT_OUTSIDE : 0;
	if (strcmp(how, "rewrite") == 0)
		rewrite();
	else if (strcmp(how, "poke") == 0)
		poke();
	else if (strcmp(how, "seize") == 0)
		seize(argv);
	else if (strcmp(how, "orphan") == 0)
		orphan(argv);
	else if (strcmp(how, "untraced") == 0)
		untraced();
	else
		return 99;
	check_fence(how);
	puts("contained");
	return 0;
}
