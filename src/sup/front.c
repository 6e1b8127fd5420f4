/* What the front is told. It may be gone; then nobody needs to know. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "vmsup/sup/sup.h"

void vms_front_tell(int fd, enum vms_front_kind kind, int value, const char *text)
{
	struct vms_front_msg msg;

	memset(&msg, 0, sizeof(msg));
	msg.kind = kind;
	msg.value = value;
	if (text)
		snprintf(msg.text, sizeof(msg.text), "%s", text);
	if (fd >= 0)
		(void)!send(fd, &msg, sizeof(msg), MSG_NOSIGNAL);
}
