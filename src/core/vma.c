/* One mapping of a child, as a record; see the header. Not the set of them: that is tree.c. */
#include "vmsup/core/vma.h"

#include <assert.h>

static const char *const kind_names[VMS_NR_KINDS] = {
	[VMS_KIND_ANON] = "anon",     [VMS_KIND_FILE] = "file", [VMS_KIND_EXE] = "exe",
	[VMS_KIND_INTERP] = "interp", [VMS_KIND_HEAP] = "heap", [VMS_KIND_STACK] = "stack",
	[VMS_KIND_SHM] = "shm",	      [VMS_KIND_VDSO] = "vdso", [VMS_KIND_FENCE] = "fence",
};

const char *vms_vma_kind_name(unsigned int kind)
{
	return kind < VMS_NR_KINDS ? kind_names[kind] : "unknown";
}

static bool has_file(const struct vms_vma *vma)
{
	return vma->dev || vma->ino;
}

bool vms_vma_same_attr(const struct vms_vma *a, const struct vms_vma *b)
{
	return a->ino == b->ino && a->dev == b->dev && a->flags == b->flags && a->prot == b->prot &&
	       a->may == b->may && a->kind == b->kind && a->pkey == b->pkey;
}

bool vms_vma_can_merge(const struct vms_vma *a, const struct vms_vma *b)
{
	if (a->range.end != b->range.start || !vms_vma_same_attr(a, b))
		return false;
	if (!has_file(a))
		return a->offset == b->offset;
	return a->offset + vms_range_size(&a->range) == b->offset;
}

void vms_vma_clip(struct vms_vma *vma, const struct vms_range *cut)
{
	assert(vms_range_overlaps(&vma->range, cut));
	if (cut->start > vma->range.start) {
		if (has_file(vma))
			vma->offset += cut->start - vma->range.start;
		vma->range.start = cut->start;
	}
	if (cut->end < vma->range.end)
		vma->range.end = cut->end;
}

bool vms_vma_is_commit(const struct vms_vma *vma)
{
	if ((vma->flags & VMS_VMA_NORESERVE) || !(vma->prot & VMS_PROT_ALL))
		return false;
	if (!(vma->flags & VMS_VMA_SHARED))
		return (vma->prot & VMS_PROT_WRITE) != 0;
	/* Shared memory without a name has an inode too; only the kind tells it from a file. */
	return !has_file(vma) || vma->kind == VMS_KIND_ANON || vma->kind == VMS_KIND_SHM;
}
