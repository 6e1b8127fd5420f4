/* Numbers as people write them; see the header. */
#include "vmsup/base/num.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

static int suffix_shift(char c)
{
	switch (toupper((unsigned char)c)) {
	case 'K':
		return 10;
	case 'M':
		return 20;
	case 'G':
		return 30;
	case 'T':
		return 40;
	default:
		return -1;
	}
}

int vms_num_parse(const char *text, const char *end, uint64_t *ret_value)
{
	uint64_t value = 0;
	int base = 10, shift = 0;
	const char *digits;

	if (!end)
		end = text + strlen(text);
	if (end - text > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		base = 16;
		text += 2;
	}
	for (digits = text; text < end && digit_value(*text) < base; text++) {
		if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
		    __builtin_add_overflow(value, (uint64_t)digit_value(*text), &value))
			return -ERANGE;
	}
	if (text == digits)
		return -EINVAL;
	if (end - text == 1) {
		shift = suffix_shift(*text++);
		if (shift < 0)
			return -EINVAL;
	}
	if (text != end)
		return -EINVAL;
	if (value > UINT64_MAX >> shift)
		return -ERANGE;
	*ret_value = value << shift;
	return 0;
}
