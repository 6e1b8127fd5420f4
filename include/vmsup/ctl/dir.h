/*
 * Where control sockets are: one directory a user, one socket a supervisor, named `<pid>.sock`.
 *
 * A directory counts only when it is a real directory (no symbolic link) of the user it is for, and
 * nobody else may write to it. Everything in it is reached through its descriptor, so a name that
 * is swapped afterwards changes nothing.
 */
#ifndef VMSUP_CTL_DIR_H
#define VMSUP_CTL_DIR_H

#include <stddef.h>
#include <sys/types.h>

#include "vmsup/base/err.h"

/**
 * Find or make the directory for sockets of this process. The first that can be had of:
 * $XDG_RUNTIME_DIR/vmsup and /run/user/UID/vmsup, when their parents are ours; /run/vmsup for root;
 * /tmp/vmsup-UID.
 * 0 with a descriptor that the caller closes, or a negative errno with a sentence.
 */
VMS_MUST_CHECK int vms_ctl_dir_own(int *ret_fd, struct vms_err *err);

/** The socket of one supervisor, perhaps a dead one. */
struct vms_ctl_spot {
	int dirfd; /* borrowed from its list */
	uid_t uid; /* the owner of the directory */
	pid_t pid; /* as its name says */
};

/** A list of sockets, and the directories they are in. */
struct vms_ctl_spots {
	struct vms_ctl_spot *spots; /* owned */
	size_t nr_spots;
	int *dirs; /* owned, and so are the descriptors */
	size_t nr_dirs;
};

#define VMS_CTL_SPOTS_INIT                                                                         \
	{                                                                                          \
		.spots = NULL                                                                      \
	}

/** Add the sockets in all directories that a user's supervisors may have chosen. 0 or -ENOMEM. */
VMS_MUST_CHECK int vms_ctl_spots_add_user(struct vms_ctl_spots *list, uid_t uid);
/**
 * Add the sockets of every user that can be found: /run/vmsup, /run/user/N/vmsup, /tmp/vmsup-N, and
 * /run/vmsup-NAME/vmsup of the units vmsup@NAME.service. 0 or -ENOMEM.
 */
VMS_MUST_CHECK int vms_ctl_spots_add_all(struct vms_ctl_spots *list);
void vms_ctl_spots_done(struct vms_ctl_spots *list);

#define VMS_CTL_NAME_MAX 32
/** Remove the socket of supervisor @pid of this user, which has died. */
void vms_ctl_dir_forget(pid_t pid);
/** `<pid>.sock` */
void vms_ctl_dir_name(pid_t pid, char ret_name[VMS_CTL_NAME_MAX]);

#endif
