/*
 * The signal guard.
 *
 * Until the supervisor has received a notification, a signal handler without SA_RESTART turns the call into EINTR, also calls
 * that never return it. Only a tracer can repair that: at the signal-delivery stop it sees the trapped call and
 * ERESTARTSYS, and writes ERESTARTNOINTR, with which the kernel restarts the call whatever SA_RESTART says.
 * So a process that installs such a handler is seized, with all its threads and its fork children, until it execs.
 *
 * So is one that makes itself undumpable, for another reason: nobody without privilege can seize it afterwards, and at its
 * next exec it must be.
 */
#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmsup/host/tracee.h"
#include "vmsup/sup/sup.h"

#define GUARD_OPTIONS (PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC)

/* include/linux/errno.h: what the kernel holds in rax between an interrupted call and its restart. */
#define ERESTARTSYS 512
#define ERESTARTNOINTR 513

/* The kernel's struct sigaction on x86-64, up to the mask. */
struct kernel_sigaction {
	uint64_t handler;
	uint64_t flags;
};

/* On i386: handler, flags; in the structure of sigaction(2), its first, a mask between them. */
#define I386_FLAGS 1
#define I386_OLD_FLAGS 2

struct seizing {
	struct vms_sup *sup;
	unsigned int seized;
	int error;
};

/* An ended leader of a process that lives on, or a thread that ends just now: nothing of it can be interrupted. */
static bool has_ended(pid_t tid)
{
	struct vms_proc_status status;

	return vms_proc_status(tid, &status) < 0 || status.state == 'Z' || status.state == 'X';
}

static int seize_thread(pid_t tid, void *arg)
{
	struct seizing *s = arg;
	struct vms_tracee *tracee = vms_tracee_find(s->sup, tid);
	int r;

	if (tracee)
		return 0;
	/* A tenant's tree outlives its supervisor. */
	r = vms_tracee_seize(tid, s->sup->board ? GUARD_OPTIONS : GUARD_OPTIONS | PTRACE_O_EXITKILL);
	if (r == -ESRCH || (r == -EPERM && has_ended(tid)))
		return 0;
	if (r < 0) {
		s->error = r;
		return r;
	}
	tracee = vms_tracee_get(s->sup, tid);
	if (!tracee)
		return -ENOMEM;
	tracee->guarded = true;
	s->seized++;
	return 0;
}

/* Threads that a seized thread makes are seized by the kernel; those of others need another look. */
static int guard_process(struct vms_sup *sup, struct vms_process *process)
{
	struct seizing s = { .sup = sup };
	int r;

	do {
		s.seized = 0;
		r = vms_proc_each_thread(process->pid, seize_thread, &s);
	} while (r == 0 && s.seized > 0);
	return r;
}

/*
 * Signals that an instruction raises in the thread itself, which then is in no call. That somebody sends one just while a call is
 * about to be received is not worth a tracer: sanitizers and managed runtimes handle these, and want debuggers to attach.
 */
static bool is_synchronous(int sig)
{
	return sig == SIGSEGV || sig == SIGBUS || sig == SIGILL || sig == SIGFPE || sig == SIGTRAP;
}

static int read_action(const struct vms_sup *sup, pid_t tid, const struct vms_req *req, struct kernel_sigaction *ret_action)
{
	uint32_t words[3];
	int r;

	if (req->arch == VMS_ARCH_X86_64)
		return vms_sup_read(sup, tid, req->sigaction.action, ret_action, sizeof(*ret_action));
	if (req->form == VMS_FORM_SIGNAL) {
		*ret_action = (struct kernel_sigaction){ .handler = req->sigaction.action };
		return 0;
	}
	r = vms_sup_read(sup, tid, req->sigaction.action, words, sizeof(words));
	if (r == 0)
		*ret_action = (struct kernel_sigaction){
			.handler = words[0],
			.flags = words[req->form == VMS_FORM_OLD ? I386_OLD_FLAGS : I386_FLAGS],
		};
	return r;
}

/* An action that cannot be read is refused by the kernel, or its page is filled when the program pleases: then to be safe. */
static bool needs_guard(const struct vms_sup *sup, const struct vms_thread *thread, const struct vms_req *req)
{
	struct kernel_sigaction action;

	if (is_synchronous((int)req->args[0]))
		return false;
	if (read_action(sup, thread->tid, req, &action) < 0)
		return sup->has_userfaultfd;
	return action.handler != (uintptr_t)SIG_DFL && action.handler != (uintptr_t)SIG_IGN &&
	       !(action.flags & SA_RESTART);
}

/* Seize the process of @thread. False: the call is not to be answered, it is held, or its thread has been killed. */
static bool guard(struct vms_sup *sup, struct vms_thread *thread, const struct vms_trap *trap)
{
	struct vms_process *process = thread->process;

	if (vms_exec_defers(sup, thread, trap))
		return false;
	if (guard_process(sup, process) == 0) {
		process->guarded = true;
		return true;
	}
	/* Killed meanwhile, it cannot be seized either. */
	if (!vms_listener_is_valid(&sup->listener, trap->id)) {
		sup->stats.stale++;
		return false;
	}
	process->guard_refused = true;
	return true;
}

/* Below SIGRTMIN are the C library's own two, with SA_RESTART. */
#define OWN_SIGNALS (UINT64_C(3) << 31)
#define SYNCHRONOUS_SIGNALS                                                                                        \
	(UINT64_C(1) << (SIGSEGV - 1) | UINT64_C(1) << (SIGBUS - 1) | UINT64_C(1) << (SIGILL - 1) |                \
	 UINT64_C(1) << (SIGFPE - 1) | UINT64_C(1) << (SIGTRAP - 1))

void vms_guard_unknown(struct vms_sup *sup, struct vms_process *process)
{
	struct vms_proc_status status;

	if (!sup->options.signal_guard || process->guarded || process->guard_refused ||
	    vms_proc_status(process->pid, &status) < 0 || !(status.caught & ~(OWN_SIGNALS | SYNCHRONOUS_SIGNALS)))
		return;
	if (guard_process(sup, process) == 0)
		process->guarded = true;
	else
		process->guard_refused = true;
}

void vms_guard_step(struct vms_sup *sup, struct vms_thread *thread, const struct vms_trap *trap,
		    const struct vms_req *req, long long began)
{
	struct vms_process *process = thread->process;
	struct vms_plan plan = vms_plan_pass();

	if (!process->guarded && !process->guard_refused && needs_guard(sup, thread, req)) {
		if (!guard(sup, thread, trap))
			return;
		if (process->guard_refused)
			vms_log_limited(&sup->guard_log,
					"process %d is traced by somebody else: it runs without the signal guard, and its "
					"memory calls may see EINTR",
					process->pid);
	}
	vms_step_answer(sup, trap, req, &plan, began);
}

void vms_guard_undumpable(struct vms_sup *sup, struct vms_thread *thread, const struct vms_trap *trap,
			  const struct vms_req *req, long long began)
{
	struct vms_process *process = thread->process;
	struct vms_plan plan = vms_plan_pass();

	/* A privileged supervisor may seize it at any time. */
	if (sup->moves_images && geteuid() != 0 && !process->guarded && !process->guard_refused &&
	    !guard(sup, thread, trap))
		return;
	vms_step_answer(sup, trap, req, &plan, began);
}

/* True when the registers show a trapped call that a signal took out of its notification. */
static bool was_interrupted(pid_t tid, const struct user_regs_struct *regs)
{
	enum vms_arch arch;

	return (int64_t)regs->rax == -ERESTARTSYS && vms_tracee_get_arch(tid, &arch) == 0 &&
	       vms_call_by_nr(arch, (int)regs->orig_rax) < VMS_NR_CALLS;
}

static void repair(struct vms_sup *sup, pid_t tid)
{
	struct user_regs_struct regs;

	if (vms_tracee_get_regs(tid, &regs) < 0 || !was_interrupted(tid, &regs))
		return;
	regs.rax = (uint64_t)-ERESTARTNOINTR;
	if (vms_tracee_set_regs(tid, &regs) == 0)
		sup->stats.signal_repairs++;
}

void vms_guard_event(struct vms_sup *sup, struct vms_tracee *tracee, int status)
{
	const pid_t tid = tracee->tid;
	enum vms_stop stop = vms_stop_of(status);

	if (stop == VMS_STOP_GONE) {
		vms_tracee_drop(sup, tracee);
		return;
	}
	/* Not the guard's any more: let it go, with the signal it was about to take. */
	if (!tracee->guarded || stop == VMS_STOP_EXEC) {
		if (stop == VMS_STOP_SIGNAL)
			repair(sup, tid);
		vms_ignore(vms_tracee_detach(tid, stop == VMS_STOP_SIGNAL ? WSTOPSIG(status) : 0));
		vms_tracee_drop(sup, tracee);
		return;
	}
	switch (stop) {
	case VMS_STOP_SIGNAL:
		repair(sup, tid);
		vms_ignore(vms_tracee_resume(tid, VMS_RESUME_CONT, WSTOPSIG(status)));
		break;
	case VMS_STOP_GROUP:
		vms_ignore(vms_tracee_resume(tid, VMS_RESUME_LISTEN, 0));
		break;
	default:
		vms_ignore(vms_tracee_resume(tid, VMS_RESUME_CONT, 0));
		break;
	}
}

void vms_guard_adopt(struct vms_sup *sup, pid_t tid, int status)
{
	struct vms_tracee *tracee = vms_tracee_get(sup, tid);
	struct vms_proc_status proc;
	struct vms_process *process;

	if (!tracee) {
		vms_ignore(vms_tracee_detach(tid, 0));
		return;
	}
	tracee->guarded = true;
	if (vms_proc_status(tid, &proc) == 0 &&
	    vms_tasks_get_process(&sup->tasks, proc.tgid, &process) == 0)
		process->guarded = true;
	vms_guard_event(sup, tracee, status);
}
