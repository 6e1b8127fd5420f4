/* `vmsup help [VERB]`, and the general help. The text of each verb is in the verb's own file. */
#include "vmsup/cli/help.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmsup/base/log.h"

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

static int help_run(int argc, char **argv)
{
	const struct vms_verb *verb;

	if (argc < 2)
		return vms_help_general();
	if (argc > 2) {
		vms_log("'%.100s' is one word too many; write: vmsup help [VERB]", argv[2]);
		return VMS_EXIT_USAGE;
	}
	verb = vms_verb_find(argv[1]);
	return verb ? vms_help_verb(verb) : vms_verb_unknown(argv[1]);
}

const struct vms_verb vms_verb_help = {
	.name = "help",
	.summary = "explain a verb and its options",
	.help = "Usage: vmsup help [VERB]\n"
		"\n"
		"List the verbs, or explain one of them.\n",
	.run = help_run,
};
