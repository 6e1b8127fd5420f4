/*
 * Claim: the supervisor is no way to limits that the program may not set itself.
 * limits LO HI other PID: RLIMIT_AS of somebody else's process
 * limits LO HI raise: above the hard limit, with the capabilities of a user namespace of one's own
 * limits LO HI inner PID: a number that means another process outside a pid namespace
 * limits LO HI tiny WHAT: a resource limited to next to nothing, then exec
 * limits LO HI run: the executed program
 */
#include <sched.h>
#include <sys/resource.h>

#include "hostile.h"

#define GIB ((rlim_t)1 << 30)

static void other(pid_t pid)
{
	struct rlimit old, new = { GIB, GIB };

	if (prlimit(pid, RLIMIT_AS, &new, NULL) == 0 || errno != EPERM)
		escaped("another user's limit was set");
	if (prlimit(pid, RLIMIT_AS, NULL, &old) == 0 || errno != EPERM)
		escaped("another user's limit was shown");
}

static void raise_it(void)
{
	struct rlimit low = { GIB, GIB }, high = { 4 * GIB, 4 * GIB };

	if (setrlimit(RLIMIT_AS, &low) < 0) {
		/* A root without CAP_SYS_RESOURCE, as in a container, may not set it for another user. */
		puts("not permitted");
		return;
	}
	if (unshare(CLONE_NEWUSER) < 0) {
		puts("no user namespaces");
		return;
	}
	if (setrlimit(RLIMIT_AS, &high) == 0 || errno != EPERM)
		escaped("a hard limit was raised in a user namespace");
}

static void inner(pid_t pid)
{
	struct rlimit new = { GIB, GIB };
	pid_t child;

	if (unshare(CLONE_NEWUSER | CLONE_NEWPID) < 0) {
		puts("no namespaces");
		return;
	}
	child = fork();
	if (child == 0) {
		struct rlimit own = { 2 * GIB, 2 * GIB };

		/* 1 is this process itself, in its own namespace. */
		if (prlimit(1, RLIMIT_AS, &own, NULL) < 0 && errno != EPERM)
			broken("prlimit of process 1");
		if (prlimit(pid, RLIMIT_AS, &new, NULL) == 0 || errno != ESRCH)
			escaped("a process outside the pid namespace was found");
		_exit(0);
	}
	wait_for(child);
}

static void tiny(char **argv, const char *what)
{
	static const struct {
		const char *name;
		int resource;
		rlim_t value;
	} limits[] = {
		{ "as", RLIMIT_AS, 4096 },	{ "as-zero", RLIMIT_AS, 0 },
		{ "data", RLIMIT_DATA, 4096 },	{ "stack", RLIMIT_STACK, 4096 },
		{ "stack-huge", RLIMIT_STACK, (rlim_t)1 << 46 },
		{ "stack-max", RLIMIT_STACK, RLIM_INFINITY - 1 },
		{ "core", RLIMIT_CORE, 0 },	{ "nofile", RLIMIT_NOFILE, 3 },
		{ "nproc", RLIMIT_NPROC, 1 },	{ "memlock", RLIMIT_MEMLOCK, 0 },
		{ "fsize", RLIMIT_FSIZE, 0 },	{ "sigpending", RLIMIT_SIGPENDING, 0 },
	};

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct rlimit limit = { limits[i].value, limits[i].value };

		if (strcmp(limits[i].name, what) != 0)
			continue;
		if (setrlimit(limits[i].resource, &limit) < 0 && errno != EPERM)
			broken(what);
		execv("/proc/self/exe", self_argv(argv, "run", NULL));
		/* No file descriptor, no memory: such an exec may fail. */
		printf("execv: %s\n", strerrorname_np(errno));
		return;
	}
	exit(99);
}

int main(int argc, char **argv)
{
	const char *how = argc > 3 ? argv[3] : "";

	if (argc < 4)
		return 99;
	take_range(argv);
	if (strcmp(how, "other") == 0)
		other(atoi(argv[4]));
	else if (strcmp(how, "raise") == 0)
		raise_it();
	else if (strcmp(how, "inner") == 0)
		inner(atoi(argv[4]));
	else if (strcmp(how, "tiny") == 0)
		tiny(argv, argv[4]);
	else if (strcmp(how, "run") != 0)
		return 99;
	if (has_pages_outside("/proc/self/maps"))
		escaped(how);
	puts("contained");
	return 0;
}
