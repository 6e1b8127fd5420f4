/*
 * Claim: nothing a program asks for by address lands outside [lo, hi), and the answers are those of
 * the kernel at the ends of its own address space.
 * escape LO HI: prints "name: errno" for each attempt, then "done".
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define PAGE 4096UL

#ifdef __i386__
#define NR_MMAP SYS_mmap2
#define FAR 0xf0000000
#else
#define NR_MMAP SYS_mmap
#define FAR 0x7ffff0000000
#endif

static uintptr_t lo, hi;

static void say(const char *what, long ret)
{
	const char *name = ret == -1 ? strerrorname_np(errno) : "ok";

	if (ret != -1 && (uintptr_t)ret >= PAGE && ((uintptr_t)ret < lo || (uintptr_t)ret >= hi))
		name = "OUTSIDE";
	printf("%s: %s\n", what, name);
	fflush(stdout);
}

static long map(uintptr_t at, size_t len, int flags)
{
	return syscall(NR_MMAP, at, len, RW, ANON | flags, -1, 0);
}

static void attack(const char *side, uintptr_t at)
{
	char *mine = mmap(NULL, 2 * PAGE, RW, ANON, -1, 0);
	int id = shmget(IPC_PRIVATE, PAGE, 0600);
	char name[64];

#define SAY(what, ret) \
	do { \
		long r_ = (long)(ret); \
		snprintf(name, sizeof(name), "%s %s", side, what); \
		say(name, r_); \
	} while (0)

	SAY("hint", map(at, PAGE, 0));
	SAY("fixed", map(at, PAGE, MAP_FIXED));
	SAY("noreplace", map(at, PAGE, MAP_FIXED_NOREPLACE));
	SAY("munmap", munmap((void *)at, PAGE));
	SAY("mprotect", mprotect((void *)at, PAGE, RW));
	SAY("mremap from", (long)mremap((void *)at, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
	SAY("mremap to", (long)mremap(mine, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)at));
	SAY("shmat", (long)shmat(id, (void *)at, 0));
	SAY("shm_remap", (long)shmat(id, (void *)at, SHM_REMAP));
	shmctl(id, IPC_RMID, NULL);
#undef SAY
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 99;
	lo = strtoull(argv[1], NULL, 0);
	hi = strtoull(argv[2], NULL, 0);
	if (lo > 0x10000)
		attack("below", lo - PAGE);
	attack("above", hi);
	attack("far above", FAR);
	say("across the end: fixed", map(hi - PAGE, 2 * PAGE, MAP_FIXED));
	say("across the end: hint", map(hi - PAGE, 2 * PAGE, 0));
	say("too large", map(0, hi - lo, 0));
	puts("done");
	fflush(stdout);
	pause();
	return 0;
}
