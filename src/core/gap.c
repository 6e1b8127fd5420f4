/*
 * The search for a gap in a vms_tree. Where a mapping should go (hints, policy, huge pages) is not
 * decided here.
 *
 * A gap is what lies between two VMAs, below the first or above the last, less the guard of a
 * grows-down VMA above it. A subtree is entered only when its largest gap is long enough and low
 * and high leave something of it. Then it has an answer, unless low or high cuts its gap short:
 * that can happen only on the two ways down to low and high, so the search takes O(log n).
 *
 * Source: mm/vma.c unmapped_area, unmapped_area_topdown (6.18). Deviation: no VMA grows up on
 * x86-64, and the one guard page below a shadow stack is not kept.
 */
#include "vmsup/core/tree.h"

#include <assert.h>
#include <errno.h>

#include "node.h"

struct query {
	vms_addr_t low;
	vms_addr_t high;
	vms_addr_t length;
};

/* What of [bottom, top) lies between low and high, if that is long enough. */
static bool clip_gap(const struct query *q, vms_addr_t bottom, vms_addr_t top,
		     struct vms_range *ret_gap)
{
	if (bottom < q->low)
		bottom = q->low;
	if (top > q->high)
		top = q->high;
	if (bottom >= top || top - bottom < q->length)
		return false;
	ret_gap->start = bottom;
	ret_gap->end = top;
	return true;
}

static bool own_gap(const struct vms_tree *tree, const struct vms_node *node, const struct query *q,
		    struct vms_range *ret_gap)
{
	vms_addr_t top = vms_gap_top(tree, &node->vma);

	return node->gap >= q->length && clip_gap(q, top - node->gap, top, ret_gap);
}

/* All gaps left of a node end at or below this; all gaps right of it begin at or above that. */
static bool left_reaches(const struct vms_node *node, const struct query *q)
{
	return node->vma.range.start >= q->low + q->length;
}

static bool right_reaches(const struct vms_node *node, const struct query *q)
{
	return node->vma.range.end <= q->high - q->length;
}

static bool highest_gap(const struct vms_tree *tree, const struct vms_node *node,
			const struct query *q, struct vms_range *ret_gap)
{
	for (; vms_node_max_gap(node) >= q->length; node = node->left) {
		if (right_reaches(node, q) && highest_gap(tree, node->right, q, ret_gap))
			return true;
		if (own_gap(tree, node, q, ret_gap))
			return true;
		if (!left_reaches(node, q))
			return false;
	}
	return false;
}

static bool lowest_gap(const struct vms_tree *tree, const struct vms_node *node,
		       const struct query *q, struct vms_range *ret_gap)
{
	for (; vms_node_max_gap(node) >= q->length; node = node->right) {
		if (left_reaches(node, q) && lowest_gap(tree, node->left, q, ret_gap))
			return true;
		if (own_gap(tree, node, q, ret_gap))
			return true;
		if (!right_reaches(node, q))
			return false;
	}
	return false;
}

/* The gap above the last VMA has no node. */
static bool end_gap(const struct vms_tree *tree, const struct query *q, struct vms_range *ret_gap)
{
	const struct vms_node *last = vms_node_last(tree);

	return clip_gap(q, last ? last->vma.range.end : 0, q->high, ret_gap);
}

int vms_tree_find_gap(const struct vms_tree *tree, vms_addr_t low, vms_addr_t high,
		      vms_addr_t length, bool bottom_up, vms_addr_t *ret_addr)
{
	struct query q = { .length = length };
	struct vms_range gap;

	assert(length && vms_page_aligned(length));
	if (low >= high || high - low < length)
		return -ENOMEM;
	/* Something of a page or more lies between them, so this does not wrap. */
	q.low = vms_page_up(low);
	q.high = vms_page_down(high);
	/* From here on low + length and high - length do not wrap. */
	if (q.low >= q.high || q.high - q.low < length)
		return -ENOMEM;
	if (bottom_up) {
		if (!lowest_gap(tree, tree->root, &q, &gap) && !end_gap(tree, &q, &gap))
			return -ENOMEM;
		*ret_addr = gap.start;
	} else {
		if (!end_gap(tree, &q, &gap) && !highest_gap(tree, tree->root, &q, &gap))
			return -ENOMEM;
		*ret_addr = gap.end - length;
	}
	return 0;
}
