/*
 * Claim: waiting for children, clone3 with its extras, subreapers, daemons, sessions, groups and
 * death signals are as natively. Results are printed, for comparison; numbers of processes are not.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void nop(int sig)
{
	(void)sig;
}

static void map_some(void)
{
	for (int i = 0; i < 10; i++) {
		char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			_exit(80);
		p[0] = 1;
		if (munmap(p, 8192))
			_exit(81);
	}
}

/* @status by reference: arguments have no order. */
static void say(const char *what, long got, long wanted, const int *status)
{
	printf("%s: %s, %#x\n", what, got == wanted ? "it" : got < 0 ? strerrorname_np(errno) : got ? "other" : "nothing",
	       (unsigned int)(status ? *status : 0));
}

static pid_t clone3_of(struct clone_args *args)
{
	return (pid_t)syscall(SYS_clone3, args, sizeof(*args));
}

static pid_t start(int sig, int guarded)
{
	struct clone_args args = { .exit_signal = (uint64_t)sig };
	struct sigaction sa = { .sa_handler = nop };
	pid_t pid = clone3_of(&args);

	if (pid == 0) {
		if (guarded)
			sigaction(SIGUSR1, &sa, NULL);
		map_some();
		_exit(4);
	}
	return pid;
}

static void waits(int guarded)
{
	int status = 0, pidfd = -1;
	siginfo_t si = { 0 };
	struct rusage usage;
	pid_t pid = start(SIGCHLD, guarded);

	waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT);
	say("left", si.si_pid, pid, &si.si_status);
	say("wait4", wait4(pid, &status, 0, &usage), pid, &status);
	say("gone", waitpid(pid, &status, 0), pid, NULL);
	pid = start(SIGWINCH, guarded);
	usleep(1000);
	say("not a clone's", waitpid(pid, &status, 0), pid, NULL);
	status = 0;
	say("a clone's", waitpid(pid, &status, __WCLONE), pid, &status);
	pid = start(0, guarded);
	say("all", waitpid(-1, &status, __WALL), pid, &status);
	{
		struct clone_args args = { .flags = CLONE_PIDFD, .pidfd = (uintptr_t)&pidfd, .exit_signal = SIGCHLD };

		pid = clone3_of(&args);
		if (pid == 0) {
			map_some();
			_exit(6);
		}
		memset(&si, 0, sizeof(si));
		say("pidfd", waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED), 0, &si.si_status);
		say("its pid", si.si_pid, pid, NULL);
		close(pidfd);
	}
	pid = start(SIGCHLD, guarded);
	setpgid(pid, pid);
	memset(&si, 0, sizeof(si));
	say("group", waitid(P_ALL, 0, &si, WEXITED), 0, &si.si_status);
	signal(SIGCHLD, SIG_IGN);
	pid = start(SIGCHLD, guarded);
	say("ignored", waitpid(pid, &status, 0), pid, NULL);
	signal(SIGCHLD, SIG_DFL);
}

/* The same number again at once: nobody may take the new process for the old. Needs a privilege, and says so natively, too. */
static void same_number(void)
{
	int status = 0, wrong = 0;
	pid_t first = start(SIGCHLD, 0), pid = first;

	waitpid(first, NULL, 0);
	for (int i = 0; i < 50 && pid >= 0; i++) {
		struct clone_args args = { .exit_signal = SIGCHLD, .set_tid = (uintptr_t)&first, .set_tid_size = 1 };
		char *area = mmap(NULL, 4096 * (size_t)(i + 1), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		pid = clone3_of(&args);
		if (pid == 0) {
			/* Each one's map differs from that of the one before. */
			if (munmap(area, 4096 * (size_t)(i + 1)))
				_exit(1);
			map_some();
			_exit(0);
		}
		if (pid > 0 && (waitpid(pid, &status, 0) != first || status))
			wrong++;
	}
	printf("set_tid: %s, wrong %d\n", pid < 0 ? strerrorname_np(errno) : "fine", wrong);
}

static void clear_sighand(void)
{
	struct clone_args args = { .flags = CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD };
	struct sigaction sa = { .sa_handler = nop };
	int status = 0;
	pid_t pid;

	sigaction(SIGUSR2, &sa, NULL);
	pid = clone3_of(&args);
	if (pid == 0) {
		map_some();
		raise(SIGUSR2);
		_exit(0);
	}
	say("cleared handlers", waitpid(pid, &status, 0), pid, &status);
	signal(SIGUSR2, SIG_DFL);
}

static void into_cgroup(void)
{
	struct clone_args args = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD };
	int fd = open("/sys/fs/cgroup/unified", O_RDONLY | O_DIRECTORY), status = 0;
	pid_t pid;

	if (fd < 0)
		fd = open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY);
	args.cgroup = (uint64_t)fd;
	pid = clone3_of(&args);
	if (pid == 0) {
		map_some();
		_exit(0);
	}
	if (pid < 0)
		printf("into a cgroup: %s\n", strerrorname_np(errno));
	else
		say("into a cgroup", waitpid(pid, &status, 0), pid, &status);
	close(fd);
}

/* Orphans come to the subreaper inside, with their statuses, not to anybody else. */
static void subreaper(void)
{
	int sum = 0, status;
	pid_t pid;

	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	pid = fork();
	if (pid == 0) {
		for (int i = 0; i < 5; i++) {
			if (fork() == 0) {
				setsid();
				while (getppid() == pid)
					;
				usleep(2000);
				map_some();
				_exit(10 + i);
			}
		}
		_exit(0);
	}
	for (int i = 0; i < 6; i++) {
		if (wait(&status) < 0)
			break;
		sum += WEXITSTATUS(status);
	}
	printf("orphans: sum %d, then %s\n", sum, wait(&status) < 0 ? strerrorname_np(errno) : "more");
	prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
}

/* Its parent ends, and it gets the signal that it asked for; from under a guard, too. */
static void death_signal(int guarded)
{
	int fds[2], got = 0;
	struct sigaction sa = { .sa_handler = nop };
	pid_t pid;

	if (pipe(fds))
		exit(99);
	pid = fork();
	if (pid == 0) {
		if (fork() == 0) {
			sigset_t set;

			sigemptyset(&set);
			sigaddset(&set, SIGTERM);
			sigprocmask(SIG_BLOCK, &set, NULL);
			if (guarded)
				sigaction(SIGUSR1, &sa, NULL);
			prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
			map_some();
			(void)!write(fds[1], "r", 1);
			got = sigwaitinfo(&set, NULL);
			map_some();
			(void)!write(fds[1], got == SIGTERM ? "t" : "?", 1);
			_exit(0);
		}
		(void)!read(fds[0], &got, 1);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	got = 0;
	(void)!read(fds[0], &got, 1);
	printf("death signal: %c\n", got);
	close(fds[0]);
	close(fds[1]);
}

static void sessions(void)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		pid_t child;

		if (setpgid(0, 0) || getpgrp() != getpid())
			_exit(1);
		child = fork();
		if (child == 0) {
			if (setsid() != getpid() || getsid(0) != getpid() || tcsetpgrp(0, getpgrp()) == 0)
				_exit(1);
			map_some();
			_exit(setsid() == -1 && errno == EPERM ? 0 : 1);
		}
		waitpid(child, &status, 0);
		_exit(status ? 2 : setsid() == -1 ? 0 : 3);
	}
	say("sessions", waitpid(pid, &status, 0), pid, &status);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	waits(0);
	waits(1);
	same_number();
	clear_sighand();
	into_cgroup();
	subreaper();
	death_signal(0);
	death_signal(1);
	sessions();
	return 0;
}
