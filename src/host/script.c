/* The script of a relocation; see the header. */
#include "vmsup/host/script.h"

#include <asm/unistd.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>

#include <linux/prctl.h>

#include "vmsup/host/blob.h"

#ifndef __NR_mseal
#define __NR_mseal 462
#endif

/* Calls that are not moves: prctl, three fences, three seals, the top gap, two personalities, the end mark; and some air. */
#define EXTRA_CALLS 14
#define WALL_CALLS 3
/* Moves go to a staging area first when a target overlaps what has not moved yet. */
#define STAGES 2

struct writer {
	const struct vms_reloc *reloc;
	struct vms_blob_call *table;
	size_t nr, cap;
};

static size_t max_calls(const struct vms_reloc *reloc)
{
	return reloc->image.vmas.nr * STAGES + reloc->conf->nr_walls * WALL_CALLS + EXTRA_CALLS;
}

static size_t code_size(void)
{
	return (size_t)(vms_blob_end - vms_blob_start + 63) & ~(size_t)63;
}

static size_t auxv_words(const struct vms_reloc *reloc)
{
	return reloc->image.nr_words - reloc->image.auxv_at;
}

static size_t auxv_size(const struct vms_reloc *reloc)
{
	return auxv_words(reloc) * vms_image_word_size(&reloc->image);
}

static size_t data_at(const struct vms_reloc *reloc)
{
	return code_size() + max_calls(reloc) * sizeof(struct vms_blob_call);
}

vms_addr_t vms_script_size(const struct vms_reloc *reloc)
{
	return vms_page_up(data_at(reloc) + sizeof(struct prctl_mm_map) + auxv_size(reloc));
}

static void add(struct writer *w, int nr, uint32_t flags, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
		uint64_t a4, uint64_t a5)
{
	struct vms_blob_call *call = &w->table[w->nr];

	if (w->nr >= w->cap)
		return;
	w->nr++;
	*call = (struct vms_blob_call){ nr, flags, { a0, a1, a2, a3, a4, a5 } };
	if (nr != VMS_BLOB_END)
		vms_cookie_mark(&w->reloc->conf->cookie, nr, call->args);
}

static bool hits_vma(const struct vms_reloc *reloc, const struct vms_range *range)
{
	for (size_t i = 0; i < reloc->image.vmas.nr; i++) {
		if (vms_range_overlaps(&reloc->image.vmas.items[i].range, range))
			return true;
	}
	return false;
}

static struct vms_range new_span(const struct vms_reloc *reloc, int part)
{
	vms_addr_t size = vms_range_size(&reloc->image.parts[part].span);

	return (struct vms_range){ reloc->new_start[part], reloc->new_start[part] + size };
}

static bool moves(const struct vms_reloc *reloc, int part)
{
	const struct vms_range *span = &reloc->image.parts[part].span;

	return span->start < span->end && reloc->new_start[part] != span->start;
}

/* True when some target overlaps a mapping that is still in use there. */
static bool needs_staging(const struct vms_reloc *reloc)
{
	for (int part = 0; part < VMS_NR_PARTS; part++) {
		struct vms_range to = new_span(reloc, part);

		if (moves(reloc, part) && hits_vma(reloc, &to))
			return true;
	}
	return false;
}

/* A place of @size bytes where there is neither an old mapping nor a target nor the scratch. */
static vms_addr_t find_staging(const struct vms_reloc *reloc, vms_addr_t size)
{
	/* An i386 program has no more than 4 GiB. */
	const vms_addr_t step = (vms_addr_t)1 << (reloc->image.arch == VMS_ARCH_I386 ? 20 : 32);
	struct vms_range scratch = { reloc->scratch, reloc->scratch + reloc->scratch_size };

	for (vms_addr_t at = step; at + size < reloc->conf->user.end; at += step) {
		struct vms_range here = { at, at + size };
		bool hit = hits_vma(reloc, &here) || vms_range_overlaps(&scratch, &here);

		for (int part = 0; part < VMS_NR_PARTS && !hit; part++) {
			struct vms_range to = new_span(reloc, part);

			hit = to.start < to.end && vms_range_overlaps(&to, &here);
		}
		if (!hit)
			return at;
	}
	return 0;
}

static void add_moves(struct writer *w, int part, vms_addr_t from_delta, vms_addr_t to_delta)
{
	const struct vms_image *image = &w->reloc->image;

	for (size_t i = 0; i < image->vmas.nr; i++) {
		const struct vms_range *r = &image->vmas.items[i].range;

		if (!vms_range_covers(&image->parts[part].span, r) || (int)vms_image_part_of(image, r->start) != part)
			continue;
		add(w, __NR_mremap, 0, r->start + from_delta, vms_range_size(r), vms_range_size(r),
		    MREMAP_MAYMOVE | MREMAP_FIXED, r->start + to_delta, 0);
	}
}

static int add_all_moves(struct writer *w)
{
	const struct vms_reloc *reloc = w->reloc;
	vms_addr_t stage_delta[VMS_NR_PARTS] = { 0 };

	if (needs_staging(reloc)) {
		vms_addr_t total = 0, at;

		for (int part = 0; part < VMS_NR_PARTS; part++)
			total += vms_range_size(&reloc->image.parts[part].span);
		at = find_staging(reloc, total);
		if (!at)
			return -ENOMEM;
		for (int part = 0; part < VMS_NR_PARTS; part++) {
			const struct vms_range *span = &reloc->image.parts[part].span;

			if (!moves(reloc, part))
				continue;
			stage_delta[part] = at - span->start;
			at += vms_range_size(span);
			add_moves(w, part, 0, stage_delta[part]);
		}
	}
	for (int part = 0; part < VMS_NR_PARTS; part++) {
		vms_addr_t delta = reloc->new_start[part] - reloc->image.parts[part].span.start;

		if (moves(reloc, part))
			add_moves(w, part, stage_delta[part], delta);
	}
	return 0;
}

/*
 * The kernel dumps none of it anyway, for there is nothing in it; gcore would write zeros, for hours. Not worth to be killed for by a
 * filter of the program's own.
 */
static void add_dontdump(struct writer *w, vms_addr_t start, vms_addr_t end)
{
	if (!w->reloc->conf->verify)
		add(w, __NR_madvise, VMS_BLOB_MAY_FAIL, start, end - start, MADV_DONTDUMP, 0, 0, 0);
}

static void add_fence(struct writer *w, vms_addr_t start, vms_addr_t end, bool may_fail)
{
	const uint32_t flags = may_fail ? VMS_BLOB_MAY_FAIL : 0;

	if (start >= end)
		return;
	add(w, __NR_mmap, flags, start, end - start, PROT_NONE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, (uint32_t)-1, 0);
	add_dontdump(w, start, end);
	if (w->reloc->conf->seal)
		add(w, __NR_mseal, flags, start, end - start, 0, 0, 0, 0);
}

/* Nothing can be in the way but what a hostile image has there. */
static void add_top_gap(struct writer *w)
{
	const struct vms_reloc_conf *conf = w->reloc->conf;
	const vms_addr_t start = w->reloc->layout.top, end = conf->top_end ? conf->top_end : conf->range.end;

	if (start >= end)
		return;
	add(w, __NR_mmap, VMS_BLOB_MAY_FAIL, start, end - start, PROT_NONE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, (uint32_t)-1, 0);
	/* MAY_FAIL: whatever is there is then not of ours, and it is only advice. */
	add_dontdump(w, start, end);
}

static void add_fences(struct writer *w)
{
	const struct vms_reloc_conf *conf = w->reloc->conf;
	vms_addr_t low = vms_page_up(conf->mmap_min_addr);

	if (!conf->fence)
		return;
	/* setarch -3: what the program may address ends lower, until it changes its personality. */
	if (w->reloc->image.persona & ADDR_LIMIT_3GB)
		add(w, __NR_personality, 0, w->reloc->image.persona & ~(uint64_t)ADDR_LIMIT_3GB, 0, 0, 0, 0, 0);
	/* MMAP_PAGE_ZERO (a personality) makes the kernel map page 0 at exec. */
	if (w->reloc->image.vmas.nr && w->reloc->image.vmas.items[0].range.start < low)
		add(w, __NR_munmap, 0, 0, low, 0, 0, 0, 0);
	add_fence(w, conf->fence_start, low < conf->range.start ? low : conf->range.start, true);
	add_fence(w, low, conf->range.start, false);
	for (size_t i = 0; i < conf->nr_walls; i++)
		add_fence(w, conf->walls[i].start, vms_addr_min(conf->walls[i].end, conf->range.end), false);
	add_fence(w, conf->range.end, conf->user.end, false);
	if (w->reloc->image.persona & ADDR_LIMIT_3GB)
		add(w, __NR_personality, 0, w->reloc->image.persona, 0, 0, 0, 0, 0);
}

static struct prctl_mm_map mm_map(const struct vms_reloc *reloc, vms_addr_t auxv_addr)
{
	const struct vms_proc_mm *mm = &reloc->image.mm;

	return (struct prctl_mm_map){
		.start_code = vms_reloc_moved(reloc, mm->start_code),
		/* Ends lie behind their part: the last byte inside it moves them. */
		.end_code = vms_reloc_moved(reloc, mm->end_code - 1) + 1,
		.start_data = vms_reloc_moved(reloc, mm->start_data),
		.end_data = vms_reloc_moved(reloc, mm->end_data - 1) + 1,
		.start_brk = reloc->layout.brk,
		.brk = reloc->layout.brk,
		.start_stack = vms_reloc_moved(reloc, mm->start_stack),
		.arg_start = vms_reloc_moved(reloc, mm->arg_start),
		.arg_end = vms_reloc_moved(reloc, mm->arg_end),
		.env_start = vms_reloc_moved(reloc, mm->env_start),
		.env_end = vms_reloc_moved(reloc, mm->env_end),
		.auxv = (void *)(uintptr_t)auxv_addr,
		.auxv_size = (uint32_t)auxv_size(reloc),
		.exe_fd = (uint32_t)-1,
	};
}

int vms_script_build(const struct vms_reloc *reloc, struct vms_script *ret_script)
{
	const size_t map_at = data_at(reloc), auxv_at = map_at + sizeof(struct prctl_mm_map);
	struct vms_script script = { .size = vms_script_size(reloc), .table_at = code_size() };
	struct prctl_mm_map map = mm_map(reloc, reloc->scratch + auxv_at);
	struct writer w = { .reloc = reloc, .cap = max_calls(reloc) };
	int r;

	script.bytes = calloc(1, script.size);
	if (!script.bytes)
		return -ENOMEM;
	memcpy(script.bytes, vms_blob_start, (size_t)(vms_blob_end - vms_blob_start));
	memcpy(script.bytes + map_at, &map, sizeof(map));
	vms_image_put_words(&reloc->image, reloc->image.auxv_at, auxv_words(reloc), script.bytes + auxv_at);
	w.table = (struct vms_blob_call *)(void *)(script.bytes + script.table_at);
	r = add_all_moves(&w);
	if (r < 0) {
		vms_script_done(&script);
		return r;
	}
	add(&w, __NR_prctl, 0, PR_SET_MM, PR_SET_MM_MAP, reloc->scratch + map_at, sizeof(map), 0, 0);
	add_top_gap(&w);
	add_fences(&w);
	add(&w, VMS_BLOB_END, 0, 0, 0, 0, 0, 0, 0);
	/* Headers may describe parts that overlap; what has no room must not be missing silently. */
	if (w.nr == w.cap) {
		vms_script_done(&script);
		return -ENOEXEC;
	}
	*ret_script = script;
	return 0;
}

void vms_script_done(struct vms_script *script)
{
	free(script->bytes);
	script->bytes = NULL;
}
