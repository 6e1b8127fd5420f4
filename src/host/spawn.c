/* Start the first child; see the header. */
#include "vmsup/host/spawn.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmsup/base/fd.h"

/* What the child could not do. */
enum failure {
	FAILED_NOTHING,
	FAILED_LIMIT,
	FAILED_CGROUP,
	FAILED_USER,
	FAILED_DIRECTORY,
	FAILED_FILTER,
};

struct word {
	int error; /* 0: the listener comes with it */
	enum failure failure;
};

/* What the child says before exec: the listener, or why there is none. */
static int send_word(int sock, enum failure failure, int error, int listener)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct word word = { error, failure };
	struct iovec iov = { &word, sizeof(word) };
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

static int receive_word(int sock, struct word *ret_word, int *ret_listener)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { ret_word, sizeof(*ret_word) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg;
	ssize_t n;

	do {
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n != (ssize_t)sizeof(*ret_word))
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

__attribute__((noreturn)) static void fail(int sock, enum failure failure, int error)
{
	send_word(sock, failure, error, -1);
	_exit(125);
}

static void go_to_place(const struct vms_spawn_place *place, int sock)
{
	if (place->cgroup_procs >= 0 && write(place->cgroup_procs, "0", 1) != 1)
		fail(sock, FAILED_CGROUP, errno);
	if (place->is_service)
		setsid();
	if (place->has_user && (setgroups(place->nr_groups, place->groups) < 0 || setresgid(place->gid, place->gid, place->gid) < 0 ||
				setresuid(place->uid, place->uid, place->uid) < 0))
		fail(sock, FAILED_USER, errno);
	if (place->directory && chdir(place->directory) < 0)
		fail(sock, FAILED_DIRECTORY, errno);
}

__attribute__((noreturn)) static void child(const struct vms_spawn_req *req, int sock, pid_t parent,
					    const struct sigaction *sigchld)
{
	int listener, error;

	if ((req->address_space && setrlimit(RLIMIT_AS, req->address_space) < 0) || limit_stack(req->max_stack) < 0)
		fail(sock, FAILED_LIMIT, errno);
	if (req->place)
		go_to_place(req->place, sock);
	/* The program does not outlive its supervisor. Another user's id would take this away; the check closes the gap before it. */
	if (!req->place || !req->place->is_service)
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(125);
	listener = req->load(req->load_arg);
	if (listener < 0)
		fail(sock, FAILED_FILTER, -listener);
	if (send_word(sock, FAILED_NOTHING, 0, listener) < 0)
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

static int explain_filter(int error, struct vms_err *err)
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

static int explain(const struct vms_spawn_req *req, const struct word *word, struct vms_err *err)
{
	const int error = word->error;

	switch (word->failure) {
	case FAILED_LIMIT:
		return vms_err_set(err, -error, "the program's limits of address space and stack cannot be set: %s", strerror(error));
	case FAILED_CGROUP:
		return vms_err_set(err, -error, "the program cannot be put into its cgroup: %s", strerror(error));
	case FAILED_USER:
		return vms_err_set(err, -error, "the program cannot become user %u, group %u: %s", (unsigned int)req->place->uid,
				   (unsigned int)req->place->gid, strerror(error));
	case FAILED_DIRECTORY:
		return vms_err_set(err, -error, "the program's directory %s cannot be entered: %s", req->place->directory,
				   strerror(error));
	case FAILED_NOTHING:
	case FAILED_FILTER:
	default:
		return explain_filter(error ? error : EPIPE, err);
	}
}

int vms_spawn(const struct vms_spawn_req *req, struct vms_spawn *ret_spawn, struct vms_err *err)
{
	pid_t parent = getpid(), pid;
	vms_autofd listener = -1;
	struct sigaction sigchld, dfl = { .sa_handler = SIG_DFL };
	struct word word = { 0 };
	int sock[2], r;

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
	r = receive_word(sock[0], &word, &listener);
	if (r == 0 && word.error == 0 && listener >= 0) {
		*ret_spawn = (struct vms_spawn){ pid, vms_fd_steal(&listener), sock[0] };
		return 0;
	}
	close(sock[0]);
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return explain(req, &word, err);
}
