/* Both on one CPU; see the header. */
#include "vmsup/host/pin.h"

#include "vmsup/base/err.h"

void vms_pin_begin(struct vms_pin *pin, pid_t tid)
{
	int cpu = sched_getcpu();

	pin->is_on = false;
	if (cpu < 0 || cpu >= CPU_SETSIZE || sched_getaffinity(tid, sizeof(pin->child), &pin->child) < 0 ||
	    sched_getaffinity(0, sizeof(pin->own), &pin->own) < 0 || !CPU_ISSET(cpu, &pin->child) ||
	    CPU_COUNT(&pin->child) == 1)
		return;
	CPU_ZERO(&pin->pinned);
	CPU_SET(cpu, &pin->pinned);
	if (sched_setaffinity(tid, sizeof(pin->pinned), &pin->pinned) < 0)
		return;
	vms_ignore(sched_setaffinity(0, sizeof(pin->pinned), &pin->pinned));
	pin->is_on = true;
}

void vms_pin_end(struct vms_pin *pin, pid_t tid)
{
	cpu_set_t now;

	if (!pin->is_on)
		return;
	pin->is_on = false;
	if (sched_getaffinity(tid, sizeof(now), &now) == 0 && CPU_EQUAL(&now, &pin->pinned))
		vms_ignore(sched_setaffinity(tid, sizeof(pin->child), &pin->child));
	vms_ignore(sched_setaffinity(0, sizeof(pin->own), &pin->own));
}
