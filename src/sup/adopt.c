/*
 * A tree whose supervisor has died: how the next one takes it over, and the program notices nothing.
 *
 * What the dead one had received and not answered is in the journal, and is stepped as if it had just come. One call may be in no
 * journal: that which was being received at that very moment. The kernel numbers notifications one by one and hands them out in
 * order, so that its number follows the last one in the journal, and SECCOMP_IOCTL_NOTIF_ID_VALID tells which numbers wait for an
 * answer. Whose it is need not be known: every thread that may be in it is interrupted, then the number is answered with
 * ERESTARTNOINTR, and the kernel makes the call again.
 *
 * What the dead one knew of the processes is gone: their maps are read, whatever is not executable counts as written to, and who
 * has handlers is guarded.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/seccomp.h>

#include "vmsup/base/fd.h"
#include "vmsup/host/proc.h"
#include "vmsup/host/tracee.h"
#include "vmsup/sup/sup.h"

/* Numbers after the last and before it that are tried. */
#define NR_TRIED 8192
/* vmsupd answers at once, unless it hangs. */
#define TAKE_NS 10000000000LL
#define HEAR_MS 100
/* include/linux/errno.h */
#define ERESTARTNOINTR 513

int vms_adopt_begin(struct vms_sup *sup, struct vms_err *err)
{
	struct vms_board *board = sup->board;
	int r;

	if (!__atomic_load_n(&board->ready, __ATOMIC_ACQUIRE) || board->main_pid <= 0)
		return vms_err_set(err, -EPROTO, "the supervisor of tenant %s died before its program had started", sup->tenancy.name);
	sup->seed = board->seed;
	sup->tasks.random = board->random;
	sup->tasks.limits = board->limits;
	sup->tasks.tree_limits = board->tree_limits;
	sup->tasks.has_forgotten = true;
	vms_tally_restore(sup);
	sup->main_pid = (pid_t)board->main_pid;
	sup->main_started = board->main_started;
	sup->main_exited = board->main_exited;
	if (!sup->main_exited)
		sup->main_pidfd = vms_proc_pidfd(sup->main_pid);
	/* It ended while it had no supervisor. */
	if (!sup->main_exited && sup->main_pidfd < 0) {
		sup->main_exited = true;
		board->exit_status = -1;
		board->main_exited = 1;
	}
	r = vms_listener_init(&sup->listener, sup->tenancy.listener);
	if (r < 0)
		return vms_err_set(err, r, "the listener cannot be used: %s", strerror(-r));
	sup->tenancy.listener = -1;
	sup->listener.journal = &board->journal;
	return 0;
}

/* --- processes --------------------------------------------------------------------------------- */

/* Its first thread, which its number stands for, may have ended before the others. */
static bool is_in_tree(pid_t pid)
{
	struct vms_proc_status status;

	return vms_proc_status(pid, &status) == 0 && status.tgid == pid && status.seccomp == SECCOMP_MODE_FILTER &&
	       vms_proc_living_thread(pid);
}

/* An image that was being moved when the supervisor died would have been killed with it, but for one that was guarded. */
static bool is_fenced(struct vms_sup *sup, const struct vms_mm *mm)
{
	const struct vms_reloc_conf *conf = mm->space.arch == VMS_ARCH_I386 ? &sup->i386_conf : &sup->reloc_conf;
	const struct vms_range above = { conf->range.end, conf->user.end }, below = { conf->fence_start, conf->range.start };
	const struct vms_range *where = above.start < above.end ? &above : &below;
	struct vms_vma_list *list = &sup->seen_range;
	struct vms_maps maps = mm->maps;

	if (!conf->fence || where->start >= where->end)
		return true;
	return vms_maps_read(&maps, where, list) == 0 && list->nr && list->items[0].range.start <= where->start &&
	       !list->items[0].prot && !list->items[0].ino;
}

void vms_adopt_process(struct vms_sup *sup, struct vms_process *process)
{
	process->is_adopted = true;
	vms_guard_unknown(sup, process);
	if (sup->options.mode != VMS_MODE_SUPERVISE || vms_tasks_load_mm(&sup->tasks, process) < 0)
		return;
	/* It may be in a call just now. */
	process->mm->stale = true;
	if (!is_fenced(sup, process->mm)) {
		vms_log("process %d executed a program when the supervisor died, and that has no fence: it is killed", process->pid);
		kill(process->pid, SIGKILL);
	}
}

static int adopt_pid(pid_t pid, void *arg)
{
	struct vms_sup *sup = arg;
	struct vms_process *process;

	if (vms_tasks_find_process(&sup->tasks, pid) || !is_in_tree(pid))
		return 0;
	if (vms_tasks_get_process(&sup->tasks, pid, &process) == 0)
		vms_adopt_process(sup, process);
	return 0;
}

static void adopt_cgroup(struct vms_sup *sup)
{
	char path[4096], line[32];
	FILE *file;

	if (!sup->tenancy.cgroup)
		return;
	snprintf(path, sizeof(path), "%s/cgroup.procs", sup->tenancy.cgroup);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		adopt_pid((pid_t)strtol(line, NULL, 10), sup);
	if (file)
		fclose(file);
}

/* --- calls in flight --------------------------------------------------------------------------- */

static void step_journal(struct vms_sup *sup)
{
	struct vms_journal *journal = &sup->board->journal;
	struct vms_trap trap;

	for (size_t i = 0; i < VMS_JOURNAL_SLOTS; i++) {
		if (!vms_journal_get(journal, i, &trap))
			journal->slots[i].state = 0;
		else if (!vms_listener_is_valid(&sup->listener, trap.id))
			vms_journal_drop(journal, trap.id);
		else
			vms_step(sup, &trap);
	}
}

static bool is_journalled(const struct vms_journal *journal, uint64_t id, pid_t tid)
{
	struct vms_trap trap;

	for (size_t i = 0; i < VMS_JOURNAL_SLOTS; i++) {
		if (vms_journal_get(journal, i, &trap) && (trap.id == id || trap.tid == tid))
			return true;
	}
	return false;
}

/* Numbers that wait for an answer and are in no journal. */
static size_t find_lost(const struct vms_sup *sup, uint64_t lost[], size_t cap)
{
	const struct vms_journal *journal = &sup->board->journal;
	size_t nr = 0;

	if (!journal->has_last_id)
		return 0;
	for (uint64_t i = 0; i < 2 * NR_TRIED && nr < cap; i++) {
		const uint64_t id = journal->last_id - NR_TRIED + i;

		if (vms_listener_is_valid(&sup->listener, id) && !is_journalled(journal, id, 0))
			lost[nr++] = id;
	}
	return nr;
}

static int interrupt_thread(pid_t tid, void *arg)
{
	struct vms_sup *sup = arg;
	struct vms_tracee *tracee = vms_tracee_find(sup, tid);
	int nr;

	/* By its number on either architecture: one too many is interrupted, and notices nothing. */
	if (vms_proc_call(tid, &nr) < 0 || is_journalled(&sup->board->journal, 0, tid) ||
	    (vms_call_by_nr(VMS_ARCH_X86_64, nr) == VMS_NR_CALLS && vms_call_by_nr(VMS_ARCH_I386, nr) == VMS_NR_CALLS))
		return 0;
	if (!tracee && vms_tracee_seize(tid, 0) == 0)
		tracee = vms_tracee_get(sup, tid);
	if (tracee)
		vms_ignore(vms_tracee_interrupt(tid));
	return 0;
}

/* Before any call is answered, so that no thread moves from call to call meanwhile. */
static void answer_lost(struct vms_sup *sup)
{
	uint64_t lost[64];
	const size_t nr = find_lost(sup, lost, sizeof(lost) / sizeof(lost[0]));
	const struct vms_process *process;

	if (!nr)
		return;
	for (process = sup->tasks.processes; process; process = process->hh.next)
		vms_ignore(vms_proc_each_thread(process->pid, interrupt_thread, sup));
	for (size_t i = 0; i < nr; i++)
		vms_ignore(vms_listener_refuse(&sup->listener, lost[i], ERESTARTNOINTR));
	vms_wait_soon(sup);
}

/* From now on one process writes the journal, and that is us. */
static void take_calls(struct vms_sup *sup)
{
	const long long end = vms_now_ns() + TAKE_NS;

	vms_front_tell(sup->front_fd, VMS_FRONT_TAKES, 0, NULL);
	/* When it hangs up it receives nothing more either. */
	while (!sup->is_receiver && sup->front_fd >= 0 && vms_now_ns() < end)
		vms_main_hear_front(sup, HEAR_MS);
}

void vms_adopt_tree(struct vms_sup *sup)
{
	adopt_cgroup(sup);
	if (!sup->main_exited) {
		adopt_pid(sup->main_pid, sup);
		vms_ignore(vms_proc_each_descendant(sup->main_pid, adopt_pid, sup));
	}
	take_calls(sup);
	vms_rescue_sift(sup);
	answer_lost(sup);
	step_journal(sup);
	vms_tally_publish(sup);
	vms_tenancy_event(sup, json_pack("{s:s, s:i}", "event", "adopted", "processes", (int)sup->tasks.nr_processes));
	if (sup->main_exited)
		vms_front_tell(sup->front_fd, VMS_FRONT_EXITED, (int)sup->board->exit_status, NULL);
}
