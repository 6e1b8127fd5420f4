/*
 * Frames of the control socket: one line of text each. Bounded buffers for both directions, and the
 * only two calls that touch a descriptor. Not what a line says; that is msg.h.
 */
#ifndef VMSUP_WIRE_FRAME_H
#define VMSUP_WIRE_FRAME_H

#include <stdbool.h>
#include <stddef.h>

#include "vmsup/base/err.h"

/** The longest request and reply in bytes, the newline included. */
#define VMS_FRAME_ASK_MAX ((size_t)4096)
#define VMS_FRAME_REPLY_MAX ((size_t)32 << 20)

/** Bytes that came in, cut into lines. It grows as they come, never beyond max. */
struct vms_inbox {
	char *data;   /* owned */
	size_t size;  /* allocated */
	size_t len;   /* filled */
	size_t taken; /* bytes of data that earlier lines used */
	size_t seen;  /* no newline in [taken, seen) */
	size_t max;
};

/** An empty inbox for lines of up to @max bytes with their newline. */
void vms_inbox_init(struct vms_inbox *inbox, size_t max);
void vms_inbox_done(struct vms_inbox *inbox);
/** Append @len bytes. 0, -EMSGSIZE (would pass max; nothing is appended) or -ENOMEM. */
VMS_MUST_CHECK int vms_inbox_add(struct vms_inbox *inbox, const char *bytes, size_t len);
/**
 * Take the next line, NUL-terminated in place of its newline; valid until the next call on @inbox.
 * 0, -EAGAIN (no whole line yet) or -EMSGSIZE (the line under way is longer than max).
 */
VMS_MUST_CHECK int vms_inbox_line(struct vms_inbox *inbox, char **ret_line, size_t *ret_len);
/**
 * Take the next packet, which is its length in four bytes, the highest first, and so many bytes; valid until the next call on @inbox.
 * Errors as above.
 */
VMS_MUST_CHECK int vms_inbox_packet(struct vms_inbox *inbox, const char **ret_bytes, size_t *ret_len);
/** What precedes a packet of @len bytes. */
void vms_packet_head(size_t len, unsigned char ret_head[4]);
/**
 * Receive once from a socket, without waiting. 0 with the count (0 at the end of the stream), or
 * -errno.
 */
VMS_MUST_CHECK int vms_inbox_receive(struct vms_inbox *inbox, int fd, size_t *ret_count);

/** One line on its way out. */
struct vms_outbox {
	char *data; /* owned; NULL when empty */
	size_t len;
	size_t sent;
};

void vms_outbox_init(struct vms_outbox *outbox);
void vms_outbox_done(struct vms_outbox *outbox);
/** Put @line (malloced, taken) in an empty outbox. */
void vms_outbox_put(struct vms_outbox *outbox, char *line, size_t len);
static inline bool vms_outbox_empty(const struct vms_outbox *outbox)
{
	return !outbox->data;
}
/** Send what the socket takes now. 0 when all is sent (@outbox is empty then), -EAGAIN, or -errno.
 */
VMS_MUST_CHECK int vms_outbox_send(struct vms_outbox *outbox, int fd);

#endif
