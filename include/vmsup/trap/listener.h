/*
 * The listener: notifications in, answers out.
 */
#ifndef VMSUP_TRAP_LISTENER_H
#define VMSUP_TRAP_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmsup/base/err.h"
#include "vmsup/core/call.h"

/** One trapped call, as the kernel queued it. */
struct vms_trap {
	uint64_t id; /* of the notification */
	pid_t tid; /* of the calling thread; 0 when it is not visible here */
	enum vms_arch arch;
	int nr; /* system call number of arch */
	uint64_t args[6];
	uint64_t ip; /* behind the system call instruction; of i386 one that is int $0x80, or follows one in the vdso */
};

struct vms_journal;

struct vms_listener {
	int fd; /* owned */
	struct vms_journal *journal; /* borrowed; what is received and not answered is written down there; NULL: nowhere */
	void *notif; /* struct seccomp_notif of the kernel's size; owned */
	void *resp; /* struct seccomp_notif_resp of the kernel's size; owned */
	size_t notif_size;
	size_t resp_size;
};

/** Take over @fd and ask for wake-ups on the same CPU where the kernel can. 0 or -errno. */
VMS_MUST_CHECK int vms_listener_init(struct vms_listener *listener, int fd);
void vms_listener_done(struct vms_listener *listener);

/**
 * Receive the next notification; call when the descriptor is readable.
 * 0; -EAGAIN when it has been withdrawn meanwhile; another negative errno when the listener is of no use any more.
 */
VMS_MUST_CHECK int vms_listener_receive(struct vms_listener *listener, struct vms_trap *ret_trap);

/*
 * The three answers. Each returns 0; -ENOENT when the notification is stale (the thread died, or a signal took it
 * out of the call and it may ask again): nothing was applied.
 */
VMS_MUST_CHECK int vms_listener_continue(struct vms_listener *listener, uint64_t id);
VMS_MUST_CHECK int vms_listener_refuse(struct vms_listener *listener, uint64_t id, int error);
VMS_MUST_CHECK int vms_listener_reply(struct vms_listener *listener, uint64_t id, uint64_t value);

/** True while the notification waits for its answer (so its registers and memory still mean this call). */
bool vms_listener_is_valid(const struct vms_listener *listener, uint64_t id);

#endif
