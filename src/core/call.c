/* The table of trapped calls; see the header. To add one: HACKING, "How to add a trapped call". */
#include "vmsup/core/call.h"

#include <asm/unistd.h>
#include <linux/prctl.h>
#include <linux/resource.h>
#include <linux/seccomp.h>
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
#define EQ(arg, value) { VMS_TEST_EQ, arg, value }

static const struct vms_call_info calls[VMS_NR_CALLS] = {
	CALL(MMAP, mmap, 6, VMS_TRAP_SUPERVISE, MMAP, ALWAYS),
	CALL(MUNMAP, munmap, 2, VMS_TRAP_SUPERVISE, R9, ALWAYS),
	CALL(MREMAP, mremap, 5, VMS_TRAP_SUPERVISE, R9, ALWAYS),
	CALL(MPROTECT, mprotect, 3, VMS_TRAP_SUPERVISE, NONE, ALWAYS),
	CALL(PKEY_MPROTECT, pkey_mprotect, 4, VMS_TRAP_SUPERVISE, NONE, ALWAYS),
	CALL(BRK, brk, 1, VMS_TRAP_SUPERVISE, NONE, NE(0, 0)),
	CALL(SHMAT, shmat, 3, VMS_TRAP_SUPERVISE, R9, ALWAYS),
	CALL(SHMDT, shmdt, 1, VMS_TRAP_SUPERVISE, NONE, ALWAYS),
	CALL(REMAP_FILE_PAGES, remap_file_pages, 5, VMS_TRAP_SUPERVISE, NONE, ALWAYS),
	CALL(IO_SETUP, io_setup, 2, VMS_TRAP_SUPERVISE, NONE, ALWAYS),
	CALL(IO_DESTROY, io_destroy, 1, VMS_TRAP_SUPERVISE, NONE, ALWAYS),
	CALL(MSEAL, mseal, 3, VMS_TRAP_SUPERVISE, R9, ALWAYS),
	CALL(MAP_SHADOW_STACK, map_shadow_stack, 3, VMS_TRAP_SUPERVISE, NONE, ALWAYS),
	/* MADV_DONTFORK on a fence that is not sealed would leave a child without it. */
	CALL(MADVISE, madvise, 3, VMS_TRAP_UNSEALED, NONE, EQ(2, MADV_DONTFORK)),
	CALL(EXECVE, execve, 3, ANY_TIME, NONE, ALWAYS),
	CALL(EXECVEAT, execveat, 5, ANY_TIME, NONE, ALWAYS),
	CALL(SETRLIMIT, setrlimit, 2, ANY_TIME, NONE, EQ(0, RLIMIT_AS)),
	CALL(GETRLIMIT, getrlimit, 2, ANY_TIME, NONE, EQ(0, RLIMIT_AS)),
	CALL(PRLIMIT64, prlimit64, 4, ANY_TIME, NONE, EQ(1, RLIMIT_AS)),
	CALL(PRCTL, prctl, 5, ANY_TIME, R9, EQ(0, PR_SET_MM), EQ(0, PR_SET_SECCOMP)),
	CALL(ARCH_PRCTL, arch_prctl, 2, ANY_TIME, NONE, EQ(0, ARCH_MAP_VDSO_X32),
	     EQ(0, ARCH_MAP_VDSO_32), EQ(0, ARCH_MAP_VDSO_64)),
	CALL(PERSONALITY, personality, 1, ANY_TIME, NONE, ALWAYS),
	/* A filter of the program's own sees what is injected, and can answer it. */
	CALL(SECCOMP, seccomp, 3, ANY_TIME, NONE, EQ(0, SECCOMP_SET_MODE_FILTER)),
	/* From then on a read of its memory can be made to wait by the program itself. */
	CALL(USERFAULTFD, userfaultfd, 1, ANY_TIME, NONE, ALWAYS),
	CALL(IOCTL, ioctl, 3, ANY_TIME, NONE, EQ(1, USERFAULTFD_IOC_NEW)),
	CALL(RT_SIGACTION, rt_sigaction, 4, VMS_TRAP_GUARD, NONE, NE(1, 0)),
	CALL(EXIT, exit, 1, VMS_TRAP_SUPERVISE, NONE, ALWAYS),
	CALL(EXIT_GROUP, exit_group, 1, VMS_TRAP_AUDIT, NONE, ALWAYS),
};

const struct vms_call_info *vms_call_get(enum vms_call call)
{
	return &calls[call];
}

enum vms_call vms_call_by_nr(int nr)
{
	for (size_t i = 0; i < VMS_NR_CALLS; i++) {
		if (calls[i].nr == nr)
			return (enum vms_call)i;
	}
	return VMS_NR_CALLS;
}
