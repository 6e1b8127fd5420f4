/*
 * What was decided about one call: how to carry it out, and what it will do to the tree.
 *
 * A plan goes through decide -> apply -> settle. Until it is settled it is *in flight*: nobody but
 * the kernel knows whether the call has happened.
 */
#ifndef VMSUP_CORE_PLAN_H
#define VMSUP_CORE_PLAN_H

#include "vmsup/core/vma.h"

enum vms_verdict {
	VMS_REFUSE, /* answer with an errno; the default */
	VMS_REPLY, /* answer with a value; the kernel does nothing */
	VMS_CONTINUE, /* the kernel will do what was decided */
	VMS_REMOTE, /* the calling thread is made to run another call instead */
};

enum vms_effect {
	VMS_EFFECT_NONE, /* the tree stays as it is */
	VMS_EFFECT_MAP, /* vma appears, replacing what is there */
	VMS_EFFECT_UNMAP, /* range disappears */
	VMS_EFFECT_PROTECT, /* vma.prot (and pkey) for range */
	VMS_EFFECT_MOVE, /* from goes away, vma appears; mremap */
	VMS_EFFECT_BRK, /* the break becomes brk */
	VMS_EFFECT_SEAL, /* range is sealed */
	VMS_EFFECT_UNKNOWN, /* anything: re-read the whole space afterwards */
};

struct vms_plan {
	enum vms_verdict verdict;
	int error; /* VMS_REFUSE: a positive errno */
	uint64_t value; /* VMS_REPLY */
	uint64_t args[6]; /* VMS_REMOTE: arguments of the call to run instead (same number) */
	uint8_t limit; /* enum vms_limit: the one for which it is refused; 0: none */
	uint8_t rule; /* enum vms_wx_rule: the one for which it is refused, or logged; 0: none */
	bool in_two_steps; /* VMS_REMOTE: mapped without PROT_EXEC, vetted, then made executable */
	bool marks_written; /* a protection policy wants to know what was writable */
	bool is_written; /* what appears counts as writable, as it may be written to by another way */
	bool vetted; /* what appears is executable later on only if it is vet_dev and vet_ino */
	uint64_t vet_dev, vet_ino;
	bool injected; /* fails because --inject wants it to */
	bool tree_limit; /* that one is the tree's, not the process's */

	enum vms_effect effect;
	bool chosen; /* the address was chosen, not named by the child */
	bool certain; /* the rule that chose it is known to be the kernel's */
	bool low2g; /* placed for MAP_32BIT */
	bool keeps_source; /* VMS_EFFECT_MOVE: the source stays (MREMAP_DONTUNMAP, old_length 0) */
	bool sets_pkey; /* VMS_EFFECT_PROTECT: vma.pkey is asked for, too */
	struct vms_range range; /* the result: what appears, disappears or changes; may be empty */
	struct vms_range from; /* VMS_EFFECT_MOVE: the source; else empty */
	struct vms_vma vma; /* attributes of what appears */
	vms_addr_t brk; /* VMS_EFFECT_BRK */
};

/** A plan that refuses with @error (a positive errno). */
struct vms_plan vms_plan_refuse(int error);
/** A plan that answers with @value. */
struct vms_plan vms_plan_reply(uint64_t value);
/** A plan that lets the kernel do a call that changes no mapping. */
struct vms_plan vms_plan_pass(void);

/** True while the plan, in flight, may still change a page of @range. */
bool vms_plan_touches(const struct vms_plan *plan, const struct vms_range *range);
/** True when the plan, in flight, changes which addresses are free. */
bool vms_plan_moves_gaps(const struct vms_plan *plan);

#endif
