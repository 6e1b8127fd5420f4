/*
 * The balanced tree under vms_tree; see node.h.
 *
 * After a change the way up from the changed node is walked once: heights, largest gaps and balance
 * are put right together, and the walk ends where a subtree looks from above as it did before.
 */
#include "node.h"

#include <assert.h>

struct vms_node *vms_node_first(const struct vms_tree *tree)
{
	struct vms_node *node = tree->root;

	while (node && node->left)
		node = node->left;
	return node;
}

struct vms_node *vms_node_last(const struct vms_tree *tree)
{
	struct vms_node *node = tree->root;

	while (node && node->right)
		node = node->right;
	return node;
}

struct vms_node *vms_node_next(const struct vms_node *node)
{
	const struct vms_node *child;
	struct vms_node *up;

	if (node->right) {
		up = node->right;
		while (up->left)
			up = up->left;
		return up;
	}
	child = node;
	for (up = node->parent; up && up->right == child; up = up->parent)
		child = up;
	return up;
}

struct vms_node *vms_node_prev(const struct vms_node *node)
{
	const struct vms_node *child;
	struct vms_node *up;

	if (node->left) {
		up = node->left;
		while (up->right)
			up = up->right;
		return up;
	}
	child = node;
	for (up = node->parent; up && up->left == child; up = up->parent)
		child = up;
	return up;
}

struct vms_node *vms_node_find_from(const struct vms_tree *tree, vms_addr_t addr)
{
	struct vms_node *node = tree->root, *found = NULL;

	while (node) {
		if (node->vma.range.end > addr) {
			found = node;
			if (node->vma.range.start <= addr)
				break;
			node = node->left;
		} else {
			node = node->right;
		}
	}
	return found;
}

static vms_addr_t largest_gap(const struct vms_node *node)
{
	vms_addr_t left = vms_node_max_gap(node->left), right = vms_node_max_gap(node->right);
	vms_addr_t below = left > right ? left : right;

	return node->gap > below ? node->gap : below;
}

void vms_node_set_gap(struct vms_node *node, vms_addr_t gap)
{
	vms_addr_t largest;

	if (node->gap == gap)
		return;
	node->gap = gap;
	for (; node; node = node->parent) {
		largest = largest_gap(node);
		if (node->max_gap == largest)
			return;
		node->max_gap = largest;
	}
}

static void refresh(struct vms_node *node)
{
	int left = vms_node_height(node->left), right = vms_node_height(node->right);

	node->height = (left > right ? left : right) + 1;
	node->max_gap = largest_gap(node);
}

/* Put @new where @old hangs. */
static void replace_child(struct vms_tree *tree, struct vms_node *old, struct vms_node *new)
{
	struct vms_node *parent = old->parent;

	if (!parent)
		tree->root = new;
	else if (parent->left == old)
		parent->left = new;
	else
		parent->right = new;
	if (new)
		new->parent = parent;
}

/*
 *      node            up
 *     /    \          /  \
 *    a      up  ->  node  c        and rotate_right the other way
 *          /  \     /  \
 *         b    c   a    b
 */
static struct vms_node *rotate_left(struct vms_tree *tree, struct vms_node *node)
{
	struct vms_node *up = node->right;

	replace_child(tree, node, up);
	node->right = up->left;
	if (node->right)
		node->right->parent = node;
	up->left = node;
	node->parent = up;
	refresh(node);
	refresh(up);
	return up;
}

static struct vms_node *rotate_right(struct vms_tree *tree, struct vms_node *node)
{
	struct vms_node *up = node->left;

	replace_child(tree, node, up);
	node->left = up->right;
	if (node->left)
		node->left->parent = node;
	up->right = node;
	node->parent = up;
	refresh(node);
	refresh(up);
	return up;
}

/* Refresh @node, whose children are right, and balance it. Returns the top of its subtree. */
static struct vms_node *balance(struct vms_tree *tree, struct vms_node *node)
{
	int lean = vms_node_height(node->left) - vms_node_height(node->right);

	if (lean > 1) {
		if (vms_node_height(node->left->left) < vms_node_height(node->left->right))
			rotate_left(tree, node->left);
		return rotate_right(tree, node);
	}
	if (lean < -1) {
		if (vms_node_height(node->right->right) < vms_node_height(node->right->left))
			rotate_right(tree, node->right);
		return rotate_left(tree, node);
	}
	refresh(node);
	return node;
}

/* Balance and refresh from @node upwards, until a subtree is as high and as gappy as it was. */
static void fix_up(struct vms_tree *tree, struct vms_node *node)
{
	while (node) {
		int height = node->height;
		vms_addr_t max_gap = node->max_gap;

		node = balance(tree, node);
		if (node->height == height && node->max_gap == max_gap)
			return;
		node = node->parent;
	}
}

void vms_node_link(struct vms_tree *tree, struct vms_node *node, struct vms_node *prev,
		   struct vms_node *next)
{
	node->left = NULL;
	node->right = NULL;
	node->height = 1;
	node->max_gap = node->gap;
	/* Of two neighbours one is above the other, and the lower has no child between them. */
	if (prev && !prev->right) {
		node->parent = prev;
		prev->right = node;
	} else if (next) {
		assert(!next->left);
		node->parent = next;
		next->left = node;
	} else {
		assert(!tree->root);
		node->parent = NULL;
		tree->root = node;
	}
	tree->count++;
	fix_up(tree, node->parent);
}

void vms_node_unlink(struct vms_tree *tree, struct vms_node *node)
{
	struct vms_node *heir, *from;

	tree->count--;
	if (!node->left || !node->right) {
		from = node->parent;
		replace_child(tree, node, node->left ? node->left : node->right);
		fix_up(tree, from);
		return;
	}
	/* The next node takes the place: it has no left child. */
	heir = vms_node_next(node);
	from = heir->parent == node ? heir : heir->parent;
	if (from != heir) {
		replace_child(tree, heir, heir->right);
		heir->right = node->right;
		heir->right->parent = heir;
	}
	heir->left = node->left;
	heir->left->parent = heir;
	replace_child(tree, node, heir);
	/* What the place looked like from above, so that fix_up sees whether that changes. */
	heir->height = node->height;
	heir->max_gap = node->max_gap;
	fix_up(tree, from);
	if (from != heir)
		fix_up(tree, heir);
}
