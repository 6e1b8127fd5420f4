/*
 * The control socket of a running supervisor. It answers `vmsup maps` and `vmsup ps` from inside
 * the supervisor's loop, and never makes that loop wait: descriptors do not block, buffers are
 * bounded, one request is answered a round, and of more than 16 clients the longest silent one is
 * dropped.
 *
 * Only root and the user of the supervisor get answers.
 */
#ifndef VMSUP_CTL_SERVER_H
#define VMSUP_CTL_SERVER_H

#include "vmsup/base/err.h"

struct vms_sup;
struct vms_ctl_server;

#define VMS_CTL_CLIENTS_MAX 16

/**
 * Open the socket `<our pid>.sock` in vms_ctl_dir_own's directory and serve it in
 * vms_sup_loop(@sup).
 * @sup is borrowed and must outlive the server. Call it in the process that runs the loop.
 * 0, or a negative errno with a sentence; a supervisor can do its work without.
 */
VMS_MUST_CHECK int vms_ctl_serve(struct vms_sup *sup, struct vms_ctl_server **ret_server,
				 struct vms_err *err);
/** Drop all clients and remove the socket; NULL is fine. */
void vms_ctl_server_free(struct vms_ctl_server *server);

#endif
