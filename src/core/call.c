/* The table of trapped calls; see the header. To add one: HACKING, "How to add a trapped call". */
#include "vmsup/core/call.h"

#include <asm/unistd.h>
#include <linux/prctl.h>
#include <linux/resource.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>

#ifndef __NR_map_shadow_stack
#define __NR_map_shadow_stack 453
#endif
#ifndef __NR_mseal
#define __NR_mseal 462
#endif

/* linux/userfaultfd.h, 6.1: ioctl(2) of /dev/userfaultfd */
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW 0xaa00
#endif

/* arch/x86/include/uapi/asm/prctl.h */
#define ARCH_MAP_VDSO_X32 0x2001
#define ARCH_MAP_VDSO_32 0x2002
#define ARCH_MAP_VDSO_64 0x2003

#define ANY_TIME (VMS_TRAP_FENCE | VMS_TRAP_SUPERVISE)

#define CALL(ID, NAME, ARGS, WHEN, COOKIE, ...)                                                    \
	[VMS_CALL_##ID] = { #NAME, __NR_##NAME, ARGS, WHEN, VMS_COOKIE_##COOKIE, { __VA_ARGS__ } }
#define ALWAYS { VMS_TEST_NONE, 0, 0 }
#define NE(arg, value) { VMS_TEST_NE, arg, value }
#define CLEAR(arg, value) { VMS_TEST_CLEAR, arg, value }
#define EQ(arg, value) { VMS_TEST_EQ, arg, value }

static const struct vms_call_info calls[VMS_NR_CALLS] = {
	CALL(MMAP, mmap, 6, VMS_TRAP_SUPERVISE, MMAP, ALWAYS),
	CALL(MUNMAP, munmap, 2, VMS_TRAP_SUPERVISE, R9, ALWAYS),
	CALL(MREMAP, mremap, 5, VMS_TRAP_SUPERVISE, R9, ALWAYS),
	CALL(MPROTECT, mprotect, 3, VMS_TRAP_SUPERVISE, R9, ALWAYS),
	CALL(PKEY_MPROTECT, pkey_mprotect, 4, VMS_TRAP_SUPERVISE, NONE, ALWAYS),
	CALL(BRK, brk, 1, VMS_TRAP_SUPERVISE, NONE, NE(0, 0)),
	CALL(SHMAT, shmat, 3, VMS_TRAP_SUPERVISE, R9, ALWAYS),
	CALL(SHMDT, shmdt, 1, VMS_TRAP_SUPERVISE, NONE, ALWAYS),
	CALL(REMAP_FILE_PAGES, remap_file_pages, 5, VMS_TRAP_SUPERVISE, NONE, ALWAYS),
	CALL(IO_SETUP, io_setup, 2, VMS_TRAP_SUPERVISE, NONE, ALWAYS),
	CALL(IO_DESTROY, io_destroy, 1, VMS_TRAP_SUPERVISE, NONE, ALWAYS),
	CALL(MSEAL, mseal, 3, VMS_TRAP_SUPERVISE, R9, ALWAYS),
	CALL(MAP_SHADOW_STACK, map_shadow_stack, 3, VMS_TRAP_SUPERVISE, NONE, ALWAYS),
	/* They tell whether something is mapped, and the fence is not to be seen. */
	CALL(MINCORE, mincore, 3, VMS_TRAP_ASKED, NONE, ALWAYS),
	CALL(MSYNC, msync, 3, VMS_TRAP_ASKED, NONE, ALWAYS),
	/* The fence counts, and would be locked. */
	CALL(MLOCKALL, mlockall, 1, VMS_TRAP_FENCE | VMS_TRAP_ASKED, R9, EQ(0, MCL_CURRENT), EQ(0, MCL_CURRENT | MCL_FUTURE),
	     EQ(0, MCL_CURRENT | MCL_ONFAULT), EQ(0, MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)),
	CALL(EXECVE, execve, 3, ANY_TIME, NONE, ALWAYS),
	CALL(EXECVEAT, execveat, 5, ANY_TIME, NONE, ALWAYS),
	CALL(SETRLIMIT, setrlimit, 2, ANY_TIME, NONE, EQ(0, RLIMIT_AS)),
	CALL(GETRLIMIT, getrlimit, 2, ANY_TIME, NONE, EQ(0, RLIMIT_AS)),
	CALL(PRLIMIT64, prlimit64, 4, ANY_TIME, NONE, EQ(1, RLIMIT_AS)),
	CALL(PRCTL, prctl, 5, ANY_TIME, R9, EQ(0, PR_SET_MM), EQ(0, PR_SET_SECCOMP),
	     EQ(0, PR_SET_DUMPABLE)),
	CALL(ARCH_PRCTL, arch_prctl, 2, ANY_TIME, NONE, EQ(0, ARCH_MAP_VDSO_X32),
	     EQ(0, ARCH_MAP_VDSO_32), EQ(0, ARCH_MAP_VDSO_64)),
	CALL(PERSONALITY, personality, 1, ANY_TIME, R9, ALWAYS),
	/* A filter of the program's own sees what is injected, and can answer it. */
	CALL(SECCOMP, seccomp, 3, ANY_TIME, NONE, EQ(0, SECCOMP_SET_MODE_FILTER)),
	/* From then on a read of its memory can be made to wait by the program itself. */
	CALL(USERFAULTFD, userfaultfd, 1, ANY_TIME, NONE, ALWAYS),
	CALL(IOCTL, ioctl, 3, ANY_TIME, NONE, EQ(1, USERFAULTFD_IOC_NEW)),
	/* A copy of the caller's memory. The flags of clone3 are in memory. */
	CALL(FORK, fork, 0, VMS_TRAP_TREE, NONE, ALWAYS),
	CALL(CLONE, clone, 5, VMS_TRAP_TREE, NONE, CLEAR(0, CLONE_VM)),
	CALL(CLONE3, clone3, 2, VMS_TRAP_TREE, NONE, ALWAYS),
	CALL(RT_SIGACTION, rt_sigaction, 4, VMS_TRAP_GUARD, NONE, NE(1, 0)),
	CALL(EXIT, exit, 1, VMS_TRAP_SUPERVISE, NONE, ALWAYS),
	CALL(EXIT_GROUP, exit_group, 1, VMS_TRAP_AUDIT, NONE, ALWAYS),
};

/*
 * arch/x86/entry/syscalls/syscall_32.tbl (6.18). The conditions are those of the call above. Several numbers of one call: the
 * first takes its arguments in registers.
 */
static const struct vms_i386_call i386_calls[] = {
	{ 192, VMS_CALL_MMAP, VMS_FORM_PAGES }, /* mmap2 */
	{ 90, VMS_CALL_MMAP, VMS_FORM_BLOCK },
	{ 91, VMS_CALL_MUNMAP, VMS_FORM_SAME },
	{ 163, VMS_CALL_MREMAP, VMS_FORM_SAME },
	{ 125, VMS_CALL_MPROTECT, VMS_FORM_SAME },
	{ 380, VMS_CALL_PKEY_MPROTECT, VMS_FORM_SAME },
	{ 45, VMS_CALL_BRK, VMS_FORM_SAME },
	{ 397, VMS_CALL_SHMAT, VMS_FORM_SAME },
	{ 398, VMS_CALL_SHMDT, VMS_FORM_SAME },
	{ 117, VMS_CALL_SHMAT, VMS_FORM_IPC },
	{ 257, VMS_CALL_REMAP_FILE_PAGES, VMS_FORM_SAME },
	{ 245, VMS_CALL_IO_SETUP, VMS_FORM_SAME },
	{ 246, VMS_CALL_IO_DESTROY, VMS_FORM_SAME },
	{ 462, VMS_CALL_MSEAL, VMS_FORM_SAME },
	{ 453, VMS_CALL_MAP_SHADOW_STACK, VMS_FORM_SAME },
	{ 218, VMS_CALL_MINCORE, VMS_FORM_SAME },
	{ 144, VMS_CALL_MSYNC, VMS_FORM_SAME },
	{ 152, VMS_CALL_MLOCKALL, VMS_FORM_SAME },
	{ 11, VMS_CALL_EXECVE, VMS_FORM_SAME },
	{ 358, VMS_CALL_EXECVEAT, VMS_FORM_SAME },
	{ 75, VMS_CALL_SETRLIMIT, VMS_FORM_SAME },
	{ 191, VMS_CALL_GETRLIMIT, VMS_FORM_SAME }, /* ugetrlimit */
	{ 76, VMS_CALL_GETRLIMIT, VMS_FORM_OLD },
	{ 340, VMS_CALL_PRLIMIT64, VMS_FORM_SAME },
	{ 172, VMS_CALL_PRCTL, VMS_FORM_SAME },
	{ 384, VMS_CALL_ARCH_PRCTL, VMS_FORM_SAME },
	{ 136, VMS_CALL_PERSONALITY, VMS_FORM_SAME },
	{ 354, VMS_CALL_SECCOMP, VMS_FORM_SAME },
	{ 54, VMS_CALL_IOCTL, VMS_FORM_SAME },
	{ 374, VMS_CALL_USERFAULTFD, VMS_FORM_SAME },
	{ 2, VMS_CALL_FORK, VMS_FORM_SAME },
	{ 120, VMS_CALL_CLONE, VMS_FORM_SAME },
	{ 435, VMS_CALL_CLONE3, VMS_FORM_SAME },
	{ 174, VMS_CALL_RT_SIGACTION, VMS_FORM_SAME },
	{ 67, VMS_CALL_RT_SIGACTION, VMS_FORM_OLD }, /* sigaction */
	{ 48, VMS_CALL_RT_SIGACTION, VMS_FORM_SIGNAL },
	{ 1, VMS_CALL_EXIT, VMS_FORM_SAME },
	{ 252, VMS_CALL_EXIT_GROUP, VMS_FORM_SAME },
};

#define NR_I386_CALLS (sizeof(i386_calls) / sizeof(i386_calls[0]))

const struct vms_i386_call *vms_i386_calls(size_t *ret_nr)
{
	*ret_nr = NR_I386_CALLS;
	return i386_calls;
}

const struct vms_i386_call *vms_i386_find(int nr)
{
	for (size_t i = 0; i < NR_I386_CALLS; i++) {
		if (i386_calls[i].nr == nr)
			return &i386_calls[i];
	}
	return NULL;
}

const struct vms_call_info *vms_call_get(enum vms_call call)
{
	return &calls[call];
}

enum vms_call vms_call_by_nr(enum vms_arch arch, int nr)
{
	const struct vms_i386_call *found;

	if (arch == VMS_ARCH_I386) {
		found = vms_i386_find(nr);
		return found ? found->call : VMS_NR_CALLS;
	}
	for (size_t i = 0; i < VMS_NR_CALLS; i++) {
		if (calls[i].nr == nr)
			return (enum vms_call)i;
	}
	return VMS_NR_CALLS;
}

int vms_call_nr(enum vms_arch arch, enum vms_call call)
{
	if (arch == VMS_ARCH_X86_64)
		return calls[call].nr;
	for (size_t i = 0; i < NR_I386_CALLS; i++) {
		if (i386_calls[i].call == call)
			return i386_calls[i].nr;
	}
	return -1;
}
