/* Where the parts of a fresh image go: inside, apart, aligned, in order; and the words when they do not fit. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmsup/core/layout.h"

#define MIB ((vms_addr_t)1 << 20)
#define GIB ((vms_addr_t)1 << 30)

static struct vms_layout_req request(vms_addr_t lo, vms_addr_t hi)
{
	return (struct vms_layout_req){
		.range = { lo, hi },
		.exe = { .size = 0x150000, .align = 4096 },
		.interp = { .size = 0x34000, .align = 4096 },
		.vdso = { .size = 0x6000, .align = 4096 },
		.stack = { .size = 0x22000, .align = 4096 },
		.stack_limit = 8 * MIB,
	};
}

static struct vms_range span(vms_addr_t start, const struct vms_layout_part *part)
{
	return (struct vms_range){ start, start + part->size };
}

/* Everything that any layout must keep. */
static void check(const struct vms_layout_req *req, const struct vms_layout *l)
{
	struct vms_range stack = { l->stack_floor, l->stack + req->stack.size };
	const struct vms_range parts[] = { span(l->exe, &req->exe), span(l->interp, &req->interp), span(l->vdso, &req->vdso),
					   stack, { l->brk, l->brk + VMS_PAGE_SIZE } };

	for (size_t i = 0; i < 5; i++) {
		if (parts[i].start == parts[i].end)
			continue;
		ck_assert_msg(vms_range_covers(&req->range, &parts[i]), "part %zu leaves the range", i);
		ck_assert_uint_eq(parts[i].start & (VMS_PAGE_SIZE - 1), 0);
		for (size_t j = 0; j < i; j++)
			ck_assert_msg(!vms_range_overlaps(&parts[i], &parts[j]), "parts %zu and %zu overlap", i, j);
	}
	if (!req->exe.fixed && req->exe.align)
		ck_assert_uint_eq(l->exe & (req->exe.align - 1), 0);
	if (req->interp.align)
		ck_assert_uint_eq(l->interp & (req->interp.align - 1), 0);
	ck_assert_uint_le(l->stack_floor, l->stack);
	/* Above the vdso is only the top gap, which a random layout has. */
	ck_assert_uint_le(l->vdso + req->vdso.size, l->top);
	ck_assert_uint_le(l->top, req->range.end);
	ck_assert_uint_le(req->range.end - l->top, req->randomize ? vms_layout_top_max(&req->range) : 0);
	/* The heap grows behind the stack; a megabyte of guard is kept below the stack's hole. */
	ck_assert_uint_gt(l->brk, l->stack + req->stack.size - 1);
	if (l->exe < l->stack_floor)
		ck_assert_uint_ge(l->stack_floor - (l->exe + req->exe.size), MIB);
}

static struct vms_layout make(const struct vms_layout_req *req)
{
	struct vms_err err = VMS_ERR_INIT;
	struct vms_layout l;

	ck_assert_msg(vms_layout_make(req, &l, &err) == 0, "%s", err.text);
	check(req, &l);
	return l;
}

START_TEST(the_parts_lie_in_the_order_of_the_picture)
{
	struct vms_layout_req req = request(0x10000, 0x7fff0000);
	struct vms_layout l = make(&req);

	ck_assert(l.exe < l.stack_floor && l.stack_floor < l.stack && l.stack < l.brk);
	ck_assert(l.brk < l.interp && l.interp < l.vdso);
	ck_assert_uint_eq(l.vdso + req.vdso.size, req.range.end);
	ck_assert_uint_eq(l.stack + req.stack.size - l.stack_floor, 8 * MIB);
}
END_TEST

START_TEST(without_randomness_a_layout_is_always_the_same)
{
	struct vms_layout_req req = request(0x10000, 0x7fff0000);
	struct vms_layout a = make(&req), b;

	req.seed = 99;
	b = make(&req);
	ck_assert(memcmp(&a, &b, sizeof(a)) == 0);
}
END_TEST

START_TEST(a_seed_repeats_its_layout_and_others_differ)
{
	struct vms_layout_req req = request(0x10000, 0x7fff0000);
	struct vms_layout a, b, c;

	req.randomize = true;
	req.seed = 7;
	a = make(&req);
	b = make(&req);
	ck_assert(memcmp(&a, &b, sizeof(a)) == 0);
	req.seed = 8;
	c = make(&req);
	ck_assert(a.exe != c.exe && a.stack != c.stack && a.vdso != c.vdso && a.top != c.top && a.brk != c.brk);
}
END_TEST

START_TEST(every_random_layout_keeps_the_rules)
{
	static const struct vms_range ranges[] = {
		{ 0x10000, 0x7fff0000 }, { 0x200000000, 0x400000000 }, { 0x10000000, 0x14000000 }, { 0, 0x7ffffffff000 },
	};

	for (size_t i = 0; i < 4; i++) {
		for (uint64_t seed = 0; seed < 3000; seed++) {
			struct vms_layout_req req = request(ranges[i].start, ranges[i].end);

			req.randomize = true;
			req.seed = seed;
			req.exe.align = 4096u << seed % 10;
			make(&req);
		}
	}
}
END_TEST

START_TEST(under_a_limit_the_top_gap_has_its_full_size)
{
	struct vms_layout_req req = request(0x10000, 0x7fff0000);

	req.whole_top = true;
	ck_assert_uint_eq(make(&req).top, req.range.end);
	req.randomize = true;
	for (req.seed = 0; req.seed < 100; req.seed++)
		ck_assert_uint_eq(req.range.end - make(&req).top, vms_layout_top_max(&req.range));
}
END_TEST

START_TEST(a_program_lies_at_or_above_its_own_size)
{
	struct vms_layout_req req = request(0x10000, 0x7fff0000);

	req.exe.size = 100 * MIB;
	ck_assert_uint_ge(make(&req).exe, 100 * MIB);
}
END_TEST

START_TEST(an_unlimited_stack_gets_its_documented_room_and_a_huge_limit_a_quarter)
{
	struct vms_layout_req req = request(0x10000, 0x7fff0000);
	struct vms_layout l;

	req.stack_limit = UINT64_MAX;
	l = make(&req);
	ck_assert_uint_eq(l.stack + req.stack.size - l.stack_floor, VMS_LAYOUT_STACK_DEFAULT);
	req.stack_limit = 16 * GIB;
	l = make(&req);
	ck_assert_uint_eq(l.stack + req.stack.size - l.stack_floor, vms_page_down((0x7fff0000 - 0x10000) / 4));
	/* It is never less than what the stack has by now. */
	req.stack_limit = 4096;
	l = make(&req);
	ck_assert_uint_eq(l.stack + req.stack.size - l.stack_floor, req.stack.size);
}
END_TEST

START_TEST(parts_that_are_absent_take_no_room)
{
	struct vms_layout_req req = request(0x10000, 0x7fff0000);

	req.interp = (struct vms_layout_part){ 0 };
	req.vdso = (struct vms_layout_part){ 0 };
	ck_assert_uint_eq(make(&req).interp, req.range.end);
}
END_TEST

START_TEST(a_program_that_cannot_move_stays_and_the_rest_goes_around_it)
{
	static const vms_addr_t places[] = { 0x400000, 0x10000, 0x40000000, 0x7f000000, 0x7fe00000 };

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		struct vms_layout_req req = request(0x10000, 0x7fff0000);

		req.exe.fixed = places[i];
		ck_assert_uint_eq(make(&req).exe, places[i]);
		for (uint64_t seed = 0; seed < 200; seed++) {
			req.randomize = true;
			req.seed = seed;
			make(&req);
		}
	}
}
END_TEST

START_TEST(a_program_that_cannot_move_outside_the_range_is_named_with_its_addresses)
{
	static const vms_addr_t places[] = { 0x400000, 0x1fffff000, 0x3fffff000 };

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		struct vms_layout_req req = request(0x200000000, 0x400000000);
		struct vms_layout l = { .exe = 5 };
		struct vms_err err = VMS_ERR_INIT;

		req.exe.fixed = places[i];
		ck_assert_int_eq(vms_layout_make(&req, &l, &err), -ERANGE);
		ck_assert_uint_eq(l.exe, 5);
		ck_assert_msg(strstr(err.text, "linked to run at 0x") && strstr(err.text, "0x200000000-0x400000000") &&
				      strstr(err.text, "PIE"),
			      "%s", err.text);
	}
}
END_TEST

START_TEST(a_range_is_refused_as_too_small_or_every_rule_holds)
{
	bool refused = false, made = false;

	for (vms_addr_t size = 4096; size < 64 * MIB; size += 37 * 4096) {
		struct vms_layout_req req = request(0x10000000, 0x10000000 + size);
		struct vms_err err = VMS_ERR_INIT;
		struct vms_layout l;
		int r = vms_layout_make(&req, &l, &err);

		if (r == 0) {
			check(&req, &l);
			made = true;
			continue;
		}
		ck_assert_int_eq(r, -ENOMEM);
		ck_assert_msg(strstr(err.text, "too small") && strstr(err.text, "larger --range"), "%s", err.text);
		ck_assert(!made);
		refused = true;
	}
	ck_assert(refused && made);
}
END_TEST

START_TEST(the_random_sequence_is_splitmix64)
{
	uint64_t state = 1234567;

	/* The published reference values for this seed. */
	ck_assert_uint_eq(vms_layout_random(&state), UINT64_C(6457827717110365317));
	ck_assert_uint_eq(vms_layout_random(&state), UINT64_C(3203168211198807973));
	ck_assert_uint_eq(vms_layout_random(&state), UINT64_C(9817491932198370423));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("layout");
	TCase *tc = tcase_create("layout");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, the_parts_lie_in_the_order_of_the_picture);
	tcase_add_test(tc, without_randomness_a_layout_is_always_the_same);
	tcase_add_test(tc, a_seed_repeats_its_layout_and_others_differ);
	tcase_add_test(tc, every_random_layout_keeps_the_rules);
	tcase_add_test(tc, under_a_limit_the_top_gap_has_its_full_size);
	tcase_add_test(tc, a_program_lies_at_or_above_its_own_size);
	tcase_add_test(tc, an_unlimited_stack_gets_its_documented_room_and_a_huge_limit_a_quarter);
	tcase_add_test(tc, parts_that_are_absent_take_no_room);
	tcase_add_test(tc, a_program_that_cannot_move_stays_and_the_rest_goes_around_it);
	tcase_add_test(tc, a_program_that_cannot_move_outside_the_range_is_named_with_its_addresses);
	tcase_add_test(tc, a_range_is_refused_as_too_small_or_every_rule_holds);
	tcase_add_test(tc, the_random_sequence_is_splitmix64);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
