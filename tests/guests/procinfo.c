/*
 * Claim: what /proc says about a process, and what its own image says, agree: cmdline, environ,
 * auxv, stat, exe, and the [heap], [stack] and [vdso] lines of maps. Prints no address, so the
 * output is the same everywhere.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

static char buf[1 << 20];

static ssize_t slurp(const char *path)
{
	ssize_t n, got = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	while ((n = read(fd, buf + got, sizeof(buf) - 1 - (size_t)got)) > 0)
		got += n;
	close(fd);
	buf[got] = '\0';
	return got;
}

static void check(const char *what, int ok)
{
	printf("%-34s %s\n", what, ok ? "yes" : "NO");
}

static int in_line(const char *tag, uintptr_t addr)
{
	char *line, *save = NULL;

	if (slurp("/proc/self/maps") < 0)
		return 0;
	for (line = strtok_r(buf, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		uintptr_t a, b;

		if (strstr(line, tag) && sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &a, &b) == 2 &&
		    addr >= a && addr < b)
			return 1;
	}
	return 0;
}

static void check_words(int argc, char **argv, char **envp)
{
	ssize_t n = slurp("/proc/self/cmdline"), at = 0;
	int ok = n > 0;

	for (int i = 0; i < argc && ok; i++) {
		ok = at < n && !strcmp(buf + at, argv[i]);
		at += (ssize_t)strlen(argv[i]) + 1;
	}
	check("cmdline is argv", ok && at == n);
	n = slurp("/proc/self/environ");
	at = 0;
	ok = n > 0;
	for (int i = 0; envp[i] && ok; i++) {
		ok = at < n && !strcmp(buf + at, envp[i]);
		at += (ssize_t)strlen(envp[i]) + 1;
	}
	check("environ is envp", ok && at == n);
}

static void check_auxv(char **envp)
{
	const ElfW(auxv_t) *mine, *theirs = (const ElfW(auxv_t) *)buf;
	size_t n = 0;
	ssize_t got;

	while (*envp)
		envp++;
	mine = (const ElfW(auxv_t) *)(envp + 1);
	while (mine[n].a_type != AT_NULL)
		n++;
	got = slurp("/proc/self/auxv");
	check("auxv is the one on the stack",
	      got >= (ssize_t)(n * sizeof(*mine)) && !memcmp(mine, theirs, n * sizeof(*mine)));
}

static int phdr_cb(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	*(const void **)arg = info->dlpi_phdr;
	return 1; /* the first is the program */
}

static void check_image(void)
{
	const void *phdr = NULL;
	const Elf64_Ehdr *vdso = (const void *)getauxval(AT_SYSINFO_EHDR);
	const Elf64_Ehdr *ldso = (const void *)getauxval(AT_BASE);
	char exe[4096], *execfn = (char *)getauxval(AT_EXECFN), real[4096];
	ssize_t n;

	dl_iterate_phdr(phdr_cb, &phdr);
	check("AT_PHDR is the program's", phdr == (const void *)getauxval(AT_PHDR));
	check("AT_BASE is an ELF header", !memcmp(ldso, ELFMAG, SELFMAG));
	check("AT_SYSINFO_EHDR is an ELF header", vdso && !memcmp(vdso, ELFMAG, SELFMAG));
	check("[vdso] holds AT_SYSINFO_EHDR", in_line("[vdso]", (uintptr_t)vdso));
	n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	check("exe is AT_EXECFN", realpath(execfn, real) && !strcmp(exe, real));
	check("AT_ENTRY lies in exe", in_line(exe, getauxval(AT_ENTRY)));
}

static void check_heap_and_stack(void)
{
	int local = 0;
	char *old = sbrk(0), *grown;

	check("malloc", malloc(100) != NULL);
	grown = sbrk(48 << 20);
	check("sbrk 48 MiB", grown != (char *)-1);
	grown[0] = grown[(48 << 20) - 1] = 1;
	check("[heap] holds the old break", in_line("[heap]", (uintptr_t)old));
	check("[heap] holds the new memory", in_line("[heap]", (uintptr_t)grown + (48 << 20) - 1));
	check("[stack] holds a local", in_line("[stack]", (uintptr_t)&local));
}

static void check_stat(char **argv, char **envp)
{
	unsigned long long f[60] = { 0 };
	char *p, *last = NULL;
	int i = 3;

	if (slurp("/proc/self/stat") < 0 || !(p = strrchr(buf, ')')))
		return;
	p += 4; /* past the state letter */
	for (i = 4; i < 53 && *p; i++)
		f[i] = strtoull(p, &p, 10);
	for (int e = 0; envp[e]; e++)
		last = envp[e];
	check("stat: startstack above argv", f[28] && f[28] <= (uintptr_t)argv);
	check("stat: arg_start is argv[0]", f[48] == (uintptr_t)argv[0]);
	check("stat: env_start is envp[0]", f[50] == (uintptr_t)envp[0]);
	check("stat: env_end is the end", last && f[51] == (uintptr_t)last + strlen(last) + 1);
	check("stat: start_code lies in main's", f[26] && f[26] <= (uintptr_t)check_stat &&
						f[27] > (uintptr_t)check_stat);
	check("stat: start_brk at or below break", f[47] && f[47] <= (uintptr_t)sbrk(0));
}

int main(int argc, char **argv, char **envp)
{
	check_words(argc, argv, envp);
	check_auxv(envp);
	check_image();
	check_heap_and_stack();
	check_stat(argv, envp);
	return 0;
}
