/*
 * The check of an unsealed fence; see the header.
 *
 * One handler a call, behind a list of jumps by call number. A seccomp argument has 64 bits, a BPF word 32: addresses are added
 * and compared in halves. Within a handler jumps go to labels, which are forward only.
 *
 * Lengths are not always what the registers say: a mapping of huge pages is as long as its huge pages. The start of such a
 * mapping must be aligned, so only the last, partial huge page of the range matters: a mapping that could be of huge pages (it
 * is not plainly anonymous) and starts at a multiple of their size must not reach into it.
 */
#include "vmsup/trap/fence.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#include <linux/audit.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>

#include "vmsup/core/call.h"

#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif

/* A label; 0, no label, is the next instruction. */
typedef uint8_t label;
#define NEXT 0
#define MAX_LABELS 64
/* The target of what is let through: behind the whole check. */
#define END UINT32_MAX

/* Scratch memory: the end of the range that was checked last. */
#define END_LOW 0
#define END_HIGH 1

struct writer {
	struct sock_filter *code;
	size_t n;
	size_t start; /* of the handler */
	size_t at[MAX_LABELS]; /* where its labels are */
	label nr_labels;
	const struct vms_range *range;
	const struct vms_cookie *cookie;
	bool supervised;
	bool i386; /* the handler is for an i386 call */
};

static uint32_t low(uint64_t value)
{
	return (uint32_t)value;
}

static uint32_t high(uint64_t value)
{
	return (uint32_t)(value >> 32);
}

static void emit(struct writer *w, unsigned int code, uint32_t k, label jt, label jf)
{
	assert(w->n < VMS_FENCE_MAX);
	w->code[w->n++] = (struct sock_filter){ (uint16_t)code, jt, jf, k };
}

static void load(struct writer *w, size_t offset)
{
	emit(w, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/* The halves of an argument; x86 is little-endian. Of an i386 call the upper one means nothing, whatever is in it. */
static void load_low(struct writer *w, unsigned int arg)
{
	load(w, offsetof(struct seccomp_data, args) + 8 * arg);
}

static void load_high(struct writer *w, unsigned int arg)
{
	if (w->i386)
		emit(w, BPF_LD | BPF_IMM, 0, 0, 0);
	else
		load(w, offsetof(struct seccomp_data, args) + 8 * arg + 4);
}

static void jump(struct writer *w, unsigned int op, uint32_t k, label jt, label jf)
{
	emit(w, BPF_JMP | op | BPF_K, k, jt, jf);
}

static void refuse(struct writer *w, int error)
{
	emit(w, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error, 0, 0);
}

static label new_label(struct writer *w)
{
	assert(w->nr_labels + 1 < MAX_LABELS);
	return ++w->nr_labels;
}

static void mark(struct writer *w, label l)
{
	w->at[l] = w->n;
}

static void begin(struct writer *w)
{
	w->start = w->n;
	w->nr_labels = 0;
}

/* Labels become distances. */
static void finish(struct writer *w)
{
	for (size_t i = w->start; i < w->n; i++) {
		struct sock_filter *f = &w->code[i];

		if (BPF_CLASS(f->code) != BPF_JMP || BPF_OP(f->code) == BPF_JA)
			continue;
		assert(!f->jt || (w->at[f->jt] > i && w->at[f->jt] - i - 1 <= UINT8_MAX));
		assert(!f->jf || (w->at[f->jf] > i && w->at[f->jf] - i - 1 <= UINT8_MAX));
		f->jt = f->jt ? (uint8_t)(w->at[f->jt] - i - 1) : 0;
		f->jf = f->jf ? (uint8_t)(w->at[f->jf] - i - 1) : 0;
	}
}

/* The end of a handler: what is let through, and up to two ways of being refused. */
static void end_pass(struct writer *w, label pass)
{
	mark(w, pass);
	emit(w, BPF_JMP | BPF_JA, END, 0, 0);
}

static void end_refuse(struct writer *w, label l, int error)
{
	mark(w, l);
	refuse(w, error);
}

/* To @pass when the sixth argument is the cookie. There is no room for one in an i386 call. */
static void pass_cookie(struct writer *w, label pass)
{
	label no = new_label(w);

	if (w->i386)
		return;
	load_low(w, 5);
	jump(w, BPF_JEQ, low(w->cookie->r9), NEXT, no);
	load_high(w, 5);
	jump(w, BPF_JEQ, high(w->cookie->r9), pass, NEXT);
	mark(w, no);
}

static void pass_zero(struct writer *w, unsigned int arg, label zero)
{
	label no = new_label(w);

	load_low(w, arg);
	jump(w, BPF_JEQ, 0, NEXT, no);
	load_high(w, arg);
	jump(w, BPF_JEQ, 0, zero, NEXT);
	mark(w, no);
}

/* What Linux refuses before all else, or does nothing about. */
static void pass_odd(struct writer *w, unsigned int addr, unsigned int len, label unaligned, label empty)
{
	load_low(w, addr);
	jump(w, BPF_JSET, (uint32_t)VMS_PAGE_SIZE - 1, unaligned, NEXT);
	pass_zero(w, len, empty);
}

static void check_start(struct writer *w, unsigned int addr, label below)
{
	const vms_addr_t start = w->range->start;
	label fine = new_label(w);

	load_high(w, addr);
	jump(w, BPF_JGT, high(start), fine, NEXT);
	jump(w, BPF_JEQ, high(start), NEXT, below);
	load_low(w, addr);
	jump(w, BPF_JGE, low(start), fine, below);
	mark(w, fine);
}

/* To @above when the end in the scratch memory is above @limit. */
static void compare_end(struct writer *w, vms_addr_t limit, label above)
{
	label fine = new_label(w);

	emit(w, BPF_LD | BPF_MEM, END_HIGH, 0, 0);
	jump(w, BPF_JGT, high(limit), above, NEXT);
	jump(w, BPF_JEQ, high(limit), NEXT, fine);
	emit(w, BPF_LD | BPF_MEM, END_LOW, 0, 0);
	jump(w, BPF_JGT, low(limit), above, NEXT);
	mark(w, fine);
}

/* The end of [@addr, @addr + @len), both arguments, goes to the scratch memory. Limits are pages: it need not be rounded up. */
static void check_end(struct writer *w, unsigned int addr, unsigned int len, label above)
{
	const vms_addr_t end = w->range->end;
	label carry = new_label(w), sum = new_label(w);

	/* So that the upper halves do not wrap when they are added: no user address has more than 56 bits. */
	load_high(w, addr);
	jump(w, BPF_JGT, high(end), above, NEXT);
	load_high(w, len);
	jump(w, BPF_JGT, high(end), above, NEXT);

	load_low(w, len);
	emit(w, BPF_MISC | BPF_TAX, 0, 0, 0);
	load_low(w, addr);
	emit(w, BPF_ALU | BPF_ADD | BPF_X, 0, 0, 0);
	emit(w, BPF_ST, END_LOW, 0, 0);
	/* It has wrapped when it is less than what was added. */
	emit(w, BPF_JMP | BPF_JGE | BPF_X, 0, NEXT, carry);
	load_high(w, len);
	jump(w, BPF_JGE, 0, sum, NEXT);
	mark(w, carry);
	load_high(w, len);
	emit(w, BPF_ALU | BPF_ADD | BPF_K, 1, 0, 0);
	mark(w, sum);
	emit(w, BPF_MISC | BPF_TAX, 0, 0, 0);
	load_high(w, addr);
	emit(w, BPF_ALU | BPF_ADD | BPF_X, 0, 0, 0);
	emit(w, BPF_ST, END_HIGH, 0, 0);
	compare_end(w, end, above);
}

/* Goes on when the span is in the range. */
static void check_span(struct writer *w, unsigned int addr, unsigned int len, label unaligned, label empty, label below,
		       label above)
{
	pass_odd(w, addr, len, unaligned, empty);
	check_start(w, addr, below);
	check_end(w, addr, len, above);
}

/* As if the span that was checked last, which starts at argument @addr, were of huge pages. */
static void check_huge(struct writer *w, unsigned int addr, label above)
{
	static const vms_addr_t sizes[] = { (vms_addr_t)2 << 20, (vms_addr_t)1 << 30 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const vms_addr_t last = w->range->end & ~(sizes[i] - 1);
		label fine = new_label(w);

		if (last == w->range->end)
			continue;
		load_low(w, addr);
		jump(w, BPF_JSET, low(sizes[i] - 1), fine, NEXT);
		compare_end(w, last, above);
		mark(w, fine);
	}
}

static void pass_mmap_cookie(struct writer *w, label pass)
{
	label no_cookie = new_label(w);

	if (w->i386)
		return;
	load_high(w, 4);
	jump(w, BPF_JEQ, w->cookie->fd_high, NEXT, no_cookie);
	load_low(w, 3);
	jump(w, BPF_JSET, MAP_ANONYMOUS, NEXT, pass);
	load_low(w, 5);
	jump(w, BPF_JEQ, 0, NEXT, no_cookie);
	load_high(w, 5);
	jump(w, BPF_JEQ, w->cookie->offset_high, pass, NEXT);
	mark(w, no_cookie);
}

static void check_mmap(struct writer *w)
{
	label pass = new_label(w), below = new_label(w), above = new_label(w);

	pass_mmap_cookie(w, pass);
	load_low(w, 3);
	/* MAP_FIXED_NOREPLACE replaces nothing, with MAP_FIXED or without. */
	emit(w, BPF_ALU | BPF_AND | BPF_K, MAP_FIXED | MAP_FIXED_NOREPLACE, 0, 0);
	jump(w, BPF_JEQ, MAP_FIXED, NEXT, pass);
	check_span(w, 0, 1, pass, pass, below, above);
	/* A file may be one of hugetlbfs. */
	load_low(w, 3);
	emit(w, BPF_ALU | BPF_AND | BPF_K, MAP_ANONYMOUS | MAP_HUGETLB, 0, 0);
	jump(w, BPF_JEQ, MAP_ANONYMOUS, pass, NEXT);
	check_huge(w, 0, above);
	end_pass(w, pass);
	end_refuse(w, below, EPERM);
	end_refuse(w, above, ENOMEM);
}

/*
 * Below the range the program has nothing: as under mmap_min_addr there is nothing to remove and nothing wrong. Across its start the
 * supervisor, if there is one, removes the part inside.
 */
static void check_munmap(struct writer *w)
{
	label pass = new_label(w), below = new_label(w), across = new_label(w), above = new_label(w);

	pass_cookie(w, pass);
	pass_odd(w, 0, 1, pass, pass);
	check_end(w, 0, 1, above);
	check_start(w, 0, below);
	emit(w, BPF_JMP | BPF_JA, END, 0, 0);
	mark(w, below);
	compare_end(w, w->range->start, w->supervised ? pass : across);
	refuse(w, 0);
	end_pass(w, pass);
	end_refuse(w, across, EINVAL);
	end_refuse(w, above, EINVAL);
}

static void check_mprotect(struct writer *w)
{
	label pass = new_label(w), outside = new_label(w);

	check_span(w, 0, 1, pass, pass, outside, outside);
	end_pass(w, pass);
	end_refuse(w, outside, ENOMEM);
}

static void check_mremap(struct writer *w)
{
	label pass = new_label(w), target = new_label(w), source_out = new_label(w);
	label below = new_label(w), above = new_label(w);

	pass_cookie(w, pass);
	pass_zero(w, 2, pass);
	/* Without a length it duplicates a shared mapping, which no fence is. */
	check_span(w, 0, 1, pass, target, source_out, source_out);
	mark(w, target);
	load_low(w, 3);
	jump(w, BPF_JSET, MREMAP_FIXED, NEXT, pass);
	check_span(w, 4, 2, pass, pass, below, above);
	check_huge(w, 4, above);
	end_pass(w, pass);
	end_refuse(w, source_out, EFAULT);
	end_refuse(w, below, EPERM);
	end_refuse(w, above, EINVAL);
}

/* A child of fork would lack the pages. */
static void check_madvise(struct writer *w)
{
	label pass = new_label(w), outside = new_label(w);

	load_low(w, 2);
	jump(w, BPF_JEQ, MADV_DONTFORK, NEXT, pass);
	check_span(w, 0, 1, pass, pass, outside, outside);
	end_pass(w, pass);
	end_refuse(w, outside, EPERM);
}

static void check_process_madvise(struct writer *w)
{
	label pass = new_label(w), no = new_label(w);

	load_low(w, 3);
	jump(w, BPF_JEQ, MADV_DONTFORK, no, pass);
	end_pass(w, pass);
	end_refuse(w, no, EINVAL);
}

/* brk(2) would unmap what lies between the break that the kernel was told and the one it is told next. */
static void check_prctl(struct writer *w)
{
	label pass = new_label(w), no = new_label(w);

	load_low(w, 0);
	jump(w, BPF_JEQ, PR_SET_MM, NEXT, pass);
	pass_cookie(w, pass);
	jump(w, BPF_JGE, 0, no, no);
	end_pass(w, pass);
	end_refuse(w, no, EPERM);
}

/* How much is replaced is the size of the segment, which the supervisor asks for. */
static void check_shmat(struct writer *w)
{
	label pass = new_label(w), no = new_label(w);

	load_low(w, 2);
	jump(w, BPF_JSET, SHM_REMAP, w->supervised ? pass : no, pass);
	end_pass(w, pass);
	end_refuse(w, no, EPERM);
}

/* i386: the arguments are in memory. A supervisor reads them, and makes the thread call mmap2 instead. */
static void check_old_mmap(struct writer *w)
{
	if (w->supervised)
		emit(w, BPF_JMP | BPF_JA, END, 0, 0);
	else
		refuse(w, ENOSYS);
}

/* i386: many calls in one; above the number of the call there is a version. */
static void check_ipc(struct writer *w)
{
	label pass = new_label(w), no = new_label(w);

	load_low(w, 0);
	emit(w, BPF_ALU | BPF_AND | BPF_K, 0xffff, 0, 0);
	jump(w, BPF_JEQ, VMS_IPC_SHMAT, NEXT, pass);
	load_low(w, 2);
	jump(w, BPF_JSET, SHM_REMAP, w->supervised ? pass : no, pass);
	end_pass(w, pass);
	end_refuse(w, no, EPERM);
}

static void check_io_uring(struct writer *w)
{
	refuse(w, EPERM);
}

struct check {
	uint32_t nr;
	void (*fn)(struct writer *w);
};

static const struct check checks[] = {
	{ SYS_mmap, check_mmap },
	{ SYS_munmap, check_munmap },
	{ SYS_mprotect, check_mprotect },
	{ SYS_madvise, check_madvise },
	{ SYS_mremap, check_mremap },
	{ SYS_shmat, check_shmat },
	{ SYS_prctl, check_prctl },
	{ SYS_pkey_mprotect, check_mprotect },
	{ SYS_process_madvise, check_process_madvise },
	{ SYS_io_uring_setup, check_io_uring },
	{ SYS_io_uring_enter, check_io_uring },
	{ SYS_io_uring_register, check_io_uring },
};

/* arch/x86/entry/syscalls/syscall_32.tbl */
static const struct check i386_checks[] = {
	{ 90, check_old_mmap },	  { 91, check_munmap },	   { 117, check_ipc },	    { 125, check_mprotect },
	{ 163, check_mremap },	  { 172, check_prctl },	   { 192, check_mmap },	   { 219, check_madvise },  { 380, check_mprotect },
	{ 397, check_shmat },	  { 425, check_io_uring }, { 426, check_io_uring }, { 427, check_io_uring },
	{ 440, check_process_madvise },
};

#define MAX_CHECKS 16

/* The calls of one architecture. Others go on behind it, with the architecture loaded. */
static void write_arch(struct writer *w, uint32_t arch, const struct check *list, size_t n)
{
	size_t to_handler[MAX_CHECKS], other = w->n + 1;

	assert(n <= MAX_CHECKS);
	w->i386 = arch == AUDIT_ARCH_I386;
	emit(w, BPF_JMP | BPF_JEQ | BPF_K, arch, 1, 0);
	emit(w, BPF_JMP | BPF_JA, 0, 0, 0);
	load(w, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < n; i++) {
		emit(w, BPF_JMP | BPF_JEQ | BPF_K, list[i].nr, 0, 1);
		to_handler[i] = w->n;
		emit(w, BPF_JMP | BPF_JA, 0, 0, 0);
	}
	emit(w, BPF_JMP | BPF_JA, END, 0, 0);
	for (size_t i = 0; i < n; i++) {
		w->code[to_handler[i]].k = (uint32_t)(w->n - to_handler[i] - 1);
		begin(w);
		list[i].fn(w);
		finish(w);
	}
	w->code[other].k = (uint32_t)(w->n - other - 1);
}

size_t vms_fence_check(const struct vms_range *range, const struct vms_cookie *cookie, bool supervised,
		       struct sock_filter *code)
{
	struct writer w = { .code = code, .range = range, .cookie = cookie, .supervised = supervised };

	load(&w, offsetof(struct seccomp_data, arch));
	write_arch(&w, AUDIT_ARCH_X86_64, checks, sizeof(checks) / sizeof(checks[0]));
	write_arch(&w, AUDIT_ARCH_I386, i386_checks, sizeof(i386_checks) / sizeof(i386_checks[0]));
	for (size_t i = 0; i < w.n; i++) {
		if (code[i].code == (BPF_JMP | BPF_JA) && code[i].k == END)
			code[i].k = (uint32_t)(w.n - i - 1);
	}
	return w.n;
}
