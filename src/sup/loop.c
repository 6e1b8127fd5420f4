/* The event loop on libev; see the header. */
#include "vmsup/sup/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include <ev.h>

struct vms_loop {
	struct ev_loop *outer; /* poll: the hot watch, and inner */
	struct ev_loop *inner; /* epoll: everything else */
	ev_embed embed;
};

struct vms_watch {
	ev_io io;
	struct ev_loop *ev; /* the loop it is in */
	struct vms_loop *loop;
	vms_watch_fn *fn;
	void *arg;
};

int vms_loop_new(struct vms_loop **ret_loop)
{
	struct vms_loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return -ENOMEM;
	loop->outer = ev_loop_new(EVBACKEND_POLL | EVFLAG_NOENV);
	loop->inner = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	if (!loop->outer || !loop->inner) {
		vms_loop_free(loop);
		return -ENOMEM;
	}
	ev_embed_init(&loop->embed, NULL, loop->inner);
	ev_set_priority(&loop->embed, EV_MAXPRI);
	ev_embed_start(loop->outer, &loop->embed);
	*ret_loop = loop;
	return 0;
}

void vms_loop_free(struct vms_loop *loop)
{
	if (!loop)
		return;
	if (loop->outer && loop->inner)
		ev_embed_stop(loop->outer, &loop->embed);
	if (loop->inner)
		ev_loop_destroy(loop->inner);
	if (loop->outer)
		ev_loop_destroy(loop->outer);
	free(loop);
}

static void on_io(struct ev_loop *ev, ev_io *io, int revents)
{
	struct vms_watch *watch = (struct vms_watch *)io;
	unsigned int events = 0;

	(void)ev;
	if (revents & EV_READ)
		events |= VMS_WATCH_READ;
	if (revents & EV_WRITE)
		events |= VMS_WATCH_WRITE;
	watch->fn(watch->arg, io->fd, events);
}

static int to_ev(unsigned int events)
{
	return ((events & VMS_WATCH_READ) ? EV_READ : 0) | ((events & VMS_WATCH_WRITE) ? EV_WRITE : 0);
}

static int add(struct vms_loop *loop, struct ev_loop *ev, int fd, unsigned int events, int priority, vms_watch_fn *fn, void *arg,
	       struct vms_watch **ret_watch)
{
	struct vms_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return -ENOMEM;
	watch->ev = ev;
	watch->loop = loop;
	watch->fn = fn;
	watch->arg = arg;
	ev_io_init(&watch->io, on_io, fd, to_ev(events));
	ev_set_priority(&watch->io, priority);
	if (events)
		ev_io_start(ev, &watch->io);
	*ret_watch = watch;
	return 0;
}

int vms_loop_add(struct vms_loop *loop, int fd, unsigned int events, int priority, vms_watch_fn *fn, void *arg,
		 struct vms_watch **ret_watch)
{
	return add(loop, loop->inner, fd, events, priority, fn, arg, ret_watch);
}

int vms_loop_add_hot(struct vms_loop *loop, int fd, vms_watch_fn *fn, void *arg, struct vms_watch **ret_watch)
{
	return add(loop, loop->outer, fd, VMS_WATCH_READ, EV_MINPRI, fn, arg, ret_watch);
}

void vms_watch_set(struct vms_watch *watch, unsigned int events)
{
	ev_io_stop(watch->ev, &watch->io);
	ev_io_set(&watch->io, watch->io.fd, to_ev(events));
	if (events)
		ev_io_start(watch->ev, &watch->io);
}

/*
 * libev leaves it to the kernel to forget a descriptor when it is closed. While another process has it open, too (a child between fork
 * and exec), the kernel does not: at its next event libev makes a new epoll, and the outer loop polls the number of the old one.
 */
static void forget(const struct vms_watch *watch)
{
	if (watch->ev == watch->loop->inner)
		(void)epoll_ctl(watch->loop->embed.io.fd, EPOLL_CTL_DEL, watch->io.fd, NULL);
}

void vms_watch_free(struct vms_watch *watch)
{
	if (!watch)
		return;
	ev_io_stop(watch->ev, &watch->io);
	forget(watch);
	free(watch);
}

void vms_loop_run(struct vms_loop *loop)
{
	ev_run(loop->outer, 0);
}

void vms_loop_stop(struct vms_loop *loop)
{
	ev_break(loop->outer, EVBREAK_ALL);
}
