/* Plans: constructors, and what a plan in flight touches. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "vmsup/core/plan.h"

static const struct vms_range low = { 0x1000, 0x3000 }, high = { 0x8000, 0x9000 }, gap = { 0x4000, 0x5000 };

START_TEST(a_zeroed_plan_refuses)
{
	struct vms_plan plan = { 0 };

	ck_assert_int_eq(plan.verdict, VMS_REFUSE);
	ck_assert_int_eq(plan.effect, VMS_EFFECT_NONE);
}
END_TEST

START_TEST(constructors_set_one_verdict_and_no_effect)
{
	struct vms_plan refuse = vms_plan_refuse(ENOMEM), reply = vms_plan_reply(0x1234), pass = vms_plan_pass();

	ck_assert(refuse.verdict == VMS_REFUSE && refuse.error == ENOMEM && refuse.effect == VMS_EFFECT_NONE);
	ck_assert(reply.verdict == VMS_REPLY && reply.value == 0x1234 && reply.effect == VMS_EFFECT_NONE);
	ck_assert(pass.verdict == VMS_CONTINUE && pass.effect == VMS_EFFECT_NONE);
}
END_TEST

START_TEST(a_plan_touches_its_result_and_its_source)
{
	struct vms_plan plan = { .effect = VMS_EFFECT_MOVE, .range = low, .from = high };

	ck_assert(vms_plan_touches(&plan, &low));
	ck_assert(vms_plan_touches(&plan, &high));
	ck_assert(!vms_plan_touches(&plan, &gap));
	ck_assert(vms_plan_touches(&plan, &(struct vms_range){ 0x2000, 0x4000 }));
	ck_assert(!vms_plan_touches(&plan, &(struct vms_range){ 0x3000, 0x4000 }));
}
END_TEST

START_TEST(without_an_effect_nothing_is_touched_and_with_an_unknown_one_all)
{
	struct vms_plan plan = { .effect = VMS_EFFECT_NONE, .range = low };

	ck_assert(!vms_plan_touches(&plan, &low));
	plan.effect = VMS_EFFECT_UNKNOWN;
	ck_assert(vms_plan_touches(&plan, &gap));
}
END_TEST

START_TEST(gaps_move_unless_only_attributes_change)
{
	static const struct {
		enum vms_effect effect;
		bool moves;
	} rows[] = {
		{ VMS_EFFECT_NONE, false }, { VMS_EFFECT_MAP, true },	   { VMS_EFFECT_UNMAP, true },
		{ VMS_EFFECT_PROTECT, false }, { VMS_EFFECT_MOVE, true }, { VMS_EFFECT_BRK, true },
		{ VMS_EFFECT_SEAL, false }, { VMS_EFFECT_UNKNOWN, true },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vms_plan plan = { .effect = rows[i].effect, .range = low };

		ck_assert_msg(vms_plan_moves_gaps(&plan) == rows[i].moves, "effect %d", rows[i].effect);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("plan");
	TCase *tc = tcase_create("plan");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, a_zeroed_plan_refuses);
	tcase_add_test(tc, constructors_set_one_verdict_and_no_effect);
	tcase_add_test(tc, a_plan_touches_its_result_and_its_source);
	tcase_add_test(tc, without_an_effect_nothing_is_touched_and_with_an_unknown_one_all);
	tcase_add_test(tc, gaps_move_unless_only_attributes_change);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
