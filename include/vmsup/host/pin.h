/*
 * While a child is stepped by ptrace, child and supervisor take turns. Woken on different CPUs each turn costs an
 * inter-processor interrupt each way (40 us into an idle virtual CPU, measured); on one CPU it is a context switch. So both are
 * pinned to the supervisor's CPU for the few hundred microseconds of a job.
 */
#ifndef VMSUP_HOST_PIN_H
#define VMSUP_HOST_PIN_H

#include <sched.h>
#include <stdbool.h>
#include <sys/types.h>

struct vms_pin {
	bool is_on;
	cpu_set_t own; /* the supervisor's mask before */
	cpu_set_t child; /* the child's mask before */
	cpu_set_t pinned;
};

/** Pin @tid and the caller to the caller's CPU; does nothing where that is not possible. */
void vms_pin_begin(struct vms_pin *pin, pid_t tid);
/** Undo it, unless somebody has changed @tid's mask meanwhile: that change stands. */
void vms_pin_end(struct vms_pin *pin, pid_t tid);

#endif
