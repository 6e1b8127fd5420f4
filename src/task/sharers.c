/*
 * Which process has which mm: the mms that have a record, in the order in which kcmp(2) compares them, so that a new process's
 * is found among thousands by a few calls. One process stands for each mm.
 *
 * What is out of order (a process that has just died or executed another program, one that may not be compared) is not found, no
 * more: its sharers then have records of their own.
 */
#include "vmsup/task/task.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Where an mm like that of @tid is; *ret_found: it is there. Else where it belongs. */
static size_t position(const struct vms_tasks *tasks, pid_t tid, bool *ret_found)
{
	size_t low = 0, high = tasks->nr_mms;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = vms_proc_compare_mm(tid, vms_process_tid(tasks->mms[mid]->owner));

		if (order == 0) {
			*ret_found = true;
			return mid;
		}
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	*ret_found = false;
	return low;
}

struct vms_mm *vms_sharers_find(const struct vms_tasks *tasks, const struct vms_process *process)
{
	bool found;
	size_t at = position(tasks, vms_process_tid(process), &found);

	return found ? tasks->mms[at] : NULL;
}

static int make_room(struct vms_tasks *tasks)
{
	size_t cap = tasks->cap_mms ? 2 * tasks->cap_mms : 64;
	struct vms_mm **mms;

	if (tasks->nr_mms < tasks->cap_mms)
		return 0;
	mms = reallocarray(tasks->mms, cap, sizeof(*mms));
	if (!mms)
		return -ENOMEM;
	tasks->mms = mms;
	tasks->cap_mms = cap;
	return 0;
}

void vms_sharers_join(struct vms_tasks *tasks, struct vms_process *process, struct vms_mm *mm)
{
	bool found;
	size_t at;

	process->mm = mm;
	if (!mm || mm->owner)
		return;
	at = position(tasks, vms_process_tid(process), &found);
	if (make_room(tasks) < 0)
		return;
	memmove(&tasks->mms[at + 1], &tasks->mms[at], (tasks->nr_mms - at) * sizeof(tasks->mms[0]));
	tasks->mms[at] = mm;
	tasks->nr_mms++;
	mm->owner = process;
}

static void forget(struct vms_tasks *tasks, const struct vms_mm *mm)
{
	size_t at = 0;

	while (at < tasks->nr_mms && tasks->mms[at] != mm)
		at++;
	if (at == tasks->nr_mms)
		return;
	tasks->nr_mms--;
	memmove(&tasks->mms[at], &tasks->mms[at + 1], (tasks->nr_mms - at) * sizeof(tasks->mms[0]));
}

void vms_sharers_leave(struct vms_tasks *tasks, struct vms_process *process)
{
	struct vms_mm *mm = process->mm;
	struct vms_process *other, *next;

	process->mm = NULL;
	if (mm && mm->owner == process) {
		mm->owner = NULL;
		HASH_ITER(hh, tasks->processes, other, next) {
			if (mm->refs > 1 && other->mm == mm) {
				mm->owner = other;
				break;
			}
		}
		if (!mm->owner)
			forget(tasks, mm);
	}
	vms_mm_unref(tasks, mm);
}
