/*
 * Claim: memory of huge pages that does not say so in the call that maps it: SysV segments made with SHM_HUGETLB, and
 * files of MFD_HUGETLB at a fixed place. Ends with 77 where there are no huge pages.
 */
#define HUGE (2ul << 20)
#define ROUNDS 5

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

static int fail(const char *what)
{
	perror(what);
	return 1;
}

/* Half of a huge page cannot be unmapped, half of a mapping can. */
static int use(char *p)
{
	if (mprotect(p, HUGE, PROT_READ) < 0)
		return fail("mprotect");
	if (munmap(p, 4096) == 0 || errno != EINVAL)
		return fail("munmap of a small page");
	if (munmap(p, HUGE) < 0 || munmap(p + HUGE, HUGE) < 0)
		return fail("munmap");
	return 0;
}

static int segment(void)
{
	int id = shmget(IPC_PRIVATE, 2 * HUGE, IPC_CREAT | SHM_HUGETLB | 0600);
	char *p;

	if (id < 0)
		return 77;
	p = shmat(id, NULL, 0);
	shmctl(id, IPC_RMID, NULL);
	return p == (void *)-1 ? fail("shmat") : use(p);
}

static int file(void)
{
	int fd = memfd_create("huge", MFD_HUGETLB), r;
	char *room, *at, *p;

	if (fd < 0 || ftruncate(fd, 2 * HUGE) < 0)
		return 77;
	room = mmap(NULL, 3 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (room == MAP_FAILED)
		return fail("mmap");
	at = (char *)(((uintptr_t)room + HUGE - 1) & ~(HUGE - 1));
	p = mmap(at, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return errno == ENOMEM ? 77 : fail("mmap of the file");
	r = use(p);
	munmap(room, 3 * HUGE);
	return r;
}

int main(void)
{
	for (int i = 0; i < ROUNDS; i++) {
		int r = segment();

		if (r == 0)
			r = file();
		if (r)
			return r;
	}
	puts("fine");
	return 0;
}
