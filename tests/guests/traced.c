/*
 * Claim: a program that is already traced by another cannot be started inside; its exec fails with
 * EPERM and everybody lives.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		char *const argv[] = { (char *)"/bin/true", NULL };

		if (ptrace(PTRACE_TRACEME, 0, 0, 0))
			_exit(98);
		execv(argv[0], argv);
		_exit(errno);
	}
	for (;;) {
		if (waitpid(pid, &status, 0) != pid) {
			perror("traced: waitpid");
			return 99;
		}
		if (!WIFSTOPPED(status))
			break;
		ptrace(PTRACE_CONT, pid, 0, 0);
	}
	if (WIFEXITED(status))
		printf("child: %s\n", WEXITSTATUS(status) ? strerror(WEXITSTATUS(status)) : "ran");
	else
		printf("child: signal %d\n", WTERMSIG(status));
	return 0;
}
