/*
 * The event loop. The only place that knows libev; everybody else sees file descriptors.
 *
 * It is two loops in one: poll(2) on the listener and on an inner epoll loop that holds all else. A seccomp listener waited
 * for with epoll loses the wake-up on the same CPU (4 times the cost per call, measured); poll costs per descriptor, so
 * it gets only two.
 */
#ifndef VMSUP_SUP_LOOP_H
#define VMSUP_SUP_LOOP_H

#include <stdbool.h>

#include "vmsup/base/err.h"

struct vms_loop;
struct vms_watch;

#define VMS_WATCH_READ 1u
#define VMS_WATCH_WRITE 2u

/** Called with the events that are ready. It may remove any watch, its own included. */
typedef void vms_watch_fn(void *arg, int fd, unsigned int events);

VMS_MUST_CHECK int vms_loop_new(struct vms_loop **ret_loop);
void vms_loop_free(struct vms_loop *loop);

/**
 * Watch @fd (borrowed) for @events. Watches of a higher @priority (-2..2) that are ready in the same round
 * are called first. 0 or -ENOMEM.
 */
VMS_MUST_CHECK int vms_loop_add(struct vms_loop *loop, int fd, unsigned int events, int priority,
				vms_watch_fn *fn, void *arg, struct vms_watch **ret_watch);
/** As vms_loop_add, for the one descriptor whose latency counts; after every other watch that is ready in the round. */
VMS_MUST_CHECK int vms_loop_add_hot(struct vms_loop *loop, int fd, vms_watch_fn *fn, void *arg,
				    struct vms_watch **ret_watch);
/** Change the events of a watch; 0 pauses it. */
void vms_watch_set(struct vms_watch *watch, unsigned int events);
/** Stop watching and forget; NULL is fine. The descriptor stays open. */
void vms_watch_free(struct vms_watch *watch);

/** Run until vms_loop_stop. */
void vms_loop_run(struct vms_loop *loop);
void vms_loop_stop(struct vms_loop *loop);

#endif
