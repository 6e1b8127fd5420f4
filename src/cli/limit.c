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
#include "vmsup/ctl/show.h"

static const char limit_help[] =
	"Usage: vmsup limit [OPTIONS] PID\n"
	"\n"
	"Show what process PID uses and its limits, and those of its tree; with options, change them\n"
	"first. PID must run under `vmsup run`; only its user and root may ask, and no process may\n"
	"change the limits of the tree that it is in. SIZE is as in `vmsup help run`; none takes a\n"
	"limit away. What PID starts from now on inherits its limits. Nothing that is there is taken\n"
	"away: below what is used, a limit only stops growth.\n"
	"\n"
	"  --max-commit SIZE       memory that may have to be backed\n"
	"  --max-va SIZE           all mappings\n"
	"  --max-heap SIZE         the heap (brk)\n"
	"  --max-maps N            number of mappings\n"
	"  --max-stack SIZE        the stack, by RLIMIT_STACK\n"
	"  --tree-max-commit SIZE  the same of all processes together\n"
	"  --tree-max-va SIZE\n"
	"  --tree-max-maps N\n"
	"  --json                  print one JSON object\n"
	"  -h, --help              print this and exit\n"
	"\n"
	"Exit status: 0; 1 when PID does not run, is not supervised, or the change was refused; 2 for\n"
	"a bad command line.\n";

enum {
	OPT_JSON = 256,
	OPT_MAX,
	OPT_TREE_MAX = OPT_MAX + VMS_NR_LIMITS,
};

static const struct option table[] = {
	{ "max-commit", required_argument, NULL, OPT_MAX + VMS_LIMIT_COMMIT },
	{ "max-va", required_argument, NULL, OPT_MAX + VMS_LIMIT_VA },
	{ "max-heap", required_argument, NULL, OPT_MAX + VMS_LIMIT_HEAP },
	{ "max-maps", required_argument, NULL, OPT_MAX + VMS_LIMIT_MAPS },
	{ "max-stack", required_argument, NULL, OPT_MAX + VMS_LIMIT_STACK },
	{ "tree-max-commit", required_argument, NULL, OPT_TREE_MAX + VMS_LIMIT_COMMIT },
	{ "tree-max-va", required_argument, NULL, OPT_TREE_MAX + VMS_LIMIT_VA },
	{ "tree-max-maps", required_argument, NULL, OPT_TREE_MAX + VMS_LIMIT_MAPS },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int set(struct vms_ask_limits *limits, int limit, const char *name, const char *text)
{
	struct vms_err err = VMS_ERR_INIT;
	int r = vms_limit_parse(name, text, &limits->to.max[limit], &err);

	if (r < 0)
		vms_log("limit: %s", err.text);
	limits->set[limit] = true;
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

/* Returns 0, 1 when help was asked for, or -EINVAL after a sentence on stderr. */
static int parse(int argc, char **argv, struct vms_ask *ask, bool *ret_json)
{
	int c, index, r = 0;

	optind = 0;
	opterr = 0;
	while (r == 0 && (c = getopt_long(argc, argv, ":h", table, &index)) >= 0) {
		if (c == 'h')
			return 1;
		if (c == OPT_JSON) {
			*ret_json = true;
		} else if (c >= OPT_TREE_MAX) {
			r = set(&ask->tree_max, c - OPT_TREE_MAX, table[index].name, optarg);
		} else if (c >= OPT_MAX) {
			r = set(&ask->max, c - OPT_MAX, table[index].name, optarg);
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
		vms_log(optind == argc ? "limit: which process? Usage: vmsup limit [OPTIONS] PID" :
					 "limit: one PID at a time, please");
		return -EINVAL;
	}
	return parse_pid(argv[optind], &ask->pid);
}

static int limit_run(int argc, char **argv)
{
	struct vms_ask ask = { .kind = VMS_ASK_LIMIT };
	struct vms_err err = VMS_ERR_INIT;
	bool json = false;
	json_t *result;
	int r = parse(argc, argv, &ask, &json);

	if (r < 0)
		return VMS_EXIT_USAGE;
	if (r > 0)
		return vms_help_verb(&vms_verb_limit);
	if (vms_ctl_process(&ask, &result, &err) < 0) {
		vms_show_error(err.text);
		return 1;
	}
	if (json)
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
	.run = limit_run,
};
