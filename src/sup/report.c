/* What a supervisor tells about itself; see the header. */
#include "vmsup/sup/report.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "vmsup/sup/sup.h"
#include "vmsup/wire/msg.h"

static json_t *range_json(const struct vms_sup *sup)
{
	if (!sup->reloc_conf.fence)
		return json_null();
	return json_pack("{s:o, s:o}", "start", vms_msg_hex(sup->chosen.start), "end", vms_msg_hex(sup->chosen.end));
}

static const char *mode_name(const struct vms_sup *sup)
{
	return sup->options.mode == VMS_MODE_FENCE ? "fence" : "supervise";
}

static json_t *flags_json(const struct vms_vma *vma)
{
	static const struct {
		uint32_t flag;
		const char *name;
	} names[] = {
		{ VMS_VMA_NORESERVE, "noreserve" }, { VMS_VMA_GROWSDOWN, "growsdown" },
		{ VMS_VMA_LOW2G, "low2g" },	    { VMS_VMA_SEALED, "sealed" },
		{ VMS_VMA_HUGETLB, "hugetlb" },
	};
	json_t *array = json_array();

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (vma->flags & names[i].flag)
			json_array_append_new(array, json_string(names[i].name));
	}
	return array;
}

static json_t *vma_json(struct vms_mm *mm, const struct vms_vma *vma)
{
	char name[4096], prot[4] = "---";
	bool named;

	if (vma->prot & VMS_PROT_READ)
		prot[0] = 'r';
	if (vma->prot & VMS_PROT_WRITE)
		prot[1] = 'w';
	if (vma->prot & VMS_PROT_EXEC)
		prot[2] = 'x';
	/* The tree knows a file by device and inode; its name is only asked for here. */
	named = vma->ino && mm && vms_maps_name(&mm->maps, vma->range.start, name, sizeof(name)) == 0 && name[0];
	return json_pack("{s:o, s:o, s:s, s:b, s:s, s:o, s:o, s:I}", "start", vms_msg_hex(vma->range.start), "end",
			 vms_msg_hex(vma->range.end), "prot", prot, "shared", (vma->flags & VMS_VMA_SHARED) != 0, "kind",
			 vms_vma_kind_name(vma->kind), "flags", flags_json(vma), "file",
			 named ? vms_msg_text(name) : json_null(), "offset", (json_int_t)vma->offset);
}

static void append_fence(const struct vms_sup *sup, json_t *maps, vms_addr_t start, vms_addr_t end)
{
	struct vms_vma fence = { .range = { start, end }, .kind = VMS_KIND_FENCE,
				 .flags = VMS_VMA_NORESERVE | (sup->reloc_conf.seal ? VMS_VMA_SEALED : 0) };

	if (sup->reloc_conf.fence && start < end)
		json_array_append_new(maps, vma_json(NULL, &fence));
}

static json_t *maps_json(const struct vms_sup *sup, struct vms_mm *mm)
{
	json_t *maps = json_array();
	const struct vms_vma *vma;

	append_fence(sup, maps, sup->reloc_conf.fence_start, mm->space.range.start);
	for (vma = vms_tree_first(&mm->space.tree); vma; vma = vms_tree_next(vma))
		json_array_append_new(maps, vma_json(mm, vma));
	append_fence(sup, maps, mm->space.range.end, mm->space.user.end);
	return maps;
}

/* The process @pid with its record; made for the occasion when it has made no trapped call yet but is one of ours. */
static int find_process(struct vms_sup *sup, pid_t pid, struct vms_process **ret_process)
{
	*ret_process = vms_tasks_find_process(&sup->tasks, pid);
	if (!*ret_process && (!vms_proc_is_descendant(pid, getpid()) ||
			      vms_tasks_get_process(&sup->tasks, pid, ret_process) < 0))
		return -ESRCH;
	return 0;
}

static json_t *usage_json(const struct vms_usage *usage)
{
	return json_pack("{s:I, s:I, s:I}", "va", (json_int_t)usage->used[VMS_LIMIT_VA], "commit",
			 (json_int_t)usage->used[VMS_LIMIT_COMMIT], "maps", (json_int_t)usage->used[VMS_LIMIT_MAPS]);
}

int vms_report_maps(struct vms_sup *sup, pid_t pid, json_t **ret, struct vms_err *err)
{
	struct vms_process *process;
	struct vms_proc_status status;
	struct vms_usage u;
	struct vms_mm *mm;
	int r = find_process(sup, pid, &process);

	if (r < 0)
		return r;
	/* In fence mode nothing keeps the tree up to date: it is read for the occasion. */
	if (sup->options.mode == VMS_MODE_FENCE) {
		vms_sharers_leave(&sup->tasks, process);
		process->leader_ended = vms_proc_status(pid, &status) == 0 && status.state == 'Z';
	}
	r = vms_tasks_load_mm(&sup->tasks, process);
	if (r == 0)
		r = vms_proc_status(pid, &status);
	if (r < 0)
		return vms_err_set(err, r, "process %d cannot be looked into: %s", pid, strerror(-r));
	mm = process->mm;
	vms_flight_refresh(sup, process);
	vms_usage_of(&mm->space, &u);
	*ret = json_pack("{s:i, s:i, s:o, s:o, s:s, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "pid", (int)pid,
			 "supervisor", (int)getpid(), "command", vms_msg_text(status.comm), "range",
			 range_json(sup), "mode", mode_name(sup), "brk_base", vms_msg_hex(mm->space.brk.base), "brk",
			 vms_msg_hex(mm->space.brk.current), "brk_frontier", vms_msg_hex(mm->space.brk.frontier), "va",
			 (json_int_t)u.used[VMS_LIMIT_VA], "commit", (json_int_t)u.used[VMS_LIMIT_COMMIT], "reserved",
			 (json_int_t)(u.used[VMS_LIMIT_VA] - u.used[VMS_LIMIT_COMMIT]), "mappings",
			 (json_int_t)u.used[VMS_LIMIT_MAPS], "limits", vms_msg_limits(&process->limits), "tree_limits",
			 vms_msg_limits(&sup->tasks.tree_limits), "maps", maps_json(sup, mm));
	return *ret ? 0 : -ENOMEM;
}

struct listing {
	const struct vms_sup *sup;
	json_t *processes;
};

static int list_process(pid_t pid, void *arg)
{
	const struct listing *l = arg;
	struct vms_process *p = vms_tasks_find_process(&l->sup->tasks, pid);
	const struct vms_mm *mm = p ? p->mm : NULL;
	struct vms_usage u = { 0 };
	struct vms_proc_status status;

	if ((p && p->is_listed) || vms_proc_status(pid, &status) < 0)
		return 0;
	if (p)
		p->is_listed = true;
	if (mm)
		vms_usage_of(&mm->space, &u);
	json_array_append_new(
		l->processes,
		json_pack("{s:i, s:i, s:o, s:i, s:o, s:o, s:o, s:o}", "pid", (int)pid, "ppid", (int)status.ppid, "command",
			  vms_msg_text(status.comm), "threads", (int)status.threads, "mappings",
			  mm ? json_integer((json_int_t)u.used[VMS_LIMIT_MAPS]) : json_null(), "va",
			  mm ? json_integer((json_int_t)u.used[VMS_LIMIT_VA]) : json_null(), "commit",
			  mm ? json_integer((json_int_t)u.used[VMS_LIMIT_COMMIT]) : json_null(), "limits",
			  vms_msg_limits(p ? &p->limits : &l->sup->tasks.limits)));
	return 0;
}

int vms_report_ps(struct vms_sup *sup, json_t **ret)
{
	struct listing listing = { sup, json_array() };
	struct vms_process *p;
	json_t *command = json_array();

	for (char **arg = sup->options.argv; *arg; arg++)
		json_array_append_new(command, vms_msg_text(*arg));
	for (p = sup->tasks.processes; p; p = p->hh.next)
		p->is_listed = false;
	vms_ignore(vms_proc_each_descendant(getpid(), list_process, &listing));
	/* What was adopted is not below us. */
	for (p = sup->tasks.processes; sup->is_successor && p; p = p->hh.next)
		vms_ignore(list_process(p->pid, &listing));
	*ret = json_pack("{s:i, s:i, s:s?, s:o, s:s, s:o, s:o, s:o, s:o}", "supervisor", (int)getpid(), "uid", (int)getuid(),
			 "tenant", sup->board ? sup->tenancy.name : NULL, "range", range_json(sup), "mode", mode_name(sup), "command", command,
			 "processes", listing.processes, "tree", usage_json(&sup->tasks.total), "tree_limits",
			 vms_msg_limits(&sup->tasks.tree_limits));
	return *ret ? 0 : -ENOMEM;
}

static bool any_set(const struct vms_ask_limits *limits)
{
	for (int i = 0; i < VMS_NR_LIMITS; i++) {
		if (limits->set[i])
			return true;
	}
	return false;
}

bool vms_report_changes(const struct vms_ask *ask)
{
	return any_set(&ask->max) || any_set(&ask->tree_max);
}

static struct vms_limits changed(const struct vms_limits *from, const struct vms_ask_limits *by)
{
	struct vms_limits to = *from;

	for (int i = 0; i < VMS_NR_LIMITS; i++) {
		if (by->set[i])
			to.max[i] = by->to.max[i];
	}
	return to;
}

bool vms_report_knows(const struct vms_sup *sup, pid_t pid)
{
	return vms_tasks_find_process(&sup->tasks, pid);
}

int vms_report_limit(struct vms_sup *sup, const struct vms_ask *ask, json_t **ret, struct vms_err *err)
{
	struct vms_process *process;
	struct vms_limits limits;
	json_t *used;
	int r = find_process(sup, ask->pid, &process);

	if (r < 0)
		return r;
	if (sup->options.mode == VMS_MODE_FENCE)
		return vms_err_set(err, -EOPNOTSUPP,
				   "process %d runs with --mode fence, where nothing is counted: limits need --mode supervise", ask->pid);
	if (ask->tree_max.set[VMS_LIMIT_HEAP] || ask->tree_max.set[VMS_LIMIT_STACK])
		return vms_err_set(err, -EINVAL, "a tree has no limit of heap or stack: each process has");
	r = vms_tasks_load_mm(&sup->tasks, process);
	if (r < 0)
		return vms_err_set(err, r, "process %d cannot be looked into: %s", ask->pid, strerror(-r));
	limits = changed(&process->limits, &ask->max);
	if (any_set(&ask->max))
		r = vms_budget_set(sup, process, &limits, err);
	if (r < 0)
		return r;
	sup->tasks.tree_limits = changed(&sup->tasks.tree_limits, &ask->tree_max);
	vms_tenancy_keep_limits(sup);
	vms_flight_refresh(sup, process);
	used = usage_json(&process->mm->counted);
	json_object_set_new(used, "heap", json_integer((json_int_t)process->mm->counted.used[VMS_LIMIT_HEAP]));
	*ret = json_pack("{s:i, s:o, s:o, s:o, s:o}", "pid", (int)ask->pid, "used", used, "limits",
			 vms_msg_limits(&process->limits), "tree", usage_json(&sup->tasks.total), "tree_limits",
			 vms_msg_limits(&sup->tasks.tree_limits));
	return *ret ? 0 : -ENOMEM;
}

void vms_report_reason(json_t *object, bool injected, uint8_t rule, uint8_t limit, bool tree_limit)
{
	if (injected)
		json_object_set_new(object, "injected", json_true());
	if (rule)
		json_object_set_new(object, "policy", json_string(vms_wx_option((enum vms_wx_rule)rule)));
	if (limit)
		json_object_set_new(object, "limit",
				    json_sprintf("%smax-%s", tree_limit ? "tree-" : "", vms_limit_name((enum vms_limit)limit)));
}

static json_t *refusal_json(const struct vms_refusal *r)
{
	const struct vms_call_info *info = vms_call_get(r->call);
	const char *name = strerrorname_np(r->error);
	json_t *args = json_array(), *object;

	for (unsigned int i = 0; i < info->nr_args; i++)
		json_array_append_new(args, vms_msg_hex(r->args[i]));
	object = json_pack("{s:i, s:o, s:s, s:o, s:s, s:I}", "pid", (int)r->pid, "command", vms_msg_text(r->command), "call",
			   info->name, "args", args, "errno", name ? name : "EIO", "count", (json_int_t)r->count);
	vms_report_reason(object, r->injected, r->rule, r->limit, r->tree_limit);
	return object;
}

int vms_report_refusals(struct vms_sup *sup, pid_t pid, json_t **ret)
{
	struct vms_process *process;
	json_t *list;

	if (pid != getpid() && find_process(sup, pid, &process) < 0)
		return -ESRCH;
	list = json_array();
	for (size_t i = 0; i < VMS_NR_REFUSALS; i++) {
		if (sup->refusals[i].count)
			json_array_append_new(list, refusal_json(&sup->refusals[i]));
	}
	*ret = json_pack("{s:i, s:o, s:s, s:o}", "supervisor", (int)getpid(), "range", range_json(sup), "mode", mode_name(sup),
			 "refusals", list);
	return *ret ? 0 : -ENOMEM;
}
