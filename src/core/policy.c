/* Placement policy; see the header. */
#include "vmsup/core/policy.h"

#include <errno.h>
#include <string.h>

#include "vmsup/core/layout.h"
#include "vmsup/core/place.h"

#define LOW2G_END ((vms_addr_t)2 << 30)
#define KERNEL_LOW_START ((vms_addr_t)1 << 30)
#define FOUR_G ((vms_addr_t)4 << 30)

static bool is_empty(const struct vms_range *range)
{
	return range->start >= range->end;
}

bool vms_policy_is_plain(const struct vms_policy *policy)
{
	return policy->layout == VMS_LAYOUT_TOP_DOWN && !policy->align && !policy->guard_gap && is_empty(&policy->low) &&
	       !policy->nr_holes;
}

int vms_policy_add_hole(struct vms_policy *policy, const struct vms_range *hole)
{
	struct vms_range joined = *hole;
	size_t first = 0, last;

	while (first < policy->nr_holes && policy->holes[first].end < joined.start)
		first++;
	for (last = first; last < policy->nr_holes && policy->holes[last].start <= joined.end; last++) {
		if (policy->holes[last].start < joined.start)
			joined.start = policy->holes[last].start;
		if (policy->holes[last].end > joined.end)
			joined.end = policy->holes[last].end;
	}
	if (first == last && policy->nr_holes == VMS_MAX_HOLES)
		return -ENOSPC;
	memmove(&policy->holes[first + 1], &policy->holes[last], (policy->nr_holes - last) * sizeof(*hole));
	policy->holes[first] = joined;
	policy->nr_holes = policy->nr_holes + 1 - (last - first);
	return 0;
}

static int add_wall(struct vms_policy *policy, vms_addr_t start, vms_addr_t end)
{
	if (start >= end)
		return 0;
	if (policy->nr_walls == VMS_MAX_WALLS)
		return -ENOSPC;
	policy->walls[policy->nr_walls++] = (struct vms_range){ start, end };
	return 0;
}

int vms_policy_widen(struct vms_policy *policy, const struct vms_range *range, struct vms_range *ret_hull)
{
	struct vms_range hull = *range;
	vms_addr_t at;
	int r = 0;

	policy->nr_walls = 0;
	if (policy->nr_holes) {
		const struct vms_range *first = &policy->holes[0], *last = &policy->holes[policy->nr_holes - 1];

		hull.start = vms_addr_min(hull.start, first->start);
		hull.end = hull.end < last->end ? last->end : hull.end;
	}
	at = hull.start;
	for (size_t i = 0; r == 0 && i < policy->nr_holes && at < range->start; i++) {
		r = add_wall(policy, at, vms_addr_min(policy->holes[i].start, range->start));
		at = policy->holes[i].end;
	}
	if (r == 0)
		r = add_wall(policy, at, range->start);
	at = range->end;
	for (size_t i = 0; r == 0 && i < policy->nr_holes; i++) {
		if (policy->holes[i].end <= at)
			continue;
		r = add_wall(policy, at, policy->holes[i].start);
		at = policy->holes[i].end;
	}
	for (size_t i = 0; r == 0 && i < policy->nr_walls; i++)
		r = vms_policy_add_hole(policy, &policy->walls[i]);
	if (r == 0)
		*ret_hull = hull;
	return r;
}

bool vms_policy_is_wall(const struct vms_policy *policy, const struct vms_range *range)
{
	for (size_t i = 0; i < policy->nr_walls; i++) {
		if (vms_range_covers(&policy->walls[i], range))
			return true;
	}
	return false;
}

/* What lies in the way of @range: a hole, or the low zone when it is not for this request. NULL: nothing. */
static const struct vms_range *in_the_way(const struct vms_policy *policy, const struct vms_range *range, bool low2g)
{
	for (size_t i = 0; i < policy->nr_holes; i++) {
		if (vms_range_overlaps(&policy->holes[i], range))
			return &policy->holes[i];
	}
	return !low2g && !is_empty(&policy->low) && vms_range_overlaps(&policy->low, range) ? &policy->low : NULL;
}

bool vms_policy_keeps_out(const struct vms_policy *policy, const struct vms_range *range, bool low2g)
{
	return in_the_way(policy, range, low2g) != NULL;
}

static vms_addr_t wanted_align(const struct vms_policy *policy, const struct vms_place_req *req)
{
	return policy->align && req->length >= policy->align ? policy->align : VMS_PAGE_SIZE;
}

bool vms_policy_accepts(const struct vms_space *space, const struct vms_place_req *req, vms_addr_t addr)
{
	const struct vms_policy *policy = space->policy;
	struct vms_range span = { addr, addr + req->length }, wide = span;

	if (!policy)
		return true;
	wide.start -= policy->guard_gap < wide.start ? policy->guard_gap : wide.start;
	wide.end += policy->guard_gap;
	return policy->layout == VMS_LAYOUT_TOP_DOWN && !(addr & (wanted_align(policy, req) - 1)) &&
	       !in_the_way(policy, &span, req->low2g) && vms_tree_is_free(&space->tree, &wide);
}

/* One search: a gap of @length in [low, high) that nothing keeps out of. */
static int find_clear(const struct vms_space *space, const struct vms_place_req *req, vms_addr_t low, vms_addr_t high,
		      vms_addr_t length, bool bottom_up, vms_addr_t *ret_addr)
{
	const struct vms_range *hole;
	vms_addr_t addr;

	while (low < high) {
		int r = vms_tree_find_gap(&space->tree, low, high, length, bottom_up, &addr);

		if (r < 0)
			return r;
		hole = in_the_way(space->policy, &(struct vms_range){ addr, addr + length }, req->low2g);
		if (!hole) {
			*ret_addr = addr;
			return 0;
		}
		/* Each step passes a hole, so there are no more steps than holes. */
		if (bottom_up)
			low = hole->end;
		else
			high = hole->start;
	}
	return -ENOMEM;
}

/* The same with room for guard gaps and alignment around it, and @slack bytes free above. */
static int find_padded(const struct vms_space *space, const struct vms_place_req *req, vms_addr_t low, vms_addr_t high,
		       vms_addr_t slack, bool bottom_up, vms_addr_t *ret_addr)
{
	const vms_addr_t gap = space->policy->guard_gap, align = wanted_align(space->policy, req);
	vms_addr_t length, found = 0, top;

	if (__builtin_add_overflow(req->length, 2 * gap + slack + align - VMS_PAGE_SIZE, &length) ||
	    find_clear(space, req, low, high, length, bottom_up, &found) < 0)
		return -ENOMEM;
	top = found + length - gap - slack - req->length;
	*ret_addr = bottom_up ? (found + gap + align - 1) & ~(align - 1) : top & ~(align - 1);
	return 0;
}

static uint64_t draw(struct vms_space *space, uint64_t below)
{
	return below ? vms_layout_random(&space->random) % below : 0;
}

static int scattered(struct vms_space *space, const struct vms_place_req *req, vms_addr_t low, vms_addr_t high,
		     vms_addr_t *ret_addr)
{
	vms_addr_t pages = (high - low) / VMS_PAGE_SIZE, from;

	if (req->length > high - low)
		return -ENOMEM;
	from = low + req->length + VMS_PAGE_SIZE * draw(space, pages - req->length / VMS_PAGE_SIZE + 1);
	if (find_padded(space, req, low, from, 0, false, ret_addr) == 0)
		return 0;
	return find_padded(space, req, low, high, 0, false, ret_addr);
}

/* The bounds of a search. False: nothing is left. */
static bool bounds(const struct vms_space *space, const struct vms_place_req *req, vms_addr_t bound, vms_addr_t *ret_low,
		   vms_addr_t *ret_high)
{
	vms_addr_t low = space->range.start, high = space->range.end;

	if (low < space->rules.mmap_min_addr)
		low = vms_page_up(space->rules.mmap_min_addr);
	if (req->above4g && space->rules.above4g && low < FOUR_G)
		low = FOUR_G;
	if (req->low2g && high > LOW2G_END)
		high = LOW2G_END;
	if (bound && space->policy->layout == VMS_LAYOUT_BOTTOM_UP)
		low = bound >= low ? bound + VMS_PAGE_SIZE : low;
	else if (bound && bound < high)
		high = bound;
	*ret_low = low;
	*ret_high = high;
	return low < high;
}

int vms_policy_find(struct vms_space *space, const struct vms_place_req *req, vms_addr_t bound, vms_addr_t *ret_addr)
{
	const struct vms_policy *policy = space->policy;
	vms_addr_t low, high, slack;

	if (!bounds(space, req, bound, &low, &high))
		return -ENOMEM;
	/* A place that was rejected is passed by in order; nothing is drawn again. */
	if (bound && policy->layout != VMS_LAYOUT_BOTTOM_UP)
		return find_padded(space, req, low, high, 0, false, ret_addr);
	/* MAP_32BIT: the kernel's own window first, then what else there is below 2 GiB. */
	if (req->low2g && low < KERNEL_LOW_START && high > KERNEL_LOW_START && policy->layout == VMS_LAYOUT_TOP_DOWN &&
	    find_padded(space, req, KERNEL_LOW_START, high, 0, true, ret_addr) == 0)
		return 0;
	switch (policy->layout) {
	case VMS_LAYOUT_BOTTOM_UP:
		return find_padded(space, req, low, high, 0, true, ret_addr);
	case VMS_LAYOUT_SCATTER:
		return scattered(space, req, low, high, ret_addr);
	case VMS_LAYOUT_RANDOM:
		slack = VMS_PAGE_SIZE * draw(space, VMS_RANDOM_PAGES);
		if (find_padded(space, req, low, high, slack, false, ret_addr) == 0)
			return 0;
		break;
	case VMS_LAYOUT_TOP_DOWN:
		break;
	}
	return find_padded(space, req, low, high, 0, false, ret_addr);
}

/* The lowest address at or after @at that nothing keeps out of; @end: none. */
static vms_addr_t first_open(const struct vms_policy *policy, vms_addr_t at, vms_addr_t end)
{
	const struct vms_range *hole;

	while (at < end && (hole = in_the_way(policy, &(struct vms_range){ at, at + VMS_PAGE_SIZE }, false)))
		at = hole->end;
	return at;
}

bool vms_policy_widest(const struct vms_policy *policy, const struct vms_range *range, struct vms_range *ret_part)
{
	struct vms_range best = { 0, 0 };
	vms_addr_t at = first_open(policy, range->start, range->end);

	while (at < range->end) {
		struct vms_range part = { at, range->end };
		const struct vms_range *hole;

		/* What is in the way ends the part; the nearest last. */
		while ((hole = in_the_way(policy, &part, false)))
			part.end = hole->start;
		if (vms_range_size(&part) > best.end - best.start)
			best = part;
		at = first_open(policy, part.end, range->end);
	}
	*ret_part = best;
	return !is_empty(&best);
}
