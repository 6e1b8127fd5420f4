/*
 * vmsupd's own state, and what the files of this layer offer each other. Private to the layer.
 *
 * One thread, one loop, and nothing that waits: every descriptor is non-blocking, every list has a cap. A tenant's supervisor is a
 * process of its own (supervise.h); to it vmsupd is what the front is to that of `vmsup run`.
 */
#ifndef VMSUP_DAEMON_DAEMON_H
#define VMSUP_DAEMON_DAEMON_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>
#include <uthash.h>

#include "vmsup/conf/tenant.h"
#include "vmsup/host/rlimits.h"
#include "vmsup/sup/board.h"
#include "vmsup/sup/loop.h"
#include "vmsup/sup/supervisor.h"

struct MHD_Daemon;
struct vms_server;
struct vms_tenant;

#define VMS_RUNTIME "/run/vmsup"

/** What vmsupd was told on its command line; borrowed from there. */
struct vms_daemon_options {
	const char *config, *runtime, *state; /* folders */
	bool foreground; /* SIGINT stops the tenants, too */
};

struct vms_daemon {
	struct vms_daemon_options options;
	struct vms_rlimits given; /* for supervisors and tenants, as they were before we lifted them */
	struct vms_daemon_conf conf; /* the last that was right */
	struct vms_loop *loop; /* owned */
	struct vms_tenant *tenants; /* owned, by name */
	struct vms_server *server; /* owned */
	struct vms_events *events; /* owned */
	int signal_fd, watchdog; /* owned */
	struct vms_watch *signal_watch, *watchdog_watch;
	int link_folder; /* owned: where supervisors listen for a new vmsupd */
	int rest_folder; /* owned: see rest.c */
	int lock; /* owned: held on the runtime folder */
	char *cgroup; /* owned: the folder under which tenants have theirs; NULL: none can be had */
	bool is_leaving; /* ends once the tenants have been stopped */
	struct MHD_Daemon *http; /* owned; NULL: off */
	void *http_visits; /* owned: http.c's list of connections */
	int http_timer, metrics_timer; /* owned */
	struct vms_watch *http_watch, *http_timer_watch, *metrics_watch;
	char *metrics_written; /* owned: the metrics-file that is there by us; NULL: none */
	bool metrics_told; /* that it cannot be written */
};

/* The last events of a tenant, by events.c. */
#define VMS_EVENTS_KEPT 32
struct vms_event_ring {
	struct vms_kept_event {
		json_t *event; /* owned; NULL: none yet */
		uint64_t number; /* of all events */
	} kept[VMS_EVENTS_KEPT];
	size_t next;
};

/* --- tenant.c: the life of a tenant ------------------------------------------------------------- */

enum vms_tenant_state {
	VMS_TENANT_STOPPED, /* nothing runs, and shall not */
	VMS_TENANT_STARTING, /* its supervisor has been started, its program not yet */
	VMS_TENANT_RUNNING,
	VMS_TENANT_STOPPING, /* it has been sent its stop signal */
	VMS_TENANT_WAITING, /* it has ended and will be restarted */
	VMS_TENANT_FAILED, /* it has ended by itself, and will not be restarted */
	VMS_TENANT_HELD, /* it has no supervisor, and its memory calls wait */
};

struct vms_tenant {
	struct vms_daemon *daemon;
	char *name; /* owned */
	const struct vms_tenant_conf *conf; /* borrowed from daemon->conf; NULL: it is not configured any more */
	enum vms_tenant_state state;
	bool is_known; /* it was in the configuration before */
	bool restarts_now; /* once it has stopped, at somebody's wish */
	bool is_killed; /* KILL_TREE has been sent */
	bool is_adopting; /* its supervisor was started over a tree that was there */
	pid_t supervisor; /* 0: none */
	pid_t program; /* 0: none that is known to run */
	bool has_ended; /* the program; status is its own */
	int status; /* of wait(2), the last; -1: nobody could tell */
	char failure[512]; /* why the last start has failed; empty: it has not */
	bool is_silent; /* it has a supervisor, by the lock, that has not said hello: it is looked for again */
	bool is_stored; /* found in the service manager's store, without a supervisor */
	int pidfd, link, timer, start_fd, board_fd, listener; /* owned; -1: not there */
	int hello; /* owned: to a supervisor that has not answered yet; -1: none */
	pid_t hello_pid; /* with hello */
	long long stop_by; /* ns; is_silent and STOPPING: until it is killed unheard */
	struct vms_watch *pid_watch, *link_watch, *timer_watch;
	const struct vms_board *board; /* owned; NULL: none */
	struct vms_caretaker *caretaker; /* owned; NULL: its supervisor receives */
	struct vms_range range; /* of this run; empty: it has none */
	char *cgroup; /* owned; NULL: it has none */
	char *old_cgroup; /* owned: of the run before, not empty when it was to be removed; NULL: none */
	unsigned int restarts, losses; /* ever: starts by itself; supervisors that died */
	unsigned int delay_ms; /* before the next restart */
	long long since; /* ns: when it got into this state */
	unsigned int recent_losses; /* since first_loss */
	long long first_loss; /* ns */
	struct vms_event_ring events[2]; /* owned: of its life; and limits and refusals */
	UT_hash_handle hh;
};

struct vms_tenant *vms_tenant_find(const struct vms_daemon *daemon, const char *name);
/** A record of @name, made when there is none. NULL: out of memory. */
struct vms_tenant *vms_tenant_get(struct vms_daemon *daemon, const char *name);
void vms_tenant_free(struct vms_tenant *tenant);
/** Start it. 0, or a negative errno with a sentence: it runs, or cannot be started now. */
VMS_MUST_CHECK int vms_tenant_start(struct vms_tenant *tenant, struct vms_err *err);
/** Have it stopped; and, with @again, started once more. Nothing to do is fine. */
void vms_tenant_stop(struct vms_tenant *tenant, bool again);
/** The stop that another vmsupd has begun: it has been sent its stop signal. */
void vms_tenant_stop_goes_on(struct vms_tenant *tenant, bool again);
/** True when something of it is there. */
bool vms_tenant_is_up(const struct vms_tenant *tenant);
/** Descriptors of a tree that vmsupd finds at its start: from a supervisor's HELLO or the fd store; taken. */
void vms_tenant_resume(struct vms_tenant *tenant, pid_t supervisor, int link, int listener, int start, int board);
/** Its supervisor is started over the tree that is there. */
void vms_tenant_adopt(struct vms_tenant *tenant);
/** The program has ended: what it has left behind goes, and then its supervisor. */
void vms_tenant_end_rest(struct vms_tenant *tenant);
/** The child @pid has been waited for: true when it was of this tenant. */
bool vms_tenant_waited(struct vms_tenant *tenant, pid_t pid, int status);
const char *vms_tenant_state_name(enum vms_tenant_state state);
/** What `vmsup status` shows of it (new reference). */
json_t *vms_tenant_status(const struct vms_tenant *tenant);
/** Its counters, from the board (new reference); NULL: it has none. */
json_t *vms_tenant_stats(const struct vms_tenant *tenant);
/** How its program has ended last, for people (new reference); null: nobody could tell. */
json_t *vms_tenant_last_status(const struct vms_tenant *tenant);
void vms_tenant_set_state(struct vms_tenant *tenant, enum vms_tenant_state state);
/** hear.c: the link has a message. */
void vms_tenant_message(struct vms_tenant *tenant, const struct vms_front_msg *msg, int *fds, size_t nr_fds);

/* --- launch.c: a supervisor is started ----------------------------------------------------------- */

/** What it is started with, as start.h has it (new reference); it must be configured. */
json_t *vms_launch_json(const struct vms_tenant *tenant);
/** Make start and board of @tenant from its configuration. 0, or a negative errno with a sentence. */
VMS_MUST_CHECK int vms_launch_prepare(struct vms_tenant *tenant, struct vms_err *err);
/** Start its supervisor with what it has; over a tree that is there when it has a listener. The same. */
VMS_MUST_CHECK int vms_launch(struct vms_tenant *tenant, struct vms_err *err);

/* --- link.c: the socket to a supervisor ---------------------------------------------------------- */

VMS_MUST_CHECK int vms_link_watch(struct vms_tenant *tenant);
/** Take the messages that have come. */
void vms_link_drain(struct vms_tenant *tenant);
void vms_link_close(struct vms_tenant *tenant);
/** Tell the supervisor; @fd may be -1. False: it could not be told. */
bool vms_link_tell(const struct vms_tenant *tenant, enum vms_front_kind kind, int value, int fd);
/**
 * Connect to the supervisors that are there, and take what the service manager has kept. Returns the control socket, when it gave one,
 * which is the caller's; -1: none.
 */
int vms_link_find_all(struct vms_daemon *daemon);
/** Connect to the supervisor of @tenant, should there be one, without waiting: it is taken once it has said hello. */
void vms_link_find(struct vms_tenant *tenant);
/** Its supervisor has ended, perhaps without the time to remove its socket. */
void vms_link_remove(const struct vms_tenant *tenant);
/**
 * The lock that the supervisor of @tenant holds as long as it lives: 0 with a descriptor that the caller closes or passes on, -EBUSY when
 * one holds it, another negative errno.
 */
VMS_MUST_CHECK int vms_link_lock(const struct vms_tenant *tenant, int *ret_fd);

/* --- cgroup.c ------------------------------------------------------------------------------------ */

/** Find where tenants' cgroups can be made; daemon->cgroup stays NULL when nowhere. */
void vms_cgroup_find(struct vms_daemon *daemon);
/** Make that of @tenant with its limits; tenant->cgroup stays NULL when it gets none. */
void vms_cgroup_make(struct vms_tenant *tenant);
/**
 * By a supervisor that has just been forked: leave the unit of vmsupd, which it outlives. A service manager would take it for
 * something forgotten there.
 */
void vms_cgroup_enter(const struct vms_daemon *daemon);
/** SIGKILL to all in it. */
void vms_cgroup_kill(const struct vms_tenant *tenant);
/** The same of one that another vmsupd has made, if it has. */
void vms_cgroup_kill_left(struct vms_tenant *tenant);
/** Remove it when it is empty. */
void vms_cgroup_remove(struct vms_tenant *tenant);
/** vmsupd ends. */
void vms_cgroup_leave(struct vms_daemon *daemon);
/** Try again with those that were not. */
void vms_cgroup_remove_old(struct vms_daemon *daemon);

/* --- notify.c: systemd ---------------------------------------------------------------------------- */

/** READY, RELOADING, STOPPING, STATUS... as sd_notify(3) has them. */
void vms_notify(const char *state);
void vms_notify_status(const struct vms_daemon *daemon);
/** Keep @fd in the service manager's store as @what of @tenant. */
void vms_notify_keep(const struct vms_tenant *tenant, const char *what, int fd);
/** Take all of @tenant out of it. */
void vms_notify_drop(const struct vms_tenant *tenant);
/** An entry of the journal with the fields VMSUP_TENANT and VMSUP_EVENT. False: stderr is not the journal, or it has no room now. */
VMS_MUST_CHECK bool vms_notify_journal(const char *tenant, const char *what, int priority, const char *text);
/**
 * A stream to the journal for what @tenant writes, of its own: what is done to a shared one is done to all. The caller's; -1: none, or the
 * journal is not where stderr goes.
 */
VMS_MUST_CHECK int vms_notify_stream(const struct vms_tenant *tenant);
/** Begin to feed the watchdog, if there is one. */
void vms_notify_watchdog(struct vms_daemon *daemon);
/**
 * The descriptors that this process was started with. Called for each with its name; @each takes the descriptor.
 */
void vms_notify_each_fd(void (*each)(const char *name, int fd, void *arg), void *arg);

/* --- caretaker.c: calls between two supervisors ---------------------------------------------------- */

struct vms_caretaker;
/** Receive the calls of @tenant, whose supervisor has died, until the next one takes over. What cannot be had is done without. */
void vms_caretaker_start(struct vms_tenant *tenant);
void vms_caretaker_stop(struct vms_tenant *tenant);

/* --- rest.c: what the next vmsupd shall not start ------------------------------------------------- */

/** Keep that @tenant is stopped, failed or being stopped, or what runs. What cannot be kept is told in the log. */
void vms_rest_keep(const struct vms_tenant *tenant);
void vms_rest_forget(const struct vms_tenant *tenant);
/**
 * Those that rest are stopped or failed, as they were, and known; those that were being stopped are being stopped; what is kept of others is
 * forgotten.
 */
void vms_rest_recall_all(struct vms_daemon *daemon);

/* --- events.c ------------------------------------------------------------------------------------- */

struct vms_events;
/** Told of each event; @event is borrowed. */
typedef void vms_event_fn(void *arg, const json_t *event);

struct vms_events *vms_events_new(void);
void vms_events_free(struct vms_events *events);
/** Something has happened to @tenant: log it, remember it, tell those that listen. @more (taken, may be NULL) has further members. */
void vms_event(struct vms_tenant *tenant, const char *what, json_t *more);
/** 0, or -EAGAIN when too many listen. */
VMS_MUST_CHECK int vms_events_listen(struct vms_events *events, vms_event_fn *fn, void *arg);
void vms_events_forget(struct vms_events *events, const void *arg);
/** Call @fn for the last events of each tenant, the oldest first. 0 or -ENOMEM. */
VMS_MUST_CHECK int vms_events_replay(const struct vms_daemon *daemon, vms_event_fn *fn, void *arg);
/** Free what is kept of @tenant. */
void vms_events_drop(struct vms_tenant *tenant);

/* --- daemon.c ------------------------------------------------------------------------------------- */

/** Run until it is told to end. Returns an exit status. */
int vms_daemon_main(const struct vms_daemon_options *options);
/** Read the configuration again. 0, or a negative errno with a sentence: then the old one stays. */
VMS_MUST_CHECK int vms_daemon_reload(struct vms_daemon *daemon, struct vms_err *err);
/** Nothing of a tenant is left. */
void vms_daemon_tenant_ended(struct vms_daemon *daemon);
long long vms_daemon_now_ns(void);

/* --- server.c: the control socket ----------------------------------------------------------------- */

/** @fd: a socket that listens already (taken), or -1. 0, or a negative errno with a sentence. */
VMS_MUST_CHECK int vms_server_new(struct vms_daemon *daemon, int fd, struct vms_err *err);
void vms_server_free(struct vms_server *server);

#endif
