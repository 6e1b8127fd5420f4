/* Threads, processes and address spaces; see the header. */
#include "vmsup/task/task.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmsup/base/fd.h"

#define MAX_THREADS 65536

void vms_tasks_init(struct vms_tasks *tasks)
{
	*tasks = (struct vms_tasks){ .max_threads = MAX_THREADS, .limits = vms_limits_none,
				     .tree_limits = vms_limits_none };
}

void vms_tasks_done(struct vms_tasks *tasks)
{
	struct vms_process *process, *next;

	HASH_ITER(hh, tasks->processes, process, next)
		vms_tasks_drop_process(tasks, process);
	free(tasks->mms);
	tasks->mms = NULL;
}

struct vms_thread *vms_tasks_find(const struct vms_tasks *tasks, pid_t tid)
{
	struct vms_thread *thread;

	HASH_FIND_INT(tasks->threads, &tid, thread);
	return thread;
}

struct vms_process *vms_tasks_find_process(const struct vms_tasks *tasks, pid_t pid)
{
	struct vms_process *process;

	HASH_FIND_INT(tasks->processes, &pid, process);
	return process;
}

struct vms_process *vms_tasks_parent(const struct vms_tasks *tasks, struct vms_process *process)
{
	struct vms_proc_status status;

	if (!process->ppid && vms_proc_status(process->pid, &status) == 0)
		process->ppid = status.ppid;
	return vms_tasks_find_process(tasks, process->ppid);
}

static void inherit_limits(struct vms_tasks *tasks, struct vms_process *process)
{
	const struct vms_process *parent = tasks->has_own_limits ? vms_tasks_parent(tasks, process) : NULL;

	process->limits = parent ? parent->limits : tasks->limits;
}

/* Takes @pidfd over. */
static int add_process(struct vms_tasks *tasks, pid_t pid, int pidfd, struct vms_process **ret_process)
{
	vms_autofd owned = pidfd;
	struct vms_process *process;
	struct vms_proc_status status;

	/* Every process has a thread. */
	if (tasks->nr_processes >= tasks->max_threads)
		return -EAGAIN;
	process = calloc(1, sizeof(*process));
	if (!process)
		return -ENOMEM;
	process->owner = tasks;
	process->pid = pid;
	process->pidfd = vms_fd_steal(&owned);
	/* Otherwise its end is one of its calls. */
	if (tasks->has_forgotten)
		process->leader_ended = vms_proc_status(pid, &status) == 0 && status.state == 'Z';
	inherit_limits(tasks, process);
	HASH_ADD_INT(tasks->processes, pid, process);
	tasks->nr_processes++;
	tasks->made_processes++;
	if (tasks->on_process_new)
		tasks->on_process_new(process, tasks->arg);
	*ret_process = process;
	return 0;
}

static int make_process(struct vms_tasks *tasks, pid_t pid, struct vms_process **ret_process)
{
	int pidfd = vms_proc_pidfd(pid);

	return pidfd < 0 ? pidfd : add_process(tasks, pid, pidfd, ret_process);
}

pid_t vms_process_tid(const struct vms_process *process)
{
	const struct vms_thread *thread;
	pid_t tid = process->pid;

	if (!process->leader_ended)
		return tid;
	DL_FOREACH2(process->threads, thread, sibling_next) {
		if (thread->tid != process->pid)
			return thread->tid;
	}
	tid = vms_proc_living_thread(process->pid);
	return tid ? tid : process->pid;
}

int vms_tasks_get_process(struct vms_tasks *tasks, pid_t pid, struct vms_process **ret_process)
{
	struct vms_process *process = vms_tasks_find_process(tasks, pid);
	struct vms_proc_status status;
	int r;

	if (process) {
		*ret_process = process;
		return 0;
	}
	r = vms_proc_status(pid, &status);
	if (r < 0)
		return r;
	if (status.tgid != pid)
		return -ESRCH;
	return make_process(tasks, pid, ret_process);
}

static int make_thread(struct vms_tasks *tasks, struct vms_process *process, pid_t tid,
		       struct vms_thread **ret_thread)
{
	struct vms_thread *thread;

	if (tasks->nr_threads >= tasks->max_threads)
		return -EAGAIN;
	thread = calloc(1, sizeof(*thread));
	if (!thread)
		return -ENOMEM;
	thread->tid = tid;
	thread->process = process;
	HASH_ADD_INT(tasks->threads, tid, thread);
	DL_APPEND2(process->threads, thread, sibling_prev, sibling_next);
	tasks->nr_threads++;
	*ret_thread = thread;
	return 0;
}

/* The process of a thread without a record. */
static int process_of(struct vms_tasks *tasks, pid_t tid, struct vms_process **ret_process)
{
	struct vms_process *process = vms_tasks_find_process(tasks, tid);
	struct vms_proc_status status;
	int r;

	if (!process) {
		/* Only a process has a pidfd: most threads that are new are a new process, and this is cheaper than to read /proc. */
		r = vms_proc_pidfd(tid);
		if (r >= 0)
			return add_process(tasks, tid, r, ret_process);
		if (r == -EMFILE || r == -ENFILE || r == -ENOMEM)
			return r;
		r = vms_proc_status(tid, &status);
		if (r < 0)
			return r;
		process = vms_tasks_find_process(tasks, status.tgid);
		if (!process)
			return make_process(tasks, status.tgid, ret_process);
	}
	*ret_process = process;
	return 0;
}

int vms_tasks_get(struct vms_tasks *tasks, pid_t tid, struct vms_thread **ret_thread)
{
	struct vms_thread *thread = vms_tasks_find(tasks, tid);
	struct vms_process *process;
	int r;

	/*
	 * A thread may have ended without a word (a seccomp filter of the program's own that kills threads), and its number be
	 * another process's thread's. The end of a process is told by its pidfd.
	 */
	if (thread && thread->tid != thread->process->pid &&
	    !vms_proc_has_thread(thread->process->pid, tid)) {
		vms_tasks_drop_thread(tasks, thread);
		thread = NULL;
	}
	if (thread) {
		*ret_thread = thread;
		return 0;
	}
	r = process_of(tasks, tid, &process);
	if (r == 0)
		r = make_thread(tasks, process, tid, ret_thread);
	return r < 0 ? r : 1;
}

void vms_thread_fly(struct vms_thread *thread, const struct vms_plan *plan, const struct vms_usage *growth)
{
	struct vms_mm *mm = thread->process->mm;

	if (!mm)
		return;
	vms_thread_land(thread);
	thread->plan = *plan;
	thread->awaited_since = 0;
	thread->growth = *growth;
	vms_usage_add(&mm->in_flight_growth, growth);
	vms_usage_add(&thread->process->owner->in_flight_growth, growth);
	DL_APPEND2(mm->in_flight, thread, flight_prev, flight_next);
	thread->is_in_flight = true;
}

void vms_thread_land(struct vms_thread *thread)
{
	struct vms_mm *mm = thread->process->mm;

	if (!thread->is_in_flight)
		return;
	DL_DELETE2(mm->in_flight, thread, flight_prev, flight_next);
	thread->is_in_flight = false;
	vms_usage_sub(&mm->in_flight_growth, &thread->growth);
	vms_usage_sub(&thread->process->owner->in_flight_growth, &thread->growth);
}

void vms_thread_fork(struct vms_thread *thread, const struct vms_usage *growth)
{
	vms_thread_forked(thread);
	thread->is_forking = true;
	thread->fork_growth = *growth;
	vms_usage_add(&thread->process->owner->in_flight_growth, growth);
}

void vms_thread_forked(struct vms_thread *thread)
{
	if (!thread->is_forking)
		return;
	thread->is_forking = false;
	vms_usage_sub(&thread->process->owner->in_flight_growth, &thread->fork_growth);
}

void vms_tasks_drop_thread(struct vms_tasks *tasks, struct vms_thread *thread)
{
	/* Whatever it had in flight has happened or never will: the tree must ask the kernel. */
	if (thread->is_in_flight)
		thread->process->mm->stale = true;
	vms_thread_land(thread);
	vms_thread_forked(thread);
	DL_DELETE2(thread->process->threads, thread, sibling_prev, sibling_next);
	HASH_DEL(tasks->threads, thread);
	tasks->nr_threads--;
	free(thread);
}

void vms_tasks_drop(struct vms_tasks *tasks, struct vms_thread *thread)
{
	struct vms_process *process = thread->process;

	vms_tasks_drop_thread(tasks, thread);
	if (!process->threads)
		vms_tasks_drop_process(tasks, process);
}

void vms_tasks_drop_process(struct vms_tasks *tasks, struct vms_process *process)
{
	if (tasks->on_process_gone)
		tasks->on_process_gone(process, tasks->arg);
	while (process->threads)
		vms_tasks_drop_thread(tasks, process->threads);
	vms_sharers_leave(tasks, process);
	HASH_DEL(tasks->processes, process);
	tasks->nr_processes--;
	vms_fd_close(&process->pidfd);
	free(process);
}

int vms_tasks_exec(struct vms_tasks *tasks, struct vms_process *process, struct vms_mm *mm)
{
	struct vms_thread *leader;

	while (process->threads)
		vms_tasks_drop_thread(tasks, process->threads);
	vms_sharers_leave(tasks, process);
	process->guarded = false;
	process->exec_tid = 0;
	process->leader_ended = false;
	process->ppid = -1;
	vms_sharers_join(tasks, process, mm);
	return make_thread(tasks, process, process->pid, &leader);
}
