/*
 * Stops and deaths: of seized tasks wherever they are in the tree, and of our own children, which are the program and
 * every orphan of the tree (we are its subreaper).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmsup/base/fd.h"
#include "vmsup/host/tracee.h"
#include "vmsup/sup/sup.h"

/* While a task is stopped for a job, its stop is looked for this often even if no SIGCHLD told of it. */
#define LOOK_NS 100000000
/* A program that has been continued without its front, which waits for it stopped. */
#define WAKE_NS 20000000
/* Stops and deaths that are dealt with before others get a turn. */
#define MAX_AT_ONCE 32

/* After exec the kernel reports the thread group's id; our record may stand under the tid of the thread that called. */
static struct vms_tracee *find_after_exec(struct vms_sup *sup, pid_t pid)
{
	struct vms_tracee *tracee, *leader = vms_tracee_find(sup, pid);
	unsigned long old;

	if (vms_tracee_event_message(pid, &old) < 0 || (pid_t)old == pid)
		return leader;
	tracee = vms_tracee_find(sup, (pid_t)old);
	if (!tracee)
		return leader;
	if (leader)
		vms_tracee_drop(sup, leader);
	HASH_DEL(sup->tracees, tracee);
	tracee->tid = pid;
	HASH_ADD_INT(sup->tracees, tid, tracee);
	return tracee;
}

static void main_stops(struct vms_sup *sup, int sig)
{
	sup->main_stopped = true;
	sup->untold_stop = sig;
	vms_wait_tells_front(sup);
}

/* One at a time, so that what lies before a front that stays stopped cannot pile up. */
void vms_wait_tells_front(struct vms_sup *sup)
{
	if (!sup->untold_stop || sup->front_owes)
		return;
	vms_front_tell(sup->front_fd, VMS_FRONT_STOPPED, sup->untold_stop, NULL);
	sup->untold_stop = 0;
	sup->front_owes = true;
	sup->told_continued = false;
}

bool vms_wait_wakes_front(struct vms_sup *sup)
{
	if (!sup->front_owes || sup->main_stopped || !sup->front_pid || getppid() != sup->front_pid)
		return false;
	kill(sup->front_pid, SIGCONT);
	return true;
}

/* Never later than was asked for before. */
static void look_in(struct vms_sup *sup, long ns)
{
	const struct itimerspec tick = { .it_value = { .tv_nsec = ns } };
	const long long by = vms_now_ns() + ns;

	if (sup->look_armed && sup->look_by <= by)
		return;
	if (timerfd_settime(sup->look_timer, 0, &tick, NULL) < 0)
		return;
	sup->look_armed = true;
	sup->look_by = by;
}

void vms_wait_soon(struct vms_sup *sup)
{
	/* Often called; what it asks for is never earlier. */
	if (!sup->look_armed)
		look_in(sup, LOOK_NS);
}

/* A stopped front cannot read that it should go on. */
static void main_continues(struct vms_sup *sup)
{
	sup->main_stopped = false;
	sup->stop_is_known = false;
	sup->untold_stop = 0;
	if (sup->front_owes && !sup->told_continued)
		vms_front_tell(sup->front_fd, VMS_FRONT_CONTINUED, 0, NULL);
	sup->told_continued = true;
	/*
	 * Not at once: what continued the program mostly continues the front, too. Should both have been stopped again by then, a
	 * SIGCONT of ours would show its parent one stop as two.
	 */
	if (sup->front_owes)
		look_in(sup, WAKE_NS);
}

/* When its leader has ended, any thread that is left. */
static bool stands_for_main(const struct vms_sup *sup, pid_t tid)
{
	const struct vms_thread *thread = tid == sup->main_pid ? NULL : vms_tasks_find(&sup->tasks, tid);

	return tid == sup->main_pid || (thread && thread->process->pid == sup->main_pid && thread->process->leader_ended);
}

/*
 * While it is seized, the program's stops come as its tracer sees them. A signal stop tells nothing: within a group stop a
 * remote call is stepped; what ends one is told by a stop of its own.
 */
static void watch_group_stop(struct vms_sup *sup, struct vms_tracee *tracee, int status)
{
	enum vms_stop stop = vms_stop_of(status);
	bool is_main = stands_for_main(sup, tracee->tid);

	if (stop == VMS_STOP_GONE || stop == VMS_STOP_SIGNAL)
		return;
	tracee->is_stopped = stop == VMS_STOP_GROUP;
	if (tracee->is_stopped && is_main) {
		/* Else it is the stop that was told before it was seized, or by another thread. */
		if (!sup->main_stopped) {
			main_stops(sup, WSTOPSIG(status));
			sup->stop_is_known = true;
		}
	} else if (is_main && sup->main_stopped) {
		main_continues(sup);
	}
}

/* After the program's end nobody waits for what we might say, unless the front stays for a report: a pipe must see its end. */
static void release_stderr(const struct vms_sup *sup)
{
	vms_autofd null = -1;

	if (sup->options.trace || sup->options.stats || sup->options.audit)
		return;
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (null >= 0)
		dup2(null, STDERR_FILENO);
}

static bool main_is_seized(const struct vms_sup *sup)
{
	for (const struct vms_tracee *tracee = sup->tracees; tracee; tracee = tracee->hh.next) {
		if (stands_for_main(sup, tracee->tid))
			return true;
	}
	return false;
}

/*
 * What a tracer was told of a group stop is not taken from the parent's report of it, which stays hidden while the leader is
 * seized (not so when the leader has ended): told to the front again, it would stop a front that has been continued since.
 */
static void take_known_stop(struct vms_sup *sup)
{
	siginfo_t si = { .si_pid = 0 };

	if (!sup->stop_is_known || main_is_seized(sup))
		return;
	if (waitid(P_PID, (id_t)sup->main_pid, &si, WSTOPPED | WNOHANG) == 0 && si.si_pid)
		sup->stop_is_known = false;
}

static void on_tracee(struct vms_sup *sup, struct vms_tracee *tracee, int status)
{
	watch_group_stop(sup, tracee, status);
	/* Its image may not be moved for long. */
	if (tracee->is_stopped && tracee->job == VMS_JOB_RELOC)
		vms_tracee_unpin(sup, tracee);
	switch (tracee->job) {
	case VMS_JOB_REMOTE:
		vms_remote_event(sup, tracee, status);
		break;
	case VMS_JOB_LOCKALL:
		vms_lockall_event(sup, tracee, status);
		break;
	case VMS_JOB_EXEC_WAIT:
	case VMS_JOB_RELOC:
		if (vms_stop_of(status) == VMS_STOP_GONE)
			vms_exec_gone(sup, tracee);
		else
			vms_exec_event(sup, tracee, status);
		break;
	case VMS_JOB_NONE:
		vms_guard_event(sup, tracee, status);
		break;
	}
	take_known_stop(sup);
}

void vms_main_ended(struct vms_sup *sup, int status)
{
	/* Why it could not be executed comes before that it has exited. */
	vms_main_report(sup);
	sup->main_exited = true;
	sup->main_stopped = false;
	sup->untold_stop = 0;
	if (sup->board) {
		sup->board->exit_status = status;
		sup->board->main_exited = 1;
	}
	if (vms_sup_is_over(sup))
		vms_front_tell(sup->front_fd, VMS_FRONT_LAST, 0, NULL);
	vms_front_tell(sup->front_fd, VMS_FRONT_EXITED, status, NULL);
	if (vms_wait_wakes_front(sup))
		vms_wait_soon(sup);
	if (!sup->board)
		release_stderr(sup);
}

/* The program itself; also when it was seized, for then its death is reported to us as its tracer and as its parent at once. */
static void on_main(struct vms_sup *sup, int status)
{
	if (WIFSTOPPED(status)) {
		if (!sup->stop_is_known && !main_is_seized(sup))
			main_stops(sup, WSTOPSIG(status));
		sup->stop_is_known = false;
	} else if (!sup->main_exited) {
		vms_main_ended(sup, status);
	}
}

static void on_status(struct vms_sup *sup, pid_t pid, int status)
{
	struct vms_tracee *tracee = vms_tracee_find(sup, pid);

	if (WIFSTOPPED(status) && vms_stop_of(status) == VMS_STOP_EXEC)
		tracee = find_after_exec(sup, pid);
	if (!WIFSTOPPED(status)) {
		struct vms_process *process = vms_tasks_find_process(&sup->tasks, pid);

		if (tracee)
			on_tracee(sup, tracee, status);
		/* Reaped: the number may be used again from now on. A tracee's parent has yet to reap it. */
		if (process && kill(pid, 0) < 0 && errno == ESRCH)
			vms_tasks_drop_process(&sup->tasks, process);
		if (pid == sup->main_pid)
			on_main(sup, status);
		return;
	}
	if (tracee) {
		on_tracee(sup, tracee, status);
		return;
	}
	if (status >> 16) {
		/* Seized by the kernel as the child of a guarded task, before its parent's event has come. */
		vms_guard_adopt(sup, pid, status);
		return;
	}
	if (pid == sup->main_pid)
		on_main(sup, status);
}

static bool has_job(const struct vms_sup *sup)
{
	for (const struct vms_tracee *tracee = sup->tracees; tracee; tracee = tracee->hh.next) {
		if (tracee->job != VMS_JOB_NONE)
			return true;
	}
	return false;
}

static bool look_at_one(struct vms_sup *sup)
{
	int status;

	for (const struct vms_tracee *tracee = sup->tracees; tracee; tracee = tracee->hh.next) {
		const struct vms_thread *thread = vms_tasks_find(&sup->tasks, tracee->tid);
		/* From execve a thread comes back with its leader's number. */
		const pid_t pids[] = { tracee->tid, thread ? thread->process->pid : tracee->tid };

		for (int i = 0; i < 2 && tracee->job != VMS_JOB_NONE; i++) {
			if (waitpid(pids[i], &status, __WALL | WNOHANG) <= 0)
				continue;
			on_status(sup, pids[i], status);
			return true;
		}
	}
	return false;
}

/* waitpid(-1) takes the first that has something to tell; those behind tasks that never cease to stop are asked by name. */
static void look_at_jobs(struct vms_sup *sup)
{
	for (int i = 0; i < MAX_AT_ONCE && look_at_one(sup); i++)
		;
}

static void on_look(void *arg, int fd, unsigned int events)
{
	struct vms_sup *sup = arg;
	uint64_t ticks;

	(void)events;
	if (read(fd, &ticks, sizeof(ticks)) < 0)
		return;
	sup->look_armed = false;
	look_at_jobs(sup);
	vms_wait_all(sup);
	if (sup->main_end_by)
		vms_tenancy_main_end(sup, false);
	if (has_job(sup) | vms_wait_wakes_front(sup))
		vms_wait_soon(sup);
}

int vms_wait_start(struct vms_sup *sup)
{
	sup->look_timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (sup->look_timer < 0)
		return -errno;
	return vms_loop_add(sup->loop, sup->look_timer, VMS_WATCH_READ, 0, on_look, sup, &sup->look_watch);
}

void vms_wait_done(struct vms_sup *sup)
{
	vms_watch_free(sup->look_watch);
	vms_fd_close(&sup->look_timer);
}

void vms_wait_all(struct vms_sup *sup)
{
	int status, nr = 0;
	pid_t pid = 0;

	while (nr < MAX_AT_ONCE && (pid = waitpid(-1, &status, __WALL | WNOHANG | WUNTRACED)) > 0) {
		on_status(sup, pid, status);
		nr++;
	}
	/*
	 * That a process was continued is reported once, to its tracer or to its parent, whoever asks first: never ask for
	 * one whose parent is somebody else. The answer may be a stop that has come meanwhile.
	 */
	while (!sup->main_exited && nr++ < MAX_AT_ONCE &&
	       waitpid(sup->main_pid, &status, __WALL | WNOHANG | WUNTRACED | WCONTINUED) > 0) {
		if (WIFCONTINUED(status))
			main_continues(sup);
		else
			on_status(sup, sup->main_pid, status);
	}
	/* A task that never ceases to stop must not keep others from being answered: the rest has the next turn. */
	if (nr >= MAX_AT_ONCE)
		kill(getpid(), SIGCHLD);
}

void vms_wait_rest(struct vms_sup *sup)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, __WALL)) > 0 || (pid < 0 && errno == EINTR)) {
		if (pid > 0)
			on_status(sup, pid, status);
	}
}
