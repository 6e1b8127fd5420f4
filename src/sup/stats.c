/* --stats: one JSON object when the tree has ended. */
#include <jansson.h>

#include "vmsup/sup/sup.h"

static size_t max_vmas(const struct vms_sup *sup)
{
	size_t max = sup->tasks.max_vmas;

	for (const struct vms_process *p = sup->tasks.processes; p; p = p->hh.next) {
		if (p->mm && p->mm->space.max_vmas > max)
			max = p->mm->space.max_vmas;
	}
	return max;
}

static json_t *by_call(const struct vms_stats *stats)
{
	json_t *object = json_object();

	for (size_t i = 0; i < VMS_NR_CALLS; i++) {
		if (stats->by_call[i])
			json_object_set_new(object, vms_call_get((enum vms_call)i)->name,
					    json_integer((json_int_t)stats->by_call[i]));
	}
	return object;
}

static json_t *by_limit(const struct vms_stats *stats)
{
	json_t *object = json_object();
	char name[32];

	for (int i = VMS_LIMIT_VA; i < VMS_NR_LIMITS; i++) {
		snprintf(name, sizeof(name), "max-%s", vms_limit_name((enum vms_limit)i));
		if (stats->limited[i])
			json_object_set_new(object, name, json_integer((json_int_t)stats->limited[i]));
		snprintf(name, sizeof(name), "tree-max-%s", vms_limit_name((enum vms_limit)i));
		if (stats->tree_limited[i])
			json_object_set_new(object, name, json_integer((json_int_t)stats->tree_limited[i]));
	}
	return object;
}

static json_t *by_rule(const struct vms_stats *stats)
{
	json_t *object = json_object();

	for (int i = VMS_WX_BOTH; i <= VMS_WX_ELSEWHERE; i++) {
		const char *name = vms_wx_option((enum vms_wx_rule)i);
		json_int_t before = json_integer_value(json_object_get(object, name));

		if (stats->broken[i])
			json_object_set_new(object, name, json_integer(before + (json_int_t)stats->broken[i]));
	}
	return object;
}

void vms_stats_write(struct vms_sup *sup)
{
	const struct vms_stats *s = &sup->stats;
	const struct {
		const char *name;
		unsigned long long value;
	} counters[] = {
		{ "continued", s->continued },
		{ "remote", s->remote },
		{ "refused", s->refused },
		{ "replied", s->replied },
		{ "injected", s->injected },
		{ "held", s->held },
		{ "stale", s->stale },
		{ "mispredicted", s->mispredicted },
		{ "retried", s->retried },
		{ "audits", s->audits },
		{ "divergences", s->divergences },
		{ "execs", s->execs },
		{ "spaces", sup->tasks.made_spaces },
		{ "processes", sup->tasks.made_processes },
		{ "max_vmas", max_vmas(sup) },
		{ "signal_repairs", s->signal_repairs },
	};
	json_t *object;

	if (!sup->options.stats)
		return;
	object = json_object();
	json_object_set_new(object, "notifications", json_integer((json_int_t)s->notifications));
	json_object_set_new(object, "by_call", by_call(s));
	json_object_set_new(object, "limited", by_limit(s));
	json_object_set_new(object, "policy", by_rule(s));
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		json_object_set_new(object, counters[i].name, json_integer((json_int_t)counters[i].value));
	json_dumpf(object, sup->stats_file, JSON_COMPACT | JSON_PRESERVE_ORDER);
	fputc('\n', sup->stats_file);
	fflush(sup->stats_file);
	json_decref(object);
}
