/*
 * A half-open, page-aligned, non-empty range of addresses: [start, end).
 */
#ifndef VMSUP_CORE_RANGE_H
#define VMSUP_CORE_RANGE_H

#include "vmsup/base/addr.h"
#include "vmsup/base/err.h"

struct vms_range {
	vms_addr_t start;
	vms_addr_t end;
};

/** Set [start, end). Returns -EINVAL when it is empty, reversed or not page-aligned; then @ret is untouched. */
VMS_MUST_CHECK int vms_range_init(struct vms_range *ret, vms_addr_t start, vms_addr_t end);

/**
 * Parse "LO-HI"; numbers as vms_num_parse takes them.
 * Returns 0 or -EINVAL, and then @err says what is wrong with the text and what would be right.
 */
VMS_MUST_CHECK int vms_range_parse(const char *text, struct vms_range *ret, struct vms_err *err);

static inline vms_addr_t vms_range_size(const struct vms_range *r)
{
	return r->end - r->start;
}

static inline bool vms_range_has(const struct vms_range *r, vms_addr_t addr)
{
	return addr >= r->start && addr < r->end;
}

/** True when the whole of @inner lies in @outer. */
static inline bool vms_range_covers(const struct vms_range *outer, const struct vms_range *inner)
{
	return inner->start >= outer->start && inner->end <= outer->end;
}

static inline bool vms_range_overlaps(const struct vms_range *a, const struct vms_range *b)
{
	return a->start < b->end && b->start < a->end;
}

#endif
