/* What the functions of decide.c and decide_resize.c share. Private to the layer. */
#ifndef VMSUP_CORE_DECISION_H
#define VMSUP_CORE_DECISION_H

#include "vmsup/core/decide.h"
#include "vmsup/core/place.h"

struct vms_decision {
	struct vms_space *space;
	const struct vms_req *req;
	const struct vms_facts *facts;
	const struct vms_plan *const *busy;
	size_t nr_busy;
	vms_addr_t max_start;
};

/* The kernel does it, and what it has done is read back. */
struct vms_plan vms_decision_unknown(void);
/* [addr, addr + length) rounded up to pages; false when it is empty, unaligned or leaves the user addresses. */
bool vms_decision_span(const struct vms_space *space, vms_addr_t addr, vms_addr_t length,
		       struct vms_range *ret_span);
/* True when not all of @span is where this space may have mappings. */
bool vms_decision_is_outside(const struct vms_space *space, const struct vms_range *span);
/* Our own choice. 0 or -ENOMEM. */
int vms_decision_choose(const struct vms_decision *d, const struct vms_place_req *want, vms_addr_t *ret_addr);
/* Where @want goes; sets verdict, chosen and certain of @plan. 0 or -ENOMEM: nothing fits. */
int vms_decision_place(const struct vms_decision *d, const struct vms_place_req *want, struct vms_plan *plan,
		       vms_addr_t *ret_addr);
/* The arguments that the child gave, for a call that is made remotely. */
void vms_decision_copy_args(struct vms_plan *plan, const struct vms_req *req);
/* With READ_IMPLIES_EXEC. */
uint8_t vms_decision_prot(const struct vms_space *space, uint8_t prot);
/* True when the call is of another architecture than the space. */
bool vms_decision_is_foreign(const struct vms_decision *d);

/* decide_resize.c */
struct vms_plan vms_decide_mremap(const struct vms_decision *d);
struct vms_plan vms_decide_brk(const struct vms_decision *d);

#endif
