/*
 * Settle: make the tree say what the kernel did.
 */
#ifndef VMSUP_CORE_SETTLE_H
#define VMSUP_CORE_SETTLE_H

#include <stddef.h>

#include "vmsup/core/plan.h"
#include "vmsup/core/space.h"

enum vms_settled {
	VMS_SETTLED_DONE, /* the kernel did what was planned; the tree has it */
	VMS_SETTLED_UNDONE, /* the kernel changed nothing; the tree is as before */
	VMS_SETTLED_OTHER, /* the kernel did something else inside the plan's ranges; the tree was repaired */
	VMS_SETTLED_REREAD, /* the kernel must be asked about the whole space (vms_space_adopt) */
};

/** What the kernel shows in the ranges of a plan: the VMAs that overlap them, in order. */
struct vms_seen {
	const struct vms_vma *range; /* overlapping plan->range */
	size_t nr_range;
	const struct vms_vma *from; /* overlapping plan->from */
	size_t nr_from;
};

/**
 * True when the kernel shows the whole effect of @plan: a call in flight has then happened. False also where that cannot be
 * told, because it shows the same before and after.
 */
bool vms_settle_shows(const struct vms_space *space, const struct vms_plan *plan, const struct vms_seen *seen);

/**
 * Settle @plan, whose call has returned, from what the kernel shows. Never fails for want of memory in the planned
 * case; on VMS_SETTLED_REREAD the caller reads and adopts the whole space.
 */
enum vms_settled vms_settle(struct vms_space *space, struct vms_plan *plan, const struct vms_seen *seen);

#endif
