/*
 * The kernel's own list of a child's VMAs: PROCMAP_QUERY where there is one (6.11), the text of /proc/PID/maps elsewhere.
 */
#ifndef VMSUP_HOST_MAPS_H
#define VMSUP_HOST_MAPS_H

#include <stddef.h>
#include <sys/types.h>

#include "vmsup/core/vma.h"

/** A growing list of VMAs in address order, reused from call to call. */
struct vms_vma_list {
	struct vms_vma *items; /* owned */
	size_t nr;
	size_t cap;
};

void vms_vma_list_done(struct vms_vma_list *list);

/** /proc/PID/maps kept open: bound to one mm, also after the process has exec'd or died. */
struct vms_maps {
	int fd; /* owned; -1: not open */
	bool has_query;
};

#define VMS_MAPS_INIT { .fd = -1 }

/** Open the maps of @pid. 0, -ESRCH, -EACCES (not ours to look into)... */
VMS_MUST_CHECK int vms_maps_open(pid_t pid, struct vms_maps *ret_maps);
void vms_maps_close(struct vms_maps *maps);

/**
 * Read the VMAs that overlap @range into @list (whole VMAs, not clipped). Known of each: range, prot, shared, offset,
 * dev, ino; may is all; kind is ANON or FILE.
 * 0; -ESRCH when the mm is gone; -ENOMEM.
 */
VMS_MUST_CHECK int vms_maps_read(struct vms_maps *maps, const struct vms_range *range, struct vms_vma_list *list);

/** True when no VMA overlaps @range. False also when it cannot be told. */
bool vms_maps_is_free(struct vms_maps *maps, const struct vms_range *range);

/** The name of the VMA at @addr ("/lib/x.so", "[heap]", "" for none). 0, -ENOENT (no VMA there), -errno. */
VMS_MUST_CHECK int vms_maps_name(struct vms_maps *maps, vms_addr_t addr, char *buf, size_t size);

/**
 * Read noreserve, grows-down, sealed and their kin from smaps into the flags of @list's entries, matched by start address.
 * Dear: walks page tables. 0; -ESRCH when not all of them are there (any more); -errno.
 */
VMS_MUST_CHECK int vms_maps_read_flags(pid_t pid, struct vms_vma_list *list);

#endif
