/*
 * Claim: processes that share their memory, in every combination of clone flags, map side by side;
 * exec and end of one leave the other alone. Raw calls only: they share errno, too.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 40
#define STACK 65536

static atomic_int child_done, child_bad, go, rounds_of_child;
static const char *self;

static long raw(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

/* Pages of its own, written and looked at: another's call on them would show. */
static int map_once(int tag)
{
	long p = raw(SYS_mmap, 0, 12288, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	volatile char *c = (char *)p;

	if (p < 0 && p > -4096)
		return 1;
	c[0] = (char)tag;
	c[8192] = (char)tag;
	if (raw(SYS_mprotect, p + 4096, 4096, PROT_READ, 0, 0, 0) || raw(SYS_munmap, p + 4096, 4096, 0, 0, 0, 0))
		return 1;
	if (c[0] != tag || c[8192] != tag)
		return 1;
	return raw(SYS_munmap, p, 12288, 0, 0, 0, 0) != 0;
}

static char *const exec_argv[] = { (char *)"x", (char *)"exec", NULL };
static char *const no_env[] = { NULL };

/* What the child does. 0: map and exit; 1: map and execute; 2: map on until it is told, also when the parent has executed */
static int child_kind;

static int child(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS || (child_kind == 2 && go == 0); i++) {
		if (map_once(7))
			child_bad = 1;
		rounds_of_child++;
	}
	child_done = 1;
	if (child_kind == 1) {
		raw(SYS_execve, (long)self, (long)exec_argv, (long)no_env, 0, 0, 0);
		raw(SYS_exit_group, 9, 0, 0, 0, 0, 0);
	}
	raw(SYS_exit, child_bad, 0, 0, 0, 0, 0);
	return 0;
}

static void try(const char *name, int flags, int kind)
{
	char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int status = -1, wrong = 0, is_thread = flags & CLONE_THREAD;
	pid_t pid, got = 0;

	child_done = child_bad = go = rounds_of_child = 0;
	child_kind = kind;
	pid = clone(child, stack + STACK, flags, NULL);
	if (pid < 0) {
		printf("%s: %s\n", name, strerror(errno));
		return;
	}
	/* With a vfork child that has ended, alone; else beside it. */
	for (int i = 0; i < ROUNDS; i++)
		wrong += map_once(3);
	if (is_thread) {
		while (!child_done)
			sched_yield();
		usleep(2000);
	} else {
		got = waitpid(pid, &status, __WALL);
	}
	printf("%s: %s, parent %s, child %s\n", name,
	       is_thread || (got == pid && WIFEXITED(status) && WEXITSTATUS(status) == (kind == 1 ? 5 : 0)) ? "ended" :
													     "bad end",
	       wrong ? "bad" : "fine", !(flags & CLONE_VM) || (child_done && !child_bad) ? "fine" : "bad");
	if (!is_thread)
		munmap(stack, STACK);
}

/* The parent executes while the child goes on in the old memory. */
static void parent_executes(int flags)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		char number[16];
		char *const argv[] = { (char *)"x", (char *)"parent", number, NULL };

		child_kind = 0;
		snprintf(number, sizeof(number), "%d", clone(child, stack + STACK, flags | SIGCHLD, NULL));
		execve(self, argv, no_env);
		_exit(9);
	}
	waitpid(pid, &status, 0);
	printf("parent executes: %#x\n", (unsigned int)status);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int flags;
	} all[] = {
		{ "vm", CLONE_VM | SIGCHLD },
		{ "vm files", CLONE_VM | CLONE_FILES | SIGCHLD },
		{ "vm sighand", CLONE_VM | CLONE_SIGHAND | SIGCHLD },
		{ "vm fs files sighand", CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND },
		{ "vm, no signal", CLONE_VM },
		{ "vm, another signal", CLONE_VM | SIGWINCH },
		{ "vm vfork", CLONE_VM | CLONE_VFORK | SIGCHLD },
		{ "vm parent", CLONE_VM | CLONE_PARENT | SIGCHLD },
		{ "vfork", CLONE_VFORK | SIGCHLD },
		{ "files", CLONE_FILES | SIGCHLD },
		{ "sysvsem io", CLONE_SYSVSEM | CLONE_IO | SIGCHLD },
		{ "thread", CLONE_VM | CLONE_SIGHAND | CLONE_THREAD },
		{ "thread sysvsem files", CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_FILES },
		{ "sighand without vm", CLONE_SIGHAND | SIGCHLD },
		{ "thread without sighand", CLONE_VM | CLONE_THREAD },
		{ "untraced", CLONE_VM | CLONE_PTRACE | SIGCHLD },
	};
	char exe[4096];
	ssize_t n;

	if (argc > 1 && strcmp(argv[1], "exec") == 0)
		return map_once(1) ? 6 : 5;
	if (argc > 2 && strcmp(argv[1], "parent") == 0) {
		int status = -1;
		pid_t pid = (pid_t)atol(argv[2]), got = waitpid(pid, &status, __WALL);

		for (int i = 0; i < ROUNDS; i++) {
			if (map_once(1))
				return 4;
		}
		return got == pid && status == 0 ? 0 : 3;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	exe[n < 0 ? 0 : n] = '\0';
	self = exe;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (all[i].flags & CLONE_PARENT)
			continue; /* its waiter would be ours */
		try(all[i].name, all[i].flags, 0);
		if (!(all[i].flags & CLONE_THREAD) && (all[i].flags & CLONE_VM))
			try(all[i].name, all[i].flags, 1);
	}
	parent_executes(CLONE_VM);
	parent_executes(CLONE_VM | CLONE_FILES | CLONE_FS);
	parent_executes(CLONE_VM | CLONE_SIGHAND);
	return 0;
}
