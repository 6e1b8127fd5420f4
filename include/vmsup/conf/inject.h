/*
 * Fault injection as people write it, in strace's grammar:
 *
 *	CALL[,CALL...][:error=ERRNO][:signal=NAME][:when=FIRST[..LAST][+STEP]]
 *	              [:size>N][:size<N][:prot=rwx][:anon][:file=GLOB][:probability=P][:seed=N]
 */
#ifndef VMSUP_CONF_INJECT_H
#define VMSUP_CONF_INJECT_H

#include "vmsup/base/err.h"
#include "vmsup/core/inject.h"

/** Whether @call can be made to fail: those of memory, and exec. */
bool vms_inject_can_strike(enum vms_call call);
/**
 * Add the rule @text; its glob is copied. 0, -ENOMEM, or -EINVAL with a
 * sentence.
 */
VMS_MUST_CHECK int vms_inject_parse(const char *text, struct vms_injections *injections, struct vms_err *err);
/** Free what vms_inject_parse allocated. */
void vms_injections_done(struct vms_injections *injections);

#endif
