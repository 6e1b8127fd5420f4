/*
 * --wx, --exec-from, --no-anon-exec: what may be executable. Which call breaks a rule is core/wx.c; here what follows, and what of an
 * image only the host can see.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>

#include "vmsup/host/file.h"
#include "vmsup/sup/sup.h"

/* Only that the rule would have been broken is told. */
static bool only_logs(const struct vms_sup *sup, enum vms_wx_rule rule)
{
	return sup->options.exec_policy.wx == VMS_WX_LOG &&
	       (rule == VMS_WX_BOTH || rule == VMS_WX_AFTER_WRITE || rule == VMS_WX_ALIAS);
}

/* Once a process and rule; each is in the counters and the trace. */
static void tell(struct vms_sup *sup, struct vms_process *process, const char *what, enum vms_wx_rule rule)
{
	const uint32_t bit = 1u << rule;

	if (process->rules_told & bit)
		return;
	process->rules_told |= bit;
	vms_log_limited(&sup->rule_log, "process %d: %s is %s %s (--%s)", process->pid, what,
			only_logs(sup, rule) ? "allowed, but asks for" : "refused, for it asks for", vms_wx_text(rule),
			vms_wx_option(rule));
}

bool vms_protect_allows(struct vms_sup *sup, struct vms_thread *thread, const struct vms_req *req, const struct vms_facts *facts,
			const struct vms_plan *const *busy, size_t nr_busy, struct vms_plan *plan)
{
	const struct vms_space *space = &thread->process->mm->space;
	enum vms_wx_rule rule;

	if (vms_exec_policy_is_plain(&space->exec_policy) || plan->verdict == VMS_REFUSE || plan->verdict == VMS_REPLY)
		return true;
	rule = vms_wx_check(space, req, facts, busy, nr_busy);
	if (rule == VMS_WX_FINE)
		return true;
	sup->stats.broken[rule]++;
	tell(sup, thread->process, vms_call_get(req->call)->name, rule);
	if (only_logs(sup, rule)) {
		plan->rule = (uint8_t)rule;
		return true;
	}
	*plan = vms_plan_refuse(EACCES);
	plan->rule = (uint8_t)rule;
	return false;
}

bool vms_protect_userfault(struct vms_sup *sup, struct vms_thread *thread, const struct vms_req *req, struct vms_plan *ret_plan)
{
	*ret_plan = vms_plan_pass();
	if (sup->options.exec_policy.wx == VMS_WX_ALLOW)
		return true;
	/* UFFDIO_COPY fills pages that were never writable, the executable ones among them. */
	sup->stats.broken[VMS_WX_ALIAS]++;
	tell(sup, thread->process, "userfaultfd", VMS_WX_ALIAS);
	if (!only_logs(sup, VMS_WX_ALIAS))
		*ret_plan = vms_plan_refuse(req->call == VMS_CALL_USERFAULTFD ? EPERM : EACCES);
	ret_plan->rule = VMS_WX_ALIAS;
	return only_logs(sup, VMS_WX_ALIAS);
}

static bool implies_exec(pid_t pid)
{
	char path[48], text[16] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/personality", pid);
	file = fopen(path, "re");
	if (!file)
		return true;
	if (!fgets(text, sizeof(text), file))
		text[0] = '\0';
	fclose(file);
	return !text[0] || (strtoul(text, NULL, 16) & READ_IMPLIES_EXEC);
}

static int check(struct vms_sup *sup, pid_t pid, struct vms_maps *maps, enum vms_wx_rule *ret_rule)
{
	const struct vms_exec_policy *policy = &sup->options.exec_policy;
	struct vms_vma_list *list = &sup->seen_all;
	bool *trusted, *memory;
	int r = vms_maps_read(maps, &sup->machine.user, list);

	if (r < 0)
		return r;
	trusted = calloc(2 * (list->nr + 1), sizeof(*trusted));
	if (!trusted)
		return -ENOMEM;
	memory = trusted + list->nr + 1;
	for (size_t i = 0; i < list->nr; i++) {
		char name[4096];

		memory[i] = vms_file_is_memory(list->items[i].dev);
		trusted[i] = policy->exec_from && vms_maps_name(maps, list->items[i].range.start, name, sizeof(name)) == 0 &&
			     vms_file_name_is_under(name, list->items[i].dev, list->items[i].ino, sup->options.exec_dirs, sup->options.nr_exec_dirs);
	}
	*ret_rule = vms_wx_check_image(policy, list->items, trusted, memory, list->nr);
	if (*ret_rule == VMS_WX_FINE && policy->wx != VMS_WX_ALLOW && implies_exec(pid))
		*ret_rule = VMS_WX_BOTH;
	free(trusted);
	return 0;
}

int vms_protect_image(struct vms_sup *sup, pid_t pid, struct vms_err *err)
{
	struct vms_maps maps = VMS_MAPS_INIT;
	enum vms_wx_rule rule = VMS_WX_FINE;
	struct vms_process *process;
	int r;

	if (vms_exec_policy_is_plain(&sup->options.exec_policy))
		return 0;
	r = vms_maps_open(pid, &maps);
	if (r == 0)
		r = check(sup, pid, &maps, &rule);
	vms_maps_close(&maps);
	if (r < 0)
		return vms_err_set(err, r, "its mappings cannot be looked at: %s", strerror(-r));
	if (rule == VMS_WX_FINE)
		return 0;
	sup->stats.broken[rule]++;
	if (only_logs(sup, rule)) {
		if (vms_tasks_get_process(&sup->tasks, pid, &process) == 0)
			tell(sup, process, "its image", rule);
		return 0;
	}
	return vms_err_set(err, -EACCES, "its image has %s%s, which --%s forbids", vms_wx_text(rule),
			   rule == VMS_WX_BOTH ? " (an executable stack?)" : "", vms_wx_option(rule));
}
