/*
 * Claim: mappings are where the policy wants them.
 * places list N SIZE: maps N times SIZE bytes (private anonymous) and prints the addresses
 * places grow SIZE: grows a mapping step by step by mremap to SIZE bytes, then the heap; prints "grown"
 * places low N SIZE: as list, with MAP_32BIT
 * places fixed ADDR: maps a page at ADDR by MAP_FIXED and prints "mapped" or the errno
 * places hog BYTES LIBRARY: takes BYTES in 16 MiB pieces, then runs a line of Lua by LIBRARY (libluajit)
 * places layout: prints /proc/self/maps of itself, of a fork child and of itself executed once more, names left out
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
#define PAGE ((size_t)4096)

static char *map(void *hint, size_t size, int flags)
{
	return mmap(hint, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
}

static int list(size_t n, size_t size, int flags)
{
	for (size_t i = 0; i < n; i++) {
		char *p = map(NULL, size, flags);

		if (p == MAP_FAILED) {
			printf("%s\n", strerrorname_np(errno));
			return 0;
		}
		p[0] = 1;
		printf("%#lx\n", (unsigned long)p);
	}
	return 0;
}

static int grow(size_t max)
{
	char *p = map(NULL, PAGE, 0);

	p[0] = 7;
	for (size_t size = PAGE; size < max; size *= 2) {
		p = mremap(p, size, 2 * size, MREMAP_MAYMOVE);
		if (p == MAP_FAILED || p[0] != 7) {
			printf("mremap to %zu: %s\n", 2 * size, strerrorname_np(errno));
			return 1;
		}
		printf("%#lx\n", (unsigned long)p);
	}
	while (sbrk((intptr_t)MIB) != (void *)-1 && max > MIB)
		max -= MIB;
	printf("grown\n");
	return 0;
}

static int fixed(void *at)
{
	char *p = map(at, PAGE, MAP_FIXED);

	printf("%s\n", p == at ? "mapped" : strerrorname_np(errno));
	return 0;
}

static int hog(size_t bytes, const char *library)
{
	void *(*newstate)(void), *lua, *lib;
	int (*loadstring)(void *, const char *), (*pcall)(void *, int, int, int);
	void (*openlibs)(void *);
	size_t had = 0;

	for (; had < bytes; had += 16 * MIB) {
		if (map(NULL, 16 * MIB, 0) == MAP_FAILED)
			break;
	}
	printf("hog %zu\n", had / MIB);
	fflush(stdout);
	/* The library, too, must find its place. */
	lib = dlopen(library, RTLD_NOW);
	if (!lib)
		return 98;
	*(void **)&newstate = dlsym(lib, "luaL_newstate");
	*(void **)&openlibs = dlsym(lib, "luaL_openlibs");
	*(void **)&loadstring = dlsym(lib, "luaL_loadstring");
	*(void **)&pcall = dlsym(lib, "lua_pcall");
	lua = newstate();
	if (!lua)
		return 97;
	openlibs(lua);
	return loadstring(lua, "local s = 0 for i = 1, 1e6 do s = s + i end print(string.format('lua %d', s))") ||
	       pcall(lua, 0, 0, 0);
}

static void print_maps(const char *who)
{
	FILE *file = fopen("/proc/self/maps", "r");
	char line[512];

	printf("%s\n", who);
	/* What the kernel itself draws is the number of an inode, not an address. */
	while (file && fgets(line, sizeof(line), file)) {
		if (!strstr(line, "vsyscall"))
			printf("%.33s\n", line);
	}
	if (file)
		fclose(file);
	fflush(stdout);
}

static int layout(char **argv, int again)
{
	static char buffer[1 << 16];
	char *here[8];

	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	for (size_t i = 0; i < 8; i++) {
		here[i] = map(NULL, (i + 1) * 37 * PAGE, i % 3 ? 0 : MAP_SHARED);
		if (i % 3 == 2)
			munmap(here[i - 1], 37 * PAGE);
	}
	print_maps(again ? "again" : "first");
	if (fork() == 0) {
		map(NULL, 100 * PAGE, 0);
		print_maps("child");
		_exit(0);
	}
	wait(NULL);
	if (!again)
		execl("/proc/self/exe", argv[0], "layout", "again", NULL);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	size_t a = argc > 2 ? strtoull(argv[2], NULL, 0) : 0, b = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;

	if (strcmp(what, "list") == 0)
		return list(a, b, 0);
	if (strcmp(what, "low") == 0)
		return list(a, b, MAP_32BIT);
	if (strcmp(what, "grow") == 0)
		return grow(a);
	if (strcmp(what, "fixed") == 0)
		return fixed((void *)a);
	if (strcmp(what, "hog") == 0)
		return hog(a, argv[3]);
	if (strcmp(what, "layout") == 0)
		return layout(argv, argc > 2);
	return 99;
}
