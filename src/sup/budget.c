/*
 * Limits on what a process, or the whole tree, may have: asked before a plan is carried out. What they count is core/limit.c;
 * RLIMIT_AS, which the kernel enforces, is limit.c.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmsup/sup/sup.h"

static void send_signal(const struct vms_process *process, int sig)
{
	/* Its pidfd: the number may be another's by now. */
	vms_ignore((int)syscall(SYS_pidfd_send_signal, process->pidfd, sig, NULL, 0));
}

/* Once a process and limit; each refusal is in the counters and the trace. */
static void tell(struct vms_sup *sup, struct vms_process *process, const struct vms_req *req, const struct vms_plan *plan,
		 uint64_t max, uint64_t used)
{
	const uint32_t bit = 1u << (plan->limit + (plan->tree_limit ? VMS_NR_LIMITS : 0));
	const char *unit = plan->limit == VMS_LIMIT_MAPS ? "mappings" : "bytes";

	if (process->limits_told & bit)
		return;
	process->limits_told |= bit;
	vms_log_limited(&sup->limit_log, "process %d has reached --%smax-%s: %s would pass %" PRIu64 " %s, %" PRIu64 " are used",
			process->pid, plan->tree_limit ? "tree-" : "", vms_limit_name(plan->limit),
			vms_call_get(req->call)->name, max, unit, used);
}

/* What follows when @plan refuses for a limit. */
static void refused(struct vms_sup *sup, struct vms_process *process, const struct vms_req *req, const struct vms_plan *plan,
		    uint64_t max, uint64_t used)
{
	if (plan->tree_limit)
		sup->stats.tree_limited[plan->limit]++;
	else
		sup->stats.limited[plan->limit]++;
	tell(sup, process, req, plan, max, used);
	if (sup->options.on_limit_signal)
		send_signal(process, sup->options.on_limit_signal);
}

static bool ask(const struct vms_limits *limits, const struct vms_usage *counted, const struct vms_usage *in_flight,
		const struct vms_usage *growth, struct vms_plan *plan, uint64_t *ret_max, uint64_t *ret_used)
{
	struct vms_usage used = *counted;

	vms_usage_add(&used, in_flight);
	plan->limit = (uint8_t)vms_limits_passed(limits, &used, growth);
	if (plan->limit == VMS_LIMIT_NONE)
		return true;
	*ret_max = limits->max[plan->limit];
	*ret_used = counted->used[plan->limit];
	return false;
}

/*
 * What grows does so by page faults, and nobody could be asked. Where mappings are counted it gets the size that it asks for and
 * stays so: below it is a fault, as where the limit of the stack is reached.
 */
static void keep_size(const struct vms_limits *limits, const struct vms_limits *tree_limits, const struct vms_req *req,
		      struct vms_plan *plan)
{
	const enum vms_limit counted[] = { VMS_LIMIT_COMMIT, VMS_LIMIT_VA };
	bool is_counted = false;

	for (int i = 0; i < 2; i++)
		is_counted |= limits->max[counted[i]] != VMS_UNLIMITED || tree_limits->max[counted[i]] != VMS_UNLIMITED;
	if (!is_counted || req->call != VMS_CALL_MMAP || plan->effect != VMS_EFFECT_MAP || !(plan->vma.flags & VMS_VMA_GROWSDOWN))
		return;
	if (plan->verdict == VMS_CONTINUE) {
		plan->verdict = VMS_REMOTE;
		memcpy(plan->args, req->args, sizeof(plan->args));
		if (plan->chosen) {
			plan->args[0] = plan->range.start;
			plan->args[3] |= MAP_FIXED_NOREPLACE;
		}
	}
	plan->args[3] &= ~(uint64_t)MAP_GROWSDOWN;
	plan->vma.flags &= ~VMS_VMA_GROWSDOWN;
}

bool vms_budget_allows(struct vms_sup *sup, struct vms_thread *thread, const struct vms_req *req, const struct vms_facts *facts,
		       struct vms_plan *plan, struct vms_usage *ret_growth)
{
	struct vms_process *process = thread->process;
	const struct vms_mm *mm = process->mm;
	const struct vms_tasks *tasks = &sup->tasks;
	struct vms_plan verdict = { 0 };
	uint64_t max = 0, used = 0;

	*ret_growth = (struct vms_usage){ 0 };
	if (plan->verdict == VMS_REFUSE || plan->verdict == VMS_REPLY ||
	    (!vms_limits_any(&process->limits) && !vms_limits_any(&tasks->tree_limits)))
		return true;
	keep_size(&process->limits, &tasks->tree_limits, req, plan);
	vms_usage_growth(&mm->space, req, facts, plan, ret_growth);
	if (ask(&process->limits, &mm->counted, &mm->in_flight_growth, ret_growth, &verdict, &max, &used)) {
		if (ask(&tasks->tree_limits, &tasks->total, &tasks->in_flight_growth, ret_growth, &verdict, &max, &used))
			return true;
		verdict.tree_limit = true;
	}
	*plan = vms_limit_refusal(&mm->space, req);
	plan->limit = verdict.limit;
	plan->tree_limit = verdict.tree_limit;
	refused(sup, process, req, plan, max, used);
	return false;
}

bool vms_budget_allows_fork(struct vms_sup *sup, struct vms_thread *thread, const struct vms_req *req, struct vms_plan *plan,
			    struct vms_usage *ret_growth)
{
	const struct vms_tasks *tasks = &sup->tasks;
	const struct vms_mm *mm = thread->process->mm;
	uint64_t max = 0, used = 0;

	*ret_growth = mm->counted;
	vms_usage_add(ret_growth, &mm->in_flight_growth);
	if (ask(&tasks->tree_limits, &tasks->total, &tasks->in_flight_growth, ret_growth, plan, &max, &used))
		return true;
	plan->tree_limit = true;
	plan->verdict = VMS_REFUSE;
	plan->error = ENOMEM;
	refused(sup, thread->process, req, plan, max, used);
	return false;
}

/* The kernel grows the stack by itself: it is told the limit. */
static int set_stack(pid_t pid, uint64_t max)
{
	struct rlimit limit;

	if (prlimit(pid, RLIMIT_STACK, NULL, &limit) < 0)
		return -errno;
	if (limit.rlim_cur > max)
		limit.rlim_cur = max;
	limit.rlim_max = max;
	return prlimit(pid, RLIMIT_STACK, &limit, NULL) < 0 ? -errno : 0;
}

int vms_budget_set(struct vms_sup *sup, struct vms_process *process, const struct vms_limits *limits, struct vms_err *err)
{
	const uint64_t stack = limits->max[VMS_LIMIT_STACK];
	int r;

	if (stack != process->limits.max[VMS_LIMIT_STACK]) {
		r = set_stack(process->pid, stack);
		if (r < 0)
			return vms_err_set(err, r, "the stack of process %d cannot be limited to %" PRIu64 " bytes: %s",
					   process->pid, stack,
					   r == -EPERM ? "its hard limit (ulimit -Hs) is lower, and only root may raise it" :
							 strerror(-r));
	}
	process->limits = *limits;
	process->limits_told = 0;
	sup->tasks.has_own_limits = true;
	return 0;
}
