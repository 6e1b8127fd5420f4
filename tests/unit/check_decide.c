/* Decisions: registers and a prepared space in, a plan out. The rules are those of the table of calls, one table a call. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#include "vmsup/core/decide.h"

#define LO ((vms_addr_t)0x10000)
#define HI ((vms_addr_t)0x7fff0000)
#define USER_END ((vms_addr_t)0x7ffffffff000)
#define PAGES(n) ((vms_addr_t)(n) << VMS_PAGE_SHIFT)
#define HEAP ((vms_addr_t)0x1000000)
/* Three pages, a file, in the middle of nothing. */
#define FILE_AT ((vms_addr_t)0x20000000)
/* Two neighbours that differ in prot. */
#define PAIR_AT ((vms_addr_t)0x30000000)
/* The topmost: the kernel's next place is right below. */
#define TOP_AT (HI - PAGES(16))
#define ANY ((vms_addr_t)-1)

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static struct vms_space space;
static struct vms_facts facts;
static struct vms_plan plan;

static void add(vms_addr_t start, vms_addr_t end, uint8_t prot, uint32_t flags, uint64_t ino)
{
	struct vms_vma vma = { .range = { start, end }, .prot = prot, .may = VMS_PROT_ALL, .flags = flags, .ino = ino,
			       .dev = ino ? 1 : 0, .kind = ino ? VMS_KIND_FILE : VMS_KIND_ANON };

	ck_assert_int_eq(vms_tree_insert(&space.tree, &vma), 0);
}

static void setup(void)
{
	const struct vms_range range = { LO, HI }, user = { 0, USER_END };
	const struct vms_place_rules rules = { .mmap_min_addr = 0x10000, .hint_min = 0x10000, .guard = PAGES(256), .thp_anon_multiple = true,
					       .thp_to_top = true, .above4g = true };

	vms_space_init(&space, &range, &user, &rules);
	space.confined = true;
	space.ceiling = HI;
	vms_brk_init(&space.brk, HEAP);
	vms_brk_set(&space.brk, HEAP + PAGES(4) + 100);
	add(HEAP, HEAP + PAGES(5), RW, 0, 0);
	add(FILE_AT, FILE_AT + PAGES(3), PROT_READ, 0, 7);
	add(PAIR_AT, PAIR_AT + PAGES(2), RW, 0, 0);
	add(PAIR_AT + PAGES(2), PAIR_AT + PAGES(4), PROT_READ, 0, 0);
	add(TOP_AT, HI, RW, 0, 0);
	facts = (struct vms_facts){ .file = { .known = true, .may = VMS_PROT_ALL } };
}

static void teardown(void)
{
	vms_space_done(&space);
}

static struct vms_req req_of(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	const uint64_t args[6] = { a, b, c, d, e, f };
	struct vms_req req;

	ck_assert_int_eq(vms_req_decode(VMS_ARCH_X86_64, (int)nr, args, &req), 0);
	return req;
}

static void decide(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	struct vms_req req = req_of(nr, a, b, c, d, e, f);

	plan = vms_plan_refuse(999);
	ck_assert_int_eq(vms_decide(&space, &req, &facts, NULL, 0, 0, &plan), 0);
}

struct want {
	enum vms_verdict verdict;
	int error; /* with VMS_REFUSE */
	enum vms_effect effect;
	vms_addr_t start, end; /* of the result; ANY: not looked at */
};

static void check_plan(const char *text, const struct want *want)
{
	ck_assert_msg(plan.verdict == want->verdict, "%s: verdict %d, not %d", text, plan.verdict, want->verdict);
	if (want->verdict == VMS_REFUSE) {
		ck_assert_msg(plan.error == want->error, "%s: errno %d, not %d", text, plan.error, want->error);
		ck_assert_msg(plan.effect == VMS_EFFECT_NONE, "%s: a refusal with an effect", text);
		return;
	}
	ck_assert_msg(plan.effect == want->effect, "%s: effect %d, not %d", text, plan.effect, want->effect);
	if (want->start == ANY || want->effect == VMS_EFFECT_NONE || want->effect == VMS_EFFECT_UNKNOWN)
		return;
	ck_assert_msg(plan.range.start == want->start && plan.range.end == want->end, "%s: %llx-%llx, not %llx-%llx",
		      text, (unsigned long long)plan.range.start, (unsigned long long)plan.range.end,
		      (unsigned long long)want->start, (unsigned long long)want->end);
}

struct row {
	const char *text;
	long nr;
	uint64_t args[6];
	struct want want;
};

static void check_row(const struct row *row)
{
	decide(row->nr, row->args[0], row->args[1], row->args[2], row->args[3], row->args[4], row->args[5]);
	check_plan(row->text, &row->want);
}

#define CONT(EFFECT, START, END) { VMS_CONTINUE, 0, VMS_EFFECT_##EFFECT, START, END }
#define PASS { VMS_CONTINUE, 0, VMS_EFFECT_NONE, ANY, ANY }
#define UNKNOWN { VMS_CONTINUE, 0, VMS_EFFECT_UNKNOWN, ANY, ANY }
#define REFUSED(ERRNO) { VMS_REFUSE, ERRNO, VMS_EFFECT_NONE, ANY, ANY }
#define NR_ROWS(rows) (int)(sizeof(rows) / sizeof((rows)[0]))

static const struct row mmap_rows[] = {
	{ "no hint: below the topmost", SYS_mmap, { 0, 4096, RW, ANON, -1u, 0 }, CONT(MAP, TOP_AT - 4096, TOP_AT) },
	{ "a length is rounded up", SYS_mmap, { 0, 4097, RW, ANON, -1u, 0 }, CONT(MAP, TOP_AT - 8192, TOP_AT) },
	{ "a free hint is taken", SYS_mmap, { 0x40000000, 8192, RW, ANON, -1u, 0 }, CONT(MAP, 0x40000000, 0x40002000) },
	{ "an unaligned hint is rounded down", SYS_mmap, { 0x40000fff, 4096, RW, ANON, -1u, 0 },
	  CONT(MAP, 0x40000000, 0x40001000) },
	{ "a hint that is not free is none", SYS_mmap, { FILE_AT, 4096, RW, ANON, -1u, 0 },
	  CONT(MAP, TOP_AT - 4096, TOP_AT) },
	{ "a hint that is free in part is none", SYS_mmap, { FILE_AT - 4096, 8192, RW, ANON, -1u, 0 },
	  CONT(MAP, TOP_AT - 8192, TOP_AT) },
	{ "a hint above the range is none", SYS_mmap, { HI, 4096, RW, ANON, -1u, 0 }, CONT(MAP, TOP_AT - 4096, TOP_AT) },
	{ "a hint that leaves the range is none", SYS_mmap, { HI - 4096, 8192, RW, ANON, -1u, 0 },
	  CONT(MAP, TOP_AT - 8192, TOP_AT) },
	{ "no gap is long enough", SYS_mmap, { 0, HI - LO, RW, ANON, -1u, 0 }, REFUSED(ENOMEM) },
	{ "a file that fits nowhere: its own errors come first", SYS_mmap, { 0, HI - LO, PROT_READ, MAP_PRIVATE, 3, 0 },
	  UNKNOWN },
	{ "length 0 is the kernel's EINVAL", SYS_mmap, { 0, 0, RW, ANON, -1u, 0 }, PASS },
	{ "a length that wraps is the kernel's", SYS_mmap, { 0, ~UINT64_C(0), RW, ANON, -1u, 0 }, PASS },
	{ "an unaligned offset is the kernel's", SYS_mmap, { 0, 4096, RW, MAP_PRIVATE, 3, 100 }, PASS },
	{ "fixed in range", SYS_mmap, { 0x40000000, 4096, RW, ANON | MAP_FIXED, -1u, 0 },
	  CONT(MAP, 0x40000000, 0x40001000) },
	{ "fixed over something", SYS_mmap, { FILE_AT, 4096, RW, ANON | MAP_FIXED, -1u, 0 },
	  CONT(MAP, FILE_AT, FILE_AT + 4096) },
	{ "fixed at the very start", SYS_mmap, { LO, 4096, RW, ANON | MAP_FIXED, -1u, 0 }, CONT(MAP, LO, LO + 4096) },
	{ "fixed at the very end", SYS_mmap, { HI - 4096, 4096, RW, ANON | MAP_FIXED, -1u, 0 },
	  CONT(MAP, HI - 4096, HI) },
	{ "fixed below the range", SYS_mmap, { LO - 4096, 4096, RW, ANON | MAP_FIXED, -1u, 0 }, REFUSED(EPERM) },
	{ "fixed across the start", SYS_mmap, { LO - 4096, 8192, RW, ANON | MAP_FIXED, -1u, 0 }, REFUSED(EPERM) },
	{ "fixed above the range", SYS_mmap, { HI, 4096, RW, ANON | MAP_FIXED, -1u, 0 }, REFUSED(ENOMEM) },
	{ "fixed across the end", SYS_mmap, { HI - 4096, 8192, RW, ANON | MAP_FIXED, -1u, 0 }, REFUSED(ENOMEM) },
	{ "fixed across the end of user addresses is the kernel's", SYS_mmap,
	  { USER_END - 4096, 8192, RW, ANON | MAP_FIXED, -1u, 0 }, PASS },
	{ "fixed outside, of an offset that is no page's", SYS_mmap, { HI, 4096, RW, ANON | MAP_FIXED, -1u, 8 }, PASS },
	{ "fixed and unaligned is the kernel's EINVAL", SYS_mmap, { 0x40000001, 4096, RW, ANON | MAP_FIXED, -1u, 0 },
	  PASS },
	{ "noreplace in a hole", SYS_mmap, { 0x40000000, 4096, RW, ANON | MAP_FIXED_NOREPLACE, -1u, 0 },
	  CONT(MAP, 0x40000000, 0x40001000) },
	{ "noreplace outside", SYS_mmap, { HI, 4096, RW, ANON | MAP_FIXED_NOREPLACE, -1u, 0 }, REFUSED(ENOMEM) },
	{ "huge pages: the kernel rounds and aligns", SYS_mmap, { 0, 4096, RW, ANON | MAP_HUGETLB, -1u, 0 }, UNKNOWN },
	{ "a multiple of 2 MiB is aligned to it", SYS_mmap, { 0, 2 << 20, RW, ANON, -1u, 0 },
	  CONT(MAP, 0x7fc00000, 0x7fe00000) },
	{ "a shared one is not", SYS_mmap, { 0, 2 << 20, RW, MAP_SHARED | MAP_ANONYMOUS, -1u, 0 },
	  CONT(MAP, TOP_AT - (2 << 20), TOP_AT) },
};

START_TEST(mmap_goes_where_its_rule_says)
{
	check_row(&mmap_rows[_i]);
}
END_TEST

static const struct row munmap_rows[] = {
	{ "in range", SYS_munmap, { FILE_AT, 4096 }, CONT(UNMAP, FILE_AT, FILE_AT + 4096) },
	{ "a length is rounded up", SYS_munmap, { FILE_AT, 1 }, CONT(UNMAP, FILE_AT, FILE_AT + 4096) },
	{ "a hole", SYS_munmap, { 0x40000000, 4096 }, CONT(UNMAP, 0x40000000, 0x40001000) },
	{ "above the range", SYS_munmap, { HI, 4096 }, REFUSED(EINVAL) },
	{ "below the range there is nothing to remove", SYS_munmap, { 0, LO }, { VMS_REPLY, 0, VMS_EFFECT_NONE, ANY, ANY } },
	{ "across the start: the part inside", SYS_munmap, { LO - 4096, 8192 },
	  { VMS_REMOTE, 0, VMS_EFFECT_UNMAP, LO, LO + 4096 } },
	{ "across the end", SYS_munmap, { HI - 4096, 8192 }, REFUSED(EINVAL) },
	{ "everything", SYS_munmap, { 0, USER_END }, REFUSED(EINVAL) },
	{ "unaligned is the kernel's", SYS_munmap, { FILE_AT + 1, 4096 }, PASS },
	{ "length 0 is the kernel's", SYS_munmap, { FILE_AT, 0 }, PASS },
	{ "beyond user addresses is the kernel's", SYS_munmap, { USER_END - 4096, 8192 }, PASS },
	{ "an end that wraps is the kernel's", SYS_munmap, { FILE_AT, ~UINT64_C(0) - 8191 }, PASS },
};

START_TEST(munmap_keeps_to_the_range)
{
	check_row(&munmap_rows[_i]);
}
END_TEST

static const struct row mprotect_rows[] = {
	{ "in range", SYS_mprotect, { PAIR_AT, PAGES(4), PROT_READ }, CONT(PROTECT, PAIR_AT, PAIR_AT + PAGES(4)) },
	{ "above the range", SYS_mprotect, { HI, 4096, RW }, REFUSED(ENOMEM) },
	{ "across the start", SYS_mprotect, { LO - 4096, 8192, RW }, REFUSED(ENOMEM) },
	{ "length 0 does nothing", SYS_mprotect, { PAIR_AT, 0, RW }, PASS },
	{ "unaligned is the kernel's", SYS_mprotect, { PAIR_AT + 8, 4096, RW }, PASS },
	{ "PROT_GROWSDOWN stretches it", SYS_mprotect, { PAIR_AT, 4096, RW | PROT_GROWSDOWN }, UNKNOWN },
	{ "with a key", SYS_pkey_mprotect, { PAIR_AT, 4096, RW, 2 }, CONT(PROTECT, PAIR_AT, PAIR_AT + 4096) },
	{ "with a key, outside", SYS_pkey_mprotect, { HI, 4096, RW, 2 }, REFUSED(ENOMEM) },
	{ "with a key, where nothing can be", SYS_pkey_mprotect, { 0, 4096, RW, 2 }, PASS },
	{ "out of the user addresses", SYS_mprotect, { PAIR_AT, USER_END, RW }, REFUSED(ENOMEM) },
	{ "round the end of all addresses is the kernel's", SYS_mprotect, { PAIR_AT, ~UINT64_C(0), RW }, PASS },
};

START_TEST(mprotect_keeps_to_the_range)
{
	check_row(&mprotect_rows[_i]);
}
END_TEST

START_TEST(mprotect_of_what_lies_before_a_hole_is_the_kernels_in_a_sealed_fence)
{
	space.rules.seals = true;
	decide(SYS_mprotect, PAIR_AT, HI - PAIR_AT + 4096, RW, 0, 0, 0);
	check_plan("across the end", &(struct want)UNKNOWN);
	decide(SYS_mprotect, PAIR_AT, USER_END, RW, 0, 0, 0);
	check_plan("out of the user addresses", &(struct want)UNKNOWN);
	decide(SYS_mprotect, HI, 4096, RW, 0, 0, 0);
	check_plan("outside", &(struct want)REFUSED(ENOMEM));
}
END_TEST

START_TEST(mprotect_carries_prot_and_a_key_that_was_given)
{
	decide(SYS_mprotect, PAIR_AT, 4096, PROT_READ | PROT_EXEC, 0, 0, 0);
	ck_assert_uint_eq(plan.vma.prot, PROT_READ | PROT_EXEC);
	decide(SYS_pkey_mprotect, PAIR_AT, 4096, PROT_NONE, 3, 0, 0);
	ck_assert_uint_eq(plan.vma.prot, PROT_NONE);
	ck_assert_uint_eq(plan.vma.pkey, 3);
}
END_TEST

#define MAYMOVE MREMAP_MAYMOVE
#define TO_FIXED (MREMAP_MAYMOVE | MREMAP_FIXED)

static const struct row mremap_rows[] = {
	{ "shrinks: the tail goes", SYS_mremap, { FILE_AT, PAGES(3), PAGES(1), 0 },
	  CONT(UNMAP, FILE_AT + PAGES(1), FILE_AT + PAGES(3)) },
	{ "the same size", SYS_mremap, { FILE_AT, PAGES(3), PAGES(3), 0 }, PASS },
	{ "grows in place where it is free", SYS_mremap, { FILE_AT, PAGES(3), PAGES(5), 0 },
	  CONT(MAP, FILE_AT + PAGES(3), FILE_AT + PAGES(5)) },
	{ "grows in place also when it may move", SYS_mremap, { FILE_AT, PAGES(3), PAGES(5), MAYMOVE },
	  CONT(MAP, FILE_AT + PAGES(3), FILE_AT + PAGES(5)) },
	{ "into a neighbour: moves", SYS_mremap, { PAIR_AT, PAGES(2), PAGES(3), MAYMOVE },
	  CONT(MOVE, TOP_AT - PAGES(3), TOP_AT) },
	{ "into a neighbour without MAYMOVE is the kernel's ENOMEM", SYS_mremap, { PAIR_AT, PAGES(2), PAGES(3), 0 },
	  UNKNOWN },
	{ "out of the range: moves", SYS_mremap, { HI - PAGES(1), PAGES(1), PAGES(2), MAYMOVE },
	  CONT(MOVE, TOP_AT - PAGES(2), TOP_AT) },
	{ "a part that ends within its mapping moves", SYS_mremap, { FILE_AT, PAGES(1), PAGES(2), MAYMOVE },
	  CONT(MOVE, TOP_AT - PAGES(2), TOP_AT) },
	{ "to a fixed place", SYS_mremap, { FILE_AT, PAGES(3), PAGES(3), TO_FIXED, 0x40000000 },
	  CONT(MOVE, 0x40000000, 0x40003000) },
	{ "to a fixed place, shorter", SYS_mremap, { FILE_AT, PAGES(3), PAGES(2), TO_FIXED, 0x40000000 },
	  CONT(MOVE, 0x40000000, 0x40002000) },
	{ "to a fixed place below", SYS_mremap, { FILE_AT, PAGES(3), PAGES(3), TO_FIXED, LO - 4096 }, REFUSED(EPERM) },
	{ "to a fixed place above", SYS_mremap, { FILE_AT, PAGES(3), PAGES(3), TO_FIXED, HI - 4096 }, REFUSED(EINVAL) },
	{ "onto itself is the kernel's", SYS_mremap, { FILE_AT, PAGES(3), PAGES(3), TO_FIXED, FILE_AT + 4096 }, PASS },
	{ "from outside", SYS_mremap, { HI, 4096, 8192, MAYMOVE }, REFUSED(EFAULT) },
	{ "from below", SYS_mremap, { 0, 4096, 8192, MAYMOVE }, REFUSED(EFAULT) },
	{ "from across the end", SYS_mremap, { HI - 4096, 8192, 8192, MAYMOVE }, REFUSED(EFAULT) },
	{ "shrinking from across the end", SYS_mremap, { HI - 4096, 8192, 4096, MAYMOVE }, REFUSED(EINVAL) },
	{ "from a hole is the kernel's EFAULT", SYS_mremap, { 0x40000000, 4096, 8192, MAYMOVE }, UNKNOWN },
	{ "over two mappings is the kernel's", SYS_mremap, { PAIR_AT, PAGES(3), PAGES(5), MAYMOVE }, UNKNOWN },
	{ "new length 0 is the kernel's EINVAL", SYS_mremap, { FILE_AT, 4096, 0, MAYMOVE }, PASS },
	{ "an unknown flag is the kernel's EINVAL", SYS_mremap, { FILE_AT, 4096, 8192, 64 }, PASS },
	{ "unaligned is the kernel's", SYS_mremap, { FILE_AT + 1, 4096, 8192, MAYMOVE }, PASS },
	{ "old length 0: a second mapping of it", SYS_mremap, { FILE_AT, 0, PAGES(3), MAYMOVE },
	  CONT(MOVE, TOP_AT - PAGES(3), TOP_AT) },
};

START_TEST(mremap_does_what_its_flags_say)
{
	check_row(&mremap_rows[_i]);
}
END_TEST

START_TEST(a_move_takes_all_attributes_along)
{
	decide(SYS_mremap, FILE_AT + PAGES(1), PAGES(2), PAGES(2), TO_FIXED, 0x40000000, 0);
	ck_assert_int_eq(plan.effect, VMS_EFFECT_MOVE);
	ck_assert_uint_eq(plan.from.start, FILE_AT + PAGES(1));
	ck_assert_uint_eq(plan.from.end, FILE_AT + PAGES(3));
	ck_assert_uint_eq(plan.vma.ino, 7);
	ck_assert_uint_eq(plan.vma.dev, 1);
	ck_assert_uint_eq(plan.vma.offset, PAGES(1));
	ck_assert_uint_eq(plan.vma.prot, PROT_READ);
	ck_assert(!plan.keeps_source && !plan.chosen);
}
END_TEST

START_TEST(dontunmap_and_old_length_0_keep_the_source)
{
	decide(SYS_mremap, FILE_AT, PAGES(3), PAGES(3), TO_FIXED | 4, 0x40000000, 0);
	ck_assert_int_eq(plan.effect, VMS_EFFECT_MOVE);
	ck_assert(plan.keeps_source);
	decide(SYS_mremap, FILE_AT, 0, PAGES(3), MAYMOVE, 0, 0);
	ck_assert(plan.keeps_source);
	ck_assert_uint_eq(plan.from.start, plan.from.end);
}
END_TEST

START_TEST(a_move_that_is_chosen_remotely_becomes_a_fixed_one)
{
	space.remote_only = true;
	decide(SYS_mremap, PAIR_AT, PAGES(2), PAGES(3), MAYMOVE, 0, 0);
	ck_assert_int_eq(plan.verdict, VMS_REMOTE);
	ck_assert_int_eq(plan.effect, VMS_EFFECT_MOVE);
	ck_assert_uint_eq(plan.args[0], PAIR_AT);
	ck_assert_uint_eq(plan.args[1], PAGES(2));
	ck_assert_uint_eq(plan.args[2], PAGES(3));
	ck_assert_uint_eq(plan.args[3], TO_FIXED);
	ck_assert_uint_eq(plan.args[4], plan.range.start);
}
END_TEST

/* ---- brk ---- */

static const struct row brk_rows[] = {
	{ "grows", SYS_brk, { HEAP + PAGES(8) }, CONT(BRK, HEAP + PAGES(5), HEAP + PAGES(8)) },
	{ "grows to the middle of a page", SYS_brk, { HEAP + PAGES(7) + 1 }, CONT(BRK, HEAP + PAGES(5), HEAP + PAGES(8)) },
	{ "shrinks", SYS_brk, { HEAP + PAGES(1) + 1 }, CONT(BRK, HEAP + PAGES(2), HEAP + PAGES(5)) },
	{ "shrinks to nothing", SYS_brk, { HEAP }, CONT(BRK, HEAP, HEAP + PAGES(5)) },
	{ "stays in its page", SYS_brk, { HEAP + PAGES(4) + 200 }, CONT(BRK, HEAP + PAGES(5), HEAP + PAGES(5)) },
	{ "below the base: the kernel tells the break", SYS_brk, { HEAP - 1 }, PASS },
	{ "0: the kernel tells the break", SYS_brk, { 0 }, PASS },
};

START_TEST(brk_moves_the_frontier_by_whole_pages)
{
	check_row(&brk_rows[_i]);
	if (plan.effect == VMS_EFFECT_BRK)
		ck_assert_uint_eq(plan.brk, brk_rows[_i].args[0]);
}
END_TEST

START_TEST(a_break_outside_the_range_is_the_kernels_to_refuse)
{
	static const uint64_t asked[] = { HI + 1, HI + PAGES(1), USER_END + 1, ~UINT64_C(0), ~UINT64_C(0) - 4095 };

	decide(SYS_brk, asked[_i], 0, 0, 0, 0, 0);
	check_plan("brk", &(struct want)PASS);
}
END_TEST

/* ---- everything else ---- */

static const struct row other_rows[] = {
	{ "shmat without a segment is the kernel's", SYS_shmat, { 1, 0, 0 }, UNKNOWN },
	{ "shmdt", SYS_shmdt, { FILE_AT }, UNKNOWN },
	{ "remap_file_pages", SYS_remap_file_pages, { FILE_AT, 4096, 0, 1, 0 }, UNKNOWN },
	{ "io_setup", SYS_io_setup, { 1, 0 }, UNKNOWN },
	{ "io_destroy", SYS_io_destroy, { 1 }, UNKNOWN },
	{ "map_shadow_stack", 453, { 0, 4096, 0 }, UNKNOWN },
	{ "PR_SET_MM with a fence that is not sealed", SYS_prctl, { 35, 14, 0, 0, 0 }, REFUSED(EPERM) },
	{ "PR_SET_SECCOMP", SYS_prctl, { 22, 2, 0, 0, 0 }, PASS },
	{ "ARCH_MAP_VDSO_64", SYS_arch_prctl, { 0x2003, 0 }, UNKNOWN },
	{ "personality with another layout", SYS_personality, { ADDR_COMPAT_LAYOUT }, REFUSED(EPERM) },
	{ "personality otherwise", SYS_personality, { ADDR_NO_RANDOMIZE }, PASS },
	{ "personality asked for", SYS_personality, { 0xffffffff }, PASS },
	{ "execve", SYS_execve, { 1, 2, 3 }, PASS },
	{ "exit", SYS_exit, { 0 }, PASS },
	{ "rt_sigaction", SYS_rt_sigaction, { 10, 1, 0, 8 }, PASS },
	{ "prlimit64", SYS_prlimit64, { 0, 9, 0, 0 }, PASS },
};

START_TEST(other_calls_pass_or_are_refused)
{
	check_row(&other_rows[_i]);
}
END_TEST

static const struct row mseal_rows[] = {
	{ "mseal of mapped pages", 462, { FILE_AT, PAGES(3), 0 }, CONT(SEAL, FILE_AT, FILE_AT + PAGES(3)) },
	{ "mseal with a hole is the kernel's ENOMEM", 462, { FILE_AT, PAGES(4), 0 }, PASS },
	{ "mseal outside", 462, { HI, 4096, 0 }, REFUSED(ENOMEM) },
	{ "mincore of mapped pages is the kernel's", SYS_mincore, { FILE_AT, 4096, 1 }, PASS },
	{ "mincore below the range finds nothing", SYS_mincore, { LO - 8192, 8192, 1 }, REFUSED(ENOMEM) },
	{ "msync above the range finds nothing", SYS_msync, { HI, 4096, 1 }, REFUSED(ENOMEM) },
	{ "msync across the end is the kernel's", SYS_msync, { HI - 4096, 8192, 1 }, PASS },
	{ "unaligned outside is the kernel's EINVAL", SYS_mincore, { HI + 1, 4096, 1 }, PASS },
	{ "msync with a flag that does not exist is the kernel's EINVAL", SYS_msync, { HI, 4096, 8 }, PASS },
	{ "msync asynchronous and synchronous at once is the kernel's EINVAL", SYS_msync, { HI, 4096, 5 }, PASS },
	{ "mincore with a vector outside of user addresses is the kernel's EFAULT", SYS_mincore, { HI, 4096, ~UINT64_C(0) }, PASS },
	{ "mseal with flags is the kernel's EINVAL", 462, { FILE_AT, 4096, 1 }, PASS },
};

START_TEST(mseal_mincore_and_msync_keep_to_the_range)
{
	space.rules.seals = true;
	check_row(&mseal_rows[_i]);
}
END_TEST

START_TEST(a_kernel_without_mseal_seals_nothing)
{
	decide(462, FILE_AT, PAGES(3), 0, 0, 0, 0);
	check_plan("mseal", &(struct want)PASS);
}
END_TEST

START_TEST(after_PR_SET_MM_the_break_is_not_known)
{
	space.rules.seals = true;
	decide(SYS_prctl, 35, 14, 0, 0, 0, 0);
	check_plan("PR_SET_MM", &(struct want)PASS);
	decide(SYS_brk, HEAP + PAGES(7), 0, 0, 0, 0, 0);
	check_plan("brk", &(struct want)UNKNOWN);
}
END_TEST

START_TEST(a_seal_on_huge_pages_may_fail)
{
	struct vms_vma huge = { .range = { 0x40000000, 0x40200000 }, .prot = RW, .may = VMS_PROT_ALL,
				.flags = VMS_VMA_HUGETLB };

	space.rules.seals = true;
	ck_assert_int_eq(vms_tree_insert(&space.tree, &huge), 0);
	decide(462, 0x40000000, PAGES(1), 0, 0, 0, 0);
	check_plan("mseal", &(struct want)UNKNOWN);
}
END_TEST

START_TEST(without_confinement_another_layout_is_allowed)
{
	space.confined = false;
	decide(SYS_personality, ADDR_COMPAT_LAYOUT, 0, 0, 0, 0, 0);
	check_plan("personality", &(struct want)PASS);
}
END_TEST

START_TEST(shmat_at_an_address_keeps_to_the_range)
{
	facts.shm.known = true;
	facts.shm.size = PAGES(2);
	decide(SYS_shmat, 1, HI - PAGES(1), 0, 0, 0, 0);
	check_plan("across the end", &(struct want)REFUSED(EINVAL));
	decide(SYS_shmat, 1, HI + 100, SHM_RND, 0, 0, 0);
	check_plan("rounded, above", &(struct want)REFUSED(EINVAL));
	decide(SYS_shmat, 1, 0x40000000, 0, 0, 0, 0);
	check_plan("inside", &(struct want)UNKNOWN);
}
END_TEST

START_TEST(shmat_is_placed_remotely_when_all_is)
{
	facts.shm.known = true;
	facts.shm.size = PAGES(2) - 5;
	space.remote_only = true;
	decide(SYS_shmat, 1, 0, SHM_RDONLY, 0, 0, 0);
	ck_assert_int_eq(plan.verdict, VMS_REMOTE);
	ck_assert_uint_eq(plan.args[0], 1);
	ck_assert_uint_eq(plan.args[1], TOP_AT - PAGES(2));
	ck_assert_uint_eq(plan.args[2], SHM_RDONLY);
}
END_TEST

/* ---- placing by our own choice ---- */

START_TEST(a_remote_mmap_names_its_address_and_replaces_nothing)
{
	space.remote_only = true;
	decide(SYS_mmap, 0x40000100, 4096, RW, ANON | MAP_32BIT | MAP_NORESERVE, -1u, 0);
	ck_assert_int_eq(plan.verdict, VMS_REMOTE);
	ck_assert(plan.chosen && plan.certain);
	ck_assert_uint_eq(plan.args[0], plan.range.start);
	ck_assert_uint_eq(plan.args[1], 4096);
	ck_assert_uint_eq(plan.args[2], RW);
	ck_assert_uint_eq(plan.args[3], ANON | MAP_NORESERVE | MAP_FIXED_NOREPLACE);
	ck_assert_uint_eq(plan.args[4], -1u);
}
END_TEST

START_TEST(a_remote_MAP_SHARED_VALIDATE_goes_by_the_name_of_MAP_SHARED)
{
	space.remote_only = true;
	decide(SYS_mmap, 0, 4096, RW, MAP_SHARED_VALIDATE | MAP_NORESERVE, 3, 0);
	ck_assert_int_eq(plan.verdict, VMS_REMOTE);
	ck_assert_uint_eq(plan.args[3], MAP_SHARED | MAP_NORESERVE | MAP_FIXED_NOREPLACE);
	/* What not every file takes is the kernel's to refuse. */
	decide(SYS_mmap, 0, 4096, RW, MAP_SHARED_VALIDATE | MAP_SYNC, 3, 0);
	check_plan("MAP_SYNC", &(struct want)UNKNOWN);
	decide(SYS_mmap, 0, 4096, RW, MAP_SHARED_VALIDATE | UINT64_C(1) << 40, 3, 0);
	check_plan("a flag that nobody knows", &(struct want)UNKNOWN);
}
END_TEST

START_TEST(what_is_no_mapping_is_not_placed)
{
	space.remote_only = true;
	decide(SYS_mmap, 0, 4096, RW, MAP_ANONYMOUS | 7, -1u, 0);
	check_plan("a type that nobody knows", &(struct want)PASS);
	decide(SYS_mmap, FILE_AT, 4096, RW, MAP_FIXED | MAP_ANONYMOUS | MAP_SHARED_VALIDATE, -1u, 0);
	check_plan("a type for files", &(struct want)PASS);
	decide(SYS_mmap, FILE_AT, 4096, RW, MAP_FIXED | MAP_ANONYMOUS | MAP_SHARED_VALIDATE | MAP_HUGETLB, -1u, 0);
	check_plan("which huge pages are", &(struct want)UNKNOWN);
	decide(SYS_mmap, 0, 4096, RW, ANON, -1u, 123);
	check_plan("an unaligned offset", &(struct want)PASS);
	facts.file.known = facts.file.hugetlb = true;
	decide(SYS_mmap, 0, 4096, RW, MAP_SHARED, 3, 0);
	check_plan("a file of huge pages", &(struct want)UNKNOWN);
}
END_TEST

START_TEST(below_something_that_grows_the_kernel_places)
{
	struct vms_vma growing = { .range = { 0x48000000, 0x48001000 }, .prot = RW, .may = VMS_PROT_ALL,
				   .flags = VMS_VMA_GROWSDOWN };

	ck_assert_int_eq(vms_tree_insert(&space.tree, &growing), 0);
	space.remote_only = true;
	decide(SYS_mmap, 0x47000000, PAGES(1), RW, ANON, -1u, 0);
	ck_assert_int_eq(plan.verdict, VMS_CONTINUE);
	decide(SYS_mmap, 0x48100000, PAGES(1), RW, ANON, -1u, 0);
	ck_assert_int_eq(plan.verdict, VMS_REMOTE);
}
END_TEST

START_TEST(outside_the_range_the_file_is_looked_at_first)
{
	struct vms_req req = req_of(SYS_mmap, HI, 4096, RW, MAP_PRIVATE | MAP_FIXED, 3, 0);

	ck_assert_uint_eq(vms_decide_needs(&space, &req), VMS_NEED_FILE);
	facts.file.known = false;
	decide(SYS_mmap, HI, 4096, RW, MAP_PRIVATE | MAP_FIXED, 3, 0);
	check_plan("no file", &(struct want)REFUSED(EBADF));
	facts.file.known = true;
	decide(SYS_mmap, HI, 4096, RW, MAP_PRIVATE | MAP_FIXED, 3, 0);
	check_plan("a file", &(struct want)REFUSED(ENOMEM));
}
END_TEST

START_TEST(a_retry_goes_below_the_rejected_place)
{
	struct vms_req req = req_of(SYS_mmap, 0, 4096, RW, ANON, -1u, 0);

	ck_assert_int_eq(vms_decide(&space, &req, &facts, NULL, 0, 0x50000000, &plan), 0);
	ck_assert_int_eq(plan.verdict, VMS_REMOTE);
	ck_assert_uint_eq(plan.range.end, 0x50000000);
	ck_assert_int_eq(vms_decide(&space, &req, &facts, NULL, 0, LO, &plan), 0);
	check_plan("nothing left", &(struct want)REFUSED(ENOMEM));
}
END_TEST

START_TEST(a_retry_of_a_hint_may_also_go_above_it)
{
	struct vms_req req = req_of(SYS_mmap, LO, PAGES(16), RW, ANON, -1u, 0);

	/* The lowest place of the range was asked for and rejected: all the rest is free. */
	ck_assert_int_eq(vms_decide(&space, &req, &facts, NULL, 0, LO, &plan), 0);
	ck_assert_int_eq(plan.verdict, VMS_REMOTE);
	ck_assert(plan.range.start > LO && plan.range.end <= HI);
}
END_TEST

static struct vms_plan in_flight(vms_addr_t start, vms_addr_t end)
{
	struct vms_plan p = { .verdict = VMS_CONTINUE, .effect = VMS_EFFECT_MAP, .range = { start, end } };

	return p;
}

START_TEST(our_own_choice_stays_clear_of_calls_in_flight)
{
	struct vms_plan other = in_flight(TOP_AT - PAGES(10), TOP_AT);
	const struct vms_plan *const busy[] = { &other };
	struct vms_req req = req_of(SYS_mmap, 0, PAGES(2), RW, ANON, -1u, 0);

	space.remote_only = true;
	ck_assert_int_eq(vms_decide(&space, &req, &facts, busy, 1, 0, &plan), 0);
	ck_assert(!vms_range_overlaps(&plan.range, &other.range));
	ck_assert_uint_eq(plan.range.end, TOP_AT - PAGES(10));
}
END_TEST

START_TEST(a_call_that_may_be_anywhere_does_not_stop_our_choice)
{
	struct vms_plan other = { .verdict = VMS_CONTINUE, .effect = VMS_EFFECT_UNKNOWN };
	const struct vms_plan *const busy[] = { &other };
	struct vms_req req = req_of(SYS_mmap, 0, PAGES(2), RW, ANON, -1u, 0);

	space.remote_only = true;
	ck_assert_int_eq(vms_decide(&space, &req, &facts, busy, 1, 0, &plan), 0);
	ck_assert_int_eq(plan.verdict, VMS_REMOTE);
	ck_assert_uint_eq(plan.range.end, TOP_AT);
}
END_TEST

START_TEST(a_busy_hint_at_the_bottom_of_the_range_leaves_all_that_is_above)
{
	struct vms_plan other = in_flight(LO, LO + PAGES(4));
	const struct vms_plan *const busy[] = { &other };
	struct vms_req req = req_of(SYS_mmap, LO, PAGES(2), RW, ANON, -1u, 0);

	space.remote_only = true;
	ck_assert_int_eq(vms_decide(&space, &req, &facts, busy, 1, 0, &plan), 0);
	ck_assert_msg(plan.verdict == VMS_REMOTE, "errno %d", plan.error);
	ck_assert(!vms_range_overlaps(&plan.range, &other.range));
}
END_TEST

/* ---- MAP_32BIT ---- */

START_TEST(low2g_is_placed_below_2_gib_and_marked)
{
	decide(SYS_mmap, 0, PAGES(2), RW, ANON | MAP_32BIT, -1u, 0);
	/* The kernel would draw the start of its window at random. */
	ck_assert_int_eq(plan.verdict, VMS_REMOTE);
	ck_assert(plan.chosen && plan.certain && plan.low2g);
	ck_assert(plan.vma.flags & VMS_VMA_LOW2G);
	ck_assert(plan.range.start >= 0x40000000 && plan.range.end <= 0x80000000);
}
END_TEST

START_TEST(low2g_with_the_kernels_window_full_goes_below_it)
{
	add(0x40000000, 0x7f000000, RW, 0, 0);
	add(0x7f000000, TOP_AT, PROT_READ, 0, 0);
	decide(SYS_mmap, 0, PAGES(2), RW, ANON | MAP_32BIT, -1u, 0);
	ck_assert_int_eq(plan.verdict, VMS_REMOTE);
	ck_assert_uint_eq(plan.range.end, 0x40000000);
	ck_assert_uint_eq(plan.args[3] & (MAP_32BIT | MAP_FIXED_NOREPLACE), MAP_FIXED_NOREPLACE);
}
END_TEST

START_TEST(low2g_in_a_range_above_2_gib_is_enomem)
{
	space.range = (struct vms_range){ 0x200000000, 0x400000000 };
	space.ceiling = space.range.end;
	decide(SYS_mmap, 0, PAGES(2), RW, ANON | MAP_32BIT, -1u, 0);
	check_plan("low2g", &(struct want)REFUSED(ENOMEM));
}
END_TEST

START_TEST(low2g_with_map_fixed_is_an_ordinary_fixed_mapping)
{
	decide(SYS_mmap, FILE_AT, PAGES(2), RW, ANON | MAP_32BIT | MAP_FIXED, -1u, 0);
	check_plan("fixed", &(struct want)CONT(MAP, FILE_AT, FILE_AT + PAGES(2)));
	ck_assert(!(plan.vma.flags & VMS_VMA_LOW2G));
}
END_TEST

START_TEST(low2g_beside_a_busy_one_finds_the_next_place_in_the_window)
{
	struct vms_plan other = in_flight(0x40000000, 0x40004000);
	const struct vms_plan *const busy[] = { &other };
	struct vms_req req = req_of(SYS_mmap, 0, PAGES(2), RW, ANON | MAP_32BIT, -1u, 0);

	space.range.start = 0x40000000;
	space.remote_only = true;
	ck_assert_int_eq(vms_decide(&space, &req, &facts, busy, 1, 0, &plan), 0);
	ck_assert_msg(plan.verdict == VMS_REMOTE, "errno %d", plan.error);
	ck_assert(!vms_range_overlaps(&plan.range, &other.range));
}
END_TEST

START_TEST(a_rejected_low2g_place_leaves_the_window_above_it)
{
	struct vms_req req = req_of(SYS_mmap, 0, PAGES(2), RW, ANON | MAP_32BIT, -1u, 0);

	space.range.start = 0x40000000;
	ck_assert_int_eq(vms_decide(&space, &req, &facts, NULL, 0, 0x40000000, &plan), 0);
	ck_assert_msg(plan.verdict == VMS_REMOTE, "errno %d", plan.error);
	ck_assert(plan.range.start > 0x40000000);
}
END_TEST

/* ---- what a new mapping is ---- */

START_TEST(the_new_mapping_has_the_attributes_that_were_asked_for)
{
	decide(SYS_mmap, 0, PAGES(1), PROT_READ, ANON | MAP_NORESERVE, -1u, 0);
	ck_assert_uint_eq(plan.vma.flags, VMS_VMA_NORESERVE);
	ck_assert_uint_eq(plan.vma.prot, PROT_READ);
	ck_assert_uint_eq(plan.vma.kind, VMS_KIND_ANON);
	ck_assert_uint_eq(plan.vma.offset, 0);
	decide(SYS_mmap, 0, PAGES(1), RW, MAP_SHARED | MAP_ANONYMOUS, -1u, 0);
	ck_assert_uint_eq(plan.vma.flags, VMS_VMA_SHARED);
	decide(SYS_mmap, 0, PAGES(1), RW, MAP_SHARED_VALIDATE, 3, PAGES(9));
	ck_assert_uint_eq(plan.vma.flags, VMS_VMA_SHARED);
	ck_assert_uint_eq(plan.vma.kind, VMS_KIND_FILE);
	ck_assert_uint_eq(plan.vma.offset, PAGES(9));
	decide(SYS_mmap, 0, PAGES(1), RW, ANON | MAP_GROWSDOWN, -1u, 0);
	ck_assert_uint_eq(plan.vma.flags, VMS_VMA_GROWSDOWN);
	/* An offset means nothing for anonymous memory. */
	decide(SYS_mmap, 0, PAGES(1), RW, ANON, -1u, PAGES(5));
	ck_assert_uint_eq(plan.vma.offset, 0);
}
END_TEST

START_TEST(a_shared_mapping_of_a_read_only_file_may_never_be_written)
{
	facts.file.may = VMS_PROT_READ | VMS_PROT_EXEC;
	decide(SYS_mmap, 0, PAGES(1), PROT_READ, MAP_SHARED, 3, 0);
	ck_assert_uint_eq(plan.vma.may, VMS_PROT_READ | VMS_PROT_EXEC);
	decide(SYS_mmap, 0, PAGES(1), PROT_READ, MAP_PRIVATE, 3, 0);
	ck_assert_uint_eq(plan.vma.may, VMS_PROT_ALL);
	facts.file.known = false;
	decide(SYS_mmap, 0, PAGES(1), PROT_READ, MAP_SHARED, 3, 0);
	ck_assert_uint_eq(plan.vma.may, VMS_PROT_ALL);
}
END_TEST

START_TEST(facts_are_asked_for_only_where_they_matter)
{
	struct vms_req req = req_of(SYS_mmap, 0, 4096, RW, ANON, -1u, 0);

	ck_assert_uint_eq(vms_decide_needs(&space, &req), 0);
	req = req_of(SYS_mmap, 0, 4096, RW, MAP_PRIVATE, 3, 0);
	ck_assert_uint_eq(vms_decide_needs(&space, &req), 0);
	req = req_of(SYS_mmap, 0, 4096, RW, MAP_SHARED, 3, 0);
	ck_assert_uint_eq(vms_decide_needs(&space, &req), VMS_NEED_FILE);
	req = req_of(SYS_mmap, 0, 2 << 20, RW, MAP_PRIVATE, 3, 0);
	ck_assert_uint_eq(vms_decide_needs(&space, &req), VMS_NEED_FILE);
	req = req_of(SYS_shmat, 1, 0, 0, 0, 0, 0);
	ck_assert_uint_eq(vms_decide_needs(&space, &req), VMS_NEED_SHM);
	req = req_of(SYS_munmap, FILE_AT, 4096, 0, 0, 0, 0);
	ck_assert_uint_eq(vms_decide_needs(&space, &req), 0);
	/* What we place must suit the file. */
	space.remote_only = true;
	req = req_of(SYS_mmap, 0, 4096, RW, MAP_PRIVATE, 3, 0);
	ck_assert_uint_eq(vms_decide_needs(&space, &req), VMS_NEED_FILE);
	req = req_of(SYS_mmap, FILE_AT, 4096, RW, MAP_PRIVATE | MAP_FIXED, 3, 0);
	ck_assert_uint_eq(vms_decide_needs(&space, &req), 0);
}
END_TEST

/* ---- no confinement, no memory ---- */

START_TEST(without_confinement_every_user_address_is_in_range)
{
	space.confined = false;
	space.range = space.user;
	decide(SYS_mmap, 0x700000000000, 4096, RW, ANON | MAP_FIXED, -1u, 0);
	check_plan("fixed", &(struct want)CONT(MAP, 0x700000000000, 0x700000001000));
	decide(SYS_munmap, 0, USER_END, 0, 0, 0, 0);
	check_plan("munmap", &(struct want)CONT(UNMAP, 0, USER_END));
}
END_TEST

START_TEST(an_unknown_ceiling_or_another_layout_is_never_certain)
{
	space.confined = false;
	space.range = space.user;
	space.ceiling = 0;
	decide(SYS_mmap, 0, 4096, RW, ANON, -1u, 0);
	ck_assert_int_eq(plan.verdict, VMS_CONTINUE);
	ck_assert(!plan.certain);
	space.legacy_layout = true;
	decide(SYS_mmap, 0, 4096, RW, ANON, -1u, 0);
	ck_assert(plan.verdict == VMS_REMOTE || !plan.certain);
}
END_TEST

static void *no_memory(size_t size)
{
	(void)size;
	return NULL;
}

START_TEST(without_memory_for_settling_nothing_is_decided)
{
	struct vms_req req = req_of(SYS_munmap, FILE_AT, 4096, 0, 0, 0, 0);

	space.tree.alloc = no_memory;
	plan.error = 77;
	ck_assert_int_eq(vms_decide(&space, &req, &facts, NULL, 0, 0, &plan), -ENOMEM);
	ck_assert_int_eq(plan.error, 77);
	/* What changes nothing needs none. */
	req = req_of(SYS_munmap, FILE_AT, 0, 0, 0, 0, 0);
	ck_assert_int_eq(vms_decide(&space, &req, &facts, NULL, 0, 0, &plan), 0);
}
END_TEST

START_TEST(every_trapped_call_has_a_decision)
{
	for (int i = 0; i < VMS_NR_CALLS; i++) {
		const struct vms_call_info *info = vms_call_get((enum vms_call)i);

		decide(info->nr, 0, 0, 0, 0, 0, 0);
		ck_assert_msg(plan.verdict != VMS_REFUSE || plan.error > 0, "%s", info->name);
		ck_assert_msg(plan.error != 999, "%s", info->name);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("decide");
	TCase *tc = tcase_create("decide");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, mmap_goes_where_its_rule_says, 0, NR_ROWS(mmap_rows));
	tcase_add_loop_test(tc, munmap_keeps_to_the_range, 0, NR_ROWS(munmap_rows));
	tcase_add_loop_test(tc, mprotect_keeps_to_the_range, 0, NR_ROWS(mprotect_rows));
	tcase_add_test(tc, mprotect_of_what_lies_before_a_hole_is_the_kernels_in_a_sealed_fence);
	tcase_add_test(tc, mprotect_carries_prot_and_a_key_that_was_given);
	tcase_add_loop_test(tc, mremap_does_what_its_flags_say, 0, NR_ROWS(mremap_rows));
	tcase_add_test(tc, a_move_takes_all_attributes_along);
	tcase_add_test(tc, dontunmap_and_old_length_0_keep_the_source);
	tcase_add_test(tc, a_move_that_is_chosen_remotely_becomes_a_fixed_one);
	tcase_add_loop_test(tc, brk_moves_the_frontier_by_whole_pages, 0, NR_ROWS(brk_rows));
	tcase_add_loop_test(tc, a_break_outside_the_range_is_the_kernels_to_refuse, 0, 5);
	tcase_add_loop_test(tc, other_calls_pass_or_are_refused, 0, NR_ROWS(other_rows));
	tcase_add_loop_test(tc, mseal_mincore_and_msync_keep_to_the_range, 0, NR_ROWS(mseal_rows));
	tcase_add_test(tc, a_kernel_without_mseal_seals_nothing);
	tcase_add_test(tc, after_PR_SET_MM_the_break_is_not_known);
	tcase_add_test(tc, a_seal_on_huge_pages_may_fail);
	tcase_add_test(tc, without_confinement_another_layout_is_allowed);
	tcase_add_test(tc, shmat_at_an_address_keeps_to_the_range);
	tcase_add_test(tc, shmat_is_placed_remotely_when_all_is);
	tcase_add_test(tc, a_remote_mmap_names_its_address_and_replaces_nothing);
	tcase_add_test(tc, a_remote_MAP_SHARED_VALIDATE_goes_by_the_name_of_MAP_SHARED);
	tcase_add_test(tc, what_is_no_mapping_is_not_placed);
	tcase_add_test(tc, below_something_that_grows_the_kernel_places);
	tcase_add_test(tc, outside_the_range_the_file_is_looked_at_first);
	tcase_add_test(tc, a_retry_goes_below_the_rejected_place);
	tcase_add_test(tc, a_retry_of_a_hint_may_also_go_above_it);
	tcase_add_test(tc, our_own_choice_stays_clear_of_calls_in_flight);
	tcase_add_test(tc, a_call_that_may_be_anywhere_does_not_stop_our_choice);
	tcase_add_test(tc, a_busy_hint_at_the_bottom_of_the_range_leaves_all_that_is_above);
	tcase_add_test(tc, low2g_is_placed_below_2_gib_and_marked);
	tcase_add_test(tc, low2g_with_the_kernels_window_full_goes_below_it);
	tcase_add_test(tc, low2g_in_a_range_above_2_gib_is_enomem);
	tcase_add_test(tc, low2g_with_map_fixed_is_an_ordinary_fixed_mapping);
	tcase_add_test(tc, low2g_beside_a_busy_one_finds_the_next_place_in_the_window);
	tcase_add_test(tc, a_rejected_low2g_place_leaves_the_window_above_it);
	tcase_add_test(tc, the_new_mapping_has_the_attributes_that_were_asked_for);
	tcase_add_test(tc, a_shared_mapping_of_a_read_only_file_may_never_be_written);
	tcase_add_test(tc, facts_are_asked_for_only_where_they_matter);
	tcase_add_test(tc, without_confinement_every_user_address_is_in_range);
	tcase_add_test(tc, an_unknown_ceiling_or_another_layout_is_never_certain);
	tcase_add_test(tc, without_memory_for_settling_nothing_is_decided);
	tcase_add_test(tc, every_trapped_call_has_a_decision);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
