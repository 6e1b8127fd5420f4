/* What this machine's kernel does; see the header. */
#include "vmsup/host/machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

#define USER_END_47 ((vms_addr_t)0x7ffffffff000)
#define USER_END_56 ((vms_addr_t)0xfffffffffff000)
/* arch/x86/include/asm/page_64_types.h IA32_PAGE_OFFSET */
#define I386_USER_END ((vms_addr_t)0xffffe000)
#define DEFAULT_GUARD_PAGES 256

static vms_addr_t read_number(const char *path, vms_addr_t otherwise)
{
	FILE *file = fopen(path, "re");
	unsigned long long value;

	if (!file)
		return otherwise;
	if (fscanf(file, "%llu", &value) != 1)
		value = otherwise;
	fclose(file);
	return value;
}

/* mm/mmap.c: stack_guard_gap= on the kernel's command line, in pages. */
static vms_addr_t guard_gap(void)
{
	FILE *file = fopen("/proc/cmdline", "re");
	vms_addr_t pages = DEFAULT_GUARD_PAGES;
	char line[4096], *at;

	if (!file)
		return pages * VMS_PAGE_SIZE;
	if (fgets(line, sizeof(line), file) && (at = strstr(line, "stack_guard_gap=")))
		pages = strtoull(at + strlen("stack_guard_gap="), NULL, 10);
	fclose(file);
	return pages * VMS_PAGE_SIZE;
}

static bool has_57_bits(void)
{
	const size_t size = (size_t)VMS_PAGE_SIZE;
	void *want = (void *)(uintptr_t)((vms_addr_t)1 << 48);
	void *got = mmap(want, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (got == MAP_FAILED)
		return false;
	munmap(got, size);
	return got == want;
}

static bool is_huge_aligned(size_t size)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	void *odd[2] = { MAP_FAILED, MAP_FAILED };
	bool aligned = true;

	/* Two natural places in a row, a page and a length apart, cannot both be aligned by chance. */
	for (int i = 0; i < 2 && aligned; i++) {
		void *page = mmap(NULL, (size_t)VMS_PAGE_SIZE, PROT_NONE, flags, -1, 0);
		void *got = mmap(NULL, size, PROT_NONE, flags, -1, 0);

		aligned = got != MAP_FAILED && ((uintptr_t)got & (VMS_HUGE_SIZE - 1)) == 0;
		if (got != MAP_FAILED)
			munmap(got, size);
		/* The odd pages stay to the end, so that the second place differs from the first. */
		odd[i] = page;
	}
	for (int i = 0; i < 2; i++) {
		if (odd[i] != MAP_FAILED)
			munmap(odd[i], (size_t)VMS_PAGE_SIZE);
	}
	return aligned;
}

/* Where a hint in the first page after NULL is raised to. */
static vms_addr_t hint_min(vms_addr_t otherwise)
{
	const size_t size = (size_t)VMS_PAGE_SIZE;
	void *got = mmap((void *)(uintptr_t)VMS_PAGE_SIZE, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	vms_addr_t at = (uintptr_t)got;

	if (got == MAP_FAILED)
		return otherwise;
	munmap(got, size);
	/* Elsewhere altogether: something was in the way. */
	return at < ((vms_addr_t)1 << 20) ? at : otherwise;
}

/* Two equal mappings in a row, aligned both: with or without the slack between them. */
static bool takes_top_of_slack(void)
{
	const size_t size = (size_t)(2 * VMS_HUGE_SIZE);
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	void *upper = mmap(NULL, size, PROT_NONE, flags, -1, 0);
	void *lower = mmap(NULL, size, PROT_NONE, flags, -1, 0);
	bool top = upper != MAP_FAILED && lower != MAP_FAILED &&
		   (uintptr_t)upper - (uintptr_t)lower != size + (size_t)VMS_HUGE_SIZE;

	if (upper != MAP_FAILED)
		munmap(upper, size);
	if (lower != MAP_FAILED)
		munmap(lower, size);
	return top;
}

/* MAP_ABOVE4G cannot be tried, as long as there is room above; fchmodat2 came with the same release. */
static bool is_6_6(void)
{
	return syscall(SYS_fchmodat2, -1, NULL, 0, 0) < 0 && errno != ENOSYS;
}

static vms_addr_t user_end(void)
{
	return has_57_bits() ? USER_END_56 : USER_END_47;
}

static vms_addr_t mmap_min_addr(void)
{
	return (vms_addr_t)read_number("/proc/sys/vm/mmap_min_addr", 65536);
}

void vms_machine_learn(struct vms_machine *ret_machine)
{
	struct vms_machine m = { 0 };

	m.user = (struct vms_range){ 0, user_end() };
	m.rules.mmap_min_addr = mmap_min_addr();
	m.rules.hint_min = hint_min(m.rules.mmap_min_addr);
	m.rules.guard = guard_gap();
	m.rules.thp_anon_any = is_huge_aligned((size_t)(2 * VMS_HUGE_SIZE + VMS_PAGE_SIZE));
	m.rules.thp_anon_multiple = m.rules.thp_anon_any || is_huge_aligned((size_t)(2 * VMS_HUGE_SIZE));
	m.rules.thp_to_top = m.rules.thp_anon_multiple && takes_top_of_slack();
	m.rules.above4g = is_6_6();
	m.rules.never_overcommit = read_number("/proc/sys/vm/overcommit_memory", 0) == 2;
	m.maps_page_zero = personality(0xffffffff) & MMAP_PAGE_ZERO;
	m.legacy_layout = read_number("/proc/sys/vm/legacy_va_layout", 0) != 0 ||
			  (personality(0xffffffff) & ADDR_COMPAT_LAYOUT);
	m.has_mseal = syscall(SYS_mseal, 0, 0, 0) == 0;
	m.rules.seals = m.has_mseal;
	/* arch/x86/mm/mmap.c: the gap below the stack is at most 5/6 of the addresses, the random part 2^28 pages. */
	m.lowest_mmap_base = USER_END_47 / 6 - ((vms_addr_t)1 << 40) - ((vms_addr_t)1 << 36);
	m.i386_user = (struct vms_range){ 0, I386_USER_END };
	m.i386_random = VMS_PAGE_SIZE << read_number("/proc/sys/vm/mmap_rnd_compat_bits", 16);
	*ret_machine = m;
}

struct vms_range vms_machine_addresses(void)
{
	return (struct vms_range){ vms_page_up(mmap_min_addr()), user_end() };
}

/* arch/x86/mm/mmap.c mmap_base (6.18) */
vms_addr_t vms_machine_i386_mmap_base(const struct vms_machine *machine, vms_addr_t stack_limit)
{
	const vms_addr_t min = (vms_addr_t)128 << 20, max = I386_USER_END / 6 * 5;
	const vms_addr_t pad = ((vms_addr_t)8 << 20) + machine->rules.guard;
	vms_addr_t gap = stack_limit > max ? max : stack_limit + pad;

	if (gap > max)
		gap = max;
	if (gap < min)
		gap = min;
	return vms_page_down(I386_USER_END - gap - machine->i386_random);
}
