/*
 * lockall [KIBIBYTES]: mlockall with every set of flags, under RLIMIT_MEMLOCK where KIBIBYTES is given. Prints what each returns, and what is
 * locked then: a mapping from before, one from after, one without access, and whether it is all in memory. At the end whether
 * VmLck is plausible: no more than the program's own mappings.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define SIZE 65536ul

/* "lo", "lf" of the VmFlags of the mapping that begins at @at. */
static const char *flags_of(const void *at)
{
	static char found[16];
	FILE *smaps = fopen("/proc/self/smaps", "re");
	char line[512];
	int is_it = 0;

	strcpy(found, "-");
	while (smaps && fgets(line, sizeof(line), smaps)) {
		unsigned long start, end;

		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			is_it = (uintptr_t)at >= start && (uintptr_t)at < end;
		if (is_it && strncmp(line, "VmFlags:", 8) == 0)
			snprintf(found, sizeof(found), "%s%s", strstr(line, " lo") ? "lo" : "no",
				 strstr(line, " lf") ? "+lf" : "");
	}
	if (smaps)
		fclose(smaps);
	return found;
}

static long vm_lck(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	char line[256];
	long kb = -1;

	while (status && fgets(line, sizeof(line), status))
		sscanf(line, "VmLck: %ld", &kb);
	if (status)
		fclose(status);
	return kb;
}

static char *map(int prot)
{
	char *at = mmap(NULL, SIZE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

static int resident(char *at)
{
	unsigned char pages[SIZE / 4096];
	int nr = 0;

	if (mincore(at, SIZE, pages) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(pages); i++)
		nr += pages[i] & 1;
	return nr;
}

static void try(int flags)
{
	char *before = map(PROT_READ | PROT_WRITE), *none = map(PROT_NONE), *after;
	int r, error;

	/* A hole on each side, so that none merges with another. */
	if (!before || !none || mprotect(before + SIZE - 4096, 4096, PROT_READ) < 0) {
		puts("no memory");
		exit(1);
	}
	errno = 0;
	r = mlockall(flags);
	error = errno;
	printf("%d: %d %s: before %s, %d pages;", flags, r, strerrorname_np(error), flags_of(before), resident(before));
	printf(" none %s;", flags_of(none));
	after = map(PROT_READ | PROT_WRITE);
	if (after)
		printf(" after %s, %d pages\n", flags_of(after), resident(after));
	else
		printf(" after %s\n", strerrorname_np(errno));
	if (vm_lck() > 64 << 10)
		printf("too much is locked: %ld KiB\n", vm_lck());
	printf("munlockall %d, %ld KiB\n", munlockall(), vm_lck());
	munmap(before, SIZE);
	munmap(none, SIZE);
	if (after)
		munmap(after, SIZE);
}

int main(int argc, char **argv)
{
	static const int all[] = { 0, MCL_CURRENT, MCL_FUTURE, MCL_CURRENT | MCL_FUTURE, MCL_ONFAULT, MCL_CURRENT | MCL_ONFAULT,
				   MCL_FUTURE | MCL_ONFAULT, MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT, 8, 9 };

	setvbuf(stdout, NULL, _IONBF, 0);
	if (argc > 1) {
		const struct rlimit limit = { strtoul(argv[1], NULL, 10) << 10, strtoul(argv[1], NULL, 10) << 10 };

		if (setrlimit(RLIMIT_MEMLOCK, &limit) < 0) {
			perror("setrlimit");
			return 1;
		}
	}
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		try(all[i]);
	/* MCL_FUTURE is over when a later call does not name it. */
	printf("%d", mlockall(MCL_FUTURE));
	try(MCL_CURRENT);
	return 0;
}
