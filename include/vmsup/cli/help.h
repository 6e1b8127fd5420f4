/*
 * Printing what the verbs say about themselves.
 */
#ifndef VMSUP_CLI_HELP_H
#define VMSUP_CLI_HELP_H

#include "vmsup/cli/verb.h"

/** Print the list of verbs, or the help of one, on stdout. Returns an exit status. */
int vms_help_general(void);
int vms_help_verb(const struct vms_verb *verb);

#endif
