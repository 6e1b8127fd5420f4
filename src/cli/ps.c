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
#include "vmsup/ctl/daemon.h"
#include "vmsup/ctl/show.h"

static const char ps_help[] =
	"Usage: vmsup ps [--json] [TENANT]\n"
	"\n"
	"List the supervisors of this user and the processes in their trees, one line a process; "
	"root\n"
	"sees those of every user. MAPPINGS and VA are those that the supervisor records; - stands "
	"for\n"
	"a process whose map was not needed yet. With the name of a tenant only its supervisor, as\n"
	"vmsupd tells to whoever may ask about it.\n"
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

static int print(const json_t *ps, bool json)
{
	if (json)
		(void)vms_show_json(stdout, ps);
	else
		vms_show_ps(stdout, ps);
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	vms_log("cannot write the list: %s", strerror(errno));
	return 1;
}

static int list_tenant(const char *name, json_t **ret_ps, struct vms_err *err)
{
	json_t *result;
	int r = vms_daemon_question("ps", name, &result, err);

	if (r < 0)
		return r;
	*ret_ps = json_pack("{s:[o], s:[]}", "supervisors", result, "silent");
	return 0;
}

static int list(const char *tenant, bool json)
{
	struct vms_err err = VMS_ERR_INIT;
	json_t *ps;
	int status;

	if ((tenant ? list_tenant(tenant, &ps, &err) : vms_ctl_ps(&ps, &err)) < 0) {
		vms_show_error(err.text);
		return 1;
	}
	status = print(ps, json);
	if (status == 0 && tell_silent(ps))
		status = 1;
	json_decref(ps);
	return status;
}

static int ps_run(int argc, char **argv)
{
	const char *tenant = NULL;
	bool json = false;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return vms_help_verb(&vms_verb_ps);
		if (strcmp(argv[i], "--json") == 0) {
			json = true;
		} else if (*argv[i] != '-' && !tenant) {
			tenant = argv[i];
		} else {
			vms_log("ps: unknown word %s; usage: vmsup ps [--json] [TENANT]", argv[i]);
			return VMS_EXIT_USAGE;
		}
	}
	return list(tenant, json);
}

const struct vms_verb vms_verb_ps = {
	.name = "ps",
	.summary = "list supervisors and their processes",
	.help = ps_help,
	.options = vms_verb_json_options,
	.run = ps_run,
};
