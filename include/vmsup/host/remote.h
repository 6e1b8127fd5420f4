/*
 * A remote call: a thread that waits in its notification is made to run another system call in place of its own, and
 * gets that result.
 *
 * Order, all of it needed: begin (seize, interrupt), then the notification is answered, then the thread stops at the end
 * of its call, before any signal is delivered. From there every stop goes to vms_remote_stop until it says DONE.
 *
 * A call of x86-64 carries the cookie. For one of i386 there is no room: it is notified, and whoever receives the notification
 * asks vms_remote_expects.
 */
#ifndef VMSUP_HOST_REMOTE_H
#define VMSUP_HOST_REMOTE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "vmsup/base/addr.h"
#include "vmsup/base/err.h"
#include "vmsup/core/call.h"

enum vms_remote_stage {
	VMS_REMOTE_WAITING, /* for the stop at the end of the notified call */
	VMS_REMOTE_TAKEN, /* stopped there; regs is known: vms_remote_go */
	VMS_REMOTE_STEPPING, /* the call runs */
	VMS_REMOTE_CALLING, /* the same, in the stub: it is notified when it has */
	VMS_REMOTE_RETURNING, /* waiting for the stop at the end of that notification; result is there */
	VMS_REMOTE_DONE, /* stopped; result is there */
};

struct vms_remote {
	pid_t tid;
	enum vms_remote_stage stage;
	bool was_seized; /* by us, for other reasons: stays seized afterwards */
	vms_addr_t stub; /* where it is, see stub.h; 0: the call is stepped in its own place */
	vms_addr_t ip; /* behind the system call instruction of the notified call */
	enum vms_arch arch; /* of the notified call, and so of its system call instruction */
	int nr;
	uint64_t args[6];
	int64_t result; /* value or -errno; valid when DONE */
	uint64_t sigmask; /* the thread's own */
	bool owes_trap; /* a SIGTRAP that somebody sent meanwhile; sent again at the end */
	struct user_regs_struct regs; /* the thread's own */
};

/**
 * Begin: @ip as the notification gave it; @args must carry the cookie on x86-64. @stub: where one can be, or 0; without, the task dies with
 * us. 0, -EPERM (somebody else traces it), -ESRCH.
 * After 0 the caller answers the notification (with any value) and waits for stops of @tid.
 */
VMS_MUST_CHECK int vms_remote_begin(struct vms_remote *remote, pid_t tid, bool was_seized, vms_addr_t ip,
				    vms_addr_t stub, enum vms_arch arch, int nr, const uint64_t args[6]);
/**
 * True when the call that @remote's thread waits in is the one it was made to do: then it must be let go on. Only that thread's
 * notifications may be asked about.
 */
bool vms_remote_expects(const struct vms_remote *remote, enum vms_arch arch, int nr, const uint64_t args[6]);
/** When TAKEN: run the call. 0 or a negative errno as vms_remote_stop. */
VMS_MUST_CHECK int vms_remote_go(struct vms_remote *remote);
/** When TAKEN: without the stub after all, and so to die with us. */
VMS_MUST_CHECK int vms_remote_step_instead(struct vms_remote *remote);
/**
 * A notification of brk by @remote's thread at @ip with @result as its third argument: true when it has carried out its call. The caller
 * answers it with ERESTARTNOINTR.
 */
bool vms_remote_parks(struct vms_remote *remote, vms_addr_t ip, uint64_t result);
/** Take a stop. 1: look at the stage, which is TAKEN or DONE; 0: more stops follow; negative errno: it is gone, or was not where it should be. */
VMS_MUST_CHECK int vms_remote_stop(struct vms_remote *remote, int status);
/** When DONE: run the same call again with other arguments. */
VMS_MUST_CHECK int vms_remote_again(struct vms_remote *remote, const uint64_t args[6]);
/** When DONE: run another call, number @nr of the same architecture; @args as for vms_remote_begin. */
VMS_MUST_CHECK int vms_remote_call(struct vms_remote *remote, int nr, const uint64_t args[6]);
/** When DONE: give the thread its registers, mask and @value as the result of its call, and let it go. */
VMS_MUST_CHECK int vms_remote_finish(struct vms_remote *remote, int64_t value);
/** When DONE: let the thread make its own call, number @nr, once more. */
VMS_MUST_CHECK int vms_remote_restart(struct vms_remote *remote, int nr);
/** Let the thread go after vms_remote_stop failed: it gets -ENOMEM from its call. */
void vms_remote_abandon(struct vms_remote *remote);

#endif
