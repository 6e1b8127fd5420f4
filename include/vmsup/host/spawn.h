/*
 * Start the first child of a tree: fork, load the filter, hand the listener back, exec.
 */
#ifndef VMSUP_HOST_SPAWN_H
#define VMSUP_HOST_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "vmsup/base/err.h"
#include "vmsup/host/rlimits.h"

/** As whom and where the program runs. */
struct vms_spawn_place {
	bool is_service; /* in a session of its own, and outlives this process */
	bool has_user; /* uid, gid and groups are valid */
	uid_t uid;
	gid_t gid;
	const gid_t *groups; /* borrowed */
	size_t nr_groups;
	const char *directory; /* borrowed; NULL: this one */
	int cgroup_procs; /* borrowed: cgroup.procs of the program's cgroup; -1: this one */
};

struct vms_spawn_req {
	char *const *argv; /* program (looked up in PATH) and arguments */
	/* Loads the filter in the child: the listener's descriptor or -errno. System calls only. */
	int (*load)(const void *arg);
	const void *load_arg;
	const struct rlimit *address_space; /* RLIMIT_AS for the child; NULL: as it is */
	uint64_t max_stack; /* bytes: RLIMIT_STACK, soft and hard, is made no more than this */
	const struct vms_rlimits *rlimits; /* others that the child gets back */
	const struct vms_spawn_place *place; /* NULL: as and where this process is */
};

struct vms_spawn {
	pid_t pid;
	int listener; /* owned */
	int report; /* owned; readable when exec has failed (an int errno) or succeeded (end of file) */
};

/**
 * Fork and wait until the filter is loaded. The child then calls exec, which is notified: the caller must serve the
 * listener. Call before anything of the caller's descriptors, signals or process group has changed: the child
 * inherits all of it.
 * 0, or a negative errno with a sentence in @err, and no child is left.
 */
VMS_MUST_CHECK int vms_spawn(const struct vms_spawn_req *req, struct vms_spawn *ret_spawn, struct vms_err *err);

#endif
