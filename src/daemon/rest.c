/*
 * What the next vmsupd has to know of each tenant: whether it rests, because it was stopped by hand or has ended for good; whether it is
 * being stopped; else which process is its program. A file in RUNTIME/rest for each; after a boot the folder is empty, and all start.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmsup/base/fd.h"
#include "vmsup/base/log.h"
#include "vmsup/daemon/daemon.h"
#include "vmsup/host/proc.h"

#define MAX_SIZE 4096

/* A name with a dot in front is no tenant's. */
static void keep(const struct vms_tenant *tenant, json_t *json)
{
	const int folder = tenant->daemon->rest_folder;
	vms_autofd fd = openat(folder, ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || json_dumpfd(json, fd, JSON_COMPACT) < 0 || renameat(folder, ".new", folder, tenant->name) < 0)
		vms_log("tenant %s: cannot keep its state (%s): the next vmsupd will start it", tenant->name, strerror(errno));
}

void vms_rest_keep(const struct vms_tenant *tenant)
{
	json_t *json = json_pack("{s:s, s:b, s:b, s:i, s:I, s:I}", "state", vms_tenant_state_name(tenant->state), "again",
				 tenant->restarts_now, "has_ended", tenant->has_ended, "status", tenant->status, "restarts",
				 (json_int_t)tenant->restarts, "losses", (json_int_t)tenant->losses);
	uint64_t ticks;

	json_object_set_new(json, "failure", json_string(tenant->failure));
	if (tenant->program > 0 && vms_proc_start_time(tenant->program, &ticks) == 0) {
		json_object_set_new(json, "pid", json_integer(tenant->program));
		json_object_set_new(json, "ticks", json_integer((json_int_t)ticks));
	}
	keep(tenant, json);
	json_decref(json);
}

void vms_rest_forget(const struct vms_tenant *tenant)
{
	vms_ignore(unlinkat(tenant->daemon->rest_folder, tenant->name, 0));
}

static json_t *load(int folder, const char *name)
{
	vms_autofd fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
	char text[MAX_SIZE];
	ssize_t n = fd < 0 ? -1 : vms_fd_read_all(fd, text, sizeof(text));

	return n < 0 ? NULL : json_loadb(text, (size_t)n, 0, NULL);
}

static void recall(struct vms_tenant *tenant, json_t *json)
{
	const char *failure = json_string_value(json_object_get(json, "failure")), *state = json_string_value(json_object_get(json, "state"));

	tenant->state = state && strcmp(state, "failed") == 0 ? VMS_TENANT_FAILED : VMS_TENANT_STOPPED;
	tenant->has_ended = json_is_true(json_object_get(json, "has_ended"));
	tenant->status = (int)json_integer_value(json_object_get(json, "status"));
	tenant->restarts = (unsigned int)json_integer_value(json_object_get(json, "restarts"));
	tenant->losses = (unsigned int)json_integer_value(json_object_get(json, "losses"));
	snprintf(tenant->failure, sizeof(tenant->failure), "%s", failure ? failure : "");
	tenant->is_known = true;
}

/* A program that has lost its supervisor and its vmsupd, and nobody kept its descriptors: nobody answers its calls any more. */
static void kill_lost(const struct vms_tenant *tenant, const json_t *json)
{
	const pid_t pid = (pid_t)json_integer_value(json_object_get(json, "pid"));
	uint64_t ticks;

	if (pid <= 0 || vms_proc_start_time(pid, &ticks) < 0 || ticks != (uint64_t)json_integer_value(json_object_get(json, "ticks")))
		return;
	vms_log("tenant %s: its program, process %d, has lost its supervisor and cannot be taken over: it is killed", tenant->name, (int)pid);
	vms_proc_kill_tree(pid);
}

/* How, nobody can tell: that counts as a failure. */
static bool has_ended_alone(struct vms_tenant *tenant, json_t *json)
{
	struct vms_err err = VMS_ERR_INIT;

	recall(tenant, json);
	if (tenant->conf && tenant->conf->restart != VMS_RESTART_NO) {
		vms_ignore(vms_tenant_start(tenant, &err));
		return vms_tenant_is_up(tenant);
	}
	vms_cgroup_kill_left(tenant);
	vms_cgroup_remove(tenant);
	vms_link_remove(tenant);
	tenant->state = VMS_TENANT_FAILED;
	tenant->status = -1;
	snprintf(tenant->failure, sizeof(tenant->failure), "it ended while there was no vmsupd");
	vms_rest_keep(tenant);
	return true;
}

/* True: what is kept of it still says something. */
static bool take(struct vms_tenant *tenant, json_t *json)
{
	const char *state = json_string_value(json_object_get(json, "state"));
	const bool was_stopping = state && strcmp(state, "stopping") == 0, again = json_is_true(json_object_get(json, "again"));
	struct vms_err err = VMS_ERR_INIT;

	if (vms_tenant_is_up(tenant)) {
		const unsigned int losses = (unsigned int)json_integer_value(json_object_get(json, "losses"));

		/* The board knows of those of this run only. */
		tenant->losses = losses > tenant->losses ? losses : tenant->losses;
		if (was_stopping)
			vms_tenant_stop_goes_on(tenant, again);
		else
			vms_rest_keep(tenant);
		return true;
	}
	/* It has a supervisor that has not answered yet. */
	if (tenant->is_silent) {
		if (was_stopping)
			vms_tenant_stop(tenant, again);
		return true;
	}
	kill_lost(tenant, json);
	/* It has ended meanwhile. */
	if (was_stopping && again) {
		tenant->is_known = true;
		vms_ignore(vms_tenant_start(tenant, &err));
		return vms_tenant_is_up(tenant);
	}
	if (state && strcmp(state, "running") == 0)
		return has_ended_alone(tenant, json);
	recall(tenant, json);
	return true;
}

void vms_rest_recall_all(struct vms_daemon *daemon)
{
	const int fd = openat(daemon->rest_folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		struct vms_tenant *tenant = vms_tenant_find(daemon, entry->d_name);
		json_t *json = NULL;

		if (tenant && (tenant->conf || tenant->is_silent || vms_tenant_is_up(tenant)))
			json = load(daemon->rest_folder, entry->d_name);
		if (!json || !take(tenant, json))
			vms_ignore(unlinkat(daemon->rest_folder, entry->d_name, 0));
		json_decref(json);
	}
	if (dir)
		closedir(dir);
	else
		vms_fd_close(&(int){ fd });
}
