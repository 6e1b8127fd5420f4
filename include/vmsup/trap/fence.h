/*
 * The check of addresses that keeps a fence which cannot be sealed (no mseal, before Linux 6.10): a piece of BPF before the
 * filter proper. It refuses by itself, without a notification, what would remove or change a page outside the range.
 */
#ifndef VMSUP_TRAP_FENCE_H
#define VMSUP_TRAP_FENCE_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/filter.h>

#include "vmsup/core/cookie.h"
#include "vmsup/core/range.h"

/** The longest check there is. */
#define VMS_FENCE_MAX 1024

/**
 * Write the check for the fence around @range to @code, which has room for VMS_FENCE_MAX instructions; how many there are is
 * returned. @supervised: memory calls are notified. What it lets through goes on behind its end, with nothing kept in registers; so do calls that show @cookie.
 * i386 calls are checked alike; for those without a supervisor the old mmap, whose arguments are in memory, is refused (ENOSYS).
 *
 * Refused, with the errno that Linux has for addresses that no process can have:
 *	munmap above the range EINVAL (below it does nothing and succeeds; across its start it is for the supervisor);
 *	mprotect, pkey_mprotect ENOMEM; mmap with MAP_FIXED: EPERM below the range, ENOMEM above;
 *	mremap: EFAULT for its source, EPERM below and EINVAL above for its target; madvise(MADV_DONTFORK) EPERM.
 * What Linux refuses for its own reasons before it changes anything (no page address, no length) is let through.
 *
 * Refused altogether, because the addresses are not in registers: prctl(PR_SET_MM) (EPERM: brk would believe it), io_uring (EPERM: it can do madvise), process_madvise with
 * MADV_DONTFORK (EINVAL, as before Linux 6.13), and unless @supervised shmat with SHM_REMAP (EPERM).
 */
size_t vms_fence_check(const struct vms_range *range, const struct vms_cookie *cookie, bool supervised,
		       struct sock_filter *code);

#endif
