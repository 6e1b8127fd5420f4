/*
 * Claim: the vdso answers the clock without a system call. The calls themselves are forbidden by a
 * filter of our own, so an answer can only come from the vdso.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_gettime, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_gettimeofday, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EDOM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { sizeof(code) / sizeof(code[0]), code };
	struct timespec ts;
	struct timeval tv;
	int a, b, c;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog)) {
		perror("vdsotime: filter");
		return 99;
	}
	a = (int)syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts);
	printf("by call: %s\n", a && errno == EDOM ? "forbidden" : "allowed");
	b = clock_gettime(CLOCK_MONOTONIC, &ts);
	c = gettimeofday(&tv, NULL);
	printf("clock_gettime %d, gettimeofday %d\n", b, c);
	return b || c;
}
