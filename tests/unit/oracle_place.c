/*
 * Kernel oracle for vms_place_kernel: random mappings are asked of the kernel, and where it puts each must be what the rule
 * said beforehand, whenever the rule claimed to be certain.
 *
 * The program runs itself again: once as it is, and once for each of some ranges, moved and fenced there as `vmsup run` does
 * it, so that the whole address space is the range and nothing else. The inner run keeps a vms_space of itself.
 *
 * usage: oracle_place [SEED]; VMS_SEED and VMS_ITERATIONS in the environment. A seed replays a run as far as the kernel's own
 * randomness lets it. Not built with sanitizers: their shadow lies outside small ranges.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/magic.h>

#include "vmsup/core/place.h"
#include "vmsup/host/machine.h"
#include "vmsup/host/maps.h"
#include "vmsup/host/reloc.h"
#include "vmsup/host/tracee.h"

#ifndef MAP_ABOVE4G
#define MAP_ABOVE4G 0x80
#endif

#define MIB ((vms_addr_t)1 << 20)
#define GIB ((vms_addr_t)1 << 30)
#define MAX_OWN 400
#define MAX_SHOWN 8

static const char *where = "outer";
static uint64_t seed, iteration, rng;
static unsigned int nr_wrong, nr_certain, nr_unsure, nr_failed;

static uint64_t chance(uint64_t n)
{
	uint64_t z;

	rng += 0x9e3779b97f4a7c15u;
	z = rng;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (z ^ (z >> 31)) % n;
}

static void __attribute__((format(printf, 1, 2), noreturn)) die(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "oracle_place: %s, seed %" PRIu64 ", iteration %" PRIu64 ": ", where, seed, iteration);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

/* ---- the inner run ---- */

static struct vms_space space;
static struct vms_range own[MAX_OWN]; /* mappings that may be unmapped again */
static size_t nr_own;
static int memfd, disk;
static bool disk_aligns;
static vms_addr_t disk_size;

static void *pointer(vms_addr_t addr)
{
	return (void *)(uintptr_t)addr;
}

/* What this process looks like now, the fence left out. */
static void read_self(const struct vms_range *range, bool confined)
{
	struct vms_maps maps = VMS_MAPS_INIT;
	struct vms_vma_list list = { 0 };
	char name[64];

	if (vms_maps_open(getpid(), &maps) < 0 || vms_maps_read(&maps, range, &list) < 0 ||
	    vms_maps_read_flags(getpid(), &list) < 0)
		die("cannot read my own maps");
	if (!confined) {
		/* Nothing of the kernel's own lies between the interpreter and the stack but the vdso. */
		for (size_t i = 0; i < list.nr; i++) {
			if (vms_maps_name(&maps, list.items[i].range.start, name, sizeof(name)) == 0 &&
			    strstr(name, "/ld-"))
				space.ceiling = list.items[i].range.end;
		}
	}
	if (vms_space_adopt(&space, range, list.items, list.nr, true) < 0)
		die("out of memory");
	vms_vma_list_done(&list);
	vms_maps_close(&maps);
}

static bool aligns(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && (fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC ||
					 fs.f_type == BTRFS_SUPER_MAGIC);
}

/* Heap and stack as large as they will ever be, so that only the operations below change the map. */
static void settle_down(void)
{
	volatile char deep[256 << 10];
	void *room;

	mallopt(M_MMAP_THRESHOLD, 1 << 30);
	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	room = malloc(8 << 20);
	if (!room)
		die("malloc");
	free(room);
	for (size_t i = 0; i < sizeof(deep); i += 4096)
		deep[i] = 1;
	setvbuf(stdout, NULL, _IONBF, 0);
	setvbuf(stderr, NULL, _IONBF, 0);
}

static vms_addr_t some_length(void)
{
	switch (chance(8)) {
	case 0 ... 2:
		return (1 + chance(40)) * VMS_PAGE_SIZE;
	case 3 ... 4:
		return (1 + chance(6)) * VMS_HUGE_SIZE;
	case 5:
		return (1 + chance(6)) * VMS_HUGE_SIZE + (chance(2) ? VMS_PAGE_SIZE : chance(VMS_HUGE_SIZE));
	case 6:
		return 1 + chance(100000);
	default:
		return (1 + chance(64)) * MIB;
	}
}

static vms_addr_t some_hint(void)
{
	const vms_addr_t size = vms_range_size(&space.range);

	switch (chance(8)) {
	case 0:
		return 1 + chance(VMS_PAGE_SIZE);
	case 1:
		return chance(space.rules.mmap_min_addr + 3 * VMS_PAGE_SIZE);
	case 2:
		return chance(space.user.end);
	case 3 ... 4:
		if (nr_own) {
			const struct vms_range *r = &own[chance(nr_own)];

			return (chance(2) ? r->end : r->start - chance(64) * VMS_PAGE_SIZE) + chance(3) * 100;
		}
		/* fall through */
	default:
		/* The lower part of the range and 64 TiB, where there is nothing, in the unconfined run. */
		return space.range.start + (space.confined ? chance(size) : (chance(1 << 20) << 24));
	}
}

static const char *say_req(const struct vms_place_req *req, int flags)
{
	static char text[256];

	snprintf(text, sizeof(text),
		 "length %" PRIx64 " hint %" PRIx64 " offset %" PRIx64 " flags %x%s%s%s%s%s", req->length, req->hint,
		 req->offset, (unsigned int)flags, req->has_file ? " file" : "", req->thp_file ? " thp" : "",
		 req->shared_anon ? " shared-anon" : "", req->low2g ? " low2g" : "", req->above4g ? " above4g" : "");
	return text;
}

static void wrong(const char *what, const char *request, uint64_t said, uint64_t got)
{
	if (nr_wrong++ < MAX_SHOWN)
		fprintf(stderr,
			"oracle_place: %s, seed %" PRIu64 ", iteration %" PRIu64 ": %s: %s: said %" PRIx64 ", got %" PRIx64 "\n",
			where, seed, iteration, what, request, said, got);
}

/* Compare a prediction with what has come, which is in @got (or is MAP_FAILED). */
static void judge(const char *what, const char *request, int r, bool certain, vms_addr_t said, const void *got)
{
	if (!certain) {
		nr_unsure++;
		return;
	}
	nr_certain++;
	if (got == MAP_FAILED) {
		nr_failed++;
		if (r == 0)
			wrong(what, request, said, 0);
	} else if (r < 0 || said != (uintptr_t)got) {
		wrong(what, request, r < 0 ? 0 : said, (uintptr_t)got);
	}
}

static void op_mmap(void)
{
	struct vms_place_req req = { .length = some_length() };
	struct vms_vma vma = { .may = VMS_PROT_ALL };
	int flags = MAP_NORESERVE, fd = -1, r;
	vms_addr_t said = 0, asked = req.length;
	bool certain = false;
	void *got;

	req.length = vms_page_up(asked);
	if (chance(3) == 0)
		req.hint = some_hint();
	if (chance(6) == 0) {
		flags |= MAP_32BIT;
		req.low2g = true;
	} else if (chance(20) == 0) {
		flags |= MAP_ABOVE4G;
		req.above4g = true;
	}
	flags |= chance(3) ? MAP_PRIVATE : MAP_SHARED;
	switch (chance(5)) {
	case 0:
		fd = memfd;
		break;
	case 1:
		fd = disk;
		req.thp_file = disk_aligns;
		break;
	default:
		flags |= MAP_ANONYMOUS;
		req.shared_anon = (flags & MAP_TYPE) == MAP_SHARED;
		if (!req.shared_anon && chance(40) == 0) {
			flags |= MAP_GROWSDOWN;
			vma.flags |= VMS_VMA_GROWSDOWN;
		}
	}
	if (fd >= 0) {
		req.has_file = true;
		req.offset = chance(2) ? 0 : chance(2000) * VMS_PAGE_SIZE;
	}
	r = vms_place_kernel(&space, &req, &said, &certain);
	got = mmap(pointer(req.hint), asked, PROT_NONE, flags, fd, (off_t)req.offset);
	if (got == MAP_FAILED && errno != ENOMEM)
		die("mmap: %s: %s", say_req(&req, flags), strerror(errno));
	judge("mmap", say_req(&req, flags), r, certain, said, got);
	if (got == MAP_FAILED)
		return;
	/* Each of its own kind, so that the tree never joins what the kernel keeps apart. */
	vma.range = (struct vms_range){ (uintptr_t)got, (uintptr_t)got + req.length };
	if (vms_tree_insert(&space.tree, &vma) < 0)
		die("the tree: something is at %p already", got);
	own[nr_own++] = vma.range;
}

static void op_munmap(void)
{
	size_t i = chance(nr_own);
	struct vms_range cut = own[i];

	/* Mostly all of it; else a part, and the rest is forgotten but stays in the way. */
	if (chance(4) == 0) {
		vms_addr_t pages = vms_range_size(&cut) >> VMS_PAGE_SHIFT, first = chance(pages);

		cut.end = cut.start + ((first + 1 + chance(pages - first)) << VMS_PAGE_SHIFT);
		cut.start += first << VMS_PAGE_SHIFT;
	}
	own[i].end = cut.start;
	if (own[i].end <= own[i].start)
		own[i] = own[--nr_own];
	if (munmap(pointer(cut.start), vms_range_size(&cut)) < 0)
		die("munmap: %s", strerror(errno));
	if (vms_tree_remove(&space.tree, &cut) < 0)
		die("the tree");
}

/* Grow a fresh private anonymous mapping that has no room: the kernel moves it. */
static void op_move(void)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	vms_addr_t length = (1 + chance(20)) * VMS_PAGE_SIZE, grown = vms_page_up(some_length());
	struct vms_place_req req = { .length = length + grown };
	struct vms_vma vma = { .may = VMS_PROT_ALL };
	struct vms_range more;
	vms_addr_t said = 0;
	bool certain = false;
	char request[64];
	void *old, *got;
	int r;

	old = mmap(NULL, length, PROT_READ, flags, -1, 0);
	if (old == MAP_FAILED)
		return;
	vma.range = (struct vms_range){ (uintptr_t)old, (uintptr_t)old + length };
	vma.prot = VMS_PROT_READ;
	if (vms_tree_insert(&space.tree, &vma) < 0)
		die("the tree: something is at %p already", old);
	more = (struct vms_range){ vma.range.end, vma.range.end + grown };
	if (more.end > space.user.end || vms_tree_is_free(&space.tree, &more)) {
		munmap(old, length);
		vms_ignore(vms_tree_remove(&space.tree, &vma.range));
		return;
	}
	r = vms_place_kernel(&space, &req, &said, &certain);
	got = mremap(old, length, req.length, MREMAP_MAYMOVE);
	snprintf(request, sizeof(request), "%" PRIx64 " to %" PRIx64, length, req.length);
	judge("mremap", request, r, certain, said, got);
	if (vms_tree_remove(&space.tree, &vma.range) < 0)
		die("the tree");
	if (got == MAP_FAILED) {
		munmap(old, length);
		return;
	}
	vma.range = (struct vms_range){ (uintptr_t)got, (uintptr_t)got + req.length };
	if (vms_tree_insert(&space.tree, &vma) < 0)
		die("the tree: something is at %p already", got);
	own[nr_own++] = vma.range;
}

static int inner(uint64_t iterations, const struct vms_range *range)
{
	struct vms_machine machine;
	struct vms_range all;

	memfd = memfd_create("oracle", MFD_CLOEXEC);
	disk = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (memfd < 0 || disk < 0)
		die("no files to map: %s", strerror(errno));
	disk_aligns = aligns(disk);
	disk_size = (vms_addr_t)lseek(disk, 0, SEEK_END);
	vms_machine_learn(&machine);
	all = range ? *range : machine.user;
	vms_space_init(&space, &all, &machine.user, &machine.rules);
	space.confined = range != NULL;
	if (range && range->end <= machine.lowest_mmap_base)
		space.ceiling = range->end;
	settle_down();
	read_self(&all, range != NULL);
	vms_ignore(vms_tree_reserve(&space.tree, 4096));
	if (!space.ceiling)
		die("where the kernel's search begins is not known");
	for (iteration = 0; iteration < iterations; iteration++) {
		/* Now emptier, now so full that it fails. */
		size_t target = iteration / 500 % 3 == 2 ? MAX_OWN - 2 : 60;

		if (nr_own && (nr_own >= target || chance(5) < 2))
			op_munmap();
		else if (chance(8) == 0)
			op_move();
		else
			op_mmap();
	}
	printf("oracle_place: %s: %u certain, of these %u without a place; %u not certain; %u wrong\n", where,
	       nr_certain, nr_failed, nr_unsure, nr_wrong);
	/* A rule that is never sure proves nothing. */
	if (nr_certain < iterations / 8)
		die("the rule was certain only %u times", nr_certain);
	return nr_wrong ? 1 : 0;
}

/* ---- the outer run ---- */

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, __WALL) < 0) {
		if (errno != EINTR)
			die("waitpid: %s", strerror(errno));
	}
	return status;
}

static void relocate(pid_t pid, const struct vms_range *range, const struct vms_machine *machine)
{
	const struct vms_reloc_conf conf = {
		.range = *range,
		.image_range = *range,
		.user = machine->user,
		.mmap_min_addr = machine->rules.mmap_min_addr,
		.fence = true,
		.seal = machine->has_mseal,
	};
	struct vms_reloc reloc;
	int r = vms_reloc_begin(&reloc, pid, &conf, 8 * MIB, 1);

	while (r == 0)
		r = vms_reloc_stop(&reloc, wait_for(pid));
	if (r < 0)
		die("%s", reloc.err.text);
	if (vms_reloc_finish(&reloc) < 0)
		die("the inner run is gone");
	vms_reloc_done(&reloc);
}

/* Run this program again as the inner one; inside @range unless that is NULL. True when it was right. */
static bool run_inner(const struct vms_range *range, const struct vms_machine *machine, const char *iterations)
{
	char lo[32] = "0", hi[32] = "0", seed_text[32];
	char *argv[] = { (char *)(uintptr_t) "oracle_place", (char *)(uintptr_t) "--inner", lo, hi, seed_text,
			 (char *)(uintptr_t)iterations, NULL };
	int go[2], status;
	pid_t pid;
	char c;

	if (range) {
		snprintf(lo, sizeof(lo), "0x%" PRIx64, range->start);
		snprintf(hi, sizeof(hi), "0x%" PRIx64, range->end);
	}
	snprintf(seed_text, sizeof(seed_text), "%" PRIu64, seed);
	if (pipe2(go, O_CLOEXEC) < 0)
		die("pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		if (read(go[0], &c, 1) != 1)
			_exit(120);
		execv("/proc/self/exe", argv);
		_exit(121);
	}
	if (range && vms_tracee_seize(pid, PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL) < 0)
		die("cannot seize");
	if (write(go[1], "g", 1) != 1)
		die("pipe: %s", strerror(errno));
	close(go[0]);
	close(go[1]);
	if (range) {
		status = wait_for(pid);
		if (vms_stop_of(status) != VMS_STOP_EXEC)
			die("no exec stop: status %x", (unsigned int)status);
		relocate(pid, range, machine);
	}
	status = wait_for(pid);
	if (!WIFEXITED(status))
		die("the inner run ended with status %x", (unsigned int)status);
	return WEXITSTATUS(status) == 0;
}

int main(int argc, char **argv)
{
	static const struct vms_range ranges[] = {
		{ 0x10000, 0x7fff0000 },       { 0x50000000, 0x90000000 },     { 0x200000000, 0x400000000 },
		{ 0xc0000000, 0x180000000 },   { 64 * GIB, 64 * GIB + 256 * MIB },
	};
	const char *text = argc > 1 ? argv[1] : getenv("VMS_SEED");
	const char *count = getenv("VMS_ITERATIONS");
	struct vms_machine machine;
	bool good = true;

	if (argc == 6 && strcmp(argv[1], "--inner") == 0) {
		struct vms_range range = { strtoull(argv[2], NULL, 0), strtoull(argv[3], NULL, 0) };
		char name[64];

		snprintf(name, sizeof(name), "range %s-%s", argv[2], argv[3]);
		where = range.end ? name : "unconfined";
		seed = strtoull(argv[4], NULL, 0);
		rng = seed;
		return inner(strtoull(argv[5], NULL, 0), range.end ? &range : NULL);
	}
	seed = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL) * 1000003u;
	printf("oracle_place: seed %" PRIu64 "\n", seed);
	fflush(stdout);
	vms_machine_learn(&machine);
	good = run_inner(NULL, &machine, count ? count : "5000");
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		good = run_inner(&ranges[i], &machine, count ? count : "5000") && good;
	return good ? 0 : 1;
}
