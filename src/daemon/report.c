/* What vmsupd tells of a tenant, as JSON. */
#include <string.h>
#include <sys/wait.h>

#include "vmsup/daemon/daemon.h"
#include "vmsup/wire/msg.h"

json_t *vms_tenant_last_status(const struct vms_tenant *tenant)
{
	const char *name;

	if (tenant->status < 0)
		return json_null();
	if (!WIFSIGNALED(tenant->status))
		return json_sprintf("exit %d", WEXITSTATUS(tenant->status));
	name = sigabbrev_np(WTERMSIG(tenant->status));
	return json_sprintf("signal %s", name ? name : "?");
}

json_t *vms_tenant_status(const struct vms_tenant *tenant)
{
	const struct vms_board_counters *c = tenant->board ? &tenant->board->counters : NULL;
	json_t *json = json_object();

	json_object_set_new(json, "name", json_string(tenant->name));
	json_object_set_new(json, "state", json_string(vms_tenant_state_name(tenant->state)));
	json_object_set_new(json, "seconds", json_integer((vms_daemon_now_ns() - tenant->since) / 1000000000));
	json_object_set_new(json, "pid", tenant->program > 0 ? json_integer(tenant->program) : json_null());
	json_object_set_new(json, "supervisor", tenant->supervisor ? json_integer(tenant->supervisor) : json_null());
	json_object_set_new(json, "range", tenant->range.start < tenant->range.end ?
						   json_pack("{s:o, s:o}", "start", vms_msg_hex(tenant->range.start), "end",
							     vms_msg_hex(tenant->range.end)) :
						   json_null());
	json_object_set_new(json, "commit", c ? json_integer((json_int_t)c->commit) : json_null());
	json_object_set_new(json, "va", c ? json_integer((json_int_t)c->va) : json_null());
	json_object_set_new(json, "processes", c ? json_integer((json_int_t)c->processes) : json_null());
	json_object_set_new(json, "calls", c ? json_integer((json_int_t)c->notifications) : json_null());
	json_object_set_new(json, "refused", c ? json_integer((json_int_t)c->refused) : json_null());
	json_object_set_new(json, "tree_limits", tenant->board ? vms_msg_limits(&tenant->board->tree_limits) : json_object());
	json_object_set_new(json, "restarts", json_integer(tenant->restarts));
	json_object_set_new(json, "losses", json_integer(tenant->losses));
	json_object_set_new(json, "status", tenant->has_ended ? vms_tenant_last_status(tenant) : json_null());
	json_object_set_new(json, "failure", tenant->failure[0] ? vms_msg_text(tenant->failure) : json_null());
	json_object_set_new(json, "cgroup", tenant->cgroup ? json_string(tenant->cgroup) : json_null());
	json_object_set_new(json, "configured", json_boolean(tenant->conf));
	return json;
}

static json_t *by_call(const struct vms_board_counters *c)
{
	json_t *json = json_object();

	for (int i = 0; i < VMS_NR_CALLS; i++) {
		if (c->by_call[i])
			json_object_set_new(json, vms_call_get((enum vms_call)i)->name, json_integer((json_int_t)c->by_call[i]));
	}
	return json;
}

static json_t *by_limit(const struct vms_board_counters *c)
{
	json_t *json = json_object();
	char name[32];

	for (int i = VMS_LIMIT_VA; i < VMS_NR_LIMITS; i++) {
		snprintf(name, sizeof(name), "max-%s", vms_limit_name((enum vms_limit)i));
		if (c->limited[i])
			json_object_set_new(json, name, json_integer((json_int_t)c->limited[i]));
		snprintf(name, sizeof(name), "tree-max-%s", vms_limit_name((enum vms_limit)i));
		if (c->tree_limited[i])
			json_object_set_new(json, name, json_integer((json_int_t)c->tree_limited[i]));
	}
	return json;
}

json_t *vms_tenant_stats(const struct vms_tenant *tenant)
{
	const struct vms_board_counters *c;
	json_t *json;

	if (!tenant->board)
		return NULL;
	c = &tenant->board->counters;
	json = json_pack("{s:s, s:I, s:o, s:o}", "name", tenant->name, "notifications", (json_int_t)c->notifications, "by_call",
			 by_call(c), "limited", by_limit(c));
	const struct {
		const char *name;
		uint64_t value;
	} all[] = {
		{ "continued", c->continued }, { "remote", c->remote }, { "refused", c->refused }, { "replied", c->replied },
		{ "injected", c->injected }, { "held", c->held }, { "stale", c->stale }, { "mispredicted", c->mispredicted },
		{ "audits", c->audits }, { "divergences", c->divergences }, { "execs", c->execs },
		{ "signal_repairs", c->signal_repairs }, { "policy", c->policy }, { "events_lost", c->events_lost },
		{ "commit", c->commit }, { "va", c->va }, { "maps", c->maps }, { "processes", c->processes }, { "threads", c->threads },
		{ "restarts", tenant->restarts }, { "losses", tenant->losses },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		json_object_set_new(json, all[i].name, json_integer((json_int_t)all[i].value));
	return json;
}
