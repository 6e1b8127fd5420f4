/*
 * The table of trapped calls: the single source of what the filter notifies, under which
 * conditions, and by which name a call appears in traces and counters.
 */
#ifndef VMSUP_CORE_CALL_H
#define VMSUP_CORE_CALL_H

#include <stddef.h>
#include <stdint.h>

enum vms_call {
	VMS_CALL_MMAP,
	VMS_CALL_MUNMAP,
	VMS_CALL_MREMAP,
	VMS_CALL_MPROTECT,
	VMS_CALL_PKEY_MPROTECT,
	VMS_CALL_BRK,
	VMS_CALL_SHMAT,
	VMS_CALL_SHMDT,
	VMS_CALL_REMAP_FILE_PAGES,
	VMS_CALL_IO_SETUP,
	VMS_CALL_IO_DESTROY,
	VMS_CALL_MSEAL,
	VMS_CALL_MAP_SHADOW_STACK,
	VMS_CALL_MADVISE,
	VMS_CALL_EXECVE,
	VMS_CALL_EXECVEAT,
	VMS_CALL_SETRLIMIT,
	VMS_CALL_GETRLIMIT,
	VMS_CALL_PRLIMIT64,
	VMS_CALL_PRCTL,
	VMS_CALL_ARCH_PRCTL,
	VMS_CALL_PERSONALITY,
	VMS_CALL_SECCOMP,
	VMS_CALL_USERFAULTFD,
	VMS_CALL_IOCTL,
	VMS_CALL_RT_SIGACTION,
	VMS_CALL_EXIT,
	VMS_CALL_EXIT_GROUP,
	VMS_NR_CALLS,
};

/** When a call is trapped: a set of the features that need it. */
#define VMS_TRAP_FENCE (1u << 0) /* in both modes, when there is a range to keep */
#define VMS_TRAP_SUPERVISE (1u << 1) /* supervise mode */
#define VMS_TRAP_GUARD (1u << 2) /* the signal guard is on */
#define VMS_TRAP_AUDIT (1u << 3) /* --audit */
#define VMS_TRAP_UNSEALED (1u << 4) /* a fence that cannot be sealed (before Linux 6.10) */

/** A condition on one argument, tested by the filter itself. */
enum vms_test_op {
	VMS_TEST_NONE, /* always */
	VMS_TEST_NE, /* argument != value */
	VMS_TEST_EQ, /* argument == value, low 32 bits (the kernel takes an int) */
};

struct vms_arg_test {
	enum vms_test_op op;
	unsigned int arg;
	uint64_t value;
};

/** How a call that vmsup injects shows the filter its cookie. */
enum vms_cookie_kind {
	VMS_COOKIE_NONE, /* never injected */
	VMS_COOKIE_R9, /* in the sixth argument, which the call ignores */
	VMS_COOKIE_MMAP, /* in the upper half of fd and, when anonymous, in the offset */
};

#define VMS_MAX_TESTS 4

struct vms_call_info {
	const char *name;
	int nr; /* number on x86-64 */
	unsigned int nr_args;
	unsigned int when; /* VMS_TRAP_* */
	enum vms_cookie_kind cookie;
	struct vms_arg_test any_of[VMS_MAX_TESTS]; /* trapped when one of them holds */
};

/** The entry of @call, which must be below VMS_NR_CALLS. */
const struct vms_call_info *vms_call_get(enum vms_call call);
/** The call with system call number @nr, or VMS_NR_CALLS. */
enum vms_call vms_call_by_nr(int nr);

#endif
