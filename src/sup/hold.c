/*
 * Calls that wait for others.
 *
 * A held call is tried again after a short while, as if it had just been received. For a memory call in flight it never waits
 * longer than a few milliseconds: a call that does not return (a page that nobody serves) must not stall its process
 * more than it would by itself. What is then decided may be overtaken; settling repairs the tree. For an execve
 * under way it waits to the end: the execve kills it, or fails.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <utlist.h>

#include "vmsup/base/fd.h"
#include "vmsup/sup/sup.h"

#define HOLD_TICK_NS 50000
#define HOLD_TICK_MAX_NS 10000000
#define HOLD_MAX_NS 5000000
/* An audit wants to be exact, and is slow itself. */
#define HOLD_MAX_AUDIT_NS 2000000000
#define MAX_HELD 4096

/* The longer one has waited, the longer until it is tried again: an execve may take for ever. */
static void arm(struct vms_sup *sup, long long waited)
{
	long tick = waited / 8 > HOLD_TICK_MAX_NS ? HOLD_TICK_MAX_NS : (long)(waited / 8);
	const struct itimerspec spec = { .it_value = { .tv_nsec = tick < HOLD_TICK_NS ? HOLD_TICK_NS : tick } };

	if (sup->hold_tick && sup->hold_tick <= spec.it_value.tv_nsec)
		return;
	if (timerfd_settime(sup->hold_timer, 0, &spec, NULL) == 0)
		sup->hold_tick = spec.it_value.tv_nsec;
}

/* Without a cap of its own: a thread has one call, and the number of threads is capped. */
bool vms_hold_on(struct vms_sup *sup, const struct vms_trap *trap)
{
	long long since = sup->retried_since;
	struct vms_held *held = calloc(1, sizeof(*held));

	if (!held)
		return false;
	held->trap = *trap;
	held->since = since ? since : vms_now_ns();
	DL_APPEND(sup->held, held);
	sup->nr_held++;
	if (!since)
		sup->stats.held++;
	arm(sup, since ? vms_now_ns() - since : 0);
	return true;
}

long long vms_hold_max_ns(const struct vms_sup *sup)
{
	return sup->options.audit ? HOLD_MAX_AUDIT_NS : HOLD_MAX_NS;
}

bool vms_hold(struct vms_sup *sup, const struct vms_trap *trap)
{
	if (sup->nr_held >= MAX_HELD ||
	    (sup->retried_since && vms_now_ns() - sup->retried_since > vms_hold_max_ns(sup)))
		return false;
	return vms_hold_on(sup, trap);
}

static void on_tick(void *arg, int fd, unsigned int events)
{
	struct vms_sup *sup = arg;
	struct vms_held *list = sup->held, *held, *next;
	uint64_t ticks;

	(void)events;
	if (read(fd, &ticks, sizeof(ticks)) < 0)
		return;
	sup->hold_tick = 0;
	sup->held = NULL;
	sup->nr_held = 0;
	DL_FOREACH_SAFE(list, held, next) {
		struct vms_trap trap = held->trap;

		sup->retried_since = held->since;
		free(held);
		/* Withdrawn meanwhile, its thread may be in another call by now. */
		if (vms_listener_is_valid(&sup->listener, trap.id))
			vms_step(sup, &trap);
		sup->retried_since = 0;
	}
}

int vms_hold_start(struct vms_sup *sup)
{
	sup->hold_timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (sup->hold_timer < 0)
		return -errno;
	return vms_loop_add(sup->loop, sup->hold_timer, VMS_WATCH_READ, 0, on_tick, sup, &sup->hold_watch);
}

void vms_hold_done(struct vms_sup *sup)
{
	struct vms_held *held, *next;

	DL_FOREACH_SAFE(sup->held, held, next)
		free(held);
	sup->held = NULL;
	vms_watch_free(sup->hold_watch);
	vms_fd_close(&sup->hold_timer);
}
