/*
 * Claim: the supervisor's own record of a process and the kernel's agree. Makes mappings of every
 * kind that `vmsup maps` names, says "ready PID" and waits until stdin ends.
 * mapper FILE (at least 64 KiB, writable)
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096UL
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

#ifndef SYS_mseal
#define SYS_mseal 462
#endif

static char *need(void *p, const char *what)
{
	if (p == MAP_FAILED) {
		perror(what);
		exit(99);
	}
	return p;
}

int main(int argc, char **argv)
{
	char *p, *heap, c, text[32];
	int fd, id, n;

	if (argc != 2 || (fd = open(argv[1], O_RDWR | O_CLOEXEC)) < 0)
		return 98;
	p = need(mmap(NULL, 64 * PAGE, RW, ANON, -1, 0), "anon");
	mprotect(p + 8 * PAGE, 4 * PAGE, PROT_READ); /* split in three */
	munmap(p + 32 * PAGE, PAGE); /* a hole */
	mprotect(p + 40 * PAGE, PAGE, PROT_NONE);
	need(mmap(NULL, 256 * PAGE, PROT_NONE, ANON | MAP_NORESERVE, -1, 0), "noreserve");
	need(mmap(NULL, 16 * PAGE, RW, MAP_SHARED, fd, 0), "shared file");
	p = need(mmap(NULL, 16 * PAGE, RW, MAP_PRIVATE, fd, 0), "private file");
	mprotect(p + PAGE, PAGE, PROT_READ); /* offsets on both sides */
	need(mmap(NULL, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0), "shared anon");
	need(mmap(NULL, 16 * PAGE, RW, ANON | MAP_GROWSDOWN, -1, 0), "growsdown");
	mmap(NULL, PAGE, RW, ANON | MAP_32BIT, -1, 0); /* not in every range */
	p = need(mmap(NULL, 8 * PAGE, RW, ANON, -1, 0), "to move");
	need(mremap(p, 8 * PAGE, 2000 * PAGE, MREMAP_MAYMOVE), "mremap");
	p = need(mmap(NULL, 4 * PAGE, PROT_READ, ANON, -1, 0), "to seal");
	syscall(SYS_mseal, p + PAGE, PAGE, 0UL);
	id = shmget(IPC_PRIVATE, 4 * PAGE, 0600);
	if (id >= 0) {
		need(shmat(id, NULL, 0), "shmat");
		shmctl(id, IPC_RMID, NULL);
	}
	heap = sbrk(0);
	if (brk(heap + 100 * PAGE + 12)) /* byte-exact, not page-exact */
		return 97;
	munmap((void *)(((uintptr_t)heap + 20 * PAGE) & ~(PAGE - 1)), 3 * PAGE);

	/* No malloc from here on: it would move the break. */
	n = snprintf(text, sizeof(text), "ready %d\n", (int)getpid());
	if (write(1, text, (size_t)n) != n)
		return 96;
	while (read(0, &c, 1) > 0)
		;
	return 0;
}
