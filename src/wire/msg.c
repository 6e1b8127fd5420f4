/* Requests and replies; see the header. */
#include "vmsup/wire/msg.h"
#include "vmsup/wire/frame.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static void drop_json(json_t **json)
{
	json_decref(*json);
}

#define autojson __attribute__((cleanup(drop_json))) json_t *

/* The names on the wire: errno numbers are no protocol. */
static const struct {
	const char *name;
	int value;
} codes[] = {
	{ "ESRCH", ESRCH },   { "EINVAL", EINVAL },	    { "EPERM", EPERM },
	{ "EACCES", EACCES }, { "ENOSYS", ENOSYS },	    { "ENOMEM", ENOMEM },
	{ "EBUSY", EBUSY },   { "EAGAIN", EAGAIN },	    { "EMSGSIZE", EMSGSIZE },
	{ "ENOENT", ENOENT }, { "EOPNOTSUPP", EOPNOTSUPP }, { "EIO", EIO },
};

static const char *code_name(int value)
{
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		if (codes[i].value == value)
			return codes[i].name;
	}
	return "EIO";
}

static int code_value(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		if (strcmp(codes[i].name, name) == 0)
			return codes[i].value;
	}
	return EIO;
}

static const struct {
	const char *name;
	enum vms_ask_kind kind;
} verbs[] = {
	{ "maps", VMS_ASK_MAPS },
	{ "ps", VMS_ASK_PS },
	{ "limit", VMS_ASK_LIMIT },
	{ "explain", VMS_ASK_EXPLAIN },
};

static int parse_pid(const json_t *pid, pid_t *ret_pid, struct vms_err *err)
{
	json_int_t value = json_integer_value(pid); /* 0 when it is something else or missing */

	if (value < 1 || value > INT_MAX)
		return vms_err_set(err, -EINVAL,
				   "the request needs \"pid\", the number of a process");
	*ret_pid = (pid_t)value;
	return 0;
}

static enum vms_limit limit_by_name(const char *name)
{
	for (int i = VMS_LIMIT_VA; i < VMS_NR_LIMITS; i++) {
		if (strcmp(vms_limit_name((enum vms_limit)i), name) == 0)
			return (enum vms_limit)i;
	}
	return VMS_LIMIT_NONE;
}

static int parse_limits(json_t *object, struct vms_ask_limits *ret_limits, struct vms_err *err)
{
	const char *name;
	json_t *value;

	if (object && !json_is_object(object))
		return vms_err_set(err, -EINVAL, "limits must be an object of numbers");
	json_object_foreach(object, name, value) {
		enum vms_limit limit = limit_by_name(name);

		if (limit == VMS_LIMIT_NONE)
			return vms_err_set(err, -EINVAL, "there is no limit \"%.64s\"", name);
		if (!json_is_null(value) && (!json_is_integer(value) || json_integer_value(value) < 0))
			return vms_err_set(err, -EINVAL, "the limit \"%.64s\" must be a number or null", name);
		ret_limits->set[limit] = true;
		ret_limits->to.max[limit] = json_is_null(value) ? VMS_UNLIMITED : (uint64_t)json_integer_value(value);
	}
	return 0;
}

json_t *vms_msg_limits(const struct vms_limits *limits)
{
	json_t *object = json_object();

	for (int i = VMS_LIMIT_VA; object && i < VMS_NR_LIMITS; i++) {
		if (limits->max[i] != VMS_UNLIMITED)
			json_object_set_new(object, vms_limit_name((enum vms_limit)i),
					    json_integer((json_int_t)limits->max[i]));
	}
	return object;
}

static json_t *format_limits(const struct vms_ask_limits *limits)
{
	json_t *object = json_object();

	for (int i = VMS_LIMIT_VA; object && i < VMS_NR_LIMITS; i++) {
		uint64_t max = limits->to.max[i];

		if (limits->set[i])
			json_object_set_new(object, vms_limit_name((enum vms_limit)i),
					    max > INT64_MAX ? json_null() : json_integer((json_int_t)max));
	}
	return object;
}

int vms_ask_parse(const char *line, size_t len, struct vms_ask *ret_ask, struct vms_err *err)
{
	json_error_t why;
	autojson root = json_loadb(line, len, JSON_REJECT_DUPLICATES, &why);
	const char *verb;
	struct vms_ask ask = { .pid = 0 };
	size_t i;
	int r = 0;

	if (!root && json_error_code(&why) == json_error_out_of_memory)
		return vms_err_set(err, -ENOMEM, "the supervisor is out of memory");
	if (!root)
		return vms_err_set(err, -EINVAL, "the request is not JSON: %s", why.text);
	verb = json_string_value(json_object_get(root, "verb"));
	if (!verb)
		return vms_err_set(err, -EINVAL,
				   "the request must be a JSON object with a \"verb\", a string");
	for (i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (strcmp(verbs[i].name, verb) == 0)
			break;
	}
	if (i == ARRAY_SIZE(verbs))
		return vms_err_set(err, -ENOSYS, "this supervisor knows no verb \"%.64s\"", verb);
	ask.kind = verbs[i].kind;
	if (ask.kind != VMS_ASK_PS)
		r = parse_pid(json_object_get(root, "pid"), &ask.pid, err);
	if (r == 0 && ask.kind == VMS_ASK_LIMIT)
		r = parse_limits(json_object_get(root, "max"), &ask.max, err);
	if (r == 0 && ask.kind == VMS_ASK_LIMIT)
		r = parse_limits(json_object_get(root, "tree_max"), &ask.tree_max, err);
	if (r < 0)
		return r;
	*ret_ask = ask;
	return 0;
}

struct sink {
	char *data; /* owned */
	size_t len;
	size_t size;
	size_t max;
	int r;
};

/*
 * json_dump_callback_t. Stops the dump once the line is too long, so that no more than max is ever
 * held.
 */
static int sink_add(const char *bytes, size_t len, void *arg)
{
	struct sink *sink = arg;

	if (len > sink->max - sink->len) {
		sink->r = -EMSGSIZE;
		return -1;
	}
	if (len > sink->size - sink->len) {
		size_t size = (sink->len + len) * 2;
		char *data = realloc(sink->data, size);

		if (!data)
			return -1;
		sink->data = data;
		sink->size = size;
	}
	memcpy(sink->data + sink->len, bytes, len);
	sink->len += len;
	return 0;
}

/* @root to text with a newline at its end. */
static int to_line(json_t *root, size_t max, char **ret_line, size_t *ret_len)
{
	struct sink sink = { .max = max, .r = -ENOMEM };

	if (json_dump_callback(root, sink_add, &sink, JSON_COMPACT) < 0 ||
	    sink_add("\n", 1, &sink) < 0) {
		free(sink.data);
		return sink.r;
	}
	*ret_line = sink.data;
	*ret_len = sink.len;
	return 0;
}

int vms_ask_format(const struct vms_ask *ask, char **ret_line, size_t *ret_len)
{
	autojson root = json_pack("{s:s}", "verb", verbs[ask->kind].name);

	if (!root)
		return -ENOMEM;
	if (ask->kind != VMS_ASK_PS && json_object_set_new(root, "pid", json_integer(ask->pid)) < 0)
		return -ENOMEM;
	if (ask->kind == VMS_ASK_LIMIT && (json_object_set_new(root, "max", format_limits(&ask->max)) < 0 ||
					   json_object_set_new(root, "tree_max", format_limits(&ask->tree_max)) < 0))
		return -ENOMEM;
	return to_line(root, VMS_FRAME_ASK_MAX, ret_line, ret_len);
}

int vms_reply_format(json_t *result, char **ret_line, size_t *ret_len)
{
	autojson root = json_pack("{s:b, s:O}", "ok", 1, "result", result);

	if (!root)
		return -ENOMEM;
	return to_line(root, VMS_FRAME_REPLY_MAX, ret_line, ret_len);
}

int vms_reply_format_error(int code, const char *sentence, char **ret_line, size_t *ret_len)
{
	autojson root = json_pack("{s:b, s:o, s:s}", "ok", 0, "error",
				  vms_msg_text(*sentence ? sentence : strerror(-code)), "code",
				  code_name(-code));

	if (!root)
		return -ENOMEM;
	return to_line(root, VMS_FRAME_REPLY_MAX, ret_line, ret_len);
}

int vms_reply_parse(const char *line, size_t len, json_t **ret_result, struct vms_err *err)
{
	json_error_t why;
	autojson root = json_loadb(line, len, 0, &why);
	json_t *ok, *result;
	const char *sentence, *code;

	if (!root && json_error_code(&why) == json_error_out_of_memory)
		return vms_err_set(err, -ENOMEM, "out of memory");
	if (!root)
		return vms_err_set(err, -EBADMSG, "the answer is not JSON: %s", why.text);
	ok = json_object_get(root, "ok");
	if (json_is_true(ok)) {
		result = json_object_get(root, "result");
		if (!result)
			return vms_err_set(err, -EBADMSG, "the answer has no result");
		*ret_result = json_incref(result);
		return 0;
	}
	sentence = json_string_value(json_object_get(root, "error"));
	code = json_string_value(json_object_get(root, "code"));
	if (!json_is_false(ok) || !sentence || !code)
		return vms_err_set(err, -EBADMSG, "the answer is not one that this vmsup knows");
	return vms_err_set(err, -code_value(code), "%s", sentence);
}

/*
 * Length of the UTF-8 sequence at @p, or 0 when there is none. Overlong forms and surrogates are
 * none.
 */
static size_t utf8_len(const unsigned char *p)
{
	uint32_t c;
	size_t n;

	if (p[0] < 0x80)
		return 1;
	n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	c = p[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80) /* the NUL stops here too */
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if ((n == 3 && c < 0x800) || (n == 4 && (c < 0x10000 || c > 0x10ffff)) ||
	    (c >= 0xd800 && c <= 0xdfff))
		return 0;
	return n;
}

json_t *vms_msg_text(const char *bytes)
{
	const unsigned char *p = (const unsigned char *)bytes;
	char *text = malloc(strlen(bytes) * 4 + 1), *out = text;
	json_t *json;

	if (!text)
		return NULL;
	while (*p) {
		size_t n = utf8_len(p);

		if (n == 0) {
			*out++ = '\\';
			*out++ = (char)('0' + (*p >> 6));
			*out++ = (char)('0' + (*p >> 3 & 7));
			*out++ = (char)('0' + (*p & 7));
			p++;
			continue;
		}
		memcpy(out, p, n);
		out += n;
		p += n;
	}
	json = json_stringn(text, (size_t)(out - text));
	free(text);
	return json;
}

json_t *vms_msg_hex(uint64_t value)
{
	return json_sprintf("0x%" PRIx64, value);
}
