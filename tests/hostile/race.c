/*
 * Claim: threads that race on the same addresses, descriptors and tasks confuse neither tree nor kernel, and nothing hangs.
 * race LO HI ranges | files | exits | forks | spaces | blocks ROUNDS
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include "hostile.h"

#define THREADS 6
#define ARENA (64 * PAGE)

static char *arena, *heap;
static volatile uint32_t *block; /* arguments of an i386 mmap; MAP_FAILED: no memory that i386 could name */
static int rounds, shared_fd, files[2];

static unsigned int next(unsigned int *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 8;
}

static void must_be_inside(void *at)
{
	if (at != MAP_FAILED && is_outside((long)at))
		escaped("a race");
}

static void *race_ranges(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;

	for (int i = 0; i < rounds; i++) {
		char *at = arena + next(&seed) % 60 * PAGE;
		size_t len = (1 + next(&seed) % 4) * PAGE;
		char *to = arena + next(&seed) % 60 * PAGE;

		switch (next(&seed) % 10) {
		case 0:
		case 1:
			must_be_inside(mmap(at, len, RW, ANON | MAP_FIXED, -1, 0));
			break;
		case 2:
			must_be_inside(mmap(at, len, PROT_NONE, ANON | MAP_FIXED_NOREPLACE, -1, 0));
			break;
		case 3:
			munmap(at, len);
			break;
		case 4:
			must_be_inside(mremap(at, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to));
			break;
		case 5:
			must_be_inside(mremap(at, len, len + 2 * PAGE, MREMAP_MAYMOVE));
			break;
		case 6:
			mprotect(at, len, next(&seed) % 8);
			break;
		case 7:
			must_be_inside(mmap(at, len, RW, ANON, -1, 0));
			break;
		case 8:
			/* Above what malloc has. */
			syscall(SYS_brk, heap + next(&seed) % 64 * PAGE);
			break;
		case 9:
			must_be_inside(mmap((void *)hi, len, PROT_READ, ANON, -1, 0));
			break;
		}
	}
	return NULL;
}

static void *race_files(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;

	for (int i = 0; i < rounds; i++) {
		if (arg && next(&seed) % 2) {
			dup2(files[next(&seed) % 2], shared_fd);
		} else if (arg) {
			close(shared_fd);
		} else {
			void *at = mmap(NULL, 3 * PAGE, PROT_READ, next(&seed) % 2 ? MAP_SHARED : MAP_PRIVATE, shared_fd, 0);

			must_be_inside(at);
			if (at != MAP_FAILED) {
				mprotect(at, PAGE, RW);
				munmap(at, 3 * PAGE);
			}
		}
	}
	return NULL;
}

static long int80(long nr, uint64_t first)
{
	long ret;

	__asm__ volatile("int $0x80" : "=a"(ret) : "a"(nr), "b"(first) : "memory", "r8", "r9", "r10", "r11");
	return (int)ret;
}

/* i386's first mmap has its arguments in memory: what is decided must be what is done, whoever changes them meanwhile. */
static void *race_blocks(void *arg)
{
	static int ended;
	unsigned int seed = (unsigned int)(uintptr_t)arg;

	if (block == MAP_FAILED)
		return NULL;
	if ((uintptr_t)arg % 2) {
		while (__atomic_load_n(&ended, __ATOMIC_RELAXED) < THREADS / 2) {
			block[0] = (uint32_t)(next(&seed) % 7 < 3 ? hi : (uintptr_t)arena);
			block[3] = ANON | (next(&seed) % 5 < 2 ? MAP_FIXED : MAP_FIXED_NOREPLACE);
		}
		return NULL;
	}
	for (int i = 0; i < rounds; i++) {
		const long at = int80(90, (uintptr_t)block);

		if (at >= 0 || at < -4095)
			must_be_inside((void *)(uintptr_t)(uint32_t)at);
	}
	__atomic_add_fetch(&ended, 1, __ATOMIC_RELAXED);
	return NULL;
}

/* A thread that ends with a call of its in flight, its tid soon used again. */
static void *one_call(void *arg)
{
	void *at = mmap(NULL, 4 * PAGE, RW, ANON, -1, 0);

	if ((uintptr_t)arg % 2)
		munmap(at, 4 * PAGE);
	else if ((uintptr_t)arg % 3)
		syscall(SYS_exit, 0);
	return NULL;
}

static void *race_exits(void *arg)
{
	for (int i = 0; i < rounds / 20; i++) {
		pthread_t t;

		if (pthread_create(&t, NULL, one_call, (void *)(uintptr_t)i) == 0)
			pthread_join(t, NULL);
	}
	return arg;
}

static void *race_forks(void *arg)
{
	for (int i = 0; i < rounds / 50; i++) {
		pid_t pid = arg ? fork() : 1;

		if (pid == 0) {
			must_be_inside(mmap(arena, PAGE, RW, ANON | MAP_FIXED, -1, 0));
			munmap(arena, ARENA);
			must_be_inside(mmap(NULL, ARENA, RW, ANON, -1, 0));
			_exit(0);
		}
		if (!arg) {
			for (int k = 0; k < 3; k++)
				race_ranges((void *)(uintptr_t)(i * 3 + k));
		} else if (pid > 0) {
			waitpid(pid, NULL, 0);
		}
	}
	return NULL;
}

static int in_same_space(void *arg)
{
	race_ranges(arg);
	return 0;
}

/* Processes, not threads, in one address space; one of them in a vfork, whose child maps in its parent's memory. */
static void *race_spaces(void *arg)
{
	static char stacks[THREADS][65536] __attribute__((aligned(16)));
	pid_t pids[THREADS];
	int status;

	if (arg)
		return NULL;
	for (uintptr_t i = 0; i < THREADS; i++)
		pids[i] = clone(in_same_space, stacks[i] + sizeof(stacks[i]), CLONE_VM | SIGCHLD, (void *)(i + 100));
	for (volatile int i = 0; i < rounds / 50; i++) {
		pid_t pid = vfork();

		if (pid == 0) {
			mmap(arena, PAGE, RW, ANON | MAP_FIXED, -1, 0);
			munmap(arena + PAGE, PAGE);
			_exit(0);
		}
		waitpid(pid, &status, 0);
	}
	for (int i = 0; i < THREADS; i++) {
		if (pids[i] < 0 || waitpid(pids[i], &status, 0) != pids[i] || status)
			broken("clone");
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void *(*fn)(void *);
	} races[] = {
		{ "ranges", race_ranges }, { "files", race_files },   { "exits", race_exits },
		{ "forks", race_forks },   { "spaces", race_spaces }, { "blocks", race_blocks },
	};
	void *(*fn)(void *) = NULL;
	pthread_t threads[THREADS];

	if (argc < 5)
		return 99;
	take_range(argv);
	rounds = atoi(argv[4]);
	for (size_t i = 0; i < sizeof(races) / sizeof(races[0]); i++) {
		if (strcmp(races[i].name, argv[3]) == 0)
			fn = races[i].fn;
	}
	if (!fn)
		return 99;
	arena = mmap(NULL, ARENA, RW, ANON, -1, 0);
	heap = (char *)sbrk(0) + 256 * PAGE;
	files[0] = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	files[1] = memfd_create("race", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (arena == MAP_FAILED || files[0] < 0 || files[1] < 0 || ftruncate(files[1], ARENA) < 0)
		broken("set up");
	shared_fd = dup(files[0]);
	block = mmap(NULL, PAGE, RW, ANON | MAP_32BIT, -1, 0);
	if (block != MAP_FAILED)
		memcpy((void *)(uintptr_t)block, (const uint32_t[]){ 0, PAGE, RW, ANON, UINT32_MAX, 0 }, 6 * sizeof(*block));
	if (fn == race_forks)
		rounds = rounds > 3000 ? 3000 : rounds;
	for (uintptr_t i = 0; i < THREADS; i++) {
		if (pthread_create(&threads[i], NULL, fn, (void *)i))
			broken("pthread_create");
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	/* All have come to rest: a call more, and an audit finds what they left. */
	munmap(mmap(NULL, PAGE, RW, ANON, -1, 0), PAGE);
	check_fence(argv[3]);
	puts("contained");
	return 0;
}
