/*
 * Claim: a program that takes its own image apart, or lives in namespaces of its own, stays inside.
 * spaces LO HI unmap vdso | heap | stack | top: without a part of itself it still forks, maps and executes
 * spaces LO HI vfork: a child of vfork maps and unmaps in its parent's memory, then executes
 * spaces LO HI undumpable | chroot | namespaces | noproc: then forks, maps and executes
 * spaces LO HI persona HEX: executes under a personality
 * spaces LO HI mdwe: memory that may not be written and executed
 * spaces LO HI arguments N: executes with N bytes of arguments; 0: with no argv at all
 * spaces LO HI end: what is executed
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/stat.h>

#include "hostile.h"

static char **args;

static struct span {
	unsigned long start, end;
} find_mapping(const char *name)
{
	struct span found = { 0, 0 };
	FILE *f = fopen("/proc/self/maps", "re");
	char line[4096];

	while (f && fgets(line, sizeof(line), f)) {
		unsigned long start, end;

		if (sscanf(line, "%lx-%lx", &start, &end) != 2 || !strstr(line, name))
			continue;
		if (!found.start)
			found.start = start;
		found.end = end;
	}
	if (f)
		fclose(f);
	return found;
}

static void on_signal(int sig)
{
	(void)sig;
}

/* Everything that a program might still want. */
static void live_on(void)
{
	struct sigaction sa = { .sa_handler = on_signal };
	pid_t pid;

	sigaction(SIGUSR1, &sa, NULL);
	kill(getpid(), SIGUSR1);
	munmap(mmap(NULL, 8 * PAGE, RW, ANON, -1, 0), 8 * PAGE);
	mmap(NULL, PAGE, PROT_READ, ANON | MAP_32BIT, -1, 0);
	pid = fork();
	if (pid == 0) {
		munmap(mmap(NULL, 8 * PAGE, RW, ANON, -1, 0), 8 * PAGE);
		execv("/proc/self/exe", self_argv(args, "end", NULL));
		/* In a chroot there is no such file. */
		_exit(errno == ENOENT ? 0 : EXIT_BROKEN);
	}
	wait_for(pid);
	check_fence(args[3]);
}

/* Runs on a stack of its own, while the old one is gone. */
static int without_stack(void *arg)
{
	struct span *old = arg;

	syscall(SYS_munmap, old->start, old->end - old->start);
	munmap(mmap(NULL, 8 * PAGE, RW, ANON, -1, 0), 8 * PAGE);
	execv("/proc/self/exe", self_argv(args, "end", NULL));
	_exit(EXIT_BROKEN);
}

static void unmap(const char *what)
{
	struct span at = { 0, 0 };

	if (strcmp(what, "vdso") == 0) {
		at = find_mapping("[v");
		at.end = find_mapping("[vdso]").end;
	} else if (strcmp(what, "top") == 0) {
		at.end = hi;
		at.start = find_mapping("[vdso]").end;
	} else if (strcmp(what, "heap") == 0) {
		at.end = (unsigned long)sbrk(16 * PAGE) + 16 * PAGE;
		at.start = at.end - 16 * PAGE;
	} else if (strcmp(what, "stack") == 0) {
		static char stack[65536] __attribute__((aligned(16)));
		pid_t pid;

		at = find_mapping("[stack]");
		args = self_argv(args, "end", NULL);
		pid = fork();
		if (pid == 0) {
			/* The strings that execv wants lie on the old one. */
			static char copies[3][4096];
			static char *copy[4] = { copies[0], copies[1], copies[2], NULL };

			for (int i = 0; i < 3; i++)
				snprintf(copies[i], sizeof(copies[i]), "%s", args[i]);
			args = copy;
			clone(without_stack, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, &at);
			_exit(0);
		}
		waitpid(pid, NULL, 0);
		return;
	}
	if (at.start >= at.end)
		broken(what);
	if (munmap((void *)at.start, at.end - at.start) < 0)
		broken("munmap");
	/* The hole may be used again, by the program. */
	for (int i = 0; i < 4; i++) {
		long p = raw_mmap(at.start, PAGE, MAP_FIXED);

		if (p != (long)at.start)
			broken("the hole");
		munmap((void *)p, PAGE);
	}
	if (strcmp(what, "heap") == 0)
		syscall(SYS_brk, at.start);
	live_on();
}

static void vforks(void)
{
	char *volatile mine = mmap(NULL, 8 * PAGE, RW, ANON, -1, 0);

	for (volatile int i = 0; i < 20; i++) {
		char *volatile made = NULL;
		pid_t pid = vfork();

		if (pid == 0) {
			made = mmap(NULL, 2 * PAGE, RW, ANON, -1, 0);
			munmap(mine, PAGE);
			mmap(mine, PAGE, RW, ANON | MAP_FIXED, -1, 0);
			if (i % 2)
				execv("/proc/self/exe", self_argv(args, "end", NULL));
			_exit(0);
		}
		wait_for(pid);
		if (is_outside((long)made))
			escaped("vfork");
		made[PAGE] = 1;
		mine[0] = 1;
		munmap(made, 2 * PAGE);
	}
	check_fence("vfork");
}

static void namespaces(bool proc)
{
	pid_t pid;

	if (unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS) < 0) {
		puts("no namespaces");
		exit(0);
	}
	pid = fork();
	if (pid == 0) {
		mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
		if (proc)
			mount("proc", "/proc", "proc", 0, NULL);
		else
			mount("tmpfs", "/proc", "tmpfs", 0, NULL);
		for (int i = 0; i < 5; i++)
			live_on();
		_exit(0);
	}
	wait_for(pid);
}

static void root_elsewhere(void)
{
	if (chroot("/proc/self/fdinfo") < 0 || chdir("/") < 0) {
		if (unshare(CLONE_NEWUSER) < 0 || chroot("/proc/self/fdinfo") < 0) {
			puts("no chroot");
			exit(0);
		}
	}
	for (int i = 0; i < 5; i++)
		live_on();
}

static void arguments(size_t bytes)
{
	char end[] = "end", *argv[14] = { args[0], args[1], args[2], end }, *none[] = { NULL };
	size_t each = bytes / 10 < 130000 ? bytes / 10 : 130000;
	char *text = malloc(each + 1);

	if (!bytes) {
		execve("/proc/self/exe", none, none);
		broken("execve");
	}
	memset(text, 'x', each);
	text[each] = '\0';
	for (int i = 4; i < 13; i++)
		argv[i] = text;
	execve("/proc/self/exe", argv, none);
	broken("execve");
}

int main(int argc, char **argv)
{
	const char *how = argc > 3 ? argv[3] : "";

	/* The kernel gives those who have no argv an empty string. */
	if (argc <= 1) {
		puts("contained");
		return 0;
	}
	if (argc < 4)
		return 99;
	args = argv;
	take_range(argv);
	if (strcmp(how, "end") == 0) {
		if (has_pages_outside("/proc/self/maps"))
			return EXIT_OUTSIDE;
		if (argc > 4)
			puts("contained");
		return 0;
	}
	if (strcmp(how, "unmap") == 0) {
		unmap(argv[4]);
	} else if (strcmp(how, "vfork") == 0) {
		vforks();
	} else if (strcmp(how, "undumpable") == 0) {
		prctl(PR_SET_DUMPABLE, 0);
		munmap(mmap(NULL, PAGE, RW, ANON, -1, 0), PAGE);
		/* Natively this works; here it may be refused. */
		if (fork() == 0)
			execv("/proc/self/exe", self_argv(args, "end", NULL));
		prctl(PR_SET_DUMPABLE, 1);
		live_on();
	} else if (strcmp(how, "chroot") == 0) {
		root_elsewhere();
	} else if (strcmp(how, "namespaces") == 0) {
		namespaces(true);
	} else if (strcmp(how, "noproc") == 0) {
		namespaces(false);
	} else if (strcmp(how, "persona") == 0) {
		personality(strtoul(argv[4], NULL, 16));
		live_on();
	} else if (strcmp(how, "mdwe") == 0) {
		if (prctl(65, 1, 0, 0, 0) < 0) {
			puts("no PR_SET_MDWE");
			return 0;
		}
		live_on();
	} else if (strcmp(how, "arguments") == 0) {
		arguments(strtoul(argv[4], NULL, 0));
	} else {
		return 99;
	}
	puts("contained");
	return 0;
}
