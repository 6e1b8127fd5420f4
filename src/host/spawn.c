/* Start the first child; see the header. */
#include "vmsup/host/spawn.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmsup/base/fd.h"

/* What the child says before exec: 0 with the listener, or why there is none. */
static int send_listener(int sock, int error, int listener)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &error, sizeof(error) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (listener >= 0) {
		struct cmsghdr *cmsg;

		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &listener, sizeof(int));
	}
	return sendmsg(sock, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int receive_listener(int sock, int *ret_error, int *ret_listener)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { ret_error, sizeof(*ret_error) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg;
	ssize_t n;

	do {
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n != (ssize_t)sizeof(*ret_error))
		return -EPIPE;
	*ret_listener = -1;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg && cmsg->cmsg_type == SCM_RIGHTS)
		memcpy(ret_listener, CMSG_DATA(cmsg), sizeof(int));
	return 0;
}

static int limit_stack(uint64_t max)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_STACK, &limit) < 0)
		return -1;
	if (limit.rlim_max <= max)
		return 0;
	limit.rlim_max = max;
	if (limit.rlim_cur > max)
		limit.rlim_cur = max;
	return setrlimit(RLIMIT_STACK, &limit);
}

__attribute__((noreturn)) static void child(const struct vms_spawn_req *req, int sock, pid_t parent,
					    const struct sigaction *sigchld)
{
	int listener, error;

	/* The program does not outlive its supervisor. The check closes the gap before prctl. */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(125);
	if ((req->address_space && setrlimit(RLIMIT_AS, req->address_space) < 0) || limit_stack(req->max_stack) < 0) {
		send_listener(sock, errno, -1);
		_exit(125);
	}
	listener = req->load(req->load_arg);
	if (listener < 0) {
		send_listener(sock, -listener, -1);
		_exit(125);
	}
	if (send_listener(sock, 0, listener) < 0)
		_exit(125);
	close(listener);
	/* Not earlier: the listener takes a descriptor. Not trapped, as nobody serves yet. */
	vms_rlimits_give(req->rlimits);
	sigaction(SIGCHLD, sigchld, NULL);
	execvp(req->argv[0], req->argv);
	error = errno;
	(void)!write(sock, &error, sizeof(error));
	_exit(error == ENOENT ? 127 : 126);
}

static int explain(int error, struct vms_err *err)
{
	switch (error) {
	case EBUSY:
		return vms_err_set(err, -error,
				   "a seccomp listener is there already: vmsup cannot run inside vmsup or another "
				   "supervisor with a listener (EBUSY); run it outside");
	case EINVAL:
	case ENOSYS:
		return vms_err_set(err, -error,
				   "this kernel has no seccomp user notification with WAIT_KILLABLE_RECV: vmsup "
				   "needs Linux 5.19 or later; see vmsup doctor");
	default:
		return vms_err_set(err, -error, "the seccomp filter cannot be loaded: %s; see vmsup doctor",
				   strerror(error));
	}
}

int vms_spawn(const struct vms_spawn_req *req, struct vms_spawn *ret_spawn, struct vms_err *err)
{
	pid_t parent = getpid(), pid;
	vms_autofd listener = -1;
	struct sigaction sigchld, dfl = { .sa_handler = SIG_DFL };
	int sock[2], error = 0, r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock) < 0)
		return vms_err_set(err, -errno, "cannot make a socket pair: %s", strerror(errno));
	/* An ignored SIGCHLD would take the child's status from us; the child itself keeps what was inherited. */
	sigaction(SIGCHLD, &dfl, &sigchld);
	pid = fork();
	if (pid < 0) {
		r = -errno;
		close(sock[0]);
		close(sock[1]);
		return vms_err_set(err, r, "cannot fork: %s", strerror(-r));
	}
	if (pid == 0) {
		close(sock[0]);
		child(req, sock[1], parent, &sigchld);
	}
	close(sock[1]);
	r = receive_listener(sock[0], &error, &listener);
	if (r == 0 && error == 0 && listener >= 0) {
		*ret_spawn = (struct vms_spawn){ pid, vms_fd_steal(&listener), sock[0] };
		return 0;
	}
	close(sock[0]);
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return explain(error ? error : EPIPE, err);
}
