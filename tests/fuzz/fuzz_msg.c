/* Fuzz: any bytes as lines of the control socket, as a request and as a reply. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "fuzz.h"
#include "vmsup/wire/frame.h"
#include "vmsup/wire/msg.h"

static void check_ask(const char *line, size_t len)
{
	struct vms_ask ask = { .pid = -5 }, again;
	struct vms_err err = VMS_ERR_INIT;
	int r = vms_ask_parse(line, len, &ask, &err);
	char *text;
	size_t text_len;

	if (r < 0) {
		EXPECT(r == -EINVAL || r == -ENOSYS || r == -ENOMEM);
		EXPECT(err.text[0] && ask.pid == -5);
		return;
	}
	/* What was understood can be said, and is understood again. */
	EXPECT(ask.kind != VMS_ASK_MAPS || ask.pid > 0);
	EXPECT(vms_ask_format(&ask, &text, &text_len) == 0);
	EXPECT(text[text_len - 1] == '\n' && text_len <= VMS_FRAME_ASK_MAX);
	EXPECT(vms_ask_parse(text, text_len - 1, &again, &err) == 0);
	EXPECT(again.kind == ask.kind && (ask.kind != VMS_ASK_MAPS || again.pid == ask.pid));
	free(text);
}

static void check_reply(const char *line, size_t len)
{
	struct vms_err err = VMS_ERR_INIT;
	json_t *result = NULL;
	int r = vms_reply_parse(line, len, &result, &err);
	char *text;
	size_t text_len;

	if (r < 0) {
		EXPECT(!result);
		/* The other side may send an empty sentence; ours are not. */
		return;
	}
	EXPECT(result);
	if (vms_reply_format(result, &text, &text_len) == 0) {
		EXPECT(text[text_len - 1] == '\n' && !memchr(text, '\n', text_len - 1));
		free(text);
	}
	json_decref(result);
}

static void check_text(const char *line)
{
	json_t *text = vms_msg_text(line);

	EXPECT(json_is_string(text));
	EXPECT(json_string_length(text) >= strlen(line) && json_string_length(text) <= strlen(line) * 4);
	json_decref(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vms_inbox inbox;
	size_t at = 0, step = size ? data[0] % 61 + 1 : 1, lines = 0, len;
	char *line;
	int r = 0;

	vms_inbox_init(&inbox, VMS_FRAME_ASK_MAX);
	while (at < size && r == 0) {
		size_t n = size - at < step ? size - at : step;

		r = vms_inbox_add(&inbox, (const char *)data + at, n);
		EXPECT(r == 0 || r == -EMSGSIZE);
		at += n;
		while (vms_inbox_line(&inbox, &line, &len) == 0) {
			EXPECT(line[len] == '\0' && !memchr(line, '\n', len));
			check_ask(line, len);
			check_reply(line, len);
			check_text(line);
			lines++;
		}
	}
	for (size_t i = 0; i < at; i++)
		lines -= data[i] == '\n';
	EXPECT(r < 0 || lines == 0);
	vms_inbox_done(&inbox);
	return 0;
}
