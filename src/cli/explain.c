/*
 * vmsup explain: what was refused, why, and what to do about it; from a trace or from a supervisor. Both tell a refusal by
 * the same members (vms_report_refusals), and what came from outside is not trusted to be more than JSON.
 */
#include "vmsup/cli/verb.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include <jansson.h>

#include "vmsup/base/log.h"
#include "vmsup/base/num.h"
#include "vmsup/cli/help.h"
#include "vmsup/ctl/client.h"
#include "vmsup/ctl/daemon.h"
#include "vmsup/ctl/show.h"
#include "vmsup/wire/trace.h"

static const char explain_help[] =
	"Usage: vmsup explain [--json] FILE|PID|TENANT\n"
	"\n"
	"Say in plain words what was refused to programs, by which option or rule, and what to change.\n"
	"FILE is a trace of `vmsup run --trace=FILE`; PID a process that runs under `vmsup run` or its\n"
	"supervisor, and then this is about its whole tree, lately (a word of digits is a PID: write\n"
	"./123 for a file). What the kernel itself refuses is not seen.\n"
	"\n"
	"  --json      print one JSON object instead\n"
	"  -h, --help  print this and exit\n"
	"\n"
	"Exit status: 0; 1 when FILE cannot be read, or PID does not run or is not supervised; 2 for a\n"
	"bad command line.\n";

/* ---- why, and what to do ---- */

enum why {
	WHY_INJECTED,
	WHY_LIMIT,
	WHY_TREE_LIMIT,
	WHY_POLICY,
	WHY_OUTSIDE, /* a fixed address that the range does not hold */
	WHY_NO_ROOM,
	WHY_EXEC,
	WHY_CONFINED, /* a call that could leave the range */
	WHY_NATIVE, /* the kernel would have said the same */
};

struct refusal {
	const char *command, *call, *error, *limit, *policy; /* borrowed from the JSON; the last two may be NULL */
	uint64_t args[6];
	uint64_t size; /* bytes it asked for; 0: none */
	bool injected;
	json_int_t count;
};

struct confines {
	bool known;
	struct vms_range range;
	bool fence; /* mode */
};

static bool is_call(const struct refusal *r, const char *names)
{
	const char *at = strstr(names, r->call);

	return at && (at == names || at[-1] == ' ') && (at[strlen(r->call)] == ' ' || !at[strlen(r->call)]);
}

static bool is_outside(const struct refusal *r, const struct confines *c)
{
	const bool moved = is_call(r, "mremap") && r->args[4] && (r->args[3] & MREMAP_FIXED);
	const uint64_t start = moved ? r->args[4] : r->args[0], size = moved ? r->args[2] : r->args[1];

	if (!c->known || !is_call(r, "mmap munmap mprotect mremap shmat pkey_mprotect"))
		return false;
	if (is_call(r, "mmap") && !(r->args[3] & (MAP_FIXED | MAP_FIXED_NOREPLACE)))
		return false;
	if (is_call(r, "shmat"))
		return r->args[1] && (r->args[1] < c->range.start || r->args[1] >= c->range.end);
	return start < c->range.start || start >= c->range.end || size > c->range.end - start;
}

static enum why why_of(const struct refusal *r, const struct confines *c)
{
	if (r->injected)
		return WHY_INJECTED;
	if (r->limit)
		return strncmp(r->limit, "tree-", 5) == 0 ? WHY_TREE_LIMIT : WHY_LIMIT;
	if (r->policy)
		return WHY_POLICY;
	if (is_call(r, "execve execveat"))
		return WHY_EXEC;
	if (is_outside(r, c))
		return WHY_OUTSIDE;
	if (strcmp(r->error, "ENOMEM") == 0 && is_call(r, "mmap mremap brk shmat io_setup map_shadow_stack"))
		return WHY_NO_ROOM;
	if (strcmp(r->error, "EPERM") == 0 || is_call(r, "userfaultfd prctl arch_prctl personality seccomp ioctl"))
		return WHY_CONFINED;
	return WHY_NATIVE;
}

static void size_text(uint64_t size, char *buf, size_t len)
{
	static const char units[] = "KMGT";
	double value = (double)size / 1024;
	int unit = 0;

	while (value >= 1024 && unit < 3) {
		value /= 1024;
		unit++;
	}
	snprintf(buf, len, value < 10 && value != (double)(int)value ? "%.1f%c" : "%.0f%c", value, units[unit]);
}

static void reason_text(const struct refusal *r, enum why why, const struct confines *c, char *buf, size_t len)
{
	char range[64] = "the address space";

	if (c->known)
		snprintf(range, sizeof(range), "the range 0x%" PRIx64 "-0x%" PRIx64, c->range.start, c->range.end);
	switch (why) {
	case WHY_INJECTED:
		snprintf(buf, len, "--inject made it fail");
		break;
	case WHY_LIMIT:
		snprintf(buf, len, "the process would have passed --%.40s", r->limit);
		break;
	case WHY_TREE_LIMIT:
		snprintf(buf, len, "all processes together would have passed --%.40s", r->limit);
		break;
	case WHY_POLICY:
		snprintf(buf, len, "it breaks the rule of --%.40s", r->policy);
		break;
	case WHY_OUTSIDE:
		snprintf(buf, len, "it names an address outside %s, the last one 0x%" PRIx64, range,
			 is_call(r, "shmat") ? r->args[1] : r->args[0]);
		break;
	case WHY_NO_ROOM:
		snprintf(buf, len, "%s has no room for it where it may go", range);
		break;
	case WHY_EXEC:
		snprintf(buf, len, "the program cannot run here; vmsup said why on stderr");
		break;
	case WHY_CONFINED:
		snprintf(buf, len, "by such a call a program could leave %s or what keeps it there", range);
		break;
	case WHY_NATIVE:
	default:
		snprintf(buf, len, "its arguments are wrong: the kernel gives the same answer");
		break;
	}
}

/* What somebody who knows would say about this program, or NULL. */
static const char *advice_about_program(const struct refusal *r, enum why why)
{
	static const struct {
		const char *commands; /* comm, or "" */
		enum why why;
		const char *text;
	} table[] = {
		{ "java", WHY_NO_ROOM, "java: -XX:CompressedClassSpaceSize=64m (it wants 1G at once), -XX:ReservedCodeCacheSize=64m and "
				       "-Xmx fit it into a small range; ZGC needs addresses from 4 TiB up, take -XX:+UseSerialGC." },
		{ "java", WHY_LIMIT, "java: -Xmx sets its heap, which is a quarter of the machine's memory unless it is told otherwise; "
				     "-XX:+UseSerialGC needs least beside it." },
		{ "java", WHY_POLICY, "java compiles at run time and cannot run under --wx deny or --no-anon-exec: give it a tenant of its "
				      "own without them." },
		{ "node", WHY_NO_ROOM, "node: V8 reserves its code range, and a cage for WebAssembly memory, before it uses them: a wider "
				       "range costs nothing; --max-old-space-size=MB keeps its heap small." },
		{ "node", WHY_LIMIT, "node: --max-old-space-size=MB keeps its heap below the limit; reservations do not count for "
				     "--max-commit, but do for --max-va." },
		{ "node", WHY_POLICY, "node: --jitless runs JavaScript without compiling it, so that it needs no such memory." },
		{ "luajit", WHY_POLICY, "luajit: -joff turns its compiler off." },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].why == (why == WHY_TREE_LIMIT ? WHY_LIMIT : why) && strcmp(r->command, table[i].commands) == 0)
			return table[i].text;
	}
	return NULL;
}

#define GO_ARENA UINT64_C(0xc000000000)
#define TERABYTE (UINT64_C(1) << 40)

/* The same, when its requests give it away. */
static const char *advice_about_shape(const struct refusal *r, enum why why)
{
	if (!is_call(r, "mmap"))
		return NULL;
	if (r->args[0] >= GO_ARENA && r->args[0] < 2 * GO_ARENA && !(r->args[0] & 0x3fffff))
		return "This is how a Go program asks for its heap: GOMEMLIMIT=SIZE in its environment keeps it below a limit, and "
		       "its reservations cost nothing but --max-va.";
	if (r->size >= TERABYTE)
		return why == WHY_LIMIT || why == WHY_TREE_LIMIT ?
			       "Shadow memory of a sanitizer is reserved, not used: set --max-commit, not --max-va." :
			       "This is how a sanitizer (ASan, MSan, TSan) asks for its shadow, at one place in all 47 bits: --avoid asan or "
			       "msan opens it, in a range below 2 GiB, too; TSan needs --avoid tsan and --va-bits 47.";
	return NULL;
}

static void change_text(const struct refusal *r, enum why why, const struct confines *c, char *buf, size_t len)
{
	switch (why) {
	case WHY_INJECTED:
		snprintf(buf, len, "This is what was asked for; without --inject it does not happen.");
		break;
	case WHY_LIMIT:
	case WHY_TREE_LIMIT:
		snprintf(buf, len, "Raise it (vmsup limit PID --%.40s SIZE while the program runs), or let the program ask for less.",
			 r->limit);
		break;
	case WHY_POLICY:
		snprintf(buf, len, strcmp(r->policy, "exec-from") == 0 ?
					   "Add the directory of the file by --exec-from DIR, if what is in it can be trusted." :
					   "Allow it if the program is a just-in-time compiler; --wx log shows what it asks for without "
					   "refusing.");
		break;
	case WHY_OUTSIDE:
		snprintf(buf, len, "Choose a --range that holds this address; a program that only hints at one is placed elsewhere.");
		break;
	case WHY_NO_ROOM:
		snprintf(buf, len, c->known ? "Choose a wider --range, or let the program ask for less; vmsup maps PID shows what fills it." :
					      "Let the program ask for less; vmsup maps PID shows what fills it.");
		break;
	case WHY_EXEC:
		snprintf(buf, len, "vmsup doctor says what this machine can run; README, Limits, what a range cannot hold.");
		break;
	case WHY_CONFINED:
		snprintf(buf, len, "vmsup-semantics(7) says of %.40s what is allowed; without --range all is.", r->call);
		break;
	case WHY_NATIVE:
	default:
		snprintf(buf, len, "Nothing is to be changed: most programs expect it.");
		break;
	}
}

/* ---- refusals from JSON ---- */

static const char *text_of(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static uint64_t size_asked(const struct refusal *r)
{
	return is_call(r, "mmap munmap mprotect pkey_mprotect map_shadow_stack") ? r->args[1] : is_call(r, "mremap") ? r->args[2] : 0;
}

static bool get_refusal(const json_t *object, struct refusal *ret)
{
	struct refusal r = { .command = text_of(object, "command"), .call = text_of(object, "call"),
			     .error = text_of(object, "errno"), .limit = text_of(object, "limit"),
			     .policy = text_of(object, "policy"), .injected = json_is_true(json_object_get(object, "injected")),
			     .count = json_integer_value(json_object_get(object, "count")) };
	const json_t *args = json_object_get(object, "args"), *arg;
	size_t i;

	if (!r.call || !*r.call)
		return false;
	json_array_foreach(args, i, arg) {
		if (i < 6 && vms_trace_get_hex(arg, &r.args[i]) < 0)
			return false;
	}
	if (!r.command)
		r.command = "a program";
	if (!r.error)
		r.error = "ENOMEM"; /* of brk, which says so by the break that stays */
	r.size = size_asked(&r);
	*ret = r;
	return true;
}

/* ---- the two sources: {"range": ..., "mode": ..., "refusals": [...]} ---- */

/* The same refusal counts once more, with the arguments of the last time. */
static void merge(json_t *list, json_t *line)
{
	static const char *const names[] = { "pid", "command", "call", "errno", "limit", "policy", "injected" };
	json_t *other;
	size_t i, k;

	json_array_foreach(list, i, other) {
		for (k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
			const json_t *a = json_object_get(line, names[k]), *b = json_object_get(other, names[k]);

			if (a != b && !(a && b && json_equal(a, b)))
				break;
		}
		if (k == sizeof(names) / sizeof(names[0])) {
			json_object_set_new(other, "count",
					    json_integer(json_integer_value(json_object_get(other, "count")) + 1));
			json_object_set(other, "args", json_object_get(line, "args"));
			return;
		}
	}
	json_object_set_new(line, "count", json_integer(1));
	json_array_append(list, line);
}

static bool is_refusal(const json_t *line)
{
	/* Only what is refused, a brk included, names the program. */
	return json_object_get(line, "call") && json_object_get(line, "command");
}

static int read_trace(const char *name, json_t *result)
{
	FILE *file = fopen(name, "re");
	json_t *list = json_object_get(result, "refusals");
	unsigned long number = 0;
	char *text = NULL;
	size_t size = 0;
	ssize_t n;
	int r = 0;

	if (!file) {
		vms_log("explain: cannot read %s: %s", name, strerror(errno));
		return -errno;
	}
	errno = 0;
	while (r == 0 && (n = getline(&text, &size, file)) > 0) {
		json_t *line = json_loadb(text, (size_t)n, 0, NULL);

		number++;
		if (!json_is_object(line)) {
			vms_log("explain: %s, line %lu: this is no line of a trace", name, number);
			r = -EBADMSG;
		} else if (is_refusal(line)) {
			merge(list, line);
		} else if (text_of(line, "event") && strcmp(text_of(line, "event"), "space") == 0 &&
			   json_is_true(json_object_get(line, "confined"))) {
			const json_t *range = json_object_get(line, "range");

			json_object_set_new(result, "range", json_pack("{s:O?, s:O?}", "start", json_array_get(range, 0), "end",
								       json_array_get(range, 1)));
		}
		json_decref(line);
	}
	if (r == 0 && ferror(file)) {
		vms_log("explain: cannot read %s: %s", name, strerror(errno ? errno : EIO));
		r = -EIO;
	}
	free(text);
	fclose(file);
	return r;
}

static int ask_supervisor(const char *word, json_t **ret_result)
{
	struct vms_ask ask = { .kind = VMS_ASK_EXPLAIN };
	struct vms_err err = VMS_ERR_INIT;
	uint64_t pid;
	int r;

	if (vms_num_parse(word, NULL, &pid) < 0 || pid < 1 || pid > INT_MAX) {
		vms_log("explain: %.100s is not the number of a process", word);
		return -EINVAL;
	}
	ask.pid = (pid_t)pid;
	r = vms_ctl_process(&ask, ret_result, &err);
	if (r < 0)
		vms_show_error(err.text);
	return r == -EINVAL ? -EIO : r;
}

/* ---- output ---- */

static void print(const struct refusal *r, const char *reason, const char *change, const char *advice)
{
	char size[32];

	vms_show_text(stdout, r->command);
	printf(": ");
	vms_show_text(stdout, r->call);
	if (r->size) {
		size_text(r->size, size, sizeof(size));
		printf(" of %s", size);
	}
	printf(" failed");
	if (r->count > 1)
		printf(" %" JSON_INTEGER_FORMAT " times", r->count);
	printf(" with ");
	vms_show_text(stdout, r->error);
	printf(": ");
	vms_show_text(stdout, reason);
	printf(".\n    ");
	vms_show_text(stdout, change);
	printf("\n");
	if (advice)
		printf("    %s\n", advice);
}

static void explain(json_t *result, bool json)
{
	const json_t *range = json_object_get(result, "range");
	struct confines c = { .fence = text_of(result, "mode") && strcmp(text_of(result, "mode"), "fence") == 0 };
	json_t *list = json_object_get(result, "refusals"), *item;
	size_t i, shown = 0;

	c.known = vms_trace_get_hex(json_object_get(range, "start"), &c.range.start) == 0 &&
		  vms_trace_get_hex(json_object_get(range, "end"), &c.range.end) == 0;
	json_array_foreach(list, i, item) {
		char reason[256], change[256];
		const char *advice;
		struct refusal r;
		enum why why;

		if (!get_refusal(item, &r))
			continue;
		why = why_of(&r, &c);
		reason_text(&r, why, &c, reason, sizeof(reason));
		change_text(&r, why, &c, change, sizeof(change));
		advice = advice_about_program(&r, why);
		if (!advice)
			advice = advice_about_shape(&r, why);
		if (json) {
			json_object_set_new(item, "reason", json_string(reason));
			json_object_set_new(item, "change", json_string(change));
			json_object_set_new(item, "advice", advice ? json_string(advice) : json_null());
		} else {
			print(&r, reason, change, advice);
		}
		shown++;
	}
	if (json)
		(void)vms_show_json(stdout, result);
	else if (!shown)
		printf("Nothing was refused%s.\n",
		       c.fence ? " that vmsup sees: in fence mode the kernel itself answers memory calls; --mode supervise shows them" : "");
}

/* Returns 0, 1 when help was asked for, or -EINVAL after a sentence on stderr. */
static int parse(int argc, char **argv, bool *ret_json, const char **ret_word)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			*ret_json = true;
		} else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			return 1;
		} else if (argv[i][0] == '-' && argv[i][1]) {
			vms_log("explain: unknown option %.100s; see 'vmsup help explain'", argv[i]);
			return -EINVAL;
		} else if (*ret_word) {
			vms_log("explain: one FILE or PID at a time, please: %.100s is too many", argv[i]);
			return -EINVAL;
		} else {
			*ret_word = argv[i];
		}
	}
	if (!*ret_word) {
		vms_log("explain: which trace or process? Usage: vmsup explain [--json] FILE|PID|TENANT");
		return -EINVAL;
	}
	return 0;
}

/* The name of no file, where vmsupd runs. */
static bool is_tenant(const char *word)
{
	struct vms_daemon_line *line;

	if (!vms_daemon_is_name(word) || access(word, F_OK) == 0 || vms_daemon_connect(&line, NULL) < 0)
		return false;
	vms_daemon_hang_up(line);
	return true;
}

static int explain_run(int argc, char **argv)
{
	const char *word = NULL;
	struct vms_err err = VMS_ERR_INIT;
	bool json = false;
	json_t *result = NULL;
	int r = parse(argc, argv, &json, &word);

	if (r > 0)
		return vms_help_verb(&vms_verb_explain);
	if (r < 0)
		return VMS_EXIT_USAGE;
	if (is_tenant(word)) {
		r = vms_daemon_question("explain", word, &result, &err);
		if (r < 0)
			vms_show_error(err.text);
	} else if (word[strspn(word, "0123456789")]) {
		result = json_pack("{s:n, s:[]}", "range", "refusals");
		r = read_trace(word, result);
	} else {
		r = ask_supervisor(word, &result);
	}
	if (r == 0)
		explain(result, json);
	json_decref(result);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		vms_log("cannot write to stdout: %s", strerror(errno));
		return 1;
	}
	return r == -EINVAL ? VMS_EXIT_USAGE : r < 0 ? 1 : 0;
}

const struct vms_verb vms_verb_explain = {
	.name = "explain",
	.summary = "say what was refused, why, and what to change",
	.help = explain_help,
	.options = vms_verb_json_options,
	.run = explain_run,
};
