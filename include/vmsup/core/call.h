/*
 * The table of trapped calls: the single source of what the filter notifies, under which
 * conditions, and by which name a call appears in traces and counters.
 */
#ifndef VMSUP_CORE_CALL_H
#define VMSUP_CORE_CALL_H

#include <stddef.h>
#include <stdint.h>

/** Whose table a call's number is from: the architecture that seccomp reports. Any process may make calls of both. */
enum vms_arch {
	VMS_ARCH_X86_64,
	VMS_ARCH_I386, /* int $0x80, sysenter, and syscall in 32-bit code */
};

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
	VMS_CALL_MINCORE,
	VMS_CALL_MSYNC,
	VMS_CALL_MLOCKALL,
	VMS_CALL_FORK,
	VMS_CALL_CLONE,
	VMS_CALL_CLONE3,
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
#define VMS_TRAP_ASKED (1u << 5) /* supervise mode, when there is a range: what tells whether something is mapped */
#define VMS_TRAP_TREE (1u << 6) /* supervise mode, when the tree has limits: what makes a space */
#define VMS_TRAP_I386 (1u << 4) /* i386 calls, too; without it they get ENOSYS */

/** A condition on one argument, tested by the filter itself. */
enum vms_test_op {
	VMS_TEST_NONE, /* always */
	VMS_TEST_NE, /* argument != value */
	VMS_TEST_EQ, /* argument == value, low 32 bits (the kernel takes an int) */
	VMS_TEST_CLEAR, /* no bit of value is set in the argument; value is one bit of the low 32 */
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

/** How a call takes its arguments where that is not as x86-64 does. */
enum vms_form {
	VMS_FORM_SAME, /* the same arguments, 32 bits each; pointers lead to i386 structures */
	VMS_FORM_PAGES, /* mmap2: the offset is in pages */
	VMS_FORM_BLOCK, /* old mmap: one pointer, to six words */
	VMS_FORM_IPC, /* ipc: shmat or shmdt among others; shmat's address goes through a pointer */
	VMS_FORM_OLD, /* old getrlimit, old sigaction: other structures */
	VMS_FORM_SIGNAL, /* signal: the handler itself instead of a structure */
};

/** One number of i386, and the call that it is. Several may be one call. */
struct vms_i386_call {
	int nr;
	enum vms_call call;
	enum vms_form form;
};

/* The numbers of ipc(2) that are calls of the table; version 1 of SHMAT is refused by the kernel. */
#define VMS_IPC_SHMAT 21
#define VMS_IPC_SHMDT 22

/** The entry of @call, which must be below VMS_NR_CALLS. */
const struct vms_call_info *vms_call_get(enum vms_call call);
/** The call with system call number @nr of @arch, or VMS_NR_CALLS. */
enum vms_call vms_call_by_nr(enum vms_arch arch, int nr);
/** The number of @call on @arch; of several that which takes its arguments in registers. */
int vms_call_nr(enum vms_arch arch, enum vms_call call);

/** The table of i386; @ret_nr: its length. */
const struct vms_i386_call *vms_i386_calls(size_t *ret_nr);
/** The entry of number @nr of i386, or NULL. */
const struct vms_i386_call *vms_i386_find(int nr);

#endif
