/*
 * Claim: of what lies outside the range the program can use the hole by MAP_FIXED, and nothing else, whatever it tries.
 * outer HOLE_START HOLE_END WALL: maps in the hole, attacks the wall at and around WALL, a page that is in it; then the same in a
 * fork child, and after an exec. Prints a line for each thing that is not as it should be, and "done" for each round.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE ((size_t)4096)

static uintptr_t hole_start, hole_end, wall;

static void *get(uintptr_t at, size_t size, int flags)
{
	return mmap((void *)at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

static void wrong(const char *what)
{
	printf("wrong: %s (%s)\n", what, strerror(errno));
}

static void use_hole(void)
{
	char *p = get(hole_start, hole_end - hole_start, MAP_FIXED_NOREPLACE), *other;

	if (p != (char *)hole_start) {
		wrong("the hole cannot be used");
		return;
	}
	p[0] = p[hole_end - hole_start - 1] = 7;
	if (mprotect(p, PAGE, PROT_READ) < 0 || madvise(p, PAGE, MADV_DONTNEED) < 0)
		wrong("a mapping in the hole is not like any other");
	/* It grows neither into the wall nor in place; it moves to the range. */
	other = mremap(p + (hole_end - hole_start) - PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
	if (other == MAP_FAILED || (uintptr_t)other + PAGE == hole_end || other[PAGE - 1] != 7)
		wrong("it does not move out of the hole");
	else
		munmap(other, 2 * PAGE);
	if (munmap(p, hole_end - hole_start) < 0)
		wrong("the hole cannot be unmapped");
	for (int i = 0; i < 2000; i++) {
		p = get(i % 2 ? hole_start + PAGE : wall, (size_t)(i % 50 + 1) * PAGE, 0);
		if (p == MAP_FAILED || ((uintptr_t)p >= hole_start && (uintptr_t)p < hole_end) || (uintptr_t)p == wall)
			wrong("something was placed in the hole or in the wall");
		if (p != MAP_FAILED && i % 3)
			munmap(p, (size_t)(i % 50 + 1) * PAGE);
	}
}

static void attack(void)
{
	const uintptr_t edge = hole_end - PAGE;
	char *mine = get(0, 4 * PAGE, 0);
	int shm = shmget(IPC_PRIVATE, 2 * PAGE, IPC_CREAT | 0600);
	static const int advices[] = { MADV_DONTNEED, MADV_FREE, MADV_DONTFORK, MADV_REMOVE, MADV_WIPEONFORK, 102 };

	if (get(wall, PAGE, MAP_FIXED) != MAP_FAILED || get(wall, PAGE, MAP_FIXED_NOREPLACE) != MAP_FAILED ||
	    get(edge, 2 * PAGE, MAP_FIXED) != MAP_FAILED)
		wrong("mmap took a part of the wall");
	if (mremap(mine, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)wall) != MAP_FAILED ||
	    mremap(mine, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)edge) != MAP_FAILED ||
	    mremap((void *)wall, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, mine) != MAP_FAILED ||
	    mremap((void *)wall, 2 * PAGE, PAGE, 0) != MAP_FAILED)
		wrong("mremap took a part of the wall");
	if (shm >= 0 && (shmat(shm, (void *)wall, SHM_REMAP) != (void *)-1 || shmat(shm, (void *)edge, SHM_REMAP) != (void *)-1))
		wrong("shmat took a part of the wall");
	if (shm >= 0)
		shmctl(shm, IPC_RMID, NULL);
	if (mprotect((void *)wall, PAGE, PROT_READ | PROT_WRITE) == 0 || mprotect((void *)edge, 2 * PAGE, PROT_READ) == 0)
		wrong("mprotect opened the wall");
	/* These may say yes, or no: what counts is that the wall stands. */
	munmap((void *)wall, PAGE);
	munmap((void *)edge, 2 * PAGE);
	munmap((void *)hole_start, (size_t)1 << 46);
	for (size_t i = 0; i < sizeof(advices) / sizeof(advices[0]); i++)
		madvise((void *)wall, PAGE, advices[i]);
	if ((uintptr_t)syscall(SYS_brk, wall) == wall)
		wrong("the heap went to the wall");
	munmap(mine, 4 * PAGE);
}

/* Everything from the hole's end up to the range is inaccessible. */
static void look(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long start, end;
	char line[512], prot[5];
	int covered = 0;

	while (maps && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %4s", &start, &end, prot) != 3)
			continue;
		if (start <= wall && end > wall) {
			covered = 1;
			if (start > hole_end || strcmp(prot, "---p") != 0)
				wrong(line);
		} else if (start < wall && end > hole_start && strcmp(prot, "---p") != 0) {
			wrong(line);
		}
	}
	if (!covered)
		wrong("there is no wall");
	if (maps)
		fclose(maps);
}

static void all(void)
{
	use_hole();
	attack();
	look();
	puts("done");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	pid_t pid;

	if (argc < 4)
		return 2;
	hole_start = strtoul(argv[1], NULL, 0);
	hole_end = strtoul(argv[2], NULL, 0);
	wall = strtoul(argv[3], NULL, 0);
	all();
	pid = fork();
	if (pid == 0) {
		all();
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	if (argc == 4) {
		execl("/proc/self/exe", argv[0], argv[1], argv[2], argv[3], "again", NULL);
		wrong("exec");
	}
	return 0;
}
