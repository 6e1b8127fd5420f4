/*
 * The rows of the table, and what each of them does with its value. No check of anything but the text: no file is opened and
 * nothing is asked of the kernel.
 */
#include "vmsup/conf/option.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmsup/base/num.h"
#include "vmsup/conf/inject.h"
#include "vmsup/conf/limits.h"
#include "vmsup/conf/nearest.h"
#include "vmsup/conf/policy.h"

/* What every row's function is given; those that need no row leave it unnamed by this. */
#define TAKE(name) \
	static int name(struct vms_draft *d, const struct vms_option *option __attribute__((unused)), \
			const char *text __attribute__((unused)), struct vms_err *err __attribute__((unused)))

TAKE(take_range)
{
	int ret = vms_range_parse(text, &d->options.range, err);

	if (ret == 0)
		d->options.has_range = true;
	return ret;
}

TAKE(take_mode)
{
	if (strcmp(text, "supervise") == 0)
		d->options.mode = VMS_MODE_SUPERVISE;
	else if (strcmp(text, "fence") == 0)
		d->options.mode = VMS_MODE_FENCE;
	else
		return vms_err_set(err, -EINVAL,
				   "unknown mode '%.100s'; --mode takes 'supervise' or 'fence'",
				   text);
	return 0;
}

TAKE(take_place)
{
	if (strcmp(text, "auto") == 0)
		d->options.place = VMS_PLACE_AUTO;
	else if (strcmp(text, "remote") == 0)
		d->options.place = VMS_PLACE_REMOTE;
	else
		return vms_err_set(err, -EINVAL,
				   "unknown placement '%.100s'; --place takes 'auto' or 'remote'",
				   text);
	return 0;
}

TAKE(take_seed)
{
	int ret = vms_num_parse(text, NULL, &d->options.seed);

	if (ret == -ERANGE)
		return vms_err_set(err, -EINVAL,
				   "the seed '%.100s' is too big; give a number below 2^64", text);
	if (ret < 0)
		return vms_err_set(err, -EINVAL,
				   "'%.100s' is not a seed; give a number from 0 up, as --seed=42",
				   text);
	d->seeded = true;
	return 0;
}

/* @text is NULL when the option came alone: then it means stderr. */
static int set_report(const char *name, const char *text, bool *ret_on, const char **ret_file,
		    struct vms_err *err)
{
	if (text && !*text)
		return vms_err_set(err, -EINVAL,
				   "--%s= names no file; give one, or write --%s alone for stderr",
				   name, name);
	*ret_on = true;
	*ret_file = text;
	return 0;
}

TAKE(take_stats)
{
	return set_report("stats", text, &d->options.stats, &d->options.stats_file, err);
}

TAKE(take_trace)
{
	return set_report("trace", text, &d->options.trace, &d->options.trace_file, err);
}

TAKE(take_no_aslr)
{
	d->no_aslr = true;
	return 0;
}

TAKE(take_audit)
{
	d->options.audit = true;
	return 0;
}

/* --signal-guard and --no-signal-guard. */
TAKE(take_signal_guard)
{
	d->guard = option;
	return 0;
}

TAKE(take_help)
{
	d->help = true;
	return 0;
}

TAKE(take_on_limit)
{
	return vms_on_limit_parse(text, &d->options.on_limit_signal, err);
}

TAKE(take_layout)
{
	struct vms_run_options *o = &d->options;

	return vms_policy_parse_layout(text, &o->policy.layout, &o->layout_seed, &o->has_layout_seed, err);
}

TAKE(take_va_bits)
{
	return vms_policy_parse_bits(text, &d->options.va_bits, err);
}

TAKE(take_hole)
{
	return vms_policy_parse_hole(text, &d->options.policy, err);
}

TAKE(take_avoid)
{
	return vms_policy_parse_avoid(text, &d->options.policy, err);
}

TAKE(take_align)
{
	return vms_policy_parse_align(text, &d->options.policy.align, err);
}

TAKE(take_guard_gap)
{
	return vms_policy_parse_size(option->name, text, &d->options.policy.guard_gap, err);
}

TAKE(take_reserve_low)
{
	return vms_policy_parse_size(option->name, text, &d->options.reserve_low, err);
}

TAKE(take_wx)
{
	enum vms_wx *wx = &d->options.exec_policy.wx;

	if (strcmp(text, "allow") == 0)
		*wx = VMS_WX_ALLOW;
	else if (strcmp(text, "log") == 0)
		*wx = VMS_WX_LOG;
	else if (strcmp(text, "deny") == 0)
		*wx = VMS_WX_DENY;
	else
		return vms_err_set(err, -EINVAL, "--wx: '%.100s' is none of allow, log and deny", text);
	return 0;
}

TAKE(take_exec_from)
{
	struct vms_run_options *o = &d->options;
	char *dir;

	if (text[0] != '/')
		return vms_err_set(err, -EINVAL, "--exec-from: '%.100s' is no absolute name of a directory; give one, as /usr", text);
	if (o->nr_exec_dirs == VMS_MAX_EXEC_DIRS)
		return vms_err_set(err, -EINVAL, "--exec-from can be given %d times at the most", VMS_MAX_EXEC_DIRS);
	if (asprintf(&dir, "%s%s", text, text[strlen(text) - 1] == '/' ? "" : "/") < 0)
		return vms_err_set(err, -ENOMEM, "out of memory");
	o->exec_dirs[o->nr_exec_dirs++] = dir;
	o->exec_policy.exec_from = true;
	return 0;
}

TAKE(take_no_anon_exec)
{
	d->options.exec_policy.no_anon_exec = true;
	return 0;
}

TAKE(take_inject)
{
	return vms_inject_parse(text, &d->options.injections, err);
}

TAKE(take_max)
{
	return vms_limit_parse(option->name, text, &d->options.limits.max[option->limit], err);
}

TAKE(take_tree_max)
{
	return vms_limit_parse(option->name, text, &d->options.tree_limits.max[option->limit], err);
}

/* @ret is one of the names of another source of options: it makes no sense to give two. */
static int take_source(const struct vms_option *option, const char *text, const char **ret, struct vms_err *err)
{
	if (*ret)
		return vms_err_set(err, -EINVAL, "--%s can be given once only", option->name);
	if (!*text)
		return vms_err_set(err, -EINVAL, "--%s= names nothing; write for example --%s=%s", option->name, option->name,
				   option->example);
	*ret = text;
	return 0;
}

TAKE(take_config)
{
	return take_source(option, text, &d->config, err);
}

TAKE(take_tenant)
{
	return take_source(option, text, &d->options.tenant, err);
}

TAKE(take_profile)
{
	return take_source(option, text, &d->profile, err);
}

const struct vms_option vms_run_table[] = {
	{ .name = "range", .kind = VMS_OPTION_VALUE, .take = take_range,
	  .example = "64K-0x7fff0000", .topic = "range" },
	{ .name = "mode", .kind = VMS_OPTION_VALUE, .take = take_mode,
	  .example = "fence", .words = "supervise fence" },
	{ .name = "place", .kind = VMS_OPTION_VALUE, .take = take_place,
	  .example = "remote", .words = "auto remote" },
	{ .name = "seed", .kind = VMS_OPTION_VALUE, .take = take_seed, .example = "1", .topic = "aslr" },
	{ .name = "no-aslr", .kind = VMS_OPTION_FLAG, .take = take_no_aslr, .topic = "aslr" },
	{ .name = "audit", .kind = VMS_OPTION_FLAG, .take = take_audit },
	{ .name = "stats", .kind = VMS_OPTION_REPORT, .take = take_stats, .example = "stats.json", .words = "FILE" },
	{ .name = "trace", .kind = VMS_OPTION_REPORT, .take = take_trace, .example = "trace.json", .words = "FILE" },
	{ .name = "no-signal-guard", .kind = VMS_OPTION_FLAG, .take = take_signal_guard, .topic = "guard" },
	{ .name = "signal-guard", .kind = VMS_OPTION_FLAG, .take = take_signal_guard, .topic = "guard" },
	{ .name = "va-bits", .kind = VMS_OPTION_VALUE, .take = take_va_bits,
	  .example = "39", .words = "31 32 36 39 47 48", .topic = "range" },
	{ .name = "layout", .kind = VMS_OPTION_VALUE, .take = take_layout,
	  .example = "scatter:42", .words = "top-down bottom-up random scatter" },
	{ .name = "hole", .kind = VMS_OPTION_LIST, .take = take_hole, .example = "0x10000-0x110000" },
	{ .name = "avoid", .kind = VMS_OPTION_LIST, .take = take_avoid,
	  .example = "asan", .words = "asan msan tsan" },
	{ .name = "align", .kind = VMS_OPTION_VALUE, .take = take_align, .example = "2M" },
	{ .name = "guard-gap", .kind = VMS_OPTION_VALUE, .take = take_guard_gap, .example = "64K" },
	{ .name = "reserve-low", .kind = VMS_OPTION_VALUE, .take = take_reserve_low, .example = "1G" },
	{ .name = "wx", .kind = VMS_OPTION_VALUE, .take = take_wx, .example = "deny", .words = "allow log deny" },
	{ .name = "exec-from", .kind = VMS_OPTION_LIST, .take = take_exec_from, .example = "/usr", .words = "DIRECTORY" },
	{ .name = "no-anon-exec", .kind = VMS_OPTION_FLAG, .take = take_no_anon_exec },
	{ .name = "inject", .kind = VMS_OPTION_LIST, .take = take_inject,
	  .example = "mmap:error=ENOMEM:when=7+3", .words = "CALL" },
	{ .name = "max-commit", .kind = VMS_OPTION_VALUE, .take = take_max,
	  .example = "512M", .limit = VMS_LIMIT_COMMIT },
	{ .name = "max-va", .kind = VMS_OPTION_VALUE, .take = take_max, .example = "512M", .limit = VMS_LIMIT_VA },
	{ .name = "max-heap", .kind = VMS_OPTION_VALUE, .take = take_max,
	  .example = "512M", .limit = VMS_LIMIT_HEAP },
	{ .name = "max-maps", .kind = VMS_OPTION_VALUE, .take = take_max,
	  .example = "1000", .limit = VMS_LIMIT_MAPS },
	{ .name = "max-stack", .kind = VMS_OPTION_VALUE, .take = take_max,
	  .example = "512M", .limit = VMS_LIMIT_STACK },
	{ .name = "tree-max-commit", .kind = VMS_OPTION_VALUE, .take = take_tree_max,
	  .example = "2G", .limit = VMS_LIMIT_COMMIT },
	{ .name = "tree-max-va", .kind = VMS_OPTION_VALUE, .take = take_tree_max,
	  .example = "2G", .limit = VMS_LIMIT_VA },
	{ .name = "tree-max-maps", .kind = VMS_OPTION_VALUE, .take = take_tree_max,
	  .example = "1000", .limit = VMS_LIMIT_MAPS },
	{ .name = "on-limit", .kind = VMS_OPTION_VALUE, .take = take_on_limit,
	  .example = "signal:TERM", .words = "enomem kill signal:TERM" },
	{ .name = "profile", .kind = VMS_OPTION_VALUE, .take = take_profile,
	  .example = "low2g", .words = "PROFILE" },
	{ .name = "config", .kind = VMS_OPTION_VALUE, .take = take_config,
	  .line_only = true, .example = "vmsup.conf", .words = "FILE" },
	{ .name = "tenant", .kind = VMS_OPTION_VALUE, .take = take_tenant, .line_only = true, .example = "cache" },
	{ .name = "help", .kind = VMS_OPTION_FLAG, .take = take_help, .line_only = true },
	{ .name = NULL },
};
#define NR_ROWS (sizeof(vms_run_table) / sizeof(vms_run_table[0]) - 1)
_Static_assert(NR_ROWS <= VMS_MAX_OPTIONS, "too many options");

const struct vms_option *vms_option_find(const char *name)
{
	for (const struct vms_option *o = vms_run_table; o->name; o++) {
		if (strcmp(o->name, name) == 0)
			return o;
	}
	return NULL;
}

const char *vms_option_nearest(const char *word, size_t len, bool key)
{
	const char *names[NR_ROWS];
	size_t nr = 0;

	for (const struct vms_option *o = vms_run_table; o->name; o++) {
		if (!key || !o->line_only)
			names[nr++] = o->name;
	}
	return vms_nearest(word, len, names, nr);
}

void vms_option_getopt(const struct vms_option *rows, struct option ret_table[VMS_MAX_OPTIONS + 1])
{
	size_t i;

	for (i = 0; rows[i].name && i < VMS_MAX_OPTIONS; i++) {
		ret_table[i] = (struct option){ .name = rows[i].name, .val = VMS_OPTION_GETOPT + (int)i };
		ret_table[i].has_arg = rows[i].kind == VMS_OPTION_FLAG	 ? no_argument :
				       rows[i].kind == VMS_OPTION_REPORT ? optional_argument :
									   required_argument;
	}
	ret_table[i] = (struct option){ .name = NULL };
}

const char *vms_option_kind_name(enum vms_option_kind kind)
{
	static const char *const names[] = { "flag", "value", "list", "report" };

	return names[kind];
}

void vms_options_free_values(struct vms_run_options *options)
{
	vms_injections_done(&options->injections);
	while (options->nr_exec_dirs)
		free(options->exec_dirs[--options->nr_exec_dirs]);
}

void vms_draft_done(struct vms_draft *draft)
{
	vms_options_free_values(&draft->options);
}

static bool injects_memory(const struct vms_injections *injections)
{
	for (size_t i = 0; i < injections->nr; i++) {
		for (int call = 0; call < VMS_CALL_EXECVE; call++) {
			if (injections->rules[i].calls[call])
				return true;
		}
	}
	return false;
}

static bool limits_memory(const struct vms_limits *limits)
{
	struct vms_limits l = *limits;

	l.max[VMS_LIMIT_STACK] = VMS_UNLIMITED;
	return vms_limits_any(&l);
}

/*
 * With fence only the exec family is decided. --audit, --stats and --trace then tell of the execs, and the signal guard,
 * which costs a posix_spawn more than the rest of that mode, is off unless it is asked for; but --place=remote would be a
 * promise not kept.
 */
int vms_draft_check(struct vms_draft *draft, struct vms_err *err)
{
	struct vms_run_options *o = &draft->options;

	if (draft->seeded && draft->no_aslr)
		return vms_err_set(err, -EINVAL,
				   "--seed and --no-aslr exclude each other; give one of them");
	if (o->mode == VMS_MODE_FENCE && o->place == VMS_PLACE_REMOTE)
		return vms_err_set(err, -EINVAL,
				   "--place=remote has no effect with --mode=fence, where the kernel "
				   "places everything; leave out one of them");
	/* The stack is the kernel's to limit, in either mode. */
	if (o->mode == VMS_MODE_FENCE && (limits_memory(&o->limits) || vms_limits_any(&o->tree_limits)))
		return vms_err_set(err, -EINVAL,
				   "limits have no effect with --mode=fence, where memory calls are the "
				   "kernel's (but --max-stack has); leave out one of them");
	if (o->va_bits && o->has_range)
		return vms_err_set(err, -EINVAL, "--va-bits is a short name for a range; give it or --range");
	if (o->mode == VMS_MODE_FENCE && (!vms_policy_is_plain(&o->policy) || o->reserve_low))
		return vms_err_set(err, -EINVAL,
				   "--layout, --hole, --avoid, --align, --guard-gap and --reserve-low have no effect with "
				   "--mode=fence, where the kernel places everything; leave out one of them");
	if (o->mode == VMS_MODE_FENCE && injects_memory(&o->injections))
		return vms_err_set(err, -EINVAL,
				   "--inject of memory calls has no effect with --mode=fence, where they are the kernel's; "
				   "leave out one of them");
	if (o->mode == VMS_MODE_FENCE && !vms_exec_policy_is_plain(&o->exec_policy))
		return vms_err_set(err, -EINVAL,
				   "--wx, --exec-from and --no-anon-exec have no effect with --mode=fence, where memory calls are "
				   "the kernel's; leave out one of them");
	o->signal_guard = draft->guard ? strcmp(draft->guard->name, "signal-guard") == 0 : o->mode != VMS_MODE_FENCE;
	o->aslr = draft->no_aslr ? VMS_ASLR_OFF : draft->seeded ? VMS_ASLR_SEED : VMS_ASLR_RANDOM;
	return 0;
}
