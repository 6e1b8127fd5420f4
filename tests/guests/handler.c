/*
 * Claim: signals that somebody sends to the front reach the program. Prints "ready", then the
 * number of each signal it catches; ends with status 3 at SIGTERM.
 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGALRM);
	sigaddset(&set, SIGWINCH);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	puts("ready");
	fflush(stdout);
	while (sigwait(&set, &sig) == 0) {
		printf("signal %d\n", sig);
		fflush(stdout);
		if (sig == SIGTERM)
			return 3;
	}
	return 99;
}
