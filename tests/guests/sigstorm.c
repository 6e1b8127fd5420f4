/*
 * Claim: under a storm of signals whose handler was installed without SA_RESTART, no call that
 * never returns EINTR returns it, and every result is right.
 * sigstorm SECONDS KIND, KIND one of mmap brk mprotect fork exec spawn threads
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_NS 300000 /* 300 us */

extern char **environ;

static volatile sig_atomic_t signals;
static atomic_long wrong, calls;

static void handler(int sig)
{
	(void)sig;
	signals++;
}

static void bad(const char *what)
{
	int saved = errno;

	wrong++;
	if (wrong <= 10)
		fprintf(stderr, "sigstorm: %s: %s\n", what, strerror(saved));
}

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* SIGURG, so that one that arrives just after an exec does no harm. */
static void start_timer(void)
{
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGURG };
	const struct itimerspec its = { { 0, PERIOD_NS }, { 0, PERIOD_NS } };
	timer_t timer;

	if (timer_create(CLOCK_MONOTONIC, &ev, &timer) || timer_settime(timer, 0, &its, NULL)) {
		perror("sigstorm: timer");
		exit(99);
	}
}

static void storm(void)
{
	struct sigaction sa = { .sa_handler = handler }; /* no SA_RESTART */

	sigaction(SIGURG, &sa, NULL);
	start_timer();
}

static void do_mmap(void)
{
	unsigned char *p = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0);

	calls += 2;
	if (p == MAP_FAILED) {
		bad("mmap");
		return;
	}
	p[0] = 1;
	if (munmap(p, 12288))
		bad("munmap");
}

static void do_brk(void)
{
	char *base = (char *)syscall(SYS_brk, 0);
	char *up = (char *)syscall(SYS_brk, base + 65536);

	calls += 3;
	if (up != base + 65536)
		bad("brk up");
	else
		base[65535] = 1;
	if ((char *)syscall(SYS_brk, base) != base)
		bad("brk down");
}

static void do_mprotect(void)
{
	static char *p;

	if (!p)
		p = mmap(NULL, 16384, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	calls += 2;
	if (mprotect(p + 4096, 4096, PROT_READ | PROT_WRITE))
		bad("mprotect +w");
	else
		p[4096] = 1;
	if (mprotect(p + 4096, 4096, PROT_READ))
		bad("mprotect -w");
}

static int wait_for(pid_t pid)
{
	int status = -1;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return status;
}

static void do_fork(void)
{
	pid_t pid = fork();

	calls++;
	if (pid == 0) {
		char *p;

		start_timer(); /* timers do not cross fork */
		for (int i = 0; i < 20; i++) {
			p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				 -1, 0);
			if (p == MAP_FAILED || munmap(p, 4096))
				_exit(1);
		}
		_exit(0);
	}
	if (pid < 0)
		bad("fork");
	else if (wait_for(pid))
		bad("memory calls of a forked child");
}

/* Failing execs keep the handler and the timer, so the storm goes on through all of them. */
static void do_exec(void)
{
	char *const missing[] = { (char *)"/nonexistent/program", NULL };
	char *const fine[] = { (char *)"/bin/true", NULL };
	pid_t pid = fork();

	calls++;
	if (pid == 0) {
		start_timer();
		for (int i = 0; i < 10; i++) {
			execve(missing[0], missing, environ);
			if (errno != ENOENT) {
				perror("sigstorm: failing execve");
				_exit(1);
			}
		}
		execve(fine[0], fine, environ);
		perror("sigstorm: execve");
		_exit(2);
	}
	if (pid < 0)
		bad("fork");
	else if (wait_for(pid))
		bad("exec in a child");
}

static void do_spawn(void)
{
	char *const argv[] = { (char *)"/bin/true", NULL };
	pid_t pid;

	calls++;
	errno = posix_spawn(&pid, argv[0], NULL, NULL, argv, environ);
	if (errno)
		bad("posix_spawn");
	else if (wait_for(pid))
		bad("spawned program");
}

static long deadline;

static void *worker(void *arg)
{
	(void)arg;
	while (now_ms() < deadline) {
		do_mmap();
		do_mmap();
	}
	return NULL;
}

static void do_threads(void)
{
	pthread_t t[3];

	for (int i = 0; i < 3; i++)
		if (pthread_create(&t[i], NULL, worker, NULL))
			bad("pthread_create");
	worker(NULL);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
}

static const struct {
	const char *name;
	void (*run)(void);
} kinds[] = {
	{ "mmap", do_mmap }, { "brk", do_brk },	  { "mprotect", do_mprotect }, { "fork", do_fork },
	{ "exec", do_exec }, { "spawn", do_spawn }, { "threads", do_threads },
};

int main(int argc, char **argv)
{
	if (argc != 3)
		return 99;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].name, argv[2]))
			continue;
		deadline = now_ms() + atol(argv[1]) * 1000;
		storm();
		while (now_ms() < deadline)
			kinds[i].run();
		fprintf(stderr, "sigstorm: %s: %ld calls, %ld signals\n", argv[2], (long)calls,
			(long)signals);
		printf("wrong %ld, calls %s, signals %s\n", (long)wrong, calls > 20 ? "many" : "few",
		       signals > 100 ? "many" : "few");
		return wrong ? 1 : 0;
	}
	return 99;
}
