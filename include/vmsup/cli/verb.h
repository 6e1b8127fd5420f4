/*
 * The verbs of the command line: one constant table entry each. Not the options of a verb; each
 * verb parses its own.
 */
#ifndef VMSUP_CLI_VERB_H
#define VMSUP_CLI_VERB_H

#include "vmsup/conf/option.h"

/** One verb, as in `vmsup NAME ...`. */
struct vms_verb {
	const char *name;
	const char *summary; /* one line without a full stop, for the list of verbs */
	const char *help; /* what `vmsup help NAME` and `NAME --help` print; ends in a newline */
	const struct vms_option *options; /* ending with one without a name; take is used by run only */
	/* argv[0] is the name of the verb. Returns the exit status of the process. */
	int (*run)(int argc, char **argv);
};

/* Exit statuses. `run` hands on its program's status, so its own failures are 125 and up. */
#define VMS_EXIT_USAGE 2 /* bad command line, for every verb but run */
#define VMS_EXIT_VMSUP 125 /* vmsup itself failed, or run's command line is bad */
#define VMS_EXIT_NOEXEC 126 /* the program was found and cannot be executed */
#define VMS_EXIT_NOTFOUND 127 /* the program was not found */

extern const struct vms_verb vms_verb_run;
extern const struct vms_verb vms_verb_maps;
extern const struct vms_verb vms_verb_ps;
extern const struct vms_verb vms_verb_limit;
extern const struct vms_verb vms_verb_check;
extern const struct vms_verb vms_verb_replay;
extern const struct vms_verb vms_verb_explain;
extern const struct vms_verb vms_verb_status;
extern const struct vms_verb vms_verb_stats;
extern const struct vms_verb vms_verb_start;
extern const struct vms_verb vms_verb_stop;
extern const struct vms_verb vms_verb_restart;
extern const struct vms_verb vms_verb_enable;
extern const struct vms_verb vms_verb_disable;
extern const struct vms_verb vms_verb_reload;
extern const struct vms_verb vms_verb_events;
extern const struct vms_verb vms_verb_trace;
extern const struct vms_verb vms_verb_top;
extern const struct vms_verb vms_verb_doctor;
extern const struct vms_verb vms_verb_help;

/** --json and --help, which is all that many verbs know. */
extern const struct vms_option vms_verb_json_options[];

/** Every verb in the order of the help, then NULL. */
extern const struct vms_verb *const vms_verbs[];

/** The verb of that name, or NULL. */
const struct vms_verb *vms_verb_find(const char *name);
/** Print on stderr that there is no such verb, with the nearest one. Returns VMS_EXIT_USAGE. */
int vms_verb_unknown(const char *name);

#endif
