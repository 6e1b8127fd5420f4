/*
 * Claim: a thread whose call does not return, or whose memory nobody serves, stalls nobody but itself.
 * stall LO HI asleep: calls whose effect is not known, made by threads that then sleep for ever
 * stall LO HI populate | path | action | limit: pages that a userfaultfd nobody reads should serve
 * A second process (and for asleep, a second thread) must go on; says "contained", "slow N us" or exits by alarm.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <time.h>

#include "hostile.h"

static char *page; /* not served */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *sleep_after_call(void *arg)
{
	switch ((uintptr_t)arg % 3) {
	case 0:
		shmdt((void *)lo);
		break;
	case 1:
		syscall(SYS_io_destroy, lo);
		break;
	case 2:
		syscall(SYS_remap_file_pages, lo, PAGE, 0, 0, 0);
		break;
	}
	for (;;)
		pause();
	return NULL;
}

/* How long a pair of calls that name their addresses takes, in microseconds: the best of some rounds. */
static double measure(void)
{
	double best = 1e9;

	for (int round = 0; round < 5; round++) {
		char *at = mmap(NULL, 16 * PAGE, RW, ANON, -1, 0);
		double began = now();

		for (int i = 0; i < 20; i++) {
			mprotect(at + PAGE * (i % 8), PAGE, i % 2 ? PROT_READ : RW);
			munmap(at + PAGE * (8 + i % 8), PAGE);
		}
		began = (now() - began) / 40 * 1e6;
		if (began < best)
			best = began;
		munmap(at, 16 * PAGE);
	}
	return best;
}

static void asleep(void)
{
	double before = measure(), after;
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	for (uintptr_t i = 0; i < 30; i++) {
		if (pthread_create(&thread, &attr, sleep_after_call, (void *)i))
			broken("pthread_create");
	}
	usleep(100000);
	after = measure();
	/* Each held for milliseconds would be a hundred times slower. */
	if (after > 20 * before + 500)
		printf("slow: %.0f us, before %.0f us\n", after, before);
	else
		puts("contained");
}

static void no_server(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	if (fd < 0)
		fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	page = mmap(NULL, PAGE, RW, ANON, -1, 0);
	reg.range.start = (uintptr_t)page;
	reg.range.len = PAGE;
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) < 0 || ioctl(fd, UFFDIO_REGISTER, &reg) < 0) {
		puts("no userfaultfd");
		exit(0);
	}
}

static void *stuck(void *arg)
{
	const char *how = arg;
	char *argv[] = { NULL };

	if (strcmp(how, "populate") == 0)
		madvise(page, PAGE, MADV_POPULATE_WRITE);
	else if (strcmp(how, "path") == 0)
		execve(page, argv, argv);
	else if (strcmp(how, "action") == 0)
		syscall(SYS_rt_sigaction, SIGUSR1, page, NULL, 8);
	else if (strcmp(how, "limit") == 0)
		syscall(SYS_setrlimit, RLIMIT_AS, page);
	else if (strcmp(how, "get-limit") == 0)
		syscall(SYS_getrlimit, RLIMIT_AS, page);
	return NULL;
}

/* What others of the tree need from the supervisor: memory, a new process, an exec. */
static void go_on(void)
{
	for (int i = 0; i < 20; i++) {
		pid_t pid;

		munmap(mmap(NULL, PAGE, RW, ANON, -1, 0), PAGE);
		pid = vfork();
		if (pid == 0) {
			execl("/bin/true", "true", NULL);
			_exit(1);
		}
		wait_for(pid);
	}
}

int main(int argc, char **argv)
{
	pthread_t thread;
	pid_t pid;

	if (argc < 4)
		return 99;
	take_range(argv);
	if (strcmp(argv[3], "asleep") == 0) {
		asleep();
		fflush(stdout);
		_exit(0);
	}
	pid = fork();
	if (pid == 0) {
		no_server();
		if (pthread_create(&thread, NULL, stuck, argv[3]))
			broken("pthread_create");
		/* The same process's other threads go on as well, as far as the kernel lets them. */
		usleep(100000);
		for (int i = 0; i < 100; i++)
			munmap(mmap(NULL, PAGE, RW, ANON, -1, 0), PAGE);
		puts("goes on");
		fflush(stdout);
		pause();
	}
	usleep(300000);
	go_on();
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	puts("contained");
	return 0;
}
