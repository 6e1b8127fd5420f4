/*
 * Run a program as on an older kernel: a seccomp filter answers as that kernel would to what it did not have.
 *
 * usage: compat 6.1|6.12 PROG [ARG...]
 *
 * Not hidden, because registers do not tell: moving several mappings by one mremap (6.17). Rules of placement are the running
 * kernel's; for those there is tests/tools/kernel-vm.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#define ARG(n) offsetof(struct seccomp_data, args[n])
#define LOAD(offset) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset)
#define ANSWER(error) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))

/* Each leaves the number of the call loaded when it does not answer. */
#define WITHOUT_CALL(call) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1), ANSWER(ENOSYS)
#define WITHOUT_VALUE(call, arg, value, error)                                                                            \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 4), LOAD(ARG(arg)), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1),  \
		ANSWER(error), LOAD(offsetof(struct seccomp_data, nr))
#define WITHOUT_BIT(call, arg, bit, error)                                                                                \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 4), LOAD(ARG(arg)), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bit, 0, 1),   \
		ANSWER(error), LOAD(offsetof(struct seccomp_data, nr))

#define PROLOGUE                                                                                                        \
	LOAD(offsetof(struct seccomp_data, arch)), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),          \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW), LOAD(offsetof(struct seccomp_data, nr))
#define EPILOGUE BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

#define MAP_DROPPABLE_BIT 0x08
#define PROCMAP_QUERY_REQUEST 0xc0686611u
#define NOTIF_SET_FLAGS_REQUEST 0x40082104u
#define MADV_GUARD_INSTALL_VALUE 102
#define MADV_GUARD_REMOVE_VALUE 103
#define PIDFD_THREAD_BIT 0200
/* Numbers that the headers of Debian 12 lack. */
#define NR_MSEAL 462
#define NR_MAP_SHADOW_STACK 453

#define SINCE_6_13                                                                                                      \
	WITHOUT_VALUE(SYS_madvise, 2, MADV_GUARD_INSTALL_VALUE, EINVAL),                                                  \
		WITHOUT_VALUE(SYS_madvise, 2, MADV_GUARD_REMOVE_VALUE, EINVAL)
#define SINCE_6_2                                                                                                       \
	WITHOUT_CALL(NR_MSEAL), WITHOUT_CALL(NR_MAP_SHADOW_STACK), WITHOUT_BIT(SYS_mmap, 3, MAP_DROPPABLE_BIT, EINVAL),   \
		WITHOUT_VALUE(SYS_ioctl, 1, PROCMAP_QUERY_REQUEST, ENOTTY),                                               \
		WITHOUT_VALUE(SYS_ioctl, 1, NOTIF_SET_FLAGS_REQUEST, EINVAL),                                             \
		WITHOUT_BIT(SYS_pidfd_open, 1, PIDFD_THREAD_BIT, EINVAL)

static struct sock_filter of_6_1[] = { PROLOGUE, SINCE_6_2, SINCE_6_13, EPILOGUE };
static struct sock_filter of_6_12[] = { PROLOGUE, SINCE_6_13, EPILOGUE };

static int install(struct sock_filter *code, size_t n)
{
	struct sock_fprog prog = { .len = (unsigned short)n, .filter = code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -1 : prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0);
}

int main(int argc, char **argv)
{
	int r = -1;

	if (argc > 2 && strcmp(argv[1], "6.1") == 0) {
		r = install(of_6_1, sizeof(of_6_1) / sizeof(of_6_1[0]));
	} else if (argc > 2 && strcmp(argv[1], "6.12") == 0) {
		r = install(of_6_12, sizeof(of_6_12) / sizeof(of_6_12[0]));
	} else {
		fprintf(stderr, "usage: compat 6.1|6.12 PROG [ARG...]\n");
		return 125;
	}
	if (r < 0) {
		perror("compat: seccomp");
		return 125;
	}
	execvp(argv[2], argv + 2);
	perror(argv[2]);
	return errno == ENOENT ? 127 : 126;
}
