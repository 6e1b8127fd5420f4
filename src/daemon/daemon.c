/* vmsupd: configuration, signals, the loop. */
#include "vmsup/daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vmsup/base/fd.h"
#include "vmsup/base/log.h"
#include "vmsup/daemon/metrics.h"
#include "vmsup/host/machine.h"

/* metrics-file is written so often. */
#define METRICS_S 15
#define LOCK_PAUSE_NS 50000000
#define LOCK_TRIES 20

long long vms_daemon_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* --- configuration -------------------------------------------------------------------------------- */

static int load(const struct vms_daemon *daemon, struct vms_daemon_conf *ret_conf, struct vms_err *err)
{
	const size_t nr = HASH_COUNT(daemon->tenants);
	struct vms_slice *kept = calloc(nr + 1, sizeof(*kept));
	const struct vms_range addresses = vms_machine_addresses();
	char saved[4096];
	size_t n = 0;
	int r;

	if (!kept)
		return vms_err_set(err, -ENOMEM, "out of memory");
	for (const struct vms_tenant *t = daemon->tenants; t; t = t->hh.next) {
		if (vms_tenant_is_up(t) && t->range.start < t->range.end)
			kept[n++] = (struct vms_slice){ t->name, t->range };
	}
	snprintf(saved, sizeof(saved), "%s/overrides", daemon->options.state);
	r = vms_daemon_conf_load(daemon->options.config, saved, &addresses, kept, n, NULL, ret_conf, err);
	free(kept);
	return r;
}

/* Tenants point into the configuration that holds. */
static void connect_tenants(struct vms_daemon *daemon)
{
	struct vms_tenant *t;

	for (t = daemon->tenants; t; t = t->hh.next)
		t->conf = vms_daemon_conf_find(&daemon->conf, t->name);
	for (size_t i = 0; i < daemon->conf.nr_tenants; i++) {
		t = vms_tenant_get(daemon, daemon->conf.tenants[i].name);
		if (t)
			t->conf = &daemon->conf.tenants[i];
	}
}

/* What shall run and is new, runs; what is not configured any more, ends. */
static void follow(struct vms_daemon *daemon)
{
	struct vms_tenant *t, *next;
	struct vms_err err = VMS_ERR_INIT;

	HASH_ITER(hh, daemon->tenants, t, next) {
		if (!t->conf && (vms_tenant_is_up(t) || t->is_silent)) {
			vms_tenant_stop(t, false);
		} else if (!t->conf) {
			vms_rest_forget(t);
			vms_tenant_free(t);
			continue;
		} else if (!vms_tenant_is_up(t) && t->state != VMS_TENANT_STOPPING &&
			   (t->is_silent || (!t->is_known && !t->conf->manual))) {
			vms_ignore(vms_tenant_start(t, &err));
		}
		/* What comes back is new. */
		t->is_known = t->conf;
	}
}

int vms_daemon_reload(struct vms_daemon *daemon, struct vms_err *err)
{
	struct vms_daemon_conf conf;
	int r;

	vms_notify("RELOADING=1");
	r = load(daemon, &conf, err);
	if (r == 0) {
		vms_daemon_conf_done(&daemon->conf);
		daemon->conf = conf;
		connect_tenants(daemon);
		follow(daemon);
		vms_log("configuration read: %zu tenants", daemon->conf.nr_tenants);
	} else {
		vms_log("the configuration stays as it is: %s", err->text);
	}
	vms_notify("READY=1");
	vms_notify_status(daemon);
	return r;
}

/* --- signals --------------------------------------------------------------------------------------- */

/* Supervisors, and what their trees have left to us. */
static void reap(struct vms_daemon *daemon)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
		struct vms_tenant *t, *next;

		HASH_ITER(hh, daemon->tenants, t, next) {
			if (vms_tenant_waited(t, pid, status))
				break;
		}
	}
	vms_cgroup_remove_old(daemon);
}

static bool has_tenants(const struct vms_daemon *daemon)
{
	for (const struct vms_tenant *t = daemon->tenants; t; t = t->hh.next) {
		if (vms_tenant_is_up(t) || t->is_silent)
			return true;
	}
	return false;
}

static void leave(struct vms_daemon *daemon)
{
	struct vms_tenant *t, *next;

	daemon->is_leaving = true;
	vms_notify("STOPPING=1");
	HASH_ITER(hh, daemon->tenants, t, next)
		vms_tenant_stop(t, false);
}

static void on_signal(void *arg, int fd, unsigned int events)
{
	struct vms_daemon *daemon = arg;
	struct signalfd_siginfo info;
	struct vms_err err = VMS_ERR_INIT;

	(void)events;
	while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGCHLD:
			reap(daemon);
			break;
		case SIGHUP:
			vms_ignore(vms_daemon_reload(daemon, &err));
			break;
		case SIGINT:
			if (daemon->options.foreground) {
				leave(daemon);
				break;
			}
			/* fall through */
		default:
			/* The tenants run on; the next vmsupd finds them. */
			vms_notify("STOPPING=1");
			vms_loop_stop(daemon->loop);
			return;
		}
	}
	if (daemon->is_leaving && !has_tenants(daemon))
		vms_loop_stop(daemon->loop);
}

void vms_daemon_tenant_ended(struct vms_daemon *daemon)
{
	if (daemon->is_leaving && !has_tenants(daemon))
		vms_loop_stop(daemon->loop);
}

static int watch_signals(struct vms_daemon *daemon)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
		return -errno;
	daemon->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return daemon->signal_fd < 0 ? -errno :
				       vms_loop_add(daemon->loop, daemon->signal_fd, VMS_WATCH_READ, 1, on_signal, daemon,
						    &daemon->signal_watch);
}

/* --- start and end --------------------------------------------------------------------------------- */

static int make_folder(const char *path, mode_t mode, struct vms_err *err)
{
	struct stat st;

	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return vms_err_set(err, -errno, "%s cannot be made: %s", path, strerror(errno));
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return vms_err_set(err, -EPERM, "%s must be a folder of this user that nobody else can write to", path);
	return 0;
}

/* One that only this user can look into. */
static int open_folder(const struct vms_daemon *daemon, const char *name, int *ret_fd, struct vms_err *err)
{
	char path[4096];
	int r;

	snprintf(path, sizeof(path), "%s/%s", daemon->options.runtime, name);
	r = make_folder(path, 0700, err);
	if (r < 0)
		return r;
	*ret_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return *ret_fd < 0 ? vms_err_set(err, -errno, "%s cannot be opened: %s", path, strerror(errno)) : 0;
}

static int make_folders(struct vms_daemon *daemon, struct vms_err *err)
{
	const struct vms_daemon_options *o = &daemon->options;
	char path[4096];
	int r = make_folder(o->runtime, 0755, err);

	/* `vmsup run` may have made it for itself; everybody may connect. */
	if (r == 0 && chmod(o->runtime, 0755) < 0)
		r = vms_err_set(err, -errno, "%s cannot be opened to others: %s", o->runtime, strerror(errno));

	if (r == 0)
		r = make_folder(o->state, 0755, err);
	snprintf(path, sizeof(path), "%s/overrides", o->state);
	if (r == 0)
		r = make_folder(path, 0755, err);
	if (r == 0)
		r = open_folder(daemon, "sup", &daemon->link_folder, err);
	return r < 0 ? r : open_folder(daemon, "rest", &daemon->rest_folder, err);
}

/*
 * One vmsupd for a folder: another would take the supervisors away from the first. A child between fork and exec may hold the lock of one
 * that has just died.
 */
static int lock_runtime(struct vms_daemon *daemon, struct vms_err *err)
{
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE_NS };
	char path[4096];

	snprintf(path, sizeof(path), "%s/vmsupd.lock", daemon->options.runtime);
	daemon->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (daemon->lock < 0)
		return vms_err_set(err, -errno, "%s cannot be opened: %s", path, strerror(errno));
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(daemon->lock, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK)
			return vms_err_set(err, -errno, "%s cannot be locked: %s", path, strerror(errno));
		nanosleep(&pause, NULL);
	}
	return vms_err_set(err, -EADDRINUSE, "a vmsupd runs already in %s: give this one another --runtime, or stop that one", daemon->options.runtime);
}

static void on_metrics(void *arg, int fd, unsigned int events)
{
	uint64_t ticks;

	(void)events;
	if (read(fd, &ticks, sizeof(ticks)) == sizeof(ticks))
		vms_metrics_write(arg);
}

static int watch_metrics(struct vms_daemon *daemon, struct vms_err *err)
{
	const struct itimerspec often = { .it_value.tv_nsec = 1, .it_interval.tv_sec = METRICS_S };
	int r;

	daemon->metrics_timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	r = daemon->metrics_timer >= 0 && timerfd_settime(daemon->metrics_timer, 0, &often, NULL) == 0 ? 0 : -errno;
	if (r == 0)
		r = vms_loop_add(daemon->loop, daemon->metrics_timer, VMS_WATCH_READ, -2, on_metrics, daemon, &daemon->metrics_watch);
	return r < 0 ? vms_err_set(err, r, "cannot make a timer: %s", strerror(-r)) : 0;
}

/* Now that it is known what shall become of them should that fail. */
static void adopt_stored(struct vms_daemon *daemon)
{
	struct vms_tenant *t, *next;

	HASH_ITER(hh, daemon->tenants, t, next) {
		if (t->is_stored)
			vms_tenant_adopt(t);
		t->is_stored = false;
	}
}

static int start(struct vms_daemon *daemon, struct vms_err *err)
{
	int r = make_folders(daemon, err), socket;

	if (r == 0)
		r = lock_runtime(daemon, err);

	if (r == 0)
		r = vms_loop_new(&daemon->loop);
	daemon->events = vms_events_new();
	if (r == 0 && !daemon->events)
		r = -ENOMEM;
	if (r < 0)
		return err->text[0] ? r : vms_err_set(err, r, "out of memory");
	/* Orphans of a tree whose supervisor has died become our children. */
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	r = watch_signals(daemon);
	if (r < 0)
		return vms_err_set(err, r, "cannot watch for signals: %s", strerror(-r));
	/* Who runs keeps its slice: they are found before the configuration is read. */
	socket = vms_link_find_all(daemon);
	r = load(daemon, &daemon->conf, err);
	if (r < 0) {
		vms_fd_close(&socket);
		return r;
	}
	vms_cgroup_find(daemon);
	connect_tenants(daemon);
	adopt_stored(daemon);
	vms_rest_recall_all(daemon);
	r = vms_server_new(daemon, socket, err);
	if (r == 0)
		r = vms_http_start(daemon, err);
	if (r == 0)
		r = watch_metrics(daemon, err);
	if (r == 0)
		follow(daemon);
	return r;
}

static void done(struct vms_daemon *daemon)
{
	vms_server_free(daemon->server);
	vms_http_stop(daemon);
	vms_watch_free(daemon->metrics_watch);
	vms_fd_close(&daemon->metrics_timer);
	vms_metrics_remove(daemon);
	vms_cgroup_remove_old(daemon);
	while (daemon->tenants)
		vms_tenant_free(daemon->tenants);
	vms_watch_free(daemon->signal_watch);
	vms_watch_free(daemon->watchdog_watch);
	vms_fd_close(&daemon->signal_fd);
	vms_fd_close(&daemon->watchdog);
	vms_loop_free(daemon->loop);
	vms_events_free(daemon->events);
	vms_cgroup_leave(daemon);
	vms_daemon_conf_done(&daemon->conf);
	vms_fd_close(&daemon->link_folder);
	vms_fd_close(&daemon->rest_folder);
	vms_fd_close(&daemon->lock);
}

int vms_daemon_main(const struct vms_daemon_options *options)
{
	struct vms_daemon daemon = { .options = *options, .signal_fd = -1, .watchdog = -1, .link_folder = -1, .rest_folder = -1, .lock = -1,
				     .http_timer = -1, .metrics_timer = -1 };
	struct vms_err err = VMS_ERR_INIT;
	int status = 0;

	/* What tenants write goes there, too, and may fill it. */
	vms_log_never_wait();
	/* Three files a tenant; and these limits are none of the tenants'. */
	vms_rlimits_lift(&daemon.given);
	if (start(&daemon, &err) < 0) {
		vms_log("%s", err.text);
		status = 2;
	} else {
		vms_notify_watchdog(&daemon);
		vms_notify("READY=1");
		vms_notify_status(&daemon);
		vms_loop_run(daemon.loop);
	}
	done(&daemon);
	return status;
}
