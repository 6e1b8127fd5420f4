/*
 * What this machine can do for vmsup: one probe for each kernel feature that vmsup uses, and one
 * for each setting that changes what it can promise. Everything is tried, not guessed from a
 * version; what could change the process is tried in a child that is thrown away.
 */
#ifndef VMSUP_HOST_PROBE_H
#define VMSUP_HOST_PROBE_H

#include <stdbool.h>
#include <stddef.h>

#include "vmsup/base/err.h"

enum vms_probe_state {
	VMS_PROBE_OK,
	VMS_PROBE_MISSING,
	VMS_PROBE_DEGRADED, /* vmsup works, and something is slower, less exact or not known */
};

struct vms_probe_result {
	const char *name; /* static, like since and use */
	enum vms_probe_state state;
	bool needed;	   /* `vmsup run` does not work at all when it is missing */
	const char *since; /* Linux version, "" when it has always been there or is no feature */
	const char *use;   /* what vmsup needs it for */
	char detail[160];  /* what was found */
	char advice[200];  /* what to do; empty when there is nothing to do */
};

/** More than there are probes. */
#define VMS_PROBE_MAX 48

/**
 * Run all probes, a few milliseconds; a probe that hangs is killed after three seconds.
 * 0 with @ret[0..*ret_n), or -ENOSPC when @cap is too small (nothing was run), -ENOMEM.
 * Needs a process of one thread: it forks.
 */
VMS_MUST_CHECK int vms_probe_all(struct vms_probe_result *ret, size_t cap, size_t *ret_n);

/** "ok", "missing" or "degraded". */
const char *vms_probe_state_name(enum vms_probe_state state);

#endif
