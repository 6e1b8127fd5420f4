/*
 * Limits as people write them: for the options of run, and for `vmsup limit`.
 */
#ifndef VMSUP_CONF_LIMITS_H
#define VMSUP_CONF_LIMITS_H

#include <stdint.h>

#include "vmsup/base/err.h"

/** A size or number for option @name; "none" is VMS_UNLIMITED. 0, or -EINVAL with a sentence. */
VMS_MUST_CHECK int vms_limit_parse(const char *name, const char *text, uint64_t *ret_max, struct vms_err *err);
/** The number of a signal's name, with or without SIG; 0: there is none. */
int vms_signal_number(const char *name);
/** "enomem" (0), "signal:NAME" or "kill" (SIGKILL). 0, or -EINVAL with a sentence. */
VMS_MUST_CHECK int vms_on_limit_parse(const char *text, int *ret_signal, struct vms_err *err);

#endif
