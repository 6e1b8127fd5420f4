/*
 * Ranges of addresses; see the header. Whether a range suits a child (mmap_min_addr, the end of
 * user space, the size of an image) is not asked here: that takes a host.
 */
#include "vmsup/core/range.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "vmsup/base/num.h"

/* Arguments for "%.*s%s": a text of any length as a sentence may quote it. */
#define QUOTE_MAX 100
#define QUOTE(text, len)                                                                           \
	(int)((len) > QUOTE_MAX ? QUOTE_MAX : (len)), (text), (len) > QUOTE_MAX ? "..." : ""

int vms_range_init(struct vms_range *ret, vms_addr_t start, vms_addr_t end)
{
	if (start >= end || !vms_page_aligned(start) || !vms_page_aligned(end))
		return -EINVAL;
	ret->start = start;
	ret->end = end;
	return 0;
}

static int parse_side(const char *text, const char *name, const char *from, const char *to,
		      vms_addr_t *ret_value, struct vms_err *err)
{
	size_t all = strlen(text), len = (size_t)(to - from);
	uint64_t value;
	int r;

	if (!len)
		return vms_err_set(err, -EINVAL,
				   "--range %.*s%s: the %s is missing; write LO-HI, "
				   "for example 0x10000-0x7fff0000",
				   QUOTE(text, all), name);
	r = vms_num_parse(from, to, &value);
	if (r == -ERANGE)
		return vms_err_set(err, -EINVAL,
				   "--range %.*s%s: the %s '%.*s%s' does not fit in 64 bits; "
				   "write a smaller address",
				   QUOTE(text, all), name, QUOTE(from, len));
	if (r < 0)
		return vms_err_set(
			err, -EINVAL,
			"--range %.*s%s: the %s '%.*s%s' is not a number; write decimal or "
			"0x hexadecimal, with a suffix K, M, G or T if you like",
			QUOTE(text, all), name, QUOTE(from, len));
	*ret_value = value;
	return 0;
}

static int check_side(const char *text, const char *name, vms_addr_t addr, struct vms_err *err)
{
	size_t all = strlen(text);
	vms_addr_t below = vms_page_down(addr), above = vms_page_up(addr);

	if (below == addr)
		return 0;
	if (!above) /* passed 2^64 */
		return vms_err_set(
			err, -EINVAL,
			"--range %.*s%s: the %s is not a multiple of the page size (0x%" PRIx64
			"); write 0x%" PRIx64,
			QUOTE(text, all), name, VMS_PAGE_SIZE, below);
	return vms_err_set(err, -EINVAL,
			   "--range %.*s%s: the %s is not a multiple of the page size (0x%" PRIx64
			   "); write 0x%" PRIx64 " or 0x%" PRIx64,
			   QUOTE(text, all), name, VMS_PAGE_SIZE, below, above);
}

int vms_range_parse(const char *text, struct vms_range *ret, struct vms_err *err)
{
	size_t all = strlen(text);
	const char *dash = strchr(text, '-');
	vms_addr_t start, end;

	if (!dash)
		return vms_err_set(err, -EINVAL,
				   "--range %.*s%s: there is no '-' in it; write LO-HI, "
				   "for example 0x10000-0x7fff0000",
				   QUOTE(text, all));
	if (parse_side(text, "start", text, dash, &start, err) < 0 ||
	    parse_side(text, "end", dash + 1, text + all, &end, err) < 0)
		return -EINVAL;
	if (start >= end)
		return vms_err_set(err, -EINVAL,
				   "--range %.*s%s: the start is not below the end; "
				   "write LO-HI with LO < HI",
				   QUOTE(text, all));
	if (check_side(text, "start", start, err) < 0 || check_side(text, "end", end, err) < 0)
		return -EINVAL;
	return vms_range_init(ret, start, end);
}
