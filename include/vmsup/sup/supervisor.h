/*
 * The supervisor process: one call that starts the program and returns when the last task of its
 * tree is gone.
 */
#ifndef VMSUP_SUP_SUPERVISOR_H
#define VMSUP_SUP_SUPERVISOR_H

#include <stdint.h>

#include "vmsup/conf/options.h"
#include "vmsup/host/rlimits.h"

/*
 * Between front and supervisor: a SOCK_SEQPACKET pair, one struct vms_front_msg a packet.
 *
 * Supervisor to front:
 *   STARTED   value = pid of the program
 *   STOPPED   value = the signal that stopped it (the front stops itself by the same)
 *   CONTINUED the program runs again
 *   LAST      before EXITED: nobody else is left in the tree, so the supervisor ends as well
 *   EXITED    value = wait status; the front leaves, the supervisor stays while tasks are left
 *   FAILED    value = exit status for the front (125, 126, 127); text = the sentence for stderr
 *   VERDICT   value = 0, or 125 when an audit found a divergence; the last message, sent when the
 *             whole tree is gone. The front waits for it only with --audit or --stats or --trace;
 *             without these it leaves at EXITED.
 * Front to supervisor:
 *   SIGNAL    value = a signal that somebody sent to the front and meant for the program
 *   RESUMED   a STOPPED has been dealt with: the front runs (again). Until then it may be about to
 *             stop, however long ago the program went on, and is sent SIGCONT now and then.
 *
 * vmsupd is the front of its tenants, and is told more. Supervisor to vmsupd:
 *   LISTENER  with the listener's descriptor, before STARTED
 *   HELLO     to a vmsupd that has connected again: value = pid of the program (0: it has ended), text = version of vmsup; with the
 *             descriptors of listener, start and board, in this order
 *   TAKES     one that takes a tree over is ready to receive its calls; vmsupd, which has done so meanwhile, ceases and says YOURS
 *   EVENT     text = a JSON object, as vmsup-protocol(7) has events; may be lost
 * vmsupd to supervisor:
 *   TRACE     value 1 and a descriptor: lines of the trace go there, and are dropped where they would wait; value 0: no more
 *   KILL_TREE SIGKILL to every task of the tree
 *   YOURS     the answer to TAKES
 */
enum vms_front_kind {
	VMS_FRONT_STARTED = 1,
	VMS_FRONT_STOPPED,
	VMS_FRONT_CONTINUED,
	VMS_FRONT_LAST,
	VMS_FRONT_EXITED,
	VMS_FRONT_FAILED,
	VMS_FRONT_VERDICT,
	VMS_FRONT_SIGNAL,
	VMS_FRONT_RESUMED,
	VMS_FRONT_LISTENER,
	VMS_FRONT_HELLO,
	VMS_FRONT_EVENT,
	VMS_FRONT_TRACE,
	VMS_FRONT_KILL_TREE,
	VMS_FRONT_TAKES,
	VMS_FRONT_YOURS,
};

struct vms_front_msg {
	uint32_t kind; /* enum vms_front_kind */
	int32_t value;
	char text[512]; /* NUL-terminated sentence with FAILED, else empty */
};

struct vms_sup;
struct vms_spawn_place;

/**
 * What the supervisor of a tenant has and that of `vmsup run` has not: the tree outlives it, and vmsupd may come and go. With a board_fd of
 * -1 there is only a place, for a program that is run beside a tenant.
 */
struct vms_tenancy {
	const char *name; /* borrowed */
	int start_fd; /* owned: what vmsupd started this process with, kept for the next vmsupd */
	int board_fd; /* owned */
	int lock_fd; /* owned: kept open, no more */
	int listener; /* owned: the supervisor before this one has died, and its tree is taken over; -1: start the program */
	const char *link_path; /* borrowed: where a new vmsupd connects */
	const struct vms_spawn_place *place; /* borrowed */
	const char *cgroup; /* borrowed: the folder of the tree's cgroup; NULL: it has none */
};

/**
 * In the forked supervisor process: make a supervisor and start options->argv as its child.
 * @front_fd is the supervisor's end of the pair (taken). When its peer closes before EXITED was
 * sent, the front was killed, and so the program is killed too; with @tenancy it runs on.
 * The program gets the limits @given; this process has been freed of them.
 * The program starts with the signal mask and dispositions that this process has at the call: the
 * front must fork before it changes any.
 * @tenancy: NULL for `vmsup run`.
 * Returns 0, or a negative errno after FAILED was sent to the front.
 */
VMS_MUST_CHECK int vms_sup_new(const struct vms_run_options *options, const struct vms_rlimits *given, int front_fd,
			       const struct vms_tenancy *tenancy, struct vms_sup **ret_sup);
/** Serve until the last task of the tree is gone. Returns 0, or 125 when an audit found a divergence. */
int vms_sup_run(struct vms_sup *sup);
/** Close and free everything; NULL is fine. */
void vms_sup_free(struct vms_sup *sup);

/** The loop that @sup runs on (borrowed), for those that add watchers of their own. */
struct vms_loop *vms_sup_loop(struct vms_sup *sup);

#endif
