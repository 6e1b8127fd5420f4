/*
 * One mapping of a child, as the supervisor records it. The words are the kernel's.
 */
#ifndef VMSUP_CORE_VMA_H
#define VMSUP_CORE_VMA_H

#include "vmsup/core/range.h"

/** What a mapping is for; shown by `vmsup maps`, never the ground of a decision. */
enum vms_vma_kind {
	VMS_KIND_ANON,
	VMS_KIND_FILE,
	VMS_KIND_EXE,
	VMS_KIND_INTERP,
	VMS_KIND_HEAP,
	VMS_KIND_STACK,
	VMS_KIND_SHM, /* SysV shared memory */
	VMS_KIND_VDSO, /* [vdso], [vvar] and their kin */
	VMS_KIND_FENCE, /* the fence, made up for a listing; in a tree the top gap */
	VMS_NR_KINDS,
};

/** Flags of a mapping. */
#define VMS_VMA_SHARED (1u << 0)
#define VMS_VMA_NORESERVE (1u << 1)
#define VMS_VMA_GROWSDOWN (1u << 2)
#define VMS_VMA_LOW2G (1u << 3) /* placed for MAP_32BIT */
#define VMS_VMA_SEALED (1u << 4)
#define VMS_VMA_HUGETLB (1u << 5)
#define VMS_VMA_DONTFORK (1u << 6)
#define VMS_VMA_WIPEONFORK (1u << 7)

#define VMS_VMA_WRITTEN (1u << 8) /* was writable; marked under a protection policy only */

/** Flags that the kernel tells in smaps, and nowhere else. */
#define VMS_VMA_TOLD                                                                               \
	(VMS_VMA_NORESERVE | VMS_VMA_GROWSDOWN | VMS_VMA_SEALED | VMS_VMA_HUGETLB |                \
	 VMS_VMA_DONTFORK | VMS_VMA_WIPEONFORK)

/** Bits of prot and may; equal to PROT_READ, PROT_WRITE, PROT_EXEC. */
#define VMS_PROT_READ 1u
#define VMS_PROT_WRITE 2u
#define VMS_PROT_EXEC 4u
#define VMS_PROT_ALL 7u

struct vms_vma {
	struct vms_range range;
	uint64_t offset; /* of range.start in the file, bytes; 0 for private anonymous memory */
	uint64_t dev; /* as stat's st_dev; 0 without a file */
	uint64_t ino; /* 0 without a file; shared anonymous memory and SysV shm have one */
	uint32_t flags; /* VMS_VMA_* */
	uint8_t prot; /* VMS_PROT_* now */
	uint8_t may; /* what mprotect may still give: VM_MAYREAD, VM_MAYWRITE, VM_MAYEXEC */
	uint8_t kind; /* enum vms_vma_kind */
	uint8_t pkey; /* protection key, 0 by default */
};

/** "anon", "file", "exe", ... as `vmsup maps` prints them; never NULL. */
const char *vms_vma_kind_name(unsigned int kind);

/** True when both have the same attributes, ranges and offsets aside. */
bool vms_vma_same_attr(const struct vms_vma *a, const struct vms_vma *b);

/** True when @b follows @a without a gap and one VMA could describe both (offsets run on for files). */
bool vms_vma_can_merge(const struct vms_vma *a, const struct vms_vma *b);

/** Cut @vma to its part inside @cut (which must overlap it), moving the offset along when it has a file. */
void vms_vma_clip(struct vms_vma *vma, const struct vms_range *cut);

/** True for memory that counts as commit: private writable or shared anonymous, not NORESERVE, not PROT_NONE. */
bool vms_vma_is_commit(const struct vms_vma *vma);

#endif
