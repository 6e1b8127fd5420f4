/* Placement policy as people write it; see the header. */
#include "vmsup/conf/policy.h"

#include <errno.h>
#include <string.h>

#include "vmsup/base/num.h"

#define GIB ((vms_addr_t)1 << 30)

static const struct {
	const char *name;
	enum vms_layout_kind kind;
	bool takes_seed;
} layouts[] = {
	{ "top-down", VMS_LAYOUT_TOP_DOWN, false },
	{ "bottom-up", VMS_LAYOUT_BOTTOM_UP, false },
	{ "random", VMS_LAYOUT_RANDOM, true },
	{ "scatter", VMS_LAYOUT_SCATTER, true },
};

int vms_policy_parse_layout(const char *text, enum vms_layout_kind *ret_kind, uint64_t *ret_seed, bool *ret_has_seed,
			    struct vms_err *err)
{
	const size_t len = strcspn(text, ":");

	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
		if (strlen(layouts[i].name) != len || strncmp(layouts[i].name, text, len) != 0)
			continue;
		if (text[len] && !layouts[i].takes_seed)
			return vms_err_set(err, -EINVAL, "--layout=%s takes no seed; leave out what follows the ':'",
					   layouts[i].name);
		if (text[len] && vms_num_parse(text + len + 1, NULL, ret_seed) < 0)
			return vms_err_set(err, -EINVAL, "--layout: '%.100s' is not a seed; give a number, as %s:42",
					   text + len + 1, layouts[i].name);
		*ret_has_seed = text[len] != '\0';
		*ret_kind = layouts[i].kind;
		return 0;
	}
	return vms_err_set(err, -EINVAL,
			   "--layout: '%.100s' is none of top-down, bottom-up, random[:SEED] and scatter[:SEED]", text);
}

static int add_hole(struct vms_policy *policy, const struct vms_range *hole, struct vms_err *err)
{
	int r = vms_policy_add_hole(policy, hole);

	return r < 0 ? vms_err_set(err, -EINVAL, "there are more than %d holes; join some", VMS_MAX_HOLES) : 0;
}

int vms_policy_parse_hole(const char *text, struct vms_policy *policy, struct vms_err *err)
{
	struct vms_err why = VMS_ERR_INIT;
	struct vms_range hole;

	if (vms_range_parse(text, &hole, &why) < 0)
		return vms_err_set(err, -EINVAL, "--hole: %s", why.text);
	return add_hole(policy, &hole, err);
}

/*
 * What a sanitizer's runtime maps at fixed addresses (shadow, origins, its allocator), or must find free. Source: LLVM 14 compiler-rt (asan_mapping.h, msan.h,
 * tsan_platform.h), x86-64 Linux; GCC's runtimes are the same.
 */
static const struct {
	const char *name;
	struct vms_range ranges[6];
} shadows[] = {
	{ "asan", { { 0x7fff7000, 0x10007fff8000 }, { 0x600000000000, 0x640000010000 } } },
	/* All but the areas of the program's own: below 1 TiB, PIEs at 0x5100..., mmap and stack above the allocator's 4 TiB at 0x7000... */
	{ "msan", { { 0x010000000000, 0x510000000000 }, { 0x600000000000, 0x740000010000 } } },
	{ "tsan", { { 0x008000000000, 0x550000000000 }, { 0x568000000000, 0x7e8000000000 } } },
};

int vms_policy_parse_avoid(const char *text, struct vms_policy *policy, struct vms_err *err)
{
	for (size_t i = 0; i < sizeof(shadows) / sizeof(shadows[0]); i++) {
		if (strcmp(shadows[i].name, text) != 0)
			continue;
		for (const struct vms_range *r = shadows[i].ranges; r->end; r++) {
			if (add_hole(policy, r, err) < 0)
				return -EINVAL;
		}
		return 0;
	}
	return vms_err_set(err, -EINVAL, "--avoid: '%.100s' is none of asan, msan and tsan", text);
}

int vms_policy_parse_align(const char *text, vms_addr_t *ret_align, struct vms_err *err)
{
	uint64_t align;

	if (vms_num_parse(text, NULL, &align) < 0 || align < 2 * VMS_PAGE_SIZE || (align & (align - 1)) || align > 512 * GIB)
		return vms_err_set(err, -EINVAL,
				   "--align: '%.100s' is no power of two from 8K to 512G; give one, as 2M", text);
	*ret_align = align;
	return 0;
}

int vms_policy_parse_size(const char *name, const char *text, vms_addr_t *ret_size, struct vms_err *err)
{
	const vms_addr_t max = strcmp(name, "guard-gap") == 0 ? GIB : 2 * GIB;
	uint64_t size;

	if (vms_num_parse(text, NULL, &size) < 0 || !size || !vms_page_aligned(size) || size >= max)
		return vms_err_set(err, -EINVAL, "--%s: '%.100s' is no multiple of 4096 below %s; give one, as 64K", name, text,
				   max == GIB ? "1G" : "2G");
	*ret_size = size;
	return 0;
}

int vms_policy_parse_bits(const char *text, unsigned int *ret_bits, struct vms_err *err)
{
	static const unsigned int known[] = { 31, 32, 36, 39, 47, 48 };
	uint64_t bits;

	if (vms_num_parse(text, NULL, &bits) == 0) {
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
			if (known[i] == bits) {
				*ret_bits = known[i];
				return 0;
			}
		}
	}
	return vms_err_set(err, -EINVAL, "--va-bits: '%.100s' is none of 31, 32, 36, 39, 47 and 48", text);
}
