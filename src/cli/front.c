/*
 * The front process; see the header.
 *
 * All signals are blocked and read from a signalfd, beside the socket: there is no handler, so
 * nothing here can be interrupted half-way. The program was forked before that and has
 * the dispositions and the mask that the shell gave us.
 */
#include "vmsup/cli/front.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vmsup/base/fd.h"
#include "vmsup/base/log.h"
#include "vmsup/cli/verb.h"
#include "vmsup/cli/witness.h"
#include "vmsup/host/proc.h"
#include "vmsup/sup/supervisor.h"

struct front {
	int fd; /* to the supervisor, owned */
	int signal_fd; /* owned */
	struct vms_witness witness;
	pid_t supervisor;
	pid_t program; /* 0 until it has started */
	bool want_verdict;
	bool ended; /* the program; wait_status is its own from then on */
	bool leaving;
	bool owes_resumed; /* for a STOPPED that is dealt with */
	bool sees_off; /* the supervisor is ending, too */
	int wait_status; /* what this process ends like, as wait(2) tells it */
};

int vms_front_fill_stdio(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		/* The lowest free number is taken, and all below are in use. */
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR | O_CLOEXEC) != fd)
			return -EBADF;
	}
	return 0;
}

static void leave(struct front *f, int wait_status)
{
	f->leaving = true;
	f->wait_status = wait_status;
}

static bool asks_to_end(int sig)
{
	return sig == SIGINT || sig == SIGTERM || sig == SIGHUP || sig == SIGQUIT;
}

static bool is_stop(int sig)
{
	return sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU;
}

/* True only when it is sure: false also for a program whose state we may not see. */
static bool program_is_not_stopped(const struct front *f)
{
	struct vms_proc_status status;
	pid_t tid = f->program ? vms_proc_living_thread(f->program) : 0;

	if (tid)
		return vms_proc_status(tid, &status) == 0 && !strchr("Tt", status.state);
	/* It has ended, and the supervisor is about to say so. */
	return f->program && ((kill(f->program, 0) < 0 && errno == ESRCH) || vms_proc_status(f->program, &status) == 0);
}

static bool has_pending(int sig)
{
	sigset_t set;

	return sigpending(&set) == 0 && sigismember(&set, sig) == 1;
}

/*
 * Stop as the program did, so that the shell sees it. Returns when somebody continues us. In an
 * orphaned group the kernel stops nobody by a terminal's signal, and then this returns at once.
 *
 * The program may have been continued since the message was written. A SIGCONT of ours that is pending has come since: what came
 * before RESUMED has been dealt with, and a stop signal for all of the group would have taken it along. Then the signal is raised
 * while it is blocked, the program is looked at, and only then the signal is let in: a SIGCONT in between makes the kernel forget it.
 * With SIGSTOP, which cannot be blocked, a moment stays open, until the supervisor's next SIGCONT.
 */
static void stop_self(struct front *f, int sig)
{
	const struct timespec at_once = { 0 };
	sigset_t set;

	if (has_pending(SIGCONT))
		return;
	if (!is_stop(sig)) {
		if (!program_is_not_stopped(f))
			raise(SIGSTOP);
		return;
	}
	sigemptyset(&set);
	sigaddset(&set, sig);
	signal(sig, SIG_DFL);
	/* What made the program stop is over, for the witness too: only a later stop overtakes a SIGCONT. */
	(void)vms_witness_ask(&f->witness, sig, false);
	raise(sig);
	if (program_is_not_stopped(f)) {
		sigtimedwait(&set, NULL, &at_once);
		return;
	}
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

/*
 * From here on the program has what the shell gave us; a copy held here would keep a pipe from
 * ending, a lock from being released, a file system from being unmounted. stderr stays for our
 * own word.
 */
static void let_go(const struct front *f)
{
	const int keep[] = { f->fd, f->signal_fd, f->witness.fd };

	vms_fd_let_go(keep, sizeof(keep) / sizeof(keep[0]));
	(void)!chdir("/");
}

struct ending {
	const struct front *front;
	unsigned int tasks;
};

static int end_task(pid_t pid, void *arg)
{
	struct ending *e = arg;

	if (pid == e->front->witness.pid || pid == e->front->supervisor)
		return 0;
	kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, WNOHANG | __WALL);
	e->tasks++;
	return 0;
}

/*
 * The tree dies with its supervisor: without one, every trapped call fails with ENOSYS. We are the next subreaper, so
 * whoever is left is below us. Again until nobody is, for they may still fork.
 */
static void end_tree(const struct front *f)
{
	const struct timespec tick = { .tv_nsec = 2000000 };

	for (int i = 0; i < 1000; i++) {
		struct ending e = { .front = f };

		if (vms_proc_each_descendant(getpid(), end_task, &e) < 0 || !e.tasks)
			break;
		nanosleep(&tick, NULL);
	}
}

/*
 * The supervisor closed its end without a last word. Before the start it may have died of what was
 * meant for all of us (Ctrl-C in the first moment), and then so do we.
 */
static void supervisor_lost(struct front *f)
{
	siginfo_t si = { .si_pid = 0 };
	vms_autofd pidfd = pidfd_open(f->supervisor, 0);
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	leave(f, W_EXITCODE(VMS_EXIT_VMSUP, 0));
	/* It is about to die, or it lives on with its socket closed: do not wait for ever. */
	if (pidfd >= 0)
		(void)poll(&p, 1, 2000);
	end_tree(f);
	if (waitid(P_PID, (id_t)f->supervisor, &si, WEXITED | WNOHANG) < 0)
		si.si_pid = 0;
	if (si.si_pid && si.si_code != CLD_EXITED) {
		if (!f->program && asks_to_end(si.si_status)) {
			leave(f, W_EXITCODE(0, si.si_status));
			return;
		}
		vms_log("the supervisor was killed by signal %d (%s), and %s", si.si_status,
			strsignal(si.si_status),
			f->ended ? "its last report is missing" : "the program with it");
		return;
	}
	vms_log("the supervisor ended without a word; this is an error in vmsup, please report it");
}

static void tell(struct front *f, enum vms_front_kind kind, int value)
{
	struct vms_front_msg m = { .kind = kind, .value = value };

	/* A closed socket is met, and told, by the reading side. */
	while (send(f->fd, &m, sizeof(m), MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}

static bool has_message(const struct front *f)
{
	char byte;

	return recv(f->fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT) > 0;
}

static void on_message(struct front *f, struct vms_front_msg *m)
{
	switch (m->kind) {
	case VMS_FRONT_STARTED:
		f->program = m->value;
		let_go(f);
		break;
	case VMS_FRONT_STOPPED:
		/* More has happened since: that tells. */
		if (!has_message(f))
			stop_self(f, m->value);
		f->owes_resumed = true;
		break;
	case VMS_FRONT_LAST:
		f->sees_off = true;
		break;
	case VMS_FRONT_EXITED:
		f->ended = true;
		f->wait_status = m->value;
		f->leaving = !f->want_verdict;
		break;
	case VMS_FRONT_FAILED:
		m->text[sizeof(m->text) - 1] = '\0';
		if (m->text[0])
			vms_log("%s", m->text);
		f->sees_off = true;
		leave(f, W_EXITCODE(m->value ? m->value & 0xff : VMS_EXIT_VMSUP, 0));
		break;
	case VMS_FRONT_VERDICT:
		/* Never take an end that was not told for success. */
		if (!f->ended)
			supervisor_lost(f);
		else
			leave(f, m->value ? W_EXITCODE(m->value & 0xff, 0) : f->wait_status);
		f->sees_off = true;
		break;
	default: /* CONTINUED: whoever continued the program continued us, or we never stopped */
		break;
	}
}

static void read_messages(struct front *f)
{
	while (!f->leaving) {
		struct vms_front_msg m;
		ssize_t n = recv(f->fd, &m, sizeof(m), MSG_DONTWAIT);

		/*
		 * ECONNRESET: the supervisor closed with a message of ours unread. It comes once
		 * and before what the supervisor has sent, so its last words are still to be read.
		 */
		if (n < 0 && (errno == EINTR || errno == ECONNRESET))
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n == sizeof(m))
			on_message(f, &m);
		else
			supervisor_lost(f);
	}
}

/* The program has ended, and only its report is waited for. */
static void on_late_signal(struct front *f, int sig)
{
	if (is_stop(sig))
		stop_self(f, sig);
	else if (asks_to_end(sig))
		f->leaving = true;
}

/*
 * A stop signal sent to the group takes a pending SIGCONT with it, the witness's, too. So one that the witness does not know may
 * have been for all, when a stop signal has come since. Ours is no proof: the supervisor's SIGCONT may have taken it.
 */
static bool is_overtaken(struct front *f, int sig)
{
	return sig == SIGCONT && vms_witness_has_stop(&f->witness);
}

static void on_signal(struct front *f, const struct signalfd_siginfo *si)
{
	int sig = (int)si->ssi_signo;
	bool to_group;

	/* A child changed, and its socket says so; or the signal is our own (SIGPIPE of a log line). */
	if ((sig == SIGCHLD && si->ssi_code != SI_USER) || si->ssi_pid == (uint32_t)getpid())
		return;
	to_group = vms_witness_ask(&f->witness, sig, si->ssi_code == SI_KERNEL) || is_overtaken(f, sig);
	/* SIGCONT, because the program goes on already. */
	if (si->ssi_pid == (uint32_t)f->supervisor)
		return;
	if (f->ended) {
		on_late_signal(f, sig);
		return;
	}
	/*
	 * A program that left the group (an interactive shell makes its own) would be its leader,
	 * and still in it, had the shell started it directly: then hand it on all the same.
	 */
	if (!to_group || (f->program && getpgid(f->program) != getpgrp())) {
		tell(f, VMS_FRONT_SIGNAL, sig);
		return;
	}
	/* The supervisor is still in our group and stopped as well, so nobody will tell us to. */
	if (!f->program && is_stop(sig))
		stop_self(f, sig);
}

static void read_signals(struct front *f)
{
	struct signalfd_siginfo si;

	while (!f->leaving && read(f->signal_fd, &si, sizeof(si)) == sizeof(si))
		on_signal(f, &si);
}

/* End as the program did. A signal that does not kill us (we may be an init) becomes a status. */
static int end_like(int wait_status)
{
	const struct rlimit none = { 0 };
	sigset_t set;
	int sig;

	if (WIFEXITED(wait_status))
		return WEXITSTATUS(wait_status);
	/* The core is the program's. A core_pattern with a pipe ignores the limit, so both. */
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
	sig = WTERMSIG(wait_status);
	signal(sig, SIG_DFL);
	raise(sig);
	sigemptyset(&set);
	sigaddset(&set, sig);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	return 128 + sig;
}

static int set_up(struct front *f)
{
	sigset_t all;

	sigfillset(&all);
	if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
		return -errno;
	/* Ignored by some parents, and then the kernel would reap our children for us. */
	signal(SIGCHLD, SIG_DFL);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	f->signal_fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (f->signal_fd < 0)
		return -errno;
	/* Without one, what the kernel sent counts as sent to the group; nearly always it was. */
	(void)vms_witness_start(&f->witness);
	return 0;
}

static void watch(struct front *f)
{
	while (!f->leaving) {
		struct pollfd p[] = {
			{ .fd = f->fd, .events = POLLIN },
			{ .fd = f->signal_fd, .events = POLLIN },
		};

		if (poll(p, 2, -1) < 0)
			continue;
		/* In this order, so that a signal meets what is known of the program by now. */
		read_messages(f);
		read_signals(f);
		if (f->owes_resumed && !f->leaving) {
			/* What continued us is to have reached all of our group first. */
			vms_witness_wait();
			f->owes_resumed = false;
			tell(f, VMS_FRONT_RESUMED, 0);
		}
	}
}

/*
 * Wait for a supervisor that is about to end, so that none is left for an init that may not wait for it (a container's first
 * process often does not); but not for ever.
 */
static void see_off(const struct front *f)
{
	vms_autofd pidfd = pidfd_open(f->supervisor, 0);
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	if (pidfd >= 0 && poll(&p, 1, 10000) == 1)
		(void)waitpid(f->supervisor, NULL, WNOHANG);
}

int vms_front_run(int fd, pid_t supervisor, bool want_verdict)
{
	struct front f = {
		.fd = fd,
		.signal_fd = -1,
		.witness = VMS_WITNESS_INIT,
		.supervisor = supervisor,
		.want_verdict = want_verdict,
	};
	int ret = set_up(&f);

	if (ret < 0) {
		vms_log("cannot watch for signals: %s", strerror(-ret));
		leave(&f, W_EXITCODE(VMS_EXIT_VMSUP, 0));
	}
	watch(&f);
	vms_witness_stop(&f.witness);
	vms_fd_close(&f.signal_fd);
	vms_fd_close(&f.fd);
	if (f.sees_off)
		see_off(&f);
	return end_like(f.wait_status);
}
