/*
 * bench-guest ROW ITERATIONS: does one kind of operation ITERATIONS times and
 * prints what one of them took, in nanoseconds, by its own clock.
 *
 * It is the thing measured, run alike under every column of bench/vmsup-bench.
 * It knows nothing of vmsup, is never sanitized (ASan's shadow lies outside
 * small ranges) and checks every result: a call that fails fast would look
 * like a fast call.
 *
 * An operation is a pair of calls that leaves the address space as it was, so
 * that the thousandth finds what the first found. Memory is never touched: the
 * calls are measured, not the page faults. The exec rows start and reap one
 * /bin/true.
 */
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define LEN (16 * PAGE)

struct row {
	const char *name;
	void (*setup)(void);
	void (*op)(void);
	unsigned int threads;
};

extern char **environ;

static char *area;
static char *brk_start;
static int file_fd = -1;

static void *map(size_t len, int prot)
{
	void *p = mmap(NULL, len, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		err(1, "mmap");
	return p;
}

static void op_mmap(void)
{
	if (munmap(map(LEN, PROT_READ | PROT_WRITE), LEN) < 0)
		err(1, "munmap");
}

static void setup_brk(void)
{
	brk_start = (char *)syscall(SYS_brk, 0);
}

/* The raw call: glibc's brk() and sbrk() keep a state of their own. */
static void op_brk(void)
{
	if ((char *)syscall(SYS_brk, brk_start + LEN) != brk_start + LEN)
		errx(1, "brk did not grow");
	if ((char *)syscall(SYS_brk, brk_start) != brk_start)
		errx(1, "brk did not shrink");
}

static void setup_mprotect(void)
{
	area = map(3 * PAGE, PROT_READ | PROT_WRITE);
}

/* The middle page: the first call splits the mapping in three, the second makes it one again. */
static void op_mprotect(void)
{
	if (mprotect(area + PAGE, PAGE, PROT_NONE) < 0 ||
	    mprotect(area + PAGE, PAGE, PROT_READ | PROT_WRITE) < 0)
		err(1, "mprotect");
}

/* Page 0 is the one to move, page 1 is in the way of its growth. */
static void setup_mremap(void)
{
	area = map(2 * PAGE, PROT_READ | PROT_WRITE);
	if (mprotect(area + PAGE, PAGE, PROT_NONE) < 0)
		err(1, "mprotect");
}

/* Grows to where the kernel finds room, then moves back to the old place. */
static void op_mremap(void)
{
	void *p = mremap(area, PAGE, 2 * PAGE, MREMAP_MAYMOVE);

	if (p == MAP_FAILED || p == area)
		err(1, "mremap did not move");
	if (mremap(p, 2 * PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, area) != area)
		err(1, "mremap did not move back");
}

static void setup_file(void)
{
	file_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (file_fd < 0)
		err(1, "/proc/self/exe");
}

static void op_file(void)
{
	void *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, file_fd, 0);

	if (p == MAP_FAILED || munmap(p, PAGE) < 0)
		err(1, "mmap of a file");
}

static void reap(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status != 0)
		errx(1, "/bin/true did not exit with 0");
}

static char *const true_argv[] = { (char *)"/bin/true", NULL };

static void op_exec(void)
{
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		execv(true_argv[0], true_argv);
		_exit(127);
	}
	reap(pid);
}

/* glibc's posix_spawn is clone(CLONE_VM | CLONE_VFORK): no copy of the address space. */
static void op_spawn(void)
{
	pid_t pid;
	int r = posix_spawn(&pid, true_argv[0], NULL, NULL, true_argv, environ);

	if (r != 0)
		errx(1, "posix_spawn: %s", strerror(r));
	reap(pid);
}

static const struct row rows[] = {
	{ "mmap", NULL, op_mmap, 1 },
	{ "brk", setup_brk, op_brk, 1 },
	{ "mprotect", setup_mprotect, op_mprotect, 1 },
	{ "mremap", setup_mremap, op_mremap, 1 },
	{ "file", setup_file, op_file, 1 },
	{ "threads", NULL, op_mmap, 2 },
	{ "exec", NULL, op_exec, 1 },
	{ "spawn", NULL, op_spawn, 1 },
};

struct work {
	const struct row *row;
	unsigned long iterations;
	pthread_barrier_t barrier;
};

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void repeat(const struct row *row, unsigned long n)
{
	while (n-- > 0)
		row->op();
}

/* A barrier before and after: the clock runs only while every thread works or has worked. */
static void *worker(void *arg)
{
	struct work *w = arg;

	repeat(w->row, w->iterations / 10 + 1);
	pthread_barrier_wait(&w->barrier);
	repeat(w->row, w->iterations);
	pthread_barrier_wait(&w->barrier);
	return NULL;
}

/* Time per operation of one thread; with two threads, two operations are done in that time. */
static double measure(const struct row *row, unsigned long iterations)
{
	struct work w = { .row = row, .iterations = iterations };
	pthread_t extra[8];
	uint64_t start, end;

	pthread_barrier_init(&w.barrier, NULL, row->threads);
	for (unsigned int i = 1; i < row->threads; i++) {
		if (pthread_create(&extra[i], NULL, worker, &w) != 0)
			errx(1, "pthread_create failed");
	}
	repeat(row, iterations / 10 + 1);
	pthread_barrier_wait(&w.barrier);
	start = now();
	repeat(row, iterations);
	pthread_barrier_wait(&w.barrier);
	end = now();
	for (unsigned int i = 1; i < row->threads; i++)
		pthread_join(extra[i], NULL);
	pthread_barrier_destroy(&w.barrier);
	return (double)(end - start) / (double)iterations;
}

int main(int argc, char **argv)
{
	unsigned long iterations = 0;
	char *end = NULL;

	if (argc == 3)
		iterations = strtoul(argv[2], &end, 10);
	if (argc != 3 || iterations == 0 || *end != '\0') {
		fprintf(stderr, "usage: bench-guest ROW ITERATIONS\n");
		return 2;
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(rows[i].name, argv[1]) != 0)
			continue;
		if (rows[i].setup != NULL)
			rows[i].setup();
		printf("%.1f\n", measure(&rows[i], iterations));
		return 0;
	}
	fprintf(stderr, "bench-guest: no row \"%s\"\n", argv[1]);
	return 2;
}
