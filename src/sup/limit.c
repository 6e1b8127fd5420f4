/*
 * RLIMIT_AS.
 *
 * The fence counts as address space. It is as large in every process of the tree, so the kernel is told the child's limit
 * plus the fence, and the child is told the kernel's limit less the fence: the kernel itself goes on enforcing it, also for the
 * stack, over fork and exec. A child that asks is shown no more than three quarters of its range: runtimes (the JVM, sort)
 * size their heaps by it, and alignments, guard gaps and malloc arenas want the rest; and no more than --max-va.
 */
#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

#include <linux/capability.h>

#include "vmsup/sup/sup.h"

#define WIDE_RANGE ((vms_addr_t)1 << 40)

/* Of i386's structures. */
#define RLIM32_INFINITY UINT32_MAX
#define OLD_RLIM_INFINITY INT32_MAX

/* What the soft limit has on top. The hard limit has fence_size under any program: nobody could raise it again. */
static vms_addr_t soft_fence(const struct vms_sup *sup, enum vms_arch arch)
{
	return arch == VMS_ARCH_I386 ? sup->i386_fence_size : sup->fence_size;
}

static rlim_t add_fence(rlim_t limit, vms_addr_t fence)
{
	if (limit == RLIM_INFINITY || limit > RLIM_INFINITY - fence - 1)
		return RLIM_INFINITY;
	return limit + fence;
}

static rlim_t less_fence(rlim_t limit, vms_addr_t fence)
{
	if (limit == RLIM_INFINITY)
		return RLIM_INFINITY;
	return limit > fence ? limit - fence : 0;
}

static rlim_t shown(const struct vms_sup *sup, const struct vms_process *process, enum vms_arch arch, rlim_t soft)
{
	const struct vms_reloc_conf *conf = arch == VMS_ARCH_I386 ? &sup->i386_conf : &sup->reloc_conf;
	vms_addr_t budget = process->limits.max[VMS_LIMIT_VA];

	/* A range that is as good as all is no budget; and some (TSan) refuse to run with any. */
	if (conf->fence && vms_range_size(&conf->chosen) < WIDE_RANGE && vms_range_size(&conf->chosen) / 4 * 3 < budget)
		budget = vms_page_down(vms_range_size(&conf->chosen) / 4 * 3);
	return soft < budget ? soft : budget;
}

/* capable(CAP_SYS_RESOURCE) in the namespace of @other: its own, or one that is an ancestor of all in the tree, ours. */
static bool has_power(const struct vms_proc_status *status, pid_t tid, pid_t other)
{
	return (status->cap_eff & ((uint64_t)1 << CAP_SYS_RESOURCE)) &&
	       (vms_proc_same_ns(tid, getpid(), "user") || vms_proc_same_ns(tid, other, "user"));
}

/* Above its hard limit: a capability of the child's own user namespace is none. */
static bool may_raise(pid_t tid)
{
	struct vms_proc_status status;

	return vms_proc_status(tid, &status) == 0 && has_power(&status, tid, getpid());
}

/* kernel/sys.c check_prlimit_permission (6.18): we may be more powerful than who asks. */
static bool may_touch(pid_t caller, pid_t target)
{
	struct vms_proc_status mine, its;
	bool same = true;

	if (vms_proc_status(caller, &mine) < 0 || vms_proc_status(target, &its) < 0)
		return false;
	if (mine.tgid == its.tgid)
		return true;
	for (int i = 0; i < 3; i++)
		same = same && its.uid[i] == mine.uid[0] && its.gid[i] == mine.gid[0];
	return same || has_power(&mine, caller, target);
}

/* The process that the caller calls @pid. NULL: none of ours, the kernel knows better. */
static struct vms_process *find_target(struct vms_sup *sup, const struct vms_thread *caller, pid_t pid)
{
	struct vms_process *process;
	struct vms_thread *thread;

	if (!pid)
		return caller->process;
	pid = vms_proc_number(getpid(), caller->tid, pid);
	thread = vms_tasks_find(&sup->tasks, pid);
	if (thread)
		return thread->process;
	if (vms_tasks_find_process(&sup->tasks, pid) || !vms_proc_is_descendant(pid, getpid()) ||
	    vms_tasks_get_process(&sup->tasks, pid, &process) < 0)
		return vms_tasks_find_process(&sup->tasks, pid);
	return process;
}

/* The order of kernel/sys.c do_prlimit (6.18). Returns 0 or a positive errno for the child. */
static int set_limit(const struct vms_sup *sup, pid_t caller, pid_t target, enum vms_arch arch,
		     const struct rlimit *old, const struct rlimit *new)
{
	struct rlimit real;

	if (new->rlim_cur > new->rlim_max)
		return EINVAL;
	if (new->rlim_max > old->rlim_max && !may_raise(caller))
		return EPERM;
	real.rlim_cur = add_fence(new->rlim_cur, soft_fence(sup, arch));
	real.rlim_max = add_fence(new->rlim_max, sup->fence_size);
	return prlimit(target, RLIMIT_AS, &real, NULL) < 0 ? errno : 0;
}

/* i386's setrlimit and getrlimit have limits of 32 bits; kernel/sys.c, compat (6.18). */
static bool is_short(const struct vms_req *req)
{
	return req->arch == VMS_ARCH_I386 && req->call != VMS_CALL_PRLIMIT64;
}

static int read_limit(const struct vms_sup *sup, pid_t tid, const struct vms_req *req, struct rlimit *ret_limit)
{
	uint32_t words[2];
	int r;

	if (!is_short(req))
		return vms_sup_read(sup, tid, req->rlimit.new_limit, ret_limit, sizeof(*ret_limit));
	r = vms_sup_read(sup, tid, req->rlimit.new_limit, words, sizeof(words));
	if (r == 0) {
		ret_limit->rlim_cur = words[0] == RLIM32_INFINITY ? RLIM_INFINITY : words[0];
		ret_limit->rlim_max = words[1] == RLIM32_INFINITY ? RLIM_INFINITY : words[1];
	}
	return r;
}

static int write_limit(const struct vms_sup *sup, pid_t tid, const struct vms_req *req, const struct rlimit *limit)
{
	const rlim_t max = req->form == VMS_FORM_OLD ? OLD_RLIM_INFINITY : RLIM32_INFINITY;
	const uint32_t words[2] = { (uint32_t)(limit->rlim_cur < max ? limit->rlim_cur : max),
				    (uint32_t)(limit->rlim_max < max ? limit->rlim_max : max) };

	if (!is_short(req))
		return vms_sup_write(sup, tid, req->rlimit.old_limit, limit, sizeof(*limit));
	return vms_sup_write(sup, tid, req->rlimit.old_limit, words, sizeof(words));
}

/* 0 or a positive errno for the child; EAGAIN: leave it to the kernel. */
static int serve(const struct vms_sup *sup, const struct vms_thread *thread, const struct vms_req *req,
		 const struct vms_process *process)
{
	const enum vms_arch arch = vms_tasks_arch(&sup->tasks, process);
	const pid_t target = process->pid;
	struct rlimit old, new;
	int r;

	if ((req->call == VMS_CALL_SETRLIMIT && !req->rlimit.new_limit) ||
	    (req->call == VMS_CALL_GETRLIMIT && !req->rlimit.old_limit))
		return EFAULT;
	if (req->rlimit.new_limit && read_limit(sup, thread->tid, req, &new) < 0)
		return EFAULT;
	if (target != thread->process->pid && !may_touch(thread->tid, target))
		return EPERM;
	if (prlimit(target, RLIMIT_AS, NULL, &old) < 0)
		return errno;
	old.rlim_cur = less_fence(old.rlim_cur, soft_fence(sup, arch));
	old.rlim_max = less_fence(old.rlim_max, sup->fence_size);
	if (req->rlimit.new_limit) {
		r = set_limit(sup, thread->tid, target, arch, &old, &new);
		if (r)
			return r;
	}
	old.rlim_cur = shown(sup, process, arch, old.rlim_cur);
	r = req->rlimit.old_limit ? write_limit(sup, thread->tid, req, &old) : 0;
	if (r == -EAGAIN && !req->rlimit.new_limit)
		return EAGAIN;
	return r < 0 ? EFAULT : 0;
}

void vms_limit_step(struct vms_sup *sup, struct vms_thread *thread, const struct vms_trap *trap,
		    const struct vms_req *req, long long began)
{
	struct vms_plan plan = vms_plan_pass();
	struct vms_process *target = NULL;

	if (sup->fence_size || thread->process->limits.max[VMS_LIMIT_VA] != VMS_UNLIMITED)
		target = find_target(sup, thread, req->rlimit.pid);
	/* Where nothing is to be added, or when it is none of the tree, the kernel's own answer is right. */
	if (target) {
		int error = serve(sup, thread, req, target);

		/* What is shown can wait for a page of the program's own only in the kernel. */
		if (error == EAGAIN) {
			vms_step_answer(sup, trap, req, &plan, began);
			return;
		}

		plan = error ? vms_plan_refuse(error) : vms_plan_reply(0);
	}
	vms_step_answer(sup, trap, req, &plan, began);
}

bool vms_limit_is_set(const struct vms_sup *sup, pid_t pid)
{
	struct rlimit limit;

	return sup->fence_size != sup->i386_fence_size && sup->reloc_conf.i386 &&
	       prlimit(pid, RLIMIT_AS, NULL, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

void vms_limit_exec(const struct vms_sup *sup, pid_t pid, enum vms_arch old, enum vms_arch new)
{
	struct rlimit limit;

	if (old == new || prlimit(pid, RLIMIT_AS, NULL, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return;
	limit.rlim_cur = add_fence(less_fence(limit.rlim_cur, soft_fence(sup, old)), soft_fence(sup, new));
	if (limit.rlim_cur <= limit.rlim_max)
		vms_ignore(prlimit(pid, RLIMIT_AS, &limit, NULL));
}
