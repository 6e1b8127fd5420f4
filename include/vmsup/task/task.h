/*
 * Tasks: threads, processes and address spaces of one tree, and how long each is known.
 *
 *	thread (tid) -> process (tgid) -> mm (shared by vfork and CLONE_VM)
 *
 * A record is made at a task's first notification and dropped at thread end, process end (its pidfd) or exec. fork costs
 * nothing until the child's first memory call.
 */
#ifndef VMSUP_TASK_TASK_H
#define VMSUP_TASK_TASK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <uthash.h>
#include <utlist.h>

#include "vmsup/core/inject.h"
#include "vmsup/core/limit.h"
#include "vmsup/core/plan.h"
#include "vmsup/core/space.h"
#include "vmsup/host/maps.h"
#include "vmsup/host/proc.h"

/** One address space; counted references of the processes that share it. */
struct vms_process;

struct vms_mm {
	unsigned int refs;
	struct vms_process *owner; /* one of those that have it, for sharers.c */
	struct vms_space space;
	struct vms_maps maps; /* the kernel's list, kept open */
	struct vms_thread *in_flight; /* threads whose last call is not settled; linked by flight_next */
	unsigned long long created; /* running number */
	struct vms_usage counted; /* what the tree's total holds of this one */
	struct vms_usage in_flight_growth; /* what its calls in flight may add */
	vms_addr_t stub; /* host/stub.h: where its is; 0: not looked for yet, 1: none */
	bool stale; /* the tree must be re-read before it is used */
};

struct vms_process {
	pid_t pid;
	pid_t ppid; /* 0: not asked for yet; -1: its mm does not come from a fork; see vms_tasks_parent */
	int pidfd; /* owned */
	bool leader_ended; /* it has called exit(2); what is asked of its number is answered for no mm */
	struct vms_mm *mm; /* a reference; NULL until it is needed */
	struct vms_thread *threads; /* linked by sibling_next */
	bool guarded; /* its threads are seized by the signal guard */
	bool guard_refused; /* somebody else traces it */
	bool is_adopted; /* its calls before are not known: each of its threads may have had one in flight */
	bool is_listed; /* while `ps` is answered */
	struct vms_inject_counts injected;
	struct vms_limits limits; /* inherited over fork and exec */
	uint32_t rules_told; /* bits of enum vms_wx_rule: breaking it has been logged */
	uint32_t limits_told; /* bits of enum vms_limit: passing it has been logged */
	pid_t exec_tid; /* the thread whose execve is under way; 0: none */
	void *watch; /* of the pidfd; the supervisor's */
	struct vms_tasks *owner;
	UT_hash_handle hh;
};

struct vms_thread {
	pid_t tid;
	struct vms_process *process; /* borrowed */
	struct vms_plan plan; /* valid while is_in_flight */
	struct vms_usage growth; /* the most that it adds; valid while is_in_flight */
	bool is_in_flight;
	bool is_forking; /* let go to make a space, and has made no call since; fork_growth is in the tree's in_flight_growth */
	bool forks_sibling; /* with CLONE_PARENT, or may have */
	struct vms_usage fork_growth;
	long long awaited_since; /* ns; since when others wait for what it has in flight, 0: they do not */
	struct vms_thread *flight_prev, *flight_next;
	struct vms_thread *sibling_prev, *sibling_next;
	UT_hash_handle hh;
};

/** What holds for the spaces of i386 programs instead of the members of the same names in vms_tasks. */
struct vms_i386_bounds {
	struct vms_range range; /* empty: no such program can run */
	struct vms_range user;
	bool remote_only;
	vms_addr_t ceiling;
};

struct vms_tasks {
	struct vms_process *processes; /* by pid; owned */
	struct vms_thread *threads; /* by tid; owned */
	size_t nr_processes, nr_threads;
	size_t max_threads; /* cap */
	struct vms_mm **mms; /* of which a process has a reference, in kcmp's order; owned, the mms are not */
	size_t nr_mms, cap_mms;
	unsigned long long made_processes, made_spaces; /* ever */
	size_t max_vmas; /* most VMAs of any space that is gone */
	struct vms_range range, user;
	bool confined, remote_only;
	struct vms_place_rules rules;
	const struct vms_policy *policy; /* borrowed; NULL: the kernel's habit */
	uint64_t random; /* seed of the policy's random choices */
	struct vms_exec_policy exec_policy;
	struct vms_limits limits; /* of a process whose parent has no record */
	struct vms_limits tree_limits; /* of all together */
	bool has_own_limits; /* some process has other limits than these */
	bool has_forgotten; /* a supervisor before this one knew more of processes without a record */
	struct vms_usage total; /* of all address spaces that have a record */
	struct vms_usage in_flight_growth; /* of all */
	vms_addr_t ceiling; /* of a confined space; 0: unknown */
	struct vms_i386_bounds i386;
	void (*on_process_new)(struct vms_process *process, void *arg); /* may be NULL */
	void (*on_process_gone)(struct vms_process *process, void *arg); /* may be NULL */
	void *arg;
};

void vms_tasks_init(struct vms_tasks *tasks);
void vms_tasks_done(struct vms_tasks *tasks);

struct vms_thread *vms_tasks_find(const struct vms_tasks *tasks, pid_t tid);
struct vms_process *vms_tasks_find_process(const struct vms_tasks *tasks, pid_t pid);
/** The record of the parent, as it was when first asked for; NULL: none. */
struct vms_process *vms_tasks_parent(const struct vms_tasks *tasks, struct vms_process *process);
/**
 * The record of thread @tid. 0: found; 1: made, so that the caller must see to it that the number still means who it meant;
 * -ESRCH when the task is gone; -EAGAIN at the cap; -ENOMEM.
 */
VMS_MUST_CHECK int vms_tasks_get(struct vms_tasks *tasks, pid_t tid, struct vms_thread **ret_thread);
/** The record of process @pid, made when there is none. 0, or an error of vms_tasks_get. */
VMS_MUST_CHECK int vms_tasks_get_process(struct vms_tasks *tasks, pid_t pid, struct vms_process **ret_process);
/** A thread of the process that has not ended, as far as is known: its number for questions about its mm and its files. */
pid_t vms_process_tid(const struct vms_process *process);
/** Forget a thread; the process stays. Its call in flight must be settled or given up before. */
void vms_tasks_drop_thread(struct vms_tasks *tasks, struct vms_thread *thread);
/** Forget a thread, and its process with its last thread. */
void vms_tasks_drop(struct vms_tasks *tasks, struct vms_thread *thread);
/** Forget a process with its threads. */
void vms_tasks_drop_process(struct vms_tasks *tasks, struct vms_process *process);

/**
 * See to it that process->mm is there: shared with a process of the same mm, or read from the kernel (the process must be
 * waiting in a notification), attributes that the kernel does not tell taken from the parent's record.
 */
VMS_MUST_CHECK int vms_tasks_load_mm(struct vms_tasks *tasks, struct vms_process *process);
/** The mm of @process, when another process with a record has it too; borrowed. NULL: none that is known. */
struct vms_mm *vms_sharers_find(const struct vms_tasks *tasks, const struct vms_process *process);
/** Set process->mm; takes over a reference. @mm may be NULL. */
void vms_sharers_join(struct vms_tasks *tasks, struct vms_process *process, struct vms_mm *mm);
/** Give up process->mm. */
void vms_sharers_leave(struct vms_tasks *tasks, struct vms_process *process);
/** An empty mm record with @maps taken over. NULL: out of memory (maps stay the caller's). */
struct vms_mm *vms_mm_new(struct vms_tasks *tasks, struct vms_maps *maps);
/** It is the space of an i386 program. */
void vms_mm_set_i386(const struct vms_tasks *tasks, struct vms_mm *mm);
/** Of the program that @process runs, as its record or the kernel's maps tell. */
enum vms_arch vms_tasks_arch(const struct vms_tasks *tasks, const struct vms_process *process);
/** Give up a reference; NULL is fine. */
void vms_mm_unref(struct vms_tasks *tasks, struct vms_mm *mm);
/**
 * exec: @process has one thread, its leader, and a fresh @mm (a reference taken over; NULL: not known yet).
 */
VMS_MUST_CHECK int vms_tasks_exec(struct vms_tasks *tasks, struct vms_process *process, struct vms_mm *mm);

/** The tree of @mm has changed: bring the total up to date. */
void vms_mm_count(struct vms_tasks *tasks, struct vms_mm *mm);
/** The thread whose plan in flight this is. */
static inline struct vms_thread *vms_thread_of_plan(const struct vms_plan *plan)
{
	return (struct vms_thread *)((uintptr_t)plan - offsetof(struct vms_thread, plan));
}

/** Mark the thread's plan, which may add @growth, in flight, or settled. */
void vms_thread_fly(struct vms_thread *thread, const struct vms_plan *plan, const struct vms_usage *growth);
void vms_thread_land(struct vms_thread *thread);

/** The thread has been let go to make a space that adds @growth to the tree; and: it is counted by itself, or never came to be. */
void vms_thread_fork(struct vms_thread *thread, const struct vms_usage *growth);
void vms_thread_forked(struct vms_thread *thread);

#endif
