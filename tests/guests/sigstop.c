/*
 * Claim: what a parent sees of a child's stops, continues and traps is what it sees natively,
 * whether the child is under the signal guard or not. Everything is printed, for comparison.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t traps, conts;

static void on_trap(int sig)
{
	(void)sig;
	traps++;
}

static void on_cont(int sig)
{
	(void)sig;
	conts++;
}

static void nop(int sig)
{
	(void)sig;
}

static void *keep_mapping(void *arg)
{
	for (;;) {
		char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		munmap(p, 8192);
	}
	return arg;
}

static pid_t start(int guarded, int threads)
{
	struct sigaction sa = { .sa_handler = nop };
	int ready[2];
	pid_t pid;
	char byte;

	if (pipe(ready))
		exit(99);
	pid = fork();
	if (pid == 0) {
		pthread_t thread;

		if (guarded)
			sigaction(SIGUSR1, &sa, NULL);
		for (int i = 0; i < threads; i++)
			pthread_create(&thread, NULL, keep_mapping, NULL);
		if (write(ready[1], "x", 1) != 1)
			_exit(99);
		keep_mapping(NULL);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		exit(99);
	close(ready[0]);
	return pid;
}

static void say(const char *what, pid_t got, pid_t pid, int status)
{
	printf("%s: %s, %s %d\n", what, got == pid ? "it" : got == 0 ? "nothing" : "error",
	       WIFSTOPPED(status)   ? "stopped by" :
	       WIFCONTINUED(status) ? "continued" :
	       WIFSIGNALED(status)  ? "killed by" :
				      "exit",
	       WIFSTOPPED(status)   ? WSTOPSIG(status) :
	       WIFCONTINUED(status) ? 0 :
	       WIFSIGNALED(status)  ? WTERMSIG(status) :
				      WEXITSTATUS(status));
}

static void await(const char *what, pid_t pid, int options)
{
	int status = 0;
	pid_t got = waitpid(pid, &status, options);

	say(what, got, pid, status);
}

static void info(const char *what, pid_t pid, int options)
{
	siginfo_t si = { 0 };
	int r = waitid(P_PID, (id_t)pid, &si, options);

	printf("%s: %d, code %d, status %d, %s\n", what, r, si.si_code, si.si_status,
	       si.si_pid == pid ? "it" : "nobody");
}

static void stops(int guarded, int threads)
{
	pid_t pid = start(guarded, threads);
	const int by[] = { SIGSTOP, SIGTTIN };

	printf("-- %d threads\n", threads);
	for (int i = 0; i < 2; i++) {
		kill(pid, by[i]);
		info("seen, left", pid, WSTOPPED | WNOWAIT);
		await("stop", pid, WUNTRACED);
		await("again", pid, WUNTRACED | WNOHANG);
		await("no continue", pid, WCONTINUED | WNOHANG);
		kill(pid, SIGCONT);
		info("seen, left", pid, WCONTINUED | WNOWAIT);
		await("continue", pid, WCONTINUED);
		await("again", pid, WCONTINUED | WNOHANG);
	}
	/* A stop ends a continue and the reverse; the handler-signal waits behind the stop. */
	for (int i = 0; i < 50; i++) {
		int status = 0;

		kill(pid, SIGSTOP);
		kill(pid, guarded ? SIGUSR1 : SIGWINCH);
		if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status))
			printf("lost a stop\n");
		kill(pid, SIGCONT);
		if (waitpid(pid, &status, WCONTINUED) != pid || !WIFCONTINUED(status))
			printf("lost a continue\n");
	}
	kill(pid, SIGSTOP);
	await("stop", pid, WUNTRACED);
	kill(pid, SIGKILL);
	info("killed, left", pid, WEXITED | WNOWAIT);
	await("killed while it was stopped", pid, 0);
}

static void traps_of_own(int guarded)
{
	struct sigaction sa = { .sa_handler = on_trap, .sa_flags = SA_RESTART };
	pid_t pid = fork();

	if (pid == 0) {
		struct sigaction usr = { .sa_handler = nop };

		if (guarded)
			sigaction(SIGUSR1, &usr, NULL);
		sigaction(SIGTRAP, &sa, NULL);
		for (int i = 0; i < 20; i++) {
			char *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

			__asm__ volatile("int3");
			munmap(p, 4096);
			raise(SIGTRAP);
			kill(getpid(), SIGTRAP);
		}
		_exit(traps == 60 ? 0 : 1);
	}
	await("its own traps", pid, 0);
	pid = fork();
	if (pid == 0) {
		if (guarded)
			sigaction(SIGUSR1, &sa, NULL);
		__asm__ volatile("int3");
		_exit(0);
	}
	await("a trap without a handler", pid, WUNTRACED);
}

/* It stops itself, its parent continues it, its SIGCONT handler has run when it goes on. */
static void stops_itself(int guarded)
{
	struct sigaction sa = { .sa_handler = on_cont, .sa_flags = guarded ? 0 : SA_RESTART };
	pid_t pid = fork();

	if (pid == 0) {
		sigaction(SIGCONT, &sa, NULL);
		for (int i = 0; i < 10; i++) {
			raise(i & 1 ? SIGSTOP : SIGTTOU);
			if (conts != i + 1)
				_exit(1);
		}
		_exit(0);
	}
	for (int i = 0; i < 10; i++) {
		int status = 0;

		if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status))
			printf("round %d: status %#x\n", i, (unsigned int)status);
		kill(pid, SIGCONT);
	}
	await("it stopped itself", pid, 0);
}

/* Through some execs with SIGTRAP blocked and sent all the time: it is pending in the end, and did no harm. */
static void trapped(const char *self, int left)
{
	char number[16];
	char *const argv[] = { (char *)self, number, NULL };
	sigset_t set;

	if (left == 0) {
		sigpending(&set);
		_exit(sigismember(&set, SIGTRAP) ? 0 : 2);
	}
	snprintf(number, sizeof(number), "%d", left - 1);
	execv(self, argv);
	_exit(3);
}

static void traps_at_exec(const char *self)
{
	sigset_t set;
	int status;
	pid_t pid;

	sigemptyset(&set);
	sigaddset(&set, SIGTRAP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	pid = fork();
	if (pid == 0)
		trapped(self, 15);
	do {
		kill(pid, SIGTRAP);
		syscall(SYS_tgkill, pid, pid, SIGTRAP);
	} while (waitpid(pid, &status, WNOHANG) == 0);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	say("traps at exec", pid, pid, status);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		trapped(argv[0], atoi(argv[1]));
	setvbuf(stdout, NULL, _IOLBF, 0);
	/* In a group that is not orphaned, whatever ours is: else nothing stops by SIGTTIN. */
	for (int guarded = 0; guarded < 2; guarded++) {
		pid_t pid = fork();

		if (pid == 0) {
			setpgid(0, 0);
			stops(guarded, 0);
			stops(guarded, 3);
			traps_of_own(guarded);
			stops_itself(guarded);
			traps_at_exec(argv[0]);
			exit(0);
		}
		await("all", pid, 0);
	}
	return 0;
}
