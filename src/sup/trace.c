/* --trace: one JSON object a decided call. */
#include <errno.h>
#include <string.h>

#include <jansson.h>

#include "vmsup/host/proc.h"
#include "vmsup/sup/drain.h"
#include "vmsup/sup/report.h"
#include "vmsup/sup/sup.h"
#include "vmsup/wire/msg.h"

static const char *decision_name(const struct vms_plan *plan)
{
	static const char *const names[] = {
		[VMS_REFUSE] = "refuse",
		[VMS_REPLY] = "reply",
		[VMS_CONTINUE] = "continue",
		[VMS_REMOTE] = "remote",
	};

	return names[plan->verdict];
}

void vms_trace_write(struct vms_sup *sup, const struct vms_trap *trap, const struct vms_req *req,
		     const struct vms_plan *plan, int64_t result, bool has_result, long long began)
{
	const struct vms_call_info *info = vms_call_get(req->call);
	struct vms_thread *thread = vms_tasks_find(&sup->tasks, trap->tid);
	const long long now = vms_now_ns();
	json_t *object = json_object(), *args = json_array();
	struct vms_proc_status status;

	json_object_set_new(object, "time", json_real((double)began / 1e9));
	json_object_set_new(object, "pid", json_integer(thread ? thread->process->pid : trap->tid));
	json_object_set_new(object, "tid", json_integer(trap->tid));
	if (vms_refusal_is(req, plan, result, has_result) && vms_proc_status(trap->tid, &status) == 0)
		json_object_set_new(object, "command", vms_msg_text(status.comm));
	json_object_set_new(object, "call", json_string(info->name));
	if (req->arch == VMS_ARCH_I386)
		json_object_set_new(object, "abi", json_string("i386"));
	for (unsigned int i = 0; i < info->nr_args; i++)
		json_array_append_new(args, vms_msg_hex(req->args[i]));
	json_object_set_new(object, "args", args);
	json_object_set_new(object, "decision", json_string(decision_name(plan)));
	if (plan->range.start < plan->range.end)
		json_object_set_new(object, "address", vms_msg_hex(plan->range.start));
	else
		json_object_set_new(object, "address", json_null());
	/* What a continued call returns is the kernel's, and is not seen here. */
	if (has_result && result < 0 && result > -4096)
		json_object_set_new(object, "errno", json_string(strerrorname_np((int)-result)));
	else if (has_result)
		json_object_set_new(object, "result", vms_msg_hex((uint64_t)result));
	else
		json_object_set_new(object, "result", json_null());
	vms_report_reason(object, plan->injected, plan->rule, plan->limit, plan->tree_limit);
	json_object_set_new(object, "cost_us", json_real((double)(now - began) / 1e3));
	json_dumpf(object, sup->trace, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(15));
	fputc('\n', sup->trace);
	json_decref(object);
	if (sup->drain && vms_drain_is_broken(sup->drain))
		vms_tenancy_trace(sup, -1);
}
