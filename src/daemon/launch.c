/* A tenant's supervisor is started: what it gets, and the exec. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <uthash.h>

#include "vmsup/base/fd.h"
#include "vmsup/daemon/daemon.h"
#include "vmsup/ctl/start.h"
#include "vmsup/wire/msg.h"

#define MAX_GROUPS 65536 /* NGROUPS_MAX */
#define SELF "/proc/self/exe"

static json_t *words_json(char **words)
{
	json_t *array = json_array();

	for (size_t i = 0; words && words[i]; i++)
		json_array_append_new(array, json_string(words[i]));
	return array;
}

static void add_variable(json_t *array, const char *name, const char *value)
{
	json_array_append_new(array, json_sprintf("%s=%s", name, value));
}

static bool is_set(char **environment, const char *name)
{
	const size_t len = strlen(name);

	for (size_t i = 0; environment && environment[i]; i++) {
		if (strncmp(environment[i], name, len) == 0 && environment[i][len] == '=')
			return true;
	}
	return false;
}

/* What every program may expect, as systemd gives it to a service; what the tenant says is stronger. */
static json_t *environment_json(const struct vms_tenant_conf *conf)
{
	const struct passwd *user = getpwuid(conf->user ? conf->uid : geteuid());
	const char *const all[][2] = {
		{ "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
		{ "LANG", "C.UTF-8" },
		{ "HOME", user ? user->pw_dir : "/" },
		{ "USER", user ? user->pw_name : "root" },
		{ "LOGNAME", user ? user->pw_name : "root" },
		{ "SHELL", user ? user->pw_shell : "/bin/sh" },
	};
	json_t *array = json_array();

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (!is_set(conf->environment, all[i][0]))
			add_variable(array, all[i][0], all[i][1]);
	}
	for (size_t i = 0; i < conf->nr_environment; i++)
		json_array_append_new(array, json_string(conf->environment[i]));
	return array;
}

static void add_user(json_t *json, const struct vms_tenant_conf *conf)
{
	gid_t *groups = NULL;
	int nr = 64, room = 0;
	json_t *array;

	if (!conf->user && !conf->group)
		return;
	array = json_array();
	/* Says how many there are when there is no room for them. */
	while (conf->user && nr > room && nr <= MAX_GROUPS) {
		room = nr;
		free(groups);
		groups = calloc((size_t)room, sizeof(*groups));
		if (!groups || getgrouplist(conf->user, conf->gid, groups, &nr) >= 0)
			break;
	}
	for (int i = 0; groups && i < nr && i < room; i++)
		json_array_append_new(array, json_integer(groups[i]));
	free(groups);
	json_object_set_new(json, "uid", json_integer(conf->user ? conf->uid : geteuid()));
	json_object_set_new(json, "gid", json_integer(conf->gid));
	json_object_set_new(json, "groups", array);
}

json_t *vms_launch_json(const struct vms_tenant *tenant)
{
	const struct vms_tenant_conf *conf = tenant->conf;
	json_t *json = json_object();

	json_object_set_new(json, "name", json_string(tenant->name));
	json_object_set_new(json, "options", words_json(conf->words));
	json_object_set_new(json, "argv", words_json(conf->command));
	json_object_set_new(json, "environment", environment_json(conf));
	json_object_set_new(json, "directory", json_string(conf->directory ? conf->directory : "/"));
	json_object_set_new(json, "cgroup", tenant->cgroup ? json_string(tenant->cgroup) : json_null());
	json_object_set_new(json, "link", json_sprintf("%s/sup/%s.link", tenant->daemon->options.runtime, tenant->name));
	json_object_set_new(json, "restarts", json_integer(tenant->restarts));
	add_user(json, conf);
	return json;
}

int vms_launch_prepare(struct vms_tenant *tenant, struct vms_err *err)
{
	struct vms_board *board;
	json_t *json;
	int r;

	vms_cgroup_make(tenant);
	json = vms_launch_json(tenant);
	r = vms_start_create(json, &tenant->start_fd);
	json_decref(json);
	if (r == 0)
		r = vms_board_create(&tenant->board_fd);
	if (r == 0)
		r = vms_board_map(tenant->board_fd, false, &board);
	if (r < 0)
		return vms_err_set(err, r, "tenant %s cannot be started: %s", tenant->name, strerror(-r));
	tenant->board = board;
	tenant->range = tenant->conf->has_range ? tenant->conf->range : (struct vms_range){ 0, 0 };
	vms_notify_keep(tenant, "start", tenant->start_fd);
	vms_notify_keep(tenant, "board", tenant->board_fd);
	return 0;
}

/* Between fork and exec: every descriptor at its number, signals as they are for a program that a shell starts. */
__attribute__((noreturn)) static void become_supervisor(const struct vms_tenant *tenant, int link, int lock, int stream)
{
	const int fds[] = { link, tenant->start_fd, tenant->board_fd, lock, tenant->listener };
	const int nr = tenant->listener >= 0 ? 5 : 4;
	char *const argv[] = { (char *)(uintptr_t) "vmsupd", (char *)(uintptr_t) "--supervise", tenant->name,
			       nr == 5 ? (char *)(uintptr_t) "--adopt" : NULL, NULL };
	int moved[5];
	sigset_t none;

	vms_cgroup_enter(tenant->daemon);
	if (stream >= 0 && (dup2(stream, STDOUT_FILENO) < 0 || dup2(stream, STDERR_FILENO) < 0))
		_exit(125);
	/* First out of the way of the numbers that they shall have. */
	for (int i = 0; i < nr; i++)
		moved[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, VMS_START_LISTENER + 1);
	for (int i = 0; i < nr; i++) {
		if (moved[i] < 0 || dup2(moved[i], VMS_START_LINK + i) < 0)
			_exit(125);
	}
	close_range(VMS_START_LINK + (unsigned int)nr, ~0u, 0);
	for (int sig = 1; sig < _NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* Not before: ours have higher numbers than these may allow. */
	vms_rlimits_give(&tenant->daemon->given);
	execv(SELF, argv);
	_exit(125);
}

int vms_launch(struct vms_tenant *tenant, struct vms_err *err)
{
	vms_autofd ours = -1, theirs = -1, lock = -1, stream = -1;
	int pair[2], r = vms_link_lock(tenant, &lock);
	pid_t pid;

	if (r < 0)
		return vms_err_set(err, r, "tenant %s has a supervisor that does not answer%s%s", tenant->name, r == -EBUSY ? "" : ": ",
				   r == -EBUSY ? "" : strerror(-r));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return vms_err_set(err, -errno, "cannot make a socket pair: %s", strerror(errno));
	ours = pair[0];
	theirs = pair[1];
	if (fcntl(ours, F_SETFL, O_NONBLOCK) < 0)
		return vms_err_set(err, -errno, "cannot use a socket: %s", strerror(errno));
	stream = vms_notify_stream(tenant);
	pid = fork();
	if (pid < 0)
		return vms_err_set(err, -errno, "cannot fork: %s", strerror(errno));
	if (pid == 0)
		become_supervisor(tenant, theirs, lock, stream);
	tenant->supervisor = pid;
	tenant->pidfd = pidfd_open(pid, 0);
	tenant->link = vms_fd_steal(&ours);
	r = tenant->pidfd < 0 ? -errno : vms_link_watch(tenant);
	if (r < 0) {
		kill(pid, SIGKILL);
		return vms_err_set(err, r, "the supervisor of tenant %s cannot be watched: %s", tenant->name, strerror(-r));
	}
	return 0;
}
