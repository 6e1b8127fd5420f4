/*
 * What the hostile guests share: looking for pages outside the range, and trying to make one.
 * Every guest is run as `guest LO HI WORD...`; it exits with 0 when it was contained.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define USER_END 0x7ffffffff000UL

#define EXIT_OUTSIDE 70 /* a page outside the range */
#define EXIT_BROKEN 71 /* something that should work does not */

static uintptr_t lo, hi;

__attribute__((noreturn, unused)) static void broken(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	fflush(NULL);
	_exit(EXIT_BROKEN);
}

__attribute__((noreturn, unused)) static void escaped(const char *how)
{
	fprintf(stderr, "ESCAPED: %s\n", how);
	fflush(NULL);
	_exit(EXIT_OUTSIDE);
}

__attribute__((unused)) static void take_range(char **argv)
{
	lo = strtoull(argv[1], NULL, 0);
	hi = strtoull(argv[2], NULL, 0);
}

/* Accessible mappings of a process outside the range. Reads without stdio: it may be called in strange places. */
__attribute__((unused)) static bool has_pages_outside(const char *maps)
{
	FILE *f = fopen(maps, "re");
	char line[8192];
	bool found = false;

	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		unsigned long start, end;
		char perms[5];

		if (sscanf(line, "%lx-%lx %4s", &start, &end, perms) != 3 || strstr(line, "[vsyscall]"))
			continue;
		if (strncmp(perms, "---", 3) != 0 && (start < lo || end > hi)) {
			fprintf(stderr, "outside: %s", line);
			found = true;
		}
	}
	fclose(f);
	return found;
}

static long raw_mmap(uintptr_t at, size_t len, int flags)
{
	return syscall(SYS_mmap, at, len, RW, ANON | flags, -1, 0);
}

static bool is_outside(long ret)
{
	return ret != -1 && ((uintptr_t)ret < lo || (uintptr_t)ret >= hi);
}

/* One place outside: everything that might open it. True when something did. */
static bool opens(uintptr_t at)
{
	char *mine = mmap(NULL, 2 * PAGE, RW, ANON, -1, 0);
	bool open;

	/* It may well succeed, where it finds nothing to unmap. */
	munmap((void *)at, PAGE);
	open = is_outside(raw_mmap(at, PAGE, 0)) || is_outside(raw_mmap(at, PAGE, MAP_FIXED)) ||
		    is_outside(raw_mmap(at, PAGE, MAP_FIXED_NOREPLACE));

	open = open || mprotect((void *)at, PAGE, RW) == 0;
	open = open || is_outside((long)mremap(mine, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)at));
	if (mine != MAP_FAILED)
		munmap(mine, 2 * PAGE);
	return open;
}

/* Fail loudly if the fence has a hole that can be found or made. */
__attribute__((unused)) static void check_fence(const char *after)
{
	long at = raw_mmap(0, PAGE, 0);

	if (at == -1 || is_outside(at))
		escaped(after);
	munmap((void *)at, PAGE);
	if ((lo > 0x11000 && (opens(lo - PAGE) || opens(0x11000))) || opens(hi) || opens(USER_END - PAGE) ||
	    opens(USER_END / 2 & ~(PAGE - 1)))
		escaped(after);
	if (has_pages_outside("/proc/self/maps"))
		escaped(after);
}

/* Wait for a child and take over its failure. */
__attribute__((unused)) static void wait_for(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		broken("waitpid");
	if (WIFEXITED(status) && WEXITSTATUS(status))
		_exit(WEXITSTATUS(status));
}

/* Run argv with LO HI put in; used by guests that exec themselves. */
__attribute__((unused)) static char **self_argv(char **argv, const char *word, const char *more)
{
	static char *out[6];

	out[0] = argv[0];
	out[1] = argv[1];
	out[2] = argv[2];
	out[3] = (char *)(uintptr_t)word;
	out[4] = (char *)(uintptr_t)more;
	return out;
}

/* Say "ready" and stay until stdin ends, so that the test can look at the process. */
__attribute__((unused)) static void be_looked_at(void)
{
	char c;

	puts("ready");
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
}

#endif
