/*
 * The seccomp filter, built from the table of trapped calls.
 */
#ifndef VMSUP_TRAP_FILTER_H
#define VMSUP_TRAP_FILTER_H

#include <linux/filter.h>

#include "vmsup/base/err.h"
#include "vmsup/core/cookie.h"
#include "vmsup/core/range.h"

/** Draw a fresh cookie from getrandom(2). 0 or -errno. */
VMS_MUST_CHECK int vms_cookie_draw(struct vms_cookie *ret_cookie);

struct vms_filter {
	struct sock_fprog prog; /* prog.filter is owned */
};

/**
 * Build the filter for the features @when (VMS_TRAP_*).
 * Foreign architectures (i386 without VMS_TRAP_I386) and x32 get ENOSYS.
 * @unsealed is the range whose fence is not sealed, and kept by the filter (trap/fence.h); NULL: there is none.
 * 0, or a negative errno with a sentence in @err.
 */
VMS_MUST_CHECK int vms_filter_build(unsigned int when, const struct vms_cookie *cookie,
				    const struct vms_range *unsealed, struct vms_filter *ret_filter, struct vms_err *err);
void vms_filter_done(struct vms_filter *filter);

/**
 * Load @filter into the calling process, for good. Sets no_new_privs.
 * Returns the listener's descriptor (O_CLOEXEC), or -errno: -EBUSY when a listener is there already,
 * -EINVAL when the kernel lacks WAIT_KILLABLE_RECV. Only system calls: usable between fork and exec.
 */
VMS_MUST_CHECK int vms_filter_load(const struct vms_filter *filter);

#endif
