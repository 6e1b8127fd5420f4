/* vmsup maps: the supervisor's own tree of one process. */
#include "vmsup/cli/verb.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "vmsup/base/err.h"
#include "vmsup/base/log.h"
#include "vmsup/base/num.h"
#include "vmsup/cli/help.h"
#include "vmsup/ctl/client.h"
#include "vmsup/ctl/daemon.h"
#include "vmsup/ctl/show.h"

static const char maps_help[] =
	"Usage: vmsup maps [--json] PID|TENANT\n"
	"\n"
	"Show what the supervisor of process PID records of its address space. PID must run under\n"
	"`vmsup run`; only its user and root may ask. TENANT stands for its program.\n"
	"\n"
	"First come lines `name: value`: range, mode, brk_base, brk, brk_frontier, va, commit, "
	"reserved\n"
	"(the last three in bytes) and mappings; then one line a mapping:\n"
	"  start-end prot shared|private kind flags file\n"
	"Addresses of mappings are hexadecimal without 0x, as in /proc/PID/maps. Kinds: anon, "
	"file, "
	"exe,\n"
	"interp, heap, stack, shm, vdso, fence. Flags are joined by commas; - stands for none.\n"
	"\n"
	"  --json      print one JSON object instead\n"
	"  -h, --help  print this and exit\n"
	"\n"
	"Exit status: 0; 1 when PID does not run or is not supervised; 2 for a bad command line.\n";

/* Returns 0, 1 when help was asked for, or -EINVAL after a sentence on stderr. */
static int parse(int argc, char **argv, bool *ret_json, pid_t *ret_pid, const char **ret_tenant)
{
	const char *word = NULL;
	bool options = true;
	uint64_t pid;

	for (int i = 1; i < argc; i++) {
		if (options && strcmp(argv[i], "--") == 0) {
			options = false;
		} else if (options && strcmp(argv[i], "--json") == 0) {
			*ret_json = true;
		} else if (options &&
			   (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) {
			return 1;
		} else if (options && argv[i][0] == '-') {
			vms_log("maps: unknown option %s; see `vmsup help maps`", argv[i]);
			return -EINVAL;
		} else if (word) {
			vms_log("maps: one PID at a time, please: %s is too many", argv[i]);
			return -EINVAL;
		} else {
			word = argv[i];
		}
	}
	if (!word) {
		vms_log("maps: which process? Usage: vmsup maps [--json] PID|TENANT");
		return -EINVAL;
	}
	if (vms_daemon_is_name(word)) {
		*ret_tenant = word;
		return 0;
	}
	/* No suffixes, no hexadecimal: a pid is decimal digits. */
	if (word[strspn(word, "0123456789")] || vms_num_parse(word, NULL, &pid) < 0 || pid < 1 ||
	    pid > INT_MAX) {
		vms_log("maps: %s is not the number of a process", word);
		return -EINVAL;
	}
	*ret_pid = (pid_t)pid;
	return 0;
}

static int maps_run(int argc, char **argv)
{
	struct vms_err err = VMS_ERR_INIT;
	bool json = false;
	json_t *maps;
	const char *tenant = NULL;
	pid_t pid = 0;
	int r = parse(argc, argv, &json, &pid, &tenant);

	if (r < 0)
		return VMS_EXIT_USAGE;
	if (r > 0)
		return vms_help_verb(&vms_verb_maps);
	if (tenant)
		r = vms_daemon_question("maps", tenant, &maps, &err);
	else
		r = vms_ctl_process(&(struct vms_ask){ .kind = VMS_ASK_MAPS, .pid = pid }, &maps, &err);
	if (r < 0) {
		vms_show_error(err.text);
		return 1;
	}
	if (json)
		(void)vms_show_json(stdout, maps);
	else
		vms_show_maps(stdout, maps);
	json_decref(maps);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		vms_log("cannot write the map: %s", strerror(errno));
		return 1;
	}
	return 0;
}

const struct vms_verb vms_verb_maps = {
	.name = "maps",
	.summary = "show the address space of a supervised process, as its supervisor records it",
	.help = maps_help,
	.options = vms_verb_json_options,
	.run = maps_run,
};
