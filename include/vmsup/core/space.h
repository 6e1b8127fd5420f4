/*
 * One address space (one mm) as the supervisor knows it: the range it lives in, its VMA tree, its
 * program break and the rule by which its kernel places mappings.
 */
#ifndef VMSUP_CORE_SPACE_H
#define VMSUP_CORE_SPACE_H

#include "vmsup/core/brk.h"
#include "vmsup/core/call.h"
#include "vmsup/core/policy.h"
#include "vmsup/core/tree.h"
#include "vmsup/core/wx.h"

/** What the running kernel does when it chooses an address; learned at start-up, see host/rules. */
struct vms_place_rules {
	vms_addr_t mmap_min_addr; /* vm.mmap_min_addr, bytes: fixed mappings */
	vms_addr_t hint_min; /* bytes: hints below are raised to it; the LSM's minimum counts, too */
	vms_addr_t guard; /* stack_guard_gap, bytes */
	bool thp_anon_multiple; /* anonymous lengths that are multiples of 2 MiB are aligned (6.7 on) */
	bool thp_anon_any; /* all anonymous lengths of 2 MiB and more are (6.7 to 6.12) */
	bool thp_to_top; /* of the slack for an alignment the upper end is taken, not the lower (6.8 on) */
	bool above4g; /* MAP_ABOVE4G is known (6.6 on) */
	bool seals; /* mseal(2) is there, and the fence sealed with it (6.10 on) */
	bool never_overcommit; /* vm.overcommit_memory is 2: MAP_NORESERVE is ignored */
};

struct vms_space {
	struct vms_range range; /* where mappings may be; the whole user address space without confinement */
	struct vms_range user; /* [0, end of user addresses) */
	enum vms_arch arch; /* of its program; any thread may make calls of the other */
	bool confined; /* a fence keeps the kernel inside range */
	bool legacy_layout; /* the kernel searches bottom-up (ADDR_COMPAT_LAYOUT): never certain */
	bool read_implies_exec; /* what is readable may be executed as well (personality), as in old i386 programs */
	bool remote_only; /* every placement by a remote call */
	vms_addr_t ceiling; /* top of the kernel's top-down search (mm->mmap_base); 0: not known yet */
	struct vms_place_rules rules;
	const struct vms_policy *policy; /* borrowed; NULL: the kernel's habit */
	uint64_t random; /* state of the policy's random choices */
	struct vms_exec_policy exec_policy; /* what may be executable */
	struct vms_tree tree;
	struct vms_brk brk;
	size_t max_vmas; /* the most VMAs seen */
};

/** Set up an empty space. */
void vms_space_init(struct vms_space *space, const struct vms_range *range, const struct vms_range *user,
		    const struct vms_place_rules *rules);
void vms_space_done(struct vms_space *space);

/**
 * True when the tree and @seen, the kernel's @nr VMAs that overlap @range, agree page by page inside @range on:
 * mapped, prot, shared or private, file and offset. A grows-down VMA may have grown since the tree was told.
 */
bool vms_space_agrees(const struct vms_space *space, const struct vms_range *range,
		      const struct vms_vma *seen, size_t nr);

/**
 * Make the tree equal to @seen inside @range. Attributes that the kernel did not tell (kind, may...) stay where the
 * mapping is still the same one; elsewhere they come from @seen. @has_flags: @seen also holds what only smaps tells
 * (VMS_VMA_TOLD); otherwise these, too, are kept.
 * 0 or -ENOMEM; after -ENOMEM the tree holds a part of the change and must be re-read.
 */
VMS_MUST_CHECK int vms_space_adopt(struct vms_space *space, const struct vms_range *range,
				   const struct vms_vma *seen, size_t nr, bool has_flags);

#endif
