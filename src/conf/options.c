/*
 * The command line of `vmsup run`. Not its help text (src/cli/run.c), and no check of anything but
 * the text: no file is opened and nothing is asked of the kernel.
 */
#include "vmsup/conf/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "vmsup/base/num.h"
#include "vmsup/conf/inject.h"
#include "vmsup/conf/limits.h"
#include "vmsup/conf/nearest.h"
#include "vmsup/conf/policy.h"

/* From 256 up, so that getopt's optopt tells a long option from an unknown letter. */
enum {
	OPT_RANGE = 256,
	OPT_MODE,
	OPT_PLACE,
	OPT_SEED,
	OPT_NO_ASLR,
	OPT_AUDIT,
	OPT_STATS,
	OPT_TRACE,
	OPT_NO_SIGNAL_GUARD,
	OPT_SIGNAL_GUARD,
	OPT_ON_LIMIT,
	OPT_LAYOUT,
	OPT_VA_BITS,
	OPT_HOLE,
	OPT_AVOID,
	OPT_ALIGN,
	OPT_GUARD_GAP,
	OPT_RESERVE_LOW,
	OPT_INJECT,
	OPT_WX,
	OPT_EXEC_FROM,
	OPT_NO_ANON_EXEC,
	OPT_HELP,
	OPT_MAX, /* plus an enum vms_limit */
	OPT_TREE_MAX = OPT_MAX + VMS_NR_LIMITS,
	OPT_END = OPT_TREE_MAX + VMS_NR_LIMITS,
};

static const struct option table[] = {
	{ "range", required_argument, NULL, OPT_RANGE },
	{ "mode", required_argument, NULL, OPT_MODE },
	{ "place", required_argument, NULL, OPT_PLACE },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "no-aslr", no_argument, NULL, OPT_NO_ASLR },
	{ "audit", no_argument, NULL, OPT_AUDIT },
	{ "stats", optional_argument, NULL, OPT_STATS },
	{ "trace", optional_argument, NULL, OPT_TRACE },
	{ "no-signal-guard", no_argument, NULL, OPT_NO_SIGNAL_GUARD },
	{ "signal-guard", no_argument, NULL, OPT_SIGNAL_GUARD },
	{ "max-commit", required_argument, NULL, OPT_MAX + VMS_LIMIT_COMMIT },
	{ "max-va", required_argument, NULL, OPT_MAX + VMS_LIMIT_VA },
	{ "max-heap", required_argument, NULL, OPT_MAX + VMS_LIMIT_HEAP },
	{ "max-maps", required_argument, NULL, OPT_MAX + VMS_LIMIT_MAPS },
	{ "max-stack", required_argument, NULL, OPT_MAX + VMS_LIMIT_STACK },
	{ "tree-max-commit", required_argument, NULL, OPT_TREE_MAX + VMS_LIMIT_COMMIT },
	{ "tree-max-va", required_argument, NULL, OPT_TREE_MAX + VMS_LIMIT_VA },
	{ "tree-max-maps", required_argument, NULL, OPT_TREE_MAX + VMS_LIMIT_MAPS },
	{ "on-limit", required_argument, NULL, OPT_ON_LIMIT },
	{ "layout", required_argument, NULL, OPT_LAYOUT },
	{ "va-bits", required_argument, NULL, OPT_VA_BITS },
	{ "hole", required_argument, NULL, OPT_HOLE },
	{ "avoid", required_argument, NULL, OPT_AVOID },
	{ "align", required_argument, NULL, OPT_ALIGN },
	{ "guard-gap", required_argument, NULL, OPT_GUARD_GAP },
	{ "reserve-low", required_argument, NULL, OPT_RESERVE_LOW },
	{ "inject", required_argument, NULL, OPT_INJECT },
	{ "wx", required_argument, NULL, OPT_WX },
	{ "exec-from", required_argument, NULL, OPT_EXEC_FROM },
	{ "no-anon-exec", no_argument, NULL, OPT_NO_ANON_EXEC },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};
#define TABLE_COUNT (sizeof(table) / sizeof(table[0]) - 1)

struct parse {
	struct vms_run_options options;
	bool help;
	bool no_aslr;
	bool seeded;
	int guard; /* the option that came last; 0: none */
};

static const char *name_of(int value)
{
	for (size_t i = 0; i < TABLE_COUNT; i++)
		if (table[i].val == value)
			return table[i].name;
	return "?";
}

static bool option_is_count(int value)
{
	return value == OPT_MAX + VMS_LIMIT_MAPS || value == OPT_TREE_MAX + VMS_LIMIT_MAPS;
}

/* What a value looks like, for the sentence that says that one is missing. */
static const char *example_of(int value)
{
	switch (value) {
	case OPT_RANGE:
		return "--range=0x10000-0x7fff0000";
	case OPT_MODE:
		return "--mode=supervise or --mode=fence";
	case OPT_PLACE:
		return "--place=auto or --place=remote";
	case OPT_SEED:
		return "--seed=1";
	case OPT_ON_LIMIT:
		return "--on-limit=enomem, --on-limit=signal:TERM or --on-limit=kill";
	case OPT_LAYOUT:
		return "--layout=top-down, bottom-up, random:SEED or scatter:SEED";
	case OPT_VA_BITS:
		return "--va-bits=31, 32, 36, 39, 47 or 48";
	case OPT_HOLE:
		return "--hole=0x10000-0x110000";
	case OPT_WX:
		return "--wx=allow, --wx=log or --wx=deny";
	case OPT_EXEC_FROM:
		return "--exec-from=/usr";
	case OPT_INJECT:
		return "--inject=mmap:error=ENOMEM:when=7+3";
	case OPT_AVOID:
		return "--avoid=asan, msan or tsan";
	default:
		return option_is_count(value) ? "a number, as 1000" : "a size, as 512M";
	}
}

static int unknown_option(const char *word, struct vms_err *err)
{
	const char *names[TABLE_COUNT];
	const char *name = word + strspn(word, "-"), *near;

	for (size_t i = 0; i < TABLE_COUNT; i++)
		names[i] = table[i].name;
	near = vms_nearest(name, strcspn(name, "="), names, TABLE_COUNT);
	if (near)
		return vms_err_set(err, -EINVAL, "unknown option '%.100s'; did you mean --%s?",
				   word, near);
	return vms_err_set(err, -EINVAL,
			   "unknown option '%.100s'; see 'vmsup help run' for those there are", word);
}

/* An abbreviation would change its meaning with the first new option, so none is taken. */
static bool spelled_out(const char *word, const char *name)
{
	size_t len = strcspn(word, "=");

	return len == strlen(name) + 2 && strncmp(word + 2, name, len - 2) == 0;
}

static int set_range(struct parse *p, const char *text, struct vms_err *err)
{
	int ret = vms_range_parse(text, &p->options.range, err);

	if (ret == 0)
		p->options.has_range = true;
	return ret;
}

static int set_mode(struct parse *p, const char *text, struct vms_err *err)
{
	if (strcmp(text, "supervise") == 0)
		p->options.mode = VMS_MODE_SUPERVISE;
	else if (strcmp(text, "fence") == 0)
		p->options.mode = VMS_MODE_FENCE;
	else
		return vms_err_set(err, -EINVAL,
				   "unknown mode '%.100s'; --mode takes 'supervise' or 'fence'",
				   text);
	return 0;
}

static int set_place(struct parse *p, const char *text, struct vms_err *err)
{
	if (strcmp(text, "auto") == 0)
		p->options.place = VMS_PLACE_AUTO;
	else if (strcmp(text, "remote") == 0)
		p->options.place = VMS_PLACE_REMOTE;
	else
		return vms_err_set(err, -EINVAL,
				   "unknown placement '%.100s'; --place takes 'auto' or 'remote'",
				   text);
	return 0;
}

static int set_seed(struct parse *p, const char *text, struct vms_err *err)
{
	int ret = vms_num_parse(text, NULL, &p->options.seed);

	if (ret == -ERANGE)
		return vms_err_set(err, -EINVAL,
				   "the seed '%.100s' is too big; give a number below 2^64", text);
	if (ret < 0)
		return vms_err_set(err, -EINVAL,
				   "'%.100s' is not a seed; give a number from 0 up, as --seed=42",
				   text);
	p->seeded = true;
	return 0;
}

/* @text is NULL when the option came alone: then it means stderr. */
static int set_file(const char *name, const char *text, bool *ret_on, const char **ret_file,
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

static int set_wx(struct parse *p, const char *text, struct vms_err *err)
{
	enum vms_wx *wx = &p->options.exec_policy.wx;

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

static int add_exec_dir(struct parse *p, const char *text, struct vms_err *err)
{
	struct vms_run_options *o = &p->options;
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

static int take(struct parse *p, int option, const char *text, struct vms_err *err)
{
	struct vms_run_options *o = &p->options;

	switch (option) {
	case OPT_RANGE:
		return set_range(p, text, err);
	case OPT_MODE:
		return set_mode(p, text, err);
	case OPT_PLACE:
		return set_place(p, text, err);
	case OPT_SEED:
		return set_seed(p, text, err);
	case OPT_STATS:
		return set_file("stats", text, &o->stats, &o->stats_file, err);
	case OPT_TRACE:
		return set_file("trace", text, &o->trace, &o->trace_file, err);
	case OPT_NO_ASLR:
		p->no_aslr = true;
		return 0;
	case OPT_AUDIT:
		o->audit = true;
		return 0;
	case OPT_NO_SIGNAL_GUARD:
	case OPT_SIGNAL_GUARD:
		p->guard = option;
		return 0;
	case OPT_ON_LIMIT:
		return vms_on_limit_parse(text, &o->on_limit_signal, err);
	case OPT_LAYOUT:
		return vms_policy_parse_layout(text, &o->policy.layout, &o->layout_seed, &o->has_layout_seed, err);
	case OPT_VA_BITS:
		return vms_policy_parse_bits(text, &o->va_bits, err);
	case OPT_HOLE:
		return vms_policy_parse_hole(text, &o->policy, err);
	case OPT_AVOID:
		return vms_policy_parse_avoid(text, &o->policy, err);
	case OPT_ALIGN:
		return vms_policy_parse_align(text, &o->policy.align, err);
	case OPT_GUARD_GAP:
		return vms_policy_parse_size("guard-gap", text, &o->policy.guard_gap, err);
	case OPT_RESERVE_LOW:
		return vms_policy_parse_size("reserve-low", text, &o->reserve_low, err);
	case OPT_WX:
		return set_wx(p, text, err);
	case OPT_EXEC_FROM:
		return add_exec_dir(p, text, err);
	case OPT_NO_ANON_EXEC:
		o->exec_policy.no_anon_exec = true;
		return 0;
	case OPT_INJECT:
		return vms_inject_parse(text, &o->injections, err);
	case OPT_HELP:
		p->help = true;
		return 0;
	default:
		if (option >= OPT_TREE_MAX)
			return vms_limit_parse(name_of(option), text, &o->tree_limits.max[option - OPT_TREE_MAX], err);
		return vms_limit_parse(name_of(option), text, &o->limits.max[option - OPT_MAX], err);
	}
}

/* getopt's word for what is wrong, made a sentence. @word is the word it stopped at. */
static int refuse(int verdict, int option, const char *word, struct vms_err *err)
{
	if (verdict == ':')
		return vms_err_set(err, -EINVAL, "option --%s needs a value: %s", name_of(option),
				   example_of(option));
	if (option >= OPT_RANGE)
		return vms_err_set(err, -EINVAL,
				   "option --%s takes no value; leave out what follows the '='",
				   name_of(option));
	return unknown_option(word, err);
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
 * With fence only the exec family is decided. --audit, --stats and --trace then tell of the execs,
 * and the signal guard, which costs a posix_spawn more than the rest of that mode, is off unless it is asked for; but --place=remote would be a promise not kept.
 */
static int check_together(struct parse *p, struct vms_err *err)
{
	struct vms_run_options *o = &p->options;

	if (p->seeded && p->no_aslr)
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
	if (!*o->argv)
		return vms_err_set(err, -EINVAL,
				   "no program given; write: vmsup run [OPTIONS] [--] PROG [ARG...]");
	o->signal_guard = p->guard ? p->guard == OPT_SIGNAL_GUARD : o->mode != VMS_MODE_FENCE;
	o->aslr = p->no_aslr ? VMS_ASLR_OFF : p->seeded ? VMS_ASLR_SEED : VMS_ASLR_RANDOM;
	return 0;
}

int vms_options_parse(int argc, char **argv, struct vms_run_options *ret_options,
		      enum vms_options_verdict *ret_verdict, struct vms_err *err)
{
	struct parse p = { .options = { .limits = vms_limits_none, .tree_limits = vms_limits_none } };
	int ret;

	/* 0, not 1: glibc then forgets all about an earlier command line. */
	optind = 0;
	opterr = 0;
	while (!p.help) {
		const char *word = argv[optind > 0 ? optind : argc > 0];
		int index = -1, c = getopt_long(argc, argv, "+:h", table, &index);

		if (c < 0)
			break;
		if (c == '?' || c == ':')
			return refuse(c, optopt, word, err);
		if (index >= 0 && !spelled_out(word, table[index].name))
			return unknown_option(word, err);
		ret = take(&p, c == 'h' ? OPT_HELP : c, optarg, err);
		if (ret < 0)
			return ret;
	}
	if (p.help) {
		*ret_verdict = VMS_OPTIONS_HELP;
		return 0;
	}
	p.options.argv = argv + optind;
	p.options.words = argv + (argc > 0);
	p.options.nr_words = optind - (argc > 0);
	ret = check_together(&p, err);
	if (ret < 0)
		return ret;
	*ret_options = p.options;
	*ret_verdict = VMS_OPTIONS_RUN;
	return 0;
}
