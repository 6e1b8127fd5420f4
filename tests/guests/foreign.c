/*
 * Claim: calls by another ABI (i386's int 0x80, x32 numbers) are not a way past the supervisor.
 * Prints what each returned; no mapping may come from either.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define X32_BIT 0x40000000L

static long int80(long nr, long a, long b, long c, long d, long e)
{
	long ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
			 : "memory", "r8", "r9", "r10", "r11");
	return (long)(int)ret;
}

int main(void)
{
	long r;

	r = int80(20, 0, 0, 0, 0, 0); /* getpid */
	printf("i386 getpid: %s\n", r == -ENOSYS ? "ENOSYS" : r > 0 ? "answered" : strerror((int)-r));
	r = int80(192, 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1); /* mmap2 */
	printf("i386 mmap2: %s\n", r == -ENOSYS ? "ENOSYS" : "answered");
	r = syscall(X32_BIT | SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	printf("x32 mmap: %s\n", r == -1 && errno == ENOSYS ? "ENOSYS" : "answered");
	return 0;
}
