/* What the front is told. It may be gone; then nobody needs to know. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <linux/sockios.h>

#include "vmsup/sup/sup.h"

/* Stops and continuations are news only as long as the front reads; what ends the program must always find room. */
static bool may_be_lost(int fd, enum vms_front_kind kind)
{
	int queued = 0, room = 0;
	socklen_t len = sizeof(room);

	if (kind != VMS_FRONT_STOPPED && kind != VMS_FRONT_CONTINUED && kind != VMS_FRONT_EVENT)
		return false;
	return ioctl(fd, SIOCOUTQ, &queued) < 0 || getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, &len) < 0 ||
	       queued > room / 4;
}

bool vms_front_tell_with(int fd, enum vms_front_kind kind, int value, const char *text, const int *fds, size_t nr_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(VMS_FRONT_FDS * sizeof(int))];
	} control = { .bytes = { 0 } };
	struct vms_front_msg m;
	struct iovec iov = { &m, sizeof(m) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	memset(&m, 0, sizeof(m));
	m.kind = kind;
	m.value = value;
	if (text)
		snprintf(m.text, sizeof(m.text), "%s", text);
	if (fd < 0 || may_be_lost(fd, kind))
		return false;
	if (nr_fds) {
		struct cmsghdr *cmsg;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, nr_fds * sizeof(int));
	}
	/* The front may have been stopped: never wait for it. */
	return sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

void vms_front_tell(int fd, enum vms_front_kind kind, int value, const char *text)
{
	(void)vms_front_tell_with(fd, kind, value, text, NULL, 0);
}

int vms_front_hear(int fd, struct vms_front_msg *ret_msg, int *ret_fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { ret_msg, sizeof(*ret_msg) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *cmsg;

	if (n < 0)
		return -errno;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS && cmsg->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(ret_fd, CMSG_DATA(cmsg), sizeof(int));
	return n == (ssize_t)sizeof(*ret_msg) ? 0 : -EPIPE;
}
