/*
 * The configuration of vmsupd: vmsup.conf, and a file for each tenant in tenants.d; vmsup.conf(5).
 *
 * A tenant's file has the keys of `vmsup run` and those that say what to run and when. What `vmsup limit --save` and `vmsup enable`
 * write is in a folder of its own, and stronger.
 */
#ifndef VMSUP_CONF_TENANT_H
#define VMSUP_CONF_TENANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmsup/conf/config.h"
#include "vmsup/core/range.h"

#define VMS_MAX_TENANTS 512
#define VMS_TENANT_NAME_MAX 63 /* letters of a tenant's name */
/* A profile and the defaults of all tenants, a profile and the file of the tenant, what was saved. */
#define VMS_TENANT_PLACES 5

enum vms_restart {
	VMS_RESTART_NO,
	VMS_RESTART_ON_FAILURE, /* when it ends with a status other than 0, or by a signal other than its stop signal */
	VMS_RESTART_ALWAYS,
};

/** What becomes of a tree whose supervisor has died and cannot be replaced. */
enum vms_on_lost {
	VMS_ON_LOST_KILL,
	VMS_ON_LOST_HOLD, /* its memory calls wait until somebody decides */
};

struct vms_tenant_conf {
	char *name, *path; /* owned; path: of its file */
	struct vms_settings settings[VMS_TENANT_PLACES]; /* options of run, by the file they are from; the weakest first */
	char **words; /* owned, as are its elements: those that hold, range: auto resolved; ends with NULL */
	size_t nr_words;
	bool replaces_command; /* while a stronger file is read */
	size_t weaker_environment; /* the same: so many are of a weaker one */
	char **command; /* owned; ends with NULL */
	size_t nr_command;
	char **environment; /* owned: NAME=VALUE; ends with NULL */
	size_t nr_environment;
	char *user, *group, *directory; /* owned; NULL: not given */
	uid_t uid; /* with user */
	gid_t gid; /* with user or group */
	enum vms_restart restart;
	unsigned int restart_delay_ms, restart_delay_max_ms, stop_time_ms;
	int stop_signal;
	bool manual; /* is started by `vmsup start` only */
	enum vms_on_lost on_lost;
	bool range_auto; /* takes a slice of the pool */
	bool shares; /* with range_auto: may map at addresses of the rest of the pool */
	uint64_t slice; /* bytes, with range_auto; 0: as large as vmsup.conf says */
	bool has_range; /* explicit or a slice */
	struct vms_range range;
	char *memory_max, *cpu_max, *cpu_weight, *pids_max; /* owned; NULL: not given; as cgroup v2 has them */
};

struct vms_daemon_conf {
	char *socket_group; /* owned; operators; NULL: none */
	bool has_pool;
	struct vms_range pool;
	uint64_t slice; /* bytes of a slice where a tenant says nothing */
	char *metrics_address, *metrics_file; /* owned; NULL: off */
	char *cgroup_root; /* owned; NULL: where vmsupd itself is */
	struct vms_tenant_conf *tenants; /* owned, in the order of their names */
	size_t nr_tenants;
};

/** A slice that a running tenant has, and keeps. */
struct vms_slice {
	const char *name;
	struct vms_range range;
};

/**
 * Read @folder/vmsup.conf and @folder/defaults.conf (which may be missing) and @folder/tenants.d, then what was saved in @saved (may be
 * NULL). Ranges and the pool have to lie in @addresses, those of this machine's programs. @tell as for vms_config_load; its in_profile
 * and keys are not looked at. Tenants in @kept that still ask for a slice of that size get it. 0, -EINVAL with the first sentence, or another negative errno with one.
 */
VMS_MUST_CHECK int vms_daemon_conf_load(const char *folder, const char *saved, const struct vms_range *addresses,
					const struct vms_slice *kept, size_t nr_kept, const struct vms_config_tell *tell,
					struct vms_daemon_conf *ret_conf, struct vms_err *err);
void vms_daemon_conf_done(struct vms_daemon_conf *conf);
/** Read the file @path of a tenant alone, its slice not resolved. Errors as above. */
VMS_MUST_CHECK int vms_tenant_conf_load(const char *path, const struct vms_config_tell *tell, struct vms_tenant_conf *ret_conf,
					struct vms_err *err);
void vms_tenant_conf_done(struct vms_tenant_conf *conf);
/** Read the file @path as vmsup.conf alone. Errors as above. */
VMS_MUST_CHECK int vms_daemon_conf_load_file(const char *path, const struct vms_config_tell *tell, struct vms_daemon_conf *ret_conf,
					     struct vms_err *err);
/** The tenant @name, or NULL. */
struct vms_tenant_conf *vms_daemon_conf_find(const struct vms_daemon_conf *conf, const char *name);
/** True when @name can be a tenant's: letters, digits, and after the first also . _ - */
bool vms_tenant_name_is_right(const char *name);

/**
 * pool.c: give each tenant with range_auto a slice of the pool that overlaps no range of another; fills range and has_range, and
 * looks at explicit ranges, which have to lie in @addresses, as has the pool. 0, or -EINVAL with a sentence that names both tenants.
 */
VMS_MUST_CHECK int vms_pool_assign(struct vms_daemon_conf *conf, const struct vms_range *addresses, const struct vms_slice *kept,
				   size_t nr_kept, struct vms_err *err);

#endif
