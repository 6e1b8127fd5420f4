/*
 * Claim: under a storm of signals whose handler was installed without SA_RESTART, no call that
 * never returns EINTR returns it, and every result is right.
 * sigstorm CALLS KIND [STORM...]: at least CALLS calls, and on until HITS signals have come.
 * KIND: mmap mremap brk mprotect fork vfork spawn exec create threads
 * STORM: a word or more of
 *   stop       a child of ours sends SIGSTOP and SIGCONT all the time, beside the timer
 *   tgkill     no timer: a thread sends SIGURG to each thread every millisecond, as Go's runtime does
 *   resethand, nodefer, altstack   flags of the handler
 *   install    a thread installs the handler again and again, with these flags and with SA_RESTART
 *   inherit    the loops run in a fork child that has the handler from its parent
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_NS 300000 /* 300 us */
#define HITS 300

extern char **environ;

static volatile sig_atomic_t signals;
static atomic_long wrong, calls;

static void install(int with);
static int flags;

static void handler(int sig)
{
	(void)sig;
	signals++;
	if (flags & SA_RESETHAND)
		install(flags);
}

static void bad(const char *what)
{
	int saved = errno;

	wrong++;
	if (wrong <= 10)
		fprintf(stderr, "sigstorm: %s: %s\n", what, strerror(saved));
}

static bool wants_stop, wants_tgkill, wants_install, wants_inherit;
static long goal;

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

static void install(int with)
{
	struct sigaction sa = { .sa_handler = handler, .sa_flags = with };

	sigaction(SIGURG, &sa, NULL);
}

static void *keep_installing(void *arg)
{
	for (;;) {
		install(SA_RESTART);
		install(flags);
		usleep(500);
	}
	return arg;
}

static void *keep_preempting(void *arg)
{
	pid_t self = (pid_t)syscall(SYS_gettid);

	for (;;) {
		DIR *dir = opendir("/proc/self/task");
		struct dirent *entry;

		while (dir && (entry = readdir(dir))) {
			pid_t tid = (pid_t)atol(entry->d_name);

			if (tid > 0 && tid != self)
				syscall(SYS_tgkill, getpid(), tid, SIGURG);
		}
		if (dir)
			closedir(dir);
		usleep(1000);
	}
	return arg;
}

static pid_t pelter;
static atomic_bool *enough; /* shared with the pelter, whose last word must be SIGCONT */

static void start_pelter(void)
{
	pid_t victim = getpid();

	enough = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pelter = fork();
	if (pelter)
		return;
	while (getppid() == victim && !*enough) {
		kill(victim, SIGSTOP);
		usleep(300);
		kill(victim, SIGCONT);
		usleep(1000);
	}
	_exit(0);
}

static void storm(void)
{
	pthread_t thread;

	if (flags & SA_ONSTACK) {
		stack_t stack = { .ss_sp = malloc(65536), .ss_size = 65536 };

		sigaltstack(&stack, NULL);
	}
	install(flags);
	if (wants_inherit) {
		pid_t pid = fork();
		int status = -1;

		if (pid) {
			while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
				;
			_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 98);
		}
	}
	if (wants_stop)
		start_pelter();
	if (wants_install)
		pthread_create(&thread, NULL, keep_installing, NULL);
	if (wants_tgkill)
		pthread_create(&thread, NULL, keep_preempting, NULL);
	else
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

/* In place, to another place and back, each with its contents. */
static void do_mremap(void)
{
	unsigned char *p = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *q, *r;

	calls += 5;
	if (p == MAP_FAILED) {
		bad("mmap");
		return;
	}
	p[0] = 7;
	q = mremap(p, 4 * 4096, 2 * 4096, 0);
	if (q != p) {
		bad("mremap: shrink");
		return;
	}
	r = mmap(NULL, 3 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (r == MAP_FAILED) {
		bad("mmap");
		return;
	}
	q = mremap(p, 2 * 4096, 3 * 4096, MREMAP_MAYMOVE | MREMAP_FIXED, r);
	if (q != r || q[0] != 7)
		bad("mremap: move");
	if (munmap(r, 3 * 4096))
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

/* The child runs on our stack and mm until it execs. */
static void do_vfork(void)
{
	char *const argv[] = { (char *)"/bin/true", NULL };
	pid_t pid = vfork();

	calls++;
	if (pid == 0) {
		execve(argv[0], argv, environ);
		_exit(2);
	}
	if (pid < 0)
		bad("vfork");
	else if (wait_for(pid))
		bad("vforked program");
}

static void *nothing(void *arg)
{
	do_mmap();
	return arg;
}

static void do_create(void)
{
	pthread_t t;

	calls++;
	errno = pthread_create(&t, NULL, nothing, NULL);
	if (errno)
		bad("pthread_create");
	else
		pthread_join(t, NULL);
}

static bool is_done(void)
{
	return calls >= goal && signals >= HITS;
}

static void *worker(void *arg)
{
	(void)arg;
	while (!is_done()) {
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
	{ "mmap", do_mmap }, { "mremap", do_mremap }, { "brk", do_brk }, { "mprotect", do_mprotect },
	{ "fork", do_fork }, { "vfork", do_vfork }, { "exec", do_exec }, { "spawn", do_spawn },
	{ "create", do_create }, { "threads", do_threads },
};

static bool take_storm(const char *word)
{
	if (!strcmp(word, "stop"))
		wants_stop = true;
	else if (!strcmp(word, "tgkill"))
		wants_tgkill = true;
	else if (!strcmp(word, "install"))
		wants_install = true;
	else if (!strcmp(word, "inherit"))
		wants_inherit = true;
	else if (!strcmp(word, "resethand"))
		flags |= (int)SA_RESETHAND;
	else if (!strcmp(word, "nodefer"))
		flags |= SA_NODEFER;
	else if (!strcmp(word, "altstack"))
		flags |= SA_ONSTACK;
	else
		return false;
	return true;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 99;
	for (int i = 3; i < argc; i++) {
		if (!take_storm(argv[i]))
			return 99;
	}
	goal = atol(argv[1]);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].name, argv[2]))
			continue;
		storm();
		while (!is_done())
			kinds[i].run();
		if (pelter) {
			*enough = true;
			wait_for(pelter);
		}
		fprintf(stderr, "sigstorm: %s: %ld calls, %ld signals\n", argv[2], (long)calls, (long)signals);
		printf("wrong %ld\n", (long)wrong);
		exit(wrong ? 1 : 0);
	}
	return 99;
}
