/*
 * Claim: whatever a process does, its memory stays inside. Each shape builds processes that map
 * memory in many ways, says "ready" on stdout and waits until stdin ends.
 * tree threads | fork | vfork | exec | child
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __i386__
#define NR_MMAP SYS_mmap2
#define FAR_HINT 0xf0000000
#else
#define NR_MMAP SYS_mmap
#define FAR_HINT 0x7e0000000000
#endif

static void die(const char *what)
{
	perror(what);
	exit(99);
}

/* Mappings of every sort that the kernel places by itself. */
static void map_some(void)
{
	const int prots[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC };
	unsigned long ring = 0;
	int fd, id;

	for (int i = 0; i < 40; i++) {
		size_t len = (size_t)4096 << (i % 12);
		void *hint = i % 3 == 1 ? (void *)(uintptr_t)FAR_HINT : i % 3 == 2 ? (void *)0x12345000 : NULL;
		int flags = MAP_PRIVATE | MAP_ANONYMOUS;

		if (i % 5 == 4)
			flags |= MAP_NORESERVE;
		if (mmap(hint, len, prots[i % 4], flags, -1, 0) == MAP_FAILED)
			die("mmap");
	}
	if (mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0) == MAP_FAILED &&
	    errno != ENOMEM)
		die("mmap MAP_32BIT");
	if (mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1,
		 0) == MAP_FAILED)
		die("mmap MAP_GROWSDOWN");
	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED)
		die("mmap of a file");
	close(fd);
	id = shmget(IPC_PRIVATE, 16384, 0600);
	if (id >= 0) {
		if (shmat(id, NULL, 0) == (void *)-1)
			die("shmat");
		shmctl(id, IPC_RMID, NULL);
	}
	syscall(SYS_io_setup, 8, &ring); /* the kernel maps a ring by itself */
	free(malloc(1 << 20));
	if (sbrk(1 << 20) == (void *)-1)
		die("sbrk");
}

static void wait_for_end(void)
{
	char c;

	while (read(0, &c, 1) > 0 || errno == EINTR)
		;
}

static void ready_and_wait(void)
{
	if (write(1, "ready\n", 6) != 6)
		die("write");
	wait_for_end();
}

static pthread_barrier_t barrier;

static void *thread(void *arg)
{
	(void)arg;
	map_some();
	pthread_barrier_wait(&barrier);
	for (;;)
		pause();
	return NULL;
}

static void do_threads(void)
{
	pthread_t t;

	pthread_barrier_init(&barrier, NULL, 5);
	for (int i = 0; i < 4; i++)
		if (pthread_create(&t, NULL, thread, NULL))
			die("pthread_create");
	pthread_barrier_wait(&barrier);
	ready_and_wait();
}

/* Three generations; the youngest says so, all wait. */
static void do_fork(void)
{
	pid_t pid = -1;

	map_some();
	for (int i = 0; i < 2; i++) {
		pid = fork();
		if (pid < 0)
			die("fork");
		if (pid > 0)
			break;
		map_some();
		if (i == 1) {
			ready_and_wait();
			exit(0);
		}
	}
	wait_for_end();
	waitpid(pid, NULL, 0);
}

/* The child of vfork waits in the parent's memory, having mapped there. */
static void do_vfork(void)
{
	pid_t pid;

	map_some();
	pid = vfork();
	if (pid < 0)
		die("vfork");
	if (pid == 0) {
		char c;

		if ((void *)syscall(NR_MMAP, 0, 65536, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
			_exit(1);
		syscall(SYS_write, 1, "ready\n", 6);
		while (syscall(SYS_read, 0, &c, 1) > 0)
			;
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void do_exec(char *self)
{
	char *const argv[] = { self, (char *)"child", NULL };
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		execv("/proc/self/exe", argv);
		die("execv");
	}
	wait_for_end();
	waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "";

	if (!strcmp(kind, "threads"))
		do_threads();
	else if (!strcmp(kind, "fork"))
		do_fork();
	else if (!strcmp(kind, "vfork"))
		do_vfork();
	else if (!strcmp(kind, "exec"))
		do_exec(argv[0]);
	else if (!strcmp(kind, "child")) {
		map_some();
		ready_and_wait();
	} else
		return 99;
	return 0;
}
