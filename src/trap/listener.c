/* The listener; see the header. Source: Documentation/userspace-api/seccomp_filter.rst, kernel/seccomp.c (6.18). */
#include "vmsup/trap/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/seccomp.h>

#include "vmsup/base/fd.h"
#include "vmsup/trap/journal.h"

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

static size_t max_size(size_t a, size_t b)
{
	return a > b ? a : b;
}

int vms_listener_init(struct vms_listener *listener, int fd)
{
	struct seccomp_notif_sizes sizes;
	struct vms_listener l = { .fd = fd };

	if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
		return -errno;
	/* A newer kernel's structures may be larger than those compiled in here. */
	l.notif_size = max_size(sizes.seccomp_notif, sizeof(struct seccomp_notif));
	l.resp_size = max_size(sizes.seccomp_notif_resp, sizeof(struct seccomp_notif_resp));
	l.notif = calloc(1, l.notif_size);
	l.resp = calloc(1, l.resp_size);
	if (!l.notif || !l.resp) {
		free(l.notif);
		free(l.resp);
		return -ENOMEM;
	}
	/* Linux 6.6; without it a wake-up costs more, nothing else. */
	(void)ioctl(fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
	*listener = l;
	return 0;
}

void vms_listener_done(struct vms_listener *listener)
{
	vms_fd_close(&listener->fd);
	free(listener->notif);
	free(listener->resp);
	listener->notif = NULL;
	listener->resp = NULL;
}

int vms_listener_receive(struct vms_listener *listener, struct vms_trap *ret_trap)
{
	struct seccomp_notif *n = listener->notif;

	memset(n, 0, listener->notif_size);
	if (ioctl(listener->fd, SECCOMP_IOCTL_NOTIF_RECV, n) < 0)
		return errno == ENOENT || errno == EINTR ? -EAGAIN : -errno;
	ret_trap->id = n->id;
	ret_trap->tid = (pid_t)n->pid;
	ret_trap->arch = n->data.arch == AUDIT_ARCH_I386 ? VMS_ARCH_I386 : VMS_ARCH_X86_64;
	ret_trap->nr = n->data.nr;
	ret_trap->ip = n->data.instruction_pointer;
	for (int i = 0; i < 6; i++)
		ret_trap->args[i] = n->data.args[i];
	if (listener->journal)
		(void)vms_journal_put(listener->journal, ret_trap);
	return 0;
}

static int send_answer(struct vms_listener *listener, uint64_t id, int64_t value, int error, uint32_t flags)
{
	struct seccomp_notif_resp *resp = listener->resp;
	int r = 0;

	memset(resp, 0, listener->resp_size);
	resp->id = id;
	resp->val = value;
	resp->error = error;
	resp->flags = flags;
	while (r == 0 && ioctl(listener->fd, SECCOMP_IOCTL_NOTIF_SEND, resp) < 0) {
		if (errno != EINTR)
			r = -errno;
	}
	/* Not before: should we die here, the next one sees that the kernel does not know it any more. */
	if (listener->journal)
		vms_journal_drop(listener->journal, id);
	return r;
}

int vms_listener_continue(struct vms_listener *listener, uint64_t id)
{
	return send_answer(listener, id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}

int vms_listener_refuse(struct vms_listener *listener, uint64_t id, int error)
{
	return send_answer(listener, id, 0, -error, 0);
}

int vms_listener_reply(struct vms_listener *listener, uint64_t id, uint64_t value)
{
	return send_answer(listener, id, (int64_t)value, 0, 0);
}

bool vms_listener_is_valid(const struct vms_listener *listener, uint64_t id)
{
	return ioctl(listener->fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}
