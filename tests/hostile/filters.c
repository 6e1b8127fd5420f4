/*
 * Claim: seccomp filters of the program's own, which see the calls that vmsup injects at exec, can break the program but
 * neither fake the fence nor keep what was injected.
 * filters LO HI lie CALL | refuse CALL | kill CALL | trap CALL | trace CALL: such a filter for one call, then exec
 * filters LO HI ... CALL int80: loaded by a call of i386
 * filters LO HI check: the executed program
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>

#include "hostile.h"

#ifndef SYS_mseal
#define SYS_mseal 462
#endif

static int number(const char *name)
{
	static const struct {
		const char *name;
		int nr;
	} calls[] = {
		{ "mmap", SYS_mmap },	  { "munmap", SYS_munmap }, { "mremap", SYS_mremap },
		{ "prctl", SYS_prctl },	  { "mseal", SYS_mseal },   { "mprotect", SYS_mprotect },
		{ "fence", SYS_mmap },	  { "none", -2 },
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (strcmp(calls[i].name, name) == 0)
			return calls[i].nr;
	}
	exit(99);
}

static bool by_int80;

/* The same by a call of i386, if that can be made at all. */
static void load_by_int80(const struct sock_filter *code, size_t len)
{
	struct {
		unsigned short len;
		unsigned int filter;
	} *prog = mmap(NULL, PAGE, RW, ANON | MAP_32BIT, -1, 0);
	long ret = -1;

	if (prog != MAP_FAILED) {
		prog->len = (unsigned short)len;
		prog->filter = (unsigned int)(uintptr_t)(prog + 1);
		memcpy(prog + 1, code, len * sizeof(*code));
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		__asm__ volatile("int $0x80"
				 : "=a"(ret)
				 : "a"(354), "b"(SECCOMP_SET_MODE_FILTER), "c"(0), "d"(prog)
				 : "memory", "r8", "r9", "r10", "r11");
	}
	if (ret < 0) {
		puts("contained");
		exit(0);
	}
}

static void load(struct sock_filter *code, size_t len)
{
	struct sock_fprog prog = { (unsigned short)len, code };

	if (by_int80) {
		load_by_int80(code, len);
		return;
	}
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
		broken("seccomp");
}

/*
 * @action for call @nr when the upper half of the argument at @offset is not zero, as in injected calls only; of mappings
 * only for those of at least @least_4g times 4 GiB.
 */
static void answer(int nr, uint32_t action, size_t offset, uint32_t least_4g)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset + 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 3, 0),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + 12),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, least_4g, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	load(code, sizeof(code) / sizeof(code[0]));
}

/* Where an injected call shows its cookie: the upper half of fd in mmap, of r9 elsewhere. */
static size_t cookie_offset(int nr)
{
	return offsetof(struct seccomp_data, args) + (nr == SYS_mmap ? 4 : 5) * 8;
}

/* What vmsup maps for its own use during an exec must be gone: it holds the cookie. */
static void check_scratch(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[4096];

	while (f && fgets(line, sizeof(line), f)) {
		unsigned long start, end, ino;
		char perms[5];
		int used = 0;

		if (sscanf(line, "%lx-%lx %4s %*x %*s %lu %n", &start, &end, perms, &ino, &used) < 4)
			continue;
		if (perms[2] == 'x' && !ino && line[used] == '\0')
			escaped("an executable anonymous page was left behind");
	}
	if (f)
		fclose(f);
}

int main(int argc, char **argv)
{
	const char *how = argc > 3 ? argv[3] : "";
	uint32_t action;
	int nr;

	if (argc < 4)
		return 99;
	take_range(argv);
	if (strcmp(how, "check") == 0) {
		check_scratch();
		check_fence("an exec under a filter");
		puts("contained");
		return 0;
	}
	by_int80 = argc > 5;
	nr = number(argv[4]);
	if (strcmp(how, "lie") == 0)
		action = SECCOMP_RET_ERRNO;
	else if (strcmp(how, "refuse") == 0)
		action = SECCOMP_RET_ERRNO | EPERM;
	else if (strcmp(how, "kill") == 0)
		action = SECCOMP_RET_KILL_PROCESS;
	else if (strcmp(how, "trap") == 0)
		action = SECCOMP_RET_TRAP;
	else
		action = SECCOMP_RET_TRACE;
	/* The scratch pages are small, the upper fence is not. */
	answer(nr, action, cookie_offset(nr), strcmp(argv[4], "fence") == 0);
	execv("/proc/self/exe", self_argv(argv, "check", NULL));
	broken("execv");
}
