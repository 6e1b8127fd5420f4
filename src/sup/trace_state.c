/*
 * What a trace holds beside the calls, so that `vmsup replay` can decide them again without a process: the start, every
 * address space when it becomes known, every change of one, and all that each decision depended on. Lines with a member
 * "event"; see vmsup(1), TRACES.
 */
#include "vmsup/sup/sup.h"
#include "vmsup/wire/msg.h"
#include "vmsup/wire/trace.h"

static void write_line(struct vms_sup *sup, json_t *object)
{
	json_dumpf(object, sup->trace, JSON_COMPACT | JSON_PRESERVE_ORDER);
	fputc('\n', sup->trace);
	json_decref(object);
}

void vms_trace_start(struct vms_sup *sup)
{
	json_t *options = json_array();

	for (int i = 0; i < sup->options.nr_words; i++)
		json_array_append_new(options, vms_msg_text(sup->options.words[i]));
	write_line(sup, json_pack("{s:s, s:i, s:o, s:o}", "event", "start", "format", VMS_TRACE_FORMAT, "options", options, "rules",
				  vms_trace_rules(&sup->machine.rules)));
}

void vms_trace_space(struct vms_sup *sup, const struct vms_process *process)
{
	const struct vms_mm *mm = process->mm;
	const struct vms_space *s;

	if (!sup->trace || !mm)
		return;
	s = &mm->space;
	write_line(sup, json_pack("{s:s, s:i, s:I, s:o, s:o, s:i, s:b, s:b, s:b, s:b, s:o, s:o, s:o}", "event", "space", "pid",
				  (int)process->pid, "space", (json_int_t)mm->created, "range", vms_trace_range(&s->range), "user",
				  vms_trace_range(&s->user), "arch", (int)s->arch, "confined", (int)s->confined, "legacy_layout",
				  (int)s->legacy_layout, "read_implies_exec", (int)s->read_implies_exec, "remote_only",
				  (int)s->remote_only, "ceiling", vms_msg_hex(s->ceiling), "brk", vms_trace_brk(&s->brk), "vmas",
				  vms_trace_vmas(&s->tree, &s->user)));
}

void vms_trace_change(struct vms_sup *sup, const struct vms_thread *thread, const struct vms_plan *plan)
{
	const struct vms_mm *mm = thread->process->mm;
	const struct vms_range *ranges[2] = { &plan->range, &plan->from };
	json_t *changes;

	if (!sup->trace)
		return;
	changes = json_array();
	for (int i = 0; i < 2; i++) {
		if (ranges[i]->start < ranges[i]->end)
			json_array_append_new(changes, json_pack("{s:o, s:o}", "range", vms_trace_range(ranges[i]), "vmas",
								 vms_trace_vmas(&mm->space.tree, ranges[i])));
	}
	write_line(sup, json_pack("{s:s, s:i, s:I, s:o, s:o, s:o}", "event", "change", "tid", (int)thread->tid, "space",
				  (json_int_t)mm->created, "ceiling", vms_msg_hex(mm->space.ceiling), "brk",
				  vms_trace_brk(&mm->space.brk), "changes", changes));
}

/* What calls in flight may add, added. */
static json_t *used_json(const struct vms_usage *counted, const struct vms_usage *in_flight)
{
	struct vms_usage used = *counted;

	vms_usage_add(&used, in_flight);
	return vms_trace_usage(&used);
}

void vms_trace_decision(struct vms_sup *sup, const struct vms_thread *thread, const struct vms_trap *trap,
			const struct vms_decided *decided, const struct vms_plan *plan)
{
	const struct vms_process *process = thread->process;
	const struct vms_mm *mm = process->mm;
	json_t *object, *tids, *args;

	if (!sup->trace)
		return;
	tids = json_array();
	args = json_array();
	for (size_t i = 0; i < decided->nr_busy; i++)
		json_array_append_new(tids, json_integer(vms_thread_of_plan(decided->busy[i])->tid));
	for (int i = 0; i < 6; i++)
		json_array_append_new(args, vms_msg_hex(trap->args[i]));
	object = json_pack("{s:s, s:i, s:i, s:I, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:i, s:i, s:o}", "event", "decision", "pid",
			   (int)process->pid, "tid", (int)thread->tid, "space", (json_int_t)mm->created, "arch", (int)trap->arch, "nr",
			   trap->nr, "args", args, "facts", vms_trace_facts(decided->facts), "busy", tids, "random",
			   vms_msg_hex(decided->random), "rejected", vms_msg_hex(decided->rejected), "verdict", (int)plan->verdict,
			   "error", plan->error, "range", vms_trace_range(&plan->range));
	json_object_set_new(object, "used", used_json(&mm->counted, &mm->in_flight_growth));
	json_object_set_new(object, "tree_used", used_json(&sup->tasks.total, &sup->tasks.in_flight_growth));
	json_object_set_new(object, "limits", vms_msg_limits(&process->limits));
	json_object_set_new(object, "tree_limits", vms_msg_limits(&sup->tasks.tree_limits));
	if (plan->injected)
		json_object_set_new(object, "injected", json_true());
	write_line(sup, object);
}
