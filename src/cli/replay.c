/*
 * vmsup replay: the decisions of a trace once more, by the core alone, without any process; or what other options would have
 * decided at each point. The state follows the trace: what the kernel did is not guessed.
 */
#include "vmsup/cli/verb.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <uthash.h>

#include "vmsup/base/log.h"
#include "vmsup/cli/help.h"
#include "vmsup/conf/options.h"
#include "vmsup/core/decide.h"
#include "vmsup/core/limit.h"
#include "vmsup/wire/msg.h"
#include "vmsup/wire/trace.h"

#define MAX_SET 64
#define MAX_BUSY 512
#define LOW2G_END ((vms_addr_t)2 << 30)

static const char replay_help[] =
	"Usage: vmsup replay [--set OPTION[=VALUE]]... FILE\n"
	"\n"
	"Decide once more, without any process, what the trace FILE (of `vmsup run --trace=FILE`) tells\n"
	"of, and compare. With --set, show instead what would have been decided with other options of\n"
	"run as well: policies, limits and placement, for example --set max-commit=64M or --set\n"
	"layout=scatter:1. The mappings stay those of the trace.\n"
	"\n"
	"  --set OPTION[=VALUE]  an option of `vmsup run`, without the leading dashes\n"
	"  -h, --help            print this and exit\n"
	"\n"
	"Exit status: 0 when all is decided as it was, or with --set; 1 when something is decided\n"
	"otherwise, or FILE cannot be read; 2 for a bad command line.\n";

struct flight {
	int tid;
	json_int_t space;
	struct vms_plan plan;
	UT_hash_handle hh;
};

struct place {
	json_int_t id;
	struct vms_space space;
	UT_hash_handle hh;
};

/* One set of options, made ready to decide by. */
struct side {
	struct vms_run_options options;
	const struct vms_policy *policy; /* NULL: plain */
	bool own_limits; /* the options' limits count, not those that the trace tells */
};

struct replay {
	const char *name;
	char *const *set;
	int nr_set;
	struct side base, other;
	struct vms_place_rules rules;
	bool started;
	struct place *places;
	struct flight *flights;
	unsigned long line, decisions, different, skipped;
};

static int broken(const struct replay *r, const char *what)
{
	vms_log("replay: %s, line %lu: %s", r->name, r->line, what);
	return -EBADMSG;
}

static struct place *find_place(const struct replay *r, json_int_t id)
{
	struct place *place;

	HASH_FIND(hh, r->places, &id, sizeof(id), place);
	return place;
}

static void land(struct replay *r, int tid)
{
	struct flight *flight;

	HASH_FIND_INT(r->flights, &tid, flight);
	if (!flight)
		return;
	HASH_DEL(r->flights, flight);
	free(flight);
}

static int fly(struct replay *r, int tid, json_int_t space, const struct vms_plan *plan)
{
	struct flight *flight = calloc(1, sizeof(*flight));

	if (!flight)
		return -ENOMEM;
	*flight = (struct flight){ .tid = tid, .space = space, .plan = *plan };
	HASH_ADD_INT(r->flights, tid, flight);
	return 0;
}

/* ---- the start ---- */

static int prepare(struct side *side, int argc, char **argv)
{
	enum vms_options_verdict verdict;
	struct vms_err err = VMS_ERR_INIT;
	int r = vms_options_parse(argc, argv, &side->options, &verdict, &err);

	if (r < 0 || verdict != VMS_OPTIONS_RUN) {
		vms_log("replay: %s", r < 0 ? err.text : "--help is no option to set");
		return -EINVAL;
	}
	if (side->options.reserve_low)
		side->options.policy.low = (struct vms_range){ LOW2G_END - side->options.reserve_low, LOW2G_END };
	side->policy = vms_policy_is_plain(&side->options.policy) ? NULL : &side->options.policy;
	return 0;
}

/* "run", the words of the trace, those of --set, and something for a program. */
static int read_options(struct replay *r, const json_t *words, int nr_set, struct side *side)
{
	const size_t nr = json_array_size(words);
	char **argv = calloc(nr + (size_t)nr_set + 4, sizeof(*argv));
	int argc = 0, result;

	if (!argv)
		return -ENOMEM;
	argv[argc++] = (char *)"run";
	for (size_t i = 0; i < nr; i++) {
		const char *word = json_string_value(json_array_get(words, i));

		/* Where the options ended. */
		if (word && strcmp(word, "--") != 0)
			argv[argc++] = (char *)word;
	}
	for (int i = 0; i < nr_set; i++)
		argv[argc++] = (char *)r->set[i];
	argv[argc++] = (char *)"--";
	argv[argc++] = (char *)"replay";
	result = prepare(side, argc, argv);
	free(argv);
	return result;
}

static int on_start(struct replay *r, const json_t *line)
{
	const json_t *words = json_object_get(line, "options");
	int result;

	if (json_integer_value(json_object_get(line, "format")) != VMS_TRACE_FORMAT)
		return broken(r, "this trace is of another version of vmsup");
	if (vms_trace_get_rules(json_object_get(line, "rules"), &r->rules) < 0 || !json_is_array(words))
		return broken(r, "the start is not as it should be");
	result = read_options(r, words, 0, &r->base);
	if (result == 0)
		result = read_options(r, words, r->nr_set, &r->other);
	r->other.own_limits = true;
	r->started = result == 0;
	return result;
}

/* ---- spaces ---- */

static int fill_space(const struct replay *r, const json_t *line, struct vms_space *space)
{
	struct vms_range range, user;
	vms_addr_t ceiling;
	struct vms_brk brk;

	if (vms_trace_get_range(json_object_get(line, "range"), &range) < 0 ||
	    vms_trace_get_range(json_object_get(line, "user"), &user) < 0 ||
	    vms_trace_get_hex(json_object_get(line, "ceiling"), &ceiling) < 0 ||
	    vms_trace_get_brk(json_object_get(line, "brk"), &brk) < 0)
		return -EBADMSG;
	vms_space_init(space, &range, &user, &r->rules);
	space->brk = brk;
	space->ceiling = ceiling;
	space->arch = json_integer_value(json_object_get(line, "arch")) ? VMS_ARCH_I386 : VMS_ARCH_X86_64;
	space->confined = json_is_true(json_object_get(line, "confined"));
	space->legacy_layout = json_is_true(json_object_get(line, "legacy_layout"));
	space->read_implies_exec = json_is_true(json_object_get(line, "read_implies_exec"));
	space->remote_only = json_is_true(json_object_get(line, "remote_only"));
	return vms_trace_get_vmas(json_object_get(line, "vmas"), &user, &space->tree);
}

static int on_space(struct replay *r, const json_t *line)
{
	const json_int_t id = json_integer_value(json_object_get(line, "space"));
	struct place *place = find_place(r, id);

	if (place) {
		vms_space_done(&place->space);
	} else {
		place = calloc(1, sizeof(*place));
		if (!place)
			return -ENOMEM;
		place->id = id;
		HASH_ADD(hh, r->places, id, sizeof(place->id), place);
	}
	if (fill_space(r, line, &place->space) < 0)
		return broken(r, "the space is not as it should be");
	return 0;
}

static int on_change(struct replay *r, const json_t *line)
{
	struct place *place = find_place(r, json_integer_value(json_object_get(line, "space")));
	const json_t *changes = json_object_get(line, "changes"), *change;
	struct vms_range range;
	size_t i;

	land(r, (int)json_integer_value(json_object_get(line, "tid")));
	if (!place)
		return 0;
	if (vms_trace_get_brk(json_object_get(line, "brk"), &place->space.brk) < 0 ||
	    vms_trace_get_hex(json_object_get(line, "ceiling"), &place->space.ceiling) < 0)
		return broken(r, "the change is not as it should be");
	json_array_foreach(changes, i, change) {
		if (vms_trace_get_range(json_object_get(change, "range"), &range) < 0 ||
		    vms_trace_get_vmas(json_object_get(change, "vmas"), &range, &place->space.tree) < 0)
			return broken(r, "the change is not as it should be");
	}
	return 0;
}

/* ---- decisions ---- */

/* What a decision is made from, as the line tells it. */
struct question {
	struct vms_req req;
	struct vms_facts facts;
	const struct vms_plan *busy[MAX_BUSY];
	size_t nr_busy;
	uint64_t random, rejected;
	struct vms_usage used, tree_used;
	struct vms_limits limits, tree_limits;
};

static void get_limits(const json_t *json, struct vms_limits *ret_limits)
{
	*ret_limits = vms_limits_none;
	for (int i = VMS_LIMIT_VA; i < VMS_NR_LIMITS; i++) {
		const json_t *value = json_object_get(json, vms_limit_name((enum vms_limit)i));

		if (json_is_integer(value))
			ret_limits->max[i] = (uint64_t)json_integer_value(value);
	}
}

static int get_question(const struct replay *r, const json_t *line, struct question *q)
{
	const json_t *args = json_object_get(line, "args"), *busy = json_object_get(line, "busy"), *tid;
	const enum vms_arch arch = json_integer_value(json_object_get(line, "arch")) ? VMS_ARCH_I386 : VMS_ARCH_X86_64;
	uint64_t words[6];
	size_t i;

	for (i = 0; i < 6; i++) {
		if (vms_trace_get_hex(json_array_get(args, i), &words[i]) < 0)
			return -EBADMSG;
	}
	if (vms_req_decode(arch, (int)json_integer_value(json_object_get(line, "nr")), words, &q->req) < 0 ||
	    vms_trace_get_facts(json_object_get(line, "facts"), &q->facts) < 0 ||
	    vms_trace_get_hex(json_object_get(line, "random"), &q->random) < 0 ||
	    vms_trace_get_hex(json_object_get(line, "rejected"), &q->rejected) < 0 ||
	    vms_trace_get_usage(json_object_get(line, "used"), &q->used) < 0 ||
	    vms_trace_get_usage(json_object_get(line, "tree_used"), &q->tree_used) < 0)
		return -EBADMSG;
	get_limits(json_object_get(line, "limits"), &q->limits);
	get_limits(json_object_get(line, "tree_limits"), &q->tree_limits);
	q->nr_busy = 0;
	json_array_foreach(busy, i, tid) {
		const int number = (int)json_integer_value(tid);
		struct flight *flight;

		HASH_FIND_INT(r->flights, &number, flight);
		if (flight && q->nr_busy < MAX_BUSY)
			q->busy[q->nr_busy++] = &flight->plan;
	}
	return 0;
}

static bool is_logged(const struct vms_exec_policy *policy, enum vms_wx_rule rule)
{
	return policy->wx == VMS_WX_LOG && rule != VMS_WX_ANON && rule != VMS_WX_ELSEWHERE;
}

/* As sup/step.c has it: decide, then the rules, then the limits. */
static int decide(const struct side *side, struct vms_space *space, const struct question *q, struct vms_plan *ret_plan)
{
	const struct vms_limits *limits = side->own_limits ? &side->options.limits : &q->limits;
	const struct vms_limits *tree_limits = side->own_limits ? &side->options.tree_limits : &q->tree_limits;
	enum vms_wx_rule rule;
	struct vms_usage growth;
	int r;

	space->policy = side->policy;
	space->exec_policy = side->options.exec_policy;
	space->random = q->random;
	r = vms_decide(space, &q->req, &q->facts, q->busy, q->nr_busy, q->rejected, ret_plan);
	if (r < 0 || q->rejected || ret_plan->verdict == VMS_REFUSE || ret_plan->verdict == VMS_REPLY)
		return r;
	rule = vms_wx_check(space, &q->req, &q->facts, q->busy, q->nr_busy);
	if (rule != VMS_WX_FINE && !is_logged(&side->options.exec_policy, rule)) {
		*ret_plan = vms_plan_refuse(EACCES);
		ret_plan->rule = (uint8_t)rule;
		return 0;
	}
	vms_usage_growth(space, &q->req, &q->facts, ret_plan, &growth);
	ret_plan->limit = (uint8_t)vms_limits_passed(limits, &q->used, &growth);
	if (!ret_plan->limit) {
		ret_plan->limit = (uint8_t)vms_limits_passed(tree_limits, &q->tree_used, &growth);
		ret_plan->tree_limit = ret_plan->limit != VMS_LIMIT_NONE;
	}
	if (ret_plan->limit) {
		const struct vms_plan passed = *ret_plan;

		*ret_plan = vms_limit_refusal(space, &q->req);
		ret_plan->limit = passed.limit;
		ret_plan->tree_limit = passed.tree_limit;
	}
	return 0;
}

static void describe(const struct vms_plan *plan, char *buf, size_t size)
{
	static const char *const verdicts[] = { "refuse", "reply", "continue", "remote" };
	char where[64] = "", why[48] = "";

	if (plan->range.start < plan->range.end)
		snprintf(where, sizeof(where), " 0x%" PRIx64 "-0x%" PRIx64, plan->range.start, plan->range.end);
	if (plan->limit)
		snprintf(why, sizeof(why), " (--%smax-%s)", plan->tree_limit ? "tree-" : "", vms_limit_name(plan->limit));
	else if (plan->rule)
		snprintf(why, sizeof(why), " (--%s)", vms_wx_option((enum vms_wx_rule)plan->rule));
	snprintf(buf, size, "%s%s%s%s%s", verdicts[plan->verdict], plan->verdict == VMS_REFUSE ? " " : "",
		 plan->verdict == VMS_REFUSE ? strerrorname_np(plan->error) : "", where, why);
}

static bool same(const struct vms_plan *a, const struct vms_plan *b)
{
	return a->verdict == b->verdict && a->error == b->error && a->range.start == b->range.start &&
	       a->range.end == b->range.end;
}

static void show(const struct replay *r, const json_t *line, const struct question *q, const struct vms_plan *was,
		 const struct vms_plan *now)
{
	const struct vms_call_info *info = vms_call_get(q->req.call);
	char before[160], after[160];

	describe(was, before, sizeof(before));
	describe(now, after, sizeof(after));
	printf("line %lu: process %" JSON_INTEGER_FORMAT ": %s(", r->line, json_integer_value(json_object_get(line, "pid")),
	       info->name);
	for (unsigned int i = 0; i < info->nr_args; i++)
		printf("%s0x%" PRIx64, i ? ", " : "", q->req.args[i]);
	printf("): %s; %s %s\n", before, r->nr_set ? "with --set" : "now", after);
}

static int on_decision(struct replay *r, const json_t *line)
{
	const int tid = (int)json_integer_value(json_object_get(line, "tid"));
	const json_int_t id = json_integer_value(json_object_get(line, "space"));
	struct place *place = find_place(r, id);
	struct vms_plan was = { .verdict = (enum vms_verdict)json_integer_value(json_object_get(line, "verdict")),
				.error = (int)json_integer_value(json_object_get(line, "error")) };
	struct vms_plan now, other;
	struct question q;

	if (!r->started || !place || (unsigned int)was.verdict > VMS_REMOTE ||
	    vms_trace_get_range(json_object_get(line, "range"), &was.range) < 0 || get_question(r, line, &q) < 0)
		return broken(r, "the decision is not as it should be");
	land(r, tid);
	r->decisions++;
	/* What stands behind a pointer is not in the trace; what was injected, nobody decided. */
	if (q.req.form == VMS_FORM_BLOCK || json_is_true(json_object_get(line, "injected"))) {
		r->skipped++;
		return 0;
	}
	if (decide(&r->base, &place->space, &q, &now) < 0)
		return -ENOMEM;
	if (r->nr_set) {
		if (decide(&r->other, &place->space, &q, &other) < 0)
			return -ENOMEM;
		if (!same(&now, &other)) {
			r->different++;
			show(r, line, &q, &now, &other);
		}
	} else if (!same(&was, &now)) {
		r->different++;
		show(r, line, &q, &was, &now);
	}
	return (now.verdict == VMS_CONTINUE || now.verdict == VMS_REMOTE) && now.effect != VMS_EFFECT_NONE ?
		       fly(r, tid, id, &now) :
		       0;
}

/* ---- the file ---- */

static int on_line(struct replay *r, const char *text, size_t length)
{
	static const struct {
		const char *event;
		int (*fn)(struct replay *r, const json_t *line);
	} events[] = {
		{ "start", on_start }, { "space", on_space }, { "change", on_change }, { "decision", on_decision },
	};
	json_t *line = json_loadb(text, length, 0, NULL);
	const char *event = json_string_value(json_object_get(line, "event"));
	int result = 0;

	r->line++;
	if (!json_is_object(line))
		result = broken(r, "this is no line of a trace");
	for (size_t i = 0; result == 0 && event && i < sizeof(events) / sizeof(events[0]); i++) {
		if (strcmp(events[i].event, event) == 0)
			result = events[i].fn(r, line);
	}
	json_decref(line);
	return result;
}

static int read_file(struct replay *r)
{
	FILE *file = fopen(r->name, "re");
	char *text = NULL;
	size_t size = 0;
	ssize_t n;
	int result = 0;

	if (!file) {
		vms_log("replay: cannot read %s: %s", r->name, strerror(errno));
		return -errno;
	}
	while (result == 0 && (n = getline(&text, &size, file)) > 0)
		result = on_line(r, text, (size_t)n);
	free(text);
	fclose(file);
	if (result == 0 && !r->decisions)
		vms_log("replay: %s holds no decisions: it must come from `vmsup run --trace=FILE`, in supervise mode", r->name);
	return result < 0 ? result : r->decisions ? 0 : -EBADMSG;
}

static void done(struct replay *r)
{
	struct flight *flight, *next_flight;
	struct place *place, *next_place;

	HASH_ITER(hh, r->flights, flight, next_flight)
		land(r, flight->tid);
	HASH_ITER(hh, r->places, place, next_place) {
		HASH_DEL(r->places, place);
		vms_space_done(&place->space);
		free(place);
	}
	vms_options_done(&r->base.options);
	vms_options_done(&r->other.options);
}

static int report(const struct replay *r)
{
	if (r->nr_set)
		printf("%lu decisions, %lu would be others with --set", r->decisions, r->different);
	else
		printf("%lu decisions, %lu the same, %lu others", r->decisions, r->decisions - r->different - r->skipped,
		       r->different);
	printf(r->skipped ? ", %lu not replayed\n" : "\n", r->skipped);
	return r->different && !r->nr_set ? 1 : 0;
}

/* Returns 0, 1 for help, or -EINVAL after a sentence. */
/* What is mapped is the trace's, and so is where. */
static bool is_range(const char *value)
{
	const size_t len = strcspn(value, "=");

	return (len == strlen("range") && strncmp(value, "range", len) == 0) ||
	       (len == strlen("va-bits") && strncmp(value, "va-bits", len) == 0);
}

static int parse(int argc, char **argv, char **set, int *nr_set, const char **ret_file)
{
	for (int i = 1; i < argc; i++) {
		const char *value = strncmp(argv[i], "--set=", 6) == 0 ? argv[i] + 6 : NULL;

		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return 1;
		if (strcmp(argv[i], "--set") == 0)
			value = ++i < argc ? argv[i] : "";
		if (value && is_range(value)) {
			vms_log("replay: the range is the trace's and cannot be set; run the program in another one");
			return -EINVAL;
		}
		if (value) {
			if (!*value || *nr_set == MAX_SET || asprintf(&set[*nr_set], "--%s", value) < 0) {
				vms_log("replay: --set needs an option of run, as --set max-commit=64M");
				return -EINVAL;
			}
			++*nr_set;
		} else if (argv[i][0] == '-' && argv[i][1]) {
			vms_log("replay: unknown option %.100s; see 'vmsup help replay'", argv[i]);
			return -EINVAL;
		} else if (*ret_file) {
			vms_log("replay: one file at a time, please: %.100s is too many", argv[i]);
			return -EINVAL;
		} else {
			*ret_file = argv[i];
		}
	}
	if (!*ret_file) {
		vms_log("replay: which trace? Usage: vmsup replay [--set OPTION]... FILE");
		return -EINVAL;
	}
	return 0;
}

static int replay_run(int argc, char **argv)
{
	struct replay r = { 0 };
	char *set[MAX_SET] = { 0 };
	int result = parse(argc, argv, set, &r.nr_set, &r.name), status;

	r.set = set;
	if (result > 0) {
		status = vms_help_verb(&vms_verb_replay);
	} else if (result < 0) {
		status = VMS_EXIT_USAGE;
	} else {
		result = read_file(&r);
		status = result == -EINVAL ? VMS_EXIT_USAGE : result < 0 ? 1 : report(&r);
	}
	done(&r);
	for (int i = 0; i < r.nr_set; i++)
		free(set[i]);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		vms_log("cannot write to stdout: %s", strerror(errno));
		return 1;
	}
	return status;
}

static const struct vms_option replay_options[] = {
	{ .name = "set", .kind = VMS_OPTION_LIST, .example = "max-commit=64M" },
	{ .name = "help" },
	{ .name = NULL },
};

const struct vms_verb vms_verb_replay = {
	.name = "replay",
	.summary = "decide a trace once more, or as other options would have",
	.help = replay_help,
	.options = replay_options,
	.run = replay_run,
};
