/* The counters of the board: what vmsupd shows of a tenant without asking its supervisor. */
#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "vmsup/base/fd.h"
#include "vmsup/sup/sup.h"

#define PUBLISH_NS 250000000

/* A moment after the first call that is not published yet: who makes none wakes nobody. */
static void arm(struct vms_sup *sup)
{
	const struct itimerspec soon = { .it_value.tv_nsec = PUBLISH_NS };

	if (!sup->tally_armed && timerfd_settime(sup->tally_timer, 0, &soon, NULL) == 0)
		sup->tally_armed = true;
}

/* Of threads that have made no call since they were adopted there is no record. */
static uint64_t count_threads(const struct vms_sup *sup)
{
	struct vms_proc_status status;
	uint64_t nr = 0;

	for (const struct vms_process *p = sup->tasks.processes; p; p = p->hh.next)
		nr += vms_proc_status(p->pid, &status) == 0 ? status.threads : 0;
	return nr;
}

void vms_tally_step(struct vms_sup *sup, long long began)
{
	struct vms_board_counters *c = &sup->board->counters;
	const long long ns = vms_now_ns() - began;
	size_t bucket = 0;

	while (bucket < VMS_BOARD_BUCKETS - 1 && ns >= 1000LL << bucket)
		bucket++;
	c->latency[bucket]++;
	c->latency_sum_ns += (uint64_t)ns;
	arm(sup);
}

void vms_tally_publish(struct vms_sup *sup)
{
	struct vms_board_counters *c = &sup->board->counters;
	const struct vms_stats *s = &sup->stats;
	const struct vms_usage *total = &sup->tasks.total;
	const struct vms_process *process;
	uint64_t policy = 0;

	/* A call that was let go on counts when its thread comes again, which may be never. */
	for (process = sup->tasks.processes; process; process = process->hh.next) {
		if (process->mm && process->mm->in_flight)
			vms_flight_visible(sup, process->mm);
	}

	c->notifications = s->notifications;
	for (int i = 0; i < VMS_NR_CALLS; i++)
		c->by_call[i] = s->by_call[i];
	c->continued = s->continued;
	c->remote = s->remote;
	c->refused = s->refused;
	c->replied = s->replied;
	c->held = s->held;
	c->stale = s->stale;
	c->mispredicted = s->mispredicted;
	c->audits = s->audits;
	c->divergences = s->divergences;
	c->execs = s->execs;
	c->signal_repairs = s->signal_repairs;
	c->injected = s->injected;
	for (int i = 0; i < VMS_NR_LIMITS; i++) {
		c->limited[i] = s->limited[i];
		c->tree_limited[i] = s->tree_limited[i];
	}
	for (int i = 0; i <= VMS_WX_ELSEWHERE; i++)
		policy += s->broken[i];
	c->policy = policy;
	c->commit = total->used[VMS_LIMIT_COMMIT];
	c->va = total->used[VMS_LIMIT_VA];
	c->reserved = total->used[VMS_LIMIT_VA] - total->used[VMS_LIMIT_COMMIT];
	c->maps = total->used[VMS_LIMIT_MAPS];
	c->processes = sup->tasks.nr_processes;
	c->threads = sup->is_successor ? count_threads(sup) : sup->tasks.nr_threads;
}

void vms_tally_restore(struct vms_sup *sup)
{
	const struct vms_board_counters *c = &sup->board->counters;
	struct vms_stats *s = &sup->stats;

	s->notifications = c->notifications;
	for (int i = 0; i < VMS_NR_CALLS; i++)
		s->by_call[i] = c->by_call[i];
	s->continued = c->continued;
	s->remote = c->remote;
	s->refused = c->refused;
	s->replied = c->replied;
	s->held = c->held;
	s->stale = c->stale;
	s->mispredicted = c->mispredicted;
	s->audits = c->audits;
	s->divergences = c->divergences;
	s->execs = c->execs;
	s->signal_repairs = c->signal_repairs;
	s->injected = c->injected;
	for (int i = 0; i < VMS_NR_LIMITS; i++) {
		s->limited[i] = c->limited[i];
		s->tree_limited[i] = c->tree_limited[i];
	}
	/* One number for all rules. */
	s->broken[VMS_WX_BOTH] = c->policy;
}

static void on_publish(void *arg, int fd, unsigned int events)
{
	struct vms_sup *sup = arg;
	uint64_t ticks;

	(void)events;
	if (read(fd, &ticks, sizeof(ticks)) < 0)
		return;
	sup->tally_armed = false;
	vms_tally_publish(sup);
}

int vms_tally_start(struct vms_sup *sup)
{
	sup->tally_timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (sup->tally_timer < 0)
		return -errno;
	arm(sup);
	return vms_loop_add(sup->loop, sup->tally_timer, VMS_WATCH_READ, 0, on_publish, sup, &sup->tally_watch);
}

void vms_tally_done(struct vms_sup *sup)
{
	vms_watch_free(sup->tally_watch);
	vms_fd_close(&sup->tally_timer);
	if (sup->board)
		vms_tally_publish(sup);
}
