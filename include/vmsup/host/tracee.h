/*
 * ptrace of one thread of a child: thin, typed steps. All must come from the thread that seized it.
 * Every function returns 0 or -errno; -ESRCH means gone (or not stopped, which for us is the same: it is being killed).
 */
#ifndef VMSUP_HOST_TRACEE_H
#define VMSUP_HOST_TRACEE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "vmsup/base/addr.h"
#include "vmsup/base/err.h"
#include "vmsup/core/call.h"

/** How a stopped tracee is let go on. */
enum vms_resume {
	VMS_RESUME_CONT,
	VMS_RESUME_STEP, /* to the next instruction; over a system call to its end */
	VMS_RESUME_LISTEN, /* stay in the group stop, but report its end */
};

/** Seize without stopping. @options: PTRACE_O_*. -EPERM when somebody else traces it or it is not ours to trace. */
VMS_MUST_CHECK int vms_tracee_seize(pid_t tid, unsigned long options);
VMS_MUST_CHECK int vms_tracee_set_options(pid_t tid, unsigned long options);
VMS_MUST_CHECK int vms_tracee_interrupt(pid_t tid);
VMS_MUST_CHECK int vms_tracee_resume(pid_t tid, enum vms_resume how, int sig);
/** Let go of it for good; @sig is delivered (0: none). */
VMS_MUST_CHECK int vms_tracee_detach(pid_t tid, int sig);
/** The registers as 64-bit code has them, also of a task that runs 32-bit code. */
VMS_MUST_CHECK int vms_tracee_get_regs(pid_t tid, struct user_regs_struct *ret_regs);
VMS_MUST_CHECK int vms_tracee_set_regs(pid_t tid, const struct user_regs_struct *regs);
/** The architecture of the call that it stands in. */
VMS_MUST_CHECK int vms_tracee_get_arch(pid_t tid, enum vms_arch *ret_arch);
VMS_MUST_CHECK int vms_tracee_get_sigmask(pid_t tid, uint64_t *ret_mask);
VMS_MUST_CHECK int vms_tracee_set_sigmask(pid_t tid, uint64_t mask);
/** True when the signal it is about to take was sent by a process, not raised by the kernel for a trap or fault. */
bool vms_tracee_signal_is_sent(pid_t tid);
VMS_MUST_CHECK int vms_tracee_event_message(pid_t tid, unsigned long *ret_message);
VMS_MUST_CHECK int vms_tracee_poke(pid_t tid, vms_addr_t addr, long word);
VMS_MUST_CHECK int vms_tracee_peek(pid_t tid, vms_addr_t addr, long *ret_word);

/** What a wait status of a tracee says. */
enum vms_stop {
	VMS_STOP_GONE, /* exited or killed */
	VMS_STOP_EXEC, /* PTRACE_EVENT_EXEC */
	VMS_STOP_NEW_CHILD, /* PTRACE_EVENT_FORK, VFORK or CLONE */
	VMS_STOP_TRAP, /* PTRACE_EVENT_STOP that is no group stop: an interrupt, or a new tracee */
	VMS_STOP_GROUP, /* a group stop; the signal is WSTOPSIG */
	VMS_STOP_SIGNAL, /* about to take the signal WSTOPSIG */
};

enum vms_stop vms_stop_of(int status);

/** Load @nr and @args for a system call instruction of @arch at @ip. No restart will touch the registers. */
void vms_regs_set_call(struct user_regs_struct *regs, enum vms_arch arch, vms_addr_t ip, int nr, const uint64_t args[6]);
/** True when 32-bit code runs. */
bool vms_regs_are_compat(const struct user_regs_struct *regs);
/** Go on with 64-bit code; every process may run it. */
void vms_regs_set_64(struct user_regs_struct *regs);

#endif
