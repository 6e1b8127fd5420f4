/* Seized tasks: why each is seized, and what becomes of it afterwards. */
#include <stdlib.h>

#include "vmsup/sup/sup.h"

struct vms_tracee *vms_tracee_find(struct vms_sup *sup, pid_t tid)
{
	struct vms_tracee *tracee;

	HASH_FIND_INT(sup->tracees, &tid, tracee);
	return tracee;
}

struct vms_tracee *vms_tracee_get(struct vms_sup *sup, pid_t tid)
{
	struct vms_tracee *tracee = vms_tracee_find(sup, tid);

	if (tracee)
		return tracee;
	tracee = calloc(1, sizeof(*tracee));
	if (!tracee)
		return NULL;
	tracee->tid = tid;
	HASH_ADD_INT(sup->tracees, tid, tracee);
	return tracee;
}

void vms_tracee_pin(struct vms_sup *sup, struct vms_tracee *tracee)
{
	vms_wait_soon(sup);
	/* Two jobs at once are better off on two CPUs. And a tenant's task must not stay pinned should we die. */
	if (sup->pin.is_on || sup->board)
		return;
	vms_pin_begin(&sup->pin, tracee->tid);
	tracee->is_pinned = sup->pin.is_on;
}

void vms_tracee_unpin(struct vms_sup *sup, struct vms_tracee *tracee)
{
	if (!tracee->is_pinned)
		return;
	tracee->is_pinned = false;
	vms_pin_end(&sup->pin, tracee->tid);
}

static void end(struct vms_sup *sup, struct vms_tracee *tracee)
{
	if (tracee->job == VMS_JOB_REMOTE || tracee->job == VMS_JOB_LOCKALL)
		vms_rescue_forget(sup, tracee->tid);
	if (tracee->job == VMS_JOB_RELOC)
		vms_reloc_done(&tracee->reloc);
	if (tracee->job == VMS_JOB_LOCKALL)
		free(tracee->lockall.parts);
	tracee->job = VMS_JOB_NONE;
}

void vms_tracee_drop(struct vms_sup *sup, struct vms_tracee *tracee)
{
	vms_tracee_unpin(sup, tracee);
	end(sup, tracee);
	HASH_DEL(sup->tracees, tracee);
	free(tracee);
}

void vms_tracee_end_job(struct vms_sup *sup, struct vms_tracee *tracee)
{
	vms_tracee_unpin(sup, tracee);
	end(sup, tracee);
	if (!tracee->guarded)
		vms_tracee_drop(sup, tracee);
}
