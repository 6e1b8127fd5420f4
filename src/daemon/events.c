/* What has happened to tenants: to the log, to a ring of the last, to those that listen. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "vmsup/base/log.h"
#include "vmsup/daemon/daemon.h"

#define MAX_LISTENERS 64

struct vms_events {
	uint64_t last; /* running number */
	struct {
		vms_event_fn *fn;
		void *arg;
	} listeners[MAX_LISTENERS];
	size_t nr_listeners;
};

struct vms_events *vms_events_new(void)
{
	return calloc(1, sizeof(struct vms_events));
}

void vms_events_free(struct vms_events *events)
{
	free(events);
}

/* Each tenant has a ring of its own, and its life one apart from what it can do as often as it pleases: nobody washes out the rest. */
static void keep(struct vms_tenant *tenant, bool is_frequent, json_t *event)
{
	struct vms_event_ring *ring = &tenant->events[is_frequent];

	json_decref(ring->kept[ring->next].event);
	ring->kept[ring->next].event = event;
	ring->kept[ring->next].number = ++tenant->daemon->events->last;
	ring->next = (ring->next + 1) % VMS_EVENTS_KEPT;
}

void vms_events_drop(struct vms_tenant *tenant)
{
	for (size_t i = 0; i < 2 * (size_t)VMS_EVENTS_KEPT; i++)
		json_decref(tenant->events[i / VMS_EVENTS_KEPT].kept[i % VMS_EVENTS_KEPT].event);
}

/* A limit or a refusal may come as often as the tenant pleases; those are told to listeners only. */
static bool is_logged(const char *what)
{
	return strcmp(what, "limit") != 0 && strcmp(what, "refusal") != 0;
}

static void log_event(const char *tenant, const char *what, const json_t *event)
{
	const json_t *reason = json_object_get(event, "reason"), *status = json_object_get(event, "status"),
		     *pid = json_object_get(event, "pid");
	const bool is_trouble = strcmp(what, "failed") == 0 || strcmp(what, "lost") == 0 || strcmp(what, "held") == 0;
	char more[640] = "", text[800];

	if (json_is_string(reason))
		snprintf(more, sizeof(more), ": %s", json_string_value(reason));
	else if (json_is_string(status))
		snprintf(more, sizeof(more), ": %s", json_string_value(status));
	else if (json_is_integer(pid))
		snprintf(more, sizeof(more), ": process %" JSON_INTEGER_FORMAT, json_integer_value(pid));
	snprintf(text, sizeof(text), "tenant %s: %s%s", tenant, what, more);
	if (!vms_notify_journal(tenant, what, is_trouble ? LOG_WARNING : LOG_INFO, text))
		vms_log("%s", text);
}

void vms_event(struct vms_tenant *tenant, const char *what, json_t *more)
{
	struct vms_events *events = tenant->daemon->events;
	struct timespec now;
	json_t *event = json_object();

	clock_gettime(CLOCK_REALTIME, &now);
	json_object_set_new(event, "time", json_real((double)now.tv_sec + (double)(now.tv_nsec / 1000) / 1e6));
	json_object_set_new(event, "tenant", json_string(tenant->name));
	json_object_set_new(event, "event", json_string(what));
	if (more)
		json_object_update_missing(event, more);
	json_decref(more);
	if (is_logged(what))
		log_event(tenant->name, what, event);
	keep(tenant, !is_logged(what), event);
	/* From the last to the first: one that listens no more is filled by the last. */
	for (size_t i = events->nr_listeners; i > 0; i--)
		events->listeners[i - 1].fn(events->listeners[i - 1].arg, event);
}

int vms_events_listen(struct vms_events *events, vms_event_fn *fn, void *arg)
{
	if (events->nr_listeners >= MAX_LISTENERS)
		return -EAGAIN;
	events->listeners[events->nr_listeners].fn = fn;
	events->listeners[events->nr_listeners++].arg = arg;
	return 0;
}

void vms_events_forget(struct vms_events *events, const void *arg)
{
	for (size_t i = 0; i < events->nr_listeners; i++) {
		if (events->listeners[i].arg == arg)
			events->listeners[i--] = events->listeners[--events->nr_listeners];
	}
}

static int by_number(const void *a, const void *b)
{
	const struct vms_kept_event *const *x = a, *const *y = b;

	return (*x)->number < (*y)->number ? -1 : (*x)->number > (*y)->number;
}

int vms_events_replay(const struct vms_daemon *daemon, vms_event_fn *fn, void *arg)
{
	const struct vms_kept_event **all = calloc(2 * (size_t)VMS_EVENTS_KEPT * (HASH_COUNT(daemon->tenants) + 1), sizeof(*all));
	size_t nr = 0;

	if (!all)
		return -ENOMEM;
	for (const struct vms_tenant *t = daemon->tenants; t; t = t->hh.next) {
		for (size_t i = 0; i < 2 * (size_t)VMS_EVENTS_KEPT; i++) {
			const struct vms_kept_event *kept = &t->events[i / VMS_EVENTS_KEPT].kept[i % VMS_EVENTS_KEPT];

			if (kept->event)
				all[nr++] = kept;
		}
	}
	qsort(all, nr, sizeof(*all), by_number);
	for (size_t i = 0; i < nr; i++)
		fn(arg, all[i]->event);
	free(all);
	return 0;
}
