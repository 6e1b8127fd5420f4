/*
 * forkbudget HOW: 40 MiB are mapped, then processes are forked that make no call but pause, until one is refused; then all are killed, and
 * the same once more. Prints how many there were each time, and the errno. HOW: libc, fork, clone3, parent (CLONE_PARENT from a
 * child), orphan (the forking process ends at once).
 */
#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MANY 64

static int failed[2];

static pid_t fork_as(const char *how)
{
	struct clone_args args = { .exit_signal = SIGCHLD };

	if (strcmp(how, "fork") == 0)
		return (pid_t)syscall(SYS_fork);
	if (strcmp(how, "clone3") == 0)
		return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (strcmp(how, "parent") == 0)
		return (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
	return fork();
}

static void sleep_on(void)
{
	for (;;)
		pause();
}

/* By way of a process that ends. */
static pid_t fork_orphan(void)
{
	int error = 0;
	pid_t pid = fork();

	if (pid < 0)
		return -1;
	if (pid == 0) {
		pid_t inner = fork();

		if (inner == 0)
			sleep_on();
		error = inner < 0 ? errno : 0;
		(void)!write(failed[1], &error, sizeof(error));
		_exit(0);
	}
	(void)!read(failed[0], &error, sizeof(error));
	waitpid(pid, NULL, 0);
	errno = error;
	return error ? -1 : pid;
}

static void round_of(const char *how)
{
	int nr = 0, error = 0;

	while (nr < MANY && !error) {
		pid_t pid = strcmp(how, "orphan") == 0 ? fork_orphan() : fork_as(how);

		if (pid == 0)
			sleep_on();
		if (pid < 0)
			error = errno;
		else
			nr++;
	}
	printf("%d %s\n", nr, error ? strerrorname_np(error) : "no limit");
	fflush(stdout);
	signal(SIGTERM, SIG_IGN);
	kill(0, SIGTERM);
	signal(SIGTERM, SIG_DFL);
	while (wait(NULL) > 0)
		;
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "libc";

	setpgid(0, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (pipe(failed) < 0 ||
	    mmap(NULL, (size_t)40 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
		return 2;
	if (strcmp(how, "parent") == 0 && fork() > 0) {
		/* The siblings are this one's children. */
		while (wait(NULL) > 0)
			;
		return 0;
	}
	round_of(how);
	if (strcmp(how, "parent") != 0)
		round_of(how);
	return 0;
}
