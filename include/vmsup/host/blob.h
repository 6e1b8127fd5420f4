/*
 * The injected code and its table of calls.
 */
#ifndef VMSUP_HOST_BLOB_H
#define VMSUP_HOST_BLOB_H

#include <stdint.h>

/** One call in the table. The layout is known to blob-x86_64.S. */
struct vms_blob_call {
	int32_t nr; /* VMS_BLOB_END: no more */
	uint32_t flags; /* VMS_BLOB_MAY_FAIL */
	uint64_t args[6];
};

#define VMS_BLOB_END (-1)
#define VMS_BLOB_MAY_FAIL 1u

_Static_assert(sizeof(struct vms_blob_call) == 56, "blob-x86_64.S steps by 56 bytes");

/** The code itself: position-independent, [vms_blob_start, vms_blob_end). */
extern const unsigned char vms_blob_start[];
extern const unsigned char vms_blob_end[];

#endif
