/*
 * mlockall(MCL_CURRENT).
 *
 * The kernel compares all that is mapped, the fence included, with RLIMIT_MEMLOCK, and would then lock the fence, too: VmLck
 * would be 128 TiB. So the thread is made to do the same in parts: mlockall without MCL_CURRENT for what comes later (or munlockall,
 * which ends an earlier MCL_FUTURE), then mlock2 for each mapping that is the program's. As in the kernel, that a
 * mapping cannot be locked is no error once the limit has been looked at.
 *
 * The mappings are those of the moment at which the call comes: what another thread maps meanwhile is locked by MCL_FUTURE or not at all,
 * as if it had been mapped right after.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <linux/capability.h>

#include "vmsup/host/tracee.h"
#include "vmsup/sup/sup.h"

/* include/linux/errno.h */
#define ERESTARTNOINTR 513

/* arch/x86/entry/syscalls/syscall_32.tbl */
#define I386_MUNLOCKALL 153
#define I386_MLOCK2 376

static bool is_first_userns_capable(pid_t tid, int capability)
{
	struct vms_proc_status status;

	return vms_proc_status(tid, &status) == 0 && (status.cap_eff >> capability & 1) && vms_proc_in_first_userns(tid);
}

/* 0: it may be done; an errno: it may not; -1: leave it to the kernel. */
static int check(const struct vms_thread *thread, const struct vms_lockall *lockall)
{
	struct rlimit limit;
	vms_addr_t size = 0;

	if (prlimit(vms_process_tid(thread->process), RLIMIT_MEMLOCK, NULL, &limit) < 0)
		return -1;
	if (is_first_userns_capable(thread->tid, CAP_IPC_LOCK))
		return 0;
	/* EPERM, which comes before everything else. */
	if (!limit.rlim_cur)
		return -1;
	for (size_t i = 0; i < lockall->nr; i++)
		size += vms_range_size(&lockall->parts[i]);
	return size <= vms_page_down(limit.rlim_cur) ? 0 : ENOMEM;
}

/* Walls in the range, and the top gap, unless the program has taken it. */
static bool is_ours(const struct vms_reloc_conf *conf, const struct vms_vma *vma)
{
	if (vma->prot || vma->ino)
		return false;
	for (size_t i = 0; i < conf->nr_walls; i++) {
		if (vms_range_covers(&conf->walls[i], &vma->range))
			return true;
	}
	return vma->range.end == conf->range.end;
}

/* Each mapping for itself: in a call for several, the first that cannot be filled would leave the rest unfilled. 0 or -errno. */
static int find_parts(struct vms_sup *sup, pid_t pid, const struct vms_reloc_conf *conf, struct vms_lockall *ret)
{
	struct vms_vma_list *list = &sup->seen_all;
	struct vms_maps maps = VMS_MAPS_INIT;
	struct vms_range *parts;
	size_t nr = 0;
	int r = vms_maps_open(pid, &maps);

	if (r == 0) {
		r = vms_maps_read(&maps, &conf->range, list);
		vms_maps_close(&maps);
	}
	if (r < 0)
		return r;
	parts = calloc(list->nr + 1, sizeof(*parts));
	if (!parts)
		return -ENOMEM;
	for (size_t i = 0; i < list->nr; i++) {
		if (!is_ours(conf, &list->items[i]))
			parts[nr++] = list->items[i].range;
	}
	*ret = (struct vms_lockall){ .parts = parts, .nr = nr };
	return 0;
}

/* What comes first: for the mappings to come. */
static int first_call(const struct vms_sup *sup, const struct vms_trap *trap, uint64_t args[6])
{
	const int later = (int)trap->args[0] & ~MCL_CURRENT;
	int nr = trap->nr;

	memset(args, 0, 6 * sizeof(args[0]));
	if (!(later & MCL_FUTURE))
		return trap->arch == VMS_ARCH_I386 ? I386_MUNLOCKALL : SYS_munlockall;
	args[0] = (uint64_t)later;
	if (trap->arch == VMS_ARCH_X86_64)
		vms_cookie_mark(&sup->cookie, nr, args);
	return nr;
}

/* Seize the thread and begin; @lockall's parts are taken. False: the kernel has to do it as it can. */
static bool begin(struct vms_sup *sup, struct vms_thread *thread, const struct vms_trap *trap, const struct vms_req *req,
		  const struct vms_lockall *lockall, long long began)
{
	struct vms_tracee *tracee = vms_tracee_get(sup, thread->tid);
	uint64_t args[6];
	const int nr = first_call(sup, trap, args);

	if (!tracee)
		return false;
	if (vms_remote_begin(&tracee->remote, thread->tid, tracee->guarded, trap->ip, vms_rescue_stub(sup, thread, trap), trap->arch, nr,
			     args) < 0) {
		if (!tracee->guarded)
			vms_tracee_drop(sup, tracee);
		return false;
	}
	tracee->lockall = *lockall;
	tracee->trap = *trap;
	tracee->req = *req;
	tracee->plan = vms_plan_pass();
	tracee->began = began;
	tracee->job = VMS_JOB_LOCKALL;
	sup->stats.remote++;
	vms_tracee_pin(sup, tracee);
	if (vms_listener_refuse(&sup->listener, trap->id, ERESTARTNOINTR) < 0) {
		sup->stats.stale++;
		tracee->remote.stage = VMS_REMOTE_DONE;
	}
	return true;
}

void vms_lockall_step(struct vms_sup *sup, struct vms_thread *thread, const struct vms_trap *trap, const struct vms_req *req,
		      long long began)
{
	const bool is_i386 = vms_tasks_arch(&sup->tasks, thread->process) == VMS_ARCH_I386;
	const struct vms_reloc_conf *conf = is_i386 ? &sup->i386_conf : &sup->reloc_conf;
	struct vms_plan plan = vms_plan_pass();
	struct vms_lockall lockall = { .parts = NULL };
	int error = -1;

	if (vms_exec_defers(sup, thread, trap))
		return;
	if (sup->fence_size && find_parts(sup, vms_process_tid(thread->process), conf, &lockall) == 0) {
		error = check(thread, &lockall);
		lockall.on_fault = trap->args[0] & MCL_ONFAULT;
		if (error == 0 && begin(sup, thread, trap, req, &lockall, began))
			return;
	}
	free(lockall.parts);
	if (error > 0)
		plan = vms_plan_refuse(error);
	vms_step_answer(sup, trap, req, &plan, began);
}

/* True when another call has been begun. */
static bool lock_next(struct vms_tracee *tracee)
{
	struct vms_lockall *lockall = &tracee->lockall;
	const struct vms_range *part = &lockall->parts[lockall->next];
	const uint64_t args[6] = { part->start, vms_range_size(part), lockall->on_fault ? MLOCK_ONFAULT : 0 };

	if (lockall->next == lockall->nr)
		return false;
	lockall->next++;
	return vms_remote_call(&tracee->remote, tracee->trap.arch == VMS_ARCH_I386 ? I386_MLOCK2 : SYS_mlock2, args) == 0;
}

void vms_lockall_event(struct vms_sup *sup, struct vms_tracee *tracee, int status)
{
	int64_t result;
	int r;

	/* The notification was stale: nothing has happened. */
	if (tracee->remote.stage == VMS_REMOTE_DONE) {
		free(tracee->lockall.parts);
		tracee->job = VMS_JOB_NONE;
		vms_tracee_unpin(sup, tracee);
		vms_guard_event(sup, tracee, status);
		return;
	}
	r = vms_rescue_stop(sup, tracee, status);
	if (r < 0) {
		vms_remote_give_up(sup, tracee, status, r);
		return;
	}
	if (r == 0)
		return;
	/* What the first call says is what mlockall says; a mapping that cannot be locked is no error. */
	if (!tracee->lockall.next)
		tracee->lockall.result = tracee->remote.result;
	result = tracee->lockall.result;
	if (result == 0 && lock_next(tracee))
		return;
	if (sup->trace)
		vms_trace_write(sup, &tracee->trap, &tracee->req, &tracee->plan, result, true, tracee->began);
	vms_tracee_unpin(sup, tracee);
	if (tracee->guarded && tracee->is_stopped)
		vms_ignore(vms_tracee_interrupt(tracee->tid));
	vms_ignore(vms_remote_finish(&tracee->remote, result));
	vms_tracee_end_job(sup, tracee);
}
