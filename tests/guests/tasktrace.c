/*
 * Claim: a debugger inside, that attaches to a running process of its own tree, sees each system call with its true arguments
 * and result, sets registers and memory, and lets go again, while the traced process maps memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOG 4096

/* What the traced process got from its mmaps, in order; shared. */
static struct {
	atomic_int nr, stop, secret;
	uint64_t result[LOG];
} *shared;

static void victim(void)
{
	while (!shared->stop && shared->nr < LOG) {
		char *p = mmap(NULL, 4096u * (1 + (unsigned int)shared->nr % 5), PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		shared->result[shared->nr] = (uint64_t)p;
		shared->nr++;
		if (p == MAP_FAILED)
			_exit(1);
		p[0] = 1;
		munmap(p, 4096u * (1 + (unsigned int)(shared->nr - 1) % 5));
	}
	while (!shared->stop)
		usleep(1000);
	_exit(shared->secret == 42 ? 0 : 2);
}

static int is_logged(uint64_t value)
{
	for (int i = 0; i < shared->nr; i++) {
		if (shared->result[i] == value)
			return 1;
	}
	return 0;
}

static int next_stop(pid_t pid, int how)
{
	int status = 0;

	if (ptrace(how, pid, 0, 0) < 0 || waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status)) {
		printf("lost it: %#x, %s\n", (unsigned int)status, strerror(errno));
		exit(1);
	}
	return status;
}

int main(void)
{
	struct user_regs_struct regs, before = { 0 };
	int status, calls = 0, wrong = 0;
	uint64_t last = 0;
	pid_t pid;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid = fork();
	if (pid == 0)
		victim();
	while (shared->nr < 20)
		usleep(100);
	if (ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)) {
		printf("seize: %s\n", strerror(errno));
		kill(pid, SIGKILL);
		return 1;
	}
	ptrace(PTRACE_INTERRUPT, pid, 0, 0);
	waitpid(pid, &status, __WALL);
	printf("stopped: %#x\n", (unsigned int)status);
	while (calls < 100) {
		status = next_stop(pid, PTRACE_SYSCALL);
		if (WSTOPSIG(status) != (SIGTRAP | 0x80))
			continue;
		ptrace(PTRACE_GETREGS, pid, 0, &regs);
		if (regs.orig_rax != SYS_mmap)
			continue;
		if ((int64_t)regs.rax == -ENOSYS) {
			before = regs;
			continue;
		}
		/* Its end: same arguments, and a result that the process will log. */
		if (before.orig_rax == SYS_mmap && (before.rsi != regs.rsi || before.r10 != regs.r10 || regs.rax % 4096))
			wrong++;
		if (last && !is_logged(last))
			wrong++;
		last = regs.rax;
		calls++;
	}
	if (ptrace(PTRACE_POKEDATA, pid, &shared->secret, 42))
		wrong++;
	if (ptrace(PTRACE_DETACH, pid, 0, 0))
		wrong++;
	shared->stop = 1;
	waitpid(pid, &status, 0);
	printf("calls %d, wrong %d, status %#x\n", calls, wrong, (unsigned int)status);
	return wrong != 0;
}
