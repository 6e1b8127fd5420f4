/*
 * Placement policy as people write it.
 */
#ifndef VMSUP_CONF_POLICY_H
#define VMSUP_CONF_POLICY_H

#include "vmsup/base/err.h"
#include "vmsup/core/policy.h"

/**
 * "top-down", "bottom-up", "random[:SEED]" or "scatter[:SEED]". @ret_seed is written, and @ret_has_seed true, when there is one.
 * 0, or -EINVAL with a sentence.
 */
VMS_MUST_CHECK int vms_policy_parse_layout(const char *text, enum vms_layout_kind *ret_kind, uint64_t *ret_seed,
					   bool *ret_has_seed, struct vms_err *err);
/** Add the hole "LO-HI". 0, or -EINVAL with a sentence. */
VMS_MUST_CHECK int vms_policy_parse_hole(const char *text, struct vms_policy *policy, struct vms_err *err);
/** Add the shadow of "asan", "msan" or "tsan" as holes. 0, or -EINVAL with a sentence. */
VMS_MUST_CHECK int vms_policy_parse_avoid(const char *text, struct vms_policy *policy, struct vms_err *err);
/** A power of two from 8192 up. 0, or -EINVAL with a sentence. */
VMS_MUST_CHECK int vms_policy_parse_align(const char *text, vms_addr_t *ret_align, struct vms_err *err);
/** A multiple of 4096 below 1 GiB for --guard-gap, below 2 GiB for --reserve-low. 0, or -EINVAL with a sentence. */
VMS_MUST_CHECK int vms_policy_parse_size(const char *name, const char *text, vms_addr_t *ret_size, struct vms_err *err);
/** 31, 32, 36, 39, 47 or 48. 0, or -EINVAL with a sentence. */
VMS_MUST_CHECK int vms_policy_parse_bits(const char *text, unsigned int *ret_bits, struct vms_err *err);

#endif
