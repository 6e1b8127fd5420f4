/*
 * The parts of a trace that `vmsup replay` reads back: what the core works on, as JSON. Pure.
 *
 * Numbers of 64 bits are strings "0x...". A VMA is an array: start, end, prot, may, flags, kind, pkey, dev, ino, offset.
 * Every get function returns 0, or -EBADMSG when @json is not what it should be.
 */
#ifndef VMSUP_WIRE_TRACE_H
#define VMSUP_WIRE_TRACE_H

#include <jansson.h>

#include "vmsup/core/decide.h"
#include "vmsup/core/limit.h"

/** Of the lines with an "event"; a reader takes no other. */
#define VMS_TRACE_FORMAT 1

json_t *vms_trace_range(const struct vms_range *range);
json_t *vms_trace_rules(const struct vms_place_rules *rules);
json_t *vms_trace_brk(const struct vms_brk *brk);
/** The VMAs of @tree in @range, cut to it. */
json_t *vms_trace_vmas(const struct vms_tree *tree, const struct vms_range *range);
json_t *vms_trace_facts(const struct vms_facts *facts);
json_t *vms_trace_usage(const struct vms_usage *usage);

VMS_MUST_CHECK int vms_trace_get_hex(const json_t *json, uint64_t *ret_value);
VMS_MUST_CHECK int vms_trace_get_range(const json_t *json, struct vms_range *ret_range);
VMS_MUST_CHECK int vms_trace_get_rules(const json_t *json, struct vms_place_rules *ret_rules);
VMS_MUST_CHECK int vms_trace_get_brk(const json_t *json, struct vms_brk *ret_brk);
/** Make @tree hold in @range what @json says. Also -ENOMEM. */
VMS_MUST_CHECK int vms_trace_get_vmas(const json_t *json, const struct vms_range *range, struct vms_tree *tree);
VMS_MUST_CHECK int vms_trace_get_facts(const json_t *json, struct vms_facts *ret_facts);
VMS_MUST_CHECK int vms_trace_get_usage(const json_t *json, struct vms_usage *ret_usage);

#endif
