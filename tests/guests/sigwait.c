/*
 * Claim: programs that take signals with sigwait, sigtimedwait, signalfd and in pselect get each
 * one, with its value, while their threads map; nobody's memory call fails.
 * sigwait ROUNDS
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <unistd.h>

static atomic_bool enough;
static atomic_int wrong;
static volatile sig_atomic_t taken;

static void handler(int sig)
{
	(void)sig;
	taken++;
}

static void bad(const char *what)
{
	wrong++;
	fprintf(stderr, "sigwait: %s: %s\n", what, strerror(errno));
}

static void *keep_mapping(void *arg)
{
	while (!enough) {
		char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			bad("mmap");
		else if (munmap(p, 8192))
			bad("munmap");
	}
	return arg;
}

static void send(int sig, int value)
{
	if (sigqueue(getpid(), sig, (union sigval){ .sival_int = value }))
		bad("sigqueue");
}

static void by_sigwait(int round, const sigset_t *set)
{
	siginfo_t info;

	send(SIGRTMIN, round);
	if (sigwaitinfo(set, &info) != SIGRTMIN || info.si_value.sival_int != round)
		bad("sigwaitinfo");
}

static void by_timedwait(const sigset_t *set)
{
	const struct timespec moment = { 0, 1000 };

	if (sigtimedwait(set, NULL, &moment) != -1 || errno != EAGAIN)
		bad("sigtimedwait with nothing to wait for");
}

static void by_signalfd(int round, int fd)
{
	struct signalfd_siginfo info;

	send(SIGRTMIN + 1, round);
	if (read(fd, &info, sizeof(info)) != sizeof(info) || info.ssi_int != round)
		bad("signalfd");
}

/* EINTR where it belongs: a handler that runs in pselect, and only there. */
static void by_pselect(void)
{
	const struct timespec ages = { 60, 0 };
	sigset_t none;
	int before = taken;

	sigemptyset(&none);
	sigaddset(&none, SIGRTMIN);
	sigaddset(&none, SIGRTMIN + 1);
	raise(SIGUSR1);
	if (taken != before)
		bad("taken while it was blocked");
	if (pselect(0, NULL, NULL, NULL, &ages, &none) != -1 || errno != EINTR || taken != before + 1)
		bad("pselect");
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = handler };
	int rounds = argc > 1 ? atoi(argv[1]) : 100, fd;
	pthread_t threads[2];
	sigset_t set, wait_set, fd_set;

	sigemptyset(&wait_set);
	sigaddset(&wait_set, SIGRTMIN);
	sigemptyset(&fd_set);
	sigaddset(&fd_set, SIGRTMIN + 1);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigaddset(&set, SIGRTMIN + 1);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	fd = signalfd(-1, &fd_set, SFD_CLOEXEC);
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, keep_mapping, NULL);
	for (int i = 0; i < rounds; i++) {
		by_sigwait(i, &wait_set);
		by_timedwait(&wait_set);
		by_signalfd(i, fd);
		by_pselect();
	}
	enough = true;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	printf("wrong %d, taken %d\n", (int)wrong, (int)taken);
	return wrong ? 1 : 0;
}
