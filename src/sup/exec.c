/*
 * exec: seize, let the kernel load, move and fence, let go.
 *
 *	execve notified -> seize, interrupt, CONTINUE -> exec stop: relocate -> start
 *	                                              \> stop at execve's own exit: it failed -> let go
 *
 * The interrupt must come before the answer: then exactly one stop follows either way.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "vmsup/host/tracee.h"
#include "vmsup/sup/sup.h"

static void refuse(struct vms_sup *sup, const struct vms_trap *trap, const struct vms_req *req, int error,
		   long long began)
{
	struct vms_plan plan = vms_plan_refuse(error);

	vms_step_answer(sup, trap, req, &plan, began);
}

/* A sentence about a program that cannot run: through the front when it is the program, else to the log. */
static void say(struct vms_sup *sup, pid_t pid, const char *sentence)
{
	if (pid == sup->main_pid && !sup->main_started) {
		char text[600];

		snprintf(text, sizeof(text), "cannot run %s: %s", sup->options.argv[0], sentence);
		vms_front_tell(sup->front_fd, VMS_FRONT_FAILED, 126, text);
		return;
	}
	vms_log_limited(&sup->exec_log, "process %d cannot execute a program: %s", pid, sentence);
}

static void refuse_traced(struct vms_sup *sup, struct vms_thread *thread, const struct vms_trap *trap,
			  const struct vms_req *req, int r, long long began)
{
	struct vms_proc_status status;
	char text[256];

	/* Killed meanwhile: there is nobody to hear of it. */
	if (r == -ESRCH || vms_proc_status(thread->tid, &status) < 0 || !vms_listener_is_valid(&sup->listener, trap->id)) {
		refuse(sup, trap, req, ESRCH, began);
		return;
	}
	if (status.tracer)
		snprintf(text, sizeof(text),
			 "it is traced by process %d, and only one tracer is possible: attach the debugger from outside, "
			 "once the program runs",
			 status.tracer);
	else
		snprintf(text, sizeof(text),
			 "it has made itself undumpable (PR_SET_DUMPABLE) or has another user's rights, so that its new image "
			 "could not be moved: run vmsup as root, or without --range");
	say(sup, thread->process->pid, text);
	refuse(sup, trap, req, EPERM, began);
}

static void forget_mm(struct vms_sup *sup, struct vms_thread *thread)
{
	while (thread->process->threads && thread->process->threads != thread)
		vms_tasks_drop_thread(&sup->tasks, thread->process->threads);
	vms_thread_land(thread);
	vms_sharers_leave(&sup->tasks, thread->process);
	thread->process->ppid = -1;
}

bool vms_exec_defers(struct vms_sup *sup, const struct vms_thread *thread, const struct vms_trap *trap)
{
	const struct vms_process *process = thread->process;

	if (!process->exec_tid || process->exec_tid == thread->tid)
		return false;
	/* To go on would be to wait, in ptrace_attach, for an execve that waits for us. */
	if (!vms_hold_on(sup, trap))
		vms_ignore(vms_listener_refuse(&sup->listener, trap->id, EAGAIN));
	return true;
}

/* execve has failed, or its thread is gone. */
static void exec_is_over(struct vms_sup *sup, pid_t tid)
{
	struct vms_thread *thread = vms_tasks_find(&sup->tasks, tid);

	if (thread && thread->process->exec_tid == tid)
		thread->process->exec_tid = 0;
}

void vms_exec_gone(struct vms_sup *sup, struct vms_tracee *tracee)
{
	exec_is_over(sup, tracee->tid);
	vms_tracee_drop(sup, tracee);
}

/* Killed when it had taken its leader's place already, the thread was reported under the leader's number. */
void vms_exec_forget(struct vms_sup *sup, const struct vms_process *process)
{
	struct vms_tracee *tracee = process->exec_tid ? vms_tracee_find(sup, process->exec_tid) : NULL;

	if (tracee && process->exec_tid != process->pid && tracee->job == VMS_JOB_EXEC_WAIT)
		vms_tracee_drop(sup, tracee);
}

void vms_exec_step(struct vms_sup *sup, struct vms_thread *thread, const struct vms_trap *trap,
		   const struct vms_req *req, long long began)
{
	struct vms_plan plan = vms_plan_pass();
	struct vms_err err = VMS_ERR_INIT;
	struct vms_tracee *tracee;
	int r;

	if (vms_exec_defers(sup, thread, trap))
		return;
	sup->stats.execs++;
	if (vms_inject(sup, thread, req, &plan)) {
		vms_step_answer(sup, trap, req, &plan, began);
		return;
	}
	r = vms_precheck(sup, trap, req, &err);
	if (r) {
		say(sup, thread->process->pid, err.text);
		/* execvp would now give it to a shell, and its status would be the shell's. */
		if (thread->process->pid == sup->main_pid && !sup->main_started)
			kill(sup->main_pid, SIGKILL);
		refuse(sup, trap, req, r, began);
		return;
	}
	/* With the guard each exec is watched: nobody may be seized beside one, and a guard ends with it. */
	if (!sup->moves_images && sup->options.mode == VMS_MODE_FENCE && !sup->options.signal_guard) {
		vms_step_answer(sup, trap, req, &plan, began);
		return;
	}
	tracee = vms_tracee_get(sup, thread->tid);
	if (!tracee) {
		refuse(sup, trap, req, ENOMEM, began);
		return;
	}
	r = tracee->guarded ? 0 : vms_tracee_seize(thread->tid, PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL);
	if (r == 0)
		r = vms_tracee_interrupt(thread->tid);
	if (r < 0) {
		vms_tracee_end_job(sup, tracee);
		if (r == -EPERM && !sup->moves_images) {
			/* Nothing has to be moved: its new mm is read when it is needed. */
			forget_mm(sup, thread);
			vms_step_answer(sup, trap, req, &plan, began);
			return;
		}
		refuse_traced(sup, thread, trap, req, r, began);
		return;
	}
	vms_tracee_pin(sup, tracee);
	tracee->job = VMS_JOB_EXEC_WAIT;
	tracee->trap = *trap;
	tracee->req = *req;
	tracee->began = began;
	tracee->has_limit = vms_limit_is_set(sup, thread->process->pid);
	if (tracee->has_limit)
		tracee->old_arch = vms_tasks_arch(&sup->tasks, thread->process);
	thread->process->exec_tid = thread->tid;
	vms_step_answer(sup, trap, req, &plan, began);
}

static vms_addr_t stack_limit_of(pid_t pid)
{
	struct rlimit limit;

	if (prlimit(pid, RLIMIT_STACK, NULL, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	return limit.rlim_cur;
}

/* With a large RLIMIT_STACK the kernel's mmap_base lies so low that it may be anywhere in the range. */
static void be_i386(struct vms_sup *sup, pid_t pid, const struct vms_image *image, struct vms_mm *mm)
{
	vms_mm_set_i386(&sup->tasks, mm);
	mm->space.read_implies_exec = image->persona & READ_IMPLIES_EXEC;
	if (sup->moves_images &&
	    vms_machine_i386_mmap_base(&sup->machine, stack_limit_of(pid)) < mm->space.ceiling)
		mm->space.remote_only = true;
}

/* The new mm's record, read from the kernel when everything is in its place. */
static struct vms_mm *make_mm(struct vms_sup *sup, pid_t pid, struct vms_image *image, const vms_addr_t *new_start,
			      vms_addr_t brk, vms_addr_t unmoved_top, vms_addr_t gap_start)
{
	struct vms_mm *mm = vms_mm_new(&sup->tasks, &image->maps);
	struct vms_vma_list *list = &sup->seen_all;

	if (!mm)
		return NULL;
	if (image->arch == VMS_ARCH_I386)
		be_i386(sup, pid, image, mm);
	if (!sup->moves_images)
		mm->space.ceiling = unmoved_top;
	vms_brk_init(&mm->space.brk, brk);
	if (vms_maps_read(&mm->maps, &mm->space.range, list) < 0)
		list->nr = 0;
	for (size_t i = 0; i < list->nr; i++) {
		struct vms_vma *vma = &list->items[i];

		for (int part = 0; part < VMS_NR_PARTS; part++) {
			struct vms_range to = { new_start[part],
						new_start[part] +
							vms_range_size(&image->parts[part].span) };

			if (vms_range_covers(&to, &vma->range))
				vma->kind = (uint8_t)vms_part_kind((enum vms_part)part);
		}
		if (vma->kind == VMS_KIND_STACK)
			vma->flags |= VMS_VMA_GROWSDOWN;
		if (vma->range.start == gap_start) {
			vma->kind = VMS_KIND_FENCE;
			vma->flags |= VMS_VMA_NORESERVE;
		}
	}
	if (vms_space_adopt(&mm->space, &mm->space.range, list->items, list->nr, true) < 0)
		mm->stale = true;
	vms_mm_count(&sup->tasks, mm);
	return mm;
}

/* What is left of the old program: its other threads, its mm. @mm may be NULL: read when it is needed. */
static void become(struct vms_sup *sup, pid_t pid, struct vms_mm *mm, bool runs)
{
	struct vms_process *process;

	if (vms_tasks_get_process(&sup->tasks, pid, &process) < 0) {
		vms_mm_unref(&sup->tasks, mm);
		return;
	}
	vms_ignore(vms_tasks_exec(&sup->tasks, process, mm));
	vms_trace_space(sup, process);
	if (pid == sup->main_pid && runs)
		vms_main_started(sup);
}

/* Past the point of no return there is nobody to hand an errno to. */
static void kill_image(struct vms_sup *sup, struct vms_tracee *tracee, int r)
{
	pid_t pid = tracee->reloc.pid;
	struct user_regs_struct regs;

	/* One that is being killed has no registers to read and needs no word. */
	if (r != -ESRCH && vms_tracee_get_regs(pid, &regs) != -ESRCH)
		say(sup, pid, tracee->reloc.err.text);
	/* Its number is its own until we have waited for it. */
	kill(pid, SIGKILL);
	become(sup, pid, NULL, false);
	vms_tracee_unpin(sup, tracee);
	tracee->guarded = true; /* the wait for its death needs the record */
	vms_tracee_end_job(sup, tracee);
}

static void relocated(struct vms_sup *sup, struct vms_tracee *tracee)
{
	struct vms_reloc *reloc = &tracee->reloc;

	if (sup->options.mode == VMS_MODE_SUPERVISE)
		become(sup, reloc->pid,
		       make_mm(sup, reloc->pid, &reloc->image, reloc->new_start, reloc->layout.brk, 0,
			       reloc->layout.top),
		       true);
	else
		become(sup, reloc->pid, NULL, true);
	vms_tracee_unpin(sup, tracee);
	vms_ignore(vms_reloc_finish(reloc));
	tracee->guarded = false;
	vms_tracee_end_job(sup, tracee);
}

/* Nothing to move: only read what the kernel has laid out. */
static void take_as_is(struct vms_sup *sup, struct vms_tracee *tracee)
{
	struct user_regs_struct regs;
	struct vms_image image;
	struct vms_mm *mm = NULL;
	vms_addr_t start[VMS_NR_PARTS], top;
	struct vms_proc_mm numbers;

	if (sup->options.mode == VMS_MODE_SUPERVISE && vms_tracee_get_regs(tracee->tid, &regs) == 0 &&
	    vms_image_read(tracee->tid, &regs, &sup->machine.user, &image, NULL) == 0) {
		for (int i = 0; i < VMS_NR_PARTS; i++)
			start[i] = image.parts[i].span.start;
		/* The interpreter is the first thing mapped from the top; a large one may have been aligned. */
		top = image.parts[VMS_PART_INTERP].span.end;
		if (vms_range_size(&image.parts[VMS_PART_INTERP].span) >= VMS_HUGE_SIZE)
			top = 0;
		if (vms_proc_mm(tracee->tid, &numbers) == 0)
			mm = make_mm(sup, tracee->tid, &image, start, numbers.start_brk, top, UINT64_MAX);
		vms_image_done(&image);
	}
	become(sup, tracee->tid, mm, true);
	vms_tracee_unpin(sup, tracee);
	vms_ignore(vms_tracee_detach(tracee->tid, 0));
	tracee->guarded = false;
	vms_tracee_end_job(sup, tracee);
}

/* At the exec stop. The record may stand under the tid that a thread other than the leader had before. */
static void on_exec(struct vms_sup *sup, struct vms_tracee *tracee, pid_t pid)
{
	int r;

	tracee->job = VMS_JOB_RELOC;
	tracee->reloc = (struct vms_reloc){ .pid = pid, .image = { .maps = VMS_MAPS_INIT } };
	r = vms_protect_image(sup, pid, &tracee->reloc.err);
	if (r < 0) {
		kill_image(sup, tracee, r);
		return;
	}
	if (!sup->moves_images) {
		tracee->job = VMS_JOB_EXEC_WAIT;
		take_as_is(sup, tracee);
		return;
	}
	r = vms_reloc_begin(&tracee->reloc, pid, &sup->reloc_conf, stack_limit_of(pid), sup->seed + sup->stats.execs);
	if (r < 0)
		kill_image(sup, tracee, r);
	else if (tracee->has_limit)
		vms_limit_exec(sup, pid, tracee->old_arch, tracee->reloc.image.arch);
}

static void failed(struct vms_sup *sup, struct vms_tracee *tracee, int status)
{
	exec_is_over(sup, tracee->tid);
	tracee->job = VMS_JOB_NONE;
	vms_tracee_unpin(sup, tracee);
	vms_guard_event(sup, tracee, status);
}

void vms_exec_event(struct vms_sup *sup, struct vms_tracee *tracee, int status)
{
	enum vms_stop stop = vms_stop_of(status);
	int r;

	if (tracee->job == VMS_JOB_RELOC) {
		r = vms_reloc_stop(&tracee->reloc, status);
		if (r == 1)
			relocated(sup, tracee);
		else if (r < 0)
			kill_image(sup, tracee, r);
		return;
	}
	switch (stop) {
	case VMS_STOP_EXEC:
		on_exec(sup, tracee, tracee->tid);
		break;
	case VMS_STOP_SIGNAL:
		/* Before the interrupt's stop comes none; should one come all the same, it is passed on. */
		vms_ignore(vms_tracee_resume(tracee->tid, VMS_RESUME_CONT, WSTOPSIG(status)));
		break;
	case VMS_STOP_NEW_CHILD:
		vms_ignore(vms_tracee_resume(tracee->tid, VMS_RESUME_CONT, 0));
		break;
	default:
		failed(sup, tracee, status);
		break;
	}
}
