/*
 * `vmsupd --supervise`: the supervisor of one tenant, in a process of its own. vmsupd starts it with the descriptors of start.h.
 */
#ifndef VMSUP_DAEMON_SUPERVISE_H
#define VMSUP_DAEMON_SUPERVISE_H

#include <stdbool.h>

/** Run until the tree has ended; @adopt: it is there already, its supervisor has died. Returns an exit status. */
int vms_supervise_main(bool adopt);

#endif
