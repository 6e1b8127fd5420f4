/*
 * Numbers as people write them.
 */
#ifndef VMSUP_BASE_NUM_H
#define VMSUP_BASE_NUM_H

#include <stdint.h>

#include "vmsup/base/err.h"

/**
 * Parse an unsigned number: decimal or 0x hexadecimal, then an optional suffix K, M, G or T
 * (powers of 1024, either case). The whole of [@text, @end) must be consumed; @end NULL means
 * up to the terminating NUL. Signs, blanks and empty text are refused.
 * Returns 0, -EINVAL (not a number) or -ERANGE (passes 2^64 - 1).
 */
VMS_MUST_CHECK int vms_num_parse(const char *text, const char *end, uint64_t *ret_value);

#endif
