/*
 * Claim: whatever a process does when SIGKILL comes, it is gone at once, its parent sees that
 * status, and nothing of it is left.
 * sigkill ROUNDS
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void handler(int sig)
{
	(void)sig;
}

static void *keep_mapping(void *arg)
{
	for (;;) {
		char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		mprotect(p, 4096, PROT_READ);
		munmap(p, 8192);
	}
	return arg;
}

static void keep_forking(void)
{
	for (;;) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
}

static void keep_spawning(void)
{
	char *const argv[] = { (char *)"/bin/true", NULL };
	pid_t pid;

	for (;;) {
		if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ) == 0)
			while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
				;
	}
}

/* Through execve again and again, with threads to be killed at each. */
static void keep_executing(const char *self)
{
	char *const argv[] = { (char *)self, (char *)"again", NULL };
	pthread_t thread;

	pthread_create(&thread, NULL, keep_mapping, NULL);
	usleep(200);
	execve(self, argv, environ);
	_exit(97);
}

static void victim(int what, const char *self)
{
	struct sigaction sa = { .sa_handler = handler };
	pthread_t thread;

	/* Every other one is under the signal guard. */
	if (what & 1)
		sigaction(SIGUSR1, &sa, NULL);
	switch (what >> 1) {
	case 0:
		keep_mapping(NULL);
		break;
	case 1:
		for (int i = 0; i < 3; i++)
			pthread_create(&thread, NULL, keep_mapping, NULL);
		keep_mapping(NULL);
		break;
	case 2:
		keep_forking();
		break;
	case 3:
		keep_spawning();
		break;
	default:
		keep_executing(self);
		break;
	}
}

static int one(int what, unsigned int delay, const char *self)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		setpgid(0, 0);
		victim(what, self);
		_exit(98);
	}
	setpgid(pid, pid);
	usleep(delay);
	/* Its children are in its group. Stopped now and then: SIGKILL ends that, too. */
	if (delay % 3 == 0)
		kill(-pid, SIGSTOP);
	kill(-pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
		printf("victim %d: status %#x\n", what, (unsigned int)status);
		return 1;
	}
	if (kill(pid, 0) == 0 || errno != ESRCH) {
		printf("victim %d is there after its end\n", what);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? atol(argv[1]) : 1;
	unsigned int random = 12345;
	int wrong = 0;

	if (argc > 1 && argv[1][0] == 'a')
		keep_executing(argv[0]);
	for (long i = 0; i < rounds; i++) {
		for (int what = 0; what < 10; what++) {
			random = random * 1103515245 + 12345;
			wrong += one(what, (random >> 16) % 5000, argv[0]);
		}
	}
	printf("wrong %d\n", wrong);
	return wrong ? 1 : 0;
}
