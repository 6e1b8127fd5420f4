/*
 * Between two supervisors of a tenant vmsupd receives its calls, and writes them into the journal, from which the next one answers them.
 * A call that nobody has received is taken out of its wait by a signal, with EINTR; one that has been received waits.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>

#include "vmsup/base/fd.h"
#include "vmsup/daemon/daemon.h"
#include "vmsup/trap/listener.h"

/* Some slots stay free for the supervisor. What is not received stays with the kernel. */
#define MAX_RECEIVED (VMS_JOURNAL_SLOTS - 256)
/* Calls that are received before others get a turn. */
#define MAX_AT_ONCE 64

struct vms_caretaker {
	struct vms_listener listener;
	struct vms_board *board; /* owned; writable */
	struct vms_watch *watch;
	unsigned int received;
};

/* POLLIN: there is a call; POLLHUP: all of the tree is gone. */
static int look(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0 ? p.revents : 0;
}

static void on_listener(void *arg, int fd, unsigned int events)
{
	struct vms_caretaker *caretaker = arg;
	struct vms_trap trap;

	(void)events;
	for (int i = 0; i < MAX_AT_ONCE && caretaker->received < MAX_RECEIVED && look(fd) == POLLIN; i++) {
		if (vms_listener_receive(&caretaker->listener, &trap) == 0)
			caretaker->received++;
	}
	/* The supervisor sees to it. */
	if (caretaker->received == MAX_RECEIVED || (look(fd) & (POLLHUP | POLLERR)))
		vms_watch_set(caretaker->watch, 0);
}

static void free_caretaker(struct vms_caretaker *caretaker)
{
	vms_watch_free(caretaker->watch);
	vms_listener_done(&caretaker->listener);
	vms_board_unmap(caretaker->board);
	free(caretaker);
}

void vms_caretaker_start(struct vms_tenant *tenant)
{
	struct vms_caretaker *caretaker;
	vms_autofd fd = -1;

	if (tenant->caretaker || tenant->listener < 0 || tenant->board_fd < 0)
		return;
	caretaker = calloc(1, sizeof(*caretaker));
	if (!caretaker)
		return;
	caretaker->listener.fd = -1;
	fd = fcntl(tenant->listener, F_DUPFD_CLOEXEC, 3);
	if (fd < 0 || vms_board_map(tenant->board_fd, true, &caretaker->board) < 0 || vms_listener_init(&caretaker->listener, fd) < 0) {
		free_caretaker(caretaker);
		return;
	}
	vms_fd_steal(&fd);
	caretaker->listener.journal = &caretaker->board->journal;
	if (vms_loop_add(tenant->daemon->loop, caretaker->listener.fd, VMS_WATCH_READ, 2, on_listener, caretaker, &caretaker->watch) < 0) {
		free_caretaker(caretaker);
		return;
	}
	tenant->caretaker = caretaker;
	on_listener(caretaker, caretaker->listener.fd, VMS_WATCH_READ);
}

void vms_caretaker_stop(struct vms_tenant *tenant)
{
	if (tenant->caretaker)
		free_caretaker(tenant->caretaker);
	tenant->caretaker = NULL;
}
