/*
 * Messages of the control socket, one JSON object a line. Pure: no sockets here.
 *
 *   request  {"verb": "maps", "pid": N}    {"verb": "ps"}    {"verb": "explain", "pid": N}
 *            {"verb": "limit", "pid": N, "max": {"commit": BYTES, "va": null, ...}, "tree_max": {...}}
 *   reply    {"ok": true, "result": ...}   {"ok": false, "error": "a sentence", "code": "ESRCH"}
 *
 * Members that are not known are ignored, so that a newer client may ask an older supervisor.
 */
#ifndef VMSUP_WIRE_MSG_H
#define VMSUP_WIRE_MSG_H

#include <stddef.h>
#include <sys/types.h>

#include <jansson.h>

#include "vmsup/base/err.h"
#include "vmsup/core/limit.h"

enum vms_ask_kind {
	VMS_ASK_MAPS,
	VMS_ASK_PS,
	VMS_ASK_LIMIT,
	VMS_ASK_EXPLAIN,
};

/** Limits that are to be changed; the others stay. */
struct vms_ask_limits {
	bool set[VMS_NR_LIMITS];
	struct vms_limits to; /* where set; VMS_UNLIMITED is null on the wire */
};

/** One request. */
struct vms_ask {
	enum vms_ask_kind kind;
	pid_t pid; /* not with VMS_ASK_PS */
	struct vms_ask_limits max, tree_max; /* with VMS_ASK_LIMIT */
};

/**
 * Read a request of @len bytes without its newline. 0, or -EINVAL, -ENOSYS (no such verb), -ENOMEM
 * with a sentence.
 */
VMS_MUST_CHECK int vms_ask_parse(const char *line, size_t len, struct vms_ask *ret_ask,
				 struct vms_err *err);
/** The line of a request with its newline; the caller frees it. 0 or -ENOMEM. */
VMS_MUST_CHECK int vms_ask_format(const struct vms_ask *ask, char **ret_line, size_t *ret_len);

/**
 * The line of a reply with its newline; the caller frees it. @result is borrowed. 0, -EMSGSIZE or
 * -ENOMEM.
 */
VMS_MUST_CHECK int vms_reply_format(json_t *result, char **ret_line, size_t *ret_len);
/**
 * The line of a reply that refuses: @code is a negative errno, @sentence may be empty. 0 or
 * -ENOMEM.
 */
VMS_MUST_CHECK int vms_reply_format_error(int code, const char *sentence, char **ret_line,
					  size_t *ret_len);
/**
 * Read a reply of @len bytes without its newline. 0 with a new reference to the result; the
 * negative errno that the other side sent, with its sentence; -EBADMSG when this is no reply;
 * -ENOMEM.
 */
VMS_MUST_CHECK int vms_reply_parse(const char *line, size_t len, json_t **ret_result,
				   struct vms_err *err);

/** An address or a register, as a string "0x..." (new reference); NULL without memory. */
json_t *vms_msg_hex(uint64_t value);
/** {"commit": BYTES, ...} (new reference), without those for which there is no limit; NULL without memory. */
json_t *vms_msg_limits(const struct vms_limits *limits);

/**
 * A JSON string (new reference) from any bytes, NULL without memory. Names of files and programs
 * need not be UTF-8, JSON strings must: a byte that is not becomes \ooo, as in /proc/PID/mounts.
 */
json_t *vms_msg_text(const char *bytes);

#endif
