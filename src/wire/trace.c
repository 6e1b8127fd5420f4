/* The parts of a trace that can be read back; see the header. */
#include "vmsup/wire/trace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmsup/wire/msg.h"

json_t *vms_trace_range(const struct vms_range *range)
{
	return json_pack("[o, o]", vms_msg_hex(range->start), vms_msg_hex(range->end));
}

json_t *vms_trace_rules(const struct vms_place_rules *r)
{
	return json_pack("{s:o, s:o, s:o, s:b, s:b, s:b, s:b, s:b, s:b}", "mmap_min_addr", vms_msg_hex(r->mmap_min_addr),
			 "hint_min", vms_msg_hex(r->hint_min), "guard", vms_msg_hex(r->guard), "thp_anon_multiple",
			 (int)r->thp_anon_multiple, "thp_anon_any", (int)r->thp_anon_any, "thp_to_top", (int)r->thp_to_top, "above4g",
			 (int)r->above4g, "seals", (int)r->seals, "never_overcommit", (int)r->never_overcommit);
}

json_t *vms_trace_brk(const struct vms_brk *brk)
{
	return json_pack("[o, o, o, b]", vms_msg_hex(brk->base), vms_msg_hex(brk->current), vms_msg_hex(brk->frontier),
			 (int)brk->is_unknown);
}

static json_t *vma_json(const struct vms_vma *vma)
{
	return json_pack("[o, o, i, i, i, i, i, o, o, o]", vms_msg_hex(vma->range.start), vms_msg_hex(vma->range.end),
			 (int)vma->prot, (int)vma->may, (int)vma->flags, (int)vma->kind, (int)vma->pkey, vms_msg_hex(vma->dev),
			 vms_msg_hex(vma->ino), vms_msg_hex(vma->offset));
}

json_t *vms_trace_vmas(const struct vms_tree *tree, const struct vms_range *range)
{
	json_t *array = json_array();
	const struct vms_vma *vma;

	for (vma = vms_tree_find_from(tree, range->start); vma && vma->range.start < range->end; vma = vms_tree_next(vma)) {
		struct vms_vma part = *vma;

		vms_vma_clip(&part, range);
		json_array_append_new(array, vma_json(&part));
	}
	return array;
}

json_t *vms_trace_facts(const struct vms_facts *f)
{
	json_t *object = json_object();

	if (f->file.known)
		json_object_set_new(object, "file",
				    json_pack("{s:i, s:b, s:b, s:b, s:b, s:b, s:b, s:o, s:o}", "may", (int)f->file.may, "thp",
					      (int)f->file.thp, "hugetlb", (int)f->file.hugetlb, "is_zero", (int)f->file.is_zero, "is_memory", (int)f->file.is_memory,
					      "is_writable", (int)f->file.is_writable, "trusted", (int)f->file.trusted, "dev",
					      vms_msg_hex(f->file.dev), "ino", vms_msg_hex(f->file.ino)));
	if (f->shm.known)
		json_object_set_new(object, "shm", vms_msg_hex(f->shm.size));
	return object;
}

json_t *vms_trace_usage(const struct vms_usage *usage)
{
	json_t *object = json_object();

	for (int i = VMS_LIMIT_VA; i < VMS_NR_LIMITS; i++)
		json_object_set_new(object, vms_limit_name((enum vms_limit)i), vms_msg_hex(usage->used[i]));
	return object;
}

int vms_trace_get_hex(const json_t *json, uint64_t *ret_value)
{
	const char *text = json_string_value(json);
	char *end;
	uint64_t value;

	if (!text || strncmp(text, "0x", 2) != 0 || !text[2])
		return -EBADMSG;
	errno = 0;
	value = strtoull(text + 2, &end, 16);
	if (*end || errno)
		return -EBADMSG;
	*ret_value = value;
	return 0;
}

/* Element @i of an array; NULL where there is none. */
static int get_element(const json_t *json, size_t i, uint64_t *ret_value)
{
	return vms_trace_get_hex(json_array_get(json, i), ret_value);
}

int vms_trace_get_range(const json_t *json, struct vms_range *ret_range)
{
	struct vms_range r;

	if (get_element(json, 0, &r.start) < 0 || get_element(json, 1, &r.end) < 0)
		return -EBADMSG;
	*ret_range = r;
	return 0;
}

static bool get_bool(const json_t *object, const char *name)
{
	return json_is_true(json_object_get(object, name));
}

int vms_trace_get_rules(const json_t *json, struct vms_place_rules *ret_rules)
{
	struct vms_place_rules r = { .thp_anon_multiple = get_bool(json, "thp_anon_multiple"),
				     .thp_anon_any = get_bool(json, "thp_anon_any"),
				     .thp_to_top = get_bool(json, "thp_to_top"),
				     .above4g = get_bool(json, "above4g"),
				     .seals = get_bool(json, "seals"),
				     .never_overcommit = get_bool(json, "never_overcommit") };

	if (vms_trace_get_hex(json_object_get(json, "mmap_min_addr"), &r.mmap_min_addr) < 0 ||
	    vms_trace_get_hex(json_object_get(json, "hint_min"), &r.hint_min) < 0 ||
	    vms_trace_get_hex(json_object_get(json, "guard"), &r.guard) < 0)
		return -EBADMSG;
	*ret_rules = r;
	return 0;
}

int vms_trace_get_brk(const json_t *json, struct vms_brk *ret_brk)
{
	struct vms_brk brk = { .is_unknown = json_is_true(json_array_get(json, 3)) };

	if (get_element(json, 0, &brk.base) < 0 || get_element(json, 1, &brk.current) < 0 ||
	    get_element(json, 2, &brk.frontier) < 0)
		return -EBADMSG;
	*ret_brk = brk;
	return 0;
}

static int get_vma(const json_t *json, const struct vms_range *within, struct vms_vma *ret_vma)
{
	struct vms_vma v = { .prot = (uint8_t)json_integer_value(json_array_get(json, 2)),
			     .may = (uint8_t)json_integer_value(json_array_get(json, 3)),
			     .flags = (uint32_t)json_integer_value(json_array_get(json, 4)),
			     .kind = (uint8_t)json_integer_value(json_array_get(json, 5)),
			     .pkey = (uint8_t)json_integer_value(json_array_get(json, 6)) };
	struct vms_range range;

	if (get_element(json, 0, &range.start) < 0 || get_element(json, 1, &range.end) < 0 || get_element(json, 7, &v.dev) < 0 ||
	    get_element(json, 8, &v.ino) < 0 || get_element(json, 9, &v.offset) < 0 ||
	    vms_range_init(&v.range, range.start, range.end) < 0 || !vms_range_covers(within, &v.range) ||
	    v.kind >= VMS_NR_KINDS)
		return -EBADMSG;
	*ret_vma = v;
	return 0;
}

int vms_trace_get_vmas(const json_t *json, const struct vms_range *range, struct vms_tree *tree)
{
	struct vms_range whole;
	const json_t *item;
	size_t i;
	int r = vms_range_init(&whole, range->start, range->end);

	if (r < 0 || !json_is_array(json))
		return -EBADMSG;
	r = vms_tree_remove(tree, &whole);
	json_array_foreach(json, i, item) {
		struct vms_vma vma;

		if (r == 0)
			r = get_vma(item, &whole, &vma);
		if (r == 0)
			r = vms_tree_replace(tree, &vma);
	}
	return r;
}

int vms_trace_get_facts(const json_t *json, struct vms_facts *ret_facts)
{
	const json_t *file = json_object_get(json, "file"), *shm = json_object_get(json, "shm");
	struct vms_facts f = { 0 };

	if (!json_is_object(json))
		return -EBADMSG;
	if (file) {
		f.file.known = true;
		f.file.may = (uint8_t)json_integer_value(json_object_get(file, "may"));
		f.file.thp = get_bool(file, "thp");
		f.file.hugetlb = get_bool(file, "hugetlb");
		f.file.is_zero = get_bool(file, "is_zero");
		f.file.is_memory = get_bool(file, "is_memory");
		f.file.is_writable = get_bool(file, "is_writable");
		f.file.trusted = get_bool(file, "trusted");
		if (vms_trace_get_hex(json_object_get(file, "dev"), &f.file.dev) < 0 ||
		    vms_trace_get_hex(json_object_get(file, "ino"), &f.file.ino) < 0)
			return -EBADMSG;
	}
	if (shm) {
		f.shm.known = true;
		if (vms_trace_get_hex(shm, &f.shm.size) < 0)
			return -EBADMSG;
	}
	*ret_facts = f;
	return 0;
}

int vms_trace_get_usage(const json_t *json, struct vms_usage *ret_usage)
{
	struct vms_usage u = { { 0 } };

	for (int i = VMS_LIMIT_VA; i < VMS_NR_LIMITS; i++) {
		if (vms_trace_get_hex(json_object_get(json, vms_limit_name((enum vms_limit)i)), &u.used[i]) < 0)
			return -EBADMSG;
	}
	*ret_usage = u;
	return 0;
}
