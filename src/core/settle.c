/*
 * Settle; see the header.
 *
 * Three views are compared inside the ranges of the plan: what the kernel shows now, what it would show if the
 * plan had happened, and what the tree held before. The first match in that order wins; if none does, the tree
 * takes over what the kernel shows.
 */
#include "vmsup/core/settle.h"

static bool is_empty(const struct vms_range *range)
{
	return range->start >= range->end;
}

/* The protection that was asked for. READ_IMPLIES_EXEC, of which nobody tells us, may have added to it. */
static bool has_prot(const struct vms_vma *seen, const struct vms_vma *vma)
{
	return seen->prot == vma->prot ||
	       ((vma->prot & VMS_PROT_READ) && seen->prot == (vma->prot | VMS_PROT_EXEC));
}

/* True when @seen maps the whole of @range, every VMA satisfying prot and sharing of @vma. */
static bool shows_mapping(const struct vms_vma *vma, const struct vms_range *range,
			  const struct vms_vma *seen, size_t nr)
{
	vms_addr_t at = range->start;

	for (size_t i = 0; i < nr && at < range->end; i++) {
		bool file = vma->kind == VMS_KIND_FILE || vma->ino;

		if (seen[i].range.end <= at)
			continue;
		if (seen[i].range.start > at || !has_prot(&seen[i], vma) || seen[i].prot != seen[0].prot)
			return false;
		if ((seen[i].flags ^ vma->flags) & VMS_VMA_SHARED)
			return false;
		/* Device mappings may show no inode; private anonymous memory never has one. */
		if (!file && !(vma->flags & VMS_VMA_SHARED) && seen[i].ino)
			return false;
		/* One call makes one object. */
		if (seen[i].ino != seen[0].ino || seen[i].dev != seen[0].dev ||
		    (seen[i].ino && seen[i].offset - seen[0].offset != seen[i].range.start - seen[0].range.start))
			return false;
		if (vma->ino && (seen[i].ino != vma->ino || seen[i].dev != vma->dev))
			return false;
		if (file && seen[i].ino &&
		    seen[i].offset + (at - seen[i].range.start) != vma->offset + (at - range->start))
			return false;
		at = seen[i].range.end;
	}
	return at >= range->end;
}

/*
 * True when what ends @seen goes on beyond @range where the tree has nothing: the kernel has rounded the length up, to huge pages.
 */
static bool goes_on(const struct vms_space *space, const struct vms_range *range, const struct vms_vma *seen, size_t nr)
{
	return nr && seen[nr - 1].range.end > range->end && !vms_tree_find(&space->tree, range->end);
}

static bool shows_prot(const struct vms_plan *plan, const struct vms_seen *seen)
{
	vms_addr_t at = plan->range.start;

	for (size_t i = 0; i < seen->nr_range && at < plan->range.end; i++) {
		if (seen->range[i].range.start > at || seen->range[i].prot != plan->vma.prot)
			return false;
		at = seen->range[i].range.end;
	}
	return at >= plan->range.end;
}

static bool shows(const struct vms_space *space, const struct vms_plan *plan, const struct vms_seen *seen)
{
	switch (plan->effect) {
	case VMS_EFFECT_NONE:
	case VMS_EFFECT_SEAL: /* a seal does not show; all that it can do is succeed */
		return true;
	case VMS_EFFECT_MAP:
		return shows_mapping(&plan->vma, &plan->range, seen->range, seen->nr_range) &&
		       !goes_on(space, &plan->range, seen->range, seen->nr_range);
	case VMS_EFFECT_UNMAP:
		return seen->nr_range == 0;
	case VMS_EFFECT_PROTECT:
		return shows_prot(plan, seen);
	case VMS_EFFECT_MOVE:
		/* A move takes its protections along, whatever READ_IMPLIES_EXEC says. */
		return shows_mapping(&plan->vma, &plan->range, seen->range, seen->nr_range) &&
		       seen->range[0].prot == plan->vma.prot &&
		       (plan->keeps_source || seen->nr_from == 0);
	case VMS_EFFECT_BRK:
		if (is_empty(&plan->range))
			return true;
		if (vms_page_up(plan->brk) == plan->range.end)
			return shows_mapping(&plan->vma, &plan->range, seen->range, seen->nr_range);
		return seen->nr_range == 0;
	case VMS_EFFECT_UNKNOWN:
		break;
	}
	return false;
}

static void change_prot(struct vms_vma *vma, void *arg)
{
	const struct vms_plan *plan = arg;

	vma->prot = plan->vma.prot;
	if (plan->marks_written && (vma->prot & VMS_PROT_WRITE))
		vma->flags |= VMS_VMA_WRITTEN;
	if (plan->sets_pkey)
		vma->pkey = plan->vma.pkey;
}

static void change_seal(struct vms_vma *vma, void *arg)
{
	(void)arg;
	vma->flags |= VMS_VMA_SEALED;
}

/* The file that the kernel shows is the file that was mapped, whatever the fd was by then. So it is with the protection. */
static void learn(struct vms_vma *vma, const struct vms_seen *seen)
{
	const struct vms_vma *first = seen->nr_range ? &seen->range[0] : NULL;

	if (!first)
		return;
	vma->prot = first->prot;
	if (vma->kind != VMS_KIND_FILE && !(vma->flags & VMS_VMA_SHARED))
		return;
	vma->dev = first->dev;
	vma->ino = first->ino;
	vma->flags |= first->flags & VMS_VMA_HUGETLB;
	vma->offset = first->ino ? first->offset + (vma->range.start - first->range.start) : 0;
}

static int commit_brk(struct vms_space *space, struct vms_plan *plan, const struct vms_seen *seen)
{
	int r = 0;

	if (!is_empty(&plan->range)) {
		if (seen->nr_range)
			plan->vma.prot = seen->range[0].prot;
		if (vms_page_up(plan->brk) == plan->range.end)
			r = vms_tree_replace(&space->tree, &plan->vma);
		else
			r = vms_tree_remove(&space->tree, &plan->range);
	}
	if (r == 0)
		vms_brk_set(&space->brk, plan->brk);
	return r;
}

static int commit(struct vms_space *space, struct vms_plan *plan, const struct vms_seen *seen)
{
	int r;

	switch (plan->effect) {
	case VMS_EFFECT_MAP:
		learn(&plan->vma, seen);
		vms_wx_mark(space, plan, &plan->vma);
		return vms_tree_replace(&space->tree, &plan->vma);
	case VMS_EFFECT_UNMAP:
		return vms_tree_remove(&space->tree, &plan->range);
	case VMS_EFFECT_PROTECT:
		return vms_tree_change(&space->tree, &plan->range, change_prot, plan);
	case VMS_EFFECT_MOVE:
		r = plan->keeps_source || is_empty(&plan->from) ?
			    0 :
			    vms_tree_remove(&space->tree, &plan->from);
		return r < 0 ? r : vms_tree_replace(&space->tree, &plan->vma);
	case VMS_EFFECT_BRK:
		return commit_brk(space, plan, seen);
	case VMS_EFFECT_SEAL:
		return vms_tree_change(&space->tree, &plan->range, change_seal, NULL);
	default:
		return 0;
	}
}

static bool unchanged(const struct vms_space *space, const struct vms_plan *plan, const struct vms_seen *seen)
{
	return (is_empty(&plan->range) ||
		vms_space_agrees(space, &plan->range, seen->range, seen->nr_range)) &&
	       (is_empty(&plan->from) ||
		vms_space_agrees(space, &plan->from, seen->from, seen->nr_from));
}

/*
 * True when something that grows down starts in or above @range, with nothing between: it may have grown since the tree was told, and
 * what is left of that below @range then is nobody's in the tree.
 */
static bool may_cut_growth(const struct vms_space *space, const struct vms_range *range)
{
	const struct vms_vma *vma = vms_tree_find_from(&space->tree, range->start);
	const struct vms_vma *below;

	if (is_empty(range) || !vma || !(vma->flags & VMS_VMA_GROWSDOWN) || vma->range.start < range->start)
		return false;
	below = vms_tree_prev(vma);
	return !below || below->range.end < vma->range.start;
}

/*
 * A mapping replaced by one that looks the same: whether the call was refused does not show, but matters where the two differ
 * in what only smaps tells.
 */
static bool is_lookalike(const struct vms_space *space, const struct vms_plan *plan, const struct vms_seen *seen)
{
	const struct vms_vma *old;

	if ((plan->effect != VMS_EFFECT_MAP && plan->effect != VMS_EFFECT_MOVE) || !unchanged(space, plan, seen))
		return false;
	for (old = vms_tree_find_from(&space->tree, plan->range.start);
	     old && old->range.start < plan->range.end; old = vms_tree_next(old)) {
		if (((old->flags ^ plan->vma.flags) & VMS_VMA_TOLD) || old->prot != plan->vma.prot ||
		    (old->kind == VMS_KIND_FILE) != (plan->vma.kind == VMS_KIND_FILE))
			return true;
	}
	return false;
}

/* Somebody else's mapping has taken the place that was chosen: what was to come there is somewhere else. */
static bool is_taken(const struct vms_space *space, const struct vms_plan *plan)
{
	return plan->chosen && (plan->effect == VMS_EFFECT_MAP || plan->effect == VMS_EFFECT_MOVE) &&
	       !vms_tree_is_free(&space->tree, &plan->range);
}

/* What the kernel shows in the plan's ranges does not tell enough. */
static bool is_ambiguous(const struct vms_space *space, const struct vms_plan *plan, const struct vms_seen *seen)
{
	if (plan->chosen)
		return is_taken(space, plan);
	return is_lookalike(space, plan, seen) || may_cut_growth(space, &plan->range) ||
	       may_cut_growth(space, &plan->from);
}

bool vms_settle_shows(const struct vms_space *space, const struct vms_plan *plan, const struct vms_seen *seen)
{
	/*
	 * Whether it is sealed yet, smaps knows. What looked like this before tells nothing: the call may be yet to come, and undo what
	 * others do meanwhile.
	 */
	return plan->effect != VMS_EFFECT_SEAL && shows(space, plan, seen) && !unchanged(space, plan, seen) &&
	       !is_ambiguous(space, plan, seen);
}

enum vms_settled vms_settle(struct vms_space *space, struct vms_plan *plan, const struct vms_seen *seen)
{
	if (plan->effect == VMS_EFFECT_UNKNOWN)
		return VMS_SETTLED_REREAD;
	if (shows(space, plan, seen)) {
		if (is_ambiguous(space, plan, seen))
			return VMS_SETTLED_REREAD;
		if (commit(space, plan, seen) < 0)
			return VMS_SETTLED_REREAD;
		if (space->tree.count > space->max_vmas)
			space->max_vmas = space->tree.count;
		return VMS_SETTLED_DONE;
	}
	/* An address that was chosen may have been chosen differently: nothing here then tells where. */
	if (plan->chosen)
		return VMS_SETTLED_REREAD;
	if (unchanged(space, plan, seen))
		return VMS_SETTLED_UNDONE;
	/* Something has appeared, and what it is shows in smaps only. */
	if (seen->nr_range && (plan->effect == VMS_EFFECT_MAP || plan->effect == VMS_EFFECT_MOVE))
		return VMS_SETTLED_REREAD;
	if (vms_space_adopt(space, &plan->range, seen->range, seen->nr_range, false) < 0 ||
	    (!is_empty(&plan->from) &&
	     vms_space_adopt(space, &plan->from, seen->from, seen->nr_from, false) < 0))
		return VMS_SETTLED_REREAD;
	/* The break that the kernel kept cannot be seen; it lies in the last page that is backed. */
	return VMS_SETTLED_OTHER;
}
