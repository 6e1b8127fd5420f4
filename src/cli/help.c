/*
 * `vmsup help [VERB]`, and the general help. The text of each verb is in the verb's own file. --options lists for programs what
 * the text says for people; completion/ and the tests read it.
 */
#include "vmsup/cli/help.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmsup/base/log.h"
#include "vmsup/conf/inject.h"
#include "vmsup/conf/profile.h"

/* A full disk or a closed stdout is told, not passed over. */
static int finish_stdout(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	vms_log("cannot write to stdout: %s", strerror(errno));
	return 1;
}

int vms_help_general(void)
{
	printf("Usage: vmsup VERB [OPTIONS] [ARGUMENTS]\n"
	       "       vmsup --version | --help\n"
	       "\n"
	       "Run unmodified programs inside a range of addresses, and look into them.\n"
	       "\n"
	       "Verbs:\n");
	for (const struct vms_verb *const *v = vms_verbs; *v; v++)
		printf("  %-8s %s\n", (*v)->name, (*v)->summary);
	printf("\n"
	       "'vmsup help VERB' explains a verb and its options.\n");
	return finish_stdout();
}

int vms_help_verb(const struct vms_verb *verb)
{
	fputs(verb->help, stdout);
	return finish_stdout();
}

static void print_profiles(void)
{
	struct vms_profiles profiles;

	vms_profile_list(&profiles);
	for (size_t i = 0; i < profiles.nr; i++)
		printf(" %s", profiles.names[i]);
	vms_profiles_done(&profiles);
}

static void print_calls(void)
{
	printf(" %%memory");
	for (int i = 0; i < VMS_NR_CALLS; i++) {
		if (vms_inject_can_strike((enum vms_call)i))
			printf(" %s", vms_call_get((enum vms_call)i)->name);
	}
}

/* A line: --NAME KIND EXAMPLE [WORD...]. */
static void print_option(const struct vms_option *o)
{
	printf("--%s %s %s", o->name, vms_option_kind_name(o->kind), o->example ? o->example : "-");
	if (o->words && strcmp(o->words, "PROFILE") == 0)
		print_profiles();
	else if (o->words && strcmp(o->words, "CALL") == 0)
		print_calls();
	else if (o->words)
		printf(" %s", o->words);
	putchar('\n');
}

static int list_options(const struct vms_verb *verb)
{
	for (const struct vms_option *o = verb->options; o && o->name; o++)
		print_option(o);
	return finish_stdout();
}

static int list_verbs(void)
{
	for (const struct vms_verb *const *v = vms_verbs; *v; v++)
		printf("%s %s\n", (*v)->name, (*v)->summary);
	return finish_stdout();
}

static int help_run(int argc, char **argv)
{
	const struct vms_verb *verb;
	bool options = argc > 1 && strcmp(argv[1], "--options") == 0;

	if (options) {
		argc--;
		argv++;
	}
	if (argc < 2)
		return options ? list_verbs() : vms_help_general();
	if (argc > 2) {
		vms_log("'%.100s' is one word too many; write: vmsup help [--options] [VERB]", argv[2]);
		return VMS_EXIT_USAGE;
	}
	verb = vms_verb_find(argv[1]);
	if (!verb)
		return vms_verb_unknown(argv[1]);
	return options ? list_options(verb) : vms_help_verb(verb);
}

static const struct vms_option help_options[] = {
	{ .name = "options" },
	{ .name = "help" },
	{ .name = NULL },
};

const struct vms_verb vms_verb_help = {
	.name = "help",
	.summary = "explain a verb and its options",
	.help = "Usage: vmsup help [--options] [VERB]\n"
		"\n"
		"List the verbs, or explain one of them.\n"
		"\n"
		"  --options   list the verbs or the options of VERB for a program, one a line: name, kind\n"
		"              (flag; value; list: may be given again; report: a file, only after '='), an\n"
		"              example and the values there are\n"
		"  -h, --help  print this and exit\n",
	.options = help_options,
	.run = help_run,
};
