/*
 * What a running supervisor tells about itself, as JSON. The control server asks.
 */
#ifndef VMSUP_SUP_REPORT_H
#define VMSUP_SUP_REPORT_H

#include <sys/types.h>

#include <jansson.h>

#include "vmsup/base/err.h"

struct vms_sup;

/**
 * The supervisor's tree of the process @pid:
 *   {"pid": N, "supervisor": N, "command": "python3",
 *    "range": {"start": "0x10000", "end": "0x7fff0000"}  or null when nothing confines it,
 *    "mode": "supervise"|"fence",
 *    "brk_base": "0x...", "brk": "0x...", "brk_frontier": "0x...",
 *    "va": bytes, "commit": bytes, "reserved": bytes, "mappings": N,
 *    "maps": [{"start": "0x...", "end": "0x...", "prot": "rw-", "shared": false, "kind": "heap",
 *              "flags": ["noreserve", ...], "file": "/path" or null, "offset": bytes}, ...]}
 * Returns 0 with a new reference; -ESRCH when @pid is not in this tree; another negative errno with a sentence.
 */
VMS_MUST_CHECK int vms_report_maps(struct vms_sup *sup, pid_t pid, json_t **ret, struct vms_err *err);

/**
 *   {"supervisor": N, "uid": N, "range": ... as above, "mode": "...", "command": ["prog", "arg"...],
 *    "processes": [{"pid": N, "ppid": N, "command": "comm", "threads": N, "mappings": N or null, "va": bytes or null}, ...]}
 * mappings and va are null for a process whose tree has not been needed yet.
 */
VMS_MUST_CHECK int vms_report_ps(struct vms_sup *sup, json_t **ret);

#endif
