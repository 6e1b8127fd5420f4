/* Address spaces; see the header. */
#include "vmsup/core/space.h"

#include <errno.h>

void vms_space_init(struct vms_space *space, const struct vms_range *range, const struct vms_range *user,
		    const struct vms_place_rules *rules)
{
	*space = (struct vms_space){ .range = *range, .user = *user, .rules = *rules };
	vms_tree_init(&space->tree, rules->guard);
}

void vms_space_done(struct vms_space *space)
{
	vms_tree_done(&space->tree);
}

/* What PROCMAP_QUERY and /proc/PID/maps tell: the attributes on which both sides must agree. */
static bool same_mapping(const struct vms_vma *mine, const struct vms_vma *seen, vms_addr_t at)
{
	if (mine->prot != seen->prot || ((mine->flags ^ seen->flags) & VMS_VMA_SHARED))
		return false;
	if (mine->dev != seen->dev || mine->ino != seen->ino)
		return false;
	if (!seen->ino)
		return true;
	return mine->offset + (at - mine->range.start) == seen->offset + (at - seen->range.start);
}

/* The stack grows by itself when it is touched: below its recorded start the kernel may have more of it. */
static bool is_grown(const struct vms_vma *mine, const struct vms_vma *seen)
{
	return mine && (mine->flags & VMS_VMA_GROWSDOWN) && seen->range.start < mine->range.start &&
	       seen->range.end > mine->range.start && mine->prot == seen->prot;
}

bool vms_space_agrees(const struct vms_space *space, const struct vms_range *range,
		      const struct vms_vma *seen, size_t nr)
{
	vms_addr_t at = range->start;
	size_t i = 0;

	while (at < range->end) {
		const struct vms_vma *mine = vms_tree_find_from(&space->tree, at);
		vms_addr_t mine_at = mine ? vms_addr_max(mine->range.start, at) : range->end;
		vms_addr_t seen_at;

		while (i < nr && seen[i].range.end <= at)
			i++;
		seen_at = i < nr ? vms_addr_max(seen[i].range.start, at) : range->end;
		mine_at = vms_addr_min(mine_at, range->end);
		seen_at = vms_addr_min(seen_at, range->end);
		if (seen_at < mine_at && i < nr && is_grown(mine, &seen[i]))
			seen_at = mine_at;
		if (mine_at != seen_at)
			return false;
		if (mine_at == range->end)
			return true;
		if (!same_mapping(mine, &seen[i], mine_at))
			return false;
		at = vms_addr_min(mine->range.end, seen[i].range.end);
	}
	return true;
}

/* Give @vma what only our own record knows, if the mapping there is still the same one. */
static void keep_attributes(const struct vms_space *space, struct vms_vma *vma, bool has_flags)
{
	const struct vms_vma *old = vms_tree_find(&space->tree, vma->range.start);

	if (!old && vma->range.end > vma->range.start)
		old = vms_tree_find(&space->tree, vma->range.end - 1); /* a grown stack */
	if (!old || old->dev != vma->dev || old->ino != vma->ino ||
	    ((old->flags ^ vma->flags) & VMS_VMA_SHARED))
		return;
	vma->flags |= has_flags ? old->flags & ~VMS_VMA_TOLD : old->flags;
	vma->kind = old->kind;
	vma->may = old->may;
	vma->pkey = old->pkey;
}

/* Laid and sealed before the program has run its first instruction, and so it stays. */
static void make_wall(struct vms_vma *vma)
{
	vma->kind = VMS_KIND_FENCE;
	vma->flags |= VMS_VMA_NORESERVE | VMS_VMA_SEALED;
}

int vms_space_adopt(struct vms_space *space, const struct vms_range *range, const struct vms_vma *seen,
		    size_t nr, bool has_flags)
{
	vms_addr_t at = range->start;
	int r;

	for (size_t i = 0; i < nr; i++) {
		struct vms_vma vma = seen[i];
		struct vms_range hole;

		if (!vms_range_overlaps(&vma.range, range))
			continue;
		vms_vma_clip(&vma, range);
		hole = (struct vms_range){ at, vma.range.start };
		if (hole.start < hole.end) {
			r = vms_tree_remove(&space->tree, &hole);
			if (r < 0)
				return r;
		}
		at = vma.range.end;
		/* One kernel VMA may cover several of ours, each with attributes of its own. */
		while (vma.range.start < vma.range.end) {
			struct vms_vma part = vma, rest;
			const struct vms_vma *old = vms_tree_find_from(&space->tree, part.range.start);
			vms_addr_t cut = part.range.end;

			if (old && old->range.start > part.range.start &&
			    !(old->flags & VMS_VMA_GROWSDOWN))
				cut = vms_addr_min(cut, old->range.start);
			else if (old && old->range.start <= part.range.start)
				cut = vms_addr_min(cut, old->range.end);
			rest = vma;
			if (cut < vma.range.end)
				vms_vma_clip(&rest, &(struct vms_range){ cut, vma.range.end });
			vms_vma_clip(&part, &(struct vms_range){ part.range.start, cut });
			keep_attributes(space, &part, has_flags);
			if (space->policy && vms_policy_is_wall(space->policy, &part.range))
				make_wall(&part);
			vms_wx_mark(space, NULL, &part);
			r = vms_tree_replace(&space->tree, &part);
			if (r < 0)
				return r;
			if (cut >= vma.range.end)
				break;
			vma = rest;
		}
	}
	if (at < range->end) {
		r = vms_tree_remove(&space->tree, &(struct vms_range){ at, range->end });
		if (r < 0)
			return r;
	}
	if (space->tree.count > space->max_vmas)
		space->max_vmas = space->tree.count;
	return 0;
}
