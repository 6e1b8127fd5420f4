/*
 * The resource limits that were set for the program and must not bind the processes that stand around it: descriptors
 * (two for each process of the tree), CPU time, size of files.
 */
#ifndef VMSUP_HOST_RLIMITS_H
#define VMSUP_HOST_RLIMITS_H

#include <sys/resource.h>

#include "vmsup/base/err.h"

#define VMS_NR_RLIMITS 3

struct vms_rlimits {
	struct rlimit limits[VMS_NR_RLIMITS];
};

/** Give this process as much as it may have. @ret_given: what it had, for vms_rlimits_give. */
void vms_rlimits_lift(struct vms_rlimits *ret_given);

/** Give this process the limits @given: in the program's process, before it may not any more. */
void vms_rlimits_give(const struct vms_rlimits *given);

/** 0, or -EMFILE with a sentence when too few descriptors are left to work with. */
VMS_MUST_CHECK int vms_rlimits_check(struct vms_err *err);

#endif
