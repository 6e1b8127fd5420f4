/* Remote calls; see the header. */
#include "vmsup/host/remote.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmsup/host/stub.h"
#include "vmsup/host/tracee.h"

/* `syscall` and `int $0x80`. A 32-bit sysenter returns behind the int $0x80 of the vdso. */
#define SYSCALL_INSN_SIZE 2
#define MAX_ERRNO 4095
/* include/linux/errno.h */
#define ERESTARTSYS 512

int vms_remote_begin(struct vms_remote *remote, pid_t tid, bool was_seized, vms_addr_t ip, vms_addr_t stub, enum vms_arch arch,
		     int nr, const uint64_t args[6])
{
	int r;

	*remote = (struct vms_remote){ .tid = tid, .was_seized = was_seized, .stub = stub, .ip = ip, .arch = arch, .nr = nr };
	memcpy(remote->args, args, sizeof(remote->args));
	if (!was_seized) {
		r = vms_tracee_seize(tid, stub ? 0 : PTRACE_O_EXITKILL);
		if (r < 0)
			return r;
	}
	return vms_tracee_interrupt(tid);
}

/*
 * While it is stepped the thread runs one instruction, with our registers. Should another thread have put a sysenter there, its
 * sixth argument would come from the stack.
 */
bool vms_remote_expects(const struct vms_remote *remote, enum vms_arch arch, int nr, const uint64_t args[6])
{
	if (remote->stage != VMS_REMOTE_STEPPING || remote->arch != VMS_ARCH_I386 || arch != remote->arch ||
	    nr != remote->nr)
		return false;
	for (int i = 0; i < 6; i++) {
		if ((uint32_t)args[i] != (uint32_t)remote->args[i])
			return false;
	}
	return true;
}

static int start_call(struct vms_remote *remote)
{
	struct user_regs_struct regs = remote->regs;
	int r;

	vms_regs_set_call(&regs, remote->arch, remote->stub ? remote->stub : remote->ip - SYSCALL_INSN_SIZE, remote->nr, remote->args);
	r = vms_tracee_set_regs(remote->tid, &regs);
	if (r < 0)
		return r;
	if (remote->stub) {
		/* After the registers: whoever finds it there knows what to give back. Then nothing gets in between. */
		r = vms_tracee_set_sigmask(remote->tid, ~UINT64_C(0));
		if (r < 0)
			return r;
		remote->stage = VMS_REMOTE_CALLING;
		return vms_tracee_resume(remote->tid, VMS_RESUME_CONT, 0);
	}
	remote->stage = VMS_REMOTE_STEPPING;
	return vms_tracee_resume(remote->tid, VMS_RESUME_STEP, 0);
}

static int take_over(struct vms_remote *remote)
{
	int r = vms_tracee_get_regs(remote->tid, &remote->regs);

	if (r < 0)
		return r;
	if (remote->regs.rip != remote->ip)
		return -EPROTO;
	r = vms_tracee_get_sigmask(remote->tid, &remote->sigmask);
	if (r < 0)
		return r;
	if (remote->stub && vms_stub_plant(remote->tid, remote->stub) < 0)
		r = vms_remote_step_instead(remote);
	if (r < 0 || !remote->stub)
		return r < 0 ? r : vms_remote_go(remote);
	remote->stage = VMS_REMOTE_TAKEN;
	return 1;
}

int vms_remote_step_instead(struct vms_remote *remote)
{
	remote->stub = 0;
	return remote->was_seized ? 0 : vms_tracee_set_options(remote->tid, PTRACE_O_EXITKILL);
}

int vms_remote_go(struct vms_remote *remote)
{
	int r = 0;

	/* Forced while it is blocked, the step's SIGTRAP would take the thread's handler away. */
	if (!remote->stub)
		r = vms_tracee_set_sigmask(remote->tid, ~(UINT64_C(1) << (SIGTRAP - 1)));
	return r < 0 ? r : start_call(remote);
}

bool vms_remote_parks(struct vms_remote *remote, vms_addr_t ip, uint64_t result)
{
	if (remote->stage != VMS_REMOTE_CALLING || ip != vms_stub_parked(remote->stub))
		return false;
	remote->result = (int64_t)result;
	remote->stage = VMS_REMOTE_RETURNING;
	return true;
}

static int take_result(struct vms_remote *remote)
{
	struct user_regs_struct regs;
	int r = vms_tracee_get_regs(remote->tid, &regs);

	if (r < 0)
		return r;
	/* A notified call that SIGSTOP took out of its wait: once more. */
	if (remote->arch == VMS_ARCH_I386 && (int64_t)regs.rax == -ERESTARTSYS)
		return start_call(remote);
	remote->result = (int64_t)regs.rax;
	/* 32 bits: all but the last page of numbers are addresses. */
	if (remote->arch == VMS_ARCH_I386)
		remote->result = (uint32_t)regs.rax > UINT32_MAX - MAX_ERRNO ? (int64_t)(int32_t)regs.rax :
										(int64_t)(uint32_t)regs.rax;
	remote->stage = VMS_REMOTE_DONE;
	return 1;
}

static bool has_stepped(const struct vms_remote *remote)
{
	struct user_regs_struct regs;

	return vms_tracee_get_regs(remote->tid, &regs) == 0 && regs.rip == remote->ip;
}

int vms_remote_stop(struct vms_remote *remote, int status)
{
	enum vms_stop stop = vms_stop_of(status);

	if (stop == VMS_STOP_GONE)
		return -ESRCH;
	if (remote->stage == VMS_REMOTE_WAITING) {
		/*
		 * A stopped process can still be stepped, and must be: its other threads, whose calls may be held for this
		 * one, cannot stop before they have been answered. The kernel puts it back into its group stop at detach.
		 */
		if (stop == VMS_STOP_TRAP || stop == VMS_STOP_GROUP)
			return take_over(remote);
		return vms_tracee_resume(remote->tid, VMS_RESUME_CONT,
					 stop == VMS_STOP_SIGNAL ? WSTOPSIG(status) : 0);
	}
	if (remote->stage == VMS_REMOTE_RETURNING && (stop == VMS_STOP_TRAP || stop == VMS_STOP_GROUP)) {
		remote->stage = VMS_REMOTE_DONE;
		return 1;
	}
	/* Only SIGSTOP gets past the mask; and a stopped process goes on as above. */
	if (remote->stage == VMS_REMOTE_CALLING || remote->stage == VMS_REMOTE_RETURNING)
		return vms_tracee_resume(remote->tid, VMS_RESUME_CONT, stop == VMS_STOP_SIGNAL ? WSTOPSIG(status) : 0);
	switch (stop) {
	case VMS_STOP_SIGNAL:
		if (WSTOPSIG(status) == SIGTRAP && vms_tracee_signal_is_sent(remote->tid)) {
			remote->owes_trap = true;
			/* Sent to the thread, it swallows that of the step: a signal is pending once. */
			if (!has_stepped(remote))
				return vms_tracee_resume(remote->tid, VMS_RESUME_STEP, 0);
		}
		if (WSTOPSIG(status) == SIGTRAP)
			return take_result(remote);
		/* Only SIGSTOP gets past the mask. Held back, it would hang the group stop. */
		return vms_tracee_resume(remote->tid, VMS_RESUME_STEP, WSTOPSIG(status));
	default:
		return vms_tracee_resume(remote->tid, VMS_RESUME_STEP, 0);
	}
}

int vms_remote_again(struct vms_remote *remote, const uint64_t args[6])
{
	memcpy(remote->args, args, sizeof(remote->args));
	return start_call(remote);
}

int vms_remote_call(struct vms_remote *remote, int nr, const uint64_t args[6])
{
	remote->nr = nr;
	return vms_remote_again(remote, args);
}

int vms_remote_finish(struct vms_remote *remote, int64_t value)
{
	int r;

	remote->regs.rax = (uint64_t)value;
	remote->regs.orig_rax = (uint64_t)-1;
	/* In the stub it waits once more, should we die in between: then its signals may come. */
	r = vms_tracee_set_sigmask(remote->tid, remote->sigmask);
	if (r == 0)
		r = vms_tracee_set_regs(remote->tid, &remote->regs);
	if (r < 0)
		return r;
	if (remote->owes_trap)
		vms_ignore((int)syscall(SYS_tkill, remote->tid, SIGTRAP));
	return remote->was_seized ? vms_tracee_resume(remote->tid, VMS_RESUME_CONT, 0) :
				    vms_tracee_detach(remote->tid, 0);
}

int vms_remote_restart(struct vms_remote *remote, int nr)
{
	remote->regs.rip = remote->ip - SYSCALL_INSN_SIZE;
	return vms_remote_finish(remote, nr);
}

void vms_remote_abandon(struct vms_remote *remote)
{
	struct user_regs_struct regs;

	/* In the stub it must not stay. */
	if (remote->stage >= VMS_REMOTE_CALLING && remote->stub) {
		regs = remote->regs;
		vms_ignore(vms_tracee_set_sigmask(remote->tid, remote->sigmask));
	} else if (vms_tracee_get_regs(remote->tid, &regs) < 0) {
		regs.rip = 0;
	}
	if (regs.rip) {
		regs.rax = (uint64_t)-ENOMEM;
		regs.orig_rax = (uint64_t)-1;
		vms_ignore(vms_tracee_set_regs(remote->tid, &regs));
	}
	if (remote->was_seized)
		vms_ignore(vms_tracee_resume(remote->tid, VMS_RESUME_CONT, 0));
	else
		vms_ignore(vms_tracee_detach(remote->tid, 0));
}
