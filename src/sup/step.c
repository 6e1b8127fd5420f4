/*
 * The way of one call. Read this file first:
 *
 *	receive -> decode -> decide -> apply -> settle -> reply
 *
 * The listener has received; here the call is decoded from its registers, decided on the tree, and carried out the
 * cheapest way that yields exactly what was decided. An answer to CONTINUE lets the call happen later than this step: it is
 * then in flight, and settled when the thread comes again (flight.c).
 */
#include <errno.h>
#include <sys/shm.h>
#include <unistd.h>

#include <linux/prctl.h>
#include <linux/userfaultfd.h>

#include "vmsup/base/fd.h"
#include "vmsup/host/file.h"
#include "vmsup/sup/sup.h"

/* Plans of other threads that one decision looks at. */
#define MAX_BUSY 512

/* A pidfd by which the thread's descriptors can be had: an ended leader has none. *@own is the caller's to close. */
static int own_pidfd(const struct vms_thread *thread, int *own)
{
	if (thread->process->leader_ended && *own < 0)
		*own = vms_proc_thread_pidfd(thread->tid);
	return *own >= 0 ? *own : thread->process->pidfd;
}

static void gather_facts(const struct vms_sup *sup, const struct vms_thread *thread, const struct vms_req *req,
			 struct vms_facts *facts)
{
	unsigned int needs = vms_decide_needs(&thread->process->mm->space, req);
	struct shmid_ds ds;
	vms_autofd own = -1;

	*facts = (struct vms_facts){ 0 };
	if (needs & VMS_NEED_FILE)
		vms_file_facts(thread->tid, own_pidfd(thread, &own), req->mmap.fd, facts);
	if (needs & VMS_NEED_VET)
		vms_file_vet(own_pidfd(thread, &own), req->mmap.fd, sup->options.exec_dirs, sup->options.nr_exec_dirs, facts);
	/* In an IPC namespace of its own, the number is another segment's. */
	if ((needs & VMS_NEED_SHM) && vms_proc_same_ns(thread->tid, getpid(), "ipc") && shmctl(req->shmat.id, IPC_STAT, &ds) == 0) {
		facts->shm.known = true;
		facts->shm.size = ds.shm_segsz;
	}
}

bool vms_step_answer(struct vms_sup *sup, const struct vms_trap *trap, const struct vms_req *req,
		     const struct vms_plan *plan, long long began)
{
	int64_t result = 0;
	bool has_result = true;
	int r;

	switch (plan->verdict) {
	case VMS_CONTINUE:
		sup->stats.continued++;
		has_result = false;
		r = vms_listener_continue(&sup->listener, trap->id);
		break;
	case VMS_REPLY:
		sup->stats.replied++;
		result = (int64_t)plan->value;
		r = vms_listener_reply(&sup->listener, trap->id, plan->value);
		break;
	case VMS_REFUSE:
	case VMS_REMOTE:
	default:
		sup->stats.refused++;
		result = -(plan->error ? plan->error : EPERM);
		r = vms_listener_refuse(&sup->listener, trap->id, (int)-result);
		break;
	}
	if (r < 0)
		sup->stats.stale++;
	vms_refusal_note(sup, trap, req, plan, result, has_result);
	if (sup->trace)
		vms_trace_write(sup, trap, req, plan, result, has_result, began);
	return r == 0;
}

/*
 * What is in flight is waited for once, however many calls wait for it: its thread may have returned long ago and never make
 * another call.
 */
static bool is_overdue(const struct vms_sup *sup, const struct vms_plan *plan)
{
	struct vms_thread *thread = vms_thread_of_plan(plan);

	if (!thread->awaited_since)
		thread->awaited_since = vms_now_ns();
	return vms_now_ns() - thread->awaited_since > vms_hold_max_ns(sup);
}

/*
 * i386's first mmap has its arguments in memory, which other threads may change: they are read once, and what was read is what
 * is decided and, whatever the decision, what the thread is made to call. Returns 0 or a positive errno.
 */
static int read_block(const struct vms_sup *sup, const struct vms_trap *trap, struct vms_req *req)
{
	uint32_t words[6];

	if (vms_sup_read(sup, trap->tid, req->args[0], words, sizeof(words)) < 0)
		return EFAULT;
	return -vms_req_decode_block(req, words);
}

static void insist(struct vms_plan *plan, const struct vms_req *req)
{
	if (plan->verdict != VMS_CONTINUE)
		return;
	plan->verdict = VMS_REMOTE;
	for (int i = 0; i < 6; i++)
		plan->args[i] = req->args[i];
}

/* Waiting for @busy would change what is decided. */
static bool must_wait(const struct vms_sup *sup, const struct vms_plan *plan, const struct vms_plan *const *busy,
		      size_t nr_busy)
{
	bool must = false;

	/* To the end, so that all of them are awaited from now on. */
	for (size_t i = 0; i < nr_busy; i++) {
		bool waits = !plan->chosen && plan->effect != VMS_EFFECT_NONE && plan->effect != VMS_EFFECT_UNKNOWN &&
			     (vms_plan_touches(busy[i], &plan->range) || vms_plan_touches(busy[i], &plan->from));

		/* While another thread's call moves the gaps, where the kernel will place this one is a guess. */
		if (sup->options.audit && plan->effect != VMS_EFFECT_NONE && vms_plan_moves_gaps(busy[i]))
			waits = true;
		if (waits && !is_overdue(sup, busy[i]))
			must = true;
	}
	return must;
}

/* A fork child's tree is its parent's: what the parent did before the fork must be in it. */
static void settle_parent(struct vms_sup *sup, struct vms_process *child)
{
	struct vms_process *parent = vms_tasks_parent(&sup->tasks, child);

	if (parent && parent->mm)
		vms_flight_visible(sup, parent->mm);
}

static bool is_policed(const struct vms_sup *sup, const struct vms_process *process)
{
	return vms_limits_any(&process->limits) || vms_limits_any(&sup->tasks.tree_limits) ||
	       !vms_exec_policy_is_plain(&sup->tasks.exec_policy);
}

/* A record that is known to be out of date, and could not be read again, says nothing. */
static void audit(struct vms_sup *sup, struct vms_process *process, const char *after)
{
	if (!process->mm->stale)
		vms_audit(sup, process, after);
}

static void memory_step(struct vms_sup *sup, struct vms_thread *thread, const struct vms_trap *trap,
			const struct vms_req *req, long long began)
{
	const struct vms_plan *busy[MAX_BUSY];
	struct vms_plan plan = vms_plan_refuse(ENOMEM);
	struct vms_usage growth;
	struct vms_facts facts;
	uint64_t random;
	size_t nr_busy;
	bool is_new = !thread->process->mm;

	if (is_new)
		settle_parent(sup, thread->process);
	if (vms_tasks_load_mm(&sup->tasks, thread->process) < 0) {
		/* Not ours to look into, or out of memory: the fence keeps the range, but nothing else would keep a policy. */
		if (!is_policed(sup, thread->process))
			plan = vms_plan_pass();
		vms_step_answer(sup, trap, req, &plan, began);
		return;
	}
	if (is_new)
		vms_trace_space(sup, thread->process);
	nr_busy = vms_flight_probe(sup, thread, busy, MAX_BUSY);
	if (sup->options.audit && nr_busy == 0)
		audit(sup, thread->process, "the calls before it");
	gather_facts(sup, thread, req, &facts);
	random = thread->process->mm->space.random;
	if (vms_decide(&thread->process->mm->space, req, &facts, busy, nr_busy, 0, &plan) == 0 && nr_busy &&
	    must_wait(sup, &plan, busy, nr_busy) && vms_hold(sup, trap))
		return;
	growth = (struct vms_usage){ 0 };
	if (!vms_inject(sup, thread, req, &plan) && vms_protect_allows(sup, thread, req, &facts, busy, nr_busy, &plan))
		vms_budget_allows(sup, thread, req, &facts, &plan, &growth);
	vms_trace_decision(sup, thread, trap, &(struct vms_decided){ &facts, busy, nr_busy, random, 0 }, &plan);
	if (req->form == VMS_FORM_BLOCK)
		insist(&plan, req);
	if (plan.verdict == VMS_REMOTE) {
		vms_remote_step(sup, thread, trap, req, &facts, &plan, &growth, began);
		return;
	}
	if (vms_step_answer(sup, trap, req, &plan, began) && plan.verdict == VMS_CONTINUE &&
	    plan.effect != VMS_EFFECT_NONE)
		vms_thread_fly(thread, &plan, &growth);
}

static void pass_step(struct vms_sup *sup, const struct vms_trap *trap, const struct vms_req *req, long long began)
{
	struct vms_plan plan = vms_plan_pass();

	vms_step_answer(sup, trap, req, &plan, began);
}

static void refuse_step(struct vms_sup *sup, const struct vms_trap *trap, const struct vms_req *req, int error,
			long long began)
{
	struct vms_plan plan = vms_plan_refuse(error);

	vms_step_answer(sup, trap, req, &plan, began);
}

/* Calls that touch no mapping: decided without a record, which an undumpable process may not let us make. */
static void image_step(struct vms_sup *sup, const struct vms_trap *trap, const struct vms_req *req, long long began)
{
	const struct vms_facts facts = { 0 };
	struct vms_space space;
	struct vms_plan plan;

	vms_space_init(&space, &sup->range, &sup->machine.user, &sup->machine.rules);
	space.policy = sup->tasks.policy;
	space.confined = sup->tasks.confined;
	space.exec_policy = sup->tasks.exec_policy;
	if (vms_decide(&space, req, &facts, NULL, 0, 0, &plan) < 0)
		plan = vms_plan_refuse(ENOMEM);
	vms_space_done(&space);
	/* From now on what is injected may be answered by the program's own filter. */
	if (req->call == VMS_CALL_SECCOMP ||
	    (req->call == VMS_CALL_PRCTL && (uint32_t)req->args[0] == PR_SET_SECCOMP))
		sup->reloc_conf.verify = sup->i386_conf.verify = true;
	if (req->call == VMS_CALL_IOCTL || (req->call == VMS_CALL_USERFAULTFD && !(req->args[0] & UFFD_USER_MODE_ONLY)))
		sup->has_userfaultfd = true;
	vms_step_answer(sup, trap, req, &plan, began);
}

/* PR_SET_MM and ARCH_MAP_VDSO; where there is a record. */
static bool changes_space(const struct vms_sup *sup, const struct vms_req *req)
{
	return sup->options.mode == VMS_MODE_SUPERVISE &&
	       (req->call == VMS_CALL_ARCH_PRCTL ||
		(req->call == VMS_CALL_PRCTL && (uint32_t)req->args[0] == PR_SET_MM));
}

static void exit_step(struct vms_sup *sup, struct vms_thread *thread, const struct vms_trap *trap,
		      const struct vms_req *req, long long began)
{
	if (req->call == VMS_CALL_EXIT_GROUP) {
		/* The last moment at which this mm can be looked at. */
		if (sup->options.audit && thread->process->mm && !thread->process->mm->in_flight) {
			if (thread->process->mm->stale)
				vms_flight_reread(sup, thread->process);
			audit(sup, thread->process, "its last call");
		}
	} else if (thread->tid == thread->process->pid) {
		/* A leader's record goes with its process, whose pidfd tells. */
		thread->process->leader_ended = true;
	} else {
		vms_tasks_drop_thread(&sup->tasks, thread);
	}
	pass_step(sup, trap, req, began);
}

void vms_step(struct vms_sup *sup, const struct vms_trap *trap)
{
	long long began = sup->trace ? vms_now_ns() : 0;
	struct vms_thread *thread;
	struct vms_plan plan;
	struct vms_req req;
	int r;

	if (vms_remote_notified(sup, trap))
		return;
	r = vms_req_decode(trap->arch, trap->nr, trap->args, &req);
	if (r < 0) {
		vms_ignore(vms_listener_refuse(&sup->listener, trap->id, ENOSYS));
		return;
	}
	r = trap->tid ? vms_tasks_get(&sup->tasks, trap->tid, &thread) : -ESRCH;
	if (r < 0) {
		if (r == -EMFILE || r == -ENFILE)
			vms_log_limited(&sup->task_log,
					"the supervisor has no file descriptor left for task %d, whose call fails: raise the "
					"limit (ulimit -n)",
					trap->tid);
		else if (r != -ESRCH)
			vms_log_limited(&sup->task_log, "task %d gets EAGAIN: too many tasks to keep a record of",
					trap->tid);
		vms_ignore(vms_listener_refuse(&sup->listener, trap->id, r == -ESRCH ? ESRCH : EAGAIN));
		return;
	}
	/* Killed meanwhile, its number may be somebody else's: then the record made just now is not of our tree. */
	if (r == 1 && !vms_listener_is_valid(&sup->listener, trap->id)) {
		sup->stats.stale++;
		vms_tasks_drop(&sup->tasks, thread);
		return;
	}
	/* What it had in flight under the supervisor before this one has happened by now. */
	if (r == 1 && thread->process->is_adopted && thread->process->mm)
		thread->process->mm->stale = true;
	/* It is in a new call: the one before has returned. */
	if (thread->is_in_flight)
		vms_flight_settle(sup, thread);
	if (thread->is_forking)
		vms_fork_settle(sup, thread);
	switch (req.call) {
	case VMS_CALL_EXECVE:
	case VMS_CALL_EXECVEAT:
		vms_exec_step(sup, thread, trap, &req, began);
		break;
	case VMS_CALL_EXIT:
	case VMS_CALL_EXIT_GROUP:
		exit_step(sup, thread, trap, &req, began);
		break;
	case VMS_CALL_PRCTL:
		if ((uint32_t)req.args[0] == PR_SET_DUMPABLE)
			vms_guard_undumpable(sup, thread, trap, &req, began);
		else if (changes_space(sup, &req))
			memory_step(sup, thread, trap, &req, began);
		else
			image_step(sup, trap, &req, began);
		break;
	case VMS_CALL_USERFAULTFD:
	case VMS_CALL_IOCTL:
		if (vms_protect_userfault(sup, thread, &req, &plan))
			image_step(sup, trap, &req, began);
		else
			vms_step_answer(sup, trap, &req, &plan, began);
		break;
	case VMS_CALL_ARCH_PRCTL:
	case VMS_CALL_PERSONALITY:
	case VMS_CALL_SECCOMP:
	case VMS_CALL_MINCORE:
	case VMS_CALL_MSYNC:
		if (changes_space(sup, &req))
			memory_step(sup, thread, trap, &req, began);
		else
			image_step(sup, trap, &req, began);
		break;
	case VMS_CALL_SETRLIMIT:
	case VMS_CALL_GETRLIMIT:
	case VMS_CALL_PRLIMIT64:
		vms_limit_step(sup, thread, trap, &req, began);
		break;
	case VMS_CALL_FORK:
	case VMS_CALL_CLONE:
	case VMS_CALL_CLONE3:
		vms_fork_step(sup, thread, trap, &req, began);
		break;
	case VMS_CALL_MLOCKALL:
		vms_lockall_step(sup, thread, trap, &req, began);
		break;
	case VMS_CALL_RT_SIGACTION:
		vms_guard_step(sup, thread, trap, &req, began);
		break;
	default:
		r = req.form == VMS_FORM_BLOCK ? read_block(sup, trap, &req) : 0;
		if (r)
			refuse_step(sup, trap, &req, r, began);
		else
			memory_step(sup, thread, trap, &req, began);
		break;
	}
}
