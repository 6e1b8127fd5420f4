/*
 * The balanced tree under vms_tree: an AVL tree with parent pointers, in which every node knows the
 * gap below its VMA and the largest gap in its subtree. Private to core.
 *
 * It keeps shape, heights and largest gaps. It does not know about overlaps, merging or sums: those
 * are tree.c's. Neither does it work out a gap: who moves the end of a VMA, or puts one in front of
 * another, sets the gap of the VMA above.
 */
#ifndef VMSUP_SRC_CORE_NODE_H
#define VMSUP_SRC_CORE_NODE_H

#include "vmsup/core/tree.h"

struct vms_node {
	struct vms_vma vma; /* first: a borrowed VMA is cast back to its node */
	struct vms_node *left; /* in the spare list: the next one */
	struct vms_node *right;
	vms_addr_t max_gap; /* the largest gap in this subtree */
	vms_addr_t gap; /* usable bytes between the VMA before and this one */
	struct vms_node *parent;
	int height; /* of this subtree; a leaf has 1 */
};

static inline int vms_node_height(const struct vms_node *node)
{
	return node ? node->height : 0;
}

static inline vms_addr_t vms_node_max_gap(const struct vms_node *node)
{
	return node ? node->max_gap : 0;
}

/** Top of the gap below @vma: its start, less the guard when it grows down; never below 0. */
static inline vms_addr_t vms_gap_top(const struct vms_tree *tree, const struct vms_vma *vma)
{
	vms_addr_t guard = vma->flags & VMS_VMA_GROWSDOWN ? tree->guard : 0;

	return vma->range.start > guard ? vma->range.start - guard : 0;
}

/** The gap between @prev (NULL: address 0) and @vma. */
static inline vms_addr_t vms_gap_size(const struct vms_tree *tree, const struct vms_node *prev,
				      const struct vms_vma *vma)
{
	vms_addr_t bottom = prev ? prev->vma.range.end : 0;
	vms_addr_t top = vms_gap_top(tree, vma);

	return top > bottom ? top - bottom : 0;
}

struct vms_node *vms_node_first(const struct vms_tree *tree);
struct vms_node *vms_node_last(const struct vms_tree *tree);
struct vms_node *vms_node_next(const struct vms_node *node);
struct vms_node *vms_node_prev(const struct vms_node *node);

/** The first node whose VMA ends above @addr, or NULL. */
struct vms_node *vms_node_find_from(const struct vms_tree *tree, vms_addr_t addr);

/** Change the gap of a node that is in the tree. */
void vms_node_set_gap(struct vms_node *node, vms_addr_t gap);

/**
 * Hang @node, whose vma and gap are set, between its neighbours @prev and @next (NULL at an end).
 * The tree owns it then.
 */
void vms_node_link(struct vms_tree *tree, struct vms_node *node, struct vms_node *prev,
		   struct vms_node *next);

/** Take @node out of the tree; the caller owns it then. */
void vms_node_unlink(struct vms_tree *tree, struct vms_node *node);

#endif
