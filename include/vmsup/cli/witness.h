/*
 * Tells whether a signal was sent to this process alone or to its whole process group.
 *
 * The program is in the front's group and gets its own copy of what is sent to the group (Ctrl-C,
 * `kill %1`, timeout(1)), so that copy must not be handed on a second time. A siginfo does
 * not tell the two apart. A third process in the group that blocks everything does: what was
 * sent to the group is pending there too.
 */
#ifndef VMSUP_CLI_WITNESS_H
#define VMSUP_CLI_WITNESS_H

#include <stdbool.h>
#include <sys/types.h>

struct vms_witness {
	pid_t pid; /* 0: there is none */
	int fd; /* owned */
};

#define VMS_WITNESS_INIT { .pid = 0, .fd = -1 }

/**
 * Fork the witness. Pre: every signal is blocked; what arrived before is not known to it.
 * Returns 0 or a negative errno; without a witness only vms_witness_ask's guess is left.
 */
int vms_witness_start(struct vms_witness *w);

/**
 * Wait until a signal sent to the group, of which this process has its copy, has reached every member. The kernel sends to them one
 * after the other, under its task list lock for reading; setpgid takes that lock for writing, so after it (it changes nothing) all
 * have been served.
 * Source: kernel/signal.c kill_something_info, kernel/sys.c setpgid (Linux 6.18)
 */
void vms_witness_wait(void);

/**
 * Whether the signal @sig, which this process just took, was sent to the group. Counts: each
 * signal sent to the group is confirmed once.
 * @guess: the answer when there is no witness
 */
bool vms_witness_ask(struct vms_witness *w, int sig, bool guess);

/**
 * Whether a stop signal of a terminal was sent to the group that nobody has asked about yet, and no SIGCONT after it. Without a
 * witness: false.
 */
bool vms_witness_has_stop(struct vms_witness *w);

/** End the witness and reap it; fine when there is none. */
void vms_witness_stop(struct vms_witness *w);

#endif
