/*
 * The journal: which calls have been received and not been answered. It lies in memory that outlives its writer, so that another
 * supervisor can answer them: the kernel does not queue a received call again.
 *
 * One process writes at a time. A slot counts from the moment its state is written, which is last.
 */
#ifndef VMSUP_TRAP_JOURNAL_H
#define VMSUP_TRAP_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmsup/core/call.h"

struct vms_trap;

/** Calls in flight that are remembered; should there be more, they are found as those lost are, see sup/adopt.c. */
#define VMS_JOURNAL_SLOTS 4096

struct vms_journal_slot {
	uint64_t state; /* 0: free; 1: received, not answered */
	uint64_t id;
	int64_t tid;
	int32_t arch, nr;
	uint64_t args[6], ip;
};

struct vms_journal {
	uint64_t last_id, has_last_id; /* the highest received: the kernel gives them out one by one, and hands them out in order */
	struct vms_journal_slot slots[VMS_JOURNAL_SLOTS];
};

/** Remember @trap. False: no slot is free. */
bool vms_journal_put(struct vms_journal *journal, const struct vms_trap *trap);
/** Forget the call @id; nothing happens when it is not there. */
void vms_journal_drop(struct vms_journal *journal, uint64_t id);
/**
 * What is remembered in slot @i (below VMS_JOURNAL_SLOTS), whoever wrote it: false when it is free, or holds no call that the kernel
 * could have sent.
 */
bool vms_journal_get(const struct vms_journal *journal, size_t i, struct vms_trap *ret_trap);

#endif
