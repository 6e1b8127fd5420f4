/* Relocation; see the header. */
#include "vmsup/host/reloc.h"

#include <asm/unistd.h>
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmsup/core/call.h"
#include "vmsup/host/blob.h"
#include "vmsup/host/mem.h"
#include "vmsup/host/script.h"
#include "vmsup/host/tracee.h"

/* `syscall`, little-endian, as it stands in memory. */
#define SYSCALL_INSN 0x050fu
#define SYSCALL_INSN_SIZE 2
#define INT3_INSN 0xcc

/*
 * Offset of a system call instruction in the vdso. The vdso is the same in every process of one boot, so ours tells.
 * 0: none found.
 */
static vms_addr_t vdso_syscall_offset(void)
{
	static vms_addr_t cached;
	const unsigned char *vdso = (const unsigned char *)getauxval(AT_SYSINFO_EHDR);
	const Elf64_Ehdr *ehdr = (const void *)vdso;
	const Elf64_Phdr *phdr;

	if (cached || !vdso)
		return cached;
	phdr = (const void *)(vdso + ehdr->e_phoff);
	for (int i = 0; i < ehdr->e_phnum; i++) {
		if (phdr[i].p_type != PT_LOAD || !(phdr[i].p_flags & PF_X))
			continue;
		for (size_t at = phdr[i].p_offset + sizeof(*ehdr);
		     at + 1 < phdr[i].p_offset + phdr[i].p_filesz; at++) {
			if (vdso[at] == 0x0f && vdso[at + 1] == 0x05)
				return cached = at;
		}
	}
	return 0;
}

static int fail(struct vms_reloc *reloc, int r, const char *what)
{
	if (r == -ESRCH)
		return r;
	return vms_err_set(&reloc->err, r, "the program could not be moved into the range: %s: %s", what,
			   strerror(-r));
}

vms_addr_t vms_reloc_moved(const struct vms_reloc *reloc, vms_addr_t addr)
{
	enum vms_part part = vms_image_part_of(&reloc->image, addr);

	/* The end of a stack's strings may be the end of the stack. */
	if (part == VMS_NR_PARTS && addr == reloc->image.parts[VMS_PART_STACK].span.end)
		part = VMS_PART_STACK;
	if (part == VMS_NR_PARTS)
		return addr;
	return addr - reloc->image.parts[part].span.start + reloc->new_start[part];
}

/*
 * RLIMIT_AS counts the top gap and is set for the largest there is (sup/limit.c): under a limit it has that size, so that the
 * limit is what it says.
 */
static bool has_limit(pid_t pid)
{
	struct rlimit limit;

	return prlimit(pid, RLIMIT_AS, NULL, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

static int choose_layout(struct vms_reloc *reloc, vms_addr_t stack_limit, uint64_t seed)
{
	const struct vms_image_part *parts = reloc->image.parts;
	struct vms_layout_req req = {
		.range = reloc->conf->image_range,
		.whole = reloc->conf->chosen,
		.stack_limit = stack_limit,
		.randomize = reloc->conf->randomize,
		.seed = seed,
		.whole_top = has_limit(reloc->pid),
	};
	struct vms_layout_part *const to[VMS_NR_PARTS] = {
		[VMS_PART_EXE] = &req.exe,
		[VMS_PART_INTERP] = &req.interp,
		[VMS_PART_STACK] = &req.stack,
		[VMS_PART_VDSO] = &req.vdso,
	};
	int r;

	for (int i = 0; i < VMS_NR_PARTS; i++) {
		to[i]->size = vms_range_size(&parts[i].span);
		to[i]->align = parts[i].align;
		to[i]->fixed = parts[i].fixed ? parts[i].span.start : 0;
	}
	r = vms_layout_make(&req, &reloc->layout, &reloc->err);
	if (r < 0)
		return r;
	reloc->new_start[VMS_PART_EXE] = reloc->layout.exe;
	reloc->new_start[VMS_PART_INTERP] = reloc->layout.interp;
	reloc->new_start[VMS_PART_STACK] = reloc->layout.stack;
	reloc->new_start[VMS_PART_VDSO] = reloc->layout.vdso;
	return 0;
}

static bool is_clear(const struct vms_reloc *reloc, const struct vms_range *range)
{
	for (int i = 0; i < VMS_NR_PARTS; i++) {
		struct vms_range to = { reloc->new_start[i],
					reloc->new_start[i] + vms_range_size(&reloc->image.parts[i].span) };

		if (vms_range_overlaps(&to, range))
			return false;
	}
	for (size_t i = 0; i < reloc->image.vmas.nr; i++) {
		if (vms_range_overlaps(&reloc->image.vmas.items[i].range, range))
			return false;
	}
	return true;
}

/* Between the heap's start and the interpreter there is always air; the fence never comes there. */
static int choose_scratch(struct vms_reloc *reloc)
{
	vms_addr_t size = vms_script_size(reloc), at;

	for (at = reloc->layout.interp - size; at >= reloc->layout.brk; at -= size) {
		if (is_clear(reloc, &(struct vms_range){ at, at + size })) {
			reloc->scratch = at;
			reloc->scratch_size = size;
			return 0;
		}
	}
	return vms_err_set(&reloc->err, -ENOMEM, "the range is too small to move the program into: choose a larger --range");
}

static int write_words(const struct vms_reloc *reloc)
{
	const struct vms_image *image = &reloc->image;
	const size_t size = image->nr_words * vms_image_word_size(image);
	void *buf = malloc(size);
	int r;

	if (!buf)
		return -ENOMEM;
	vms_image_put_words(image, 0, image->nr_words, buf);
	r = vms_mem_write(reloc->pid, image->rsp, buf, size);
	free(buf);
	return r;
}

/* argv, envp and the addresses in the auxiliary vector; written before the stack moves. */
static int rewrite_stack(struct vms_reloc *reloc)
{
	struct vms_image *image = &reloc->image;
	uint64_t *w = image->words;

	for (size_t i = image->argv_at; i < image->auxv_at; i++) {
		if (w[i])
			w[i] = vms_reloc_moved(reloc, w[i]);
	}
	for (size_t i = image->auxv_at; i + 1 < image->nr_words; i += 2) {
		switch (w[i]) {
		case AT_PHDR:
		case AT_ENTRY:
		case AT_BASE:
		case AT_SYSINFO: /* i386: the vdso's system call */
		case AT_SYSINFO_EHDR:
		case AT_EXECFN:
		case AT_RANDOM:
		case AT_PLATFORM:
		case AT_BASE_PLATFORM:
			if (w[i + 1])
				w[i + 1] = vms_reloc_moved(reloc, w[i + 1]);
			break;
		default:
			break;
		}
	}
	return write_words(reloc);
}

/* Where there is none, a system call instruction is put into the program's code for a while. */
static int poke_syscall(struct vms_reloc *reloc, vms_addr_t addr)
{
	/* A word that does not cross into another page. */
	const vms_addr_t at = addr & ~(vms_addr_t)(sizeof(long) - 1);
	int r = vms_tracee_peek(reloc->pid, at, &reloc->poked);

	if (r == 0)
		r = vms_tracee_poke(reloc->pid, at,
				    (long)(((unsigned long)reloc->poked & ~0xfffful) | SYSCALL_INSN));
	if (r < 0)
		return r;
	reloc->has_poked = true;
	reloc->syscall_ip = at;
	return 0;
}

static int find_syscall(struct vms_reloc *reloc)
{
	const bool has_vdso64 = reloc->image.vdso && reloc->image.arch == VMS_ARCH_X86_64;
	vms_addr_t offset = has_vdso64 ? vdso_syscall_offset() : 0;

	if (!offset && poke_syscall(reloc, reloc->regs.rip) == 0)
		return 0;
	/* An entry point that is nowhere: the program shall die of it, not of us. */
	if (!offset)
		return poke_syscall(reloc, reloc->image.vdso ? reloc->image.vdso : reloc->regs.rip);
	reloc->syscall_ip = reloc->image.vdso + offset;
	return 0;
}

int vms_reloc_check_i386(const struct vms_reloc_conf *conf, uint64_t persona, struct vms_err *err)
{
	if (!(persona & ADDR_LIMIT_3GB) || conf->range.end <= conf->end_3g)
		return 0;
	return vms_err_set(err, -ENOEXEC,
			   "it is a 32-bit (i386) program that has 3 GiB of addresses (setarch --3gb), and the range "
			   "0x%llx-0x%llx goes beyond: choose a --range that ends at 0x%llx or below",
			   (unsigned long long)conf->chosen.start, (unsigned long long)conf->chosen.end,
			   (unsigned long long)conf->end_3g);
}

int vms_reloc_begin(struct vms_reloc *reloc, pid_t pid, const struct vms_reloc_conf *conf,
		    vms_addr_t stack_limit, uint64_t seed)
{
	int r;

	*reloc = (struct vms_reloc){ .pid = pid, .conf = conf, .image = { .maps = VMS_MAPS_INIT } };
	r = vms_tracee_get_regs(pid, &reloc->regs);
	if (r < 0)
		return fail(reloc, r, "reading its registers");
	if (vms_regs_are_compat(&reloc->regs)) {
		if (!conf->i386)
			return vms_err_set(&reloc->err, -ENOEXEC,
					   "the program is a 32-bit (i386) one, for which the range 0x%llx-0x%llx has no place: "
					   "choose a --range below 4 GiB",
					   (unsigned long long)conf->chosen.start, (unsigned long long)conf->chosen.end);
		reloc->conf = conf = conf->i386;
	}
	r = vms_image_read(pid, &reloc->regs, &conf->user, &reloc->image, &reloc->err);
	if (r < 0)
		return r;
	if (reloc->image.arch == VMS_ARCH_I386)
		r = vms_reloc_check_i386(conf, reloc->image.persona, &reloc->err);
	if (r == 0)
		r = choose_layout(reloc, stack_limit, seed);
	if (r == 0)
		r = choose_scratch(reloc);
	if (r < 0)
		return r;
	r = find_syscall(reloc);
	if (r < 0)
		return fail(reloc, r, "finding a system call instruction");
	r = rewrite_stack(reloc);
	if (r < 0)
		return fail(reloc, r, "writing its stack");
	r = vms_tracee_get_sigmask(pid, &reloc->sigmask);
	if (r == 0)
		/* Blocked, a SIGTRAP that somebody has sent would swallow that of a step. */
		r = vms_tracee_set_sigmask(pid, ~(UINT64_C(1) << (SIGTRAP - 1)));
	/* A register set at the exec stop would be overwritten by execve's own result: step out first. */
	if (r == 0)
		r = vms_tracee_resume(pid, VMS_RESUME_STEP, 0);
	if (r < 0)
		return fail(reloc, r, "stepping out of execve");
	return 0;
}

static int run_call(struct vms_reloc *reloc, int nr, const uint64_t call_args[6])
{
	struct user_regs_struct regs = reloc->regs;
	uint64_t args[6];
	int r;

	memcpy(args, call_args, sizeof(args));
	vms_cookie_mark(&reloc->conf->cookie, nr, args);
	vms_regs_set_64(&regs);
	vms_regs_set_call(&regs, VMS_ARCH_X86_64, reloc->syscall_ip, nr, args);
	r = vms_tracee_set_regs(reloc->pid, &regs);
	return r < 0 ? r : vms_tracee_resume(reloc->pid, VMS_RESUME_STEP, 0);
}

static int map_scratch(struct vms_reloc *reloc)
{
	const uint64_t args[6] = { reloc->scratch, reloc->scratch_size, PROT_READ | PROT_EXEC,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, (uint32_t)-1, 0 };
	/* The registers as execve left them: the program starts with these. */
	int r = vms_tracee_get_regs(reloc->pid, &reloc->regs);

	if (r < 0)
		return fail(reloc, r, "reading its registers");
	reloc->stage = VMS_RELOC_MAP;
	r = run_call(reloc, __NR_mmap, args);
	return r < 0 ? fail(reloc, r, "mapping a scratch page") : 0;
}

static int start_blob(struct vms_reloc *reloc)
{
	struct user_regs_struct regs;
	struct vms_script script;
	int r = vms_tracee_get_regs(reloc->pid, &regs);

	if (r < 0)
		return fail(reloc, r, "reading its registers");
	if (regs.rax != reloc->scratch)
		return fail(reloc, (int64_t)regs.rax < 0 ? (int)(int64_t)regs.rax : -EFAULT,
			    "mapping a scratch page");
	r = vms_script_build(reloc, &script);
	if (r < 0)
		return fail(reloc, r, "planning the moves");
	r = vms_mem_write_forced(reloc->pid, reloc->scratch, script.bytes, script.size);
	regs = reloc->regs;
	vms_regs_set_64(&regs);
	regs.rip = reloc->scratch;
	regs.rbx = reloc->scratch + script.table_at;
	regs.orig_rax = (uint64_t)-1;
	vms_script_done(&script);
	if (r == 0)
		r = vms_tracee_set_regs(reloc->pid, &regs);
	reloc->stage = VMS_RELOC_BLOB;
	if (r == 0)
		r = vms_tracee_resume(reloc->pid, VMS_RESUME_CONT, 0);
	return r < 0 ? fail(reloc, r, "writing the scratch page") : 0;
}

/* The blob has stopped: at its end, or at a call that failed. */
static int unmap_scratch(struct vms_reloc *reloc)
{
	const uint64_t args[6] = { reloc->scratch, reloc->scratch_size };
	struct user_regs_struct regs;
	struct vms_blob_call call;
	int r = vms_tracee_get_regs(reloc->pid, &regs);

	if (r == 0)
		r = vms_mem_read(reloc->pid, regs.rbx, &call, sizeof(call));
	if (r < 0)
		return fail(reloc, r, "reading the result of the moves");
	if (call.nr != VMS_BLOB_END) {
		enum vms_call known = vms_call_by_nr(VMS_ARCH_X86_64, call.nr);

		return fail(reloc, (int)(int64_t)regs.rax,
			    known < VMS_NR_CALLS ? vms_call_get(known)->name : "a call");
	}
	reloc->syscall_ip = vms_reloc_moved(reloc, reloc->syscall_ip);
	reloc->stage = VMS_RELOC_UNMAP;
	r = run_call(reloc, __NR_munmap, args);
	return r < 0 ? fail(reloc, r, "unmapping the scratch page") : 0;
}

/* True when [start, end) is nothing but fence. */
static bool is_fenced(const struct vms_reloc *reloc, const struct vms_vma_list *list, vms_addr_t start, vms_addr_t end)
{
	vms_addr_t at = start;

	for (size_t i = 0; i < list->nr && at < end; i++) {
		const struct vms_vma *vma = &list->items[i];

		if (vma->range.end <= at)
			continue;
		if (vma->range.start > at || vma->prot || vma->ino ||
		    (reloc->conf->seal && !(vma->flags & VMS_VMA_SEALED)))
			return false;
		at = vma->range.end;
	}
	return at >= end;
}

static bool is_unmapped(const struct vms_vma_list *list, const struct vms_range *range)
{
	for (size_t i = 0; i < list->nr; i++) {
		if (vms_range_overlaps(&list->items[i].range, range))
			return false;
	}
	return true;
}

/* Is the fence there, and is nothing of ours left? The injected calls have said so; here the kernel says it. */
static int verify(struct vms_reloc *reloc)
{
	const struct vms_reloc_conf *conf = reloc->conf;
	const struct vms_range scratch = { reloc->scratch, reloc->scratch + reloc->scratch_size };
	const struct vms_range all = { 0, conf->user.end };
	/* Below mmap_min_addr it may have failed: a program that has dropped its privileges cannot map there. */
	const vms_addr_t low = conf->fence_start ? vms_page_up(conf->mmap_min_addr) : 0;
	struct vms_vma_list list = { 0 };
	int r = vms_maps_read(&reloc->image.maps, &all, &list);

	if (r == 0)
		r = vms_maps_read_flags(reloc->pid, &list);
	if (r == 0 && conf->fence &&
	    (!is_fenced(reloc, &list, low, conf->range.start) ||
	     !is_fenced(reloc, &list, conf->range.end, conf->user.end)))
		r = -EPERM;
	for (size_t i = 0; r == 0 && i < conf->nr_walls; i++) {
		const vms_addr_t end = vms_addr_min(conf->walls[i].end, conf->range.end);

		if (!is_fenced(reloc, &list, conf->walls[i].start, end))
			r = -EPERM;
	}
	if (r == 0 && !is_unmapped(&list, &scratch))
		r = -EPERM;
	vms_vma_list_done(&list);
	return r;
}

static int complete(struct vms_reloc *reloc)
{
	int r = reloc->conf->verify ? verify(reloc) : 0;

	if (r < 0)
		return fail(reloc, r, "the fence is not what it should be, perhaps because of a seccomp filter of the program's own");
	if (reloc->has_poked)
		r = vms_tracee_poke(reloc->pid, reloc->syscall_ip, reloc->poked);
	reloc->regs.rip = vms_reloc_moved(reloc, reloc->regs.rip);
	reloc->regs.rsp = vms_reloc_moved(reloc, reloc->regs.rsp);
	reloc->regs.orig_rax = (uint64_t)-1;
	if (r == 0)
		r = vms_tracee_set_regs(reloc->pid, &reloc->regs);
	if (r == 0)
		r = vms_tracee_set_sigmask(reloc->pid, reloc->sigmask);
	if (r < 0)
		return fail(reloc, r, "setting its registers");
	reloc->stage = VMS_RELOC_DONE;
	return 1;
}

static int advance(struct vms_reloc *reloc)
{
	switch (reloc->stage) {
	case VMS_RELOC_STEP_OUT:
		return map_scratch(reloc);
	case VMS_RELOC_MAP:
		return start_blob(reloc);
	case VMS_RELOC_BLOB:
		return unmap_scratch(reloc);
	case VMS_RELOC_UNMAP:
		return complete(reloc);
	case VMS_RELOC_DONE:
		break;
	}
	return -EPROTO;
}

/*
 * A SIGTRAP that somebody sent to the thread swallows that of a step or of int3: a signal is pending once. The kernel raises a
 * step's before it looks for others, so the first after the step out of execve always stands for both.
 */
static bool has_arrived(const struct vms_reloc *reloc)
{
	struct user_regs_struct regs;
	uint8_t before;

	if (reloc->stage == VMS_RELOC_STEP_OUT)
		return true;
	if (vms_tracee_get_regs(reloc->pid, &regs) < 0)
		return false;
	if (reloc->stage == VMS_RELOC_BLOB)
		return vms_mem_read(reloc->pid, regs.rip - 1, &before, 1) == 0 && before == INT3_INSN;
	return regs.rip == reloc->syscall_ip + SYSCALL_INSN_SIZE;
}

int vms_reloc_stop(struct vms_reloc *reloc, int status)
{
	enum vms_resume how = reloc->stage == VMS_RELOC_BLOB ? VMS_RESUME_CONT : VMS_RESUME_STEP;

	switch (vms_stop_of(status)) {
	case VMS_STOP_GONE:
		return -ESRCH;
	case VMS_STOP_SIGNAL:
		if (WSTOPSIG(status) == SIGTRAP && vms_tracee_signal_is_sent(reloc->pid)) {
			reloc->owes_trap = true;
			if (!has_arrived(reloc))
				return vms_tracee_resume(reloc->pid, how, 0);
		}
		if (WSTOPSIG(status) == SIGTRAP)
			return advance(reloc);
		if (WSTOPSIG(status) != SIGSTOP)
			return fail(reloc, -EFAULT, "a fault in the injected code");
		return vms_tracee_resume(reloc->pid, how, SIGSTOP);
	case VMS_STOP_GROUP:
		return vms_tracee_resume(reloc->pid, VMS_RESUME_LISTEN, 0);
	default:
		return vms_tracee_resume(reloc->pid, how, 0);
	}
}

int vms_reloc_finish(struct vms_reloc *reloc)
{
	if (reloc->owes_trap)
		vms_ignore((int)syscall(__NR_tgkill, reloc->pid, reloc->pid, SIGTRAP));
	return vms_tracee_detach(reloc->pid, 0);
}

void vms_reloc_done(struct vms_reloc *reloc)
{
	vms_image_done(&reloc->image);
}
