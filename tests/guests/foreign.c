/*
 * Claim: calls by another ABI are not a way past the supervisor: those of i386 (int $0x80) are decided like our own, those of x32
 * are refused. Prints what each returned.
 * foreign LO HI
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define X32_BIT 0x40000000L
#define PAGE 4096UL
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

/* i386's numbers. */
#define NR_GETPID 20
#define NR_MMAP 90
#define NR_MUNMAP 91
#define NR_MPROTECT 125
#define NR_MMAP2 192

static uintptr_t lo, hi;

/* What is above 32 bits does not count. */
static long int80(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
	const uint64_t above = UINT64_C(0x7e57) << 32;
	long ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(nr), "b"(a | above), "c"(b | above), "d"(c | above), "S"(d | above), "D"(e | above)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)ret;
}

static void say(const char *what, long ret)
{
	const uint32_t addr = (uint32_t)ret;
	const char *name = "ok";

	if (ret < 0 && ret > -4096)
		name = strerrorname_np((int)-ret);
	else if (addr >= PAGE && (addr < lo || addr >= hi))
		name = "OUTSIDE";
	printf("%s: %s\n", what, name);
}

int main(int argc, char **argv)
{
	uint32_t block[6] = { 0, PAGE, RW, ANON, UINT32_MAX, 0 };
	char *mine;
	long r;

	if (argc != 3)
		return 99;
	lo = strtoull(argv[1], NULL, 0);
	hi = strtoull(argv[2], NULL, 0);
	printf("i386 getpid: %s\n", int80(NR_GETPID, 0, 0, 0, 0, 0) == getpid() ? "ok" : "WRONG");
	say("i386 mmap2", int80(NR_MMAP2, 0, PAGE, RW, ANON, UINT32_MAX));
	say("i386 mmap2 below", int80(NR_MMAP2, lo - PAGE, PAGE, RW, ANON | MAP_FIXED, UINT32_MAX));
	say("i386 mmap2 above", int80(NR_MMAP2, 0xf0000000, PAGE, RW, ANON | MAP_FIXED, UINT32_MAX));
	say("i386 munmap above", int80(NR_MUNMAP, 0xf0000000, PAGE, 0, 0, 0));
	say("i386 mprotect above", int80(NR_MPROTECT, 0xf0000000, PAGE, RW, 0, 0));
	mine = mmap(NULL, PAGE, RW, ANON | MAP_32BIT, -1, 0);
	if (mine != MAP_FAILED) {
		memcpy(mine, block, sizeof(block));
		say("i386 old mmap", int80(NR_MMAP, (uintptr_t)mine, 0, 0, 0, 0));
		block[0] = 0xf0000000;
		block[3] |= MAP_FIXED;
		memcpy(mine, block, sizeof(block));
		say("i386 old mmap above", int80(NR_MMAP, (uintptr_t)mine, 0, 0, 0, 0));
		say("i386 munmap", int80(NR_MUNMAP, (uintptr_t)mine, PAGE, 0, 0, 0));
	}
	r = syscall(X32_BIT | SYS_mmap, 0, PAGE, PROT_READ, ANON, -1, 0);
	printf("x32 mmap: %s\n", r == -1 && errno == ENOSYS ? "ENOSYS" : "answered");
	puts("done");
	fflush(stdout);
	pause();
	return 0;
}
