/* Fuzz: any text as a number and as a range. What is taken must be what strtoull makes of it, and no text may be read past. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "vmsup/base/num.h"
#include "vmsup/core/range.h"

static void check_number(const char *text)
{
	uint64_t value = 77, limited = 78;
	int r = vms_num_parse(text, NULL, &value);
	size_t len = strlen(text), digits;
	char *end;
	static const char suffixes[] = "kmgt";
	unsigned int shift = 0;
	unsigned long long want;

	EXPECT(r == 0 || r == -EINVAL || r == -ERANGE);
	EXPECT(vms_num_parse(text, text + len, &limited) == r);
	if (r < 0) {
		EXPECT(value == 77 && limited == 78);
		return;
	}
	EXPECT(limited == value);
	EXPECT(isdigit((unsigned char)text[0]));
	digits = strcspn(text, "kKmMgGtT");
	EXPECT(digits + 1 >= len);
	want = strtoull(text, &end, text[0] == '0' && (text[1] | 32) == 'x' ? 16 : 10);
	EXPECT(end == text + digits);
	if (digits < len)
		shift = (unsigned int)(strchr(suffixes, tolower((unsigned char)text[digits])) - suffixes + 1) * 10;
	EXPECT(want << shift == value && value >> shift == want);
}

static void check_range(const char *text)
{
	struct vms_range range = { 1, 2 };
	struct vms_err err = VMS_ERR_INIT;
	int r = vms_range_parse(text, &range, &err);

	EXPECT(r == 0 || r == -EINVAL);
	if (r == 0) {
		EXPECT(range.start < range.end && vms_page_aligned(range.start) && vms_page_aligned(range.end));
		EXPECT(err.text[0] == '\0');
		return;
	}
	EXPECT(range.start == 1 && range.end == 2);
	EXPECT(err.text[0] && memchr(err.text, '\0', sizeof(err.text)) && !strchr(err.text, '\n') == !strchr(text, '\n'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Of just the size, so that a sanitizer sees a byte too many. */
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	check_number(text);
	check_range(text);
	free(text);
	return 0;
}
