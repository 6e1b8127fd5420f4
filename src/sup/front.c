/* What the front is told. It may be gone; then nobody needs to know. */
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

	if (kind != VMS_FRONT_STOPPED && kind != VMS_FRONT_CONTINUED)
		return false;
	return ioctl(fd, SIOCOUTQ, &queued) < 0 || getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, &len) < 0 ||
	       queued > room / 4;
}

void vms_front_tell(int fd, enum vms_front_kind kind, int value, const char *text)
{
	struct vms_front_msg msg;

	memset(&msg, 0, sizeof(msg));
	msg.kind = kind;
	msg.value = value;
	if (text)
		snprintf(msg.text, sizeof(msg.text), "%s", text);
	/* The front may have been stopped: never wait for it. */
	if (fd >= 0 && !may_be_lost(fd, kind))
		(void)!send(fd, &msg, sizeof(msg), MSG_NOSIGNAL | MSG_DONTWAIT);
}
