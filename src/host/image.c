/*
 * A fresh image; see the header.
 *
 * The program may be hostile, and so may its headers. A wrong reading can only break the program itself: the fence is
 * laid over everything that is left outside the range, whatever was read here.
 */
#include "vmsup/host/image.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmsup/host/mem.h"
#include "vmsup/host/tracee.h"

#define MAX_PHDRS 4096
#define MAX_ARG_WORDS ((size_t)4 << 20)
#define FIRST_READ_WORDS ((size_t)1024)

size_t vms_image_word_size(const struct vms_image *image)
{
	return image->arch == VMS_ARCH_I386 ? sizeof(uint32_t) : sizeof(uint64_t);
}

void vms_image_put_words(const struct vms_image *image, size_t at, size_t nr, void *buf)
{
	unsigned char *to = buf;

	for (size_t i = at; i < at + nr; i++) {
		/* Little-endian: the lower half comes first. */
		memcpy(to, &image->words[i], vms_image_word_size(image));
		to += vms_image_word_size(image);
	}
}

static int read_words(pid_t pid, const struct vms_image *image, size_t nr)
{
	uint64_t *words = image->words;
	uint32_t *halves = (uint32_t *)(void *)words;
	int r = vms_mem_read(pid, image->rsp, words, nr * vms_image_word_size(image));

	if (r < 0 || image->arch == VMS_ARCH_X86_64)
		return r;
	/* In place, from the end: what is still to be widened is never overwritten. */
	for (size_t i = nr; i-- > 0;) {
		uint32_t word;

		memcpy(&word, &halves[i], sizeof(word));
		words[i] = word;
	}
	return 0;
}

static const struct vms_vma *vma_at(const struct vms_vma_list *list, vms_addr_t addr)
{
	size_t low = 0, high = list->nr;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (list->items[mid].range.end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low < list->nr && list->items[low].range.start <= addr ? &list->items[low] : NULL;
}

/* Find argv, envp and the auxiliary vector in what has been read; false: more must be read. */
static bool find_vectors(struct vms_image *image, size_t n)
{
	const uint64_t *w = image->words;
	uint64_t argc = n ? w[0] : 0;
	size_t i;

	if (argc >= MAX_ARG_WORDS || n < argc + 2)
		return false;
	image->argv_at = 1;
	image->envp_at = (size_t)argc + 2;
	for (i = image->envp_at; i < n && w[i]; i++)
		;
	image->auxv_at = i + 1;
	for (i = image->auxv_at; i + 1 < n; i += 2) {
		if (w[i] == AT_NULL) {
			image->nr_words = i + 2;
			return true;
		}
	}
	return false;
}

static int read_vectors(pid_t pid, struct vms_image *image, vms_addr_t stack_end)
{
	size_t all = (size_t)(stack_end - image->rsp) / vms_image_word_size(image);

	if (all > MAX_ARG_WORDS)
		all = MAX_ARG_WORDS;
	for (size_t n = FIRST_READ_WORDS;; n *= 8) {
		uint64_t *words;
		int r;

		if (n > all)
			n = all;
		words = reallocarray(image->words, n, sizeof(*words));
		if (!words)
			return -ENOMEM;
		image->words = words;
		r = read_words(pid, image, n);
		if (r < 0)
			return r;
		if (find_vectors(image, n))
			return 0;
		if (n == all)
			return -ENOEXEC;
	}
}

static uint64_t auxv_get(const struct vms_image *image, uint64_t type)
{
	for (size_t i = image->auxv_at; i + 1 < image->nr_words; i += 2) {
		if (image->words[i] == type)
			return image->words[i + 1];
	}
	return 0;
}

/* The pages that the PT_LOADs of @phdrs span, before any bias, and the largest alignment they ask for. */
static bool span_of_loads(const Elf64_Phdr *phdrs, size_t nr, struct vms_image_part *part)
{
	vms_addr_t start = UINT64_MAX, end = 0;

	part->align = VMS_PAGE_SIZE;
	for (size_t i = 0; i < nr; i++) {
		const Elf64_Phdr *p = &phdrs[i];
		vms_addr_t top;

		if (p->p_type != PT_LOAD || !p->p_memsz)
			continue;
		if (__builtin_add_overflow(p->p_vaddr, p->p_memsz, &top))
			return false;
		if (vms_page_down(p->p_vaddr) < start)
			start = vms_page_down(p->p_vaddr);
		if (vms_page_up(top) > end)
			end = vms_page_up(top);
		/* As the kernel: an alignment that is no power of two is ignored. */
		if (p->p_align > part->align && !(p->p_align & (p->p_align - 1)) &&
		    p->p_align <= (1u << 30))
			part->align = p->p_align;
	}
	part->span = (struct vms_range){ start, end };
	return start < end;
}

static Elf64_Phdr widen_phdr(const Elf32_Phdr *p)
{
	return (Elf64_Phdr){ .p_type = p->p_type,   .p_flags = p->p_flags,   .p_offset = p->p_offset,
			     .p_vaddr = p->p_vaddr, .p_paddr = p->p_paddr,   .p_filesz = p->p_filesz,
			     .p_memsz = p->p_memsz, .p_align = p->p_align };
}

static int read_phdrs32(pid_t pid, vms_addr_t addr, size_t nr, Elf64_Phdr *phdrs)
{
	for (size_t i = 0; i < nr; i++) {
		Elf32_Phdr phdr;
		int r = vms_mem_read(pid, addr + i * sizeof(phdr), &phdr, sizeof(phdr));

		if (r < 0)
			return r;
		phdrs[i] = widen_phdr(&phdr);
	}
	return 0;
}

static int read_phdrs(pid_t pid, enum vms_arch arch, vms_addr_t addr, size_t nr, Elf64_Phdr **ret_phdrs)
{
	Elf64_Phdr *phdrs;
	int r;

	if (!nr || nr > MAX_PHDRS)
		return -ENOEXEC;
	phdrs = calloc(nr, sizeof(*phdrs));
	if (!phdrs)
		return -ENOMEM;
	if (arch == VMS_ARCH_I386)
		r = read_phdrs32(pid, addr, nr, phdrs);
	else
		r = vms_mem_read(pid, addr, phdrs, nr * sizeof(*phdrs));
	if (r < 0) {
		free(phdrs);
		return r;
	}
	*ret_phdrs = phdrs;
	return 0;
}

/* A bias is right when the first PT_LOAD is mapped where it then must be. */
static bool is_bias(const struct vms_image *image, vms_addr_t lowest, vms_addr_t bias)
{
	const struct vms_vma *vma = vma_at(&image->vmas, lowest + bias);

	return vma && vma->range.start == lowest + bias;
}

/*
 * How far the program lies from its linked addresses: by PT_PHDR, which may lie (the kernel does not look at it), else by the
 * PT_LOAD that begins the file.
 */
static bool exe_bias(const struct vms_image *image, const Elf64_Phdr *phdrs, size_t nr, vms_addr_t at_phdr,
		     vms_addr_t lowest, vms_addr_t *ret_bias)
{
	bool found = false;

	for (size_t i = 0; i < nr; i++) {
		if (phdrs[i].p_type == PT_PHDR && is_bias(image, lowest, at_phdr - phdrs[i].p_vaddr)) {
			*ret_bias = at_phdr - phdrs[i].p_vaddr;
			return true;
		}
	}
	/* Of several the kernel takes the last (load_elf_binary); the one that fits is the one. */
	for (size_t i = nr; i > 0; i--) {
		const Elf64_Phdr *p = &phdrs[i - 1];

		if (p->p_type != PT_LOAD || p->p_offset != 0)
			continue;
		*ret_bias = vms_page_down(at_phdr) - vms_page_down(p->p_vaddr);
		found = true;
		if (is_bias(image, lowest, *ret_bias))
			break;
	}
	return found;
}

/* fs/binfmt_elf.c load_elf_binary (6.18): code and data as mm_struct has them. */
static void note_segments(const Elf64_Phdr *phdrs, size_t nr, vms_addr_t bias, struct vms_proc_mm *mm)
{
	mm->start_code = UINT64_MAX;
	for (size_t i = 0; i < nr; i++) {
		const vms_addr_t start = phdrs[i].p_vaddr, end = start + phdrs[i].p_filesz;

		if (phdrs[i].p_type != PT_LOAD)
			continue;
		if ((phdrs[i].p_flags & PF_X) && start < mm->start_code)
			mm->start_code = start;
		if ((phdrs[i].p_flags & PF_X) && end > mm->end_code)
			mm->end_code = end;
		if (start > mm->start_data)
			mm->start_data = start;
		if (end > mm->end_data)
			mm->end_data = end;
	}
	mm->start_code += bias;
	mm->end_code += bias;
	mm->start_data += bias;
	mm->end_data += bias;
}

/* The strings lie in one piece: arguments, environment, the name of the file. */
static void note_strings(struct vms_image *image)
{
	const uint64_t *w = image->words;
	vms_addr_t name = auxv_get(image, AT_EXECFN);

	image->mm.start_stack = image->rsp;
	image->mm.arg_start = w[image->argv_at];
	image->mm.env_start = w[image->envp_at] ? w[image->envp_at] : name;
	image->mm.arg_end = image->mm.env_start;
	image->mm.env_end = name;
}

static int read_exe(pid_t pid, struct vms_image *image)
{
	struct vms_image_part *part = &image->parts[VMS_PART_EXE];
	vms_addr_t at_phdr = auxv_get(image, AT_PHDR), bias = 0;
	size_t nr = (size_t)auxv_get(image, AT_PHNUM);
	Elf64_Phdr *phdrs = NULL;
	int r;

	r = read_phdrs(pid, image->arch, at_phdr, nr, &phdrs);
	if (r < 0)
		return r;
	if (!span_of_loads(phdrs, nr, part) || 
	    !exe_bias(image, phdrs, nr, at_phdr, part->span.start, &bias))
		r = -ENOEXEC;
	else
		note_segments(phdrs, nr, bias, &image->mm);
	free(phdrs);
	if (r < 0)
		return r;
	note_strings(image);
	part->span.start += bias;
	part->span.end += bias;
	/* ET_EXEC is loaded where it is linked; a PIE is linked at 0, where nothing is ever loaded. */
	part->fixed = bias == 0;
	return part->span.start < part->span.end ? 0 : -ENOEXEC;
}

/* Where the ELF header at @base says that the program headers are. */
static int find_phdrs(pid_t pid, enum vms_arch arch, vms_addr_t base, vms_addr_t *ret_addr, size_t *ret_nr)
{
	union {
		Elf64_Ehdr e64;
		Elf32_Ehdr e32;
	} ehdr;
	const bool is_64 = arch == VMS_ARCH_X86_64;
	int r = vms_mem_read(pid, base, &ehdr, is_64 ? sizeof(ehdr.e64) : sizeof(ehdr.e32));

	if (r < 0)
		return r;
	if (memcmp(ehdr.e64.e_ident, ELFMAG, SELFMAG) != 0)
		return -ENOEXEC;
	if (is_64 ? ehdr.e64.e_phentsize != sizeof(Elf64_Phdr) : ehdr.e32.e_phentsize != sizeof(Elf32_Phdr))
		return -ENOEXEC;
	*ret_addr = base + (is_64 ? ehdr.e64.e_phoff : ehdr.e32.e_phoff);
	*ret_nr = is_64 ? ehdr.e64.e_phnum : ehdr.e32.e_phnum;
	return 0;
}

static int read_interp(pid_t pid, struct vms_image *image)
{
	struct vms_image_part *part = &image->parts[VMS_PART_INTERP];
	vms_addr_t base = auxv_get(image, AT_BASE), addr;
	Elf64_Phdr *phdrs = NULL;
	size_t nr;
	int r;

	if (!base)
		return 0;
	r = find_phdrs(pid, image->arch, base, &addr, &nr);
	if (r == 0)
		r = read_phdrs(pid, image->arch, addr, nr, &phdrs);
	if (r < 0)
		return r;
	if (!span_of_loads(phdrs, nr, part))
		r = -ENOEXEC;
	free(phdrs);
	part->span.start += base;
	part->span.end += base;
	if (part->span.start >= part->span.end)
		r = -ENOEXEC;
	return r;
}

/* [vdso] and the [vvar] mappings right below it. */
static int read_vdso(struct vms_image *image)
{
	struct vms_image_part *part = &image->parts[VMS_PART_VDSO];
	const struct vms_vma *vma, *first = image->vmas.items;
	char name[32];

	image->vdso = auxv_get(image, AT_SYSINFO_EHDR);
	if (!image->vdso)
		return 0;
	vma = vma_at(&image->vmas, image->vdso);
	if (!vma)
		return -ENOEXEC;
	part->span = vma->range;
	part->align = VMS_PAGE_SIZE;
	while (vma > first && vma[-1].range.end == vma->range.start && !vma[-1].ino) {
		vma--;
		if (vms_maps_name(&image->maps, vma->range.start, name, sizeof(name)) < 0 ||
		    strncmp(name, "[vvar", 5) != 0)
			break;
		part->span.start = vma->range.start;
	}
	return 0;
}

static int read_stack(pid_t pid, struct vms_image *image)
{
	const struct vms_vma *vma = vma_at(&image->vmas, image->rsp);

	if (!vma)
		return -ENOEXEC;
	image->parts[VMS_PART_STACK] =
		(struct vms_image_part){ .span = vma->range, .align = VMS_PAGE_SIZE };
	return read_vectors(pid, image, vma->range.end);
}

int vms_image_read(pid_t pid, const struct user_regs_struct *regs, const struct vms_range *user,
		   struct vms_image *ret_image, struct vms_err *err)
{
	struct vms_image image = { .maps = VMS_MAPS_INIT, .rsp = regs->rsp };
	int r = vms_maps_open(pid, &image.maps);

	if (vms_regs_are_compat(regs))
		image.arch = VMS_ARCH_I386;
	if (r == 0 && image.arch == VMS_ARCH_I386)
		r = vms_proc_personality(pid, &image.persona);
	if (r == 0)
		r = vms_maps_read(&image.maps, user, &image.vmas);
	if (r == 0)
		r = read_stack(pid, &image);
	if (r == 0)
		r = read_exe(pid, &image);
	if (r == 0)
		r = read_interp(pid, &image);
	if (r == 0)
		r = read_vdso(&image);
	if (r < 0) {
		vms_image_done(&image);
		if (r == -EACCES || r == -EPERM)
			return vms_err_set(err, -EACCES,
					   "the program's file may not be read by its user, so its image cannot be moved "
					   "into the range: give read permission or run without --range");
		if (r == -ENOEXEC || r == -EFAULT)
			return vms_err_set(err, -ENOEXEC, "the program's image is not one that can be moved: its ELF headers "
							  "do not describe what the kernel has loaded");
		return vms_err_set(err, r, "the program's image cannot be read: %s", strerror(-r));
	}
	*ret_image = image;
	return 0;
}

void vms_image_done(struct vms_image *image)
{
	vms_vma_list_done(&image->vmas);
	vms_maps_close(&image->maps);
	free(image->words);
	image->words = NULL;
}

enum vms_part vms_image_part_of(const struct vms_image *image, vms_addr_t addr)
{
	/* Backwards: what was mapped later may lie in a gap between the segments of what was mapped before. */
	for (int part = VMS_NR_PARTS - 1; part >= 0; part--) {
		if (vms_range_has(&image->parts[part].span, addr))
			return (enum vms_part)part;
	}
	return VMS_NR_PARTS;
}

enum vms_vma_kind vms_part_kind(enum vms_part part)
{
	static const enum vms_vma_kind kinds[VMS_NR_PARTS] = {
		[VMS_PART_EXE] = VMS_KIND_EXE,
		[VMS_PART_INTERP] = VMS_KIND_INTERP,
		[VMS_PART_STACK] = VMS_KIND_STACK,
		[VMS_PART_VDSO] = VMS_KIND_VDSO,
	};

	return kinds[part];
}
