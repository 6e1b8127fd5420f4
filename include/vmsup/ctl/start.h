/*
 * What vmsupd starts a supervisor with: all that the run of a tenant is, as JSON in a sealed memfd, so that the supervisor after
 * this one, and the vmsupd after this one, start from the same.
 *
 *   {"name": "web", "options": ["--range=0x10000-0x7fff0000", ...], "argv": ["redis-server", ...], "environment": ["A=b", ...],
 *    "directory": "/", "uid": N, "gid": N, "groups": [N, ...], "cgroup": "/sys/fs/cgroup/.../web" or null,
 *    "link": "/run/vmsup/sup/web.link", "restarts": N}
 *
 * uid, gid and groups are left out for a tenant that runs as vmsupd does.
 */
#ifndef VMSUP_CTL_START_H
#define VMSUP_CTL_START_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <jansson.h>

#include "vmsup/base/err.h"

/* Descriptors that a supervisor is started with. */
#define VMS_START_LINK 3
#define VMS_START_START 4
#define VMS_START_BOARD 5
#define VMS_START_LOCK 6 /* a file that is locked as long as the supervisor lives */
#define VMS_START_LISTENER 7 /* with --adopt only */

#define VMS_START_MAX_SIZE ((size_t)4 << 20) /* bytes */

struct vms_start {
	json_t *json; /* owned: what the strings are borrowed from */
	const char *name, *directory, *cgroup, *link; /* cgroup: may be NULL */
	char **options, **argv, **environment; /* arrays are owned and end with NULL */
	size_t nr_options;
	bool has_user;
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* owned */
	size_t nr_groups;
	unsigned int restarts; /* of the tenant, before this start */
};

/** A sealed memfd that holds @json. 0 with a descriptor that the caller closes; -errno. */
VMS_MUST_CHECK int vms_start_create(const json_t *json, int *ret_fd);
/** Take what @json (taken, on failure too) says. 0, or -EPROTO, -ENOMEM with a sentence. */
VMS_MUST_CHECK int vms_start_take(json_t *json, struct vms_start *ret_start, struct vms_err *err);
/** Read what @fd (borrowed) holds. 0, or -EPROTO, -ENOMEM, -errno with a sentence. */
VMS_MUST_CHECK int vms_start_read(int fd, struct vms_start *ret_start, struct vms_err *err);
void vms_start_done(struct vms_start *start);

#endif
