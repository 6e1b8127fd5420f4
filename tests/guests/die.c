/*
 * Claim: an exit status, or a death by signal, passes through unchanged.
 * die exit N | die signal N | die abort | die segv
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	const struct rlimit none = { 0, 0 };
	int n = argc > 2 ? atoi(argv[2]) : 0;
	volatile int *volatile wild = (volatile int *)8;

	setrlimit(RLIMIT_CORE, &none);
	if (argc < 2)
		return 99;
	if (!strcmp(argv[1], "exit"))
		_exit(n);
	if (!strcmp(argv[1], "signal")) {
		sigset_t all;

		signal(n, SIG_DFL);
		sigemptyset(&all);
		sigprocmask(SIG_SETMASK, &all, NULL);
		kill(getpid(), n);
		pause();
	}
	if (!strcmp(argv[1], "abort"))
		abort();
	if (!strcmp(argv[1], "segv"))
		*wild = 1;
	return 98;
}
