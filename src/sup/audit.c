/*
 * The audit: the tree against the kernel, page by page, and the fence, which must be whole. A divergence is a bug of ours; it is
 * printed with both sides and counted, and then the tree takes over what the kernel says, so that one bug is one divergence.
 *
 * Not compared: what the program sets by calls that are not trapped (madvise, mlock), the protection key, which the kernel
 * may choose by itself, and what nothing is decided by (kind, may).
 */
#include <stdio.h>

#include "vmsup/sup/sup.h"

/* What only smaps shows, and the tree must know. */
#define FLAGS_TO_AGREE (VMS_VMA_NORESERVE | VMS_VMA_GROWSDOWN | VMS_VMA_HUGETLB | VMS_VMA_SEALED)

static const char *prot_text(const struct vms_vma *vma, char text[5])
{
	text[0] = vma->prot & VMS_PROT_READ ? 'r' : '-';
	text[1] = vma->prot & VMS_PROT_WRITE ? 'w' : '-';
	text[2] = vma->prot & VMS_PROT_EXEC ? 'x' : '-';
	text[3] = vma->flags & VMS_VMA_SHARED ? 's' : 'p';
	text[4] = '\0';
	return text;
}

static void print_vma(const char *side, const struct vms_vma *vma)
{
	char prot[5];

	vms_log("  %-6s %llx-%llx %s dev %llx ino %llu offset %llx%s%s%s%s", side,
		(unsigned long long)vma->range.start, (unsigned long long)vma->range.end, prot_text(vma, prot),
		(unsigned long long)vma->dev, (unsigned long long)vma->ino, (unsigned long long)vma->offset,
		vma->flags & VMS_VMA_NORESERVE ? " noreserve" : "",
		vma->flags & VMS_VMA_GROWSDOWN ? " growsdown" : "",
		vma->flags & VMS_VMA_HUGETLB ? " hugetlb" : "", vma->flags & VMS_VMA_SEALED ? " sealed" : "");
}

/* Some kernels seal the vdso themselves (CONFIG_MSEAL_SYSTEM_MAPPINGS, 6.15). */
static bool same_flags(const struct vms_vma *mine, const struct vms_vma *seen)
{
	uint32_t both = FLAGS_TO_AGREE;

	if (mine->kind == VMS_KIND_VDSO)
		both &= ~VMS_VMA_SEALED;
	return !((mine->flags ^ seen->flags) & both);
}

/* The first place where both differ, for the log: what each side has around it. */
static void print_both(const struct vms_space *space, const struct vms_vma_list *list)
{
	const struct vms_vma *mine = vms_tree_first(&space->tree);
	size_t i = 0;

	while (mine && i < list->nr) {
		struct vms_range cut = { mine->range.start, list->items[i].range.end };

		if (mine->range.start != list->items[i].range.start &&
		    !vms_range_overlaps(&mine->range, &list->items[i].range))
			break;
		cut.start = mine->range.start > list->items[i].range.start ? mine->range.start :
									     list->items[i].range.start;
		cut.end = mine->range.end < list->items[i].range.end ? mine->range.end :
								       list->items[i].range.end;
		if (!vms_space_agrees(space, &cut, list->items, list->nr))
			break;
		if (!same_flags(mine, &list->items[i]))
			break;
		if (mine->range.end <= list->items[i].range.end) {
			if (mine->range.end == list->items[i].range.end)
				i++;
			mine = vms_tree_next(mine);
		} else {
			i++;
		}
	}
	if (mine)
		print_vma("tree", mine);
	else
		vms_log("  tree   nothing more");
	if (i < list->nr)
		print_vma("kernel", &list->items[i]);
	else
		vms_log("  kernel nothing more");
}

static bool flags_agree(const struct vms_space *space, const struct vms_vma_list *list)
{
	const struct vms_vma *mine = vms_tree_first(&space->tree);

	for (size_t i = 0; i < list->nr; i++) {
		const struct vms_vma *seen = &list->items[i];

		while (mine && mine->range.end <= seen->range.start)
			mine = vms_tree_next(mine);
		for (const struct vms_vma *m = mine; m && m->range.start < seen->range.end; m = vms_tree_next(m)) {
			if (!same_flags(m, seen))
				return false;
		}
	}
	return true;
}

/* The sum that limits are asked about, against the sum over what the kernel shows. */
static bool commit_agrees(struct vms_sup *sup, const struct vms_process *process, const struct vms_vma_list *list)
{
	const struct vms_space *space = &process->mm->space;
	vms_addr_t seen = vms_commit_seen(space, list->items, list->nr);

	if (seen == space->tree.commit && process->mm->counted.used[VMS_LIMIT_COMMIT] == space->tree.commit)
		return true;
	vms_log_limited(&sup->audit_log, "audit: process %d has a commit of %llu bytes, and %llu are counted", process->pid,
			(unsigned long long)seen, (unsigned long long)process->mm->counted.used[VMS_LIMIT_COMMIT]);
	return false;
}

/* One part of the fence: inaccessible, private and without a hole. The first place where it is not, or its end. */
static vms_addr_t fence_holds_to(struct vms_sup *sup, struct vms_mm *mm, const struct vms_range *part,
				 const struct vms_vma **ret_wrong)
{
	struct vms_vma_list *list = &sup->seen_range;
	vms_addr_t at = part->start;

	*ret_wrong = NULL;
	if (part->start >= part->end || vms_maps_read(&mm->maps, part, list) < 0)
		return part->end;
	for (size_t i = 0; i < list->nr; i++) {
		const struct vms_vma *seen = &list->items[i];

		if (seen->range.start > at)
			return at;
		if (seen->prot || seen->ino || (seen->flags & VMS_VMA_SHARED)) {
			*ret_wrong = seen;
			return seen->range.start;
		}
		at = seen->range.end;
	}
	return at < part->end ? at : part->end;
}

static void audit_fence(struct vms_sup *sup, struct vms_process *process, const char *after)
{
	const struct vms_reloc_conf *conf = &sup->reloc_conf;
	const struct vms_space *space = &process->mm->space;
	struct vms_range parts[VMS_MAX_WALLS + 2] = {
		{ vms_page_up(conf->mmap_min_addr), space->range.start },
		{ space->range.end, space->user.end },
	};
	size_t nr = 2;

	/* What ran before the program's first exec is not fenced. */
	if (!conf->fence || (process->pid == sup->main_pid && !sup->main_started))
		return;
	for (size_t i = 0; i < conf->nr_walls; i++) {
		parts[nr] = conf->walls[i];
		parts[nr].end = vms_addr_min(parts[nr].end, space->range.end);
		nr++;
	}
	for (size_t i = 0; i < nr; i++) {
		const struct vms_vma *wrong;
		vms_addr_t at = fence_holds_to(sup, process->mm, &parts[i], &wrong);

		if (at >= parts[i].end)
			continue;
		sup->stats.divergences++;
		vms_log_limited(&sup->audit_log, "audit: the fence of process %d has a hole at %llx after %s", process->pid,
				(unsigned long long)at, after);
		if (wrong && sup->audit_log.used < sup->audit_log.max)
			print_vma("kernel", wrong);
	}
}

void vms_audit(struct vms_sup *sup, struct vms_process *process, const char *after)
{
	struct vms_mm *mm = process->mm;
	struct vms_space *space = &mm->space;
	struct vms_vma_list *list = &sup->seen_all;
	bool have_flags;

	if (vms_maps_read(&mm->maps, &space->range, list) < 0)
		return;
	/* A process that may not be looked into still shows its mappings, not their flags. */
	have_flags = vms_maps_read_flags(vms_process_tid(process), list) == 0;
	sup->stats.audits++;
	audit_fence(sup, process, after);
	if (vms_space_agrees(space, &space->range, list->items, list->nr) &&
	    (!have_flags || (flags_agree(space, list) && commit_agrees(sup, process, list))))
		return;
	sup->stats.divergences++;
	vms_log_limited(&sup->audit_log, "audit: tree and kernel differ in process %d after %s", process->pid, after);
	if (sup->audit_log.used < sup->audit_log.max)
		print_both(space, list);
	vms_flight_reread(sup, process);
}
