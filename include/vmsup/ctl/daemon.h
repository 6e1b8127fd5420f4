/*
 * Asking vmsupd: packets of JSON on its socket, $VMSUP_SOCKET or /run/vmsup/vmsupd.sock; vmsup-protocol(7). What comes back is checked
 * by whoever shows it.
 */
#ifndef VMSUP_CTL_DAEMON_H
#define VMSUP_CTL_DAEMON_H

#include <stdbool.h>

#include <jansson.h>

#include "vmsup/base/err.h"

#define VMS_DAEMON_PATIENCE_MS 10000

struct vms_daemon_line;

/** Connect and say hello. 0, or -errno with a sentence. */
VMS_MUST_CHECK int vms_daemon_connect(struct vms_daemon_line **ret_line, struct vms_err *err);
/** NULL is fine. */
void vms_daemon_hang_up(struct vms_daemon_line *line);
/**
 * Ask @ask (taken; without its id). @ret_fd: a descriptor that came with the answer, or -1; NULL: none is wanted.
 * 0 with a new reference to the result, the negative errno that vmsupd sent with its sentence, or another with one.
 */
VMS_MUST_CHECK int vms_daemon_ask(struct vms_daemon_line *line, json_t *ask, json_t **ret_result, int *ret_fd, struct vms_err *err);
/** Wait for the next event, however long. 0 with a new reference; -errno with a sentence. */
VMS_MUST_CHECK int vms_daemon_next(struct vms_daemon_line *line, json_t **ret_event, struct vms_err *err);
/** One question on a line of its own: @verb about @tenant, which may be NULL. */
VMS_MUST_CHECK int vms_daemon_question(const char *verb, const char *tenant, json_t **ret_result, struct vms_err *err);
/** True when @word names a tenant rather than a process: a letter is in it. */
bool vms_daemon_is_name(const char *word);

#endif
