/*
 * Metrics of all tenants: as a file for node_exporter, and over HTTP.
 */
#ifndef VMSUP_DAEMON_METRICS_H
#define VMSUP_DAEMON_METRICS_H

#include "vmsup/daemon/daemon.h"

/** OpenMetrics, or the older text of Prometheus; the caller frees it. 0 or -ENOMEM. */
VMS_MUST_CHECK int vms_metrics_text(const struct vms_daemon *daemon, bool open, char **ret_text, size_t *ret_len);
/** Write metrics-file, if there is one. */
void vms_metrics_write(struct vms_daemon *daemon);
/** Remove what was written: what nobody keeps up to date is taken for true. */
void vms_metrics_remove(struct vms_daemon *daemon);

/** http.c: serve them on metrics-address, if there is one. 0, or a negative errno with a sentence. */
VMS_MUST_CHECK int vms_http_start(struct vms_daemon *daemon, struct vms_err *err);
void vms_http_stop(struct vms_daemon *daemon);

#endif
