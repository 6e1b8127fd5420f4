/*
 * Property test of vms_tree: random operations are done to the tree and to a plain array of pages,
 * and after every one of them the two are compared in full. Allocation fails now and then, and then
 * nothing may have changed.
 *
 * usage: prop_tree [SEED]; VMS_SEED and VMS_ITERATIONS in the environment. A seed replays a run.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmsup/core/tree.h"

#define NR_PAGES 160
#define GUARD_PAGES 3
#define PAGES(n) ((vms_addr_t)(n) << VMS_PAGE_SHIFT)

struct page {
	bool mapped;
	struct vms_vma vma; /* of this page alone: range not used, offset of the page */
};

struct model {
	struct page page[NR_PAGES];
};

static uint64_t seed, iteration, rng;
static vms_addr_t base; /* address of page 0 of the model */
static const char *what = "start";

/* ---- chance ---- */

static uint64_t chance(uint64_t n)
{
	uint64_t z;

	rng += 0x9e3779b97f4a7c15u;
	z = rng;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (z ^ (z >> 31)) % n;
}

static void __attribute__((format(printf, 1, 2), noreturn)) fail(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "prop_tree: seed %" PRIu64 ", iteration %" PRIu64 ", %s: ", seed, iteration,
		what);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

#define EXPECT(cond)                                                                               \
	do {                                                                                       \
		if (!(cond))                                                                       \
			fail("%s:%d: %s", __FILE__, __LINE__, #cond);                              \
	} while (0)

/* ---- failing memory ---- */

static uint64_t allocs_left = UINT64_MAX; /* the one after these fails, and all that follow */
static uint64_t nr_refused;

static void *failing_alloc(size_t size)
{
	if (!allocs_left) {
		nr_refused++;
		return NULL;
	}
	allocs_left--;
	return malloc(size);
}

/* ---- the model ---- */

static size_t page_of(vms_addr_t addr)
{
	return (size_t)((addr - base) >> VMS_PAGE_SHIFT);
}

static bool has_file(const struct vms_vma *v)
{
	return v->dev || v->ino;
}

static bool same_attr(const struct vms_vma *a, const struct vms_vma *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->flags == b->flags && a->prot == b->prot &&
	       a->may == b->may && a->kind == b->kind && a->pkey == b->pkey;
}

/* Page @i goes on where page @i - 1 ends, in one VMA. */
static bool model_joined(const struct model *m, size_t i)
{
	const struct page *a, *b;

	if (!i || !m->page[i].mapped || !m->page[i - 1].mapped)
		return false;
	a = &m->page[i - 1];
	b = &m->page[i];
	return same_attr(&a->vma, &b->vma) &&
	       b->vma.offset == a->vma.offset + (has_file(&b->vma) ? VMS_PAGE_SIZE : 0);
}

static bool model_commit(const struct vms_vma *v)
{
	if (v->flags & VMS_VMA_NORESERVE || !v->prot)
		return false;
	if (v->flags & VMS_VMA_SHARED)
		return v->kind == VMS_KIND_ANON || v->kind == VMS_KIND_SHM || !has_file(v);
	return v->prot & VMS_PROT_WRITE;
}

static void model_set(struct model *m, const struct vms_vma *vma)
{
	size_t i, first = page_of(vma->range.start), end = page_of(vma->range.end);

	for (i = first; i < end; i++) {
		m->page[i].mapped = true;
		m->page[i].vma = *vma;
		if (has_file(vma))
			m->page[i].vma.offset = vma->offset + PAGES(i - first);
	}
}

static void model_clear(struct model *m, const struct vms_range *r)
{
	size_t i;

	for (i = page_of(r->start); i < page_of(r->end); i++)
		m->page[i].mapped = false;
}

static bool model_any(const struct model *m, const struct vms_range *r, bool mapped)
{
	size_t i;

	for (i = page_of(r->start); i < page_of(r->end); i++)
		if (m->page[i].mapped == mapped)
			return true;
	return false;
}

/* A page that the search may hand out: free, and not in the guard of the next VMA above. */
static bool model_usable(const struct model *m, size_t page)
{
	size_t i;

	if (m->page[page].mapped)
		return false;
	for (i = page; i < NR_PAGES && i <= page + GUARD_PAGES; i++)
		if (m->page[i].mapped)
			return !(m->page[i].vma.flags & VMS_VMA_GROWSDOWN);
	return true;
}

/* The start of the lowest or highest @length usable pages in [low, high), by trying all; or -1. */
static long model_gap(const struct model *m, size_t low, size_t high, size_t length, bool bottom_up)
{
	long found = -1;
	size_t i, run = 0;

	for (i = low; i < high; i++) {
		run = model_usable(m, i) ? run + 1 : 0;
		if (run >= length) {
			found = (long)(i + 1 - length);
			if (bottom_up)
				break;
		}
	}
	return found;
}

/* ---- comparing ---- */

static void compare(const struct vms_tree *tree, const struct model *m)
{
	const struct vms_vma *vma = vms_tree_first(tree), *prev = NULL;
	vms_addr_t va = 0, commit = 0;
	size_t i, count = 0;

	EXPECT(vms_tree_is_sound(tree));
	for (i = 0; i < NR_PAGES; i++) {
		vms_addr_t at = base + PAGES(i);
		const struct page *p = &m->page[i];

		if (vma && vma->range.end == at) {
			prev = vma;
			vma = vms_tree_next(vma);
			EXPECT(!vma || vms_tree_prev(vma) == prev);
		}
		EXPECT(p->mapped == (vma && vms_range_has(&vma->range, at)));
		EXPECT(vms_tree_find(tree, at) == (p->mapped ? vma : NULL));
		EXPECT(vms_tree_find_from(tree, at) == vma);
		EXPECT(vms_tree_find_below(tree, at) ==
		       (vma && vma->range.start < at ? vma : prev));
		if (!p->mapped)
			continue;
		EXPECT(same_attr(vma, &p->vma));
		EXPECT(p->vma.offset == vma->offset + (has_file(vma) ? at - vma->range.start : 0));
		EXPECT((vma->range.start == at) == !model_joined(m, i));
		count += vma->range.start == at;
		va += VMS_PAGE_SIZE;
		commit += model_commit(&p->vma) ? VMS_PAGE_SIZE : 0;
	}
	EXPECT(!vma || !vms_tree_next(vma));
	EXPECT(vms_tree_last(tree) == (vma ? vma : prev));
	EXPECT(tree->count == count);
	EXPECT(tree->va == va);
	EXPECT(tree->commit == commit);
}

/* ---- random arguments ---- */

/* The last page of the model stays free, so that its end can be the end of the address space. */
static struct vms_range random_range(void)
{
	size_t start = chance(NR_PAGES - 1), left = NR_PAGES - 1 - start, n;

	n = 1 + chance(chance(4) ? (left < 12 ? left : 12) : left);
	return (struct vms_range){ base + PAGES(start), base + PAGES(start + n) };
}

/* Few different values, so that neighbours often can be one. */
static struct vms_vma random_vma(struct vms_range range)
{
	static const uint32_t flags[] = {
		0,
		0,
		0,
		0,
		VMS_VMA_NORESERVE,
		VMS_VMA_SHARED,
		VMS_VMA_GROWSDOWN,
		VMS_VMA_GROWSDOWN,
		VMS_VMA_SHARED | VMS_VMA_NORESERVE,
		VMS_VMA_SEALED,
	};
	struct vms_vma vma = { .range = range, .may = VMS_PROT_ALL };

	vma.flags = flags[chance(sizeof(flags) / sizeof(flags[0]))];
	vma.prot = chance(3) ? VMS_PROT_READ | VMS_PROT_WRITE : (uint8_t)chance(8);
	vma.kind = chance(4) ? VMS_KIND_ANON : (uint8_t)chance(VMS_KIND_FENCE);
	vma.pkey = chance(8) ? 0 : 1;
	if (!chance(16))
		vma.may = VMS_PROT_READ;
	if (chance(2)) {
		vma.dev = 0x801;
		vma.ino = 1 + chance(2);
		/* Mostly offsets that run on from page to page. */
		vma.offset = range.start - base + (chance(4) ? 0 : PAGES(chance(3)));
	}
	return vma;
}

struct change {
	unsigned int how;
	uint32_t value;
};

static void change_vma(struct vms_vma *vma, void *arg)
{
	const struct change *c = arg;

	switch (c->how) {
	case 0:
		vma->prot = (uint8_t)c->value & VMS_PROT_ALL;
		break;
	case 1:
		vma->flags ^= VMS_VMA_GROWSDOWN;
		break;
	case 2:
		vma->flags |= VMS_VMA_SEALED;
		break;
	default:
		vma->pkey = (uint8_t)(c->value & 1);
		/* Range and offset are not the callback's: the tree is to ignore this. */
		vma->range.start = 0;
		vma->offset = 12345;
	}
}

/* ---- operations ---- */

/*
 * How memory behaves in one operation. PLENTY: never fails, so the operation must not. TIGHT: no
 * spare nodes, and one of the next allocations fails. RESERVED: as many spare nodes as the header
 * says are enough, and no allocation succeeds; the operation must not fail.
 */
enum memory { PLENTY, TIGHT, RESERVED };

/* Give the tree up for an equal one without spare nodes. */
static void drop_spare(struct vms_tree *tree)
{
	struct vms_tree fresh;

	vms_tree_init(&fresh, 0);
	fresh.alloc = failing_alloc;
	EXPECT(vms_tree_copy(&fresh, tree) == 0);
	EXPECT(fresh.nr_spare == 0);
	vms_tree_done(tree);
	*tree = fresh;
}

static enum memory memory_begin(struct vms_tree *tree, size_t enough)
{
	enum memory memory = chance(3) ? PLENTY : chance(2) ? TIGHT : RESERVED;

	if (memory == PLENTY)
		return memory;
	drop_spare(tree);
	if (memory == RESERVED) {
		EXPECT(vms_tree_reserve(tree, enough) == 0);
		allocs_left = 0;
	} else {
		allocs_left = chance(3);
	}
	return memory;
}

/* Back to plentiful memory. True when the operation was done and the model is to follow. */
static bool memory_end(enum memory memory, int r)
{
	allocs_left = UINT64_MAX;
	if (r == 0)
		return true;
	EXPECT(r == -ENOMEM);
	EXPECT(memory == TIGHT);
	return false;
}

static void op_insert(struct vms_tree *tree, struct model *m)
{
	struct vms_vma vma = random_vma(random_range());
	bool overlaps = model_any(m, &vma.range, true);
	enum memory memory = memory_begin(tree, 1);
	int r = vms_tree_insert(tree, &vma);

	what = "insert";
	if (overlaps) {
		allocs_left = UINT64_MAX;
		EXPECT(r == -EEXIST);
	} else if (memory_end(memory, r)) {
		model_set(m, &vma);
	}
}

static void op_remove(struct vms_tree *tree, struct model *m)
{
	struct vms_range range = random_range();
	enum memory memory = memory_begin(tree, 1);

	what = "remove";
	if (memory_end(memory, vms_tree_remove(tree, &range)))
		model_clear(m, &range);
}

static void op_replace(struct vms_tree *tree, struct model *m)
{
	struct vms_vma vma = random_vma(random_range());
	enum memory memory = memory_begin(tree, 2);

	what = "replace";
	if (memory_end(memory, vms_tree_replace(tree, &vma)))
		model_set(m, &vma);
}

static void op_change(struct vms_tree *tree, struct model *m)
{
	struct vms_range range = random_range();
	struct change c = { .how = (unsigned int)chance(4), .value = (uint32_t)chance(8) };
	enum memory memory = memory_begin(tree, 2);
	uint64_t offset;
	size_t i;

	what = "change";
	if (!memory_end(memory, vms_tree_change(tree, &range, change_vma, &c)))
		return;
	for (i = page_of(range.start); i < page_of(range.end); i++) {
		offset = m->page[i].vma.offset;
		change_vma(&m->page[i].vma, &c);
		m->page[i].vma.offset = offset;
	}
}

static void op_move(struct vms_tree *tree, struct model *m)
{
	struct vms_range from = random_range();
	size_t n = page_of(base + vms_range_size(&from)), first = page_of(from.start), to, i;
	struct model before = *m;
	enum memory memory;
	int r;

	what = "move";
	to = chance(NR_PAGES - n);
	memory = memory_begin(tree, 4);
	r = vms_tree_move(tree, &from, base + PAGES(to));
	if (to < first + n && first < to + n) {
		allocs_left = UINT64_MAX;
		EXPECT(r == -EINVAL);
		return;
	}
	if (!memory_end(memory, r))
		return;
	for (i = 0; i < n; i++) {
		m->page[first + i].mapped = false;
		m->page[to + i] = before.page[first + i];
	}
}

static void op_find_gap(struct vms_tree *tree, struct model *m)
{
	size_t low = chance(NR_PAGES), high = low + 1 + chance(NR_PAGES - low);
	size_t length = 1 + chance(chance(3) ? 6 : NR_PAGES);
	bool bottom_up = chance(2);
	vms_addr_t addr = 42;
	long page;
	int r;

	what = "find_gap";
	if (!chance(4)) {
		low = 0;
		high = NR_PAGES;
	}
	if (high == NR_PAGES && base + PAGES(NR_PAGES) == 0)
		high--;
	page = model_gap(m, low, high, length, bottom_up);
	r = vms_tree_find_gap(tree, base + PAGES(low), base + PAGES(high), PAGES(length), bottom_up,
			      &addr);
	if (page < 0) {
		EXPECT(r == -ENOMEM);
		EXPECT(addr == 42);
	} else {
		EXPECT(r == 0);
		EXPECT(addr == base + PAGES(page));
	}
}

static void op_ask(struct vms_tree *tree, struct model *m)
{
	struct vms_range range = random_range();

	what = "is_free, is_full";
	EXPECT(vms_tree_is_free(tree, &range) == !model_any(m, &range, true));
	EXPECT(vms_tree_is_full(tree, &range) == !model_any(m, &range, false));
}

static void op_copy(struct vms_tree *dst, struct model *dst_model, const struct vms_tree *src,
		    const struct model *src_model)
{
	enum memory memory = PLENTY;

	what = "copy";
	if (chance(2)) {
		memory = TIGHT;
		drop_spare(dst);
		allocs_left = chance(40);
	}
	if (memory_end(memory, vms_tree_copy(dst, src)))
		*dst_model = *src_model;
	compare(src, src_model);
}

static void one_round(uint64_t nr_ops)
{
	static const vms_addr_t bases[] = { 0, 0x10000, 0x7fff00000000, -PAGES(NR_PAGES) };
	struct vms_tree trees[2];
	struct model models[2];
	uint64_t i;

	base = bases[chance(sizeof(bases) / sizeof(bases[0]))];
	memset(models, 0, sizeof(models));
	for (i = 0; i < 2; i++) {
		vms_tree_init(&trees[i], PAGES(GUARD_PAGES));
		trees[i].alloc = failing_alloc;
	}
	for (i = 0; i < nr_ops; i++, iteration++) {
		size_t which = chance(2);
		struct vms_tree *tree = &trees[which];
		struct model *m = &models[which];

		switch (chance(40)) {
		case 0 ... 9:
			op_insert(tree, m);
			break;
		case 10 ... 15:
			op_remove(tree, m);
			break;
		case 16 ... 19:
			op_replace(tree, m);
			break;
		case 20 ... 25:
			op_change(tree, m);
			break;
		case 26 ... 29:
			op_move(tree, m);
			break;
		case 30 ... 36:
			op_find_gap(tree, m);
			break;
		case 37:
			op_copy(tree, m, &trees[1 - which], &models[1 - which]);
			break;
		default:
			op_ask(tree, m);
		}
		compare(tree, m);
	}
	what = "clear";
	vms_tree_clear(&trees[0]);
	memset(&models[0], 0, sizeof(models[0]));
	compare(&trees[0], &models[0]);
	vms_tree_done(&trees[0]);
	vms_tree_done(&trees[1]);
}

int main(int argc, char **argv)
{
	const char *text = argc > 1 ? argv[1] : getenv("VMS_SEED");
	const char *count = getenv("VMS_ITERATIONS");
	uint64_t iterations = count ? strtoull(count, NULL, 0) : 100000;

	seed = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL) * 1000003u;
	rng = seed;
	printf("prop_tree: seed %" PRIu64 ", %" PRIu64 " iterations\n", seed, iterations);
	fflush(stdout);
	while (iteration < iterations)
		one_round(iterations - iteration < 2000 ? iterations - iteration : 2000);
	printf("prop_tree: %" PRIu64 " allocations refused\n", nr_refused);
	if (iterations >= 10000 && !nr_refused) {
		fprintf(stderr,
			"prop_tree: no allocation was ever refused: the test tests nothing\n");
		return 1;
	}
	return 0;
}
