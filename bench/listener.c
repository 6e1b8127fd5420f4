/*
 * bench-listener [--sync] PROG [ARG...]: runs PROG under a filter that notifies the calls that
 * vmsup traps in supervise mode, and answers each with CONTINUE, unread.
 * bench-listener --calls: prints those calls for strace's -e trace=.
 *
 * It is the floor under any supervisor by user notification: one blocking RECV and one SEND a call
 * and nothing else. It decides nothing, keeps nothing and confines nothing. The calls come from
 * vmsup's own table, so the two can't drift apart; the rest is deliberately not vmsup's code.
 *
 * --sync sets SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (6.6): each side wakes the other on its own CPU.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/seccomp.h>
#include <seccomp.h>

#include "vmsup/core/call.h"

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif
#define SYNC_WAKE_UP 1UL

#define TRAPPED (VMS_TRAP_SUPERVISE | VMS_TRAP_GUARD)

static int add_rule(scmp_filter_ctx ctx, int nr, const struct vms_arg_test *test)
{
	switch (test->op) {
	case VMS_TEST_NE:
		return seccomp_rule_add(ctx, SCMP_ACT_NOTIFY, nr, 1,
					SCMP_CMP(test->arg, SCMP_CMP_NE, test->value));
	case VMS_TEST_EQ:
		return seccomp_rule_add(ctx, SCMP_ACT_NOTIFY, nr, 1,
					SCMP_CMP(test->arg, SCMP_CMP_MASKED_EQ, 0xffffffff, test->value));
	case VMS_TEST_CLEAR:
		return seccomp_rule_add(ctx, SCMP_ACT_NOTIFY, nr, 1,
					SCMP_CMP(test->arg, SCMP_CMP_MASKED_EQ, test->value, 0));
	case VMS_TEST_NONE:
		break;
	}
	return seccomp_rule_add(ctx, SCMP_ACT_NOTIFY, nr, 0);
}

/* An entry of all zeros after the first is the end of any_of, not a test that always holds. */
static int add_call(scmp_filter_ctx ctx, const struct vms_call_info *info)
{
	int r = add_rule(ctx, info->nr, &info->any_of[0]);

	for (size_t i = 1; r == 0 && i < VMS_MAX_TESTS && info->any_of[i].op != VMS_TEST_NONE; i++)
		r = add_rule(ctx, info->nr, &info->any_of[i]);
	return r;
}

/* Puts the caller under the filter. Returns the listener, which is close-on-exec. */
static int load_filter(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r;

	if (ctx == NULL)
		errx(125, "seccomp_init failed");
	for (int i = 0; i < VMS_NR_CALLS; i++) {
		const struct vms_call_info *info = vms_call_get((enum vms_call)i);

		if (!(info->when & TRAPPED))
			continue;
		r = add_call(ctx, info);
		if (r < 0)
			errx(125, "rule for %s: %s", info->name, strerror(-r));
	}
	r = seccomp_load(ctx);
	if (r < 0)
		errx(125, "seccomp_load: %s", strerror(-r));
	return seccomp_notify_fd(ctx);
}

/*
 * The child's last act before execve, which waits for an answer, is to name the number of its
 * listener: its parent copies it from there while it is still open.
 */
static void run_child(int out, char **argv)
{
	int fd = load_filter();

	if (write(out, &fd, sizeof(fd)) != sizeof(fd))
		err(125, "write");
	execvp(argv[0], argv);
	err(127, "%s", argv[0]);
}

static int take_listener(pid_t pid, int in)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	int number, fd;

	if (pidfd < 0)
		err(125, "pidfd_open");
	if (read(in, &number, sizeof(number)) != sizeof(number))
		errx(125, "no listener");
	fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
	if (fd < 0)
		err(125, "pidfd_getfd");
	close(pidfd);
	return fd;
}

static void *answer(void *arg)
{
	int fd = *(int *)arg;
	struct seccomp_notif req;
	struct seccomp_notif_resp resp;

	for (;;) {
		memset(&req, 0, sizeof(req));
		if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &req) < 0) {
			if (errno == EINTR || errno == ENOENT)
				continue;
			err(125, "SECCOMP_IOCTL_NOTIF_RECV");
		}
		memset(&resp, 0, sizeof(resp));
		resp.id = req.id;
		resp.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
		if (ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &resp) < 0 && errno != ENOENT)
			err(125, "SECCOMP_IOCTL_NOTIF_SEND");
	}
	return NULL;
}

/* strace can't test arguments: calls trapped for one rare argument only are left out. */
static int print_calls(void)
{
	const char *comma = "";

	for (int i = 0; i < VMS_NR_CALLS; i++) {
		const struct vms_call_info *info = vms_call_get((enum vms_call)i);

		if ((info->when & TRAPPED) && info->any_of[0].op != VMS_TEST_EQ) {
			printf("%s?%s", comma, info->name);
			comma = ",";
		}
	}
	printf("\n");
	return 0;
}

int main(int argc, char **argv)
{
	int first = 1, sync = 0, pipes[2], fd, status;
	pthread_t thread;
	pid_t pid;

	if (argc == 2 && strcmp(argv[1], "--calls") == 0)
		return print_calls();
	if (argc > 1 && strcmp(argv[1], "--sync") == 0)
		sync = first++;
	if (argc <= first || argv[first][0] == '-') {
		fprintf(stderr, "usage: bench-listener [--sync] PROG [ARG...] | --calls\n");
		return 125;
	}
	if (pipe2(pipes, O_CLOEXEC) < 0)
		err(125, "pipe2");
	pid = fork();
	if (pid < 0)
		err(125, "fork");
	if (pid == 0)
		run_child(pipes[1], argv + first);
	close(pipes[1]);
	fd = take_listener(pid, pipes[0]);
	/* The flags go by value, although the number of the ioctl says pointer. */
	if (sync && ioctl(fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP) < 0)
		err(125, "SECCOMP_IOCTL_NOTIF_SET_FLAGS");
	/* RECV does not end with the last task on every kernel: this thread waits, another answers. */
	if (pthread_create(&thread, NULL, answer, &fd) != 0)
		errx(125, "pthread_create failed");
	if (waitpid(pid, &status, 0) < 0)
		err(125, "waitpid");
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}
