/* vmsup ps: running supervisors and their processes. */
#include "vmsup/cli/verb.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "vmsup/base/err.h"
#include "vmsup/base/log.h"
#include "vmsup/cli/help.h"
#include "vmsup/ctl/client.h"
#include "vmsup/ctl/show.h"

static const char ps_help[] =
	"Usage: vmsup ps [--json]\n"
	"\n"
	"List the supervisors of this user and the processes in their trees, one line a process; "
	"root\n"
	"sees those of every user. MAPPINGS and VA are those that the supervisor records; - stands "
	"for\n"
	"a process whose map was not needed yet.\n"
	"\n"
	"  --json      print one JSON object instead\n"
	"  -h, --help  print this and exit\n"
	"\n"
	"Exit status: 0; 1 when a supervisor gave no answer; 2 for a bad command line.\n";

/* One line on stderr for every supervisor that gave no right answer. Returns their number. */
static size_t tell_silent(const json_t *ps)
{
	const json_t *silent = json_object_get(ps, "silent");

	for (size_t i = 0; i < json_array_size(silent); i++) {
		const json_t *why = json_object_get(json_array_get(silent, i), "error");

		vms_show_error(json_string_value(why));
	}
	return json_array_size(silent);
}

static int list_all(bool json)
{
	struct vms_err err = VMS_ERR_INIT;
	size_t nr_silent;
	json_t *ps;

	if (vms_ctl_ps(&ps, &err) < 0) {
		vms_log("%s", err.text);
		return 1;
	}
	if (json)
		(void)vms_show_json(stdout, ps);
	else
		vms_show_ps(stdout, ps);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		vms_log("cannot write the list: %s", strerror(errno));
		json_decref(ps);
		return 1;
	}
	nr_silent = tell_silent(ps);
	json_decref(ps);
	return nr_silent ? 1 : 0;
}

static int ps_run(int argc, char **argv)
{
	bool json = false;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return vms_help_verb(&vms_verb_ps);
		if (strcmp(argv[i], "--json") != 0) {
			vms_log("ps: unknown word %s; usage: vmsup ps [--json]", argv[i]);
			return VMS_EXIT_USAGE;
		}
		json = true;
	}
	return list_all(json);
}

const struct vms_verb vms_verb_ps = {
	.name = "ps",
	.summary = "list supervisors and their processes",
	.help = ps_help,
	.options = vms_verb_json_options,
	.run = ps_run,
};
