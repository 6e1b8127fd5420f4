/*
 * What a running supervisor tells about itself, as JSON. The control server asks.
 */
#ifndef VMSUP_SUP_REPORT_H
#define VMSUP_SUP_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#include "vmsup/base/err.h"

struct vms_sup;
struct vms_ask;

/**
 * The supervisor's tree of the process @pid:
 *   {"pid": N, "supervisor": N, "command": "python3",
 *    "range": {"start": "0x10000", "end": "0x7fff0000"}  or null when nothing confines it,
 *    "mode": "supervise"|"fence",
 *    "brk_base": "0x...", "brk": "0x...", "brk_frontier": "0x...",
 *    "va": bytes, "commit": bytes, "reserved": bytes, "mappings": N,
 *    "limits": {"commit": bytes, ...}, "tree_limits": {...}     (those that are set)
 *    "maps": [{"start": "0x...", "end": "0x...", "prot": "rw-", "shared": false, "kind": "heap",
 *              "flags": ["noreserve", ...], "file": "/path" or null, "offset": bytes}, ...]}
 * Returns 0 with a new reference; -ESRCH when @pid is not in this tree; another negative errno with a sentence.
 */
VMS_MUST_CHECK int vms_report_maps(struct vms_sup *sup, pid_t pid, json_t **ret, struct vms_err *err);

/**
 *   {"supervisor": N, "uid": N, "range": ... as above, "mode": "...", "command": ["prog", "arg"...],
 *    "processes": [{"pid": N, "ppid": N, "command": "comm", "threads": N, "mappings": N or null, "va": bytes or null,
 *                   "commit": bytes or null, "limits": {"commit": bytes, ...}}, ...],
 *    "tree": {"va": bytes, "commit": bytes, "maps": N}, "tree_limits": {...}}
 * mappings, va and commit are null for a process whose tree has not been needed yet; "tree" counts those that have one.
 */
VMS_MUST_CHECK int vms_report_ps(struct vms_sup *sup, json_t **ret);

/**
 * What was refused lately in the whole tree of this supervisor, if @pid is in it or is the supervisor itself:
 *   {"supervisor": N, "range": ..., "mode": "...",
 *    "refusals": [{"pid": N, "command": "comm", "call": "mmap", "args": ["0x...", ...], "errno": "ENOMEM", "count": N,
 *                  "limit": "max-commit", "policy": "wx", "injected": true}, ...]}
 * limit, policy and injected only where that is the reason. 0 with a new reference; -ESRCH when @pid is not in this tree.
 */
VMS_MUST_CHECK int vms_report_refusals(struct vms_sup *sup, pid_t pid, json_t **ret);

/**
 * Add to @object which rule of ours a call met, as in struct vms_plan: injected, policy and limit, each only where it did. Lines of
 * a trace have the same members.
 */
void vms_report_reason(json_t *object, bool injected, uint8_t rule, uint8_t limit, bool tree_limit);

/** True when @pid is a process of the tree that has been met. */
bool vms_report_knows(const struct vms_sup *sup, pid_t pid);
/** True when @ask, a VMS_ASK_LIMIT, is more than a question. */
bool vms_report_changes(const struct vms_ask *ask);
/**
 * Change the limits of a process and of the tree as @ask says, then tell what they are:
 *   {"pid": N, "used": {"va": bytes, "commit": bytes, "maps": N, "heap": bytes}, "limits": {...},
 *    "tree": {...}, "tree_limits": {...}}
 * 0 with a new reference; -ESRCH when the process is not in this tree; another negative errno with a sentence, and then
 * nothing has changed.
 */
VMS_MUST_CHECK int vms_report_limit(struct vms_sup *sup, const struct vms_ask *ask, json_t **ret, struct vms_err *err);

#endif
