/* vmsup limit: the limits of a running process and of its tree, shown and changed. */
#include "vmsup/cli/verb.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "vmsup/base/log.h"
#include "vmsup/base/num.h"
#include "vmsup/cli/help.h"
#include "vmsup/conf/limits.h"
#include "vmsup/ctl/client.h"
#include "vmsup/ctl/daemon.h"
#include "vmsup/ctl/show.h"

static const char limit_help[] =
	"Usage: vmsup limit [OPTIONS] PID|TENANT\n"
	"\n"
	"Show what process PID uses and its limits, and those of its tree; with options, change them\n"
	"first. PID must run under `vmsup run`; only its user and root may ask, and no process may\n"
	"change the limits of the tree that it is in. SIZE is as in `vmsup help run`; none takes a\n"
	"limit away. What PID starts from now on inherits its limits. Nothing that is there is taken\n"
	"away: below what is used, a limit only stops growth. A TENANT of vmsupd has limits of its\n"
	"whole tree, set by --max-commit, --max-va and --max-maps; root may change them.\n"
	"\n"
	"  --max-commit SIZE       memory that may have to be backed\n"
	"  --max-va SIZE           all mappings\n"
	"  --max-heap SIZE         the heap (brk)\n"
	"  --max-maps N            number of mappings\n"
	"  --max-stack SIZE        the stack, by RLIMIT_STACK\n"
	"  --tree-max-commit SIZE  the same of all processes together\n"
	"  --tree-max-va SIZE\n"
	"  --tree-max-maps N\n"
	"  --save                  of a tenant: keep what is set, for its next start, too\n"
	"  --json                  print one JSON object\n"
	"  -h, --help              print this and exit\n"
	"\n"
	"Exit status: 0; 1 when PID does not run, is not supervised, or the change was refused; 2 for\n"
	"a bad command line.\n";

/* Those of run that can be changed later. */
static const struct vms_option limit_options[] = {
	{ .name = "max-commit", .kind = VMS_OPTION_VALUE, .limit = VMS_LIMIT_COMMIT, .example = "1G" },
	{ .name = "max-va", .kind = VMS_OPTION_VALUE, .limit = VMS_LIMIT_VA, .example = "1G" },
	{ .name = "max-heap", .kind = VMS_OPTION_VALUE, .limit = VMS_LIMIT_HEAP, .example = "1G" },
	{ .name = "max-maps", .kind = VMS_OPTION_VALUE, .limit = VMS_LIMIT_MAPS, .example = "1000" },
	{ .name = "max-stack", .kind = VMS_OPTION_VALUE, .limit = VMS_LIMIT_STACK, .example = "1G" },
	{ .name = "tree-max-commit", .kind = VMS_OPTION_VALUE, .limit = VMS_LIMIT_COMMIT, .example = "1G" },
	{ .name = "tree-max-va", .kind = VMS_OPTION_VALUE, .limit = VMS_LIMIT_VA, .example = "1G" },
	{ .name = "tree-max-maps", .kind = VMS_OPTION_VALUE, .limit = VMS_LIMIT_MAPS, .example = "1000" },
	{ .name = "save" },
	{ .name = "json" },
	{ .name = "help" },
	{ .name = NULL },
};

static int set(struct vms_ask *ask, const struct vms_option *o, const char *text)
{
	struct vms_ask_limits *limits = strncmp(o->name, "tree-", 5) == 0 ? &ask->tree_max : &ask->max;
	struct vms_err err = VMS_ERR_INIT;
	int r = vms_limit_parse(o->name, text, &limits->to.max[o->limit], &err);

	if (r < 0)
		vms_log("limit: %s", err.text);
	limits->set[o->limit] = true;
	return r;
}

static int parse_pid(const char *word, pid_t *ret_pid)
{
	uint64_t pid;

	if (!*word || word[strspn(word, "0123456789")] || vms_num_parse(word, NULL, &pid) < 0 || pid < 1 || pid > INT_MAX) {
		vms_log("limit: %.100s is not the number of a process", word);
		return -EINVAL;
	}
	*ret_pid = (pid_t)pid;
	return 0;
}

struct asked {
	struct vms_ask ask;
	const char *tenant; /* NULL: a process */
	bool json, save;
};

/* Returns 0, 1 when help was asked for, or -EINVAL after a sentence on stderr. */
static int parse(int argc, char **argv, struct asked *ret)
{
	struct option table[VMS_MAX_OPTIONS + 1];
	int c, r = 0;

	vms_option_getopt(limit_options, table);
	optind = 0;
	opterr = 0;
	while (r == 0 && (c = getopt_long(argc, argv, ":h", table, NULL)) >= 0) {
		const struct vms_option *o = c >= VMS_OPTION_GETOPT ? &limit_options[c - VMS_OPTION_GETOPT] : NULL;

		if (c == 'h' || (o && strcmp(o->name, "help") == 0))
			return 1;
		if (o && strcmp(o->name, "json") == 0) {
			ret->json = true;
		} else if (o && strcmp(o->name, "save") == 0) {
			ret->save = true;
		} else if (o) {
			r = set(&ret->ask, o, optarg);
		} else {
			vms_log(c == ':' ? "limit: option %.100s needs a value; see 'vmsup help limit'" :
					   "limit: unknown option %.100s; see 'vmsup help limit'",
				argv[optind - 1]);
			r = -EINVAL;
		}
	}
	if (r < 0)
		return r;
	if (argc - optind != 1) {
		vms_log(optind == argc ? "limit: which process? Usage: vmsup limit [OPTIONS] PID|TENANT" :
					 "limit: one PID at a time, please");
		return -EINVAL;
	}
	if (vms_daemon_is_name(argv[optind])) {
		ret->tenant = argv[optind];
		return 0;
	}
	if (ret->save) {
		vms_log("limit: --save is for tenants; a process has its limits as long as it lives");
		return -EINVAL;
	}
	return parse_pid(argv[optind], &ret->ask.pid);
}

/* A tenant's limits are those of its tree, however they are called. */
static int ask_tenant(const struct asked *asked, json_t **ret_result, struct vms_err *err)
{
	struct vms_daemon_line *line;
	json_t *max = json_object(), *ask;
	int r;

	for (int i = VMS_LIMIT_VA; i < VMS_NR_LIMITS; i++) {
		const struct vms_ask_limits *from = asked->ask.tree_max.set[i] ? &asked->ask.tree_max : &asked->ask.max;

		if (from->set[i])
			json_object_set_new(max, vms_limit_name((enum vms_limit)i),
					    from->to.max[i] > INT64_MAX ? json_null() : json_integer((json_int_t)from->to.max[i]));
	}
	ask = json_pack("{s:s, s:s, s:o, s:b}", "verb", "limit", "tenant", asked->tenant, "max", max, "save", asked->save);
	r = vms_daemon_connect(&line, err);
	if (r < 0) {
		json_decref(ask);
		return r;
	}
	r = vms_daemon_ask(line, ask, ret_result, NULL, err);
	vms_daemon_hang_up(line);
	return r;
}

static int limit_run(int argc, char **argv)
{
	struct asked asked = { .ask = { .kind = VMS_ASK_LIMIT } };
	struct vms_err err = VMS_ERR_INIT;
	json_t *result;
	int r = parse(argc, argv, &asked);

	if (r < 0)
		return VMS_EXIT_USAGE;
	if (r > 0)
		return vms_help_verb(&vms_verb_limit);
	r = asked.tenant ? ask_tenant(&asked, &result, &err) : vms_ctl_process(&asked.ask, &result, &err);
	if (r < 0) {
		vms_show_error(err.text);
		return 1;
	}
	if (asked.json)
		(void)vms_show_json(stdout, result);
	else
		vms_show_limits(stdout, result);
	json_decref(result);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		vms_log("cannot write the limits: %s", strerror(errno));
		return 1;
	}
	return 0;
}

const struct vms_verb vms_verb_limit = {
	.name = "limit",
	.summary = "show or change the limits of a supervised process and its tree",
	.help = limit_help,
	.options = limit_options,
	.run = limit_run,
};
