/*
 * Limits: what an address space, or a tree of processes, may come to. Pure.
 *
 * A limit is asked about a plan before it is carried out: what the plan would add is counted from the tree (exactly, where the
 * plan says what it will do; from above, where it does not), to that comes what other calls in flight may still add. So
 * no race passes a limit. What is there already is never taken away: a limit that is lowered below the usage only stops growth.
 */
#ifndef VMSUP_CORE_LIMIT_H
#define VMSUP_CORE_LIMIT_H

#include "vmsup/core/decide.h"

/** What is limited. The order is that in which limits are looked at. */
enum vms_limit {
	VMS_LIMIT_NONE,
	VMS_LIMIT_VA, /* bytes of all mappings */
	VMS_LIMIT_COMMIT, /* bytes for which vms_vma_is_commit */
	VMS_LIMIT_MAPS, /* mappings, number */
	VMS_LIMIT_HEAP, /* bytes from the heap's base to the break */
	VMS_LIMIT_STACK, /* bytes of the stack; kept by the kernel (RLIMIT_STACK) */
	VMS_NR_LIMITS,
};

#define VMS_UNLIMITED UINT64_MAX

/** One number for each limit; VMS_UNLIMITED where there is none. The first is not used. */
struct vms_limits {
	uint64_t max[VMS_NR_LIMITS];
};

/** What is used of each limit, or what a plan adds. */
struct vms_usage {
	uint64_t used[VMS_NR_LIMITS];
};

extern const struct vms_limits vms_limits_none;

/** "va", "commit", "maps", "heap", "stack". */
const char *vms_limit_name(enum vms_limit limit);
bool vms_limits_any(const struct vms_limits *limits);

/** What @space holds now, our own top gap left out. */
void vms_usage_of(const struct vms_space *space, struct vms_usage *ret_usage);
/**
 * The commit of @seen, all of the kernel's VMAs in @space's range with what smaps tells, by the kinds that the tree has; less what a
 * stack has grown by since the tree was told. Where both agree it is the tree's own sum.
 */
vms_addr_t vms_commit_seen(const struct vms_space *space, const struct vms_vma *seen, size_t nr);
/** @to += @what, or -=. */
void vms_usage_add(struct vms_usage *to, const struct vms_usage *what);
void vms_usage_sub(struct vms_usage *to, const struct vms_usage *what);

/**
 * What carrying out @plan for @req will add to @space, at the most: nothing is negative, for what a plan frees is counted when it is
 * settled. @facts: the size of a segment.
 */
void vms_usage_growth(const struct vms_space *space, const struct vms_req *req, const struct vms_facts *facts,
		      const struct vms_plan *plan, struct vms_usage *ret_growth);

/** The first limit that @used + @growth passes and that @growth adds to; VMS_LIMIT_NONE: none. */
enum vms_limit vms_limits_passed(const struct vms_limits *limits, const struct vms_usage *used,
				 const struct vms_usage *growth);

/** The refusal of @req when a limit is passed: what Linux answers when there is no memory. */
struct vms_plan vms_limit_refusal(const struct vms_space *space, const struct vms_req *req);

#endif
