/* The service manager: readiness, status, watchdog, and its store of descriptors. Without systemd all of it does nothing. */
#include <config.h>

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#ifdef HAVE_SYSTEMD
#include <syslog.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>
#endif

#include "vmsup/base/fd.h"
#include "vmsup/daemon/daemon.h"

#ifdef HAVE_SYSTEMD

void vms_notify(const char *state)
{
	vms_ignore(sd_notify(0, state));
}

void vms_notify_keep(const struct vms_tenant *tenant, const char *what, int fd)
{
	char text[160];

	snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=tenant.%s.%s", tenant->name, what);
	vms_ignore(sd_pid_notify_with_fds(0, 0, text, &fd, 1));
}

void vms_notify_drop(const struct vms_tenant *tenant)
{
	static const char *const all[] = { "start", "board", "listener" };
	char text[160];

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=tenant.%s.%s", tenant->name, all[i]);
		vms_notify(text);
	}
}

/* The service manager has set the variable; what is started with another stderr has it, too. */
static bool logs_to_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%ju:%ju", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

/*
 * By the journal's own protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL) and not by sd_journal_send, which waits for a journal
 * that is flooded: anybody may flood it, tenants too.
 */
bool vms_notify_journal(const char *tenant, const char *what, int priority, const char *text)
{
	const struct sockaddr_un journal = { .sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket" };
	char entry[1024];
	vms_autofd fd = -1;
	int n;

	if (!logs_to_journal())
		return false;
	n = snprintf(entry, sizeof(entry), "PRIORITY=%d\nSYSLOG_IDENTIFIER=vmsupd\nVMSUP_TENANT=%s\nVMSUP_EVENT=%s\nMESSAGE=%s", priority, tenant,
		     what, text);
	if (n < 0 || (size_t)n >= sizeof(entry) - 1)
		return false;
	/* A line a field; the text is the last of them. */
	for (char *c = strstr(entry, "\nMESSAGE=") + 1; *c; c++) {
		if (*c == '\n')
			*c = ' ';
	}
	entry[n] = '\n';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return fd >= 0 && sendto(fd, entry, (size_t)n + 1, MSG_NOSIGNAL, (const struct sockaddr *)&journal, sizeof(journal)) == n + 1;
}

int vms_notify_stream(const struct vms_tenant *tenant)
{
	char name[VMS_TENANT_NAME_MAX + 16];
	int fd;

	if (!logs_to_journal())
		return -1;
	snprintf(name, sizeof(name), "vmsup-%s", tenant->name);
	fd = sd_journal_stream_fd(name, LOG_INFO, 1);
	return fd < 0 ? -1 : fd;
}

static void on_watchdog(void *arg, int fd, unsigned int events)
{
	uint64_t ticks;

	(void)arg;
	(void)events;
	if (read(fd, &ticks, sizeof(ticks)) == sizeof(ticks))
		vms_notify("WATCHDOG=1");
}

void vms_notify_watchdog(struct vms_daemon *daemon)
{
	struct itimerspec spec = { .it_value = { 0 } };
	uint64_t us = 0;

	if (sd_watchdog_enabled(0, &us) <= 0 || !us)
		return;
	us /= 2;
	spec.it_value = (struct timespec){ .tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000 };
	spec.it_interval = spec.it_value;
	daemon->watchdog = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (daemon->watchdog < 0 || timerfd_settime(daemon->watchdog, 0, &spec, NULL) < 0 ||
	    vms_loop_add(daemon->loop, daemon->watchdog, VMS_WATCH_READ, 2, on_watchdog, NULL, &daemon->watchdog_watch) < 0)
		vms_fd_close(&daemon->watchdog);
}

void vms_notify_each_fd(void (*each)(const char *name, int fd, void *arg), void *arg)
{
	char **names = NULL;
	const int nr = sd_listen_fds_with_names(1, &names);

	for (int i = 0; i < nr; i++) {
		each(names[i], SD_LISTEN_FDS_START + i, arg);
		free(names[i]);
	}
	free(names);
}

#else

void vms_notify(const char *state)
{
	(void)state;
}

void vms_notify_keep(const struct vms_tenant *tenant, const char *what, int fd)
{
	(void)tenant;
	(void)what;
	(void)fd;
}

void vms_notify_drop(const struct vms_tenant *tenant)
{
	(void)tenant;
}

bool vms_notify_journal(const char *tenant, const char *what, int priority, const char *text)
{
	(void)tenant;
	(void)what;
	(void)priority;
	(void)text;
	return false;
}

int vms_notify_stream(const struct vms_tenant *tenant)
{
	(void)tenant;
	return -1;
}

void vms_notify_watchdog(struct vms_daemon *daemon)
{
	(void)daemon;
}

void vms_notify_each_fd(void (*each)(const char *name, int fd, void *arg), void *arg)
{
	(void)each;
	(void)arg;
}

#endif

void vms_notify_status(const struct vms_daemon *daemon)
{
	unsigned int up = 0, failed = 0;
	char text[96];

	for (const struct vms_tenant *t = daemon->tenants; t; t = t->hh.next) {
		up += t->state == VMS_TENANT_RUNNING;
		failed += t->state == VMS_TENANT_FAILED || t->state == VMS_TENANT_HELD;
	}
	snprintf(text, sizeof(text), "STATUS=%u of %u tenants run, %u failed", up, HASH_COUNT(daemon->tenants), failed);
	vms_notify(text);
}
