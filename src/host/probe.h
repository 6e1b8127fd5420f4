/* Inside of the probes: features are tried in probe_kernel.c, settings are read in probe_host.c. */
#ifndef VMSUP_SRC_HOST_PROBE_H
#define VMSUP_SRC_HOST_PROBE_H

#include "vmsup/host/probe.h"

/* Sets state and detail, and advice where there is something to do. */
typedef void vms_probe_fn(struct vms_probe_result *r);

void vms_probe_say(struct vms_probe_result *r, enum vms_probe_state state, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void vms_probe_advise(struct vms_probe_result *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* A number in a field of /proc/PID/status, -1 when it is not there. @field as "Seccomp:". */
long vms_probe_status_field(int pid, const char *field);

/* probe_kernel.c: each runs in a child of its own and may leave that in any state. */
vms_probe_fn vms_probe_notify, vms_probe_listener_free, vms_probe_continue, vms_probe_wait_killable,
	vms_probe_sync_wake_up, vms_probe_ptrace, vms_probe_mm_map, vms_probe_vdso_move,
	vms_probe_mremap_multi, vms_probe_mseal, vms_probe_procmap_query, vms_probe_pidfd_open,
	vms_probe_pidfd_getfd, vms_probe_kcmp, vms_probe_process_vm, vms_probe_noreplace,
	vms_probe_address_bits, vms_probe_thp, vms_probe_ia32;

/* probe_host.c: these only read, but for rlimit_as, which needs a child too. */
vms_probe_fn vms_probe_kernel, vms_probe_procfs, vms_probe_rlimit_as, vms_probe_tracer,
	vms_probe_yama, vms_probe_filters, vms_probe_no_new_privs, vms_probe_mmap_min_addr,
	vms_probe_stack_guard_gap, vms_probe_overcommit, vms_probe_va_layout,
	vms_probe_max_map_count;

#endif
