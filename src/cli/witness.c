/*
 * The witness of signals sent to the group; see the header. It is a process of its own because
 * pending signals belong to a process, and it lives no longer than the front.
 */
#include "vmsup/cli/witness.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vmsup/base/fd.h"
#include "vmsup/host/proc.h"

/* An int a packet each way: a signal, "is it pending here?", and it is taken off; 0, "is a stop signal?", and it stays. */
#define ANY_STOP 0

static int take(int sig)
{
	const struct timespec at_once = { 0 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	return sigtimedwait(&set, NULL, &at_once) == sig;
}

static int has_stop(void)
{
	sigset_t set;

	return sigpending(&set) == 0 &&
	       (sigismember(&set, SIGTSTP) == 1 || sigismember(&set, SIGTTIN) == 1 || sigismember(&set, SIGTTOU) == 1);
}

static void testify(int fd)
{
	int sig;

	/* Until the front ends. */
	while (recv(fd, &sig, sizeof(sig), 0) == sizeof(sig)) {
		int answer = sig == ANY_STOP ? has_stop() : take(sig);

		if (send(fd, &answer, sizeof(answer), MSG_NOSIGNAL) != sizeof(answer))
			break;
	}
}

static void be_witness(int fd, pid_t front)
{
	/* In this order: a front that died before the prctl is noticed by the second line. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != front)
		_exit(0);
	/* Not "vmsup...": what `pkill vmsup` sends would reach the witness and look sent to the group. */
	prctl(PR_SET_NAME, "vms-witness");
	/* A copy of the front's end of its socket pair would hide its death from the supervisor. */
	if (dup2(fd, 0) < 0 || close_range(1, ~0U, 0) < 0)
		_exit(1);
	(void)!chdir("/");
	testify(0);
	_exit(0);
}

int vms_witness_start(struct vms_witness *w)
{
	vms_autofd ours = -1, theirs = -1;
	pid_t front = getpid(), pid;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	ours = pair[0];
	theirs = pair[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		be_witness(theirs, front);
	w->pid = pid;
	w->fd = vms_fd_steal(&ours);
	return 0;
}

void vms_witness_wait(void)
{
	(void)!setpgid(0, getpgrp());
}

static bool exchange(const struct vms_witness *w, int sig, int *ret_answer)
{
	struct pollfd p = { .fd = w->fd, .events = POLLIN };
	struct vms_proc_status status;

	if (send(w->fd, &sig, sizeof(sig), MSG_NOSIGNAL) != sizeof(sig))
		return false;
	/* It may be stopped while it is asked. */
	while (poll(&p, 1, 200) == 0) {
		if (vms_proc_status(w->pid, &status) == 0 && status.state == 'T')
			kill(w->pid, SIGCONT);
	}
	return recv(w->fd, ret_answer, sizeof(*ret_answer), 0) == sizeof(*ret_answer);
}

/* SIGSTOP to the group stops it, too. A SIGCONT to the group has continued it; then there was none, and ours is not to be taken for one. */
static bool continue_it(const struct vms_witness *w)
{
	struct vms_proc_status status;
	int answer;

	if (vms_proc_status(w->pid, &status) < 0 || status.state != 'T')
		return false;
	kill(w->pid, SIGCONT);
	return exchange(w, SIGCONT, &answer);
}

bool vms_witness_ask(struct vms_witness *w, int sig, bool guess)
{
	int answer;

	if (!w->pid)
		return guess;
	/* We may be served before the witness. */
	vms_witness_wait();
	if (continue_it(w) && sig == SIGCONT)
		return false;
	if (exchange(w, sig, &answer))
		return answer;
	vms_witness_stop(w);
	return guess;
}

bool vms_witness_has_stop(struct vms_witness *w)
{
	return vms_witness_ask(w, ANY_STOP, false);
}

void vms_witness_stop(struct vms_witness *w)
{
	if (!w->pid)
		return;
	kill(w->pid, SIGKILL);
	while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR)
		;
	w->pid = 0;
	vms_fd_close(&w->fd);
}
