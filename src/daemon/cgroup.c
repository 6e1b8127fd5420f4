/*
 * Tenants' cgroups (v2): each in one of its own where there is a hierarchy that vmsupd may write to, so that nothing of a tenant can
 * hide, and the limits that only the kernel has. Without, everything else works.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmsup/base/fd.h"
#include "vmsup/base/log.h"
#include "vmsup/daemon/daemon.h"

static bool is_v2(const char *path)
{
	char file[4096];

	snprintf(file, sizeof(file), "%s/cgroup.procs", path);
	return access(file, W_OK) == 0;
}

/* Where the hierarchy is mounted, from /proc/self/mounts: alone, or beside the older ones. */
static char *find_mount(void)
{
	FILE *file = fopen("/proc/self/mounts", "re");
	char line[4096], *found = NULL;

	while (file && !found && fgets(line, sizeof(line), file)) {
		char path[2048], type[64];

		if (sscanf(line, "%*s %2047s %63s", path, type) == 2 && strcmp(type, "cgroup2") == 0)
			found = strdup(path);
	}
	if (file)
		fclose(file);
	return found;
}

/* Below it, where this process is. */
static char *own_cgroup(const char *mount)
{
	FILE *file = fopen("/proc/self/cgroup", "re");
	char line[4096], *found = NULL;

	while (file && !found && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "0::", 3) == 0 && asprintf(&found, "%s%s", mount, strcmp(line + 3, "/") == 0 ? "" : line + 3) < 0)
			found = NULL;
	}
	if (file)
		fclose(file);
	return found;
}

static int write_to(const char *folder, const char *name, const char *text)
{
	char path[4200];
	vms_autofd fd = -1;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd < 0 ? -errno : vms_fd_write_all(fd, text, strlen(text));
}

/* Each by itself: a machine need not have all. */
static void hand_down_from(const char *folder)
{
	static const char *const controllers[] = { "+memory", "+cpu", "+pids" };

	for (size_t i = 0; i < sizeof(controllers) / sizeof(controllers[0]); i++)
		(void)write_to(folder, "cgroup.subtree_control", controllers[i]);
}

/* Set by systemd for what it starts. */
static bool is_apart(void)
{
	return getenv("INVOCATION_ID");
}

/*
 * A service manager starts vmsupd in the group of its unit, again and again, and could not once that group handed controllers down to
 * others below it (the kernel wants no processes in such a one). So tenants are apart from it then, in a group at the top.
 */
static char *default_root(void)
{
	char *mount = find_mount(), *root = NULL;

	if (mount && is_apart()) {
		hand_down_from(mount);
		if (asprintf(&root, "%s/vmsup", mount) < 0)
			root = NULL;
		if (root && mkdir(root, 0755) < 0 && errno != EEXIST) {
			free(root);
			root = NULL;
		}
	}
	if (mount && !root)
		root = own_cgroup(mount);
	free(mount);
	return root;
}

void vms_cgroup_find(struct vms_daemon *daemon)
{
	const char *made = NULL;
	char *root;

	if (daemon->conf.cgroup_root) {
		root = strdup(daemon->conf.cgroup_root);
		if (root && mkdir(root, 0755) == 0)
			made = root;
		else if (root && errno != EEXIST)
			vms_log("cgroup-root: %s cannot be made: %s", root, strerror(errno));
	} else {
		root = default_root();
	}
	if (root && is_v2(root)) {
		daemon->cgroup = root;
		return;
	}
	if (made)
		(void)rmdir(made);
	if (daemon->conf.cgroup_root)
		vms_log("cgroup-root: %s is no cgroup (v2) that can be written to: tenants get none", daemon->conf.cgroup_root);
	free(root);
}

static bool has_limits(const struct vms_tenant_conf *conf)
{
	return conf->memory_max || conf->cpu_max || conf->cpu_weight || conf->pids_max;
}

static void set_limits(const struct vms_tenant *tenant)
{
	const struct vms_tenant_conf *conf = tenant->conf;
	const struct {
		const char *key, *file, *text;
	} all[] = {
		{ "memory-max", "memory.max", conf->memory_max },
		{ "cpu-max", "cpu.max", conf->cpu_max },
		{ "cpu-weight", "cpu.weight", conf->cpu_weight },
		{ "pids-max", "pids.max", conf->pids_max },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		int r = all[i].text ? write_to(tenant->cgroup, all[i].file, all[i].text) : 0;

		if (r < 0)
			vms_log("tenant %s: %s: %s cannot be set to %s (%s): is that controller delegated to vmsupd?", tenant->name,
				all[i].key, all[i].file, all[i].text, strerror(-r));
	}
}

/*
 * Only a group without processes of its own may hand controllers down: vmsupd and its supervisors, which are in the one that was delegated
 * to it, go into one below. Where it cannot be, the limits are told to fail.
 */
static void hand_down(const struct vms_daemon *daemon)
{
	char path[4200], pid[16];

	snprintf(path, sizeof(path), "%s/vmsupd", daemon->cgroup);
	if (!daemon->conf.cgroup_root && !is_apart() && (mkdir(path, 0755) == 0 || errno == EEXIST)) {
		(void)write_to(path, "cgroup.procs", "0");
		for (const struct vms_tenant *t = daemon->tenants; t; t = t->hh.next) {
			snprintf(pid, sizeof(pid), "%d", (int)t->supervisor);
			if (t->supervisor)
				(void)write_to(path, "cgroup.procs", pid);
		}
	}
	hand_down_from(daemon->cgroup);
}

void vms_cgroup_enter(const struct vms_daemon *daemon)
{
	char path[4200];

	if (!daemon->cgroup || daemon->conf.cgroup_root || !is_apart())
		return;
	snprintf(path, sizeof(path), "%s/vmsupd", daemon->cgroup);
	if (mkdir(path, 0755) == 0 || errno == EEXIST)
		(void)write_to(path, "cgroup.procs", "0");
}

static void name_it(struct vms_tenant *tenant)
{
	const struct vms_daemon *daemon = tenant->daemon;
	char tag[32] = "";
	struct stat st;

	/* Another vmsupd, with a runtime folder of its own, may have tenants of the same names. */
	if (strcmp(daemon->options.runtime, VMS_RUNTIME) != 0 && stat(daemon->options.runtime, &st) == 0)
		snprintf(tag, sizeof(tag), "@%llx", (unsigned long long)st.st_ino);
	free(tenant->cgroup);
	if (asprintf(&tenant->cgroup, "%s/vmsup-%s%s", daemon->cgroup, tenant->name, tag) < 0)
		tenant->cgroup = NULL;
}

void vms_cgroup_make(struct vms_tenant *tenant)
{
	struct vms_daemon *daemon = tenant->daemon;
	int error = 0;

	if (!daemon->cgroup) {
		if (has_limits(tenant->conf))
			vms_log("tenant %s: there is no cgroup (v2) hierarchy that can be written to: its limits of memory, CPU and "
				"processes are not set", tenant->name);
		return;
	}
	if (has_limits(tenant->conf))
		hand_down(daemon);
	name_it(tenant);
	if (tenant->cgroup && mkdir(tenant->cgroup, 0755) < 0)
		error = errno;
	/* Whoever is still in it is of a run that nobody knows of any more. */
	if (error == EEXIST) {
		vms_cgroup_kill(tenant);
	} else if (error) {
		vms_log("tenant %s: its cgroup %s cannot be made: %s", tenant->name, tenant->cgroup, strerror(error));
		free(tenant->cgroup);
		tenant->cgroup = NULL;
	}
	if (tenant->cgroup)
		set_limits(tenant);
}

void vms_cgroup_kill(const struct vms_tenant *tenant)
{
	if (tenant->cgroup)
		(void)write_to(tenant->cgroup, "cgroup.kill", "1");
}

void vms_cgroup_kill_left(struct vms_tenant *tenant)
{
	if (!tenant->daemon->cgroup)
		return;
	name_it(tenant);
	vms_cgroup_kill(tenant);
}

void vms_cgroup_remove(struct vms_tenant *tenant)
{
	if (!tenant->cgroup)
		return;
	/* What has been killed just now may be there for another moment: then it is tried again when somebody has been waited for. */
	free(tenant->old_cgroup);
	tenant->old_cgroup = NULL;
	if (rmdir(tenant->cgroup) < 0 && errno == EBUSY)
		tenant->old_cgroup = tenant->cgroup;
	else
		free(tenant->cgroup);
	tenant->cgroup = NULL;
}

static void leave(const struct vms_daemon *daemon)
{
	char path[4200];

	snprintf(path, sizeof(path), "%s/vmsupd", daemon->cgroup);
	if (is_apart()) {
		/* Should they be empty. */
		(void)rmdir(path);
		(void)rmdir(daemon->cgroup);
	} else if (daemon->is_leaving && access(path, F_OK) == 0) {
		/* hand_down undone. */
		(void)write_to(daemon->cgroup, "cgroup.subtree_control", "-memory -cpu -pids");
		(void)write_to(daemon->cgroup, "cgroup.procs", "0");
		(void)rmdir(path);
	}
}

void vms_cgroup_leave(struct vms_daemon *daemon)
{
	if (daemon->cgroup && !daemon->conf.cgroup_root)
		leave(daemon);
	free(daemon->cgroup);
	daemon->cgroup = NULL;
}

void vms_cgroup_remove_old(struct vms_daemon *daemon)
{
	for (struct vms_tenant *t = daemon->tenants; t; t = t->hh.next) {
		if (!t->old_cgroup || (rmdir(t->old_cgroup) < 0 && errno == EBUSY))
			continue;
		free(t->old_cgroup);
		t->old_cgroup = NULL;
	}
}
