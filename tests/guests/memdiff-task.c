/* The calls of memdiff that concern the whole process, and its children. */
#include "memdiff.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <asm/prctl.h>

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
/* More than what a range may add to RLIMIT_AS. */
#define AS_SLACK (256UL << 20)
/* The limit of address space that an exec is given: more than a memdiff wants, less than ranges have. */
#define EXEC_SPACE (900UL << 20)
#define CHILD_OPS 4
/* Operations of children; far from those of parents. */
#define CHILD_INDEX 1000000000UL

void op_brk(struct worker *w)
{
	uintptr_t to = shared.heap + below(w, HEAP_PAGES) * PAGE;
	long got;

	if (chance(w, 50))
		to += below(w, PAGE);
	if (chance(w, 4))
		to = shared.heap - PAGE;
	else if (chance(w, 3))
		to = USER_END - below(w, 2) * PAGE;
	else if (chance(w, 2))
		to = 0UL - 1;
	else if (chance(w, 2))
		to = 1;
	got = sys(SYS_brk, to, 0, 0, 0, 0, 0);
	/* Below the heap's start: where it was before. */
	say(w, "%s = %s\n", name_of(w, (long)to), name_of(w, got));
}

/* In the heap and in its way. */
void op_heap_hole(struct worker *w)
{
	uintptr_t at = shared.heap + below(w, HEAP_PAGES) * PAGE;
	size_t size = (1 + below(w, 5)) * PAGE;
	unsigned long kind = below(w, 8), flags = ANON | MAP_FIXED;
	long got;

	if (kind < 3) {
		got = sys(SYS_munmap, at, size, 0, 0, 0, 0);
	} else if (kind == 3) {
		got = sys(SYS_mprotect, at, size, pick_prot(w), 0, 0, 0);
	} else if (kind == 4) {
		got = sys(SYS_mremap, at, size, size + PAGE, MREMAP_MAYMOVE, 0, 0);
		/* Wherever it is. */
		if (got >= 0 && !in_heap((uintptr_t)got)) {
			sys(SYS_munmap, (unsigned long)got, size + PAGE, 0, 0, 0, 0);
			got = 1;
		}
	} else {
		if (kind == 5)
			flags |= MAP_GROWSDOWN;
		if (kind == 6)
			at += HEAP_PAGES * PAGE;
		got = sys(SYS_mmap, at, size, RW, flags, 0UL - 1, 0);
		/* It would keep the heap from growing for good. */
		if (kind != 7)
			say(w, "%s ", name_of(w, sys(SYS_brk, at - PAGE + 5, 0, 0, 0, 0, 0)));
		if (chance(w, 70))
			sys(SYS_munmap, at, size, 0, 0, 0, 0);
	}
	say(w, "%lu %s %#lx = %s\n", kind, name_of(w, (long)at), size, name_of(w, got));
}

static long set_limit(int what, rlim_t soft, struct rlimit *ret_old)
{
	struct rlimit now;
	long r = sys(SYS_prlimit64, 0, (unsigned long)what, 0, (unsigned long)ret_old, 0, 0);

	if (r < 0)
		return r;
	now = *ret_old;
	now.rlim_cur = soft;
	return sys(SYS_prlimit64, 0, (unsigned long)what, (unsigned long)&now, 0, 0, 0);
}

/* What stands in /proc/self/status as @name, bytes. */
static unsigned long status(struct worker *w, const char *name)
{
	char *at;

	read_maps(w, "/proc/self/status");
	at = strstr(w->maps, name);
	return at ? strtoul(at + strlen(name), NULL, 10) * 1024 : 0;
}

/* Address space of this process without what is no program's. */
static unsigned long address_space(struct worker *w)
{
	unsigned long sum = 0, start, end;
	char *line = w->maps, perms[8];

	read_maps(w, "/proc/self/maps");
	for (; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (sscanf(line, "%lx-%lx %7s", &start, &end, perms) == 3 &&
		    (end - start < AS_SLACK || perms[0] != '-') && start < USER_END)
			sum += end - start;
	}
	return sum;
}

static void try_map(struct worker *w, size_t size, unsigned long prot)
{
	long got = sys(SYS_mmap, 0, size, prot, ANON | MAP_NORESERVE, 0UL - 1, 0);

	if (got > 0) {
		sys(SYS_munmap, (unsigned long)got, size, 0, 0, 0, 0);
		got = 0;
	}
	say(w, " %#lx %s", size, name_of(w, got));
}

void op_limit_as(struct worker *w)
{
	unsigned long before = address_space(w), room = (24UL << 20) + below(w, 64) * 12345;
	struct rlimit old, now;
	long r = set_limit(RLIMIT_AS, before + room, &old), got;

	say(w, "%s", name_of(w, r));
	if (r < 0) {
		say(w, "\n");
		return;
	}
	r = sys(SYS_getrlimit, RLIMIT_AS, (unsigned long)&now, 0, 0, 0, 0);
	say(w, " %s %s", name_of(w, r), now.rlim_cur == before + room ? "same" : "DIFFERS");
	try_map(w, 20UL << 20, PROT_NONE);
	try_map(w, room + AS_SLACK, PROT_NONE);
	got = sys(SYS_mmap, 0, PAGE, RW, ANON, 0UL - 1, 0);
	r = sys(SYS_mremap, (unsigned long)got, PAGE, room + AS_SLACK, MREMAP_MAYMOVE, 0, 0);
	say(w, " mremap %s\n", name_of(w, r));
	sys(SYS_munmap, (unsigned long)got, PAGE, 0, 0, 0, 0);
	if (!w->nested && chance(w, 30))
		op_fork(w);
	r = sys(SYS_setrlimit, RLIMIT_AS, (unsigned long)&old, 0, 0, 0, 0);
	if (r < 0)
		say(w, "restored %s\n", name_of(w, r));
}

/* To the page: what counts as data is the same with and without a fence. */
void op_limit_data(struct worker *w)
{
	unsigned long pages = below(w, 20);
	struct rlimit old;
	long r, heap = sys(SYS_brk, 0, 0, 0, 0, 0, 0);
	size_t size;
	uintptr_t at = pick(w, &size);

	r = set_limit(RLIMIT_DATA, status(w, "VmData:") + pages * PAGE, &old);
	say(w, "%lu %s", pages, name_of(w, r));
	try_map(w, (pages + 1) * PAGE, RW);
	try_map(w, (pages + 1) * PAGE, PROT_READ);
	try_map(w, pages ? pages * PAGE : PAGE, RW);
	r = sys(SYS_mmap, at, size, RW, ANON | MAP_FIXED, 0UL - 1, 0);
	say(w, " mmap %s %#lx %s", name_of(w, (long)at), size, name_of(w, r));
	r = sys(SYS_mprotect, at, size, RW, 0, 0, 0);
	say(w, " mprotect %s", name_of(w, r));
	r = sys(SYS_brk, (unsigned long)heap + below(w, 30) * PAGE, 0, 0, 0, 0, 0);
	say(w, " brk %s\n", name_of(w, r));
	sys(SYS_setrlimit, RLIMIT_DATA, (unsigned long)&old, 0, 0, 0, 0);
}

/* An area that grows down may not grow past the limit. */
void op_limit_stack(struct worker *w)
{
	uintptr_t top = w->base + (300 + below(w, 600)) * PAGE;
	unsigned long pages = 8 + below(w, 8);
	struct rlimit old;
	long r;
	int code = 0, sig = 0;

	r = sys(SYS_munmap, top - 280 * PAGE, 280 * PAGE, 0, 0, 0, 0);
	say(w, "%s %lu unmapped %s", name_of(w, (long)top), pages, name_of(w, r));
	if (r < 0) {
		say(w, "\n");
		return;
	}
	r = sys(SYS_mmap, top - PAGE, PAGE, RW, ANON | MAP_GROWSDOWN | MAP_FIXED, 0UL - 1, 0);
	say(w, " mapped %s", name_of(w, r));
	/* Held for this call only: the real stack has grown already. */
	sys(SYS_getrlimit, RLIMIT_STACK, (unsigned long)&old, 0, 0, 0, 0);
	r = set_limit(RLIMIT_STACK, pages * PAGE, &old);
	for (unsigned long i = 2; i < 24 && !sig; i++) {
		sig = touch(top - i * PAGE, true, &code);
		say(w, " %lu: %d", i, sig);
	}
	say(w, " code %d\n", code);
	sys(SYS_setrlimit, RLIMIT_STACK, (unsigned long)&old, 0, 0, 0, 0);
}

/* Set from outside, on a process that has made no call of memory yet. */
void op_limit_child(struct worker *w)
{
	unsigned long room = (24UL << 20) + below(w, 64) * 12345;
	struct rlimit limit = { address_space(w) + room, RLIM_INFINITY }, old = { 1, 2 }, now;
	int fds[2], how = 0;
	char byte = 0;
	long pid, r;

	if (w->nested || pipe2(fds, O_CLOEXEC) < 0) {
		say(w, "-\n");
		return;
	}
	flush(w);
	pid = sys(SYS_fork, 0, 0, 0, 0, 0, 0);
	if (pid == 0) {
		if (read(fds[0], &byte, 1) != 1)
			_exit(1);
		r = sys(SYS_getrlimit, RLIMIT_AS, (unsigned long)&now, 0, 0, 0, 0);
		say(w, " child %s %s", name_of(w, r), now.rlim_cur == limit.rlim_cur ? "same" : "other");
		try_map(w, 20UL << 20, PROT_NONE);
		try_map(w, room + AS_SLACK, PROT_NONE);
		flush(w);
		_exit(6);
	}
	r = sys(SYS_prlimit64, (unsigned long)pid, RLIMIT_AS, (unsigned long)&limit, (unsigned long)&old, 0, 0);
	say(w, "%s was %s", name_of(w, r), old.rlim_max == RLIM_INFINITY ? "unlimited" : "limited");
	r = sys(SYS_prlimit64, (unsigned long)pid, RLIMIT_AS, 0, (unsigned long)&old, 0, 0);
	say(w, " is %s %s", name_of(w, r), old.rlim_cur == limit.rlim_cur ? "same" : "other");
	flush(w);
	if (write(fds[1], &byte, 1) != 1)
		die("write");
	close(fds[0]);
	close(fds[1]);
	sys(SYS_wait4, (unsigned long)pid, (unsigned long)&how, 0, 0, 0, 0);
	say(w, " ended %x\n", (unsigned int)how);
}

void print_limits(struct worker *w)
{
	static const int what[] = { RLIMIT_AS, RLIMIT_DATA, RLIMIT_STACK };
	struct rlimit limit = { 0, 0 };

	for (size_t i = 0; i < sizeof(what) / sizeof(what[0]); i++) {
		sys(SYS_prlimit64, 0, (unsigned long)what[i], 0, (unsigned long)&limit, 0, 0);
		/* Without a limit, what is shown is the range's. */
		if (what[i] != RLIMIT_AS || limit.rlim_cur <= EXEC_SPACE)
			say(w, "limit %d %lx\n", what[i], (unsigned long)limit.rlim_cur);
	}
	say(w, "personality %lx\n", (unsigned long)sys(SYS_personality, 0xffffffff, 0, 0, 0, 0, 0) & READ_IMPLIES_EXEC);
}

/* Limits and personality are kept by exec. */
void op_exec(struct worker *w)
{
	unsigned long kinds = below(w, 16);
	char seed[40];
	const char *argv[] = { "memdiff", seed, "--ops=25", "--child", NULL, NULL, NULL }, **arg = argv + 4;
	struct rlimit old;
	long pid;
	int how = 0;

	if (w->nested || shared.is_child) {
		say(w, "-\n");
		return;
	}
	if (shared.low2g)
		*arg++ = "--low2g";
	if (shared.huge)
		*arg++ = "--huge";
	snprintf(seed, sizeof(seed), "--seed=%lu", below(w, 1UL << 40));
	say(w, "%lx %s\n", kinds, seed);
	flush(w);
	pid = sys(SYS_fork, 0, 0, 0, 0, 0, 0);
	if (pid == 0) {
		if (kinds & 1)
			set_limit(RLIMIT_AS, EXEC_SPACE - below(w, 100) * PAGE, &old);
		if (kinds & 2)
			set_limit(RLIMIT_STACK, (1 + below(w, 8)) << 20, &old);
		if (kinds & 4)
			set_limit(RLIMIT_DATA, (64 + below(w, 8)) << 20, &old);
		if (kinds == 8)
			personality(READ_IMPLIES_EXEC);
		execv("/proc/self/exe", (char **)argv);
		_exit(2);
	}
	sys(SYS_wait4, (unsigned long)pid, (unsigned long)&how, 0, 0, 0, 0);
	say(w, "child %x\n", (unsigned int)how);
}

void op_limit_memlock(struct worker *w)
{
	unsigned long pages = below(w, 65);
	struct rlimit old;

	say(w, "%lu = %s\n", pages, name_of(w, set_limit(RLIMIT_MEMLOCK, pages * PAGE, &old)));
}

void op_mlockall(struct worker *w)
{
	unsigned long flags = chance(w, 85) ? 1 + below(w, 7) : below(w, 16);
	long r = sys(SYS_mlockall, flags, 0, 0, 0, 0, 0);

	say(w, "%lx = %s\n", flags, name_of(w, r));
	for (unsigned long i = 0; i < 4; i++)
		operate(w, CHILD_INDEX + w->index * 16 + i);
	digest(w);
	sys(SYS_munlockall, 0, 0, 0, 0, 0, 0);
}

void op_munlockall(struct worker *w)
{
	say(w, "= %s\n", name_of(w, sys(SYS_munlockall, 0, 0, 0, 0, 0, 0)));
}

static void live(struct worker *w)
{
	unsigned long index = w->index;

	w->nested = true;
	digest(w);
	for (unsigned long i = 0; i < CHILD_OPS; i++)
		operate(w, CHILD_INDEX + index * 16 + 8 + i);
	digest(w);
	flush(w);
}

void op_fork(struct worker *w)
{
	long pid;
	int how = 0;

	if (w->nested) {
		say(w, "-\n");
		return;
	}
	say(w, "fork\n");
	flush(w);
	pid = sys(SYS_fork, 0, 0, 0, 0, 0, 0);
	if (pid == 0) {
		live(w);
		_exit(7);
	}
	if (pid < 0) {
		say(w, "fork %s\n", name_of(w, pid));
		return;
	}
	sys(SYS_wait4, (unsigned long)pid, (unsigned long)&how, 0, 0, 0, 0);
	say(w, "child %x\n", (unsigned int)how);
}

static int share(void *arg)
{
	live(arg);
	_exit(5);
}

/* A child in the same memory, as of vfork. */
void op_share(struct worker *w)
{
	static char stack[64 * 1024] __attribute__((aligned(4096)));
	unsigned long index = w->index;
	int pid, how = 0;

	if (w->nested) {
		say(w, "-\n");
		return;
	}
	say(w, "\n");
	flush(w);
	pid = clone(share, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, w);
	w->nested = false;
	w->index = index;
	if (pid < 0) {
		say(w, "clone failed\n");
		return;
	}
	sys(SYS_wait4, (unsigned long)pid, (unsigned long)&how, 0, 0, 0, 0);
	say(w, "child %x\n", (unsigned int)how);
}

/* From /proc/self/stat; what PR_SET_MM_MAP wants back. */
static bool read_image(struct worker *w, struct prctl_mm_map *map)
{
	unsigned long long f[52] = { 0 };
	char *at;

	read_maps(w, "/proc/self/stat");
	at = strrchr(w->maps, ')');
	/* Field 3 is the first behind the name, and no number. */
	at = at ? at + 3 : NULL;
	for (int i = 4; at && i <= 51; i++)
		f[i] = strtoull(at, &at, 10);
	*map = (struct prctl_mm_map){
		.start_code = f[26], .end_code = f[27], .start_stack = f[28], .start_data = f[45], .end_data = f[46],
		.start_brk = f[47], .brk = (unsigned long)sys(SYS_brk, 0, 0, 0, 0, 0, 0), .arg_start = f[48], .arg_end = f[49],
		.env_start = f[50], .env_end = f[51], .exe_fd = 0U - 1,
	};
	return at;
}

static int move_heap(void *arg)
{
	struct worker *w = arg;
	uintptr_t to = w->base + (below(w, ARENA_PAGES / 2 - 64) + ARENA_PAGES / 2) * PAGE;
	struct prctl_mm_map map;
	long r;

	w->nested = true;
	if (!read_image(w, &map))
		die("/proc/self/stat");
	map.start_brk = to;
	map.brk = to + below(w, 3 * PAGE);
	r = sys(SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, (unsigned long)&map, sizeof(map), 0, 0);
	say(w, "heap from %s to %s = %s\n", name_of(w, (long)map.start_brk), name_of(w, (long)map.brk), name_of(w, r));
	r = sys(SYS_prctl, PR_SET_MM, PR_SET_MM_BRK, to + PAGE, 0, 0, 0);
	say(w, "PR_SET_MM_BRK %s\n", name_of(w, r));
	for (int i = 0; i < 6; i++) {
		uintptr_t end = to + below(w, 40 * PAGE);

		r = sys(SYS_brk, end, 0, 0, 0, 0, 0);
		say(w, "%s = %s\n", name_of(w, (long)end), name_of(w, r));
		if (chance(w, 30))
			sys(SYS_munmap, to + below(w, 40) * PAGE, PAGE, 0, 0, 0, 0);
	}
	digest(w);
	flush(w);
	_exit(4);
}

/* The vdso itself is where it was put; another may be asked for when it is gone. */
static int map_vdso(void *arg)
{
	struct worker *w = arg;
	uintptr_t at = w->base + (512 + below(w, ARENA_PAGES / 2 - 32)) * PAGE, first = 0, last = 0, start, end;
	long r;

	w->nested = true;
	sys(SYS_munmap, at - PAGE, 32 * PAGE, 0, 0, 0, 0);
	say(w, "%s = %s", name_of(w, (long)at), name_of(w, sys(SYS_arch_prctl, ARCH_MAP_VDSO_64, at, 0, 0, 0, 0)));
	read_maps(w, "/proc/self/maps");
	for (char *line = w->maps; line; line = strchr(line, '\n')) {
		char name[64] = "";

		line += *line == '\n';
		if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %63s", &start, &end, name) == 3 &&
		    (strncmp(name, "[vvar", 5) == 0 || strcmp(name, "[vdso]") == 0)) {
			first = first ? first : start;
			last = end;
		}
	}
	r = sys(SYS_munmap, first, last - first, 0, 0, 0, 0);
	say(w, " unmapped %s", name_of(w, r));
	r = sys(SYS_arch_prctl, ARCH_MAP_VDSO_64, at, 0, 0, 0, 0);
	say(w, " again %s\n", name_of(w, r > 0 ? 1 : r));
	digest(w);
	flush(w);
	_exit(3);
}

/* In a child, for it is not to be undone. */
void op_image(struct worker *w)
{
	int (*const fn)(void *) = chance(w, 60) ? move_heap : map_vdso;
	long pid;
	int how = 0;

	if (w->nested) {
		say(w, "-\n");
		return;
	}
	say(w, "\n");
	flush(w);
	pid = sys(SYS_fork, 0, 0, 0, 0, 0, 0);
	if (pid == 0)
		fn(w);
	sys(SYS_wait4, (unsigned long)pid, (unsigned long)&how, 0, 0, 0, 0);
	say(w, "child %ld %x\n", pid < 0 ? pid : 0, (unsigned int)how);
}

void op_personality(struct worker *w)
{
	unsigned long old = (unsigned long)sys(SYS_personality, 0xffffffff, 0, 0, 0, 0, 0);
	long r = sys(SYS_personality, old ^ READ_IMPLIES_EXEC, 0, 0, 0, 0, 0);

	say(w, "%lx = %lx\n", old & READ_IMPLIES_EXEC, (unsigned long)r & READ_IMPLIES_EXEC);
}
