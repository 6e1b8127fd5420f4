/* What a trace holds of the core: read back, it is what was written; anything else is refused. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "vmsup/core/vma.h"
#include "vmsup/wire/msg.h"
#include "vmsup/wire/trace.h"

#define PAGE VMS_PAGE_SIZE

static struct vms_tree tree;
static const struct vms_range all = { 0, 0x7ffffffff000 };

static void setup(void)
{
	vms_tree_init(&tree, 0);
}

static void teardown(void)
{
	vms_tree_done(&tree);
}

static json_t *read_json(const char *text)
{
	json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);

	ck_assert_msg(json != NULL, "%s", text);
	return json;
}

/* Through text and back. */
static json_t *again(json_t *json)
{
	char *text = json_dumps(json, JSON_ENCODE_ANY);
	json_t *copy = read_json(text);

	free(text);
	json_decref(json);
	return copy;
}

START_TEST(numbers_are_hexadecimal_strings)
{
	static const uint64_t values[] = { 0, 1, 0xfff, UINT64_C(1) << 63, UINT64_MAX };
	static const char *const wrong[] = { "\"\"", "\"0x\"", "\"12\"", "\"0x1g\"", "\"0x11111111111111111\"", "12", "null", "[]" };
	uint64_t value = 77;

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		json_t *json = again(vms_msg_hex(values[i]));

		ck_assert_int_eq(vms_trace_get_hex(json, &value), 0);
		ck_assert_uint_eq(value, values[i]);
		json_decref(json);
	}
	value = 77;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		json_t *json = read_json(wrong[i]);

		ck_assert_msg(vms_trace_get_hex(json, &value) == -EBADMSG, "%s", wrong[i]);
		json_decref(json);
	}
	ck_assert_uint_eq(value, 77);
}
END_TEST

START_TEST(the_break_and_the_rules_come_back)
{
	const struct vms_brk brk = { .base = 0x1000, .current = 0x1234, .frontier = 0x2000, .is_unknown = true };
	const struct vms_place_rules rules = { .mmap_min_addr = 0x10000, .hint_min = 0x11000, .guard = 0x100000,
					       .thp_anon_any = true, .above4g = true, .never_overcommit = true };
	struct vms_brk got_brk;
	struct vms_place_rules got_rules;
	json_t *json = again(vms_trace_brk(&brk));

	ck_assert_int_eq(vms_trace_get_brk(json, &got_brk), 0);
	ck_assert_uint_eq(got_brk.base, brk.base);
	ck_assert_uint_eq(got_brk.current, brk.current);
	ck_assert_uint_eq(got_brk.frontier, brk.frontier);
	ck_assert(got_brk.is_unknown);
	json_decref(json);
	json = again(vms_trace_rules(&rules));
	ck_assert_int_eq(vms_trace_get_rules(json, &got_rules), 0);
	ck_assert_uint_eq(got_rules.mmap_min_addr, rules.mmap_min_addr);
	ck_assert_uint_eq(got_rules.hint_min, rules.hint_min);
	ck_assert_uint_eq(got_rules.guard, rules.guard);
	ck_assert(got_rules.thp_anon_any && got_rules.above4g && got_rules.never_overcommit);
	ck_assert(!got_rules.thp_anon_multiple && !got_rules.thp_to_top && !got_rules.seals);
	json_decref(json);
}
END_TEST

START_TEST(facts_and_usage_come_back)
{
	const struct vms_facts facts = { .file = { .known = true, .may = 5, .thp = true, .trusted = true, .dev = 0xfe01, .ino = 99 },
					 .shm = { .known = true, .size = 3 * PAGE } };
	struct vms_usage usage = { { 0 } }, got_usage;
	struct vms_facts got;
	json_t *json = again(vms_trace_facts(&facts));

	ck_assert_int_eq(vms_trace_get_facts(json, &got), 0);
	ck_assert(got.file.known && got.file.thp && got.file.trusted && !got.file.hugetlb && !got.file.is_memory);
	ck_assert_uint_eq(got.file.may, 5);
	ck_assert_uint_eq(got.file.dev, 0xfe01);
	ck_assert_uint_eq(got.file.ino, 99);
	ck_assert(got.shm.known);
	ck_assert_uint_eq(got.shm.size, 3 * PAGE);
	json_decref(json);
	json = again(vms_trace_facts(&(struct vms_facts){ 0 }));
	ck_assert_int_eq(vms_trace_get_facts(json, &got), 0);
	ck_assert(!got.file.known && !got.shm.known);
	json_decref(json);
	for (int i = VMS_LIMIT_VA; i < VMS_NR_LIMITS; i++)
		usage.used[i] = (uint64_t)i << 40;
	json = again(vms_trace_usage(&usage));
	ck_assert_int_eq(vms_trace_get_usage(json, &got_usage), 0);
	for (int i = VMS_LIMIT_VA; i < VMS_NR_LIMITS; i++)
		ck_assert_uint_eq(got_usage.used[i], usage.used[i]);
	json_decref(json);
}
END_TEST

static void put(vms_addr_t start, vms_addr_t end, uint8_t prot)
{
	struct vms_vma vma = { .range = { start, end }, .prot = prot, .may = VMS_PROT_ALL, .flags = VMS_VMA_SHARED,
			       .dev = 7, .ino = 8, .offset = 0 };

	ck_assert_int_eq(vms_tree_replace(&tree, &vma), 0);
}

START_TEST(vmas_are_cut_to_the_range_and_replace_what_is_there)
{
	const struct vms_range part = { 0x11000, 0x15000 };
	const struct vms_vma *vma;
	struct vms_tree other;
	json_t *json;

	vms_tree_init(&other, 0);
	put(0x10000, 0x12000, VMS_PROT_READ);
	put(0x14000, 0x18000, VMS_PROT_READ | VMS_PROT_WRITE);
	json = again(vms_trace_vmas(&tree, &part));
	ck_assert_uint_eq(json_array_size(json), 2);
	ck_assert_int_eq(vms_trace_get_vmas(json, &part, &other), 0);
	ck_assert_int_eq(vms_trace_get_vmas(json, &part, &other), 0);
	json_decref(json);
	vma = vms_tree_find_from(&other, 0);
	ck_assert_uint_eq(vma->range.start, 0x11000);
	ck_assert_uint_eq(vma->range.end, 0x12000);
	ck_assert_uint_eq(vma->offset, 0x1000);
	ck_assert_uint_eq(vma->ino, 8);
	vma = vms_tree_next(vma);
	ck_assert_uint_eq(vma->range.start, 0x14000);
	ck_assert_uint_eq(vma->range.end, 0x15000);
	ck_assert_uint_eq(vma->prot, VMS_PROT_READ | VMS_PROT_WRITE);
	ck_assert_uint_eq(vma->flags, VMS_VMA_SHARED);
	ck_assert_ptr_null(vms_tree_next(vma));
	json = again(json_array());
	ck_assert_int_eq(vms_trace_get_vmas(json, &all, &other), 0);
	ck_assert_ptr_null(vms_tree_find_from(&other, 0));
	json_decref(json);
	vms_tree_done(&other);
}
END_TEST

START_TEST(vmas_that_cannot_be_are_refused)
{
	static const char *const wrong[] = {
		"{}",
		"[1]",
		"[[]]",
		"[[\"0x1001\",\"0x2000\",1,7,0,0,0,\"0x0\",\"0x0\",\"0x0\"]]",
		"[[\"0x2000\",\"0x1000\",1,7,0,0,0,\"0x0\",\"0x0\",\"0x0\"]]",
		"[[\"0x1000\",\"0x1000\",1,7,0,0,0,\"0x0\",\"0x0\",\"0x0\"]]",
		"[[\"0x1000\",\"0xfffffffffffff000\",1,7,0,0,0,\"0x0\",\"0x0\",\"0x0\"]]",
		"[[\"0x1000\",\"0x2000\",1,7,0,200,0,\"0x0\",\"0x0\",\"0x0\"]]",
		"[[\"0x1000\",\"0x2000\",1,7,0,0,0,\"0x0\",\"0x0\"]]",
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		json_t *json = read_json(wrong[i]);

		ck_assert_msg(vms_trace_get_vmas(json, &all, &tree) == -EBADMSG, "%s", wrong[i]);
		json_decref(json);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("trace");
	TCase *tc = tcase_create("trace");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, numbers_are_hexadecimal_strings);
	tcase_add_test(tc, the_break_and_the_rules_come_back);
	tcase_add_test(tc, facts_and_usage_come_back);
	tcase_add_test(tc, vmas_are_cut_to_the_range_and_replace_what_is_there);
	tcase_add_test(tc, vmas_that_cannot_be_are_refused);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
