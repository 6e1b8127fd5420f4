/*
 * The verbs about tenants of vmsupd: status, stats, start, stop, restart, enable, disable, reload, events. Each is a question
 * and a way to show the answer.
 */
#include "vmsup/cli/verb.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vmsup/base/fd.h"
#include "vmsup/base/log.h"
#include "vmsup/cli/help.h"
#include "vmsup/ctl/daemon.h"
#include "vmsup/ctl/show.h"

#define POLL_NS 50000000
/* What a tenant's stop-time may be, and some. */
#define STOP_PATIENCE_S 3600

struct words {
	const char *names[64];
	size_t nr;
	bool json, follow, help, all;
};

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "-";
}

/* Sizes as people read them. */
static void show_size(const json_t *object, const char *name, int width)
{
	static const char units[] = "BKMGTPE";
	const json_t *value = json_object_get(object, name);
	double size = (double)json_integer_value(value);
	size_t unit = 0;
	char text[32] = "-";

	while (size >= 9999.5 && unit < sizeof(units) - 2) {
		size /= 1024;
		unit++;
	}
	if (json_is_integer(value))
		snprintf(text, sizeof(text), "%.0f%c", size, units[unit]);
	printf("%*s", width, text);
}

static void show_number(const json_t *object, const char *name, int width)
{
	const json_t *value = json_object_get(object, name);

	if (json_is_integer(value))
		printf("%*" JSON_INTEGER_FORMAT, width, json_integer_value(value));
	else
		printf("%*s", width, "-");
}

static void show_left(const char *text, int width)
{
	/* Names and states are of a few plain letters; a failure is not shown in a column. */
	printf("%-*.*s", width, 63, text);
}

static void show_status(const json_t *result)
{
	const json_t *list = json_object_get(result, "tenants");

	printf("%-20s %-9s %8s %10s %8s %8s %9s  %s\n", "TENANT", "STATE", "PID", "COMMIT", "LIMIT", "RESTARTS", "LOST", "LAST");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *t = json_array_get(list, i);
		const char *failure = json_string_value(json_object_get(t, "failure"));

		show_left(text_of(t, "name"), 20);
		putchar(' ');
		show_left(text_of(t, "state"), 9);
		show_number(t, "pid", 9);
		show_size(t, "commit", 11);
		show_size(json_object_get(t, "tree_limits"), "commit", 9);
		show_number(t, "restarts", 9);
		show_number(t, "losses", 10);
		fputs("  ", stdout);
		vms_show_text(stdout, failure ? failure : text_of(t, "status"));
		putchar('\n');
	}
}

static void show_members(const json_t *object, const char *prefix)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, name, value) {
		char inner[128];

		snprintf(inner, sizeof(inner), "%s%s", prefix, name);
		if (json_is_object(value)) {
			snprintf(inner, sizeof(inner), "%s%s.", prefix, name);
			show_members(value, inner);
			continue;
		}
		vms_show_text(stdout, inner);
		fputs(": ", stdout);
		if (json_is_integer(value))
			printf("%" JSON_INTEGER_FORMAT "\n", json_integer_value(value));
		else if (json_is_string(value))
			vms_show_text(stdout, json_string_value(value)), putchar('\n');
		else
			puts(json_is_true(value) ? "yes" : json_is_false(value) ? "no" : "-");
	}
}

static void show_stats(const json_t *result)
{
	show_members(result, "");
}

static void show_event(const json_t *event)
{
	const double when = json_real_value(json_object_get(event, "time"));
	const time_t seconds = (time_t)when;
	struct tm parts;
	char stamp[32];
	const char *name;
	json_t *value;

	if (!localtime_r(&seconds, &parts) || !strftime(stamp, sizeof(stamp), "%F %T", &parts))
		snprintf(stamp, sizeof(stamp), "-");
	printf("%s.%03d ", stamp, (int)((when - (double)seconds) * 1000));
	vms_show_text(stdout, text_of(event, "tenant"));
	putchar(' ');
	vms_show_text(stdout, text_of(event, "event"));
	json_object_foreach((json_t *)(uintptr_t)event, name, value) {
		if (strcmp(name, "time") == 0 || strcmp(name, "tenant") == 0 || strcmp(name, "event") == 0)
			continue;
		putchar(' ');
		vms_show_text(stdout, name);
		putchar('=');
		if (json_is_integer(value))
			printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
		else
			vms_show_text(stdout, json_is_string(value) ? json_string_value(value) : "-");
	}
	putchar('\n');
}

/* --- words ------------------------------------------------------------------------------------------- */

/* Returns 0, or -EINVAL after a sentence on stderr. */
static int parse(int argc, char **argv, const struct vms_option *options, struct words *ret)
{
	*ret = (struct words){ .nr = 0 };
	for (int i = 1; i < argc; i++) {
		const char *word = argv[i], *name = word + strspn(word, "-");
		const struct vms_option *o = options;

		if (*word != '-') {
			if (ret->nr == sizeof(ret->names) / sizeof(ret->names[0])) {
				vms_log("%s: too many tenants", argv[0]);
				return -EINVAL;
			}
			ret->names[ret->nr++] = word;
			continue;
		}
		if (strcmp(word, "-h") == 0)
			name = "help";
		if (strcmp(word, "-f") == 0)
			name = "follow";
		while (o->name && strcmp(o->name, name) != 0)
			o++;
		if (!o->name) {
			vms_log("%s: unknown option %.100s; see 'vmsup help %s'", argv[0], word, argv[0]);
			return -EINVAL;
		}
		ret->help |= strcmp(name, "help") == 0;
		ret->json |= strcmp(name, "json") == 0;
		ret->follow |= strcmp(name, "follow") == 0;
		ret->all |= strcmp(name, "all") == 0;
	}
	return 0;
}

static int say(const struct vms_err *err)
{
	vms_show_error(err->text);
	return 1;
}

static int finish_output(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	vms_log("cannot write to stdout: %s", strerror(errno));
	return 1;
}

/* --- status, stats, reload ------------------------------------------------------------------------------ */

static int show(int argc, char **argv, const struct vms_verb *verb, bool needs_name, void (*print)(const json_t *result))
{
	struct vms_err err = VMS_ERR_INIT;
	struct words words;
	json_t *result;

	if (parse(argc, argv, verb->options, &words) < 0)
		return VMS_EXIT_USAGE;
	if (words.help)
		return vms_help_verb(verb);
	if (words.nr > 1 || (needs_name && !words.nr)) {
		vms_log(words.nr ? "%s: one tenant at a time, please" : "%s: which tenant? vmsup status lists them", verb->name);
		return VMS_EXIT_USAGE;
	}
	if (vms_daemon_question(verb->name, words.nr ? words.names[0] : NULL, &result, &err) < 0)
		return say(&err);
	if (words.json)
		(void)vms_show_json(stdout, result);
	else
		print(result);
	json_decref(result);
	return finish_output();
}

static int status_run(int argc, char **argv)
{
	return show(argc, argv, &vms_verb_status, false, show_status);
}

static int stats_run(int argc, char **argv)
{
	return show(argc, argv, &vms_verb_stats, true, show_stats);
}

static void show_reload(const json_t *result)
{
	printf("%" JSON_INTEGER_FORMAT " tenants are configured\n", json_integer_value(json_object_get(result, "tenants")));
}

static int reload_run(int argc, char **argv)
{
	struct vms_err err = VMS_ERR_INIT;
	struct words words;
	json_t *result;

	if (parse(argc, argv, vms_verb_reload.options, &words) < 0)
		return VMS_EXIT_USAGE;
	if (words.help || words.nr != 1)
		return show(argc, argv, &vms_verb_reload, false, show_reload);
	/* Its file is read with all others; then what has become of it. */
	if (vms_daemon_question("reload", NULL, &result, &err) < 0)
		return say(&err);
	json_decref(result);
	return show(argc, argv, &vms_verb_status, true, show_status);
}

/* --- start, stop... ------------------------------------------------------------------------------------- */

static const char *state_now(struct vms_daemon_line *line, const char *name, char *state, size_t size, char *failure, size_t failure_size,
			     struct vms_err *err)
{
	json_t *result, *tenant;

	if (vms_daemon_ask(line, json_pack("{s:s, s:s}", "verb", "status", "tenant", name), &result, NULL, err) < 0)
		return NULL;
	tenant = json_array_get(json_object_get(result, "tenants"), 0);
	snprintf(state, size, "%s", text_of(tenant, "state"));
	snprintf(failure, failure_size, "%s", text_of(tenant, "failure"));
	json_decref(result);
	return state;
}

/* Until it has got where it was sent. 0 when it is there. */
static int wait_for(struct vms_daemon_line *line, const char *name, bool stops)
{
	const struct timespec tick = { .tv_nsec = POLL_NS };
	char state[32] = "", failure[512] = "";
	struct vms_err err = VMS_ERR_INIT;
	struct timespec begun, now;

	clock_gettime(CLOCK_MONOTONIC, &begun);
	do {
		if (!state_now(line, name, state, sizeof(state), failure, sizeof(failure), &err))
			return say(&err);
		if (strcmp(state, stops ? "stopped" : "running") == 0)
			return 0;
		if (strcmp(state, "failed") == 0 || strcmp(state, "held") == 0 || (!stops && strcmp(state, "stopped") == 0))
			break;
		/* It has ended at once, and will be tried again. */
		if (!stops && strcmp(state, "waiting") == 0)
			break;
		nanosleep(&tick, NULL);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - begun.tv_sec < STOP_PATIENCE_S);
	/* What ran and ended well is no failure. */
	if (!stops && strcmp(state, "stopped") == 0)
		return 0;
	fprintf(stderr, "vmsup: tenant %s is %s", name, state);
	if (strcmp(failure, "-") != 0) {
		fputs(": ", stderr);
		vms_show_text(stderr, failure);
	}
	fputc('\n', stderr);
	return 1;
}

/* Those that were named, or all. */
struct chosen {
	json_t *all; /* owned; NULL: they were named */
	struct {
		const char *name; /* the command line's, or of @all */
		bool is_refused;
	} *tenants; /* owned */
	size_t nr;
};

/* 0, or a sentence has been said. */
static int choose(struct vms_daemon_line *line, const struct words *words, struct chosen *ret)
{
	struct vms_err err = VMS_ERR_INIT;
	const json_t *list;

	*ret = (struct chosen){ .nr = words->nr };
	if (words->all && vms_daemon_ask(line, json_pack("{s:s}", "verb", "status"), &ret->all, NULL, &err) < 0)
		return say(&err);
	list = json_object_get(ret->all, "tenants");
	if (words->all)
		ret->nr = json_array_size(list);
	ret->tenants = calloc(ret->nr + 1, sizeof(*ret->tenants));
	if (!ret->tenants) {
		json_decref(ret->all);
		vms_log("out of memory");
		return 1;
	}
	for (size_t i = 0; i < ret->nr; i++)
		ret->tenants[i].name = words->all ? text_of(json_array_get(list, i), "name") : words->names[i];
	return 0;
}

/* What has become of them. */
static int print_states(struct vms_daemon_line *line, const struct chosen *chosen)
{
	json_t *all = json_pack("{s:[]}", "tenants"), *list = json_object_get(all, "tenants");

	for (size_t i = 0; i < chosen->nr; i++) {
		struct vms_err err = VMS_ERR_INIT;
		json_t *result;

		if (vms_daemon_ask(line, json_pack("{s:s, s:s}", "verb", "status", "tenant", chosen->tenants[i].name), &result, NULL, &err) < 0)
			continue;
		(void)json_array_extend(list, json_object_get(result, "tenants"));
		json_decref(result);
	}
	(void)vms_show_json(stdout, all);
	json_decref(all);
	return finish_output();
}

/* All are asked before any is waited for: they stop and start at the same time. */
static int act_on(struct vms_daemon_line *line, const struct vms_verb *verb, struct chosen *chosen, bool waits, bool stops)
{
	int status = 0;

	for (size_t i = 0; i < chosen->nr; i++) {
		struct vms_err err = VMS_ERR_INIT;
		json_t *result;

		if (vms_daemon_ask(line, json_pack("{s:s, s:s}", "verb", verb->name, "tenant", chosen->tenants[i].name), &result, NULL, &err) == 0) {
			json_decref(result);
			continue;
		}
		status = say(&err);
		chosen->tenants[i].is_refused = true;
	}
	for (size_t i = 0; waits && i < chosen->nr; i++) {
		if (!chosen->tenants[i].is_refused && wait_for(line, chosen->tenants[i].name, stops))
			status = 1;
	}
	return status;
}

static int act(int argc, char **argv, const struct vms_verb *verb, bool waits, bool stops)
{
	struct vms_daemon_line *line;
	struct vms_err err = VMS_ERR_INIT;
	struct chosen chosen;
	struct words words;
	int status;

	if (parse(argc, argv, verb->options, &words) < 0)
		return VMS_EXIT_USAGE;
	if (words.help)
		return vms_help_verb(verb);
	if (!words.nr == !words.all) {
		vms_log(words.all ? "%s: --all takes no tenant" : "%s: which tenant? vmsup status lists them", verb->name);
		return VMS_EXIT_USAGE;
	}
	if (vms_daemon_connect(&line, &err) < 0)
		return say(&err);
	status = choose(line, &words, &chosen);
	if (status == 0) {
		status = act_on(line, verb, &chosen, waits, stops);
		if (words.json && print_states(line, &chosen))
			status = 1;
		free(chosen.tenants);
		json_decref(chosen.all);
	}
	vms_daemon_hang_up(line);
	return status;
}

static int start_run(int argc, char **argv)
{
	return act(argc, argv, &vms_verb_start, true, false);
}

static int stop_run(int argc, char **argv)
{
	return act(argc, argv, &vms_verb_stop, true, true);
}

static int restart_run(int argc, char **argv)
{
	return act(argc, argv, &vms_verb_restart, true, false);
}

static int enable_run(int argc, char **argv)
{
	return act(argc, argv, &vms_verb_enable, false, false);
}

static int disable_run(int argc, char **argv)
{
	return act(argc, argv, &vms_verb_disable, false, false);
}

/* --- events ---------------------------------------------------------------------------------------- */

static int print_events(struct vms_daemon_line *line, bool json, bool follow)
{
	struct vms_err err = VMS_ERR_INIT;
	json_t *event;

	while (!ferror(stdout)) {
		if (vms_daemon_next(line, &event, &err) < 0)
			return say(&err);
		if (json_is_null(event) && !follow)
			break;
		if (json)
			(void)json_dumpf(event, stdout, JSON_COMPACT | JSON_ENSURE_ASCII), putchar('\n');
		else
			show_event(event);
		json_decref(event);
		if (follow && fflush(stdout) != 0)
			break;
	}
	return finish_output();
}

static int events_run(int argc, char **argv)
{
	struct vms_daemon_line *line;
	struct vms_err err = VMS_ERR_INIT;
	struct words words;
	json_t *result, *ask;
	int status;

	if (parse(argc, argv, vms_verb_events.options, &words) < 0)
		return VMS_EXIT_USAGE;
	if (words.help)
		return vms_help_verb(&vms_verb_events);
	if (words.nr > 1) {
		vms_log("events: one tenant at a time, please");
		return VMS_EXIT_USAGE;
	}
	if (vms_daemon_connect(&line, &err) < 0)
		return say(&err);
	ask = json_pack("{s:s, s:b}", "verb", "events", "follow", words.follow);
	if (words.nr)
		json_object_set_new(ask, "tenant", json_string(words.names[0]));
	if (vms_daemon_ask(line, ask, &result, NULL, &err) < 0) {
		status = say(&err);
	} else {
		json_decref(result);
		status = print_events(line, words.json, words.follow);
	}
	vms_daemon_hang_up(line);
	return status;
}

/* --- the verbs -------------------------------------------------------------------------------------------- */

static const struct vms_option event_options[] = {
	{ .name = "follow" },
	{ .name = "json" },
	{ .name = "help" },
	{ .name = NULL },
};

static const struct vms_option act_options[] = {
	{ .name = "all" },
	{ .name = "json" },
	{ .name = "help" },
	{ .name = NULL },
};

#define EXITS                                                                                     \
	"\n"                                                                                      \
	"vmsupd is asked on /run/vmsup/vmsupd.sock, or on $VMSUP_SOCKET.\n"                       \
	"\n"                                                                                      \
	"Exit status: 0; 1 when vmsupd refuses or it went wrong; 2 for a bad command line.\n"

#define VERB(NAME, SUMMARY, OPTIONS, HELP)                                                        \
	const struct vms_verb vms_verb_##NAME = {                                                 \
		.name = #NAME, .summary = SUMMARY, .help = HELP EXITS, .options = OPTIONS, .run = NAME##_run, \
	}

VERB(status, "list the tenants of vmsupd", vms_verb_json_options,
     "Usage: vmsup status [--json] [TENANT]\n"
     "\n"
     "List the tenants of vmsupd, or show one: its state, its program, the memory that it has\n"
     "committed and may commit, how often it was started again, how often its supervisor died,\n"
     "and how its last run ended.\n"
     "\n"
     "  --json      print one JSON object\n"
     "  -h, --help  print this and exit\n");
VERB(stats, "show the counters of a tenant", vms_verb_json_options,
     "Usage: vmsup stats [--json] TENANT\n"
     "\n"
     "Show what has been counted since the tenant was started: calls of each kind, how they were\n"
     "decided, refusals, limits that were met.\n"
     "\n"
     "  --json      print one JSON object\n"
     "  -h, --help  print this and exit\n");
VERB(start, "start tenants", act_options,
     "Usage: vmsup start [--json] TENANT...|--all\n"
     "\n"
     "Start tenants of vmsupd, and wait until they run.\n"
     "\n"
     "  --all       all tenants\n"
     "  --json      print what has become of them as one JSON object\n"
     "  -h, --help  print this and exit\n");
VERB(stop, "stop tenants", act_options,
     "Usage: vmsup stop [--json] TENANT...|--all\n"
     "\n"
     "Send tenants their stop-signal, after their stop-time SIGKILL, and wait until nothing of\n"
     "them is left.\n"
     "\n"
     "  --all       all tenants\n"
     "  --json      print what has become of them as one JSON object\n"
     "  -h, --help  print this and exit\n");
VERB(restart, "stop tenants and start them again", act_options,
     "Usage: vmsup restart [--json] TENANT...|--all\n"
     "\n"
     "Stop tenants and start them again, with the configuration as it was read last.\n"
     "\n"
     "  --all       all tenants\n"
     "  --json      print what has become of them as one JSON object\n"
     "  -h, --help  print this and exit\n");
VERB(enable, "have tenants started by vmsupd", act_options,
     "Usage: vmsup enable [--json] TENANT...|--all\n"
     "\n"
     "From now on vmsupd starts these tenants by itself (start: auto). They are not started now.\n"
     "\n"
     "  --all       all tenants\n"
     "  --json      print what has become of them as one JSON object\n"
     "  -h, --help  print this and exit\n");
VERB(disable, "have tenants started by hand only", act_options,
     "Usage: vmsup disable [--json] TENANT...|--all\n"
     "\n"
     "From now on these tenants are started by vmsup start only (start: manual). Those that run\n"
     "run on.\n"
     "\n"
     "  --all       all tenants\n"
     "  --json      print what has become of them as one JSON object\n"
     "  -h, --help  print this and exit\n");
VERB(reload, "have vmsupd read its configuration again", vms_verb_json_options,
     "Usage: vmsup reload [--json] [TENANT]\n"
     "\n"
     "Have vmsupd read its configuration again. New tenants are started, those that are gone are\n"
     "stopped; the others take what has changed at their next start. When a file is wrong the\n"
     "old configuration stays, and what is wrong is told. With a TENANT it is shown afterwards.\n"
     "\n"
     "  --json      print one JSON object\n"
     "  -h, --help  print this and exit\n");
VERB(events, "show what has happened to tenants", event_options,
     "Usage: vmsup events [--json] [-f] [TENANT]\n"
     "\n"
     "Show the last events: starts, ends, restarts, supervisors that died and were replaced,\n"
     "calls that met a limit or a rule.\n"
     "\n"
     "  -f, --follow  go on with events as they happen\n"
     "  --json        print one JSON object a line\n"
     "  -h, --help    print this and exit\n");
