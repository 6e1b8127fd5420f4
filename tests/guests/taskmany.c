/*
 * Claim: many tasks, at once or one after the other, are each taken for what they are.
 * taskmany threads N | short N | tree N | recycle N
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_int wrong, there;
static atomic_bool go;

static int map_own(unsigned int tag)
{
	size_t size = 4096 * (size_t)(1 + tag % 7);
	unsigned char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool fine;

	if (p == MAP_FAILED)
		return 1;
	memset(p, (int)(tag & 0xff), size);
	if (size > 4096 && mprotect(p, 4096, PROT_READ))
		return 1;
	fine = p[0] == (tag & 0xff) && p[size - 1] == (tag & 0xff);
	return munmap(p, size) || !fine;
}

static void *thread(void *arg)
{
	there++;
	while (!go)
		usleep(1000);
	for (unsigned int i = 0; i < 5; i++)
		wrong += map_own((unsigned int)(uintptr_t)arg + i);
	return NULL;
}

static void threads(int n)
{
	pthread_t *all = calloc((size_t)n, sizeof(*all));
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	for (int i = 0; i < n; i++) {
		if (pthread_create(&all[i], &attr, thread, (void *)(uintptr_t)i)) {
			printf("thread %d cannot be made\n", i);
			exit(1);
		}
	}
	while (there < n)
		usleep(1000);
	go = true;
	for (int i = 0; i < n; i++)
		pthread_join(all[i], NULL);
}

static void reap(pid_t pid)
{
	int status = -1;

	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		wrong++;
}

/* One after the other: some map, some execute, some only end. */
static void short_ones(int n, const char *self)
{
	char *const argv[] = { (char *)self, (char *)"nothing", NULL };
	char *const env[] = { NULL };

	for (volatile int i = 0; i < n; i++) {
		pid_t pid = i % 10 == 5 ? vfork() : fork();

		if (pid == 0) {
			if (i % 10 == 5)
				execve(self, argv, env);
			_exit(i % 3 ? map_own((unsigned int)i) : 0);
		}
		reap(pid);
	}
}

/* Zombies and orphans: each level leaves some of its children behind, dead or alive. */
static void tree(int n)
{
	for (int i = 0; i < n; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			for (int k = 0; k < 3; k++) {
				if (fork() == 0) {
					wrong += map_own((unsigned int)k);
					if (k == 1)
						usleep(3000);
					_exit(wrong);
				}
			}
			_exit(map_own((unsigned int)i));
		}
		if (i % 2)
			reap(pid);
	}
	while (wait(NULL) > 0)
		;
}

static void end(pid_t pid)
{
	int status = 0;

	if (!pid)
		return;
	kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
		wrong++;
}

static void nop(int sig)
{
	(void)sig;
}

/* One whose number others will have: with maps of an odd kind, so that its record would not fit them. */
static void one_of_many(int i, bool keep, const char *self)
{
	char *const argv[] = { (char *)self, (char *)"nothing", NULL };
	struct sigaction sa = { .sa_handler = nop };
	int bad = 0;

	/* Under the signal guard, some of those that will be killed in a memory call, and some others. */
	if (i % 3 == 0)
		sigaction(SIGUSR1, &sa, NULL);
	for (int k = 0; k < i % 5; k++)
		bad += mmap(NULL, 4096u << k, k & 1 ? PROT_NONE : PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
		       MAP_FAILED;
	do {
		bad += map_own((unsigned int)i);
		/* In the end it is killed, in a memory call or not. */
		if (keep)
			usleep(i % 80 ? 3000 : 10000);
	} while (keep && !bad);
	if (i % 16 == 1 && !bad) {
		execv(self, argv);
		bad = 77;
	}
	_exit(bad);
}

/* Until N processes have had a number that another had before. */
static void recycle(int n, const char *self)
{
	static unsigned char seen[1 << 22];
	enum { KEPT = 4 };
	pid_t kept[KEPT] = { 0 };
	int again = 0;

	for (int i = 0; again < n; i++) {
		bool keep = i % 40 == 0;
		pid_t pid = fork();

		if (pid == 0)
			one_of_many(i, keep, self);
		if (pid < 0) {
			printf("fork: %s\n", strerror(errno));
			exit(1);
		}
		if (pid < (pid_t)sizeof(seen)) {
			again += seen[pid];
			seen[pid] = 1;
		}
		if (!keep) {
			reap(pid);
			continue;
		}
		end(kept[i / 40 % KEPT]);
		kept[i / 40 % KEPT] = pid;
	}
	for (int i = 0; i < KEPT; i++)
		end(kept[i]);
}

int main(int argc, char **argv)
{
	int n = argc > 2 ? atoi(argv[2]) : 0;

	if (argc < 2)
		return 99;
	if (!strcmp(argv[1], "threads"))
		threads(n);
	else if (!strcmp(argv[1], "short"))
		short_ones(n, argv[0]);
	else if (!strcmp(argv[1], "tree"))
		tree(n);
	else if (!strcmp(argv[1], "recycle"))
		recycle(n, argv[0]);
	else
		return map_own(1);
	printf("wrong %d\n", (int)wrong);
	return wrong != 0;
}
