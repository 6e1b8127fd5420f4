/*
 * survive THREADS CALLS [fork|exec|low]: memory calls whose every result and content is checked, for a supervisor that is killed
 * meanwhile. Each thread makes CALLS calls, about 10,000 a second. With fork or exec, children now and then do, too; with low, some
 * mappings are MAP_32BIT, which the supervisor places by a remote call. Prints "right" and exits with 0, or says what was wrong.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096ul
#define NR_HELD 32

static long calls;
static const char *extra = "";

static void fail(const char *what, long i)
{
	fprintf(stderr, "wrong: %s at call %ld: %s\n", what, i, strerror(errno));
	_exit(1);
}

static void rest(void)
{
	const struct timespec moment = { .tv_nsec = 150000 };

	nanosleep(&moment, NULL);
}

static void check_page(const uint64_t *page, uint64_t tag, long i)
{
	for (size_t k = 0; k < PAGE / sizeof(*page); k += 64) {
		if (page[k] != tag + k)
			fail("content", i);
	}
}

static void fill_page(uint64_t *page, uint64_t tag)
{
	for (size_t k = 0; k < PAGE / sizeof(*page); k += 64)
		page[k] = tag + k;
}

static void make_child(long i)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		fail("fork", i);
	if (pid == 0) {
		void *at;

		if (strcmp(extra, "exec") == 0) {
			execl("/bin/true", "true", NULL);
			_exit(3);
		}
		at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		_exit(at == MAP_FAILED || munmap(at, PAGE) < 0 ? 2 : 0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		fail("child", i);
}

static void *work(void *arg)
{
	uint64_t *held[NR_HELD] = { NULL }, tag = (uint64_t)(uintptr_t)arg << 40;
	unsigned int random = (unsigned int)(uintptr_t)arg * 7919u + 1;

	for (long i = 0; i < calls; i++) {
		const size_t k = (size_t)(rand_r(&random) % NR_HELD);
		const int flags = strcmp(extra, "low") == 0 && random % 4 == 0 ? MAP_32BIT : 0;

		if (held[k]) {
			check_page(held[k], tag + k, i);
			if (mprotect(held[k], PAGE, PROT_READ) < 0)
				fail("mprotect", i);
			check_page(held[k], tag + k, i);
			if (munmap(held[k], 2 * PAGE) < 0)
				fail("munmap", i);
			held[k] = NULL;
			i += 1;
		} else {
			held[k] = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
			if (held[k] == MAP_FAILED)
				fail("mmap", i);
			if (held[k][0] || held[k][PAGE / sizeof(uint64_t)])
				fail("a fresh page", i);
			fill_page(held[k], tag + k);
		}
		if (*extra && *extra != 'l' && i % 97 == 0)
			make_child(i);
		rest();
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[64];
	long nr;

	if (argc < 3)
		return 2;
	nr = strtol(argv[1], NULL, 10);
	calls = strtol(argv[2], NULL, 10);
	if (argc > 3)
		extra = argv[3];
	if (nr < 1 || nr > 64)
		return 2;
	for (long i = 0; i < nr; i++) {
		if (pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)(i + 1)))
			fail("pthread_create", i);
	}
	for (long i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
	puts("right");
	return 0;
}
