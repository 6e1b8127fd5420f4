/* Victims behind the real filter; see spy.h. */
#include "spy.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vmsup/host/proc.h"
#include "vmsup/trap/filter.h"

#define PATIENCE_MS 10000

static void nap(long ms)
{
	const struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

__attribute__((noreturn)) static void victim(const struct vms_filter *filter, int out, int in,
					     int (*body)(void *arg), void *arg)
{
	char go;
	int fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	fd = vms_filter_load(filter);
	/* The test takes its copy by number before this one is closed. */
	if (write(out, &fd, sizeof(fd)) != sizeof(fd) || read(in, &go, 1) != 1)
		_exit(120);
	close(fd);
	_exit(body(arg));
}

struct spy spy_start(unsigned int when, int (*body)(void *arg), void *arg)
{
	struct vms_filter filter;
	struct vms_err err = VMS_ERR_INIT;
	struct spy spy = { .pid = 0 };
	int up[2], down[2], theirs = -1, ours, pidfd;

	ck_assert_int_eq(vms_cookie_draw(&spy.cookie), 0);
	ck_assert_msg(vms_filter_build(when, &spy.cookie, NULL, &filter, &err) == 0, "%s", err.text);
	ck_assert(pipe2(up, O_CLOEXEC) == 0 && pipe2(down, O_CLOEXEC) == 0);
	spy.pid = fork();
	ck_assert_int_ge(spy.pid, 0);
	if (spy.pid == 0)
		victim(&filter, up[1], down[0], body, arg);
	close(up[1]);
	close(down[0]);
	ck_assert_int_eq(read(up[0], &theirs, sizeof(theirs)), sizeof(theirs));
	ck_assert_msg(theirs >= 0, "the filter was not loaded: %s", strerror(-theirs));
	pidfd = vms_proc_pidfd(spy.pid);
	ck_assert_int_ge(pidfd, 0);
	ours = vms_proc_getfd(pidfd, theirs);
	ck_assert_int_ge(ours, 0);
	ck_assert_int_eq(vms_listener_init(&spy.listener, ours), 0);
	ck_assert_int_eq(write(down[1], "g", 1), 1);
	close(up[0]);
	close(down[1]);
	close(pidfd);
	vms_filter_done(&filter);
	return spy;
}

void spy_end(struct spy *spy)
{
	kill(spy->pid, SIGKILL);
	while (waitpid(spy->pid, NULL, __WALL) >= 0 || errno == EINTR)
		;
	vms_listener_done(&spy->listener);
}

struct vms_trap spy_receive(struct spy *spy)
{
	struct pollfd p = { .fd = spy->listener.fd, .events = POLLIN };
	struct vms_trap trap;

	for (;;) {
		ck_assert_msg(poll(&p, 1, PATIENCE_MS) == 1, "no notification came");
		if (vms_listener_receive(&spy->listener, &trap) == 0)
			return trap;
		ck_assert_msg(!(p.revents & POLLHUP), "the victim has died");
	}
}

struct vms_trap spy_receive_marked(struct spy *spy, int nr, unsigned int arg, uint64_t value)
{
	for (;;) {
		struct vms_trap trap = spy_receive(spy);

		if (trap.nr == nr && trap.args[arg] == value)
			return trap;
		ck_assert_int_eq(vms_listener_continue(&spy->listener, trap.id), 0);
	}
}

int spy_serve_to_end(struct spy *spy)
{
	for (int waited = 0; waited < PATIENCE_MS; waited++) {
		struct pollfd p = { .fd = spy->listener.fd, .events = POLLIN };
		struct vms_trap trap;
		int status;

		if (waitpid(spy->pid, &status, WNOHANG | __WALL) == spy->pid)
			return status;
		if (poll(&p, 1, 1) == 1 && (p.revents & POLLIN) && vms_listener_receive(&spy->listener, &trap) == 0)
			vms_ignore(vms_listener_continue(&spy->listener, trap.id));
		/* It lets go of the filter a little before it can be waited for. */
		else if (p.revents)
			nap(1);
	}
	ck_abort_msg("the victim did not end");
	return 0;
}

bool spy_has_news(pid_t tid, int ms)
{
	for (int waited = 0; waited <= ms; waited++) {
		siginfo_t info = { .si_pid = 0 };

		if (waitid(P_PID, (id_t)tid, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL) == 0 &&
		    info.si_pid == tid)
			return true;
		if (waited < ms)
			nap(1);
	}
	return false;
}

int spy_wait(pid_t tid)
{
	int status = 0;

	ck_assert_msg(spy_has_news(tid, PATIENCE_MS), "task %d neither stopped nor ended", tid);
	ck_assert_int_eq(waitpid(tid, &status, __WALL), tid);
	return status;
}

void spy_wait_state(pid_t tid, char state)
{
	char path[48], line[512] = "", *at;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	for (int waited = 0; waited < PATIENCE_MS; waited++) {
		FILE *file = fopen(path, "re");

		ck_assert_ptr_nonnull(file);
		if (!fgets(line, sizeof(line), file))
			line[0] = '\0';
		fclose(file);
		at = strrchr(line, ')');
		if (at && at[2] == state)
			return;
		nap(1);
	}
	ck_abort_msg("task %d did not come to state %c: %s", tid, state, line);
}

const char *spy_say(int status)
{
	static char text[48];

	if (WIFEXITED(status))
		snprintf(text, sizeof(text), "exited %d", WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		snprintf(text, sizeof(text), "signal %d", WTERMSIG(status));
	else
		snprintf(text, sizeof(text), "status 0x%x", (unsigned int)status);
	return text;
}
