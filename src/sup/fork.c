/*
 * Spaces that are made by fork, where the tree has limits.
 *
 * Without limits of the tree a fork is not trapped, and its child has a record from its first memory call on. With them it is asked for
 * before, as for memory of its own: until one of both writes it is shared, but then nobody could be asked. It is in flight like a
 * memory call: what the child adds stays reserved until the child is seen, as a child of its thread when that comes again, by the child's
 * own first call, or among our own children when its parent has ended.
 */
#include <errno.h>
#include <sched.h>
#include <unistd.h>

#include <utlist.h>

#include "vmsup/host/proc.h"
#include "vmsup/sup/sup.h"

/* The flags, from the register; of clone3 from memory, where they may change: whoever cheats is counted from the first call on. */
static uint64_t flags_of(const struct vms_sup *sup, const struct vms_thread *thread, const struct vms_req *req)
{
	uint64_t flags = 0;

	if (req->call == VMS_CALL_CLONE)
		return req->args[0];
	if (req->call == VMS_CALL_CLONE3 && vms_sup_read(sup, thread->tid, req->args[0], &flags, sizeof(flags)) < 0)
		return CLONE_VM;
	return flags;
}

void vms_fork_step(struct vms_sup *sup, struct vms_thread *thread, const struct vms_trap *trap, const struct vms_req *req,
		   long long began)
{
	const uint64_t flags = flags_of(sup, thread, req);
	struct vms_plan plan = vms_plan_pass();
	struct vms_usage growth;

	if ((flags & CLONE_VM) || vms_tasks_load_mm(&sup->tasks, thread->process) < 0) {
		vms_step_answer(sup, trap, req, &plan, began);
		return;
	}
	vms_flight_visible(sup, thread->process->mm);
	if (vms_budget_allows_fork(sup, thread, req, &plan, &growth)) {
		if (vms_step_answer(sup, trap, req, &plan, began)) {
			vms_thread_fork(thread, &growth);
			thread->forks_sibling = flags & CLONE_PARENT;
		}
		return;
	}
	vms_step_answer(sup, trap, req, &plan, began);
}

/* Whatever is not known yet gets a record; one that is a thread's number, or gone, none. */
static int take_child(pid_t pid, void *arg)
{
	struct vms_sup *sup = arg;
	struct vms_process *process;

	if (vms_tasks_find_process(&sup->tasks, pid))
		return 0;
	if (vms_tasks_get_process(&sup->tasks, pid, &process) == 0)
		vms_ignore(vms_tasks_load_mm(&sup->tasks, process));
	return 0;
}

static int take_children(pid_t tid, void *arg)
{
	struct vms_sup *sup = arg;
	struct vms_proc_status status;

	if (vms_proc_status(tid, &status) == 0)
		vms_ignore(vms_proc_each_child(status.tgid, tid, take_child, sup));
	return 0;
}

/* Ours are the program, and what its parents have left. */
static void take_orphans(struct vms_sup *sup)
{
	vms_ignore(vms_proc_each_child(getpid(), getpid(), take_child, sup));
}

void vms_fork_settle(struct vms_sup *sup, struct vms_thread *thread)
{
	const struct vms_process *process = thread->process;
	struct vms_proc_status status;

	vms_thread_forked(thread);
	vms_ignore(vms_proc_each_child(process->pid, thread->tid, take_child, sup));
	if (!thread->forks_sibling)
		return;
	take_orphans(sup);
	if (vms_proc_status(process->pid, &status) == 0 && status.ppid != getpid())
		vms_ignore(vms_proc_each_thread(status.ppid, take_children, sup));
}

struct search {
	pid_t pid;
	bool found;
};

static int is_child(pid_t pid, void *arg)
{
	struct search *search = arg;

	search->found |= pid == search->pid;
	return 0;
}

void vms_fork_seen(struct vms_sup *sup, const struct vms_process *process)
{
	struct vms_proc_status status;
	struct vms_process *parent;
	struct vms_thread *thread;

	if (!vms_limits_any(&sup->tasks.tree_limits) || vms_proc_status(process->pid, &status) < 0)
		return;
	parent = vms_tasks_find_process(&sup->tasks, status.ppid);
	if (!parent)
		return;
	DL_FOREACH2(parent->threads, thread, sibling_next) {
		struct search search = { .pid = process->pid };

		if (thread->is_forking && vms_proc_each_child(parent->pid, thread->tid, is_child, &search) == 0 && search.found)
			vms_thread_forked(thread);
	}
}

void vms_fork_gone(struct vms_sup *sup, const struct vms_process *process)
{
	const struct vms_thread *thread;
	bool was_forking = false;

	DL_FOREACH2(process->threads, thread, sibling_next)
		was_forking |= thread->is_forking;
	if (was_forking)
		take_orphans(sup);
}
