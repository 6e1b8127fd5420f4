/*
 * Remote calls of a tenant that outlive the supervisor: they are carried out in the stub (host/stub.h), and what belongs to each is on the
 * board before its thread's registers are changed. The next supervisor receives the notification in which the thread waits, and goes on.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "vmsup/host/proc.h"
#include "vmsup/host/stub.h"
#include "vmsup/host/tracee.h"
#include "vmsup/sup/sup.h"

#define NO_STUB 1
/* include/linux/errno.h */
#define ERESTARTNOINTR 513

static vms_addr_t find_vdso_end(const struct vms_space *space)
{
	const struct vms_vma *vma;

	for (vma = vms_tree_find_from(&space->tree, 0); vma; vma = vms_tree_next(vma)) {
		if (vma->kind == VMS_KIND_VDSO && (vma->prot & VMS_PROT_EXEC))
			return vma->range.end;
	}
	return 0;
}

/* A filter of the program's own might answer what is called there. From now on it would be noticed. */
static bool is_filtered(const struct vms_sup *sup, pid_t tid)
{
	struct vms_proc_status status;

	return vms_proc_status(tid, &status) < 0 || status.filters != sup->board->filters;
}

vms_addr_t vms_rescue_stub(const struct vms_sup *sup, const struct vms_thread *thread, const struct vms_trap *trap)
{
	struct vms_mm *mm = thread->process->mm;
	vms_addr_t end;

	if (!sup->board || trap->arch != VMS_ARCH_X86_64 || !mm || mm->space.arch != VMS_ARCH_X86_64 || sup->reloc_conf.verify)
		return 0;
	if (!mm->stub) {
		end = is_filtered(sup, thread->tid) ? 0 : find_vdso_end(&mm->space);
		mm->stub = end ? vms_stub_place(end) : NO_STUB;
	}
	return mm->stub == NO_STUB ? 0 : mm->stub;
}

static struct vms_rescue *find(const struct vms_sup *sup, pid_t tid)
{
	for (size_t i = 0; sup->board && i < VMS_NR_RESCUES; i++) {
		if (sup->board->rescues[i].state && sup->board->rescues[i].tid == tid)
			return &sup->board->rescues[i];
	}
	return NULL;
}

static struct vms_rescue *find_free(const struct vms_sup *sup)
{
	for (size_t i = 0; i < VMS_NR_RESCUES; i++) {
		if (!sup->board->rescues[i].state)
			return &sup->board->rescues[i];
	}
	return NULL;
}

bool vms_rescue_keep(struct vms_sup *sup, const struct vms_tracee *tracee)
{
	struct vms_rescue *r = find(sup, tracee->tid);

	if (!r)
		r = find_free(sup);
	if (!r)
		return false;
	r->tid = tracee->tid;
	r->job = tracee->job;
	r->remote = tracee->remote;
	r->trap = tracee->trap;
	r->req = tracee->req;
	r->facts = tracee->facts;
	r->plan = tracee->plan;
	r->growth = tracee->growth;
	r->tries = tracee->tries;
	r->step_two = tracee->step_two;
	r->move = tracee->move;
	r->mapped_at = tracee->mapped_at;
	r->moved = tracee->moved;
	__atomic_store_n(&r->state, 1, __ATOMIC_RELEASE);
	return true;
}

void vms_rescue_forget(struct vms_sup *sup, pid_t tid)
{
	struct vms_rescue *r = find(sup, tid);

	if (r)
		__atomic_store_n(&r->state, 0, __ATOMIC_RELEASE);
}

int vms_rescue_stop(struct vms_sup *sup, struct vms_tracee *tracee, int status)
{
	struct vms_remote *remote = &tracee->remote;
	int r = vms_remote_stop(remote, status);

	if (r != 1 || remote->stage != VMS_REMOTE_TAKEN)
		return r;
	r = vms_rescue_keep(sup, tracee) ? 0 : vms_remote_step_instead(remote);
	return r < 0 ? r : vms_remote_go(remote);
}

/* --- the next supervisor ------------------------------------------------------------------------- */

void vms_rescue_sift(struct vms_sup *sup)
{
	for (size_t i = 0; i < VMS_NR_RESCUES; i++) {
		struct vms_rescue *r = &sup->board->rescues[i];
		uint64_t ip = 0;
		int e;

		if (!r->state)
			continue;
		e = vms_proc_call_ip((pid_t)r->tid, &ip);
		/* Its registers were its own when the supervisor died. */
		if (e == -ESRCH || (e == 0 && !vms_stub_has(r->remote.stub, ip)))
			r->state = 0;
	}
}

/* Its call has been carried out, and settling finds what it did: the tree is read after it. */
static void take(struct vms_sup *sup, const struct vms_rescue *r, struct vms_tracee *tracee)
{
	struct vms_thread *thread;

	tracee->job = (enum vms_job)r->job;
	tracee->remote = r->remote;
	tracee->remote.was_seized = tracee->guarded;
	tracee->remote.stage = VMS_REMOTE_CALLING;
	tracee->trap = r->trap;
	tracee->req = r->req;
	tracee->facts = r->facts;
	tracee->plan = r->plan;
	tracee->growth = r->growth;
	tracee->tries = (unsigned int)r->tries;
	tracee->step_two = (enum vms_step_two)r->step_two;
	tracee->move = (enum vms_move_step)r->move;
	tracee->mapped_at = r->mapped_at;
	tracee->moved = r->moved;
	tracee->lockall = (struct vms_lockall){ .parts = NULL };
	tracee->began = vms_now_ns();
	/* What is yet to be locked is not known any more: all of it is done once more. */
	tracee->restarts = tracee->job != VMS_JOB_REMOTE;
	tracee->job = VMS_JOB_REMOTE;
	if (vms_tasks_get(&sup->tasks, tracee->tid, &thread) < 0 || vms_tasks_load_mm(&sup->tasks, thread->process) < 0) {
		tracee->restarts = true;
		return;
	}
	thread->process->mm->stale = true;
	if (!tracee->restarts && !thread->is_in_flight)
		vms_thread_fly(thread, &tracee->plan, &tracee->growth);
}

/* A thread that waits in the stub for a supervisor that has died. */
static struct vms_tracee *adopt(struct vms_sup *sup, const struct vms_trap *trap)
{
	const struct vms_rescue *r = find(sup, trap->tid);
	struct vms_tracee *tracee = vms_tracee_find(sup, trap->tid);

	if (!r || trap->ip != vms_stub_parked(r->remote.stub) || (tracee && tracee->job != VMS_JOB_NONE))
		return NULL;
	if (!tracee && vms_tracee_seize(trap->tid, 0) == 0)
		tracee = vms_tracee_get(sup, trap->tid);
	if (tracee) {
		take(sup, r, tracee);
	} else {
		/* Not to be left there: it would call for ever. */
		vms_log_limited(&sup->task_log, "task %d waits for a supervisor that has died, and cannot be taken over: it is killed", trap->tid);
		kill(trap->tid, SIGKILL);
	}
	return tracee;
}

bool vms_rescue_notified(struct vms_sup *sup, const struct vms_trap *trap)
{
	struct vms_tracee *tracee;

	if (!sup->board || vms_call_by_nr(trap->arch, trap->nr) != VMS_CALL_BRK)
		return false;
	tracee = vms_tracee_find(sup, trap->tid);
	if (!tracee || tracee->job == VMS_JOB_NONE)
		tracee = adopt(sup, trap);
	if (!tracee || (tracee->job != VMS_JOB_REMOTE && tracee->job != VMS_JOB_LOCKALL) ||
	    !vms_remote_parks(&tracee->remote, trap->ip, trap->args[2]))
		return false;
	/* It is no call of the program's. */
	sup->stats.notifications--;
	sup->stats.by_call[VMS_CALL_BRK]--;
	vms_wait_soon(sup);
	vms_ignore(vms_tracee_interrupt(trap->tid));
	vms_ignore(vms_listener_refuse(&sup->listener, trap->id, ERESTARTNOINTR));
	return true;
}
