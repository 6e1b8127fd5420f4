/*
 * Claim: a process that outlives its leader goes on as natively: it maps, forks, executes, makes threads, installs handlers,
 * and what another process of that kind does is not taken for its own.
 * taskleader ROUNDS; taskleader stop: stops itself, by a thread that is left and under the signal guard.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int rounds;
static const char *self;

static void handler(int sig)
{
	(void)sig;
}

static void bad(const char *what)
{
	printf("%s: %s\n", what, strerror(errno));
	fflush(stdout);
	_exit(1);
}

static void start_timer(void)
{
	struct sigaction sa = { .sa_handler = handler };
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGURG };
	const struct itimerspec its = { { 0, 300000 }, { 0, 300000 } };
	timer_t timer;

	if (sigaction(SIGURG, &sa, NULL) || timer_create(CLOCK_MONOTONIC, &ev, &timer) ||
	    timer_settime(timer, 0, &its, NULL))
		bad("timer");
}

static void map_a_while(int count)
{
	for (int i = 0; i < count; i++) {
		char *p = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			bad("mmap");
		p[i % 16384] = 1;
		if (mprotect(p, 4096, PROT_READ) || munmap(p, 16384))
			bad("mprotect or munmap");
	}
}

/* Files: its descriptors are no leader's either. */
static void map_files(void)
{
	int fd = memfd_create("x", MFD_ALLOW_SEALING), exe = open("/proc/thread-self/exe", O_RDONLY);
	void *p;

	if (fd < 0 || ftruncate(fd, 8192) || fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE))
		bad("memfd");
	p = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED || mprotect(p, 4096, PROT_READ | PROT_WRITE) == 0 || errno != EACCES || munmap(p, 8192))
		bad("a sealed file");
	p = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, exe, 0);
	if (p == MAP_FAILED || munmap(p, 8192))
		bad("a file");
	close(fd);
	close(exe);
}

static void *nothing(void *arg)
{
	map_a_while(3);
	return arg;
}

static void fork_some(void)
{
	char *const argv[] = { (char *)self, (char *)"exec", NULL };
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		map_a_while(5);
		_exit(3);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid < 0 || status != 3 << 8)
		bad("fork");
	pid = vfork();
	if (pid == 0) {
		execv(self, argv);
		_exit(9);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid < 0 || status)
		bad("vfork");
}

static void await_end_of_leader(void)
{
	while (syscall(SYS_tgkill, getpid(), getpid(), 0) == 0) {
		char path[64], text[512] = "";
		int fd;

		snprintf(path, sizeof(path), "/proc/%d/stat", getpid());
		fd = open(path, O_RDONLY);
		(void)!read(fd, text, sizeof(text) - 1);
		close(fd);
		if (strstr(text, ") Z "))
			break;
		map_a_while(1);
	}
}

static void *stop(void *arg)
{
	struct sigaction sa = { .sa_handler = handler };

	sigaction(SIGUSR1, &sa, NULL);
	await_end_of_leader();
	kill(getpid(), SIGSTOP);
	map_a_while(10);
	puts("goes on");
	exit(6);
	return arg;
}

static void *go_on(void *arg)
{
	char *const argv[] = { (char *)self, (char *)"exec", (char *)"last", NULL };
	pthread_t thread;

	await_end_of_leader();
	for (int i = 0; i < rounds; i++) {
		map_a_while(20);
		map_files();
		if (pthread_create(&thread, NULL, nothing, NULL) || pthread_join(thread, NULL))
			bad("pthread_create");
		if (i % 8 == 0)
			fork_some();
		if (i == rounds / 2)
			start_timer();
	}
	execv(self, argv);
	bad("execv");
	return arg;
}

/* A leader that ends before it has made a memory call that anybody could have seen. */
static pid_t start(void)
{
	pid_t pid = fork();
	pthread_t thread;

	if (pid)
		return pid;
	pthread_create(&thread, NULL, go_on, NULL);
	pthread_exit(NULL);
}

int main(int argc, char **argv)
{
	pid_t pids[3];
	int status;

	setvbuf(stdout, NULL, _IOLBF, 0);
	self = argv[0];
	if (argc > 1 && strcmp(argv[1], "exec") == 0) {
		map_a_while(10);
		return argc > 2 ? 5 : 0;
	}
	if (argc > 1 && strcmp(argv[1], "stop") == 0) {
		pthread_t thread;

		pthread_create(&thread, NULL, stop, NULL);
		pthread_exit(NULL);
	}
	rounds = argc > 1 ? atoi(argv[1]) : 10;
	/* Several at once: each has a leader without an mm. */
	for (int i = 0; i < 3; i++)
		pids[i] = start();
	for (int i = 0; i < 3; i++) {
		status = -1;
		waitpid(pids[i], &status, 0);
		printf("status %#x\n", (unsigned int)status);
	}
	return 0;
}
