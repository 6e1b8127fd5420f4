/*
 * The VMAs of one address space, ordered by address, in a balanced tree.
 *
 * Every node knows the gap below it and the largest gap in its subtree, so that insert, remove,
 * split, merge, find and the search for a gap all take O(log n).
 *
 * Two rules hold after every call: no two VMAs overlap, and no two neighbours could be one
 * (vms_vma_can_merge is false for all neighbours).
 *
 * Failure leaves the tree as it was. What must not fail later is reserved beforehand with
 * vms_tree_reserve. Borrowed pointers to VMAs are valid until the next call that changes the tree.
 */
#ifndef VMSUP_CORE_TREE_H
#define VMSUP_CORE_TREE_H

#include <stddef.h>

#include "vmsup/core/vma.h"

struct vms_node;

struct vms_tree {
	struct vms_node *root; /* owned */
	struct vms_node *spare; /* owned list of reserved nodes */
	size_t nr_spare;
	size_t count; /* VMAs in the tree */
	vms_addr_t va; /* bytes of all VMAs */
	vms_addr_t commit; /* bytes of the VMAs for which vms_vma_is_commit */
	vms_addr_t guard; /* bytes kept free below a grows-down VMA (the kernel's stack_guard_gap) */
	void *(*alloc)(size_t size); /* malloc; a test may put a failing one here */
};

/** An empty tree; @guard in bytes. */
void vms_tree_init(struct vms_tree *tree, vms_addr_t guard);
/** Free everything; the tree may be initialised again. */
void vms_tree_done(struct vms_tree *tree);
/** Remove all VMAs; reserved nodes stay. */
void vms_tree_clear(struct vms_tree *tree);

/** See to it that the next @n nodes are there. Returns 0 or -ENOMEM (tree unchanged). */
VMS_MUST_CHECK int vms_tree_reserve(struct vms_tree *tree, size_t n);

/** The VMA that holds @addr, or NULL. */
const struct vms_vma *vms_tree_find(const struct vms_tree *tree, vms_addr_t addr);
/** The first VMA whose end is above @addr (it may hold @addr), or NULL. */
const struct vms_vma *vms_tree_find_from(const struct vms_tree *tree, vms_addr_t addr);
/** The last VMA that starts below @addr (it may hold @addr - 1 and more), or NULL. */
const struct vms_vma *vms_tree_find_below(const struct vms_tree *tree, vms_addr_t addr);
/** Where the VMAs begin that reach to @addr with nothing between them; @addr itself when there is none. */
vms_addr_t vms_tree_run_start(const struct vms_tree *tree, vms_addr_t addr);
const struct vms_vma *vms_tree_first(const struct vms_tree *tree);
const struct vms_vma *vms_tree_last(const struct vms_tree *tree);
/** Neighbours in address order; NULL at the ends. @vma must be borrowed from a tree. */
const struct vms_vma *vms_tree_next(const struct vms_vma *vma);
const struct vms_vma *vms_tree_prev(const struct vms_vma *vma);
/** True when no VMA overlaps @range. */
bool vms_tree_is_free(const struct vms_tree *tree, const struct vms_range *range);
/** True when every page of @range is mapped. */
bool vms_tree_is_full(const struct vms_tree *tree, const struct vms_range *range);

/** Add @vma (copied), merging it with its neighbours. 0, -EEXIST (overlap), -ENOMEM. Needs at most 1 node. */
VMS_MUST_CHECK int vms_tree_insert(struct vms_tree *tree, const struct vms_vma *vma);
/** Remove what lies in @range, splitting at its edges. 0 or -ENOMEM. Needs at most 1 node. */
VMS_MUST_CHECK int vms_tree_remove(struct vms_tree *tree, const struct vms_range *range);
/** Remove what lies in @vma's range, then add it. 0 or -ENOMEM, all or nothing. Needs at most 2 nodes. */
VMS_MUST_CHECK int vms_tree_replace(struct vms_tree *tree, const struct vms_vma *vma);

/** Changes one VMA's attributes (never its range or offset). */
typedef void vms_vma_change_fn(struct vms_vma *vma, void *arg);
/**
 * Apply @change to every page of @range that is mapped (holes are skipped), splitting at the edges and
 * merging afterwards. 0 or -ENOMEM, all or nothing. Needs at most 2 nodes.
 */
VMS_MUST_CHECK int vms_tree_change(struct vms_tree *tree, const struct vms_range *range,
				   vms_vma_change_fn *change, void *arg);

/**
 * Move the VMAs in @from, attributes and holes included, so that they start at @to; what lay at the
 * target is removed. Source and target must not overlap. 0, -EINVAL (overlap), -ENOMEM; all or nothing.
 * Needs at most 4 nodes when one VMA is moved.
 */
VMS_MUST_CHECK int vms_tree_move(struct vms_tree *tree, const struct vms_range *from, vms_addr_t to);

/** Make @dst (initialised, its VMAs are dropped) equal to @src. 0 or -ENOMEM (@dst unchanged). */
VMS_MUST_CHECK int vms_tree_copy(struct vms_tree *dst, const struct vms_tree *src);

/**
 * Find a gap of @length bytes (page multiple, not 0) inside [low, high).
 *
 * Top-down: the highest gap that fits, and in it the highest address. Bottom-up: the lowest.
 * A grows-down VMA above keeps `guard` bytes below it free.
 * Returns 0, or -ENOMEM when nothing fits.
 * Source: mm/vma.c unmapped_area, unmapped_area_topdown (6.18).
 */
VMS_MUST_CHECK int vms_tree_find_gap(const struct vms_tree *tree, vms_addr_t low, vms_addr_t high,
				     vms_addr_t length, bool bottom_up, vms_addr_t *ret_addr);

/** Check every invariant (order, balance, gaps, sums, no mergeable neighbours); for tests. True when all hold. */
bool vms_tree_is_sound(const struct vms_tree *tree);

#endif
