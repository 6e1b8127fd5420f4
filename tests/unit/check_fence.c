/*
 * The check of an unsealed fence: its BPF, run by an interpreter, against a model in wide arithmetic; and in a process that has such
 * a fence and tries to get through it. VMS_SEED and VMS_ITERATIONS replay and set the random part.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/seccomp.h>

#include "spy.h"
#include "vmsup/core/call.h"
#include "vmsup/trap/fence.h"
#include "vmsup/trap/filter.h"

#define PAGE ((uint64_t)4096)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)
#define PASS (-1)
#define NR_PROCESS_MADVISE 440
#define NR_MSEAL 462

typedef unsigned __int128 wide;

/* ---- the interpreter ---- */

/* What follows the check in a real filter; met when it lets a call through. */
#define BEHIND 12345

static struct sock_filter code[VMS_FENCE_MAX + 1];

static uint32_t word_of(const struct seccomp_data *data, uint32_t offset)
{
	uint32_t word;

	ck_assert(offset % 4 == 0 && offset + 4 <= sizeof(*data));
	memcpy(&word, (const char *)data + offset, sizeof(word));
	return word;
}

static bool jumps(const struct sock_filter *f, uint32_t a, uint32_t x)
{
	uint32_t other = BPF_SRC(f->code) == BPF_X ? x : f->k;

	switch (BPF_OP(f->code)) {
	case BPF_JEQ:
		return a == other;
	case BPF_JGT:
		return a > other;
	case BPF_JGE:
		return a >= other;
	case BPF_JSET:
		return a & other;
	default:
		ck_abort_msg("jump 0x%x", f->code);
		return false;
	}
}

static uint32_t interpret(const struct seccomp_data *data)
{
	uint32_t a = 0, x = 0, mem[BPF_MEMWORDS] = { 0 };

	for (size_t pc = 0; pc < sizeof(code) / sizeof(code[0]); pc++) {
		const struct sock_filter *f = &code[pc];

		switch (f->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			a = word_of(data, f->k);
			break;
		case BPF_LD | BPF_MEM:
			a = mem[f->k];
			break;
		case BPF_LD | BPF_IMM:
			a = f->k;
			break;
		case BPF_ST:
			mem[f->k] = a;
			break;
		case BPF_MISC | BPF_TAX:
			x = a;
			break;
		case BPF_ALU | BPF_ADD | BPF_X:
			a += x;
			break;
		case BPF_ALU | BPF_ADD | BPF_K:
			a += f->k;
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= f->k;
			break;
		case BPF_RET | BPF_K:
			return f->k;
		case BPF_JMP | BPF_JA:
			pc += f->k;
			break;
		default:
			ck_assert_msg(BPF_CLASS(f->code) == BPF_JMP, "instruction 0x%x", f->code);
			pc += jumps(f, a, x) ? f->jt : f->jf;
		}
	}
	ck_abort_msg("it ran off its end");
	return 0;
}

static void make(const struct vms_range *range, const struct vms_cookie *cookie, bool supervised)
{
	size_t n = vms_fence_check(range, cookie, supervised, code);

	ck_assert_uint_le(n, VMS_FENCE_MAX);
	code[n] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, BEHIND);
}

/* PASS, or the errno that the call gets. */
static int answer(uint32_t arch, uint32_t nr, const uint64_t args[6])
{
	struct seccomp_data data = { .nr = (int)nr, .arch = arch };
	uint32_t r;

	memcpy(data.args, args, sizeof(data.args));
	r = interpret(&data);
	if (r == BEHIND)
		return PASS;
	ck_assert_msg((r & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO, "answer 0x%x", r);
	return (int)(r & SECCOMP_RET_DATA);
}

/* ---- the model ---- */

struct setting {
	struct vms_range range;
	struct vms_cookie cookie;
	bool supervised;
	bool i386; /* for an i386 call: no cookie */
};

static bool ends_outside(const struct setting *s, uint64_t addr, uint64_t len, uint64_t unit)
{
	wide end = ((wide)addr + len + unit - 1) / unit * unit;

	return end > s->range.end;
}

/* Some mapping of huge pages could start there. */
static bool huge_ends_outside(const struct setting *s, uint64_t addr, uint64_t len)
{
	return (addr % (2 * MIB) == 0 && ends_outside(s, addr, len, 2 * MIB)) ||
	       (addr % GIB == 0 && ends_outside(s, addr, len, GIB));
}

static int model_mmap(const struct setting *s, const uint64_t a[6])
{
	bool anon = a[3] & MAP_ANONYMOUS;

	if (!s->i386 && a[4] >> 32 == s->cookie.fd_high && (!anon || a[5] == (uint64_t)s->cookie.offset_high << 32))
		return PASS;
	if (!(a[3] & MAP_FIXED) || (a[3] & MAP_FIXED_NOREPLACE) || a[0] % PAGE || !a[1])
		return PASS;
	if (a[0] < s->range.start)
		return EPERM;
	if (ends_outside(s, a[0], a[1], PAGE))
		return ENOMEM;
	return (!anon || (a[3] & MAP_HUGETLB)) && huge_ends_outside(s, a[0], a[1]) ? ENOMEM : PASS;
}

static bool is_outside(const struct setting *s, uint64_t addr, uint64_t len)
{
	return addr % PAGE == 0 && len && (addr < s->range.start || ends_outside(s, addr, len, PAGE));
}

static int model_munmap(const struct setting *s, const uint64_t a[6])
{
	if ((!s->i386 && a[5] == s->cookie.r9) || !is_outside(s, a[0], a[1]))
		return PASS;
	if (ends_outside(s, a[0], a[1], PAGE))
		return EINVAL;
	if ((wide)a[0] + a[1] <= s->range.start)
		return 0;
	return s->supervised ? PASS : EINVAL;
}

static int model_mremap(const struct setting *s, const uint64_t a[6])
{
	if ((!s->i386 && a[5] == s->cookie.r9) || !a[2] || a[0] % PAGE)
		return PASS;
	if (is_outside(s, a[0], a[1]))
		return EFAULT;
	if (!(a[3] & MREMAP_FIXED) || a[4] % PAGE)
		return PASS;
	if (a[4] < s->range.start)
		return EPERM;
	return ends_outside(s, a[4], a[2], PAGE) || huge_ends_outside(s, a[4], a[2]) ? EINVAL : PASS;
}

/* By x86-64 numbers. */
static int model_64(const struct setting *s, uint32_t nr, const uint64_t a[6])
{
	switch (nr) {
	case SYS_mmap:
		return model_mmap(s, a);
	case SYS_munmap:
		return model_munmap(s, a);
	case SYS_mprotect:
	case SYS_pkey_mprotect:
		return is_outside(s, a[0], a[1]) ? ENOMEM : PASS;
	case SYS_mremap:
		return model_mremap(s, a);
	case SYS_madvise:
		return (uint32_t)a[2] == MADV_DONTFORK && is_outside(s, a[0], a[1]) ? EPERM : PASS;
	case NR_PROCESS_MADVISE:
		return (uint32_t)a[3] == MADV_DONTFORK ? EINVAL : PASS;
	case SYS_shmat:
		return !s->supervised && (a[2] & SHM_REMAP) ? EPERM : PASS;
	case SYS_prctl:
		return (uint32_t)a[0] == PR_SET_MM && (s->i386 || a[5] != s->cookie.r9) ? EPERM : PASS;
	case SYS_io_uring_setup:
	case SYS_io_uring_enter:
	case SYS_io_uring_register:
		return EPERM;
	default:
		return PASS;
	}
}

/* i386 number, x86-64 number. */
static const uint32_t i386_nrs[][2] = {
	{ 91, SYS_munmap },   { 125, SYS_mprotect }, { 163, SYS_mremap },	    { 172, SYS_prctl },
	{ 192, SYS_mmap },
	{ 219, SYS_madvise }, { 380, SYS_pkey_mprotect }, { 397, SYS_shmat },   { 425, SYS_io_uring_setup },
	{ 426, SYS_io_uring_enter }, { 427, SYS_io_uring_register }, { 440, NR_PROCESS_MADVISE },
};

static int model(const struct setting *s, uint32_t arch, uint32_t nr, const uint64_t args[6])
{
	struct setting narrow = *s;
	uint64_t a[6];

	if (arch == AUDIT_ARCH_X86_64)
		return model_64(s, nr, args);
	if (arch != AUDIT_ARCH_I386)
		return PASS;
	narrow.i386 = true;
	for (int i = 0; i < 6; i++)
		a[i] = (uint32_t)args[i];
	if (nr == 90)
		return s->supervised ? PASS : ENOSYS;
	if (nr == 117)
		return (a[0] & 0xffff) == VMS_IPC_SHMAT && !s->supervised && (a[2] & SHM_REMAP) ? EPERM : PASS;
	for (size_t i = 0; i < sizeof(i386_nrs) / sizeof(i386_nrs[0]); i++) {
		if (i386_nrs[i][0] == nr)
			return model_64(&narrow, i386_nrs[i][1], a);
	}
	return PASS;
}

/* ---- random calls at the edges ---- */

static uint64_t rng;

static uint64_t chance(uint64_t n)
{
	uint64_t z;

	rng += 0x9e3779b97f4a7c15u;
	z = rng;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return n ? (z ^ (z >> 31)) % n : z ^ (z >> 31);
}

static uint64_t edge(const struct setting *s)
{
	const uint64_t lo = s->range.start, hi = s->range.end;
	const uint64_t edges[] = { 0,	   lo,	     hi,	  hi - lo,	    hi / (2 * MIB) * (2 * MIB),
				   GIB,	   2 * MIB,  hi / GIB * GIB, (uint64_t)1 << 31, (uint64_t)1 << 32,
				   1ull << 47, 1ull << 56, 1ull << 63,	  ~0ull << 32,	    0x7ffffffff000,
				   lo + PAGE * chance(1000), hi - PAGE * chance(100000), chance(0) };
	const uint64_t nudges[] = { 0, 0, 0, 1, -1ull, PAGE, -PAGE, 2 * MIB, -2 * MIB, GIB, -GIB, 1ull << 32, -(1ull << 32), 5 * PAGE };

	return edges[chance(sizeof(edges) / sizeof(edges[0]))] + nudges[chance(sizeof(nudges) / sizeof(nudges[0]))];
}

/* Often one that ends at an edge. */
static uint64_t some_length(const struct setting *s, uint64_t addr)
{
	return chance(3) ? edge(s) - addr : chance(2) ? edge(s) : 1 + chance(4 * MIB);
}

static uint64_t some_flags(void)
{
	const uint64_t flags[] = { MAP_PRIVATE, MAP_SHARED, MAP_FIXED, MAP_FIXED, MAP_FIXED, MAP_ANONYMOUS,
				   MAP_FIXED_NOREPLACE, MAP_HUGETLB, MAP_NORESERVE, MAP_GROWSDOWN, 1ull << 40 };
	uint64_t got = chance(8) ? MAP_FIXED : 0;

	for (int i = 0; i < 3; i++)
		got |= flags[chance(sizeof(flags) / sizeof(flags[0]))];
	return got;
}

static void some_call(const struct setting *s, uint32_t *ret_nr, uint64_t a[6])
{
	static const uint32_t nrs[] = { SYS_mmap, SYS_mmap, SYS_mmap, SYS_munmap, SYS_mremap, SYS_mremap, SYS_mremap,
					SYS_mprotect, SYS_pkey_mprotect, SYS_madvise, NR_PROCESS_MADVISE, SYS_shmat,
					SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register, SYS_read, NR_MSEAL,
					SYS_prctl,
					SYS_brk, SYS_shmdt, 0x40000000 | SYS_munmap };
	uint32_t nr = nrs[chance(sizeof(nrs) / sizeof(nrs[0]))];

	for (int i = 0; i < 6; i++)
		a[i] = chance(2) ? edge(s) : chance(64);
	if (chance(8))
		a[0] = edge(s);
	if (chance(8))
		a[0] &= ~(PAGE - 1);
	a[1] = some_length(s, a[0]);
	if (nr == SYS_mmap) {
		a[3] = some_flags();
		a[4] = chance(4) ? a[4] : (uint64_t)s->cookie.fd_high << 32 | chance(2);
		a[5] = chance(4) ? a[5] : (uint64_t)s->cookie.offset_high << 32 | (chance(3) ? 0 : 1);
	} else if (nr == SYS_mremap) {
		a[3] = chance(4) ? MREMAP_FIXED | MREMAP_MAYMOVE : chance(8);
		if (chance(2)) {
			a[0] = s->range.start + chance(100) * PAGE;
			a[1] = chance(2) * PAGE;
		}
		a[4] = edge(s) & (chance(8) ? ~(PAGE - 1) : ~0ull);
		a[2] = some_length(s, a[4]);
	} else if (nr == SYS_prctl) {
		a[0] = chance(2) ? PR_SET_MM | chance(2) << 32 : chance(60);
	} else if (nr == SYS_madvise) {
		a[2] = chance(3) ? MADV_DONTFORK | (chance(2) << 32) : chance(30);
	}
	if (nr != SYS_mmap && chance(6) == 0)
		a[5] = s->cookie.r9 ^ (chance(2) ? 0 : 1ull << chance(64));
	*ret_nr = nr;
}

/* The same as an i386 call; sometimes one that only i386 has. */
static void as_i386(uint32_t *nr, uint64_t a[6])
{
	for (size_t i = 0; i < sizeof(i386_nrs) / sizeof(i386_nrs[0]); i++) {
		if (i386_nrs[i][1] == *nr) {
			*nr = i386_nrs[i][0];
			break;
		}
	}
	if (chance(20) == 0) {
		*nr = chance(2) ? 90 : 117;
		a[0] = VMS_IPC_SHMAT | (chance(2) << 16);
	}
}

static const struct vms_range ranges[] = {
	{ 0x10000, 0x7fff0000 },       { 0x200000000, 0x400000000 },  { 0x10000, 0x100000000 },
	{ 0xc0000000, 0x180001000 },   { 0x1ffff000, 0x20001000 },    { 0x7ff000000000, 0x7ffffffff000 },
	{ 0x1000, 0xfffffffffff000 },  { 0x40000000, 0x80000000 },    { 0xfffff000, 0x100001000 },
	{ 0x123456789000, 0x1234569ab000 },
};

START_TEST(the_bpf_is_the_model_for_random_calls_at_the_edges)
{
	const char *seed_text = getenv("VMS_SEED"), *n_text = getenv("VMS_ITERATIONS");
	uint64_t seed = seed_text ? strtoull(seed_text, NULL, 0) : (uint64_t)time(NULL) * 1000003 + (uint64_t)getpid();
	uint64_t n = n_text ? strtoull(n_text, NULL, 0) : 50000;
	unsigned int refused = 0;
	struct setting s;

	rng = seed;
	for (uint64_t i = 0; i < n; i++) {
		uint32_t arch = AUDIT_ARCH_X86_64, nr;
		uint64_t a[6];
		int want, got;

		if (i % 500 == 0) {
			s = (struct setting){ .range = ranges[chance(sizeof(ranges) / sizeof(ranges[0]))],
					      .supervised = chance(2) };
			ck_assert_int_eq(vms_cookie_draw(&s.cookie), 0);
			make(&s.range, &s.cookie, s.supervised);
		}
		some_call(&s, &nr, a);
		if (chance(4) == 0) {
			arch = chance(20) ? AUDIT_ARCH_I386 : AUDIT_ARCH_ARM;
			as_i386(&nr, a);
		}
		want = model(&s, arch, nr, a);
		got = answer(arch, nr, a);
		refused += got != PASS;
		ck_assert_msg(got == want,
			      "seed %" PRIu64 ", iteration %" PRIu64 ", range %" PRIx64 "-%" PRIx64 ": arch %x call %u (%" PRIx64 ", %" PRIx64
			      ", %" PRIx64 ", %" PRIx64 ", %" PRIx64 ", %" PRIx64 "): %d, the model says %d",
			      seed, i, s.range.start, s.range.end, arch, nr, a[0], a[1], a[2], a[3], a[4], a[5], got, want);
	}
	/* Neither answer is rare, or nothing was tested. */
	ck_assert_msg(refused > n / 8 && refused < n - n / 8, "seed %" PRIu64 ": %u of %" PRIu64 " refused", seed, refused, n);
}
END_TEST

START_TEST(injected_calls_pass_with_their_cookie)
{
	static const int nrs[] = { SYS_mmap, SYS_munmap, SYS_mremap, SYS_prctl };
	struct setting s = { .range = ranges[0] };
	uint64_t out[6] = { 0x7fff0000, PAGE, PAGE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, (uint32_t)-1, 0 };

	ck_assert_int_eq(vms_cookie_draw(&s.cookie), 0);
	make(&s.range, &s.cookie, false);
	for (size_t i = 0; i < sizeof(nrs) / sizeof(nrs[0]); i++) {
		uint64_t args[6];

		memcpy(args, out, sizeof(args));
		if (nrs[i] == SYS_prctl)
			args[0] = PR_SET_MM;
		ck_assert_int_ne(answer(AUDIT_ARCH_X86_64, (uint32_t)nrs[i], args), PASS);
		vms_cookie_mark(&s.cookie, nrs[i], args);
		ck_assert_int_eq(answer(AUDIT_ARCH_X86_64, (uint32_t)nrs[i], args), PASS);
	}
}
END_TEST

/* ---- in a process ---- */

/* [lower fence | range | upper fence]; the range ends in the middle of a huge page. */
static char *arena;
#define ARENA (64 * MIB)
#define LO ((uint64_t)(uintptr_t)arena + 16 * MIB + PAGE)
#define HI ((uint64_t)(uintptr_t)arena + 33 * MIB)
#define LAST_HUGE ((uint64_t)(uintptr_t)arena + 32 * MIB)

/* True when both fences are there, nothing but inaccessible private memory. Allocates nothing. */
static bool is_intact(void)
{
	static char text[65536];
	uint64_t at = (uintptr_t)arena;
	size_t size = 0;
	ssize_t n;
	int fd = open("/proc/self/maps", O_RDONLY);

	while (fd >= 0 && (n = read(fd, text + size, sizeof(text) - 1 - size)) > 0)
		size += (size_t)n;
	close(fd);
	text[size] = '\0';
	for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		uint64_t from, to;
		char perms[5];

		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", &from, &to, perms) != 3 || to <= at)
			continue;
		if (at < LO) {
			if (from > at || strcmp(perms, "---p") != 0)
				return false;
			at = to < LO ? to : HI;
		}
		if (at >= HI && to > HI && from < (uintptr_t)arena + ARENA) {
			if (from > at || strcmp(perms, "---p") != 0)
				return false;
			at = to;
		}
	}
	return at >= (uintptr_t)arena + ARENA;
}

struct attempt {
	long nr;
	uint64_t args[6];
	int error;
};

static int shm_id, huge_fd, plain_fd;

/* Returns 0, or the number of the first attempt that went otherwise than expected, from 1. */
static int try_all(const struct attempt *attempts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct attempt *t = &attempts[i];
		long r;

		errno = 0;
		r = syscall(t->nr, t->args[0], t->args[1], t->args[2], t->args[3], t->args[4], t->args[5]);
		if (r == -1 ? errno != t->error : t->error != 0)
			return (int)i + 1;
		if (!is_intact())
			return (int)i + 101;
	}
	return 0;
}

static void in_a_process(const struct attempt *attempts, size_t n)
{
	const struct vms_range range = { LO, HI };
	struct vms_filter filter;
	struct vms_cookie cookie;
	int status;
	pid_t pid;

	ck_assert_int_eq(vms_cookie_draw(&cookie), 0);
	ck_assert_int_eq(vms_filter_build(VMS_TRAP_FENCE, &cookie, &range, &filter, NULL), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		if (!is_intact() || vms_filter_load(&filter) < 0)
			_exit(255);
		_exit(try_all(attempts, n));
	}
	status = spy_wait(pid);
	vms_filter_done(&filter);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s (the attempt, from 1; above 100: the fence was open)",
		      spy_say(status));
}

#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define FIX (ANON | MAP_FIXED)
#define RW (PROT_READ | PROT_WRITE)
#define MOVE (MREMAP_MAYMOVE | MREMAP_FIXED)
#define NO_FD ((uint32_t)-1)

START_TEST(no_call_opens_the_fence)
{
	const uint64_t low_fence = (uintptr_t)arena, high_fence = HI, all = ARENA;
	const struct attempt attempts[] = {
		{ SYS_munmap, { low_fence, PAGE }, 0 },
		{ SYS_munmap, { low_fence, LO - low_fence }, 0 },
		{ SYS_munmap, { 0, PAGE }, 0 },
		{ SYS_munmap, { high_fence, PAGE }, EINVAL },
		{ SYS_munmap, { low_fence, all }, EINVAL },
		{ SYS_munmap, { LO - PAGE, 2 * PAGE }, EINVAL },
		{ SYS_munmap, { HI - PAGE, PAGE + 1 }, EINVAL },
		{ SYS_munmap, { HI - PAGE, -PAGE }, EINVAL },
		{ SYS_mprotect, { high_fence, PAGE, RW }, ENOMEM },
		{ SYS_mprotect, { HI - PAGE, 2 * PAGE, RW }, ENOMEM },
		{ SYS_mprotect, { low_fence, all, RW }, ENOMEM },
		{ SYS_mprotect, { LO - PAGE, PAGE, RW | PROT_GROWSDOWN }, ENOMEM },
		{ SYS_pkey_mprotect, { high_fence, PAGE, RW, NO_FD }, ENOMEM },
		{ SYS_mmap, { low_fence, PAGE, RW, FIX, NO_FD, 0 }, EPERM },
		{ SYS_mmap, { high_fence, PAGE, RW, FIX, NO_FD, 0 }, ENOMEM },
		{ SYS_mmap, { HI - PAGE, 2 * PAGE, RW, FIX, NO_FD, 0 }, ENOMEM },
		{ SYS_mmap, { high_fence, PAGE, RW, FIX | MAP_FIXED_NOREPLACE, NO_FD, 0 }, EEXIST },
		{ SYS_mmap, { high_fence, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, NO_FD, 0 }, EEXIST },
		{ SYS_mmap, { high_fence, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, (uint64_t)plain_fd, 0 }, ENOMEM },
		{ SYS_mmap, { LAST_HUGE, MIB, RW, FIX | MAP_HUGETLB | MAP_NORESERVE, NO_FD, 0 }, ENOMEM },
		{ SYS_mmap, { LAST_HUGE, MIB, RW, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, (uint64_t)huge_fd, 0 }, ENOMEM },
		{ SYS_mmap, { LAST_HUGE - 2 * MIB, 3 * MIB, RW, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, (uint64_t)huge_fd, 0 }, ENOMEM },
		{ SYS_mmap, { LO + PAGE, 2 * PAGE, RW, FIX, NO_FD, 0 }, 0 },
		{ SYS_mremap, { high_fence, PAGE, PAGE, MREMAP_MAYMOVE }, EFAULT },
		{ SYS_mremap, { high_fence, PAGE, PAGE, MOVE, LO + 100 * PAGE }, EFAULT },
		{ SYS_mremap, { LO, 32 * MIB, PAGE, 0 }, EFAULT },
		{ SYS_mremap, { LO + PAGE, PAGE, PAGE, MOVE, low_fence }, EPERM },
		{ SYS_mremap, { LO + PAGE, PAGE, PAGE, MOVE, high_fence }, EINVAL },
		{ SYS_mremap, { LO + PAGE, PAGE, 2 * PAGE, MOVE, HI - PAGE }, EINVAL },
		{ SYS_mremap, { LO + PAGE, PAGE, PAGE + 1, MOVE, HI - PAGE }, EINVAL },
		{ SYS_mremap, { LO + PAGE, 2 * PAGE, 64 * MIB, 0 }, ENOMEM },
		{ SYS_madvise, { high_fence, PAGE, MADV_DONTFORK }, EPERM },
		{ SYS_madvise, { LO, 32 * MIB, MADV_DONTFORK | 1ull << 32 }, EPERM },
		{ NR_PROCESS_MADVISE, { NO_FD, 0, 0, MADV_DONTFORK, 0 }, EINVAL },
		{ SYS_shmat, { (uint64_t)shm_id, high_fence, SHM_REMAP }, EPERM },
		{ SYS_shmat, { (uint64_t)shm_id, HI - PAGE, SHM_REMAP }, EPERM },
		{ SYS_shmat, { (uint64_t)shm_id, high_fence, 0 }, EINVAL },
		{ SYS_shmat, { (uint64_t)shm_id, high_fence + 5, SHM_RND }, EINVAL },
		{ SYS_shmdt, { high_fence }, EINVAL },
		{ SYS_remap_file_pages, { high_fence, PAGE, 0, 0, 0 }, EINVAL },
		{ SYS_prctl, { PR_SET_MM, PR_SET_MM_BRK, high_fence + PAGE, 0, 0 }, EPERM },
		{ SYS_io_uring_setup, { 1, 0 }, EPERM },
		{ SYS_io_uring_enter, { NO_FD, 0, 0, 0, 0, 0 }, EPERM },
		{ SYS_io_uring_register, { NO_FD, 0, 0, 0 }, EPERM },
	};

	in_a_process(attempts, sizeof(attempts) / sizeof(attempts[0]));
}
END_TEST

START_TEST(what_stays_inside_is_the_kernels_business)
{
	const uint64_t at = LO + 8 * PAGE, size = HI - LO;
	const struct attempt attempts[] = {
		{ SYS_mmap, { LO, size, RW, FIX, NO_FD, 0 }, 0 },
		{ SYS_mprotect, { LO, size, PROT_READ }, 0 },
		{ SYS_mprotect, { HI - PAGE, PAGE, RW }, 0 },
		{ SYS_madvise, { LO, size, MADV_DONTFORK }, 0 },
		{ SYS_madvise, { LO, size, MADV_DOFORK }, 0 },
		{ SYS_mmap, { HI - PAGE, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, (uint64_t)plain_fd, 0 }, 0 },
		{ SYS_mremap, { at, PAGE, PAGE, MOVE, HI - PAGE }, 0 },
		{ SYS_mremap, { HI - PAGE, PAGE, PAGE, MOVE, LO }, 0 },
		{ SYS_munmap, { LO, size }, 0 },
		{ SYS_munmap, { LO, size }, 0 },
		{ SYS_munmap, { LO + 1, PAGE }, EINVAL },
		{ SYS_munmap, { HI, 0 }, EINVAL },
		{ SYS_munmap, { HI + 5, PAGE }, EINVAL },
		{ SYS_mprotect, { HI, 0, RW }, 0 },
		{ SYS_mprotect, { HI + 5, PAGE, RW }, EINVAL },
		{ SYS_madvise, { (uintptr_t)arena, PAGE, MADV_DOFORK }, 0 },
		{ SYS_mremap, { LO, PAGE, PAGE, 0 }, EFAULT },
		{ SYS_mremap, { HI, PAGE, 0, 0 }, EINVAL },
		{ SYS_mmap, { HI, 0, RW, FIX, NO_FD, 0 }, EINVAL },
		{ SYS_mmap, { HI + 5, PAGE, RW, FIX, NO_FD, 0 }, EINVAL },
		{ SYS_mmap, { LO, PAGE, RW, FIX, NO_FD, 5 }, EINVAL },
		{ SYS_mmap, { LO, PAGE, RW, MAP_PRIVATE | MAP_FIXED, 9999, 0 }, EBADF },
		{ NR_PROCESS_MADVISE, { NO_FD, 0, 0, MADV_COLD, 0 }, EBADF },
		{ SYS_shmat, { (uint64_t)shm_id, LO + 64 * PAGE, 0 }, 0 },
		{ SYS_shmdt, { LO + 64 * PAGE }, 0 },
	};

	in_a_process(attempts, sizeof(attempts) / sizeof(attempts[0]));
}
END_TEST

static void setup(void)
{
	char *got = mmap(NULL, ARENA + 2 * MIB, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);

	ck_assert(got != MAP_FAILED);
	arena = (char *)(((uintptr_t)got + 2 * MIB - 1) & ~(uintptr_t)(2 * MIB - 1));
	ck_assert_int_eq(munmap((void *)(uintptr_t)LO, HI - LO), 0);
	shm_id = shmget(IPC_PRIVATE, 2 * PAGE, IPC_CREAT | 0600);
	ck_assert_int_ge(shm_id, 0);
	plain_fd = memfd_create("plain", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(plain_fd, PAGE), 0);
	/* Refused before it is looked at, so it may be missing. */
	huge_fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
}

static void teardown(void)
{
	shmctl(shm_id, IPC_RMID, NULL);
}

int main(void)
{
	Suite *suite = suite_create("fence");
	TCase *model_case = tcase_create("model"), *process_case = tcase_create("process");
	SRunner *runner;
	int failed;

	tcase_set_timeout(model_case, 300);
	tcase_add_test(model_case, the_bpf_is_the_model_for_random_calls_at_the_edges);
	tcase_add_test(model_case, injected_calls_pass_with_their_cookie);
	tcase_set_timeout(process_case, 120);
	tcase_add_checked_fixture(process_case, setup, teardown);
	tcase_add_test(process_case, no_call_opens_the_fence);
	tcase_add_test(process_case, what_stays_inside_is_the_kernels_business);
	suite_add_tcase(suite, model_case);
	suite_add_tcase(suite, process_case);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
