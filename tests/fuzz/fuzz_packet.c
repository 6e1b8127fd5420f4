/*
 * Fuzz: any bytes on the control socket of vmsupd, in pieces of any size: cut into the same packets as by a look at the whole, never beyond
 * what there is, and each taken for what a tenant is started with.
 */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "vmsup/ctl/start.h"
#include "vmsup/wire/frame.h"

#define MAX ((size_t)4096)

static void take_start(const char *bytes, size_t len)
{
	json_t *json = json_loadb(bytes, len, JSON_REJECT_DUPLICATES, NULL);
	struct vms_err err = VMS_ERR_INIT;
	struct vms_start start;

	if (!json)
		return;
	if (vms_start_take(json, &start, &err) < 0) {
		EXPECT(err.text[0] && !strchr(err.text, '\n'));
		return;
	}
	EXPECT(start.name && start.link && start.directory && start.argv[0]);
	vms_start_done(&start);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vms_inbox inbox;
	size_t at = 0, expected = 0;
	unsigned int step = size ? data[0] % 61u + 1 : 1;
	bool too_long = false;

	vms_inbox_init(&inbox, MAX);
	while (at < size && !too_long) {
		const size_t n = size - at < step ? size - at : step;
		const char *bytes;
		size_t len;
		int r = vms_inbox_add(&inbox, (const char *)data + at, n);

		if (r == -EMSGSIZE)
			break;
		EXPECT(r == 0);
		at += n;
		while ((r = vms_inbox_packet(&inbox, &bytes, &len)) == 0) {
			const uint8_t *head = data + expected;

			EXPECT(len == ((size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3]));
			EXPECT(expected + 4 + len <= at && memcmp(bytes, head + 4, len) == 0);
			expected += 4 + len;
			take_start(bytes, len);
		}
		EXPECT(r == -EAGAIN || r == -EMSGSIZE);
		too_long = r == -EMSGSIZE;
		step = step * 7 % 61 + 1;
	}
	vms_inbox_done(&inbox);
	/* The whole as JSON, so that mutations of the corpus get far. */
	take_start((const char *)data + (size > 4 ? 4 : size), size > 4 ? size - 4 : 0);
	return 0;
}
