/* The calls of memdiff on mappings, one function each, and the table of all operations. */
#include "memdiff.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/userfaultfd.h>

#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW (PROT_READ | PROT_WRITE)
#define NR(array) (sizeof(array) / sizeof((array)[0]))
#define ONE_OF(w, array) (array)[below(w, NR(array))]

static const char *const file_names[NR_FILES] = {
	"rw", "ro", "wo", "mem", "mem-ro", "future", "sealed", "secret",
	"zero", "null", "pipe", "dir", "path", "huge", "bad",
};

/* No process has a mapping there, natively or not. */
static const uintptr_t nowhere[] = {
	USER_END, 1UL << 47, (1UL << 47) + PAGE, 1UL << 56, 0xffff800000000000UL, 0xffffffffff600000UL, 0UL - PAGE, 0UL - 1,
};

uintptr_t pick(struct worker *w, size_t *ret_size)
{
	/* Operations near each other in time meet in the same pages. */
	unsigned long hot = (w->seed * 31 + w->index / 128 * 421) % (ARENA_PAGES - 48);
	unsigned int kind = (unsigned int)below(w, 100);
	uintptr_t addr = w->base + (hot + below(w, 32)) * PAGE;
	size_t size = (1 + below(w, 8)) * PAGE;

	if (kind >= 78 && kind < 86) {
		addr = w->base + below(w, ARENA_PAGES) * PAGE;
		size = (1 + below(w, 32)) * PAGE;
		if (addr + size > w->base + ARENA_PAGES * PAGE)
			size = w->base + ARENA_PAGES * PAGE - addr;
	} else if (kind < 90 && kind >= 86) {
		addr = (chance(w, 50) ? w->base : w->base + ARENA_PAGES * PAGE) - 4 * PAGE + below(w, 8) * PAGE;
	} else if (kind < 92 && kind >= 90) {
		addr += below(w, PAGE);
	} else if (kind < 95 && kind >= 92) {
		size += below(w, 2) ? 1 : 0UL - 1;
	} else if (kind == 95) {
		addr = ONE_OF(w, nowhere);
		/* Of it only one page, for what comes next belongs to a fence. */
		if (chance(w, 15) && !shared.maps_page_zero) {
			addr = 0;
			size = PAGE;
		}
	} else if (kind == 96) {
		size = 0;
	} else if (kind == 97) {
		static const size_t huge[] = { USER_END, 1UL << 47, 0UL - PAGE, 0UL - 1, 1UL << 63 };

		size = ONE_OF(w, huge);
	}
	*ret_size = size;
	return addr;
}

unsigned long pick_prot(struct worker *w)
{
	static const unsigned long often[] = { RW, RW, RW, PROT_READ, PROT_NONE, RW | PROT_EXEC, PROT_READ | PROT_EXEC,
					       PROT_WRITE };

	return chance(w, 3) ? below(w, 8) | 8 : ONE_OF(w, often);
}

/* Remember what the kernel placed; print where, or that it is where it must be. */
struct slot *keep(struct worker *w, long addr, size_t size)
{
	struct slot *slot = NULL;

	if (addr < 0 && addr > -4096) {
		say(w, "%s\n", name_of(w, addr));
		return NULL;
	}
	if (in_window(w, (uintptr_t)addr)) {
		say(w, "%s\n", name_of(w, addr));
		return NULL;
	}
	for (int i = 0; i < NR_SLOTS && !slot; i++) {
		if (!w->slots[i].size)
			slot = &w->slots[i];
	}
	if (!slot) {
		slot = &w->slots[below(w, NR_SLOTS)];
		sys(SYS_munmap, slot->addr, slot->size, 0, 0, 0, 0);
	}
	*slot = (struct slot){ (uintptr_t)addr, (size + PAGE - 1) & ~(PAGE - 1) };
	say(w, "S%d%s\n", (int)(slot - w->slots), addr & (long)(PAGE - 1) ? " unaligned" : "");
	return slot;
}

static struct slot *pick_slot(struct worker *w)
{
	unsigned long first = below(w, NR_SLOTS);

	for (int i = 0; i < NR_SLOTS; i++) {
		struct slot *slot = &w->slots[(first + (unsigned long)i) % NR_SLOTS];

		if (slot->size)
			return slot;
	}
	return NULL;
}

static unsigned long mmap_extras(struct worker *w)
{
	static const unsigned long rare[] = {
		MAP_NORESERVE, MAP_NORESERVE, MAP_NORESERVE, MAP_GROWSDOWN, MAP_GROWSDOWN, MAP_STACK,
		MAP_POPULATE, MAP_POPULATE, MAP_LOCKED, MAP_DENYWRITE, MAP_EXECUTABLE, MAP_NONBLOCK | MAP_POPULATE,
		MAP_SYNC, MAP_HUGETLB, MAP_HUGETLB | 21UL << 26, 0x4000000 /* MAP_UNINITIALIZED */, 0x200, 0x800, 0x800000,
		1UL << 40,
	};
	unsigned long flags = 0;

	if (chance(w, 40))
		flags |= ONE_OF(w, rare);
	if (chance(w, 8))
		flags |= ONE_OF(w, rare);
	return flags;
}

static unsigned long mmap_offset(struct worker *w, size_t size)
{
	switch (below(w, 40)) {
	case 0:
		return 123;
	case 1:
		return 0UL - PAGE;
	case 2:
		return (0UL - size) & ~(PAGE - 1);
	case 3:
		return 1UL << 62;
	default:
		return below(w, 3) ? 0 : below(w, 36) * PAGE;
	}
}

static void op_mmap(struct worker *w)
{
	static const unsigned long types[] = { MAP_PRIVATE, MAP_PRIVATE, MAP_PRIVATE, MAP_PRIVATE, MAP_PRIVATE, MAP_PRIVATE,
					       MAP_SHARED, MAP_SHARED, MAP_SHARED, MAP_SHARED, MAP_SHARED_VALIDATE,
					       MAP_DROPPABLE };
	unsigned long flags = chance(w, 1) ? below(w, 16) : ONE_OF(w, types);
	unsigned long prot = pick_prot(w), how = below(w, 20), offset;
	unsigned long file = chance(w, 70) ? below(w, FILE_ZERO + 1) : below(w, NR_FILES);
	size_t size;
	uintptr_t addr = pick(w, &size);
	long fd = -1, got;

	flags |= mmap_extras(w);
	if (chance(w, 60))
		flags |= MAP_ANONYMOUS;
	if (!(flags & MAP_ANONYMOUS) || chance(w, 5))
		fd = w->files[file];
	offset = mmap_offset(w, size);
	if (how < 11) {
		flags |= MAP_FIXED;
	} else if (how < 14) {
		flags |= MAP_FIXED_NOREPLACE;
	} else if (how >= 17) {
		addr = 0;
		if (chance(w, 6))
			size = HUGE_PAGE * (1 + below(w, 2)) + below(w, 2) * 3 * PAGE;
	}
	/* The window of MAP_32BIT is not in every range; nor are arenas always in it, so that a hint would count. */
	if (shared.low2g && chance(w, 20) && how >= 17)
		flags |= MAP_32BIT;
	/* Who gets the last huge page, or the last that may be locked, is a matter of luck. */
	if (!shared.huge || shared.nr_workers > 1) {
		flags &= ~(unsigned long)MAP_HUGETLB;
		fd = file == FILE_HUGE ? -1 : fd;
	}
	if (shared.nr_workers > 1) {
		flags &= ~(unsigned long)MAP_LOCKED;
		fd = file == FILE_SECRET ? -1 : fd;
	}
	if ((flags & MAP_HUGETLB) && (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) && size < USER_END)
		addr = w->base + below(w, 2) * HUGE_PAGE;
	say(w, "%s %#lx prot %lx flags %lx %s %lx = ", name_of(w, (long)addr), size, prot, flags,
	    fd < 0 ? "-" : file_names[file], offset);
	got = sys(SYS_mmap, addr, size, prot, flags, (unsigned long)fd, offset);
	if ((flags & MAP_32BIT) && got > 0 && !in_window(w, (uintptr_t)got))
		say(w, "%s", (uintptr_t)got + size <= 1UL << 31 ? "low " : "HIGH ");
	if (flags & MAP_HUGETLB)
		size = (size + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
	keep(w, got, size);
}

static void op_munmap(struct worker *w)
{
	size_t size;
	uintptr_t addr = pick(w, &size);

	say(w, "%s %#lx = ", name_of(w, (long)addr), size);
	say(w, "%s\n", name_of(w, sys(SYS_munmap, addr, size, 0, 0, 0, 0)));
}

static void op_mprotect(struct worker *w)
{
	size_t size;
	uintptr_t addr = pick(w, &size);
	unsigned long prot = pick_prot(w), key = chance(w, 70) ? 0UL - 1 : below(w, 3);
	bool with_key = chance(w, 15);

	if (chance(w, 3))
		prot |= chance(w, 70) ? PROT_GROWSDOWN : PROT_GROWSUP;
	say(w, "%s %#lx prot %lx key %ld = ", name_of(w, (long)addr), size, prot, with_key ? (long)key : -2);
	say(w, "%s\n", name_of(w, sys(with_key ? SYS_pkey_mprotect : SYS_mprotect, addr, size, prot, key, 0, 0)));
}

static void op_mremap(struct worker *w)
{
	static const unsigned long often[] = { 0, MREMAP_MAYMOVE, MREMAP_MAYMOVE, MREMAP_MAYMOVE | MREMAP_FIXED,
					       MREMAP_MAYMOVE | MREMAP_FIXED, MREMAP_MAYMOVE | MREMAP_DONTUNMAP,
					       MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP };
	unsigned long flags = chance(w, 4) ? below(w, 16) : ONE_OF(w, often);
	size_t old_size, new_size, unused;
	uintptr_t addr = pick(w, &old_size), to = pick(w, &unused);
	long got;

	switch (below(w, 5)) {
	case 0:
		/* Half of all addresses fits natively, and not into a range. */
		new_size = old_size < 1UL << 40 ? old_size / 2 : old_size;
		break;
	case 1:
		new_size = old_size + (1 + below(w, 6)) * PAGE;
		break;
	case 2:
		new_size = unused;
		break;
	default:
		new_size = old_size;
		break;
	}
	if (chance(w, 6))
		old_size = 0;
	if (chance(w, 4))
		to = addr + (below(w, 8) - 4) * PAGE;
	/* What is to go to page 0 is half done natively before that is refused. */
	if (to < 16 * PAGE)
		to = USER_END;
	say(w, "%s %#lx to %s %#lx flags %lx = ", name_of(w, (long)addr), old_size, name_of(w, (long)to), new_size, flags);
	got = sys(SYS_mremap, addr, old_size, new_size, flags, to, 0);
	keep(w, got, new_size);
}

/* What the kernel placed: resized, moved into the arena, cut. */
static void op_slot(struct worker *w)
{
	struct slot *slot = pick_slot(w);
	size_t unused, size;
	uintptr_t to = pick(w, &unused);
	long got;
	int code;

	if (!slot) {
		say(w, "none\n");
		return;
	}
	size = slot->size;
	say(w, "S%d %#lx ", (int)(slot - w->slots), size);
	switch (below(w, 7)) {
	case 0:
		size = size > HUGE_PAGE * 2 ? PAGE : size + (1 + below(w, 40)) * PAGE;
		if (chance(w, 5))
			size += HUGE_PAGE;
		got = sys(SYS_mremap, slot->addr, slot->size, size, MREMAP_MAYMOVE, 0, 0);
		say(w, "resized to %#lx = ", size);
		if (got >= 0) {
			slot->size = 0;
			keep(w, got, size);
		} else {
			say(w, "%s\n", name_of(w, got));
		}
		break;
	case 1:
		to = w->base + below(w, ARENA_PAGES) * PAGE;
		if (size > w->base + ARENA_PAGES * PAGE - to)
			size = PAGE;
		got = sys(SYS_mremap, slot->addr, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to, 0);
		say(w, "moved to %s %#lx = %s\n", name_of(w, (long)to), size, name_of(w, got));
		if (got >= 0) {
			slot->addr += size;
			slot->size -= size;
		}
		break;
	case 2:
		got = sys(SYS_munmap, slot->addr + size - PAGE, PAGE, 0, 0, 0, 0);
		say(w, "last page unmapped = %s\n", name_of(w, got));
		if (got == 0)
			slot->size -= PAGE;
		break;
	case 3:
		/* What lies beside it is another thread's: whether the pages are one mapping again afterwards depends on that. */
		if (shared.nr_workers > 1) {
			say(w, "kept\n");
			break;
		}
		got = sys(SYS_mprotect, slot->addr, PAGE, pick_prot(w), 0, 0, 0);
		say(w, "protected = %s\n", name_of(w, got));
		break;
	case 4:
		got = sys(SYS_munmap, slot->addr, size, 0, 0, 0, 0);
		say(w, "unmapped = %s\n", name_of(w, got));
		if (got == 0)
			slot->size = 0;
		break;
	default:
		got = touch(slot->addr, chance(w, 60), &code);
		say(w, "touched: signal %ld code %d\n", got, code);
		break;
	}
}

static void op_remap_file_pages(struct worker *w)
{
	size_t size;
	uintptr_t addr = pick(w, &size);
	unsigned long prot = chance(w, 90) ? 0 : pick_prot(w), at = below(w, 20), flags = chance(w, 90) ? 0 : MAP_NONBLOCK;

	say(w, "%s %#lx prot %lx at %lu flags %lx = ", name_of(w, (long)addr), size, prot, at, flags);
	say(w, "%s\n", name_of(w, sys(SYS_remap_file_pages, addr, size, prot, at, flags, 0)));
}

static void op_shmat(struct worker *w)
{
	static const size_t pages[NR_SEGMENTS] = { 1, 5, 16 };
	unsigned long which = below(w, NR_SEGMENTS), flags = 0;
	size_t size;
	uintptr_t addr = pick(w, &size);
	long id = chance(w, 4) ? -1 : w->segments[which];

	flags |= chance(w, 40) ? SHM_REMAP : 0;
	flags |= chance(w, 25) ? SHM_RDONLY : 0;
	flags |= chance(w, 15) ? SHM_EXEC : 0;
	flags |= chance(w, 30) ? SHM_RND : 0;
	if (chance(w, 30))
		addr = 0;
	say(w, "%ld to %s flags %lx = ", id < 0 ? -1 : (long)which, name_of(w, (long)addr), flags);
	keep(w, sys(SYS_shmat, (unsigned long)id, addr, flags, 0, 0, 0), pages[which] * PAGE);
}

static void op_shmdt(struct worker *w)
{
	struct slot *slot = chance(w, 50) ? pick_slot(w) : NULL;
	size_t size;
	uintptr_t addr = slot ? slot->addr : pick(w, &size);
	long got;

	/* The kernel looks on above the address for what is left of a segment, and may find another thread's. */
	if (slot && shared.nr_workers > 1) {
		say(w, "-\n");
		return;
	}
	say(w, "%s = ", name_of(w, (long)addr));
	got = sys(SYS_shmdt, addr, 0, 0, 0, 0, 0);
	say(w, "%s\n", name_of(w, got));
	if (slot && got == 0)
		slot->size = 0;
}

static void op_io_setup(struct worker *w)
{
	unsigned long *context = &w->aio[below(w, NR_AIO)];
	long got;

	if (chance(w, 5)) {
		say(w, "bad = %s\n", name_of(w, sys(SYS_io_setup, 0, (unsigned long)context, 0, 0, 0, 0)));
		return;
	}
	if (*context) {
		got = sys(SYS_io_destroy, *context, 0, 0, 0, 0, 0);
		*context = 0;
	} else {
		got = sys(SYS_io_setup, 1 + below(w, 40), (unsigned long)context, 0, 0, 0, 0);
		if (got == 0 && in_window(w, *context))
			say(w, "inside ");
	}
	say(w, "= %s\n", name_of(w, got));
}

static void op_mseal(struct worker *w)
{
	size_t size;
	uintptr_t addr = pick(w, &size);
	unsigned long flags = chance(w, 5);

	/* For ever: seldom, and little. */
	if (size > PAGE && size < USER_END)
		size = PAGE;
	say(w, "%s %#lx flags %lx = %s\n", name_of(w, (long)addr), size, flags,
	    name_of(w, sys(SYS_mseal, addr, size, flags, 0, 0, 0)));
}

/* madvise goes on behind a hole: a length that is too long would reach the libraries. */
static uintptr_t pick_near(struct worker *w, size_t *ret_size)
{
	uintptr_t addr = pick(w, ret_size);

	if (*ret_size >= USER_END && addr + *ret_size > addr)
		*ret_size = 0UL - PAGE;
	return addr;
}

static void op_madvise(struct worker *w)
{
	/* Without those whose effect depends on the machine's memory, or harms it. */
	static const int advices[] = { MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED, MADV_DONTNEED,
				       MADV_DONTNEED, MADV_REMOVE, MADV_DONTFORK, MADV_DONTFORK, MADV_DOFORK, MADV_DOFORK,
				       MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_DONTDUMP, MADV_DODUMP, MADV_WIPEONFORK,
				       MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_MERGEABLE, MADV_UNMERGEABLE, MADV_COLD,
				       22 /* POPULATE_READ */, 23 /* POPULATE_WRITE */, 24 /* DONTNEED_LOCKED */,
				       MADV_GUARD_INSTALL, MADV_GUARD_INSTALL, MADV_GUARD_REMOVE, 99 };
	size_t size;
	uintptr_t addr = pick_near(w, &size);
	int advice = ONE_OF(w, advices);

	say(w, "%s %#lx advice %d = ", name_of(w, (long)addr), size, advice);
	say(w, "%s\n", name_of(w, sys(SYS_madvise, addr, size, (unsigned long)advice, 0, 0, 0)));
}

static void op_mlock(struct worker *w)
{
	size_t size;
	uintptr_t addr = pick(w, &size);
	unsigned long flags = chance(w, 80) ? chance(w, 50) : 4;
	long nr;

	switch (below(w, 5)) {
	case 0:
		nr = SYS_mlock;
		break;
	case 1:
		nr = SYS_mlock2;
		break;
	default:
		nr = SYS_munlock;
		break;
	}
	say(w, "%ld %s %#lx %lx = ", nr, name_of(w, (long)addr), size, flags);
	say(w, "%s\n", name_of(w, sys(nr, addr, size, flags, 0, 0, 0)));
}

static void op_msync(struct worker *w)
{
	static const unsigned long often[] = { MS_ASYNC, MS_INVALIDATE, MS_ASYNC | MS_INVALIDATE, MS_ASYNC | MS_SYNC, 8, 0 };
	size_t size;
	uintptr_t addr = pick(w, &size);
	unsigned long flags = ONE_OF(w, often);

	say(w, "%s %#lx flags %lx = ", name_of(w, (long)addr), size, flags);
	say(w, "%s\n", name_of(w, sys(SYS_msync, addr, size, flags, 0, 0, 0)));
}

static void op_mincore(struct worker *w)
{
	static __thread unsigned char bytes[64];
	size_t size;
	uintptr_t addr = pick(w, &size);

	if (size > sizeof(bytes) * PAGE && size < USER_END)
		size = PAGE;
	say(w, "%s %#lx = ", name_of(w, (long)addr), size);
	say(w, "%s\n", name_of(w, sys(SYS_mincore, addr, size, (unsigned long)bytes, 0, 0, 0)));
}

static void op_fill(struct worker *w)
{
	char text[40] = { 0 };
	size_t size;
	uintptr_t addr = pick(w, &size);
	struct iovec from = { text, sizeof(text) }, to = { (void *)addr, sizeof(text) };
	ssize_t n = 0;

	if (size > 32 * PAGE)
		size = PAGE;
	for (size_t at = 0; at < size && n >= 0; at += PAGE) {
		snprintf(text, sizeof(text), "%lu %lu", w->index, at);
		to.iov_base = (void *)(addr + at);
		n = process_vm_writev(getpid(), &from, 1, &to, 1, 0);
	}
	say(w, "%s %#lx = %s\n", name_of(w, (long)addr), size, name_of(w, n < 0 ? -errno : n));
}

static void op_touch(struct worker *w)
{
	size_t size;
	uintptr_t addr = pick(w, &size);
	bool write = chance(w, 60);
	int code, sig;

	/* What lies outside of a range is a fence, and so there, but not to be accessed. */
	if (!in_window(w, addr))
		addr = w->base;
	sig = touch(addr, write, &code);
	say(w, "%s write %d = signal %d code %d\n", name_of(w, (long)addr), write, sig, code);
}

static void op_truncate(struct worker *w)
{
	static const enum file of[] = { FILE_RW, FILE_MEM, FILE_MEM, FILE_SEALED, FILE_FUTURE_SEALED };
	enum file file = ONE_OF(w, of);
	unsigned long size = below(w, 34) * PAGE + (chance(w, 30) ? below(w, PAGE) : 0);
	long got;

	got = sys(SYS_ftruncate, (unsigned long)w->files[file], size, 0, 0, 0, 0);
	say(w, "%s %#lx = %s\n", file_names[file], size, name_of(w, got));
}

static void op_prctl(struct worker *w)
{
	size_t size;
	uintptr_t addr = pick_near(w, &size);
	unsigned int map_size = 0;
	long got;

	if (chance(w, 30)) {
		got = sys(SYS_prctl, PR_SET_MM, PR_SET_MM_MAP_SIZE, (unsigned long)&map_size, 0, 0, 0);
		say(w, "map size = %s %u\n", name_of(w, got), map_size);
		return;
	}
	say(w, "name %s %#lx = ", name_of(w, (long)addr), size);
	say(w, "%s\n", name_of(w, sys(SYS_prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME, addr, size, (unsigned long)"memdiff", 0)));
}

static void op_mbind(struct worker *w)
{
	static const unsigned long modes[] = { 0, 1, 3, 4, 77 };
	unsigned long mode = ONE_OF(w, modes), nodes = 1;
	size_t size;
	uintptr_t addr = pick(w, &size);

	say(w, "%s %#lx mode %lu = ", name_of(w, (long)addr), size, mode);
	say(w, "%s\n", name_of(w, sys(SYS_mbind, addr, size, mode, mode ? (unsigned long)&nodes : 0, mode ? 2 : 0, 0)));
}

/* Registered and let go of at once: nobody would serve the faults. */
static void op_userfaultfd(struct worker *w)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	size_t size;
	uintptr_t addr = pick(w, &size);
	long fd = sys(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY, 0, 0, 0, 0, 0), got = -1;

	say(w, "%s %#lx = ", name_of(w, (long)addr), size);
	if (fd < 0) {
		say(w, "%s\n", name_of(w, fd));
		return;
	}
	reg.range.start = addr;
	reg.range.len = size;
	got = sys(SYS_ioctl, (unsigned long)fd, UFFDIO_API, (unsigned long)&api, 0, 0, 0);
	if (got == 0)
		got = sys(SYS_ioctl, (unsigned long)fd, UFFDIO_REGISTER, (unsigned long)&reg, 0, 0, 0);
	close((int)fd);
	say(w, "%s\n", name_of(w, got));
}

const struct operation operations[] = {
	{ "mmap", 250, false, op_mmap },
	{ "munmap", 60, false, op_munmap },
	{ "mprotect", 90, false, op_mprotect },
	{ "mremap", 110, false, op_mremap },
	{ "slot", 60, false, op_slot },
	{ "remap_file_pages", 15, false, op_remap_file_pages },
	{ "shmat", 30, false, op_shmat },
	{ "shmdt", 15, false, op_shmdt },
	{ "io_setup", 10, false, op_io_setup },
	{ "mseal", 3, false, op_mseal },
	{ "madvise", 60, false, op_madvise },
	{ "mlock", 25, true, op_mlock },
	{ "msync", 6, false, op_msync },
	{ "mincore", 8, false, op_mincore },
	{ "fill", 60, false, op_fill },
	{ "touch", 60, false, op_touch },
	{ "ftruncate", 12, false, op_truncate },
	{ "prctl", 8, false, op_prctl },
	{ "mbind", 8, false, op_mbind },
	/* A child of another thread would inherit the descriptor, and with it the registration. */
	{ "userfaultfd", 5, true, op_userfaultfd },
	{ "brk", 50, true, op_brk },
	{ "heap-hole", 20, true, op_heap_hole },
	{ "RLIMIT_AS", 4, true, op_limit_as },
	{ "RLIMIT_DATA", 5, true, op_limit_data },
	{ "RLIMIT_STACK", 4, true, op_limit_stack },
	{ "prlimit64", 3, true, op_limit_child },
	{ "exec", 2, true, op_exec },
	{ "RLIMIT_MEMLOCK", 4, true, op_limit_memlock },
	{ "mlockall", 3, true, op_mlockall },
	{ "munlockall", 3, true, op_munlockall },
	{ "fork", 6, false, op_fork },
	{ "vm-share", 4, true, op_share },
	{ "personality", 2, true, op_personality },
	{ "image", 4, true, op_image },
};
const size_t nr_operations = NR(operations);
