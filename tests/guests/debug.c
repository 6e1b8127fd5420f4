/*
 * Something to look at with a debugger: reads commands, a letter and a number, and does what they say.
 *
 *	m N	map and unmap in a function of a function (odd N: below 2 GiB)
 *	h N	install a handler without SA_RESTART
 *	f N	fork a child that executes echo
 *	x N	execute echo
 *	t N	change the title in place, the comm and the environment
 *	c N	crash, N calls deep
 *	spin	(as argument) count until killed
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile unsigned long counted;
static volatile int *volatile nowhere;

static __attribute__((noipa)) int map_one(int n)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | (n % 2 ? MAP_32BIT : 0);
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, flags, -1, 0);

	if (p == MAP_FAILED)
		return -1;
	*p = (char)n;
	if (munmap(p, 8192) < 0)
		return -2;
	return n;
}

static __attribute__((noipa)) int map_from(int n)
{
	return map_one(n) + 100;
}

static __attribute__((noipa)) void fall(int depth)
{
	if (depth == 0)
		*nowhere = 0;
	else
		fall(depth - 1);
	counted++;
}

static __attribute__((noipa)) void spin_here(void)
{
	for (;;)
		counted++;
}

static void on_signal(int sig)
{
	(void)sig;
}

static void say_echo(void)
{
	execl("/bin/echo", "echo", "executed", NULL);
	printf("exec errno %d\n", errno);
}

static void fork_echo(void)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		say_echo();
		fflush(stdout);
		_exit(1);
	}
	waitpid(pid, &status, 0);
	printf("child status %x\n", (unsigned int)status);
}

/* As setproctitle does: over the arguments, and what lies behind them. */
static void change_title(char **argv)
{
	char *end = argv[0] + strlen(argv[0]);

	memset(argv[0], 0, (size_t)(end - argv[0]));
	memcpy(argv[0], "new title", 9);
	prctl(PR_SET_NAME, "new comm");
	setenv("ADDED", "later", 1);
	puts("titled");
}

static void obey(char what, int n, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal };

	switch (what) {
	case 'm':
		printf("mapped %d\n", map_from(n));
		break;
	case 'h':
		printf("handler %d\n", sigaction(SIGUSR1, &action, NULL));
		break;
	case 'f':
		fork_echo();
		break;
	case 'x':
		say_echo();
		break;
	case 't':
		change_title(argv);
		break;
	case 'c':
		fall(n);
		break;
	}
}

int main(int argc, char **argv)
{
	char line[64];

	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	if (argc > 1 && strcmp(argv[1], "spin") == 0)
		spin_here();
	while (fgets(line, sizeof(line), stdin))
		obey(line[0], atoi(line + 1), argv);
	puts("done");
	return 0;
}
