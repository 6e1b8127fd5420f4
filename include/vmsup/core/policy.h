/*
 * Placement policy: where mappings go when it is not the kernel's habit that decides. Pure.
 *
 * Holes are addresses where nothing is placed; the program may still map there by MAP_FIXED. The low zone is a hole for everybody
 * but MAP_32BIT. What is placed against the kernel's habit is a remote call, so a policy has its price.
 */
#ifndef VMSUP_CORE_POLICY_H
#define VMSUP_CORE_POLICY_H

#include <stddef.h>

#include "vmsup/core/range.h"

struct vms_space;
struct vms_place_req;

enum vms_layout_kind {
	VMS_LAYOUT_TOP_DOWN, /* as the kernel */
	VMS_LAYOUT_BOTTOM_UP, /* the lowest gap that fits */
	VMS_LAYOUT_RANDOM, /* as the kernel, with a random distance of up to VMS_RANDOM_PAGES above each mapping */
	VMS_LAYOUT_SCATTER, /* anywhere */
};

#define VMS_RANDOM_PAGES 256
#define VMS_MAX_HOLES 64
#define VMS_MAX_WALLS (VMS_MAX_HOLES + 1)

struct vms_policy {
	enum vms_layout_kind layout;
	vms_addr_t align; /* bytes, a power of two: of mappings that are as long or longer; 0: none */
	vms_addr_t guard_gap; /* bytes that stay free on both sides of a mapping; 0: none */
	struct vms_range low; /* for MAP_32BIT only; empty: none */
	struct vms_range holes[VMS_MAX_HOLES]; /* ascending, disjoint */
	size_t nr_holes;
	struct vms_range walls[VMS_MAX_WALLS]; /* ascending, disjoint, and holes, too: see vms_policy_widen */
	size_t nr_walls;
};

/** True when the kernel's own choices are all that is wanted. */
bool vms_policy_is_plain(const struct vms_policy *policy);

/** Add a hole; it is joined with those that it touches. 0, or -ENOSPC when there are too many. */
VMS_MUST_CHECK int vms_policy_add_hole(struct vms_policy *policy, const struct vms_range *hole);

/**
 * Holes may lie outside @range: the program may map there by MAP_FIXED. *@ret_hull is the range that holds them, too; what in it
 * is neither @range nor hole becomes a wall: the fence lies there, sealed, so that nobody ever maps anything.
 * 0; or -ENOSPC when there are too many holes.
 */
VMS_MUST_CHECK int vms_policy_widen(struct vms_policy *policy, const struct vms_range *range, struct vms_range *ret_hull);
/** True when @range is a part of a wall. */
bool vms_policy_is_wall(const struct vms_policy *policy, const struct vms_range *range);

/** True when nothing but a MAP_FIXED mapping may touch @range; @low2g: it is for MAP_32BIT. */
bool vms_policy_keeps_out(const struct vms_policy *policy, const struct vms_range *range, bool low2g);

/** True when @addr, which the kernel would choose, is as the space's policy wants it. */
bool vms_policy_accepts(const struct vms_space *space, const struct vms_place_req *req, vms_addr_t addr);

/**
 * The address for @req by the space's policy. With @bound, which a retry passes, everything at or above it is
 * left out; for VMS_LAYOUT_BOTTOM_UP everything at or below it.
 * Advances space->random. 0 or -ENOMEM.
 */
VMS_MUST_CHECK int vms_policy_find(struct vms_space *space, const struct vms_place_req *req, vms_addr_t bound,
				   vms_addr_t *ret_addr);

/** The largest part of @range that no hole touches and that is not kept for MAP_32BIT. False: there is none. */
bool vms_policy_widest(const struct vms_policy *policy, const struct vms_range *range, struct vms_range *ret_part);

#endif
