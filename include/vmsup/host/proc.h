/*
 * What /proc and its kin say about a task.
 */
#ifndef VMSUP_HOST_PROC_H
#define VMSUP_HOST_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "vmsup/base/addr.h"
#include "vmsup/base/err.h"
#include "vmsup/core/call.h"

/** 0, or a negative errno with a sentence when /proc is not there, or not such that children can be worked on. */
VMS_MUST_CHECK int vms_proc_check(struct vms_err *err);

struct vms_proc_status {
	pid_t tgid;
	pid_t ppid;
	pid_t tracer; /* 0: nobody */
	char state; /* as ps(1) shows it */
	unsigned int threads;
	unsigned int uid[3], gid[3]; /* real, effective, saved */
	pid_t inner_tgid; /* in its own pid namespace */
	bool is_nested; /* that is one below ours */
	uint64_t cap_eff; /* in its own user namespace */
	uint64_t caught; /* signals with a handler, bit sig - 1 */
	int seccomp; /* as SECCOMP_MODE_*; 2: there is a filter */
	unsigned int filters; /* how many */
	char comm[32];
};

/** Where thread @tid is in its code. 0, -EAGAIN when it runs, another negative errno. */
VMS_MUST_CHECK int vms_proc_call_ip(pid_t tid, uint64_t *ret_ip);
/**
 * The call that thread @tid is in: 0 with its number, -EAGAIN when it runs or is in none, another negative errno.
 */
VMS_MUST_CHECK int vms_proc_call(pid_t tid, int *ret_nr);

/** Parse /proc/@tid/status. 0, -ESRCH. */
VMS_MUST_CHECK int vms_proc_status(pid_t tid, struct vms_proc_status *ret);

/** True when @tid is in the initial user namespace, where alone capabilities count for the kernel's own limits. */
bool vms_proc_in_first_userns(pid_t tid);

/** The fields of /proc/PID/stat that PR_SET_MM_MAP wants back. */
struct vms_proc_mm {
	vms_addr_t start_code, end_code, start_stack;
	vms_addr_t start_data, end_data, start_brk;
	vms_addr_t arg_start, arg_end, env_start, env_end;
};

/** 0, -ESRCH, or -EACCES when the kernel hides the addresses from us. */
VMS_MUST_CHECK int vms_proc_mm(pid_t pid, struct vms_proc_mm *ret);

/** The value of @type in the auxiliary vector of @pid, whose program is @arch's, as the kernel keeps it; 0 when it is not there. */
vms_addr_t vms_proc_auxv(pid_t pid, enum vms_arch arch, unsigned long type);

/** The personality(2) of @pid. 0, -errno. */
VMS_MUST_CHECK int vms_proc_personality(pid_t pid, uint64_t *ret_persona);

/** Call @fn for each child of thread @tid of process @pid that is not dead. 0 or -errno (the first from @fn). */
VMS_MUST_CHECK int vms_proc_each_child(pid_t pid, pid_t tid, int (*fn)(pid_t pid, void *arg), void *arg);

/**
 * How the process of @pidfd has ended, as wait(2) has it, though it is another's child: once its parent has waited for it, and from Linux
 * 6.15 on. 0; -EAGAIN: not yet; -ENOTTY or another -errno: it cannot be told here.
 */
VMS_MUST_CHECK int vms_proc_exit_status(int pidfd, int *ret_status);
/** A thread of process @pid that has not ended; 0: none. */
pid_t vms_proc_living_thread(pid_t pid);
/** When @pid was started, in ticks since the boot: with the number it names one process. 0, -ESRCH or another -errno. */
VMS_MUST_CHECK int vms_proc_start_time(pid_t pid, uint64_t *ret_ticks);
/**
 * Call @fn for each descendant of @root that /proc lists now.
 * 0 or -errno (of opening /proc, or the first from @fn).
 */
VMS_MUST_CHECK int vms_proc_each_descendant(pid_t root, int (*fn)(pid_t pid, void *arg), void *arg);
/** SIGKILL to @root and to each descendant of it that /proc lists now. */
void vms_proc_kill_tree(pid_t root);
/** True when @root is an ancestor of @pid. */
bool vms_proc_is_descendant(pid_t pid, pid_t root);

/**
 * The process that @viewer calls @number. When @viewer is in a pid namespace below ours: a descendant of @root, or 0 when there is
 * none of that number; else the number itself.
 */
pid_t vms_proc_number(pid_t root, pid_t viewer, pid_t number);

/** A pidfd of the process @pid (O_CLOEXEC), or -errno. */
VMS_MUST_CHECK int vms_proc_pidfd(pid_t pid);
/** A pidfd of the thread @tid (Linux 6.9), or -errno. */
VMS_MUST_CHECK int vms_proc_thread_pidfd(pid_t tid);
/** A copy of @pidfd's descriptor @fd in this process (O_CLOEXEC), or -errno. */
VMS_MUST_CHECK int vms_proc_getfd(int pidfd, int fd);
/** The order of two tasks by their mm, which is the kernel's own: below, at or above 0. Not 0 also when it cannot be told. */
int vms_proc_compare_mm(pid_t a, pid_t b);
/** True when both have the same mm. False also when it cannot be told. */
bool vms_proc_same_mm(pid_t a, pid_t b);

/** True when both are in the same namespace @type ("user", "pid"). False also when it cannot be told. */
bool vms_proc_same_ns(pid_t a, pid_t b, const char *type);

/** False when @tid is no thread of @pid (any more). */
bool vms_proc_has_thread(pid_t pid, pid_t tid);
/** Call @fn for each thread of @pid that is listed now. 0 or -errno (of opening, or the first from @fn). */
VMS_MUST_CHECK int vms_proc_each_thread(pid_t pid, int (*fn)(pid_t tid, void *arg), void *arg);

#endif
