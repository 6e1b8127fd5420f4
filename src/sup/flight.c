/*
 * Calls in flight: let go with CONTINUE, and nobody but the kernel knows whether they have happened. A call is settled when
 * its thread comes again (it has returned), or when the kernel shows its whole effect.
 */
#include <errno.h>
#include <string.h>

#include <utlist.h>

#include "vmsup/sup/sup.h"

/* Calls of other threads that one call looks at. */
#define MAX_LOOKS 64

static int read_seen(struct vms_sup *sup, struct vms_mm *mm, const struct vms_plan *plan, struct vms_seen *ret_seen)
{
	int r = vms_maps_read(&mm->maps, &plan->range, &sup->seen_range);

	if (r == 0)
		r = vms_maps_read(&mm->maps, &plan->from, &sup->seen_from);
	*ret_seen = (struct vms_seen){
		.range = sup->seen_range.items,
		.nr_range = sup->seen_range.nr,
		.from = sup->seen_from.items,
		.nr_from = sup->seen_from.nr,
	};
	return r;
}

/* Without confinement the top of the kernel's search is learned from the first place it chose. */
static void learn_ceiling(struct vms_space *space, const struct vms_plan *plan, const struct vms_vma_list *list)
{
	if (space->ceiling || !plan || !plan->chosen || plan->low2g || plan->effect != VMS_EFFECT_MAP)
		return;
	for (size_t i = list->nr; i > 0; i--) {
		const struct vms_vma *vma = &list->items[i - 1];

		if (vms_tree_is_free(&space->tree, &vma->range) && vms_range_size(&vma->range) >= vms_range_size(&plan->range)) {
			space->ceiling = vma->range.end;
			return;
		}
	}
}

/* What grows down may have grown into @range, too. */
static bool touches_told(const struct vms_space *space, const struct vms_range *range)
{
	const struct vms_vma *vma;

	for (vma = vms_tree_find_from(&space->tree, range->start); vma && vma->range.start < range->end; vma = vms_tree_next(vma)) {
		if (vma->flags & VMS_VMA_TOLD)
			return true;
	}
	return vma && (vma->flags & VMS_VMA_GROWSDOWN);
}

static bool may_change_told(const struct vms_space *space, const struct vms_plan *plan)
{
	switch (plan->effect) {
	case VMS_EFFECT_NONE:
		return false;
	case VMS_EFFECT_MAP:
	case VMS_EFFECT_UNMAP:
	case VMS_EFFECT_PROTECT:
	case VMS_EFFECT_BRK:
		return (plan->effect == VMS_EFFECT_MAP && (plan->vma.flags & VMS_VMA_TOLD)) || touches_told(space, &plan->range);
	case VMS_EFFECT_MOVE:
	case VMS_EFFECT_SEAL:
	case VMS_EFFECT_UNKNOWN:
	default:
		return true;
	}
}

/*
 * smaps takes far longer than the rest of a re-reading. What it alone tells is the same as before when neither @plan, of which it
 * is not known what it did, nor another call in flight could bring or take such a mapping.
 */
static bool needs_flags(const struct vms_mm *mm, const struct vms_plan *plan)
{
	if (!plan || may_change_told(&mm->space, plan))
		return true;
	for (const struct vms_thread *t = mm->in_flight; t; t = t->flight_next) {
		if (may_change_told(&mm->space, &t->plan))
			return true;
	}
	return false;
}

static void reread(struct vms_sup *sup, struct vms_process *process, const struct vms_plan *plan)
{
	struct vms_mm *mm = process->mm;
	struct vms_space *space = &mm->space;
	/* After an earlier one that failed all may be otherwise. */
	bool has_flags = mm->stale || needs_flags(mm, plan);

	mm->stale = true;
	if (vms_maps_read(&mm->maps, &space->range, &sup->seen_all) < 0)
		return;
	learn_ceiling(space, plan, &sup->seen_all);
	/* What is where is known no more, so neither is which attributes are still whose. */
	has_flags = has_flags && vms_maps_read_flags(vms_process_tid(process), &sup->seen_all) == 0;
	if (vms_space_adopt(space, &space->range, sup->seen_all.items, sup->seen_all.nr, has_flags) == 0)
		mm->stale = false;
	vms_mm_count(&sup->tasks, mm);
	vms_trace_space(sup, process);
}

/* A break whose way was not clear: the kernel calls its last page the heap if it was moved there all the same. */
static void settle_brk(struct vms_mm *mm, const struct vms_plan *plan)
{
	char name[16];

	if (plan->brk && vms_maps_name(&mm->maps, vms_page_up(plan->brk) - 1, name, sizeof(name)) == 0 &&
	    strcmp(name, "[heap]") == 0)
		vms_brk_set(&mm->space.brk, plan->brk);
}

void vms_flight_reread(struct vms_sup *sup, struct vms_process *process)
{
	reread(sup, process, NULL);
}

/* What the kernel was expected to do and did not: told apart from what it may well have refused. */
static void count_other(struct vms_sup *sup, const struct vms_space *space, const struct vms_plan *plan, size_t count_before)
{
	if (plan->chosen && plan->certain && space->tree.count != count_before)
		sup->stats.mispredicted++;
}

static void settle_seen(struct vms_sup *sup, struct vms_thread *thread, const struct vms_seen *seen)
{
	struct vms_mm *mm = thread->process->mm;
	struct vms_plan plan = thread->plan;
	size_t before = mm->space.tree.count;

	vms_thread_land(thread);
	switch (vms_settle(&mm->space, &plan, seen)) {
	case VMS_SETTLED_DONE:
	case VMS_SETTLED_UNDONE:
		break;
	case VMS_SETTLED_OTHER:
		settle_brk(mm, &plan);
		sup->stats.mispredicted++;
		break;
	case VMS_SETTLED_REREAD:
		reread(sup, thread->process, &plan);
		settle_brk(mm, &plan);
		count_other(sup, &mm->space, &plan, before);
		break;
	}
	vms_mm_count(&sup->tasks, mm);
	vms_trace_change(sup, thread, &plan);
}

/*
 * True when what stands where @thread's mapping was to come may be of another call in flight, for which the same place was chosen;
 * @or_unknown: or anything.
 */
static bool has_rival(const struct vms_mm *mm, const struct vms_thread *thread, bool or_unknown)
{
	const struct vms_plan *plan = &thread->plan;

	if (!plan->chosen || plan->verdict == VMS_REMOTE)
		return false;
	for (const struct vms_thread *other = mm->in_flight; other; other = other->flight_next) {
		if (other == thread)
			continue;
		if (other->plan.effect == VMS_EFFECT_UNKNOWN ? or_unknown :
			    other->plan.chosen && vms_range_overlaps(&other->plan.range, &plan->range))
			return true;
	}
	return false;
}

/* True when @thread has visibly done what it has in flight. A remote call says by itself when it is done. */
static bool is_done(struct vms_sup *sup, struct vms_mm *mm, const struct vms_thread *thread, struct vms_seen *ret_seen)
{
	return thread->plan.verdict != VMS_REMOTE && read_seen(sup, mm, &thread->plan, ret_seen) == 0 &&
	       vms_settle_shows(&mm->space, &thread->plan, ret_seen) && !has_rival(mm, thread, true);
}

void vms_flight_settle(struct vms_sup *sup, struct vms_thread *thread)
{
	struct vms_mm *mm = thread->process->mm;
	struct vms_plan plan = thread->plan;
	struct vms_seen seen;

	if (!mm || read_seen(sup, mm, &thread->plan, &seen) < 0) {
		vms_thread_land(thread);
		if (mm)
			mm->stale = true;
		return;
	}
	if (has_rival(mm, thread, false)) {
		vms_thread_land(thread);
		reread(sup, thread->process, &plan);
		return;
	}
	settle_seen(sup, thread, &seen);
}

/* Settle what threads other than @self (NULL: all) have visibly done. */
static void settle_visible(struct vms_sup *sup, struct vms_mm *mm, const struct vms_thread *self)
{
	struct vms_thread *thread, *next;

	for (thread = mm->in_flight; thread; thread = next) {
		struct vms_seen seen;

		next = thread->flight_next;
		if (thread != self && is_done(sup, mm, thread, &seen))
			settle_seen(sup, thread, &seen);
	}
}

/*
 * For one call not all of what thousands of threads have in flight is looked at, but the next few: what was not settled goes to the
 * end of the list.
 */
static void settle_some(struct vms_sup *sup, struct vms_mm *mm, const struct vms_thread *self)
{
	struct vms_thread *last = mm->in_flight ? mm->in_flight->flight_prev : NULL, *thread;
	bool is_last = !last;

	for (int i = 0; !is_last && i < MAX_LOOKS; i++) {
		struct vms_seen seen;

		thread = mm->in_flight;
		is_last = thread == last;
		if (thread != self && is_done(sup, mm, thread, &seen)) {
			settle_seen(sup, thread, &seen);
			continue;
		}
		DL_DELETE2(mm->in_flight, thread, flight_prev, flight_next);
		DL_APPEND2(mm->in_flight, thread, flight_prev, flight_next);
	}
}

size_t vms_flight_probe(struct vms_sup *sup, struct vms_thread *self, const struct vms_plan **busy, size_t cap)
{
	struct vms_mm *mm = self->process->mm;
	size_t nr = 0;

	settle_some(sup, mm, self);
	for (struct vms_thread *thread = mm->in_flight; thread && nr < cap; thread = thread->flight_next) {
		if (thread != self)
			busy[nr++] = &thread->plan;
	}
	if (mm->stale)
		reread(sup, self->process, NULL);
	return nr;
}

void vms_flight_visible(struct vms_sup *sup, struct vms_mm *mm)
{
	settle_visible(sup, mm, NULL);
}

void vms_flight_refresh(struct vms_sup *sup, struct vms_process *process)
{
	vms_flight_visible(sup, process->mm);
	reread(sup, process, NULL);
}
