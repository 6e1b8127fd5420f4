/*
 * Claim: a call that would pass a limit fails with ENOMEM, what is below it works, and what was given back counts no more.
 * budget WHAT BYTES: how much of WHAT can be had, asked for in steps of 1 MiB, twice; prints both in MiB and the errno
 *   commit (mmap), protect (mprotect of a reservation), grow (mremap), heap (sbrk), shared
 * budget maps N: how many mappings can be had, at most N; prints the number and the errno
 * budget reserve BYTES: reserves so much without access, commits 16 MiB of it
 * budget threads BYTES: 8 threads take and give back; never more than BYTES at once
 * budget forks BYTES: a child for each MiB of BYTES takes 1 MiB; prints how many could
 * budget signal: how often SIGUSR1 came with one call that fails
 * budget hold: says ready; at each line of stdin takes 1 MiB, and says whether it could
 * budget rlimit: prints RLIMIT_AS, soft
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
#define MAX_STEPS 4096
#define PAGE ((size_t)4096)

static char *taken[MAX_STEPS];
static size_t max_bytes;

static void *map(size_t size, int prot, int flags)
{
	return mmap(NULL, size, prot, flags | MAP_ANONYMOUS, -1, 0);
}

static int take_commit(size_t i)
{
	taken[i] = map(MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	if (taken[i] == MAP_FAILED)
		return -1;
	memset(taken[i], 1, MIB);
	return 0;
}

static void give_commit(size_t i)
{
	munmap(taken[i], MIB);
}

static int take_zero(size_t i)
{
	int fd = open("/dev/zero", O_RDWR), error;

	taken[i] = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	error = errno;
	close(fd);
	errno = error;
	return taken[i] == MAP_FAILED ? -1 : 0;
}

static int take_shared(size_t i)
{
	taken[i] = map(MIB, PROT_READ | PROT_WRITE, MAP_SHARED);
	return taken[i] == MAP_FAILED ? -1 : 0;
}

static char *reservation;

static int take_protect(size_t i)
{
	if (!reservation)
		reservation = map(max_bytes, PROT_NONE, MAP_PRIVATE);
	if (reservation == MAP_FAILED)
		exit(98);
	taken[i] = reservation + i * MIB;
	return mprotect(taken[i], MIB, PROT_READ | PROT_WRITE);
}

static void give_protect(size_t i)
{
	mprotect(taken[i], MIB, PROT_NONE);
}

static int take_grow(size_t i)
{
	char *now = i ? mremap(taken[0], i * MIB, (i + 1) * MIB, MREMAP_MAYMOVE) : map(MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	if (now == MAP_FAILED)
		return -1;
	taken[0] = now;
	return 0;
}

static void give_grow(size_t i)
{
	if (i)
		taken[0] = mremap(taken[0], (i + 1) * MIB, i * MIB, 0);
	else
		munmap(taken[0], MIB);
}

static int take_heap(size_t i)
{
	(void)i;
	return sbrk((intptr_t)MIB) == (void *)-1 ? -1 : 0;
}

static void give_heap(size_t i)
{
	(void)i;
	sbrk(-(intptr_t)MIB);
}

static const struct {
	const char *name;
	int (*take)(size_t i);
	void (*give)(size_t i);
} kinds[] = {
	{ "commit", take_commit, give_commit }, { "shared", take_shared, give_commit }, { "zero", take_zero, give_commit },
	{ "protect", take_protect, give_protect }, { "grow", take_grow, give_grow },
	{ "heap", take_heap, give_heap },
};

static int steps(const char *name)
{
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		if (strcmp(kinds[k].name, name) != 0)
			continue;
		for (int round = 0; round < 2; round++) {
			size_t n = 0;

			errno = 0;
			while (n < max_bytes / MIB && n < MAX_STEPS && kinds[k].take(n) == 0)
				n++;
			printf("%zu %s\n", n, strerrorname_np(errno));
			while (n > 0)
				kinds[k].give(--n);
		}
		return 0;
	}
	return 99;
}

static int maps(size_t max)
{
	char *base = map(2 * max * PAGE, PROT_NONE, MAP_PRIVATE);
	size_t n = 0;

	/* Each second page becomes a mapping of its own, and leaves one between. */
	errno = 0;
	while (n < max && mprotect(base + 2 * n * PAGE, PAGE, PROT_READ) == 0)
		n++;
	printf("%zu %s\n", n, strerrorname_np(errno));
	return 0;
}

static int reserve(void)
{
	char *base = mmap(NULL, max_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED || mprotect(base, 16 * MIB, PROT_READ | PROT_WRITE) != 0) {
		printf("%s\n", strerrorname_np(errno));
		return 1;
	}
	memset(base, 1, 16 * MIB);
	printf("reserved\n");
	return 0;
}

static atomic_size_t now, most, refusals;

static pthread_barrier_t all_there;

static void *racer(void *arg)
{
	(void)arg;
	pthread_barrier_wait(&all_there);
	for (int i = 0; i < 300; i++) {
		char *p = map(MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE);
		size_t all, old;

		if (p == MAP_FAILED) {
			refusals++;
			continue;
		}
		all = atomic_fetch_add(&now, MIB) + MIB;
		for (old = atomic_load(&most); all > old && !atomic_compare_exchange_weak(&most, &old, all);)
			;
		now -= MIB;
		munmap(p, MIB);
	}
	return NULL;
}

static int threads(void)
{
	pthread_t t[8];

	/* Their stacks count, too: all are there before the first takes more. */
	pthread_barrier_init(&all_there, NULL, 8);
	for (int i = 0; i < 8; i++)
		pthread_create(&t[i], NULL, racer, NULL);
	for (int i = 0; i < 8; i++)
		pthread_join(t[i], NULL);
	if (most > max_bytes)
		printf("%zu at once\n", (size_t)most);
	printf("done\n");
	return most > max_bytes;
}

static int forks(void)
{
	int ready[2], go[2], could = 0;
	char word;

	if (pipe(ready) || pipe(go))
		return 99;
	for (size_t i = 0; i < max_bytes / MIB; i++) {
		pid_t pid = fork();

		/* A limit of the tree refuses the fork itself. */
		if (pid < 0)
			continue;
		if (pid == 0) {
			close(go[1]);
			word = map(MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE) == MAP_FAILED ? 'n' : 'y';
			if (write(ready[1], &word, 1) != 1 || read(go[0], &word, 1) != 0)
				_exit(1);
			_exit(0);
		}
		/* One after the other, each kept alive. */
		if (read(ready[0], &word, 1) != 1)
			return 99;
		could += word == 'y';
	}
	close(go[1]);
	while (wait(NULL) > 0)
		;
	printf("%d\n", could);
	/* What they had counts no more. */
	printf("%s\n", map(MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE) == MAP_FAILED ? "still refused" : "free again");
	return 0;
}

static volatile sig_atomic_t signals;

static void on_signal(int sig)
{
	(void)sig;
	signals++;
}

static int signalled(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	void *p;

	sigaction(SIGUSR1, &action, NULL);
	p = map(1024 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	printf("%s %d\n", p == MAP_FAILED ? strerrorname_np(errno) : "mapped", (int)signals);
	return 0;
}

static int hold(void)
{
	char line[64];

	printf("ready %d\n", (int)getpid());
	while (fgets(line, sizeof(line), stdin))
		printf("%s\n", map(MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE) == MAP_FAILED ? "no" : "yes");
	return 0;
}

static int rlimit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_AS, &limit))
		return 99;
	printf("%llu\n", (unsigned long long)limit.rlim_cur);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	/* No buffer of stdio's may lie in the heap that is taken and given back. */
	setvbuf(stdout, NULL, _IONBF, 0);
	max_bytes = argc > 2 ? strtoull(argv[2], NULL, 0) : 0;
	if (strcmp(what, "maps") == 0)
		return maps(max_bytes);
	if (strcmp(what, "reserve") == 0)
		return reserve();
	if (strcmp(what, "threads") == 0)
		return threads();
	if (strcmp(what, "forks") == 0)
		return forks();
	if (strcmp(what, "signal") == 0)
		return signalled();
	if (strcmp(what, "hold") == 0)
		return hold();
	if (strcmp(what, "rlimit") == 0)
		return rlimit();
	return steps(what);
}
