/*
 * Asking supervisors. Every question waits at most VMS_CTL_TIMEOUT_MS for its answer.
 *
 * What comes back was written by a process of another user when root asks: it is well-formed JSON
 * and nothing more, so whoever prints it checks types and escapes text.
 */
#ifndef VMSUP_CTL_CLIENT_H
#define VMSUP_CTL_CLIENT_H

#include <sys/types.h>

#include <jansson.h>

#include "vmsup/base/err.h"
#include "vmsup/wire/msg.h"

#define VMS_CTL_TIMEOUT_MS 2000

/**
 * Ask about the process @ask->pid (a thread stands for its process) the supervisor that has it: asked
 * are the supervisors of its user and ours; root asks everybody's.
 * 0 with a new reference to what vms_report_maps or vms_report_limit describes. With a sentence: -ESRCH when there is
 * no such process or no supervisor has it, -ETIMEDOUT when one that may have it gave no answer, or
 * another errno.
 */
VMS_MUST_CHECK int vms_ctl_process(const struct vms_ask *ask, json_t **ret_result, struct vms_err *err);

/**
 * All supervisors of this user, or of everybody for root, and their processes:
 *   {"supervisors": [what vms_report_ps describes, ...],
 *    "silent": [{"supervisor": N, "uid": N, "error": "a sentence"}, ...]}   (gave no right answer)
 * 0 with a new reference, or -ENOMEM with a sentence.
 */
VMS_MUST_CHECK int vms_ctl_ps(json_t **ret_ps, struct vms_err *err);

#endif
