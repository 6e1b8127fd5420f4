/*
 * Claim: a daemon outlives its starter and goes on working.
 * daemonize DIR: the parent prints "started" and returns 5; the daemon writes its pid to DIR/pid,
 * waits for DIR/go, then maps memory, runs a command and writes DIR/done.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void put(const char *name, const char *text)
{
	char tmp[64];
	int fd;

	snprintf(tmp, sizeof(tmp), "%s.tmp", name);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		_exit(90);
	close(fd);
	if (rename(tmp, name))
		_exit(91);
}

static void serve(void)
{
	char text[32], *p;
	int status, null;

	null = open("/dev/null", O_RDWR);
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	if (null > 2)
		close(null);
	snprintf(text, sizeof(text), "%d\n", (int)getpid());
	put("pid", text);
	for (int i = 0; i < 3000 && access("go", F_OK); i++)
		usleep(20000);
	p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		_exit(92);
	memset(p, 1, 1 << 20);
	status = system("echo worked | cat > work");
	put("done", status == 0 ? "fine\n" : "command failed\n");
	_exit(0);
}

int main(int argc, char **argv)
{
	pid_t pid;

	if (argc != 2 || chdir(argv[1])) {
		perror("daemonize");
		return 99;
	}
	pid = fork();
	if (pid < 0)
		return 98;
	if (pid == 0) {
		setsid();
		if (fork() == 0)
			serve();
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	puts("started");
	return 5;
}
