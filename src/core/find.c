/*
 * Questions to a vms_tree that change nothing: who is at an address, who comes next, is this range
 * free or full, and is the tree sound. The search for a gap is gap.c.
 */
#include "vmsup/core/tree.h"

#include "node.h"

static const struct vms_vma *vma_of(const struct vms_node *node)
{
	return node ? &node->vma : NULL;
}

/* vma is the first member, and a borrowed VMA always lies in a node. */
static const struct vms_node *node_of(const struct vms_vma *vma)
{
	return (const struct vms_node *)vma;
}

const struct vms_vma *vms_tree_find_from(const struct vms_tree *tree, vms_addr_t addr)
{
	return vma_of(vms_node_find_from(tree, addr));
}

const struct vms_vma *vms_tree_find(const struct vms_tree *tree, vms_addr_t addr)
{
	const struct vms_node *node = vms_node_find_from(tree, addr);

	return node && node->vma.range.start <= addr ? &node->vma : NULL;
}

const struct vms_vma *vms_tree_find_below(const struct vms_tree *tree, vms_addr_t addr)
{
	const struct vms_node *node = tree->root, *found = NULL;

	while (node) {
		if (node->vma.range.start < addr) {
			found = node;
			node = node->right;
		} else {
			node = node->left;
		}
	}
	return vma_of(found);
}

vms_addr_t vms_tree_run_start(const struct vms_tree *tree, vms_addr_t addr)
{
	const struct vms_vma *below;

	for (below = vms_tree_find_below(tree, addr); below && below->range.end >= addr; below = vms_tree_find_below(tree, addr))
		addr = below->range.start;
	return addr;
}

const struct vms_vma *vms_tree_first(const struct vms_tree *tree)
{
	return vma_of(vms_node_first(tree));
}

const struct vms_vma *vms_tree_last(const struct vms_tree *tree)
{
	return vma_of(vms_node_last(tree));
}

const struct vms_vma *vms_tree_next(const struct vms_vma *vma)
{
	return vma_of(vms_node_next(node_of(vma)));
}

const struct vms_vma *vms_tree_prev(const struct vms_vma *vma)
{
	return vma_of(vms_node_prev(node_of(vma)));
}

bool vms_tree_is_free(const struct vms_tree *tree, const struct vms_range *range)
{
	const struct vms_node *node = vms_node_find_from(tree, range->start);

	return !node || node->vma.range.start >= range->end;
}

bool vms_tree_is_full(const struct vms_tree *tree, const struct vms_range *range)
{
	const struct vms_node *node = vms_node_find_from(tree, range->start);
	vms_addr_t full_to = range->start;

	while (node && node->vma.range.start <= full_to) {
		full_to = node->vma.range.end;
		if (full_to >= range->end)
			return true;
		node = vms_node_next(node);
	}
	return false;
}

/* What has been seen so far of a tree that is walked in order. */
struct seen {
	const struct vms_node *last;
	size_t count;
	vms_addr_t va;
	vms_addr_t commit;
};

static bool subtree_is_sound(const struct vms_tree *tree, const struct vms_node *node,
			     const struct vms_node *parent, struct seen *seen)
{
	struct vms_range range;
	vms_addr_t max_gap;
	int left, right;

	if (!node)
		return true;
	if (node->parent != parent || !subtree_is_sound(tree, node->left, node, seen))
		return false;
	if (vms_range_init(&range, node->vma.range.start, node->vma.range.end) < 0 ||
	    node->gap != vms_gap_size(tree, seen->last, &node->vma))
		return false;
	if (seen->last && (seen->last->vma.range.end > node->vma.range.start ||
			   vms_vma_can_merge(&seen->last->vma, &node->vma)))
		return false;
	seen->last = node;
	seen->count++;
	seen->va += vms_range_size(&node->vma.range);
	if (vms_vma_is_commit(&node->vma))
		seen->commit += vms_range_size(&node->vma.range);
	if (!subtree_is_sound(tree, node->right, node, seen))
		return false;

	left = vms_node_height(node->left);
	right = vms_node_height(node->right);
	max_gap = node->gap;
	if (max_gap < vms_node_max_gap(node->left))
		max_gap = vms_node_max_gap(node->left);
	if (max_gap < vms_node_max_gap(node->right))
		max_gap = vms_node_max_gap(node->right);
	return node->height == (left > right ? left : right) + 1 && left - right <= 1 &&
	       right - left <= 1 && node->max_gap == max_gap;
}

bool vms_tree_is_sound(const struct vms_tree *tree)
{
	struct seen seen = { .last = NULL };
	const struct vms_node *node;
	size_t nr_spare = 0;

	if (!subtree_is_sound(tree, tree->root, NULL, &seen))
		return false;
	for (node = tree->spare; node; node = node->left)
		nr_spare++;
	return nr_spare == tree->nr_spare && seen.count == tree->count && seen.va == tree->va &&
	       seen.commit == tree->commit;
}
