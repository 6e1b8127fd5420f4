/*
 * The life of a tenant.
 *
 *	STOPPED -> STARTING -> RUNNING -> STOPPING -> STOPPED
 *	             ^            |
 *	             |            v
 *	          WAITING <- (it has ended) -> FAILED
 *
 * Its supervisor may die at any time: another is started over the same tree, which notices nothing, and the state stays. When that
 * cannot be done, or does not help, the tree is killed, or HELD.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmsup/base/fd.h"
#include "vmsup/ctl/dir.h"
#include "vmsup/daemon/daemon.h"
#include "vmsup/ctl/start.h"
#include "vmsup/host/proc.h"

/* A supervisor that dies so often in so short a time is of no use. */
#define MAX_LOSSES 200
#define LOSSES_NS 60000000000LL
/* After KILL_TREE, until the supervisor itself is killed. */
#define KILL_MS 2000
/* The program has ended: what its supervisor has for what is left and its reports. */
#define REST_MS 10000
/* Until a supervisor that does not answer yet is looked for again. */
#define LOOK_MS 200
/* Who has run so long is not in a loop of restarts. */
#define STEADY_NS 10000000000LL

const char *vms_tenant_state_name(enum vms_tenant_state state)
{
	static const char *const names[] = {
		[VMS_TENANT_STOPPED] = "stopped",   [VMS_TENANT_STARTING] = "starting", [VMS_TENANT_RUNNING] = "running",
		[VMS_TENANT_STOPPING] = "stopping", [VMS_TENANT_WAITING] = "waiting",	[VMS_TENANT_FAILED] = "failed",
		[VMS_TENANT_HELD] = "held",
	};

	return names[state];
}

struct vms_tenant *vms_tenant_find(const struct vms_daemon *daemon, const char *name)
{
	struct vms_tenant *tenant;

	HASH_FIND_STR(daemon->tenants, name, tenant);
	return tenant;
}

struct vms_tenant *vms_tenant_get(struct vms_daemon *daemon, const char *name)
{
	struct vms_tenant *tenant = vms_tenant_find(daemon, name);

	if (tenant)
		return tenant;
	if (HASH_COUNT(daemon->tenants) >= 2 * VMS_MAX_TENANTS)
		return NULL;
	tenant = calloc(1, sizeof(*tenant));
	if (!tenant)
		return NULL;
	tenant->name = strdup(name);
	if (!tenant->name) {
		free(tenant);
		return NULL;
	}
	tenant->daemon = daemon;
	tenant->pidfd = tenant->link = tenant->hello = tenant->timer = tenant->start_fd = tenant->board_fd = tenant->listener = -1;
	tenant->since = vms_daemon_now_ns();
	HASH_ADD_KEYPTR(hh, daemon->tenants, tenant->name, strlen(tenant->name), tenant);
	return tenant;
}

bool vms_tenant_is_up(const struct vms_tenant *tenant)
{
	return tenant->supervisor || tenant->state == VMS_TENANT_HELD;
}

void vms_tenant_set_state(struct vms_tenant *tenant, enum vms_tenant_state state)
{
	tenant->state = state;
	tenant->since = vms_daemon_now_ns();
	vms_notify_status(tenant->daemon);
}

/* The next vmsupd is to leave it so, unless this one takes all tenants with it. */
static void rest(struct vms_tenant *tenant, enum vms_tenant_state state)
{
	vms_tenant_set_state(tenant, state);
	if (tenant->daemon->is_leaving)
		vms_rest_forget(tenant);
	else
		vms_rest_keep(tenant);
}

/* --- timer --------------------------------------------------------------------------------------- */

static void on_timer(void *arg, int fd, unsigned int events);

static void stop_timer(struct vms_tenant *tenant)
{
	vms_watch_free(tenant->timer_watch);
	tenant->timer_watch = NULL;
	vms_fd_close(&tenant->timer);
}

static void start_timer(struct vms_tenant *tenant, unsigned int ms)
{
	const struct itimerspec spec = { .it_value = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 + 1 } };

	stop_timer(tenant);
	tenant->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (tenant->timer < 0 || timerfd_settime(tenant->timer, 0, &spec, NULL) < 0 ||
	    vms_loop_add(tenant->daemon->loop, tenant->timer, VMS_WATCH_READ, 0, on_timer, tenant, &tenant->timer_watch) < 0)
		vms_fd_close(&tenant->timer);
}

/* --- start and end ------------------------------------------------------------------------------- */

/* What belongs to one run. */
static void let_go(struct vms_tenant *tenant)
{
	stop_timer(tenant);
	vms_caretaker_stop(tenant);
	vms_link_close(tenant);
	vms_watch_free(tenant->pid_watch);
	tenant->pid_watch = NULL;
	vms_fd_close(&tenant->pidfd);
	vms_notify_drop(tenant);
	vms_fd_close(&tenant->listener);
	vms_fd_close(&tenant->start_fd);
	vms_fd_close(&tenant->board_fd);
	vms_board_unmap(tenant->board);
	tenant->board = NULL;
	vms_cgroup_remove(tenant);
	vms_fd_close(&tenant->hello);
	tenant->supervisor = tenant->program = 0;
	tenant->is_killed = tenant->is_adopting = tenant->is_silent = false;
}

static void on_supervisor_end(void *arg, int fd, unsigned int events);

/* The supervisor is there: watch for its end. */
static int watch_supervisor(struct vms_tenant *tenant)
{
	return vms_loop_add(tenant->daemon->loop, tenant->pidfd, VMS_WATCH_READ, -1, on_supervisor_end, tenant, &tenant->pid_watch);
}

static void fail(struct vms_tenant *tenant, const char *why)
{
	snprintf(tenant->failure, sizeof(tenant->failure), "%s", why);
	let_go(tenant);
	rest(tenant, VMS_TENANT_FAILED);
	vms_event(tenant, "failed", json_pack("{s:s}", "reason", tenant->failure));
}

static void wait_for_restart(struct vms_tenant *tenant, unsigned int most_ms)
{
	vms_tenant_set_state(tenant, VMS_TENANT_WAITING);
	vms_rest_forget(tenant);
	start_timer(tenant, tenant->delay_ms);
	tenant->delay_ms = 2 * tenant->delay_ms < most_ms ? 2 * tenant->delay_ms : most_ms;
}

/* What is short for a moment may not be the next time. */
static void could_not_start(struct vms_tenant *tenant, const char *why)
{
	const struct vms_tenant_conf *conf = tenant->conf;

	fail(tenant, why);
	if (conf->restart == VMS_RESTART_NO)
		return;
	if (!tenant->delay_ms)
		tenant->delay_ms = conf->restart_delay_ms ? conf->restart_delay_ms : 1;
	wait_for_restart(tenant, conf->restart_delay_max_ms);
}

/* True: its supervisor has answered. Otherwise is_silent says whether there is one. */
static bool look(struct vms_tenant *tenant)
{
	vms_autofd lock = -1;

	vms_link_find(tenant);
	tenant->is_silent = !tenant->supervisor && vms_link_lock(tenant, &lock) == -EBUSY;
	if (!tenant->is_silent)
		vms_fd_close(&tenant->hello);
	return tenant->supervisor;
}

int vms_tenant_start(struct vms_tenant *tenant, struct vms_err *err)
{
	int r;

	if (tenant->daemon->is_leaving)
		return vms_err_set(err, -ESHUTDOWN, "vmsupd is about to end, and starts nothing more");
	if (vms_tenant_is_up(tenant))
		return vms_err_set(err, -EALREADY, "tenant %s is %s already", tenant->name, vms_tenant_state_name(tenant->state));
	if (!tenant->conf)
		return vms_err_set(err, -ENOENT, "tenant %s has no file in tenants.d any more", tenant->name);
	stop_timer(tenant);
	tenant->failure[0] = '\0';
	tenant->has_ended = false;
	/* One that the vmsupd before this one has just started, say. */
	if (look(tenant)) {
		vms_rest_keep(tenant);
		return 0;
	}
	if (tenant->is_silent) {
		/* Nothing of it may be touched. */
		vms_tenant_set_state(tenant, VMS_TENANT_WAITING);
		start_timer(tenant, LOOK_MS);
		return vms_err_set(err, -EBUSY, "tenant %s has a supervisor that does not answer yet", tenant->name);
	}
	vms_rest_forget(tenant);
	r = vms_launch_prepare(tenant, err);
	if (r == 0)
		r = vms_launch(tenant, err);
	if (r == 0) {
		r = watch_supervisor(tenant);
		if (r < 0)
			kill(tenant->supervisor, SIGKILL);
	}
	if (r < 0) {
		could_not_start(tenant, err->text);
		return r;
	}
	vms_tenant_set_state(tenant, VMS_TENANT_STARTING);
	return 0;
}

static bool is_failure(const struct vms_tenant *tenant)
{
	const int sig = tenant->conf ? tenant->conf->stop_signal : SIGTERM;

	if (tenant->failure[0] || tenant->status < 0)
		return true;
	return WIFSIGNALED(tenant->status) ? WTERMSIG(tenant->status) != sig : WEXITSTATUS(tenant->status) != 0;
}

/* Nothing of it is left. What now? */
static void ended(struct vms_tenant *tenant)
{
	const bool was_wanted = tenant->state != VMS_TENANT_STOPPING && !tenant->daemon->is_leaving, failed = is_failure(tenant);
	const bool steady = vms_daemon_now_ns() - tenant->since > STEADY_NS;
	const struct vms_tenant_conf *conf = tenant->conf;
	const bool is_told = tenant->failure[0];
	struct vms_err err = VMS_ERR_INIT;

	let_go(tenant);
	vms_link_remove(tenant);
	if (is_told)
		vms_event(tenant, "failed", json_pack("{s:s}", "reason", tenant->failure));
	else
		vms_event(tenant, "exit", json_pack("{s:o}", "status", vms_tenant_last_status(tenant)));
	if (!was_wanted || !conf) {
		const bool again = tenant->restarts_now && !tenant->daemon->is_leaving;

		tenant->restarts_now = false;
		tenant->failure[0] = '\0';
		if (again)
			vms_tenant_set_state(tenant, VMS_TENANT_STOPPED);
		else
			rest(tenant, VMS_TENANT_STOPPED);
		if (again && vms_tenant_start(tenant, &err) < 0)
			vms_event(tenant, "failed", json_pack("{s:s}", "reason", err.text));
		vms_daemon_tenant_ended(tenant->daemon);
		return;
	}
	if (conf->restart == VMS_RESTART_ALWAYS || (conf->restart == VMS_RESTART_ON_FAILURE && failed)) {
		if (steady || !tenant->delay_ms)
			tenant->delay_ms = conf->restart_delay_ms ? conf->restart_delay_ms : 1;
		wait_for_restart(tenant, conf->restart_delay_max_ms);
		return;
	}
	rest(tenant, failed ? VMS_TENANT_FAILED : VMS_TENANT_STOPPED);
	if (failed && !is_told)
		vms_event(tenant, "failed", json_pack("{s:s}", "reason", "it has ended"));
}

/* Without a supervisor to do it. Whoever has no parent of the tree any more is found in its cgroup only. */
static void kill_tree(struct vms_tenant *tenant)
{
	vms_cgroup_kill(tenant);
	if (tenant->program > 0)
		vms_proc_kill_tree(tenant->program);
}

/* --- the supervisor dies -------------------------------------------------------------------------- */

static void give_up(struct vms_tenant *tenant, const char *why)
{
	if (tenant->conf && tenant->conf->on_lost == VMS_ON_LOST_HOLD) {
		snprintf(tenant->failure, sizeof(tenant->failure), "%s", why);
		vms_tenant_set_state(tenant, VMS_TENANT_HELD);
		vms_event(tenant, "held", json_pack("{s:s}", "reason", why));
		return;
	}
	snprintf(tenant->failure, sizeof(tenant->failure), "%s: its processes were killed", why);
	kill_tree(tenant);
	tenant->status = -1;
	ended(tenant);
}

void vms_tenant_adopt(struct vms_tenant *tenant)
{
	const long long now = vms_daemon_now_ns();
	struct vms_err err = VMS_ERR_INIT;

	vms_caretaker_start(tenant);
	if (now - tenant->first_loss > LOSSES_NS) {
		tenant->first_loss = now;
		tenant->recent_losses = 0;
	}
	if (++tenant->recent_losses > MAX_LOSSES) {
		give_up(tenant, "its supervisor dies again and again");
		return;
	}
	tenant->is_adopting = true;
	if (vms_launch(tenant, &err) < 0 || watch_supervisor(tenant) < 0)
		give_up(tenant, err.text[0] ? err.text : "its supervisor cannot be watched");
}

static void on_supervisor_end(void *arg, int fd, unsigned int events)
{
	struct vms_tenant *tenant = arg;
	const pid_t pid = tenant->supervisor;
	int status;

	(void)fd;
	(void)events;
	/* Its last words first. */
	if (tenant->link_watch)
		vms_link_drain(tenant);
	vms_watch_free(tenant->pid_watch);
	tenant->pid_watch = NULL;
	vms_fd_close(&tenant->pidfd);
	vms_link_close(tenant);
	vms_ignore(waitpid(pid, &status, WNOHANG));
	/* Had it been killed, its control socket would stay. */
	vms_ctl_dir_forget(pid);
	tenant->supervisor = 0;
	if (tenant->is_adopting && tenant->failure[0] && !tenant->has_ended) {
		char why[sizeof(tenant->failure)];

		memcpy(why, tenant->failure, sizeof(why));
		give_up(tenant, why);
		return;
	}
	if (tenant->has_ended || tenant->failure[0]) {
		/* Should it have been killed before it had killed what the program left behind. */
		kill_tree(tenant);
		ended(tenant);
		return;
	}
	tenant->losses++;
	if (tenant->state == VMS_TENANT_RUNNING)
		vms_rest_keep(tenant);
	vms_event(tenant, "lost", json_pack("{s:i}", "supervisor", (int)pid));
	if (tenant->listener >= 0 && tenant->board && __atomic_load_n(&tenant->board->ready, __ATOMIC_ACQUIRE))
		vms_tenant_adopt(tenant);
	else
		give_up(tenant, "its supervisor died before its program had started");
}

/* --- its end ---------------------------------------------------------------------------------------- */

void vms_tenant_end_rest(struct vms_tenant *tenant)
{
	vms_link_tell(tenant, VMS_FRONT_KILL_TREE, 0, -1);
	if (tenant->state != VMS_TENANT_STOPPING)
		start_timer(tenant, REST_MS);
}

bool vms_tenant_waited(struct vms_tenant *tenant, pid_t pid, int status)
{
	if (pid != tenant->program || !pid)
		return false;
	tenant->status = status;
	tenant->has_ended = true;
	tenant->program = 0;
	/* Its supervisor may have come too late to hear of its end. */
	vms_tenant_end_rest(tenant);
	/* Held, it has nobody else to tell. */
	if (tenant->state == VMS_TENANT_HELD) {
		kill_tree(tenant);
		ended(tenant);
	}
	return true;
}

/* --- stop ------------------------------------------------------------------------------------------ */

/* Its supervisor has not answered. Should it do so in time it is told, else all of it is killed. */
static void stop_silent(struct vms_tenant *tenant)
{
	const bool again = tenant->restarts_now;

	if (look(tenant)) {
		vms_tenant_stop(tenant, again);
		return;
	}
	if (tenant->is_silent && vms_daemon_now_ns() < tenant->stop_by) {
		start_timer(tenant, LOOK_MS);
		return;
	}
	vms_cgroup_kill_left(tenant);
	if (tenant->is_silent && tenant->hello >= 0)
		vms_proc_kill_tree(tenant->hello_pid);
	tenant->status = W_EXITCODE(0, SIGKILL);
	ended(tenant);
}

static void on_timer(void *arg, int fd, unsigned int events)
{
	struct vms_tenant *tenant = arg;
	struct vms_err err = VMS_ERR_INIT;

	(void)fd;
	(void)events;
	stop_timer(tenant);
	if (tenant->state == VMS_TENANT_STOPPING && tenant->is_silent) {
		stop_silent(tenant);
		return;
	}
	if (tenant->state == VMS_TENANT_WAITING) {
		if (!tenant->is_silent) {
			tenant->restarts++;
			vms_event(tenant, "restart", json_pack("{s:i}", "restarts", (int)tenant->restarts));
		}
		vms_tenant_set_state(tenant, VMS_TENANT_STOPPED);
		vms_ignore(vms_tenant_start(tenant, &err));
		return;
	}
	if (tenant->state != VMS_TENANT_STOPPING && !tenant->has_ended)
		return;
	if (!tenant->is_killed && !tenant->has_ended) {
		tenant->is_killed = true;
		if (!vms_link_tell(tenant, VMS_FRONT_KILL_TREE, 0, -1))
			kill_tree(tenant);
		start_timer(tenant, KILL_MS);
		return;
	}
	/* It does not even do that; or, after an adoption without a cgroup, it does not know of what is left. */
	kill_tree(tenant);
	if (!tenant->has_ended)
		tenant->status = W_EXITCODE(0, SIGKILL);
	tenant->has_ended = true;
	if (tenant->supervisor)
		kill(tenant->supervisor, SIGKILL);
	else
		ended(tenant);
}

void vms_tenant_stop(struct vms_tenant *tenant, bool again)
{
	struct vms_err err = VMS_ERR_INIT;

	again = again && !tenant->daemon->is_leaving;
	tenant->restarts_now = again;
	if (tenant->is_silent && tenant->state != VMS_TENANT_STOPPING) {
		vms_tenant_set_state(tenant, VMS_TENANT_STOPPING);
		vms_rest_keep(tenant);
		tenant->stop_by = vms_daemon_now_ns() + (tenant->conf ? tenant->conf->stop_time_ms : 10000) * 1000000LL;
		start_timer(tenant, LOOK_MS);
		return;
	}
	switch (tenant->state) {
	case VMS_TENANT_WAITING:
	case VMS_TENANT_FAILED:
	case VMS_TENANT_STOPPED:
		stop_timer(tenant);
		tenant->delay_ms = 0;
		tenant->restarts_now = false;
		rest(tenant, VMS_TENANT_STOPPED);
		if (again)
			vms_ignore(vms_tenant_start(tenant, &err));
		break;
	case VMS_TENANT_HELD:
		vms_tenant_set_state(tenant, VMS_TENANT_STOPPING);
		kill_tree(tenant);
		tenant->status = W_EXITCODE(0, SIGKILL);
		ended(tenant);
		break;
	case VMS_TENANT_STARTING:
	case VMS_TENANT_RUNNING:
		vms_tenant_set_state(tenant, VMS_TENANT_STOPPING);
		vms_rest_keep(tenant);
		vms_event(tenant, "stop", NULL);
		vms_link_tell(tenant, VMS_FRONT_SIGNAL, tenant->conf ? tenant->conf->stop_signal : SIGTERM, -1);
		start_timer(tenant, tenant->conf ? tenant->conf->stop_time_ms : 10000);
		break;
	case VMS_TENANT_STOPPING:
		vms_rest_keep(tenant);
		break;
	}
}

void vms_tenant_stop_goes_on(struct vms_tenant *tenant, bool again)
{
	tenant->restarts_now = again;
	vms_tenant_set_state(tenant, VMS_TENANT_STOPPING);
	start_timer(tenant, tenant->conf ? tenant->conf->stop_time_ms : 10000);
}

/* What the start tells of a run that another vmsupd has begun. */
static void recall(struct vms_tenant *tenant)
{
	struct vms_start start;

	if (vms_start_read(tenant->start_fd, &start, NULL) < 0)
		return;
	for (size_t i = 0; i < start.nr_options; i++) {
		if (strncmp(start.options[i], "--range=", 8) == 0)
			vms_ignore(vms_range_parse(start.options[i] + 8, &tenant->range, NULL));
	}
	tenant->restarts = start.restarts;
	free(tenant->cgroup);
	tenant->cgroup = start.cgroup ? strdup(start.cgroup) : NULL;
	vms_start_done(&start);
}

void vms_tenant_resume(struct vms_tenant *tenant, pid_t supervisor, int link, int listener, int start, int board)
{
	struct vms_board *map;

	tenant->listener = listener;
	tenant->start_fd = start;
	tenant->board_fd = board;
	tenant->link = link;
	tenant->supervisor = supervisor;
	tenant->pidfd = supervisor ? pidfd_open(supervisor, 0) : -1;
	if (vms_board_map(board, false, &map) == 0)
		tenant->board = map;
	tenant->program = tenant->board && !tenant->board->main_exited ? (pid_t)tenant->board->main_pid : 0;
	if (tenant->board && tenant->board->generation)
		tenant->losses = (unsigned int)tenant->board->generation - 1;
	recall(tenant);
	vms_tenant_set_state(tenant, VMS_TENANT_RUNNING);
	if (supervisor && (tenant->pidfd < 0 || watch_supervisor(tenant) < 0 || vms_link_watch(tenant) < 0))
		fail(tenant, "its supervisor cannot be watched");
	vms_event(tenant, "found", json_pack("{s:i}", "supervisor", (int)supervisor));
}

void vms_tenant_free(struct vms_tenant *tenant)
{
	if (!tenant)
		return;
	HASH_DEL(tenant->daemon->tenants, tenant);
	stop_timer(tenant);
	vms_caretaker_stop(tenant);
	vms_link_close(tenant);
	vms_watch_free(tenant->pid_watch);
	vms_fd_close(&tenant->pidfd);
	vms_fd_close(&tenant->listener);
	vms_fd_close(&tenant->start_fd);
	vms_fd_close(&tenant->board_fd);
	vms_board_unmap(tenant->board);
	vms_fd_close(&tenant->hello);
	vms_events_drop(tenant);
	free(tenant->cgroup);
	free(tenant->old_cgroup);
	free(tenant->name);
	free(tenant);
}
