/* Plans; see the header. */
#include "vmsup/core/plan.h"

struct vms_plan vms_plan_refuse(int error)
{
	return (struct vms_plan){ .verdict = VMS_REFUSE, .error = error };
}

struct vms_plan vms_plan_reply(uint64_t value)
{
	return (struct vms_plan){ .verdict = VMS_REPLY, .value = value };
}

struct vms_plan vms_plan_pass(void)
{
	return (struct vms_plan){ .verdict = VMS_CONTINUE };
}

bool vms_plan_touches(const struct vms_plan *plan, const struct vms_range *range)
{
	switch (plan->effect) {
	case VMS_EFFECT_NONE:
		return false;
	case VMS_EFFECT_UNKNOWN:
		return true;
	default:
		return vms_range_overlaps(&plan->range, range) ||
		       vms_range_overlaps(&plan->from, range);
	}
}

bool vms_plan_moves_gaps(const struct vms_plan *plan)
{
	switch (plan->effect) {
	case VMS_EFFECT_NONE:
	case VMS_EFFECT_PROTECT:
	case VMS_EFFECT_SEAL:
		return false;
	default:
		return true;
	}
}
