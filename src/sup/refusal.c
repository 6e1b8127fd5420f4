/*
 * What was refused lately, for `vmsup explain PID`: one entry for each process, call and reason, however often. The number of
 * entries is fixed, and the one that was refused longest ago makes room, so that no program can make us remember much.
 */
#include <errno.h>
#include <string.h>

#include "vmsup/host/proc.h"
#include "vmsup/sup/sup.h"

static bool is_same(const struct vms_refusal *a, const struct vms_refusal *b)
{
	return a->count && a->pid == b->pid && a->call == b->call && a->error == b->error && a->limit == b->limit &&
	       a->tree_limit == b->tree_limit && a->rule == b->rule && a->injected == b->injected;
}

bool vms_refusal_is(const struct vms_req *req, const struct vms_plan *plan, int64_t result, bool has_result)
{
	if (!has_result)
		return false;
	if (req->call == VMS_CALL_BRK)
		return plan->limit || plan->injected || (uint64_t)result < req->args[0];
	return result < 0 && result > -4096;
}

void vms_refusal_note(struct vms_sup *sup, const struct vms_trap *trap, const struct vms_req *req, const struct vms_plan *plan,
		      int64_t result, bool has_result)
{
	const int error = req->call == VMS_CALL_BRK ? ENOMEM : (int)-result;
	const struct vms_thread *thread = vms_tasks_find(&sup->tasks, trap->tid);
	struct vms_refusal now = { .pid = thread ? thread->process->pid : trap->tid, .call = req->call, .error = error,
				   .limit = plan->limit, .tree_limit = plan->tree_limit, .rule = plan->rule,
				   .injected = plan->injected };
	struct vms_refusal *place = &sup->refusals[0];
	struct vms_proc_status status;

	if (!vms_refusal_is(req, plan, result, has_result))
		return;
	for (size_t i = 0; i < VMS_NR_REFUSALS; i++) {
		struct vms_refusal *r = &sup->refusals[i];

		if (is_same(r, &now)) {
			place = r;
			break;
		}
		if (r->last < place->last)
			place = r;
	}
	if (!is_same(place, &now)) {
		*place = now;
		if (vms_proc_status(now.pid, &status) == 0)
			memcpy(place->command, status.comm, sizeof(place->command));
	}
	place->count++;
	place->last = ++sup->last_refusal;
	memcpy(place->args, req->args, sizeof(place->args));
	vms_tenancy_refused(sup, place, plan->verdict == VMS_REFUSE);
}
