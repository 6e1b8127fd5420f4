/* The main file of vmsup: finds the verb and calls it. Knows no option but --version and --help. */
#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "vmsup/base/log.h"
#include "vmsup/cli/help.h"
#include "vmsup/cli/verb.h"
#include "vmsup/conf/nearest.h"

const struct vms_verb *const vms_verbs[] = {
	&vms_verb_run, &vms_verb_maps, &vms_verb_ps, &vms_verb_limit, &vms_verb_check,
	&vms_verb_replay, &vms_verb_explain, &vms_verb_status, &vms_verb_stats, &vms_verb_start, &vms_verb_stop,
	&vms_verb_restart, &vms_verb_enable, &vms_verb_disable, &vms_verb_reload, &vms_verb_events, &vms_verb_trace, &vms_verb_top,
	&vms_verb_doctor, &vms_verb_help, NULL,
};
#define VERBS_COUNT (sizeof(vms_verbs) / sizeof(vms_verbs[0]) - 1)

const struct vms_option vms_verb_json_options[] = {
	{ .name = "json" },
	{ .name = "help" },
	{ .name = NULL },
};

const struct vms_verb *vms_verb_find(const char *name)
{
	for (size_t i = 0; i < VERBS_COUNT; i++)
		if (strcmp(vms_verbs[i]->name, name) == 0)
			return vms_verbs[i];
	return NULL;
}

int vms_verb_unknown(const char *name)
{
	const char *names[VERBS_COUNT], *near;

	for (size_t i = 0; i < VERBS_COUNT; i++)
		names[i] = vms_verbs[i]->name;
	near = vms_nearest(name, strlen(name), names, VERBS_COUNT);
	if (near)
		vms_log("unknown verb '%.100s'; did you mean '%s'?", name, near);
	else
		vms_log("unknown verb '%.100s'; 'vmsup help' lists them, and a program is started by "
			"'vmsup run -- PROG'", name);
	return VMS_EXIT_USAGE;
}

static int unknown_option(const char *word)
{
	static const char *const names[] = { "version", "help" };
	const char *name = word + strspn(word, "-");
	const char *near = vms_nearest(name, strlen(name), names, 2);

	if (near)
		vms_log("unknown option '%.100s'; did you mean --%s?", word, near);
	else
		vms_log("unknown option '%.100s'; options follow their verb, as in "
			"'vmsup run --range LO-HI -- PROG'", word);
	return VMS_EXIT_USAGE;
}

static bool asks_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static int print_version(void)
{
	if (printf("vmsup %s\n", PACKAGE_VERSION) >= 0 && fflush(stdout) == 0)
		return 0;
	vms_log("cannot write to stdout: %s", strerror(errno));
	return 1;
}

int main(int argc, char **argv)
{
	const struct vms_verb *verb;

	if (argc < 2) {
		vms_log("no verb given; 'vmsup help' lists them");
		return VMS_EXIT_USAGE;
	}
	if (asks_help(argv[1]))
		return vms_help_general();
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
		return print_version();
	verb = vms_verb_find(argv[1]);
	if (!verb)
		return argv[1][0] == '-' ? unknown_option(argv[1]) : vms_verb_unknown(argv[1]);
	if (argc > 2 && asks_help(argv[2]))
		return vms_help_verb(verb);
	return verb->run(argc - 1, argv + 1);
}
