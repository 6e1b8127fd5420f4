/*
 * What the supervisor of a tenant does for vmsupd: it outlives it, keeps what the next one needs, tells events, sends its trace
 * where it is told to.
 *
 * The link to vmsupd is the front's socket. When it breaks, the tree goes on; the next vmsupd connects to a socket in the file
 * system and is given all that the one before held.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <linux/seccomp.h>

#include "vmsup/base/fd.h"
#include "vmsup/host/proc.h"
#include "vmsup/sup/drain.h"
#include "vmsup/sup/report.h"
#include "vmsup/sup/sup.h"
#include "vmsup/wire/msg.h"

/* One event in 20 ms, and 50 at once. */
#define EVENT_COST_NS 20000000LL
#define EVENT_BURST 50
/* Until the program's parent has waited for it. */
#define REAP_NS 2000000
#define REAP_WITHIN_NS 5000000000
/* What forks while it is being killed is met the next time. */
#define KILL_ROUNDS 3

int vms_tenancy_take(struct vms_sup *sup, const struct vms_tenancy *tenancy, struct vms_err *err)
{
	int r;

	sup->tenancy = *tenancy;
	if (tenancy->board_fd < 0)
		return 0;
	sup->is_successor = tenancy->listener >= 0;
	r = vms_board_map(tenancy->board_fd, true, &sup->board);
	if (r < 0)
		return vms_err_set(err, r, "the board of tenant %s cannot be used: %s", tenancy->name, strerror(-r));
	sup->board->generation++;
	return 0;
}

static void remove_socket(struct vms_sup *sup)
{
	char *copy = strdup(sup->tenancy.link_path);

	if (copy && sup->link_fd >= 0 && sup->link_folder >= 0)
		vms_ignore(unlinkat(sup->link_folder, basename(copy), 0));
	free(copy);
}

void vms_tenancy_done(struct vms_sup *sup)
{
	vms_watch_free(sup->link_watch);
	vms_watch_free(sup->main_watch);
	vms_tally_done(sup);
	if (!sup->board)
		return;
	remove_socket(sup);
	vms_tenancy_trace(sup, -1);
	vms_fd_close(&sup->link_fd);
	vms_fd_close(&sup->link_folder);
	vms_fd_close(&sup->main_pidfd);
	vms_fd_close(&sup->tenancy.start_fd);
	vms_fd_close(&sup->tenancy.board_fd);
	vms_fd_close(&sup->tenancy.lock_fd);
	vms_fd_close(&sup->tenancy.listener);
	vms_board_unmap(sup->board);
	sup->board = NULL;
}

/* --- the link ---------------------------------------------------------------------------------- */

/* By way of the folder's descriptor: the path may be longer than a socket's address. */
static int bind_in(int folder, const char *name, int *ret_fd)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	vms_autofd fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask;
	int r;

	if (fd < 0)
		return -errno;
	if (snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", folder, name) >=
	    (int)sizeof(address.sun_path))
		return -ENAMETOOLONG;
	vms_ignore(unlinkat(folder, name, 0));
	mask = umask(0177);
	r = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 4) < 0 ? -errno : 0;
	umask(mask);
	if (r == 0)
		*ret_fd = vms_fd_steal(&fd);
	return r;
}

int vms_tenancy_open(struct vms_sup *sup, struct vms_err *err)
{
	char *name = strdup(sup->tenancy.link_path), *folder = strdup(sup->tenancy.link_path);
	int r = -ENOMEM;

	if (name && folder) {
		sup->link_folder = open(dirname(folder), O_PATH | O_DIRECTORY | O_CLOEXEC);
		r = sup->link_folder < 0 ? -errno : bind_in(sup->link_folder, basename(name), &sup->link_fd);
	}
	free(name);
	free(folder);
	if (r < 0)
		return vms_err_set(err, r, "%s cannot be opened: %s", sup->tenancy.link_path, strerror(-r));
	return 0;
}

static bool is_trusted(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && (peer.uid == 0 || peer.uid == geteuid());
}

static void say_hello(struct vms_sup *sup)
{
	const int fds[VMS_FRONT_FDS] = { sup->listener.fd, sup->tenancy.start_fd, sup->tenancy.board_fd };

	vms_front_tell_with(sup->front_fd, VMS_FRONT_HELLO, sup->main_exited ? 0 : sup->main_pid, PACKAGE_VERSION, fds, VMS_FRONT_FDS);
	if (sup->main_started)
		vms_front_tell(sup->front_fd, VMS_FRONT_STARTED, sup->main_pid, NULL);
	if (sup->main_exited)
		vms_front_tell(sup->front_fd, VMS_FRONT_EXITED, (int)sup->board->exit_status, NULL);
}

static void on_link(void *arg, int fd, unsigned int events)
{
	struct vms_sup *sup = arg;
	vms_autofd peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (peer < 0 || !is_trusted(peer))
		return;
	/* One vmsupd at a time: the last that came. */
	vms_watch_free(sup->front_watch);
	sup->front_watch = NULL;
	vms_fd_close(&sup->front_fd);
	sup->front_fd = vms_fd_steal(&peer);
	sup->front_owes = false;
	if (vms_main_watch_front(sup) < 0) {
		vms_fd_close(&sup->front_fd);
		return;
	}
	say_hello(sup);
}

void vms_tenancy_lost_link(struct vms_sup *sup)
{
	vms_fd_close(&sup->front_fd);
	sup->front_owes = false;
}

/*
 * The program is not our child. How it ended hears its parent: vmsupd, which knows better than we, or, when that has died, init; after
 * which the kernel tells us, too.
 */
void vms_tenancy_main_end(struct vms_sup *sup, bool is_last)
{
	const struct timespec pause = { .tv_nsec = REAP_NS };
	int status = -1;

	vms_watch_free(sup->main_watch);
	sup->main_watch = NULL;
	if (!sup->board || sup->main_exited)
		return;
	if (!sup->main_end_by)
		sup->main_end_by = vms_now_ns() + REAP_WITHIN_NS;
	/* It may take its parent a while. */
	while (vms_proc_exit_status(sup->main_pidfd, &status) == -EAGAIN && vms_now_ns() < sup->main_end_by) {
		if (!is_last) {
			vms_wait_soon(sup);
			return;
		}
		nanosleep(&pause, NULL);
	}
	vms_main_ended(sup, status);
}

static void on_main_end(void *arg, int fd, unsigned int events)
{
	(void)fd;
	(void)events;
	vms_tenancy_main_end(arg, false);
}

int vms_tenancy_watch(struct vms_sup *sup)
{
	int r = vms_loop_add(sup->loop, sup->link_fd, VMS_WATCH_READ, -1, on_link, sup, &sup->link_watch);

	if (r == 0 && sup->main_pidfd >= 0)
		r = vms_loop_add(sup->loop, sup->main_pidfd, VMS_WATCH_READ, -1, on_main_end, sup, &sup->main_watch);
	return r < 0 ? r : vms_tally_start(sup);
}

/* --- what the next supervisor has to know ------------------------------------------------------- */

void vms_tenancy_keep_limits(struct vms_sup *sup)
{
	if (!sup->board)
		return;
	sup->board->limits = sup->tasks.limits;
	sup->board->tree_limits = sup->tasks.tree_limits;
}

void vms_tenancy_started(struct vms_sup *sup)
{
	struct vms_board *board = sup->board;
	struct vms_proc_status own;

	board->cookie = sup->cookie;
	/* A service manager may have set some for all of its unit. */
	board->filters = vms_proc_status(getpid(), &own) == 0 ? own.filters + 1 : 1;
	board->seed = sup->seed;
	board->random = sup->tasks.random;
	board->main_pid = sup->main_pid;
	vms_tenancy_keep_limits(sup);
	sup->listener.journal = &board->journal;
	__atomic_store_n(&board->ready, 1, __ATOMIC_RELEASE);
	vms_front_tell_with(sup->front_fd, VMS_FRONT_LISTENER, 0, NULL, &sup->listener.fd, 1);
}

/* --- trace, events, the end --------------------------------------------------------------------- */

void vms_tenancy_trace(struct vms_sup *sup, int fd)
{
	const struct vms_process *process;

	if (sup->drain) {
		sup->trace = NULL;
		vms_drain_free(sup->drain);
		sup->drain = NULL;
	}
	/* One that was asked for in the configuration goes to its file. */
	if (fd < 0 || sup->trace) {
		vms_fd_close(&fd);
		return;
	}
	sup->drain = vms_drain_new(fd);
	if (!sup->drain)
		return;
	sup->trace = vms_drain_file(sup->drain);
	vms_trace_start(sup);
	for (process = sup->tasks.processes; process; process = process->hh.next)
		vms_trace_space(sup, process);
}

/* A bucket of EVENT_BURST, filled with time. */
static bool may_tell(struct vms_sup *sup)
{
	const long long now = vms_now_ns(), floor = now - EVENT_BURST * EVENT_COST_NS;

	if (sup->event_credit_ns < floor)
		sup->event_credit_ns = floor;
	if (sup->event_credit_ns + EVENT_COST_NS > now)
		return false;
	sup->event_credit_ns += EVENT_COST_NS;
	return true;
}

void vms_tenancy_event(struct vms_sup *sup, json_t *object)
{
	char *text = object && may_tell(sup) ? json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_ENSURE_ASCII) : NULL;

	if (!text || strlen(text) >= sizeof(((struct vms_front_msg *)NULL)->text) ||
	    !vms_front_tell_with(sup->front_fd, VMS_FRONT_EVENT, 0, text, NULL, 0))
		sup->board->counters.events_lost++;
	free(text);
	json_decref(object);
}

/* What no rule of the tenant's forbids, the kernel or the range does: the 1st, 2nd, 4th... time of each is told. */
void vms_tenancy_refused(struct vms_sup *sup, const struct vms_refusal *refusal, bool is_ours)
{
	const bool has_rule = refusal->limit || refusal->rule || refusal->injected;
	const char *name = strerrorname_np(refusal->error);
	json_t *object;

	if (!sup->board || (!has_rule && (!is_ours || (refusal->count & (refusal->count - 1)))))
		return;
	object = json_pack("{s:s, s:i, s:o, s:s, s:s, s:I}", "event", refusal->limit ? "limit" : "refusal", "pid", (int)refusal->pid,
			   "command", vms_msg_text(refusal->command), "call", vms_call_get(refusal->call)->name, "errno",
			   name ? name : "EIO", "count", (json_int_t)refusal->count);
	vms_report_reason(object, refusal->injected, refusal->rule, refusal->limit, refusal->tree_limit);
	vms_tenancy_event(sup, object);
}

static int kill_one(pid_t pid, void *arg)
{
	struct vms_proc_status status;

	(void)arg;
	/* Who is not under a filter is not of the tree. */
	if (pid != getpid() && vms_proc_status(pid, &status) == 0 && status.seccomp == SECCOMP_MODE_FILTER)
		kill(pid, SIGKILL);
	return 0;
}

static void kill_cgroup(const char *folder)
{
	vms_autofd dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;

	if (dir < 0)
		return;
	fd = openat(dir, "cgroup.kill", O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		vms_ignore(vms_fd_write_all(fd, "1", 1));
}

void vms_tenancy_kill(struct vms_sup *sup)
{
	const struct vms_process *process;

	if (sup->tenancy.cgroup)
		kill_cgroup(sup->tenancy.cgroup);
	for (int i = 0; i < KILL_ROUNDS; i++) {
		vms_ignore(vms_proc_each_descendant(getpid(), kill_one, sup));
		if (!sup->main_exited) {
			vms_ignore(vms_proc_each_descendant(sup->main_pid, kill_one, sup));
			vms_main_kill(sup, SIGKILL);
		}
		for (process = sup->tasks.processes; process; process = process->hh.next)
			vms_ignore((int)syscall(SYS_pidfd_send_signal, process->pidfd, SIGKILL, NULL, 0));
	}
}
