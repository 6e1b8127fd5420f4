/* Lines in and out of a socket; see the header. */
#include "vmsup/wire/frame.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define FIRST_SIZE ((size_t)4096)

void vms_inbox_init(struct vms_inbox *inbox, size_t max)
{
	*inbox = (struct vms_inbox){ .max = max };
}

void vms_inbox_done(struct vms_inbox *inbox)
{
	free(inbox->data);
	vms_inbox_init(inbox, inbox->max);
}

/* Move what is left to the front. Lines handed out before are void from here on. */
static void compact(struct vms_inbox *inbox)
{
	if (inbox->taken == 0)
		return;
	memmove(inbox->data, inbox->data + inbox->taken, inbox->len - inbox->taken);
	inbox->len -= inbox->taken;
	inbox->seen -= inbox->taken;
	inbox->taken = 0;
}

/* At least one free byte, at most max in all. */
static int make_room(struct vms_inbox *inbox, size_t want)
{
	size_t size = inbox->size ? inbox->size : FIRST_SIZE;
	char *data;

	compact(inbox);
	if (want > inbox->max - inbox->len)
		return -EMSGSIZE;
	while (size - inbox->len < want)
		size *= 2;
	if (size > inbox->max)
		size = inbox->max;
	if (size == inbox->size)
		return 0;
	data = realloc(inbox->data, size);
	if (!data)
		return -ENOMEM;
	inbox->data = data;
	inbox->size = size;
	return 0;
}

int vms_inbox_add(struct vms_inbox *inbox, const char *bytes, size_t len)
{
	int r = make_room(inbox, len);

	if (r < 0)
		return r;
	memcpy(inbox->data + inbox->len, bytes, len);
	inbox->len += len;
	return 0;
}

int vms_inbox_line(struct vms_inbox *inbox, char **ret_line, size_t *ret_len)
{
	char *line, *newline = NULL;

	if (inbox->seen < inbox->len)
		newline = memchr(inbox->data + inbox->seen, '\n', inbox->len - inbox->seen);
	if (!newline) {
		inbox->seen = inbox->len;
		return inbox->len - inbox->taken >= inbox->max ? -EMSGSIZE : -EAGAIN;
	}
	*newline = '\0';
	line = inbox->data + inbox->taken;
	*ret_line = line;
	*ret_len = (size_t)(newline - line);
	inbox->taken += *ret_len + 1;
	inbox->seen = inbox->taken;
	return 0;
}

int vms_inbox_packet(struct vms_inbox *inbox, const char **ret_bytes, size_t *ret_len)
{
	const size_t there = inbox->len - inbox->taken;
	const unsigned char *head = (const unsigned char *)inbox->data + inbox->taken;
	size_t len;

	if (there < 4)
		return -EAGAIN;
	len = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
	if (len > inbox->max - 4)
		return -EMSGSIZE;
	if (there - 4 < len)
		return -EAGAIN;
	*ret_bytes = inbox->data + inbox->taken + 4;
	*ret_len = len;
	inbox->taken += 4 + len;
	inbox->seen = inbox->taken;
	return 0;
}

void vms_packet_head(size_t len, unsigned char ret_head[4])
{
	for (int i = 0; i < 4; i++)
		ret_head[i] = (unsigned char)(len >> (24 - 8 * i));
}

int vms_inbox_receive(struct vms_inbox *inbox, int fd, size_t *ret_count)
{
	ssize_t n;
	int r = make_room(inbox, 1);

	if (r < 0)
		return r;
	do {
		n = recv(fd, inbox->data + inbox->len, inbox->size - inbox->len, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	inbox->len += (size_t)n;
	*ret_count = (size_t)n;
	return 0;
}

void vms_outbox_init(struct vms_outbox *outbox)
{
	*outbox = (struct vms_outbox){ .data = NULL };
}

void vms_outbox_done(struct vms_outbox *outbox)
{
	free(outbox->data);
	vms_outbox_init(outbox);
}

void vms_outbox_put(struct vms_outbox *outbox, char *line, size_t len)
{
	assert(!outbox->data);
	outbox->data = line;
	outbox->len = len;
	outbox->sent = 0;
}

int vms_outbox_send(struct vms_outbox *outbox, int fd)
{
	while (outbox->sent < outbox->len) {
		ssize_t n = send(fd, outbox->data + outbox->sent, outbox->len - outbox->sent,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		outbox->sent += (size_t)n;
	}
	vms_outbox_done(outbox);
	return 0;
}
