/*
 * The VMAs of one address space; see the header. The balanced tree itself is node.c, the search
 * for a gap is gap.c, the other questions are find.c.
 *
 * How an operation is all or nothing: it first counts the nodes that its cuts and its insertion
 * will take, reserves them, and only then changes anything. What follows takes nodes from the
 * spare list and cannot fail.
 */
#include "vmsup/core/tree.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "node.h"

/* Nodes kept for later when VMAs go; more are freed. */
#define SPARE_MAX 64

/* ---- spare nodes ---- */

static void put_spare(struct vms_tree *tree, struct vms_node *node)
{
	node->left = tree->spare;
	tree->spare = node;
	tree->nr_spare++;
}

static struct vms_node *take_spare(struct vms_tree *tree)
{
	struct vms_node *node = tree->spare;

	assert(node);
	tree->spare = node->left;
	tree->nr_spare--;
	return node;
}

static void trim_spare(struct vms_tree *tree, size_t max)
{
	while (tree->nr_spare > max)
		free(take_spare(tree));
}

static void release(struct vms_tree *tree, struct vms_node *node)
{
	if (tree->nr_spare < SPARE_MAX)
		put_spare(tree, node);
	else
		free(node);
}

int vms_tree_reserve(struct vms_tree *tree, size_t n)
{
	size_t before = tree->nr_spare;
	struct vms_node *node;

	while (tree->nr_spare < n) {
		node = tree->alloc(sizeof(*node));
		if (!node) {
			trim_spare(tree, before);
			return -ENOMEM;
		}
		put_spare(tree, node);
	}
	return 0;
}

/* ---- life ---- */

void vms_tree_init(struct vms_tree *tree, vms_addr_t guard)
{
	*tree = (struct vms_tree){ .guard = guard, .alloc = malloc };
}

/* Make every node a spare one, whatever their number. */
static void spare_all(struct vms_tree *tree)
{
	struct vms_node *node = tree->root, *up;

	while (node) {
		if (node->left) {
			node = node->left;
		} else if (node->right) {
			node = node->right;
		} else {
			up = node->parent;
			if (up && up->left == node)
				up->left = NULL;
			else if (up)
				up->right = NULL;
			put_spare(tree, node);
			node = up;
		}
	}
	tree->root = NULL;
	tree->count = 0;
	tree->va = 0;
	tree->commit = 0;
}

void vms_tree_clear(struct vms_tree *tree)
{
	size_t before = tree->nr_spare;

	spare_all(tree);
	trim_spare(tree, before > SPARE_MAX ? before : SPARE_MAX);
}

void vms_tree_done(struct vms_tree *tree)
{
	spare_all(tree);
	trim_spare(tree, 0);
}

static struct vms_node *clone(struct vms_tree *dst, const struct vms_node *from,
			      struct vms_node *parent)
{
	struct vms_node *node;

	if (!from)
		return NULL;
	node = take_spare(dst);
	*node = *from;
	node->parent = parent;
	node->left = clone(dst, from->left, node);
	node->right = clone(dst, from->right, node);
	return node;
}

int vms_tree_copy(struct vms_tree *dst, const struct vms_tree *src)
{
	size_t before = dst->nr_spare;
	int r;

	if (dst == src)
		return 0;
	r = vms_tree_reserve(dst, src->count > dst->count ? src->count - dst->count : 0);
	if (r < 0)
		return r;
	spare_all(dst);
	dst->root = clone(dst, src->root, NULL);
	dst->count = src->count;
	dst->va = src->va;
	dst->commit = src->commit;
	dst->guard = src->guard; /* the gaps were measured with it */
	trim_spare(dst, before > SPARE_MAX ? before : SPARE_MAX);
	return 0;
}

/* ---- steps that cannot fail ---- */

/* Two neighbours, or the places beside the first and the last VMA (NULL). */
struct hole {
	struct vms_node *prev;
	struct vms_node *next;
};

static void account(struct vms_tree *tree, const struct vms_vma *vma)
{
	tree->va += vms_range_size(&vma->range);
	if (vms_vma_is_commit(vma))
		tree->commit += vms_range_size(&vma->range);
}

static void unaccount(struct vms_tree *tree, const struct vms_vma *vma)
{
	tree->va -= vms_range_size(&vma->range);
	if (vms_vma_is_commit(vma))
		tree->commit -= vms_range_size(&vma->range);
}

/* Measure again the gap between two neighbours. */
static void fix_gap(struct vms_tree *tree, struct hole at)
{
	if (at.next)
		vms_node_set_gap(at.next, vms_gap_size(tree, at.prev, &at.next->vma));
}

static void link_node(struct vms_tree *tree, struct vms_node *node, struct hole at)
{
	node->gap = vms_gap_size(tree, at.prev, &node->vma);
	vms_node_link(tree, node, at.prev, at.next);
	fix_gap(tree, (struct hole){ node, at.next });
}

/* Cut @node to [start, end). The gaps beside it are the caller's. */
static void clip_node(struct vms_tree *tree, struct vms_node *node, vms_addr_t start,
		      vms_addr_t end)
{
	unaccount(tree, &node->vma);
	vms_vma_clip(&node->vma, &(struct vms_range){ start, end });
	account(tree, &node->vma);
}

/* Take @cut (it may be empty) out of the middle of @node. Takes a spare node, which is returned. */
static struct vms_node *punch(struct vms_tree *tree, struct vms_node *node,
			      const struct vms_range *cut)
{
	struct vms_node *right = take_spare(tree), *next = vms_node_next(node);

	right->vma = node->vma;
	vms_vma_clip(&right->vma, &(struct vms_range){ cut->end, node->vma.range.end });
	clip_node(tree, node, node->vma.range.start, cut->start);
	account(tree, &right->vma);
	link_node(tree, right, (struct hole){ node, next });
	return right;
}

static struct vms_node *split(struct vms_tree *tree, struct vms_node *node, vms_addr_t at)
{
	return punch(tree, node, &(struct vms_range){ at, at });
}

/* Remove what lies in @range; takes a spare node when one VMA reaches beyond both its edges. */
static struct hole clear_range(struct vms_tree *tree, const struct vms_range *range)
{
	struct vms_node *node = vms_node_find_from(tree, range->start), *gone;
	struct hole hole;

	if (node && node->vma.range.start < range->start) {
		hole.prev = node;
		if (node->vma.range.end > range->end) {
			hole.next = punch(tree, node, range);
			return hole;
		}
		clip_node(tree, node, node->vma.range.start, range->start);
		node = vms_node_next(node);
	} else {
		hole.prev = node ? vms_node_prev(node) : vms_node_last(tree);
	}
	while (node && node->vma.range.end <= range->end) {
		gone = node;
		node = vms_node_next(node);
		unaccount(tree, &gone->vma);
		vms_node_unlink(tree, gone);
		release(tree, gone);
	}
	if (node && node->vma.range.start < range->end)
		clip_node(tree, node, range->end, node->vma.range.end);
	hole.next = node;
	fix_gap(tree, hole);
	return hole;
}

/*
 * Add @vma in the hole where it belongs, joined to its neighbours where that can be. Takes a spare
 * node when neither joins. Returns the node that has it now.
 */
static struct vms_node *fill(struct vms_tree *tree, const struct vms_vma *vma, struct hole at)
{
	bool joins_prev = at.prev && vms_vma_can_merge(&at.prev->vma, vma);
	bool joins_next = at.next && vms_vma_can_merge(vma, &at.next->vma);
	struct vms_node *node;

	account(tree, vma);
	if (joins_prev && joins_next) {
		/* The end stays, and so does the gap above it. */
		at.prev->vma.range.end = at.next->vma.range.end;
		vms_node_unlink(tree, at.next);
		release(tree, at.next);
		return at.prev;
	}
	if (joins_prev) {
		at.prev->vma.range.end = vma->range.end;
		fix_gap(tree, at);
		return at.prev;
	}
	if (joins_next) {
		at.next->vma.range.start = vma->range.start;
		at.next->vma.offset = vma->offset;
		fix_gap(tree, at);
		return at.next;
	}
	node = take_spare(tree);
	node->vma = *vma;
	link_node(tree, node, at);
	return node;
}

/* Join @node to the VMA below when that can be. Returns the node that has it now. */
static struct vms_node *join_below(struct vms_tree *tree, struct vms_node *node)
{
	struct vms_node *prev = vms_node_prev(node);

	if (!prev || !vms_vma_can_merge(&prev->vma, &node->vma))
		return node;
	prev->vma.range.end = node->vma.range.end;
	vms_node_unlink(tree, node);
	release(tree, node);
	return prev;
}

/* ---- operations ---- */

/* 1 when a VMA lies on both sides of @addr, which a cut there would make two. */
static size_t is_inside(const struct vms_tree *tree, vms_addr_t addr)
{
	const struct vms_vma *vma = vms_tree_find(tree, addr);

	return vma && vma->range.start < addr;
}

/* 1 when one VMA reaches beyond both edges of @range. */
static size_t is_within(const struct vms_tree *tree, const struct vms_range *range)
{
	const struct vms_vma *vma = vms_tree_find(tree, range->start);

	return vma && vma->range.start < range->start && vma->range.end > range->end;
}

static bool is_range(const struct vms_range *range)
{
	struct vms_range same;

	return vms_range_init(&same, range->start, range->end) == 0;
}

int vms_tree_insert(struct vms_tree *tree, const struct vms_vma *vma)
{
	struct vms_node *node = tree->root;
	struct hole at = { NULL, NULL };
	int r;

	assert(is_range(&vma->range));
	while (node) {
		if (node->vma.range.start >= vma->range.end) {
			at.next = node;
			node = node->left;
		} else if (node->vma.range.end <= vma->range.start) {
			at.prev = node;
			node = node->right;
		} else {
			return -EEXIST;
		}
	}
	if (!(at.prev && vms_vma_can_merge(&at.prev->vma, vma)) &&
	    !(at.next && vms_vma_can_merge(vma, &at.next->vma))) {
		r = vms_tree_reserve(tree, 1);
		if (r < 0)
			return r;
	}
	fill(tree, vma, at);
	return 0;
}

int vms_tree_remove(struct vms_tree *tree, const struct vms_range *range)
{
	int r;

	assert(is_range(range));
	r = vms_tree_reserve(tree, is_within(tree, range));
	if (r < 0)
		return r;
	clear_range(tree, range);
	return 0;
}

int vms_tree_replace(struct vms_tree *tree, const struct vms_vma *vma)
{
	struct hole hole;
	int r;

	assert(is_range(&vma->range));
	r = vms_tree_reserve(tree, 1 + is_within(tree, &vma->range));
	if (r < 0)
		return r;
	hole = clear_range(tree, &vma->range);
	fill(tree, vma, hole);
	return 0;
}

/* Give @node the attributes of @like. */
static void set_attr(struct vms_tree *tree, struct vms_node *node, const struct vms_vma *like)
{
	struct vms_range range = node->vma.range;
	uint64_t offset = node->vma.offset;
	bool was_down = node->vma.flags & VMS_VMA_GROWSDOWN;

	unaccount(tree, &node->vma);
	node->vma = *like;
	node->vma.range = range;
	node->vma.offset = offset;
	account(tree, &node->vma);
	if (was_down != !!(like->flags & VMS_VMA_GROWSDOWN))
		fix_gap(tree, (struct hole){ vms_node_prev(node), node });
}

int vms_tree_change(struct vms_tree *tree, const struct vms_range *range, vms_vma_change_fn *change,
		    void *arg)
{
	struct vms_node *node;
	struct vms_vma vma;
	int r;

	assert(is_range(range));
	r = vms_tree_reserve(tree, is_inside(tree, range->start) + is_inside(tree, range->end));
	if (r < 0)
		return r;
	node = vms_node_find_from(tree, range->start);
	while (node && node->vma.range.start < range->end) {
		vma = node->vma;
		vms_vma_clip(&vma, range);
		change(&vma, arg);
		if (!vms_vma_same_attr(&vma, &node->vma)) {
			if (node->vma.range.start < range->start)
				node = split(tree, node, range->start);
			if (node->vma.range.end > range->end)
				split(tree, node, range->end);
			set_attr(tree, node, &vma);
		}
		node = vms_node_next(join_below(tree, node));
	}
	if (node)
		join_below(tree, node);
	return 0;
}

/* Cut the tree at the edges of @range, unlink what lies in it. Returns a list by ->right. */
static struct vms_node *detach(struct vms_tree *tree, const struct vms_range *range)
{
	struct vms_node *list = NULL, **tail = &list, *node, *next;
	struct hole hole;

	node = vms_node_find_from(tree, range->start);
	if (node && node->vma.range.start < range->start)
		node = split(tree, node, range->start);
	hole.prev = node ? vms_node_prev(node) : NULL;
	for (; node && node->vma.range.start < range->end; node = next) {
		if (node->vma.range.end > range->end)
			split(tree, node, range->end);
		next = vms_node_next(node);
		unaccount(tree, &node->vma);
		vms_node_unlink(tree, node);
		*tail = node;
		tail = &node->right;
	}
	*tail = NULL;
	hole.next = node;
	fix_gap(tree, hole);
	return list;
}

int vms_tree_move(struct vms_tree *tree, const struct vms_range *from, vms_addr_t to)
{
	struct vms_range target;
	struct vms_node *list, *node;
	struct vms_vma vma;
	struct hole hole;
	int r;

	assert(is_range(from));
	r = vms_range_init(&target, to, to + vms_range_size(from));
	if (r < 0)
		return r;
	if (vms_range_overlaps(from, &target))
		return -EINVAL;
	r = vms_tree_reserve(tree, is_inside(tree, from->start) + is_inside(tree, from->end) +
					   is_within(tree, &target));
	if (r < 0)
		return r;

	list = detach(tree, from);
	hole = clear_range(tree, &target);
	while (list) {
		node = list;
		list = node->right;
		vma = node->vma;
		vma.range.start = vma.range.start - from->start + to;
		vma.range.end = vma.range.end - from->start + to;
		release(tree, node); /* leaves at least one to fill with */
		hole.prev = fill(tree, &vma, hole);
	}
	return 0;
}
