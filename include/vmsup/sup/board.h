/*
 * The board: a page-aligned block of memory that a tenant's supervisor shares with vmsupd, so that counters can be read without
 * asking anybody, and so that the calls in flight outlive the supervisor.
 *
 * Only the supervisor writes. Every number is read and written whole (64 bits, relaxed); there is no lock, so that numbers
 * belong together only roughly. The reader trusts nothing: the supervisor may have been taken over.
 */
#ifndef VMSUP_SUP_BOARD_H
#define VMSUP_SUP_BOARD_H

#include <stdint.h>
#include <sys/types.h>

#include "vmsup/base/err.h"
#include "vmsup/core/call.h"
#include "vmsup/core/cookie.h"
#include "vmsup/core/decide.h"
#include "vmsup/core/limit.h"
#include "vmsup/host/remote.h"
#include "vmsup/trap/journal.h"
#include "vmsup/trap/listener.h"

#define VMS_BOARD_MAGIC UINT64_C(0x766d737570626431)
#define VMS_BOARD_VERSION 3
/** Latency of decisions: bucket i counts those of less than 2^i microseconds, the last all that took longer. */
#define VMS_BOARD_BUCKETS 20

struct vms_board_counters {
	uint64_t notifications, by_call[VMS_NR_CALLS];
	uint64_t continued, remote, refused, replied, held, stale, mispredicted, audits, divergences, execs, signal_repairs, injected;
	uint64_t limited[VMS_NR_LIMITS], tree_limited[VMS_NR_LIMITS];
	uint64_t policy; /* broken rules of the protection policy */
	uint64_t latency[VMS_BOARD_BUCKETS], latency_sum_ns; /* how long one kept the supervisor */
	uint64_t events_lost; /* told to nobody */
	/* As they are now: */
	uint64_t commit, va, reserved, maps; /* bytes; mappings: of all processes that have a record */
	uint64_t processes, threads; /* with a record */
};

/** A remote call under way in the stub: what its thread has to be given back, and how far it is. Trusted as the journal is. */
struct vms_rescue {
	uint64_t state; /* 0: free; 1: written */
	int64_t tid, job;
	struct vms_remote remote;
	struct vms_trap trap;
	struct vms_req req;
	struct vms_facts facts;
	struct vms_plan plan;
	struct vms_usage growth;
	int64_t tries, step_two, move, mapped_at, moved;
};
#define VMS_NR_RESCUES 64

struct vms_board {
	uint64_t magic, version, size; /* size: of this structure */
	uint64_t generation; /* supervisors that have used it */
	/* What the next supervisor has to know; valid once ready is 1. */
	uint64_t ready;
	struct vms_cookie cookie;
	uint64_t seed, random;
	int64_t main_pid;
	uint64_t filters; /* seccomp filters that every process of the tree has, ours among them */
	uint64_t main_started, main_exited; /* 0 or 1 */
	int64_t exit_status; /* of wait(2), with main_exited */
	struct vms_limits tree_limits, limits; /* as they were set last */
	struct vms_board_counters counters;
	struct vms_journal journal;
	struct vms_rescue rescues[VMS_NR_RESCUES];
};

/** A new board in a memfd that can neither grow nor shrink. 0 with a descriptor that the caller closes, or -errno. */
VMS_MUST_CHECK int vms_board_create(int *ret_fd);
/** Map the board of @fd (borrowed), to write or only to read. 0; -EPROTO when it is none or of another version; -errno. */
VMS_MUST_CHECK int vms_board_map(int fd, bool writable, struct vms_board **ret_board);
/** NULL is fine. */
void vms_board_unmap(const struct vms_board *board);

#endif
