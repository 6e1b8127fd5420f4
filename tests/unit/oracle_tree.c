/*
 * Kernel oracle for vms_tree: the same random mmap, munmap, mprotect and mremap are done to an
 * arena of this very process and to the tree, and /proc/self/maps must agree with the tree on
 * every page.
 *
 * usage: oracle_tree [SEED]; VMS_SEED and VMS_ITERATIONS in the environment. A seed replays a run.
 * Exit 77 (skipped) when the arena is not free here.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "vmsup/core/tree.h"

/* Far from where the kernel, the C library and the sanitizers put anything of their own accord. */
#define ARENA 0x200000000000u
#define NR_PAGES 128
#define PAGES(n) ((vms_addr_t)(n) << VMS_PAGE_SHIFT)
#define MAX_LINES (NR_PAGES + 1)

static uint64_t seed, iteration, rng;
static char what[256] = "start";
static struct vms_tree tree;

static uint64_t chance(uint64_t n)
{
	uint64_t z;

	rng += 0x9e3779b97f4a7c15u;
	z = rng;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (z ^ (z >> 31)) % n;
}

static void show_maps(void);

static void __attribute__((format(printf, 1, 2), noreturn)) fail(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "oracle_tree: seed %" PRIu64 ", iteration %" PRIu64 ", %s: ", seed,
		iteration, what);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	show_maps();
	exit(1);
}

/* ---- the kernel's side ---- */

/* Read the lines of /proc/self/maps that touch the arena, cut to it. */
static size_t read_arena(struct vms_vma *lines)
{
	const struct vms_range arena = { ARENA, ARENA + PAGES(NR_PAGES) };
	char line[1024], perms[5];
	unsigned int major_nr, minor_nr;
	struct vms_vma vma;
	size_t n = 0;
	FILE *f = fopen("/proc/self/maps", "re");

	if (!f)
		fail("/proc/self/maps: %s", strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		memset(&vma, 0, sizeof(vma));
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64,
			   &vma.range.start, &vma.range.end, perms, &vma.offset, &major_nr,
			   &minor_nr, &vma.ino) != 7)
			fail("cannot read this line of maps: %s", line);
		if (!vms_range_overlaps(&vma.range, &arena))
			continue;
		if (!vms_range_covers(&arena, &vma.range))
			fail("a mapping crosses the border of the arena: %s", line);
		vma.dev = makedev(major_nr, minor_nr);
		vma.prot = (uint8_t)((perms[0] == 'r' ? VMS_PROT_READ : 0) |
				     (perms[1] == 'w' ? VMS_PROT_WRITE : 0) |
				     (perms[2] == 'x' ? VMS_PROT_EXEC : 0));
		vma.flags = perms[3] == 's' ? VMS_VMA_SHARED : 0;
		if (n == MAX_LINES)
			fail("too many mappings in the arena");
		lines[n++] = vma;
	}
	fclose(f);
	return n;
}

static void show_maps(void)
{
	const struct vms_vma *vma;
	char line[1024];
	FILE *f = fopen("/proc/self/maps", "re");

	while (f && fgets(line, sizeof(line), f))
		if (strtoull(line, NULL, 16) - ARENA < PAGES(NR_PAGES))
			fprintf(stderr, "kernel: %s", line);
	if (f)
		fclose(f);
	for (vma = vms_tree_first(&tree); vma; vma = vms_tree_next(vma))
		fprintf(stderr,
			"tree:   %" PRIx64 "-%" PRIx64 " prot %x flags %x offset %" PRIx64
			" dev %" PRIx64 " ino %" PRIu64 "\n",
			vma->range.start, vma->range.end, vma->prot, vma->flags, vma->offset,
			vma->dev, vma->ino);
}

static void compare(void)
{
	struct vms_vma lines[MAX_LINES];
	size_t n = read_arena(lines), i, at = 0;

	if (!vms_tree_is_sound(&tree))
		fail("the tree is not sound");
	for (i = 0; i < NR_PAGES; i++) {
		vms_addr_t page = ARENA + PAGES(i);
		const struct vms_vma *mine = vms_tree_find(&tree, page), *real;

		while (at < n && lines[at].range.end <= page)
			at++;
		real = at < n && lines[at].range.start <= page ? &lines[at] : NULL;
		if (!real != !mine)
			fail("page %zu: mapped in the %s only", i, real ? "kernel" : "tree");
		if (!real)
			continue;
		if (real->prot != mine->prot)
			fail("page %zu: prot %x in the kernel, %x in the tree", i, real->prot,
			     mine->prot);
		if (real->flags != (mine->flags & VMS_VMA_SHARED))
			fail("page %zu: shared differs", i);
		if (real->dev != mine->dev || real->ino != mine->ino)
			fail("page %zu: the file differs", i);
		if (real->ino && real->offset + (page - real->range.start) !=
					 mine->offset + (page - mine->range.start))
			fail("page %zu: the offset differs", i);
	}
}

/* ---- operations on both sides ---- */

static void *pointer(vms_addr_t addr)
{
	return (void *)(uintptr_t)addr;
}

static struct vms_range random_range(void)
{
	size_t start = chance(NR_PAGES), left = NR_PAGES - start;
	size_t n = 1 + chance(chance(4) && left > 10 ? 10 : left);

	return (struct vms_range){ ARENA + PAGES(start), ARENA + PAGES(start + n) };
}

static void must(int r)
{
	if (r < 0)
		fail("the tree: %s", strerror(-r));
}

static void op_mmap(int fd)
{
	struct vms_vma vma = { .range = random_range(), .may = VMS_PROT_ALL };
	struct vms_vma lines[MAX_LINES];
	int flags = MAP_FIXED;
	struct stat st;
	size_t i, n;

	vma.prot = (uint8_t)chance(8);
	if (!chance(4)) {
		vma.flags |= VMS_VMA_SHARED;
		flags |= MAP_SHARED;
	} else {
		flags |= MAP_PRIVATE;
	}
	if (!chance(4)) {
		vma.flags |= VMS_VMA_NORESERVE;
		flags |= MAP_NORESERVE;
	}
	if (chance(2)) {
		if (fstat(fd, &st) < 0)
			fail("fstat: %s", strerror(errno));
		vma.kind = VMS_KIND_FILE;
		vma.dev = st.st_dev;
		vma.ino = st.st_ino;
		/* Mostly offsets that run on from page to page. */
		vma.offset = vma.range.start - ARENA + (chance(4) ? 0 : PAGES(chance(3)));
	} else {
		vma.kind = VMS_KIND_ANON;
		flags |= MAP_ANONYMOUS;
		fd = -1;
		if (!(vma.flags & VMS_VMA_SHARED) && !chance(6)) {
			vma.flags |= VMS_VMA_GROWSDOWN;
			flags |= MAP_GROWSDOWN;
		}
	}
	snprintf(what, sizeof(what),
		 "mmap %" PRIx64 "-%" PRIx64 " prot %x flags %x offset %" PRIx64, vma.range.start,
		 vma.range.end, vma.prot, flags, vma.offset);
	if (mmap(pointer(vma.range.start), vms_range_size(&vma.range), vma.prot, flags, fd,
		 (off_t)vma.offset) != pointer(vma.range.start))
		fail("mmap: %s", strerror(errno));
	if (fd < 0 && (vma.flags & VMS_VMA_SHARED)) {
		/* The kernel made a file for it; only maps tells which. */
		n = read_arena(lines);
		for (i = 0; i < n && lines[i].range.start != vma.range.start; i++)
			;
		if (i == n)
			fail("the new mapping is not in maps");
		vma.dev = lines[i].dev;
		vma.ino = lines[i].ino;
	}
	must(vms_tree_replace(&tree, &vma));
}

static void op_munmap(void)
{
	struct vms_range r = random_range();

	snprintf(what, sizeof(what), "munmap %" PRIx64 "-%" PRIx64, r.start, r.end);
	if (munmap(pointer(r.start), vms_range_size(&r)) < 0)
		fail("munmap: %s", strerror(errno));
	must(vms_tree_remove(&tree, &r));
}

static void set_prot(struct vms_vma *vma, void *arg)
{
	vma->prot = *(uint8_t *)arg;
}

/* mprotect works up to the first hole, and says ENOMEM then. */
static void op_mprotect(void)
{
	struct vms_range r = random_range(), part = r;
	uint8_t prot = (uint8_t)chance(8);
	int want = vms_tree_is_full(&tree, &r) ? 0 : ENOMEM, got;

	snprintf(what, sizeof(what), "mprotect %" PRIx64 "-%" PRIx64 " to %x", r.start, r.end,
		 prot);
	got = mprotect(pointer(r.start), vms_range_size(&r), prot) < 0 ? errno : 0;
	if (got != want)
		fail("mprotect: errno %d, expected %d", got, want);
	while (part.end > part.start && !vms_tree_is_full(&tree, &part))
		part.end -= VMS_PAGE_SIZE;
	if (part.end > part.start)
		must(vms_tree_change(&tree, &part, set_prot, &prot));
}

/* Moves a part of one of the kernel's own VMAs, and perhaps makes it longer or shorter. */
static void op_mremap(void)
{
	struct vms_vma lines[MAX_LINES], moved;
	size_t n = read_arena(lines), pages, from_page, to_page, old_pages, new_pages;
	struct vms_range from, to, cut;

	if (!n)
		return;
	from = lines[chance(n)].range;
	pages = vms_range_size(&from) >> VMS_PAGE_SHIFT;
	from_page = chance(pages);
	old_pages = 1 + chance(pages - from_page);
	from.start += PAGES(from_page);
	from.end = from.start + PAGES(old_pages);
	from_page = (from.start - ARENA) >> VMS_PAGE_SHIFT;
	new_pages = chance(2) ? old_pages : 1 + chance(old_pages + 4);
	if (new_pages >= NR_PAGES)
		return;
	to_page = chance(NR_PAGES - new_pages);
	if (to_page < from_page + old_pages && from_page < to_page + new_pages)
		return;
	to = (struct vms_range){ ARENA + PAGES(to_page), ARENA + PAGES(to_page + new_pages) };
	snprintf(what, sizeof(what), "mremap %" PRIx64 "-%" PRIx64 " to %" PRIx64 "-%" PRIx64,
		 from.start, from.end, to.start, to.end);
	if (mremap(pointer(from.start), PAGES(old_pages), PAGES(new_pages),
		   MREMAP_MAYMOVE | MREMAP_FIXED, pointer(to.start)) != pointer(to.start))
		fail("mremap: %s", strerror(errno));

	moved = *vms_tree_find(&tree, from.start);
	vms_vma_clip(&moved, &from);
	if (new_pages < old_pages) {
		cut = (struct vms_range){ from.start + PAGES(new_pages), from.end };
		must(vms_tree_remove(&tree, &cut));
		from.end = cut.start;
	}
	must(vms_tree_move(&tree, &from, to.start));
	if (new_pages > old_pages) {
		moved.range = to;
		must(vms_tree_replace(&tree, &moved));
	}
}

int main(int argc, char **argv)
{
	const char *text = argc > 1 ? argv[1] : getenv("VMS_SEED");
	const char *count = getenv("VMS_ITERATIONS");
	uint64_t iterations = count ? strtoull(count, NULL, 0) : 10000;
	void *arena;
	int fd;

	seed = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL) * 1000003u;
	rng = seed;
	printf("oracle_tree: seed %" PRIu64 ", %" PRIu64 " iterations\n", seed, iterations);
	fflush(stdout);
	fd = memfd_create("oracle", MFD_CLOEXEC);
	if (fd < 0)
		fail("memfd_create: %s", strerror(errno));
	arena = mmap(pointer(ARENA), PAGES(NR_PAGES), PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (arena != pointer(ARENA)) {
		printf("oracle_tree: the arena at %jx is not free here; skipped\n",
		       (uintmax_t)ARENA);
		return 77;
	}
	if (munmap(arena, PAGES(NR_PAGES)) < 0)
		fail("munmap: %s", strerror(errno));
	vms_tree_init(&tree, PAGES(256));
	for (; iteration < iterations; iteration++) {
		switch (chance(8)) {
		case 0 ... 2:
			op_mmap(fd);
			break;
		case 3:
			op_munmap();
			break;
		case 4 ... 5:
			op_mprotect();
			break;
		default:
			op_mremap();
		}
		compare();
	}
	vms_tree_done(&tree);
	close(fd);
	return 0;
}
