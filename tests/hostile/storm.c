/*
 * Claim: many at once, dying at any moment, neither hang nor bloat the supervisor.
 * storm LO HI threads N: threads whose first calls come at the same time
 * storm LO HI execs N: threads that all call execve, while others map, fork and exit
 * storm LO HI deaths N: processes killed at any moment of their maps, forks and execs
 * storm LO HI bomb N: a fork bomb of N processes at the most
 * storm LO HI chain N: each process the parent of the next
 * storm LO HI stops N: processes stopped and continued at any moment of their execs
 * storm LO HI end: what is executed
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#include "hostile.h"

static char **args;
static int count;
static pthread_barrier_t barrier;
static int *alive;

static void *map_once(void *arg)
{
	void *at;

	pthread_barrier_wait(&barrier);
	for (int i = 0; i < 3; i++) {
		at = mmap(NULL, 2 * PAGE, RW, ANON, -1, 0);
		if (at == MAP_FAILED || is_outside((long)at))
			escaped("a thread");
		munmap(at, 2 * PAGE);
	}
	return arg;
}

static void threads(void)
{
	pthread_t *t = calloc((size_t)count, sizeof(*t));
	pthread_attr_t attr;
	int nr = 0;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 16384);
	pthread_barrier_init(&barrier, NULL, (unsigned int)count);
	while (nr < count && pthread_create(&t[nr], &attr, map_once, NULL) == 0)
		nr++;
	if (nr < count) {
		puts("not so many threads");
		fflush(stdout);
		_exit(0);
	}
	for (int i = 0; i < nr; i++)
		pthread_join(t[i], NULL);
	check_fence("a storm of threads");
}

static void on_signal(int sig)
{
	(void)sig;
}

static void *exec_once(void *arg)
{
	pthread_barrier_wait(&barrier);
	switch ((uintptr_t)arg % 6) {
	case 0:
	case 1:
		execv("/proc/self/exe", self_argv(args, "end", NULL));
		break;
	case 2:
		execv("/nonexistent", self_argv(args, "end", NULL));
		break;
	case 3:
		for (int i = 0; i < 20; i++)
			mmap(NULL, PAGE, RW, ANON, -1, 0);
		break;
	case 4:
		if (vfork() == 0)
			_exit(0);
		break;
	case 5: {
		struct sigaction sa = { .sa_handler = on_signal };

		/* Without SA_RESTART: the supervisor wants to trace every thread. */
		sigaction(SIGUSR1, &sa, NULL);
		syscall(SYS_exit, 0);
	}
	}
	return arg;
}

static void exec_storm(void)
{
	pthread_t t;

	pthread_barrier_init(&barrier, NULL, 24);
	for (uintptr_t i = 0; i < 23; i++)
		pthread_create(&t, NULL, exec_once, (void *)i);
	exec_once(NULL);
	for (;;)
		pause();
}

static void execs(void)
{
	for (int i = 0; i < count; i++) {
		pid_t pid = fork();

		if (pid == 0)
			exec_storm();
		wait_for(pid);
	}
}

static void busy(void)
{
	for (;;) {
		pid_t pid;

		munmap(mmap(NULL, 4 * PAGE, RW, ANON, -1, 0), 4 * PAGE);
		pid = vfork();
		if (pid == 0) {
			execv("/proc/self/exe", self_argv(args, "end", NULL));
			_exit(1);
		}
		waitpid(pid, NULL, 0);
		if (getpid() % 2)
			execv("/proc/self/exe", self_argv(args, "busy", NULL));
	}
}

static void nap(unsigned int *seed, unsigned int most_us)
{
	*seed = *seed * 1103515245 + 12345;
	usleep(*seed / 65536 % most_us);
}

static void deaths(int sig)
{
	unsigned int seed = 1;

	for (int i = 0; i < count; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			setpgid(0, 0);
			busy();
		}
		setpgid(pid, pid);
		for (int k = 0; sig && k < 10; k++) {
			nap(&seed, 1000);
			kill(-pid, k % 2 ? SIGCONT : sig);
		}
		nap(&seed, 4000);
		kill(-pid, SIGKILL);
		if (waitpid(pid, NULL, 0) != pid)
			broken("waitpid");
	}
}

static void bomb(void)
{
	struct rlimit limit;

	alive = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	getrlimit(RLIMIT_NPROC, &limit);
	while (__atomic_fetch_add(alive, 1, __ATOMIC_SEQ_CST) < count) {
		pid_t pid = fork();

		if (pid < 0)
			break;
		mmap(NULL, PAGE, RW, ANON, -1, 0);
	}
	while (waitpid(-1, NULL, 0) > 0)
		;
	if (has_pages_outside("/proc/self/maps"))
		escaped("a bomb");
}

/* Each the parent of the next. */
static void chain(void)
{
	for (int i = 0; i < count; i++) {
		pid_t pid = fork();

		if (pid < 0)
			broken("fork");
		if (pid) {
			wait_for(pid);
			_exit(0);
		}
	}
	be_looked_at();
	_exit(0);
}

int main(int argc, char **argv)
{
	const char *how = argc > 3 ? argv[3] : "";
	pid_t self = getpid();

	if (argc < 4)
		return 99;
	take_range(argv);
	args = argv;
	count = argc > 4 ? atoi(argv[4]) : 0;
	if (strcmp(how, "end") == 0)
		return has_pages_outside("/proc/self/maps") ? EXIT_OUTSIDE : 0;
	if (strcmp(how, "busy") == 0)
		busy();
	if (strcmp(how, "threads") == 0)
		threads();
	else if (strcmp(how, "execs") == 0)
		execs();
	else if (strcmp(how, "deaths") == 0)
		deaths(0);
	else if (strcmp(how, "stops") == 0)
		deaths(SIGSTOP);
	else if (strcmp(how, "chain") == 0)
		chain();
	else if (strcmp(how, "bomb") == 0)
		bomb();
	else
		return 99;
	if (getpid() == self)
		puts("contained");
	return 0;
}
