/*
 * The supervisor's own state, and what the files of this layer offer each other. Private to the layer.
 */
#ifndef VMSUP_SUP_SUP_H
#define VMSUP_SUP_SUP_H

#include <stdio.h>
#include <sys/resource.h>
#include <sys/types.h>

#include <jansson.h>
#include <uthash.h>

#include "vmsup/base/log.h"
#include "vmsup/conf/options.h"
#include "vmsup/core/decide.h"
#include "vmsup/core/settle.h"
#include "vmsup/host/machine.h"
#include "vmsup/host/pin.h"
#include "vmsup/host/reloc.h"
#include "vmsup/host/remote.h"
#include "vmsup/sup/board.h"
#include "vmsup/sup/loop.h"
#include "vmsup/sup/supervisor.h"
#include "vmsup/task/task.h"
#include "vmsup/trap/filter.h"
#include "vmsup/trap/listener.h"

struct vms_stats {
	unsigned long long notifications, by_call[VMS_NR_CALLS];
	unsigned long long continued, remote, refused, replied, held, stale;
	unsigned long long mispredicted, retried, audits, divergences;
	unsigned long long execs, signal_repairs;
	unsigned long long injected; /* by --inject */
	unsigned long long broken[VMS_WX_ELSEWHERE + 1]; /* rules of the protection policy */
	unsigned long long limited[VMS_NR_LIMITS], tree_limited[VMS_NR_LIMITS]; /* refused for a limit */
};

/** What a seized task is stopped for. */
enum vms_job {
	VMS_JOB_NONE, /* guarded only */
	VMS_JOB_REMOTE, /* a remote call */
	VMS_JOB_LOCKALL, /* remote calls in place of an mlockall */
	VMS_JOB_EXEC_WAIT, /* execve has been let go */
	VMS_JOB_RELOC, /* its image is being moved */
};

/** How far a call has come that is carried out in two steps. */
enum vms_step_two {
	VMS_STEP_MAP, /* without PROT_EXEC */
	VMS_STEP_PROTECT, /* made executable */
	VMS_STEP_UNDO, /* unmapped again: it was not what had been vetted, or may not be executed */
};

/** mremap replaces what is at its target, which may be another thread's by then: so the target is reserved first. */
enum vms_move_step {
	VMS_MOVE_NONE, /* the plan is no move to a chosen place, or one that the kernel shall choose after all */
	VMS_MOVE_RESERVE,
	VMS_MOVE_MOVE,
	VMS_MOVE_UNDO, /* it has failed: the reservation goes */
};

/** What an mlockall has yet to lock. */
struct vms_lockall {
	struct vms_range *parts; /* owned */
	size_t nr, next;
	bool on_fault; /* MCL_ONFAULT */
	int64_t result; /* of the call that comes first */
};

struct vms_tracee {
	pid_t tid;
	bool guarded; /* seized by the signal guard, stays so after a job */
	bool is_stopped; /* in a group stop, as far as its last stop tells */
	enum vms_job job;
	struct vms_remote remote; /* VMS_JOB_REMOTE */
	struct vms_reloc reloc; /* VMS_JOB_RELOC */
	struct vms_trap trap; /* the call that the job carries out */
	struct vms_req req;
	struct vms_facts facts;
	struct vms_plan plan;
	struct vms_usage growth; /* of the plan */
	struct vms_lockall lockall; /* VMS_JOB_LOCKALL */
	unsigned int tries;
	enum vms_step_two step_two; /* of a plan in two steps */
	int64_t mapped_at; /* the result of the first */
	enum vms_move_step move;
	int64_t moved; /* the result of VMS_MOVE_MOVE */
	long long began; /* ns */
	bool restarts; /* VMS_JOB_REMOTE: its own call is made once more */
	bool is_pinned; /* sup->pin is for this one */
	bool has_limit; /* VMS_JOB_EXEC_WAIT: there is an RLIMIT_AS, which old_arch matters to */
	enum vms_arch old_arch; /* of the program that executes */
	UT_hash_handle hh;
};

/** What was refused to one process for one reason. */
struct vms_refusal {
	pid_t pid;
	char command[32]; /* comm, when it was refused first */
	enum vms_call call;
	uint64_t args[6]; /* of the last time */
	int error;
	uint8_t limit, rule; /* as in struct vms_plan */
	bool tree_limit, injected;
	uint64_t count, last; /* how often; the number of the last time among all */
};
#define VMS_NR_REFUSALS 64

/** A call that waits until another thread's is settled. */
struct vms_held {
	struct vms_trap trap;
	long long since; /* ns */
	struct vms_held *prev, *next;
};

struct vms_sup {
	struct vms_run_options options;
	struct vms_machine machine;
	struct vms_range chosen; /* options.range, or all user addresses */
	struct vms_range range; /* the same, with what --hole has outside it */
	struct vms_cookie cookie;
	struct vms_reloc_conf reloc_conf, i386_conf; /* i386_conf: with an empty range when no i386 program can run */
	struct vms_range image_range; /* the part of range in which images are laid out */
	bool moves_images; /* every exec is relocated */
	vms_addr_t fence_size; /* bytes of address space that the fence takes in each process */
	vms_addr_t i386_fence_size; /* the same, where an i386 program runs */
	uint64_t seed;
	bool has_userfaultfd; /* a task of the tree may make reads of its memory wait */

	struct vms_loop *loop;
	struct vms_listener listener;
	struct vms_tasks tasks;
	struct vms_tracee *tracees; /* by tid; owned */
	struct vms_pin pin; /* of one job at a time */
	struct vms_held *held; /* owned list */
	size_t nr_held;
	struct vms_vma_list seen_range, seen_from, seen_all; /* reused buffers */

	struct vms_tenancy tenancy; /* of a tenant's supervisor, which has a board */
	struct vms_board *board; /* owned; NULL for `vmsup run` */
	bool is_receiver; /* a successor: vmsupd receives no calls any more */
	bool is_successor; /* of a supervisor that died: what it knew of a process is not known */
	int link_fd, link_folder, main_pidfd, tally_timer; /* owned; -1: not open. main_pidfd: the program is not our child */
	struct vms_watch *link_watch, *main_watch, *tally_watch;
	bool tally_armed;
	long long main_end_by; /* until then how the program ended is asked for; 0: it has not ended */
	struct vms_drain *drain; /* owned: where lines of the trace go, to be dropped rather than waited with; NULL: nowhere */
	long long event_credit_ns; /* events may be told as long as it is not in the future */

	pid_t main_pid, front_pid; /* front_pid 0: it is gone */
	bool main_stopped;
	bool stop_is_known; /* as its tracer: as its parent we are told of the same stop once it is not seized */
	bool front_owes; /* RESUMED, for the STOPPED that it was told */
	bool told_continued; /* since that STOPPED */
	int untold_stop; /* a later stop of the program, by this signal; 0: none */
	bool main_started; /* its first exec is through */
	bool main_exited;
	int front_fd, report_fd, signal_fd, hold_timer, look_timer; /* owned; -1: not open */
	struct vms_watch *front_watch, *report_watch, *signal_watch, *listener_watch, *hold_watch,
		*look_watch;
	long hold_tick; /* ns; of the hold timer, 0: it is not armed */
	bool look_armed;
	long long look_by; /* with look_armed: when */
	struct vms_precheck_cache *precheck; /* owned; NULL until the first exec */
	long long retried_since; /* ns; since when the call being stepped is held, 0: it is not */

	struct vms_stats stats;
	struct vms_refusal refusals[VMS_NR_REFUSALS]; /* in no order; those with a count of 0 are empty */
	uint64_t last_refusal;
	struct vms_log_budget exec_log, guard_log, audit_log, task_log, limit_log, rule_log;
	FILE *trace; /* owned unless it is stderr */
	FILE *stats_file; /* owned unless it is stderr */
};

/* clock.c */
long long vms_now_ns(void);

/* configure.c: what was asked for */
/** Check the options against the machine, which has been learnt. 0, or a negative errno with a sentence. */
VMS_MUST_CHECK int vms_configure_check(struct vms_sup *sup, struct vms_err *err);
/** Fill what serving needs; sup->cookie must be there. */
void vms_configure(struct vms_sup *sup);
/**
 * RLIMIT_AS counts the fence and the top gap: *@limit is what the program gets, where *@ret_set. 0, or a negative errno with a
 * sentence: there is no room for the fence under the limit of this process.
 */
VMS_MUST_CHECK int vms_configure_limit(struct vms_sup *sup, struct rlimit *limit, bool *ret_set, struct vms_err *err);
/** VMS_TRAP_* of this run. */
unsigned int vms_configure_traps(const struct vms_sup *sup);
/** True when the range is kept by a filter, because this kernel cannot seal. */
bool vms_sup_is_unsealed(const struct vms_sup *sup);

/* step.c: one blocked call from the kernel's queue to its answer */
void vms_step(struct vms_sup *sup, const struct vms_trap *trap);
/** Answer with what @plan says (not for VMS_REMOTE), count and trace it. True when the answer was taken. */
bool vms_step_answer(struct vms_sup *sup, const struct vms_trap *trap, const struct vms_req *req,
		     const struct vms_plan *plan, long long began);

/* flight.c: calls in flight, and how they are settled */
void vms_flight_settle(struct vms_sup *sup, struct vms_thread *thread);
/** Settle what other threads of the mm have visibly done; collect the plans of the rest in @busy. */
size_t vms_flight_probe(struct vms_sup *sup, struct vms_thread *self, const struct vms_plan **busy, size_t cap);
/** Settle every call of @mm that visibly happened. */
void vms_flight_visible(struct vms_sup *sup, struct vms_mm *mm);
/** The same, and re-read the mm. */
void vms_flight_refresh(struct vms_sup *sup, struct vms_process *process);
void vms_flight_reread(struct vms_sup *sup, struct vms_process *process);

/* hold.c: calls that wait for others */
/** Take @trap in; false when it must not wait (any longer). */
bool vms_hold(struct vms_sup *sup, const struct vms_trap *trap);
/** The longest that it waits for, and that a call in flight is waited for. */
long long vms_hold_max_ns(const struct vms_sup *sup);
/** Take @trap in for as long as it takes; false when there is no room. */
bool vms_hold_on(struct vms_sup *sup, const struct vms_trap *trap);
int vms_hold_start(struct vms_sup *sup);
void vms_hold_done(struct vms_sup *sup);

/* audit.c */
void vms_audit(struct vms_sup *sup, struct vms_process *process, const char *after);

/* tracee.c: seized tasks */
struct vms_tracee *vms_tracee_find(struct vms_sup *sup, pid_t tid);
/** The record of @tid, made when there is none. NULL: out of memory. */
struct vms_tracee *vms_tracee_get(struct vms_sup *sup, pid_t tid);
void vms_tracee_drop(struct vms_sup *sup, struct vms_tracee *tracee);
/** A job begins: take turns on one CPU. */
void vms_tracee_pin(struct vms_sup *sup, struct vms_tracee *tracee);
/** The task is about to run on by itself. */
void vms_tracee_unpin(struct vms_sup *sup, struct vms_tracee *tracee);
/** The job is over: forget the tracee unless the guard keeps it. */
void vms_tracee_end_job(struct vms_sup *sup, struct vms_tracee *tracee);

/**
 * True when no thread of the process may be seized now, and @trap has been held: ptrace_attach waits for the lock that
 * an execve under way holds until we have waited for the threads that it kills.
 */
bool vms_exec_defers(struct vms_sup *sup, const struct vms_thread *thread, const struct vms_trap *trap);

/* remote.c */
void vms_remote_step(struct vms_sup *sup, struct vms_thread *thread, const struct vms_trap *trap,
		     const struct vms_req *req, const struct vms_facts *facts, const struct vms_plan *plan,
		     const struct vms_usage *growth, long long began);
/** True when @trap is the call that its thread is made to do; it has been let go on. */
bool vms_remote_notified(struct vms_sup *sup, const struct vms_trap *trap);
void vms_remote_event(struct vms_sup *sup, struct vms_tracee *tracee, int status);
/** A job of remote calls has failed with @r at the stop @status: let the thread go. */
void vms_remote_give_up(struct vms_sup *sup, struct vms_tracee *tracee, int status, int r);

/* rescue.c: remote calls that outlive the supervisor of a tenant */
/** Where the stub of @thread's process can be; 0: its calls are stepped. */
vms_addr_t vms_rescue_stub(const struct vms_sup *sup, const struct vms_thread *thread, const struct vms_trap *trap);
/** vms_remote_stop of @tracee's remote call, which is kept before it runs. 1: done; 0 and errors as there. */
VMS_MUST_CHECK int vms_rescue_stop(struct vms_sup *sup, struct vms_tracee *tracee, int status);
/** Keep how far it is. False: there is no room. */
bool vms_rescue_keep(struct vms_sup *sup, const struct vms_tracee *tracee);
/** Nothing of @tid is under way. */
void vms_rescue_forget(struct vms_sup *sup, pid_t tid);
/** A successor: what had not begun, or had ended, is forgotten. */
void vms_rescue_sift(struct vms_sup *sup);
/** True when @trap is that of a thread that has carried out its remote call in the stub; it is answered. */
bool vms_rescue_notified(struct vms_sup *sup, const struct vms_trap *trap);

/* lockall.c: mlockall(MCL_CURRENT) */
void vms_lockall_step(struct vms_sup *sup, struct vms_thread *thread, const struct vms_trap *trap, const struct vms_req *req,
		      long long began);
void vms_lockall_event(struct vms_sup *sup, struct vms_tracee *tracee, int status);

/* exec.c */
void vms_exec_step(struct vms_sup *sup, struct vms_thread *thread, const struct vms_trap *trap,
		   const struct vms_req *req, long long began);
void vms_exec_event(struct vms_sup *sup, struct vms_tracee *tracee, int status);

/** The task died in its execve. */
void vms_exec_gone(struct vms_sup *sup, struct vms_tracee *tracee);
/** The process is gone, and with it an execve that was under way. */
void vms_exec_forget(struct vms_sup *sup, const struct vms_process *process);

/* precheck.c: what can be seen of a program before it is executed; advice only */
/** 0, or a positive errno for the child with a sentence in @err. */
int vms_precheck(struct vms_sup *sup, const struct vms_trap *trap, const struct vms_req *req, struct vms_err *err);
void vms_precheck_done(struct vms_sup *sup);

/* memory.c: the memory of a task, without waiting for its pages */
/** vms_mem_read; -EFAULT also for a page that would have to be waited for. */
VMS_MUST_CHECK int vms_sup_read(const struct vms_sup *sup, pid_t tid, vms_addr_t addr, void *buf, size_t len);
/** vms_mem_write; -EAGAIN for a page that would have to be waited for. */
VMS_MUST_CHECK int vms_sup_write(const struct vms_sup *sup, pid_t tid, vms_addr_t addr, const void *buf, size_t len);

/* guard.c */
void vms_guard_step(struct vms_sup *sup, struct vms_thread *thread, const struct vms_trap *trap,
		    const struct vms_req *req, long long began);
/** PR_SET_DUMPABLE: the last time that the process can be seized. */
void vms_guard_undumpable(struct vms_sup *sup, struct vms_thread *thread, const struct vms_trap *trap,
			  const struct vms_req *req, long long began);
/** Seize @process when it may have handlers that interrupt; what it has installed is not known. */
void vms_guard_unknown(struct vms_sup *sup, struct vms_process *process);
void vms_guard_event(struct vms_sup *sup, struct vms_tracee *tracee, int status);
/** A task that the kernel has seized for us, as the child of a guarded one. */
void vms_guard_adopt(struct vms_sup *sup, pid_t tid, int status);

/* budget.c: --max-*, --tree-max-* */
/**
 * Ask the limits about @plan. True: it stands, and may add *@ret_growth. False: a limit would be passed; @plan refuses the call now, and
 * what --on-limit says is done.
 */
bool vms_budget_allows(struct vms_sup *sup, struct vms_thread *thread, const struct vms_req *req, const struct vms_facts *facts,
		       struct vms_plan *plan, struct vms_usage *ret_growth);
/** The same of a call that copies the caller's space. */
bool vms_budget_allows_fork(struct vms_sup *sup, struct vms_thread *thread, const struct vms_req *req, struct vms_plan *plan,
			    struct vms_usage *ret_growth);
/** Give @process, and what it starts from now on, other limits. 0, or a negative errno with a sentence. */
VMS_MUST_CHECK int vms_budget_set(struct vms_sup *sup, struct vms_process *process, const struct vms_limits *limits,
				  struct vms_err *err);

/* inject.c */
/** True when --inject wants @req to fail: then *@ret_plan says how. Signals are sent, counters advanced. */
bool vms_inject(struct vms_sup *sup, struct vms_thread *thread, const struct vms_req *req, struct vms_plan *ret_plan);

/* protect.c: --wx, --exec-from, --no-anon-exec */
/** True: @plan may be carried out. False: it refuses now. */
bool vms_protect_allows(struct vms_sup *sup, struct vms_thread *thread, const struct vms_req *req, const struct vms_facts *facts,
			const struct vms_plan *const *busy, size_t nr_busy, struct vms_plan *plan);
/** The same of a call that makes a userfaultfd; *@ret_plan is how it is answered. */
bool vms_protect_userfault(struct vms_sup *sup, struct vms_thread *thread, const struct vms_req *req, struct vms_plan *ret_plan);
/** A fresh image, at the exec stop. 0, or a negative errno with a sentence: it must not run. */
VMS_MUST_CHECK int vms_protect_image(struct vms_sup *sup, pid_t pid, struct vms_err *err);

/* fork.c: new spaces count from their first moment, where the tree has limits */
void vms_fork_step(struct vms_sup *sup, struct vms_thread *thread, const struct vms_trap *trap, const struct vms_req *req,
		   long long began);
/** The thread is in a new call: what it has forked is there. */
void vms_fork_settle(struct vms_sup *sup, struct vms_thread *thread);
/** A record of @process has been made: whoever has forked it has done so. */
void vms_fork_seen(struct vms_sup *sup, const struct vms_process *process);
/** @process ends, perhaps before it was seen what it forked. */
void vms_fork_gone(struct vms_sup *sup, const struct vms_process *process);

/* limit.c: RLIMIT_AS */
/** At the exec stop of @pid: its limit as it was under a program of @old becomes the same under one of @new. */
void vms_limit_exec(const struct vms_sup *sup, pid_t pid, enum vms_arch old, enum vms_arch new);
/** True when the process has a limit that vms_limit_exec would change. */
bool vms_limit_is_set(const struct vms_sup *sup, pid_t pid);
void vms_limit_step(struct vms_sup *sup, struct vms_thread *thread, const struct vms_trap *trap,
		    const struct vms_req *req, long long began);

/* wait.c: stops and deaths of children */
void vms_wait_all(struct vms_sup *sup);
int vms_wait_start(struct vms_sup *sup);
void vms_wait_done(struct vms_sup *sup);
/** A job begins: look for its stops now and then, should a signal not tell. */
void vms_wait_soon(struct vms_sup *sup);
/** Tell the front of a stop, once it has dealt with the one before. */
void vms_wait_tells_front(struct vms_sup *sup);
/** The program goes on, and the front may not know it yet: send it SIGCONT. False when there is no need (any more). */
bool vms_wait_wakes_front(struct vms_sup *sup);
/** The last task has let go of the filter: wait until every child of ours has died. */
void vms_wait_rest(struct vms_sup *sup);

/* front.c: what the front is told */
#define VMS_FRONT_FDS 3
void vms_front_tell(int fd, enum vms_front_kind kind, int value, const char *text);
/** The same, with at most VMS_FRONT_FDS descriptors. False: it was not told. */
bool vms_front_tell_with(int fd, enum vms_front_kind kind, int value, const char *text, const int *fds, size_t nr_fds);
/** Receive without waiting. *@ret_fd is written when a descriptor came, and then the caller's. 0; -EAGAIN; -errno: it is gone. */
VMS_MUST_CHECK int vms_front_hear(int fd, struct vms_front_msg *ret_msg, int *ret_fd);

/* tenancy.c: what a tenant's supervisor does for vmsupd; all but the first two with a board only */
/** Take @tenancy over and map its board. 0, or a negative errno with a sentence. */
VMS_MUST_CHECK int vms_tenancy_take(struct vms_sup *sup, const struct vms_tenancy *tenancy, struct vms_err *err);
void vms_tenancy_done(struct vms_sup *sup);
/** Open the socket for a new vmsupd. 0, or a negative errno with a sentence. */
VMS_MUST_CHECK int vms_tenancy_open(struct vms_sup *sup, struct vms_err *err);
VMS_MUST_CHECK int vms_tenancy_watch(struct vms_sup *sup);
/** The program has been started: from now on another supervisor could take over. */
void vms_tenancy_started(struct vms_sup *sup);
/** vmsupd is gone; another may connect. */
void vms_tenancy_lost_link(struct vms_sup *sup);
/** The limits have been changed: the next supervisor shall know them. */
void vms_tenancy_keep_limits(struct vms_sup *sup);
/** Write the trace to @fd (taken) from now on; -1: no more. */
void vms_tenancy_trace(struct vms_sup *sup, int fd);
/** SIGKILL to every task of the tree. */
void vms_tenancy_kill(struct vms_sup *sup);
/** The program has ended, if nobody has told yet: how is asked for now and, for some seconds, again; @is_last: waits for it. */
void vms_tenancy_main_end(struct vms_sup *sup, bool is_last);
/** Tell vmsupd, if it listens: @object is taken over. */
void vms_tenancy_event(struct vms_sup *sup, json_t *object);
/** A call was refused: tell vmsupd. @is_ours: by us, not by the kernel that was asked. */
void vms_tenancy_refused(struct vms_sup *sup, const struct vms_refusal *refusal, bool is_ours);

/* tally.c: the board's counters; with a board only */
VMS_MUST_CHECK int vms_tally_start(struct vms_sup *sup);
void vms_tally_done(struct vms_sup *sup);
/** A notification that came at @began (ns) has been dealt with. */
void vms_tally_step(struct vms_sup *sup, long long began);
void vms_tally_publish(struct vms_sup *sup);
/** Count on from where the supervisor before this one was. */
void vms_tally_restore(struct vms_sup *sup);

/* adopt.c: a tree whose supervisor has died */
/** Take over listener and numbers of the one before. 0, or a negative errno with a sentence. */
VMS_MUST_CHECK int vms_adopt_begin(struct vms_sup *sup, struct vms_err *err);
/** Make records of the tree, answer what was in flight. */
void vms_adopt_tree(struct vms_sup *sup);
/** A record of a process that may be older than this supervisor has been made. */
void vms_adopt_process(struct vms_sup *sup, struct vms_process *process);

/* supervisor.c */
/** Read what the program's first exec has said of itself; call when it can be read, or when the program is dead. */
void vms_main_report(struct vms_sup *sup);
/** The program runs: tell the front, once. */
void vms_main_started(struct vms_sup *sup);
/** Take a message of the front, should one come within @ms. */
void vms_main_hear_front(struct vms_sup *sup, int ms);
/** The program has ended: @status of wait(2), or -1 when only its parent is told. */
void vms_main_ended(struct vms_sup *sup, int status);
VMS_MUST_CHECK int vms_main_watch_front(struct vms_sup *sup);
/** Send the program a signal. */
void vms_main_kill(const struct vms_sup *sup, int sig);
/** True when the last task of the tree is gone. */
bool vms_sup_is_over(const struct vms_sup *sup);

/* stats.c, trace.c */
void vms_stats_write(struct vms_sup *sup);
void vms_trace_write(struct vms_sup *sup, const struct vms_trap *trap, const struct vms_req *req,
		     const struct vms_plan *plan, int64_t result, bool has_result, long long began);

/* refusal.c */
/** True when what was answered is what a program takes for a failure; a refused brk is answered with the break that stays. */
bool vms_refusal_is(const struct vms_req *req, const struct vms_plan *plan, int64_t result, bool has_result);
/** Remember it, when it is one. */
void vms_refusal_note(struct vms_sup *sup, const struct vms_trap *trap, const struct vms_req *req, const struct vms_plan *plan,
		      int64_t result, bool has_result);

/* trace_state.c: what a replay needs; each does nothing without --trace */
/** What a decision depended on, beside the space. */
struct vms_decided {
	const struct vms_facts *facts;
	const struct vms_plan *const *busy;
	size_t nr_busy;
	uint64_t random; /* the space's state before */
	vms_addr_t rejected; /* 0, or on a retry the address that was */
};
void vms_trace_start(struct vms_sup *sup);
void vms_trace_space(struct vms_sup *sup, const struct vms_process *process);
void vms_trace_change(struct vms_sup *sup, const struct vms_thread *thread, const struct vms_plan *plan);
void vms_trace_decision(struct vms_sup *sup, const struct vms_thread *thread, const struct vms_trap *trap,
			const struct vms_decided *decided, const struct vms_plan *plan);

#endif
