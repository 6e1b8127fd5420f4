/*
 * The life of a supervisor: start the program, serve, end with the last task of the tree.
 */
#include "vmsup/sup/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/openat2.h>

#include "vmsup/base/fd.h"
#include "vmsup/host/rlimits.h"
#include "vmsup/host/spawn.h"
#include "vmsup/sup/sup.h"

#define EXIT_FAILED 125
#define EXIT_CANNOT_EXECUTE 126
#define EXIT_NOT_FOUND 127
#define LOG_LINES 20
#define LAST_WORD_MS 20

/*
 * The file lies where root says, but it may lie where the tenant can put something else in its place. And what a supervisor that died
 * wrote stays.
 */
static int open_of_tenant(const struct vms_sup *sup, const char *path)
{
	struct open_how how = {
		.flags = O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.mode = 0644,
		.resolve = RESOLVE_NO_SYMLINKS,
	};
	vms_autofd fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
	struct stat st;
	char last;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!(S_ISREG(st.st_mode) && st.st_nlink == 1 && st.st_uid == geteuid()) && !S_ISCHR(st.st_mode))
		return -EPERM;
	if (S_ISREG(st.st_mode) && !sup->is_successor && ftruncate(fd, 0) < 0)
		return -errno;
	/* It may have died in the middle of a line. */
	if (S_ISREG(st.st_mode) && sup->is_successor && pread(fd, &last, 1, st.st_size - 1) == 1 && last != '\n' && write(fd, "\n", 1) < 0)
		return -errno;
	return vms_fd_steal(&fd);
}

static int open_output(const struct vms_sup *sup, const char *path, FILE **ret_file, struct vms_err *err)
{
	vms_autofd fd = -1;
	FILE *file;

	if (!path) {
		*ret_file = stderr;
		return 0;
	}
	if (sup->board) {
		fd = open_of_tenant(sup, path);
		if (fd == -ELOOP)
			return vms_err_set(err, fd, "%s goes by a symbolic link: name the file itself", path);
		if (fd == -EPERM)
			return vms_err_set(err, fd, "%s is no file of root's alone: remove it, or name another", path);
		if (fd < 0)
			return vms_err_set(err, fd, "%s cannot be written: %s", path, strerror(-fd));
	} else {
		/* Appending, so that --stats and --trace to the same file do not overwrite each other. */
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
	}
	file = fd < 0 ? NULL : fdopen(fd, "a");
	if (!file)
		return vms_err_set(err, -errno, "%s cannot be written: %s", path, strerror(errno));
	vms_fd_steal(&fd);
	*ret_file = file;
	return 0;
}

/* A program that runs already is not to end for it. */
static int open_report(const struct vms_sup *sup, bool *is_wanted, const char *path, FILE **ret_file, struct vms_err *err)
{
	int r = *is_wanted ? open_output(sup, path, ret_file, err) : 0;

	if (r == 0 || !sup->is_successor)
		return r;
	vms_log("%s; it is left out from now on", err->text);
	err->text[0] = '\0';
	*is_wanted = false;
	return 0;
}

/* --- events ------------------------------------------------------------------------------------ */

static bool is_hung_up(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0 && !(p.revents & POLLIN) && (p.revents & (POLLHUP | POLLERR | POLLNVAL));
}

bool vms_sup_is_over(const struct vms_sup *sup)
{
	return is_hung_up(sup->listener.fd);
}

static void on_listener(void *arg, int fd, unsigned int events)
{
	struct vms_sup *sup = arg;
	struct vms_trap trap;
	enum vms_call call;
	long long began;
	int r = -EAGAIN;

	(void)events;
	/*
	 * Before Linux 6.11, to receive when the last task under the filter is gone is to wait for ever. A task is gone when it
	 * has been waited for, and the program itself is waited for by us.
	 */
	if (sup->main_exited && is_hung_up(fd)) {
		vms_loop_stop(sup->loop);
		return;
	}
	r = vms_listener_receive(&sup->listener, &trap);
	if (r < 0) {
		/* The last task under the filter is gone. */
		if (r != -EAGAIN || is_hung_up(fd))
			vms_loop_stop(sup->loop);
		return;
	}
	call = vms_call_by_nr(trap.arch, trap.nr);
	sup->stats.notifications++;
	if (call < VMS_NR_CALLS)
		sup->stats.by_call[call]++;
	began = sup->board ? vms_now_ns() : 0;
	vms_step(sup, &trap);
	if (sup->board)
		vms_tally_step(sup, began);
}

static void on_signal(void *arg, int fd, unsigned int events)
{
	struct vms_sup *sup = arg;
	struct signalfd_siginfo info;

	(void)events;
	while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		;
	vms_wait_all(sup);
}

/* The front is gone. If it had not been told the end, it was killed: so is what it stands for. */
static void lose_front(struct vms_sup *sup)
{
	sup->front_pid = 0;
	vms_watch_free(sup->front_watch);
	sup->front_watch = NULL;
	if (sup->board)
		vms_tenancy_lost_link(sup);
	else if (!sup->main_exited)
		kill(sup->main_pid, SIGKILL);
}

static void on_front(void *arg, int fd, unsigned int events)
{
	struct vms_sup *sup = arg;
	vms_autofd passed = -1;
	struct vms_front_msg msg;
	int r = vms_front_hear(fd, &msg, &passed);

	(void)events;
	if (r == -EAGAIN || r == -EINTR)
		return;
	if (r < 0) {
		lose_front(sup);
		return;
	}
	switch (msg.kind) {
	case VMS_FRONT_SIGNAL:
		if (!sup->main_exited)
			vms_main_kill(sup, msg.value);
		break;
	case VMS_FRONT_RESUMED:
		sup->front_owes = false;
		/* What continued the front may have continued the program, too. */
		vms_wait_all(sup);
		vms_wait_tells_front(sup);
		break;
	case VMS_FRONT_TRACE:
		if (sup->board)
			vms_tenancy_trace(sup, msg.value ? vms_fd_steal(&passed) : -1);
		break;
	case VMS_FRONT_YOURS:
		sup->is_receiver = true;
		break;
	case VMS_FRONT_KILL_TREE:
		if (sup->board)
			vms_tenancy_kill(sup);
		break;
	default:
		break;
	}
}

void vms_main_hear_front(struct vms_sup *sup, int ms)
{
	struct pollfd p = { .fd = sup->front_fd, .events = POLLIN };

	if (sup->front_fd >= 0 && poll(&p, 1, ms) > 0)
		on_front(sup, sup->front_fd, 0);
}

int vms_main_watch_front(struct vms_sup *sup)
{
	return vms_loop_add(sup->loop, sup->front_fd, VMS_WATCH_READ, 0, on_front, sup, &sup->front_watch);
}

void vms_main_kill(const struct vms_sup *sup, int sig)
{
	/* One that is not our child may have been waited for, and its number be another's. */
	if (sup->main_pidfd >= 0)
		vms_ignore((int)syscall(SYS_pidfd_send_signal, sup->main_pidfd, sig, NULL, 0));
	else
		kill(sup->main_pid, sig);
}

void vms_main_report(struct vms_sup *sup)
{
	int error = 0;
	char text[512];

	if (sup->report_fd < 0)
		return;
	if (read(sup->report_fd, &error, sizeof(error)) == (ssize_t)sizeof(error)) {
		snprintf(text, sizeof(text), "cannot run %s: %s", sup->options.argv[0],
			 error == ENOENT ? "no such program, or no such interpreter of it (#!): check the name and PATH" : strerror(error));
		vms_front_tell(sup->front_fd, VMS_FRONT_FAILED,
			       error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE, text);
	} else if (!sup->moves_images && sup->options.mode == VMS_MODE_FENCE) {
		vms_main_started(sup);
	}
	vms_watch_free(sup->report_watch);
	sup->report_watch = NULL;
	vms_fd_close(&sup->report_fd);
}

static void on_report(void *arg, int fd, unsigned int events)
{
	(void)fd;
	(void)events;
	vms_main_report(arg);
}

void vms_main_started(struct vms_sup *sup)
{
	if (sup->main_started)
		return;
	sup->main_started = true;
	if (sup->board)
		sup->board->main_started = 1;
	vms_front_tell(sup->front_fd, VMS_FRONT_STARTED, sup->main_pid, NULL);
}

static void on_pidfd(void *arg, int fd, unsigned int events)
{
	struct vms_process *process = arg;

	(void)fd;
	(void)events;
	vms_tasks_drop_process(process->owner, process);
}

static void watch_process(struct vms_process *process, void *arg)
{
	struct vms_sup *sup = arg;
	struct vms_watch *watch;

	/* Before notifications, so that a tid that is used again never meets an old record. */
	if (vms_loop_add(sup->loop, process->pidfd, VMS_WATCH_READ, 2, on_pidfd, process, &watch) == 0)
		process->watch = watch;
	vms_fork_seen(sup, process);
}

static void unwatch_process(struct vms_process *process, void *arg)
{
	vms_exec_forget(arg, process);
	vms_fork_gone(arg, process);
	vms_watch_free(process->watch);
}

/* --- start and end ----------------------------------------------------------------------------- */

/* Everything that was inherited for the program is the program's: pipes must see their end when it closes them. */
static void close_inherited(const struct vms_sup *sup)
{
	const struct vms_tenancy *tenancy = sup->board ? &sup->tenancy : NULL;
	const int keep[] = { sup->front_fd,
			     tenancy ? tenancy->start_fd : -1,
			     tenancy ? tenancy->board_fd : -1,
			     tenancy ? tenancy->lock_fd : -1,
			     sup->link_fd,
			     sup->link_folder,
			     sup->main_pidfd,
			     sup->listener.fd,
			     sup->report_fd,
			     sup->trace && sup->trace != stderr ? fileno(sup->trace) : -1,
			     sup->stats_file && sup->stats_file != stderr ? fileno(sup->stats_file) : -1 };

	vms_fd_let_go(keep, sizeof(keep) / sizeof(keep[0]));
}

static int load_filter(const void *arg)
{
	return vms_filter_load(arg);
}

static int start_program(struct vms_sup *sup, const struct vms_rlimits *given, struct vms_err *err)
{
	struct vms_filter filter = { 0 };
	struct rlimit limit;
	struct vms_spawn_req req = {
		.argv = sup->options.argv, .load = load_filter, .load_arg = &filter, .rlimits = given,
		.place = sup->tenancy.place,
	};
	struct vms_spawn spawn;
	bool set_limit;
	int r = vms_configure_limit(sup, &limit, &set_limit, err);

	if (r < 0)
		return r;
	if (set_limit)
		req.address_space = &limit;
	req.max_stack = sup->options.limits.max[VMS_LIMIT_STACK];
	r = vms_filter_build(vms_configure_traps(sup), &sup->cookie, vms_sup_is_unsealed(sup) ? &sup->range : NULL, &filter, err);
	if (r < 0)
		return r;
	/* Orphans of the tree become our children; before the first can exist. */
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	/* vmsupd never stops, and so is never to be woken. */
	sup->front_pid = sup->board ? 0 : getppid();
	r = vms_spawn(&req, &spawn, err);
	vms_filter_done(&filter);
	if (r < 0)
		return r;
	sup->main_pid = spawn.pid;
	sup->report_fd = spawn.report;
	r = vms_listener_init(&sup->listener, spawn.listener);
	if (r < 0) {
		close(spawn.listener);
		kill(spawn.pid, SIGKILL);
		return vms_err_set(err, r, "the listener cannot be used: %s", strerror(-r));
	}
	if (sup->board)
		vms_tenancy_started(sup);
	return 0;
}

/*
 * Out of the way of the terminal: a session of our own, and no signal is taken but SIGCHLD. In the front's session we would, as
 * the program's parent, keep its process group from ever being orphaned, and Ctrl-Z without a job-control shell
 * would stop the program for good.
 */
static int leave_terminal(struct vms_sup *sup)
{
	sigset_t all, child;

	vms_log_never_wait();
	setsid();
	vms_ignore(chdir("/"));
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sup->signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	return sup->signal_fd < 0 ? -errno : 0;
}

static int start_watching(struct vms_sup *sup)
{
	int r = vms_loop_new(&sup->loop);

	if (r == 0)
		r = vms_loop_add_hot(sup->loop, sup->listener.fd, on_listener, sup, &sup->listener_watch);
	if (r == 0)
		r = vms_loop_add(sup->loop, sup->signal_fd, VMS_WATCH_READ, 1, on_signal, sup, &sup->signal_watch);
	if (r == 0 && sup->front_fd >= 0)
		r = vms_main_watch_front(sup);
	if (r == 0 && sup->report_fd >= 0)
		r = vms_loop_add(sup->loop, sup->report_fd, VMS_WATCH_READ, 0, on_report, sup, &sup->report_watch);
	if (r == 0)
		r = vms_wait_start(sup);
	if (r == 0 && sup->board)
		r = vms_tenancy_watch(sup);
	return r < 0 ? r : vms_hold_start(sup);
}

static int start(struct vms_sup *sup, const struct vms_rlimits *given, struct vms_err *err)
{
	int r = vms_proc_check(err);

	if (r == 0 && sup->board)
		r = vms_tenancy_open(sup, err);
	if (r < 0)
		return r;
	vms_machine_learn(&sup->machine);
	r = vms_configure_check(sup, err);
	if (r == 0)
		r = open_report(sup, &sup->options.stats, sup->options.stats_file, &sup->stats_file, err);
	if (r == 0)
		r = open_report(sup, &sup->options.trace, sup->options.trace_file, &sup->trace, err);
	if (r < 0)
		return r;
	r = sup->is_successor ? 0 : vms_cookie_draw(&sup->cookie);
	if (r < 0)
		return vms_err_set(err, r, "no random numbers: %s", strerror(-r));
	if (sup->is_successor)
		sup->cookie = sup->board->cookie;
	vms_configure(sup);
	if (sup->trace)
		vms_trace_start(sup);
	r = sup->is_successor ? vms_adopt_begin(sup, err) : start_program(sup, given, err);
	if (r < 0)
		return r;
	close_inherited(sup);
	r = leave_terminal(sup);
	if (r == 0)
		r = start_watching(sup);
	if (r < 0 && !sup->is_successor)
		kill(sup->main_pid, SIGKILL);
	if (r < 0)
		return vms_err_set(err, r, "the supervisor cannot start: %s", strerror(-r));
	if (sup->is_successor)
		vms_adopt_tree(sup);
	return 0;
}

int vms_sup_new(const struct vms_run_options *options, const struct vms_rlimits *given, int front_fd,
		const struct vms_tenancy *tenancy, struct vms_sup **ret_sup)
{
	struct vms_sup *sup = calloc(1, sizeof(*sup));
	struct vms_err err = VMS_ERR_INIT;
	int r;

	if (!sup) {
		vms_front_tell(front_fd, VMS_FRONT_FAILED, EXIT_FAILED, "out of memory");
		return -ENOMEM;
	}
	sup->options = *options;
	sup->front_fd = front_fd;
	sup->listener.fd = sup->report_fd = sup->signal_fd = sup->hold_timer = sup->look_timer = -1;
	sup->link_fd = sup->link_folder = sup->main_pidfd = sup->tally_timer = -1;
	sup->exec_log.max = sup->guard_log.max = sup->audit_log.max = sup->task_log.max = sup->limit_log.max = sup->rule_log.max = LOG_LINES;
	vms_tasks_init(&sup->tasks);
	sup->tasks.on_process_new = watch_process;
	sup->tasks.on_process_gone = unwatch_process;
	sup->tasks.arg = sup;
	r = tenancy ? vms_tenancy_take(sup, tenancy, &err) : 0;
	if (r == 0)
		r = start(sup, given, &err);
	if (r < 0) {
		vms_front_tell(front_fd, VMS_FRONT_FAILED, EXIT_FAILED, err.text);
		vms_sup_free(sup);
		return r;
	}
	*ret_sup = sup;
	return 0;
}

static bool is_written(FILE *file, const char *what)
{
	if (!file || (fflush(file) == 0 && !ferror(file)))
		return true;
	vms_log("the %s could not be written (%s): a part of it is lost", what, strerror(errno));
	return false;
}

/* The last words must not lie before a front that has stopped. */
static void wake_front(struct vms_sup *sup)
{
	struct pollfd p = { .fd = sup->front_fd, .events = POLLIN };

	while (vms_wait_wakes_front(sup)) {
		if (poll(&p, 1, LAST_WORD_MS) > 0)
			on_front(sup, sup->front_fd, 0);
	}
}

int vms_sup_run(struct vms_sup *sup)
{
	int verdict;

	vms_loop_run(sup->loop);
	vms_wait_rest(sup);
	/* The last of the tree may be the program, which is not our child any more. */
	vms_tenancy_main_end(sup, true);
	/* Whole lines first: both may go to one file. An error is remembered until is_written asks. */
	if (sup->trace)
		vms_ignore(fflush(sup->trace));
	vms_stats_write(sup);
	verdict = sup->stats.divergences ? EXIT_FAILED : 0;
	if (!is_written(sup->stats_file, "statistics") || !is_written(sup->trace, "trace"))
		verdict = EXIT_FAILED;
	vms_front_tell(sup->front_fd, VMS_FRONT_VERDICT, verdict, NULL);
	wake_front(sup);
	return verdict;
}

static void close_output(FILE **file)
{
	if (*file && *file != stderr)
		fclose(*file);
	*file = NULL;
}

void vms_sup_free(struct vms_sup *sup)
{
	if (!sup)
		return;
	while (sup->tracees)
		vms_tracee_drop(sup, sup->tracees);
	vms_tasks_done(&sup->tasks);
	vms_hold_done(sup);
	vms_wait_done(sup);
	vms_precheck_done(sup);
	vms_watch_free(sup->listener_watch);
	vms_watch_free(sup->signal_watch);
	vms_watch_free(sup->front_watch);
	vms_watch_free(sup->report_watch);
	vms_tenancy_done(sup);
	vms_loop_free(sup->loop);
	vms_listener_done(&sup->listener);
	vms_vma_list_done(&sup->seen_range);
	vms_vma_list_done(&sup->seen_from);
	vms_vma_list_done(&sup->seen_all);
	vms_fd_close(&sup->report_fd);
	vms_fd_close(&sup->signal_fd);
	vms_fd_close(&sup->front_fd);
	close_output(&sup->trace);
	close_output(&sup->stats_file);
	free(sup);
}

struct vms_loop *vms_sup_loop(struct vms_sup *sup)
{
	return sup->loop;
}
