/*
 * Claim: every memory call answers as it does natively. Makes a random sequence of memory calls inside an arena and prints
 * each result relative to it; run natively and under vmsup, the outputs are equal.
 *
 * memdiff [--seed=N] [--ops=N] [--threads=N] [--digest=N] [--low2g] [--huge] [--skip=LIST] [--only=LIST] [--flush]
 *
 * Each operation's arguments depend on the seed and its index alone, so that operations can be left out (--skip=3,8-20) without
 * changing the others; so memdiff.t makes a failing sequence short. --digest: what is mapped is printed after every N operations
 * (default 64). With threads, each has an arena of its own, prints when all have ended, and makes no call that concerns the
 * whole process.
 *
 * What vmsup does differently by design is avoided: addresses that exist but lie outside the range are never named, only those that
 * no process can have (from USER_END up) and page 0 where Linux refuses it too; MAP_32BIT is used with --low2g, for ranges that
 * have such addresses. Of places that the kernel chooses only properties are printed.
 */
#include "memdiff.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

#define MAX_SPANS 512

struct span {
	unsigned long first, last;
};

struct shared shared = { .nr_workers = 1, .digest_every = 64 };
__thread sigjmp_buf *memdiff_jump;
static struct worker workers[MAX_WORKERS];
static struct span skipped[MAX_SPANS], only[MAX_SPANS];
static size_t nr_skipped, nr_only;
static bool flush_always;

void die(const char *what)
{
	perror(what);
	_exit(99);
}

uint64_t draw(struct worker *w)
{
	uint64_t z = w->rng += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

unsigned long below(struct worker *w, unsigned long n)
{
	return draw(w) % n;
}

bool chance(struct worker *w, unsigned int percent)
{
	return below(w, 100) < percent;
}

void flush(struct worker *w)
{
	size_t done = 0;

	while (done < w->used) {
		ssize_t n = write(w->out, w->text + done, w->used - done);

		if (n < 0)
			die("write");
		done += (size_t)n;
	}
	w->used = 0;
}

void say(struct worker *w, const char *format, ...)
{
	va_list ap;
	int n;

	if (sizeof(w->text) - w->used < 1024)
		flush(w);
	va_start(ap, format);
	n = vsnprintf(w->text + w->used, sizeof(w->text) - w->used, format, ap);
	va_end(ap);
	if (n > 0)
		w->used += (size_t)n;
}

long sys(long nr, unsigned long a, unsigned long b, unsigned long c, unsigned long d, unsigned long e, unsigned long f)
{
	long r = syscall(nr, a, b, c, d, e, f);

	return r == -1 ? -errno : r;
}

static bool listed(const struct span *spans, size_t nr, unsigned long index)
{
	for (size_t i = 0; i < nr; i++) {
		if (index >= spans[i].first && index <= spans[i].last)
			return true;
	}
	return false;
}

static const struct operation *choose(struct worker *w)
{
	unsigned long total = 0, at;

	for (size_t i = 0; i < nr_operations; i++)
		total += operations[i].weight;
	at = below(w, total);
	for (size_t i = 0; i < nr_operations; i++) {
		if (at < operations[i].weight)
			return &operations[i];
		at -= operations[i].weight;
	}
	abort();
}

void operate(struct worker *w, unsigned long index)
{
	const struct operation *op;

	w->index = index;
	w->rng = w->seed ^ (index * 0xd1342543de82ef95u) ^ ((uint64_t)w->id << 56);
	op = choose(w);
	if (op->single && shared.nr_workers > 1)
		return;
	say(w, "%lu %s ", index, op->name);
	op->run(w);
	if (flush_always)
		flush(w);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (unsigned long i = 0; i < w->ops; i++) {
		if (listed(skipped, nr_skipped, i) || (nr_only && !listed(only, nr_only, i)))
			continue;
		operate(w, i);
		if ((i + 1) % shared.digest_every == 0)
			digest(w);
	}
	digest(w);
	flush(w);
	return NULL;
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (!memdiff_jump || info->si_code <= 0) {
		signal(sig, SIG_DFL);
		return;
	}
	siglongjmp(*memdiff_jump, sig << 8 | info->si_code);
}

static void open_files(struct worker *w)
{
	static char text[40 * PAGE];
	char path[48], name[] = "memdiff.0";
	int fds[2], *f = w->files;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i / PAGE + 'A');
	name[8] = (char)(name[8] + w->id);
	f[FILE_RW] = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (f[FILE_RW] < 0 || write(f[FILE_RW], text, 32 * PAGE) < 0)
		die(name);
	f[FILE_RO] = open(name, O_RDONLY | O_CLOEXEC);
	f[FILE_WO] = open(name, O_WRONLY | O_CLOEXEC);
	f[FILE_MEM] = memfd_create("mem", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	f[FILE_FUTURE_SEALED] = memfd_create("future", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	f[FILE_SEALED] = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	for (int i = FILE_MEM; i <= FILE_SEALED; i++) {
		if (i != FILE_MEM_RO && write(f[i], text, 32 * PAGE) < 0)
			die("memfd");
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", f[FILE_MEM]);
	f[FILE_MEM_RO] = open(path, O_RDONLY | O_CLOEXEC);
	if (fcntl(f[FILE_FUTURE_SEALED], F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK) < 0 ||
	    fcntl(f[FILE_SEALED], F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		die("F_ADD_SEALS");
	f[FILE_SECRET] = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
	if (f[FILE_SECRET] >= 0 && ftruncate(f[FILE_SECRET], 32 * PAGE) < 0)
		die("memfd_secret");
	f[FILE_ZERO] = open("/dev/zero", O_RDWR | O_CLOEXEC);
	f[FILE_NULL] = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (pipe2(fds, O_CLOEXEC) < 0)
		die("pipe");
	f[FILE_PIPE] = fds[0];
	f[FILE_DIR] = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f[FILE_PATH] = open(name, O_PATH | O_CLOEXEC);
	f[FILE_HUGE] = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	f[FILE_BAD] = 999;
}

/* Removed at once: they live for as long as this process has them attached. */
static void make_segments(struct worker *w)
{
	static const size_t pages[NR_SEGMENTS] = { 1, 5, 16 };

	for (int i = 0; i < NR_SEGMENTS; i++) {
		void *at;

		w->segments[i] = shmget(IPC_PRIVATE, pages[i] * PAGE - 100, 0600);
		at = shmat(w->segments[i], NULL, 0);
		shmctl(w->segments[i], IPC_RMID, NULL);
		if (at == (void *)-1)
			die("shmat");
	}
}

/* Arenas lie far enough below what is mapped already, and begin where a huge page does, wherever that is. */
static void find_arenas(void)
{
	const size_t size = ROOM_ABOVE + MAX_WORKERS * ARENA_STRIDE + 2 * HUGE_PAGE;
	void *found = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uintptr_t base;

	if (found == MAP_FAILED)
		die("no room for an arena");
	munmap(found, size);
	base = ((uintptr_t)found + 2 * HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
	for (unsigned int i = 0; i < shared.nr_workers; i++) {
		struct worker *w = &workers[i];

		w->base = base + i * ARENA_STRIDE;
		/* The lower half is reserved, the upper half is free. */
		if (mmap((void *)w->base, ARENA_PAGES / 2 * PAGE, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED)
			die("arena");
	}
}

static size_t parse_list(const char *text, struct span *spans)
{
	size_t nr = 0;
	char *end;

	while (*text && nr < MAX_SPANS) {
		spans[nr].first = spans[nr].last = strtoul(text, &end, 10);
		if (*end == '-')
			spans[nr].last = strtoul(end + 1, &end, 10);
		nr++;
		text = *end == ',' ? end + 1 : end;
	}
	return nr;
}

static const char *value(const char *word, const char *name)
{
	size_t n = strlen(name);

	return strncmp(word, name, n) == 0 && word[n] == '=' ? word + n + 1 : NULL;
}

static void parse(int argc, char **argv, uint64_t *ret_seed, unsigned long *ret_ops)
{
	const char *v;

	for (int i = 1; i < argc; i++) {
		if ((v = value(argv[i], "--seed"))) {
			*ret_seed = strtoull(v, NULL, 0);
		} else if ((v = value(argv[i], "--ops"))) {
			*ret_ops = strtoul(v, NULL, 0);
		} else if ((v = value(argv[i], "--threads"))) {
			shared.nr_workers = (unsigned int)strtoul(v, NULL, 0);
		} else if ((v = value(argv[i], "--digest"))) {
			shared.digest_every = strtoul(v, NULL, 0);
		} else if ((v = value(argv[i], "--skip"))) {
			nr_skipped = parse_list(v, skipped);
		} else if ((v = value(argv[i], "--only"))) {
			nr_only = parse_list(v, only);
		} else if (strcmp(argv[i], "--low2g") == 0) {
			shared.low2g = true;
		} else if (strcmp(argv[i], "--huge") == 0) {
			shared.huge = true;
		} else if (strcmp(argv[i], "--child") == 0) {
			shared.is_child = true;
		} else if (strcmp(argv[i], "--flush") == 0) {
			flush_always = true;
		} else {
			fprintf(stderr, "memdiff: %s?\n", argv[i]);
			exit(98);
		}
	}
	if (!shared.nr_workers || shared.nr_workers > MAX_WORKERS || !shared.digest_every)
		exit(98);
}

static void copy_out(int from)
{
	static char buf[1 << 16];
	ssize_t n;

	lseek(from, 0, SEEK_SET);
	while ((n = read(from, buf, sizeof(buf))) > 0) {
		if (write(1, buf, (size_t)n) != n)
			die("write");
	}
	close(from);
}

static void run_threads(void)
{
	pthread_t threads[MAX_WORKERS];

	for (unsigned int i = 0; i < shared.nr_workers; i++) {
		workers[i].out = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		if (workers[i].out < 0)
			workers[i].out = memfd_create("out", MFD_CLOEXEC);
		if (pthread_create(&threads[i], NULL, work, &workers[i]))
			die("pthread_create");
	}
	for (unsigned int i = 0; i < shared.nr_workers; i++)
		pthread_join(threads[i], NULL);
	for (unsigned int i = 0; i < shared.nr_workers; i++)
		copy_out(workers[i].out);
}

int main(int argc, char **argv)
{
	const struct sigaction fault = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART };
	const struct rlimit locked = { 64 * PAGE, 64 * PAGE };
	uint64_t seed = 1;
	unsigned long ops = 1000;

	parse(argc, argv, &seed, &ops);
	sigaction(SIGSEGV, &fault, NULL);
	sigaction(SIGBUS, &fault, NULL);
	/* An ordinary user's limit; root has the capability to pass it. */
	setrlimit(RLIMIT_MEMLOCK, &locked);
	shared.maps_page_zero = geteuid() == 0;
	/* Where the processor has keys, there is one now. */
	pkey_alloc(0, 0);
	find_arenas();
	for (unsigned int i = 0; i < shared.nr_workers; i++) {
		workers[i].id = i;
		workers[i].seed = seed;
		workers[i].ops = ops;
		workers[i].out = 1;
		open_files(&workers[i]);
		make_segments(&workers[i]);
	}
	/* From here on nobody else moves the break. */
	shared.heap = ((uintptr_t)sbrk(0) + PAGE - 1) & ~(PAGE - 1);
	if (brk((void *)shared.heap))
		die("brk");
	if (shared.is_child)
		print_limits(&workers[0]);
	if (shared.nr_workers == 1)
		work(&workers[0]);
	else
		run_threads();
	return 0;
}
