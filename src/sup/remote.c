/* Placements that the kernel would not make by itself, carried out by a remote call; retried where the kernel rejects one. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "vmsup/host/tracee.h"
#include "vmsup/sup/sup.h"

#define MAX_TRIES 64
/* include/linux/errno.h */
#define ERESTARTNOINTR 513

bool vms_remote_notified(struct vms_sup *sup, const struct vms_trap *trap)
{
	const struct vms_tracee *tracee;

	if (trap->arch != VMS_ARCH_I386)
		return vms_rescue_notified(sup, trap);
	tracee = vms_tracee_find(sup, trap->tid);
	if (!tracee || (tracee->job != VMS_JOB_REMOTE && tracee->job != VMS_JOB_LOCKALL) ||
	    !vms_remote_expects(&tracee->remote, trap->arch, trap->nr, trap->args))
		return false;
	vms_ignore(vms_listener_continue(&sup->listener, trap->id));
	return true;
}

/* The call that is due, and its arguments. Its number is the one that takes them in registers, as the plan has them. */
static int due_call(const struct vms_sup *sup, const struct vms_tracee *tracee, uint64_t args[6])
{
	const struct vms_range *range = &tracee->plan.range;
	const bool reserves = tracee->move == VMS_MOVE_RESERVE;
	const enum vms_arch arch = tracee->trap.arch;
	const uint64_t reservation[6] = {
		range->start, vms_range_size(range), PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, UINT32_MAX, 0,
	};
	int nr = tracee->trap.nr;

	memcpy(args, reserves ? reservation : tracee->plan.args, sizeof(reservation));
	if (reserves || arch == VMS_ARCH_I386)
		nr = vms_call_nr(arch, reserves ? VMS_CALL_MMAP : tracee->req.call);
	/* A call of i386 has no room for it: it is notified. */
	if (arch == VMS_ARCH_X86_64)
		vms_cookie_mark(&sup->cookie, nr, args);
	return nr;
}

static void keep(struct vms_sup *sup, const struct vms_tracee *tracee)
{
	if (tracee->remote.stub)
		(void)vms_rescue_keep(sup, tracee);
}

static bool begin_due(struct vms_sup *sup, struct vms_tracee *tracee)
{
	uint64_t args[6];
	int nr = due_call(sup, tracee, args);

	keep(sup, tracee);
	return vms_remote_call(&tracee->remote, nr, args) == 0;
}

static enum vms_move_step first_step(const struct vms_plan *plan)
{
	return plan->effect == VMS_EFFECT_MOVE && plan->chosen ? VMS_MOVE_RESERVE : VMS_MOVE_NONE;
}

/* i386's ipc stores where shmat has attached, and returns 0. */
static int64_t value_for(const struct vms_sup *sup, const struct vms_tracee *tracee, int64_t result)
{
	const uint32_t addr = (uint32_t)result;

	if (tracee->req.form != VMS_FORM_IPC || tracee->req.call != VMS_CALL_SHMAT || result < 0)
		return result;
	return vms_sup_write(sup, tracee->tid, tracee->req.args[3], &addr, sizeof(addr)) < 0 ? -EFAULT : 0;
}

void vms_remote_step(struct vms_sup *sup, struct vms_thread *thread, const struct vms_trap *trap,
		     const struct vms_req *req, const struct vms_facts *facts, const struct vms_plan *plan,
		     const struct vms_usage *growth, long long began)
{
	struct vms_tracee *tracee;
	struct vms_plan fallback = *plan;
	uint64_t args[6];
	int r, nr;

	if (vms_exec_defers(sup, thread, trap))
		return;
	tracee = vms_tracee_get(sup, thread->tid);

	if (!tracee) {
		fallback = vms_plan_refuse(ENOMEM);
		vms_step_answer(sup, trap, req, &fallback, began);
		return;
	}
	tracee->trap = *trap;
	tracee->req = *req;
	tracee->facts = *facts;
	tracee->plan = *plan;
	tracee->growth = *growth;
	tracee->tries = 0;
	tracee->step_two = VMS_STEP_MAP;
	tracee->began = began;
	tracee->move = first_step(plan);
	nr = due_call(sup, tracee, args);
	tracee->restarts = false;
	r = vms_remote_begin(&tracee->remote, thread->tid, tracee->guarded, trap->ip, vms_rescue_stub(sup, thread, trap), trap->arch, nr,
			     args);
	if (r < 0) {
		/* Traced by somebody else: the kernel places, inside the fence, and settling finds where. */
		if (!tracee->guarded)
			vms_tracee_drop(sup, tracee);
		/* A munmap across the start of the range: as it stands, it would take the fence along. */
		if (!plan->chosen) {
			fallback = vms_plan_refuse(plan->in_two_steps ? EACCES : EINVAL);
			vms_step_answer(sup, trap, req, &fallback, began);
			return;
		}
		fallback.verdict = VMS_CONTINUE;
		fallback.certain = false;
		/* Nothing would be vetted. */
		if (plan->in_two_steps)
			fallback = vms_plan_refuse(EACCES);
		/* What is behind the pointer by then is anything. */
		if (req->form == VMS_FORM_BLOCK)
			fallback = vms_plan_refuse(EPERM);
		if (vms_step_answer(sup, trap, req, &fallback, began) && fallback.verdict == VMS_CONTINUE)
			vms_thread_fly(thread, &fallback, growth);
		return;
	}
	sup->stats.remote++;
	vms_tracee_pin(sup, tracee);
	tracee->job = VMS_JOB_REMOTE;
	vms_thread_fly(thread, plan, growth);
	/*
	 * What the notified call itself returns is never seen, unless we die now: then the kernel makes the call again. A stale one
	 * stops all the same, and is let go.
	 */
	if (vms_listener_refuse(&sup->listener, trap->id, ERESTARTNOINTR) < 0) {
		sup->stats.stale++;
		tracee->remote.stage = VMS_REMOTE_DONE;
	}
}

/* Try the next place below the one that was rejected. False: there is none. */
static bool retry(struct vms_sup *sup, struct vms_tracee *tracee, struct vms_thread *thread)
{
	const struct vms_plan *busy[64];
	struct vms_mm *mm = thread->process->mm;
	vms_addr_t rejected = tracee->plan.range.start;
	struct vms_plan plan;
	uint64_t random;
	size_t nr;

	if (++tracee->tries > MAX_TRIES)
		return false;
	vms_thread_land(thread);
	/* Something is there that the tree does not know: what grows by page faults, or another's. Looked up at the 1st, 2nd, 4th... try. */
	if (!(tracee->tries & (tracee->tries - 1)))
		mm->stale = true;
	nr = vms_flight_probe(sup, thread, busy, 64);
	random = mm->space.random;
	if (vms_decide(&mm->space, &tracee->req, &tracee->facts, busy, nr, rejected, &plan) < 0 ||
	    plan.verdict != VMS_REMOTE)
		return false;
	sup->stats.retried++;
	vms_trace_decision(sup, thread, &tracee->trap,
			   &(struct vms_decided){ &tracee->facts, busy, nr, random, rejected }, &plan);
	tracee->plan = plan;
	tracee->move = first_step(&plan);
	vms_thread_fly(thread, &plan, &tracee->growth);
	return begin_due(sup, tracee);
}

/* The kernel says that something is in the way; shmat has no errno of its own for it. */
static bool is_rejected(const struct vms_tracee *tracee, int64_t result)
{
	if (!tracee->plan.chosen)
		return false;
	return result == -EEXIST || (tracee->req.call == VMS_CALL_SHMAT && result == -EINVAL);
}

/* True when all that is mapped at @range is the file that was vetted. */
static bool is_vetted(struct vms_sup *sup, struct vms_mm *mm, const struct vms_range *range, const struct vms_facts *facts)
{
	struct vms_vma_list *list = &sup->seen_range;
	vms_addr_t at = range->start;

	if (vms_maps_read(&mm->maps, range, list) < 0)
		return false;
	for (size_t i = 0; i < list->nr; i++) {
		if (list->items[i].range.start > at || list->items[i].dev != facts->file.dev ||
		    list->items[i].ino != facts->file.ino)
			return false;
		at = list->items[i].range.end;
	}
	return at >= range->end;
}

static bool second_call(struct vms_sup *sup, struct vms_tracee *tracee, enum vms_call call, vms_addr_t addr, vms_addr_t length,
			uint64_t prot)
{
	uint64_t args[6] = { addr, length, prot };
	const int nr = vms_call_nr(tracee->trap.arch, call);

	if (tracee->trap.arch == VMS_ARCH_X86_64)
		vms_cookie_mark(&sup->cookie, nr, args);
	keep(sup, tracee);
	return vms_remote_call(&tracee->remote, nr, args) == 0;
}

/*
 * A file that becomes executable: the mapping is there, and cannot be swapped as a descriptor can. True: another call has been begun.
 * *@result becomes what the thread gets otherwise.
 */
static bool go_on(struct vms_sup *sup, struct vms_tracee *tracee, struct vms_thread *thread, int64_t *result)
{
	const vms_addr_t length = vms_page_up(tracee->req.mmap.length);
	struct vms_range range = { (vms_addr_t)*result, (vms_addr_t)*result + length };

	switch (tracee->step_two) {
	case VMS_STEP_MAP:
		if (*result < 0 || !length)
			return false;
		tracee->mapped_at = *result;
		if (is_vetted(sup, thread->process->mm, &range, &tracee->facts)) {
			tracee->step_two = VMS_STEP_PROTECT;
			return second_call(sup, tracee, VMS_CALL_MPROTECT, range.start, length, tracee->req.args[2]);
		}
		vms_log_limited(&sup->rule_log, "process %d: the file of an executable mapping was swapped for another: refused",
				thread->process->pid);
		tracee->step_two = VMS_STEP_UNDO;
		return second_call(sup, tracee, VMS_CALL_MUNMAP, range.start, length, 0);
	case VMS_STEP_PROTECT:
		if (*result == 0) {
			*result = tracee->mapped_at;
			return false;
		}
		/* A noexec mount: mmap itself would have said so. */
		tracee->step_two = VMS_STEP_UNDO;
		return second_call(sup, tracee, VMS_CALL_MUNMAP, (vms_addr_t)tracee->mapped_at, length, 0);
	case VMS_STEP_UNDO:
		*result = -EPERM;
		return false;
	}
	return false;
}

/* A move to a chosen place: true when its next call has been begun. *@result becomes what the thread gets otherwise. */
static bool move_on(struct vms_sup *sup, struct vms_tracee *tracee, struct vms_thread *thread, int64_t *result)
{
	switch (tracee->move) {
	case VMS_MOVE_RESERVE:
		tracee->move = VMS_MOVE_MOVE;
		if (*result < 0) {
			/* There may be no room for both. The kernel chooses; settling finds where. */
			tracee->move = VMS_MOVE_NONE;
			tracee->plan.certain = false;
			memcpy(tracee->plan.args, tracee->req.args, sizeof(tracee->plan.args));
			vms_thread_fly(thread, &tracee->plan, &tracee->growth);
		}
		return begin_due(sup, tracee);
	case VMS_MOVE_MOVE:
		if (*result >= 0)
			return false;
		tracee->moved = *result;
		tracee->move = VMS_MOVE_UNDO;
		return second_call(sup, tracee, VMS_CALL_MUNMAP, tracee->plan.range.start,
				   vms_range_size(&tracee->plan.range), 0);
	case VMS_MOVE_UNDO:
		*result = tracee->moved;
		return false;
	case VMS_MOVE_NONE:
		return false;
	}
	return false;
}

static void restart(struct vms_sup *sup, struct vms_tracee *tracee)
{
	if (tracee->guarded && tracee->is_stopped)
		vms_ignore(vms_tracee_interrupt(tracee->tid));
	vms_ignore(vms_remote_restart(&tracee->remote, tracee->trap.nr));
	vms_tracee_end_job(sup, tracee);
}

static void finish(struct vms_sup *sup, struct vms_tracee *tracee)
{
	struct vms_thread *thread = vms_tasks_find(&sup->tasks, tracee->tid);
	int64_t result = tracee->remote.result;

	if (tracee->restarts) {
		restart(sup, tracee);
		return;
	}
	if (thread && thread->is_in_flight) {
		if (is_rejected(tracee, result) && retry(sup, tracee, thread))
			return;
		if (move_on(sup, tracee, thread, &result))
			return;
		if (tracee->plan.in_two_steps && go_on(sup, tracee, thread, &result))
			return;
		if (result == -EEXIST && tracee->plan.chosen)
			result = -ENOMEM;
		if (thread->is_in_flight)
			vms_flight_settle(sup, thread);
	}
	vms_refusal_note(sup, &tracee->trap, &tracee->req, &tracee->plan, result, true);
	if (sup->trace)
		vms_trace_write(sup, &tracee->trap, &tracee->req, &tracee->plan, result, true, tracee->began);
	vms_tracee_unpin(sup, tracee);
	/* Stepped within a group stop, it goes back into it before it runs on; a detach sees to that by itself. */
	if (tracee->guarded && tracee->is_stopped)
		vms_ignore(vms_tracee_interrupt(tracee->tid));
	vms_ignore(vms_remote_finish(&tracee->remote, value_for(sup, tracee, result)));
	vms_tracee_end_job(sup, tracee);
}

void vms_remote_give_up(struct vms_sup *sup, struct vms_tracee *tracee, int status, int r)
{
	struct vms_thread *thread = vms_tasks_find(&sup->tasks, tracee->tid);

	if (thread) {
		if (thread->process->mm)
			thread->process->mm->stale = true;
		vms_thread_land(thread);
	}
	/* Reaped: a record that the guard kept would be taken for the next task of that number. */
	if (vms_stop_of(status) == VMS_STOP_GONE) {
		vms_tracee_drop(sup, tracee);
		return;
	}
	if (tracee->guarded && tracee->is_stopped)
		vms_ignore(vms_tracee_interrupt(tracee->tid));
	if (r != -ESRCH)
		vms_remote_abandon(&tracee->remote);
	vms_tracee_end_job(sup, tracee);
}

void vms_remote_event(struct vms_sup *sup, struct vms_tracee *tracee, int status)
{
	struct vms_thread *thread;
	int r;

	/* The notification was stale: nothing has happened. The thread is let go where it stopped. */
	if (tracee->remote.stage == VMS_REMOTE_DONE) {
		thread = vms_tasks_find(&sup->tasks, tracee->tid);
		if (thread)
			vms_thread_land(thread);
		tracee->job = VMS_JOB_NONE;
		vms_tracee_unpin(sup, tracee);
		vms_guard_event(sup, tracee, status);
		return;
	}
	r = vms_rescue_stop(sup, tracee, status);
	if (r == 1) {
		finish(sup, tracee);
		return;
	}
	if (r < 0)
		vms_remote_give_up(sup, tracee, status, r);
}
