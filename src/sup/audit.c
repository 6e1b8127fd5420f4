/*
 * The audit: the tree against the kernel, page by page. A divergence is a bug of ours; it is printed with both sides and
 * counted, and then the tree takes over what the kernel says, so that one bug is one divergence.
 */
#include <stdio.h>

#include "vmsup/sup/sup.h"

/* What only smaps shows, and the tree must know. */
#define FLAGS_TO_AGREE (VMS_VMA_NORESERVE | VMS_VMA_GROWSDOWN)

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

	vms_log("  %-6s %llx-%llx %s dev %llx ino %llu offset %llx%s%s", side,
		(unsigned long long)vma->range.start, (unsigned long long)vma->range.end, prot_text(vma, prot),
		(unsigned long long)vma->dev, (unsigned long long)vma->ino, (unsigned long long)vma->offset,
		vma->flags & VMS_VMA_NORESERVE ? " noreserve" : "",
		vma->flags & VMS_VMA_GROWSDOWN ? " growsdown" : "");
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
		if ((mine->flags ^ list->items[i].flags) & FLAGS_TO_AGREE)
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
			if ((m->flags ^ seen->flags) & FLAGS_TO_AGREE)
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

void vms_audit(struct vms_sup *sup, struct vms_process *process, const char *after)
{
	struct vms_mm *mm = process->mm;
	struct vms_space *space = &mm->space;
	struct vms_vma_list *list = &sup->seen_all;
	bool have_flags;

	if (vms_maps_read(&mm->maps, &space->range, list) < 0)
		return;
	/* A process that may not be looked into still shows its mappings, not their flags. */
	have_flags = vms_maps_read_flags(process->pid, list) == 0;
	sup->stats.audits++;
	if (vms_space_agrees(space, &space->range, list->items, list->nr) &&
	    (!have_flags || (flags_agree(space, list) && commit_agrees(sup, process, list))))
		return;
	sup->stats.divergences++;
	vms_log_limited(&sup->audit_log, "audit: tree and kernel differ in process %d after %s", process->pid, after);
	if (sup->audit_log.used < sup->audit_log.max)
		print_both(space, list);
	vms_flight_reread(sup, process);
}
