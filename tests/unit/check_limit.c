/* Limits: what a plan adds is counted exactly, and what passes a limit is told. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "vmsup/core/limit.h"
#include "vmsup/core/settle.h"

#define RW (VMS_PROT_READ | VMS_PROT_WRITE)
#define PAGE VMS_PAGE_SIZE
#define AT(n) (UINT64_C(0x1000000) + (n) * PAGE)

static struct vms_space space;
static const struct vms_facts no_facts;

static void setup(void)
{
	const struct vms_range range = { 0x10000, 0x7fff0000 }, user = { 0, 0x7ffffffff000 };
	const struct vms_place_rules rules = { .mmap_min_addr = 0x10000, .hint_min = 0x10000, .guard = 256 * PAGE };

	vms_space_init(&space, &range, &user, &rules);
	vms_brk_init(&space.brk, AT(1000));
}

static void teardown(void)
{
	vms_space_done(&space);
}

static struct vms_vma vma(vms_addr_t from, vms_addr_t to, uint8_t prot, uint32_t flags)
{
	return (struct vms_vma){ .range = { AT(from), AT(to) }, .prot = prot, .may = VMS_PROT_ALL, .flags = flags };
}

static void put(struct vms_vma what)
{
	ck_assert_int_eq(vms_tree_replace(&space.tree, &what), 0);
}

static struct vms_plan map_plan(struct vms_vma what)
{
	struct vms_plan plan = vms_plan_pass();

	plan.effect = VMS_EFFECT_MAP;
	plan.vma = what;
	plan.range = what.range;
	return plan;
}

static struct vms_usage growth_of(const struct vms_plan *plan)
{
	struct vms_req req = { .call = VMS_CALL_MMAP };
	struct vms_usage growth;

	vms_usage_growth(&space, &req, &no_facts, plan, &growth);
	return growth;
}

/* Where nothing shrinks, the growth is what the usage becomes; else it is not less. */
static void check_against_settle(struct vms_plan plan, bool exact)
{
	struct vms_usage before, after, growth = growth_of(&plan);
	struct vms_seen seen = { .range = &plan.vma, .nr_range = 1 };

	vms_usage_of(&space, &before);
	if (plan.effect == VMS_EFFECT_UNMAP)
		seen.nr_range = 0;
	if (plan.effect == VMS_EFFECT_PROTECT)
		plan.vma.range = plan.range;
	/* Where one mapping replaces another that looks the same, settling would ask the kernel. */
	if (vms_settle(&space, &plan, &seen) != VMS_SETTLED_DONE)
		put(plan.vma);
	vms_usage_of(&space, &after);
	for (int i = VMS_LIMIT_VA; i < VMS_NR_LIMITS; i++) {
		if (exact)
			ck_assert_uint_eq(after.used[i], before.used[i] + growth.used[i]);
		else
			ck_assert_int_ge((int64_t)(before.used[i] + growth.used[i]), (int64_t)after.used[i]);
	}
}

START_TEST(a_new_mapping_adds_its_size_and_one)
{
	struct vms_usage growth;
	struct vms_plan plan = map_plan(vma(10, 14, RW, 0));

	growth = growth_of(&plan);
	ck_assert_uint_eq(growth.used[VMS_LIMIT_VA], 4 * PAGE);
	ck_assert_uint_eq(growth.used[VMS_LIMIT_COMMIT], 4 * PAGE);
	ck_assert_uint_eq(growth.used[VMS_LIMIT_MAPS], 1);
	check_against_settle(plan, true);
}
END_TEST

START_TEST(a_reservation_is_no_commit)
{
	struct vms_plan none = map_plan(vma(10, 14, 0, 0));
	struct vms_plan noreserve = map_plan(vma(20, 24, RW, VMS_VMA_NORESERVE));
	struct vms_plan text = map_plan(vma(30, 34, VMS_PROT_READ | VMS_PROT_EXEC, 0));

	ck_assert_uint_eq(growth_of(&none).used[VMS_LIMIT_COMMIT], 0);
	ck_assert_uint_eq(growth_of(&noreserve).used[VMS_LIMIT_COMMIT], 0);
	ck_assert_uint_eq(growth_of(&text).used[VMS_LIMIT_COMMIT], 0);
	ck_assert_uint_eq(growth_of(&none).used[VMS_LIMIT_VA], 4 * PAGE);
}
END_TEST

START_TEST(a_mapping_that_joins_its_neighbours_adds_none)
{
	put(vma(10, 12, RW, 0));
	put(vma(14, 16, RW, 0));
	ck_assert_uint_eq(growth_of(&(struct vms_plan){ .effect = VMS_EFFECT_MAP, .vma = vma(12, 13, RW, 0) }).used[VMS_LIMIT_MAPS], 0);
	check_against_settle(map_plan(vma(12, 14, RW, 0)), false);
	ck_assert_uint_eq(space.tree.count, 1);
}
END_TEST

START_TEST(what_is_replaced_is_not_counted_twice)
{
	put(vma(10, 20, RW, 0));
	check_against_settle(map_plan(vma(12, 14, VMS_PROT_READ, 0)), false);
	ck_assert_uint_eq(space.tree.count, 3);
	/* Two more than before, and nothing else. */
	put(vma(10, 20, RW, 0));
	ck_assert_uint_eq(growth_of(&(struct vms_plan){ .effect = VMS_EFFECT_MAP, .vma = vma(12, 14, VMS_PROT_READ, 0) })
				  .used[VMS_LIMIT_MAPS],
			  2);
	ck_assert_uint_eq(growth_of(&(struct vms_plan){ .effect = VMS_EFFECT_MAP, .vma = vma(8, 22, RW, 0) }).used[VMS_LIMIT_VA],
			  4 * PAGE);
}
END_TEST

START_TEST(protection_charges_what_becomes_writable)
{
	struct vms_plan plan = vms_plan_pass();

	put(vma(10, 20, VMS_PROT_READ, 0));
	plan.effect = VMS_EFFECT_PROTECT;
	plan.range = (struct vms_range){ AT(12), AT(15) };
	plan.vma.prot = RW;
	ck_assert_uint_eq(growth_of(&plan).used[VMS_LIMIT_COMMIT], 3 * PAGE);
	ck_assert_uint_eq(growth_of(&plan).used[VMS_LIMIT_MAPS], 2);
	check_against_settle(plan, true);
	/* Again: it is writable already. */
	ck_assert_uint_eq(growth_of(&plan).used[VMS_LIMIT_COMMIT], 0);
	ck_assert_uint_eq(growth_of(&plan).used[VMS_LIMIT_MAPS], 0);
}
END_TEST

START_TEST(a_protection_that_stretches_down_is_charged)
{
	struct vms_req req = { .call = VMS_CALL_MPROTECT, .mprotect = { .addr = AT(19), .length = PAGE, .prot = RW },
			       .args = { AT(19), PAGE, RW | PROT_GROWSDOWN } };
	const struct vms_plan plan = { .verdict = VMS_CONTINUE, .effect = VMS_EFFECT_UNKNOWN };
	struct vms_usage growth;

	put(vma(10, 20, 0, VMS_VMA_GROWSDOWN));
	vms_usage_growth(&space, &req, &no_facts, &plan, &growth);
	ck_assert_uint_eq(growth.used[VMS_LIMIT_COMMIT], 10 * PAGE);
}
END_TEST

START_TEST(a_cut_through_the_middle_adds_one)
{
	struct vms_plan plan = vms_plan_pass();

	put(vma(10, 20, RW, 0));
	plan.effect = VMS_EFFECT_UNMAP;
	plan.range = (struct vms_range){ AT(12), AT(15) };
	ck_assert_uint_eq(growth_of(&plan).used[VMS_LIMIT_MAPS], 1);
	ck_assert_uint_eq(growth_of(&plan).used[VMS_LIMIT_VA], 0);
	check_against_settle(plan, false);
}
END_TEST

START_TEST(a_move_counts_only_what_grows)
{
	struct vms_plan plan = vms_plan_pass();

	put(vma(10, 14, RW, 0));
	plan.effect = VMS_EFFECT_MOVE;
	plan.from = (struct vms_range){ AT(10), AT(14) };
	plan.vma = vma(100, 110, RW, 0);
	plan.range = plan.vma.range;
	ck_assert_uint_eq(growth_of(&plan).used[VMS_LIMIT_VA], 6 * PAGE);
	ck_assert_uint_eq(growth_of(&plan).used[VMS_LIMIT_COMMIT], 6 * PAGE);
	ck_assert_uint_eq(growth_of(&plan).used[VMS_LIMIT_MAPS], 0);
	plan.keeps_source = true;
	ck_assert_uint_eq(growth_of(&plan).used[VMS_LIMIT_VA], 10 * PAGE);
	ck_assert_uint_eq(growth_of(&plan).used[VMS_LIMIT_MAPS], 1);
}
END_TEST

START_TEST(the_heap_is_counted_to_the_byte)
{
	struct vms_plan plan = vms_plan_pass();
	struct vms_req req = { .call = VMS_CALL_BRK };
	struct vms_usage growth;

	plan.effect = VMS_EFFECT_BRK;
	plan.brk = AT(1000) + 100;
	plan.range = (struct vms_range){ AT(1000), AT(1001) };
	plan.vma = vma(1000, 1001, RW, 0);
	vms_usage_growth(&space, &req, &no_facts, &plan, &growth);
	ck_assert_uint_eq(growth.used[VMS_LIMIT_HEAP], 100);
	ck_assert_uint_eq(growth.used[VMS_LIMIT_COMMIT], PAGE);
	put(plan.vma);
	vms_brk_set(&space.brk, plan.brk);
	/* Within the page that is there. */
	plan.brk = AT(1000) + 200;
	plan.range = (struct vms_range){ AT(1001), AT(1001) };
	vms_usage_growth(&space, &req, &no_facts, &plan, &growth);
	ck_assert_uint_eq(growth.used[VMS_LIMIT_HEAP], 100);
	ck_assert_uint_eq(growth.used[VMS_LIMIT_COMMIT], 0);
}
END_TEST

START_TEST(what_only_the_kernel_can_tell_is_counted_from_above)
{
	const struct vms_facts shm = { .shm = { true, 3 * PAGE + 1 } };
	struct vms_plan plan = vms_plan_pass();
	struct vms_req req = { .call = VMS_CALL_MMAP,
			       .mmap = { .length = PAGE, .prot = RW, .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB } };
	struct vms_usage growth;

	plan.effect = VMS_EFFECT_UNKNOWN;
	vms_usage_growth(&space, &req, &no_facts, &plan, &growth);
	ck_assert_uint_eq(growth.used[VMS_LIMIT_VA], 2 << 20);
	req = (struct vms_req){ .call = VMS_CALL_SHMAT };
	vms_usage_growth(&space, &req, &shm, &plan, &growth);
	ck_assert_uint_eq(growth.used[VMS_LIMIT_COMMIT], 4 * PAGE);
	req = (struct vms_req){ .call = VMS_CALL_MREMAP, .mremap = { .old_length = 2 * PAGE, .new_length = 5 * PAGE } };
	vms_usage_growth(&space, &req, &no_facts, &plan, &growth);
	ck_assert_uint_eq(growth.used[VMS_LIMIT_VA], 3 * PAGE);
	req.mremap.new_length = PAGE;
	vms_usage_growth(&space, &req, &no_facts, &plan, &growth);
	ck_assert_uint_eq(growth.used[VMS_LIMIT_VA], 0);
	req = (struct vms_req){ .call = VMS_CALL_SHMDT };
	vms_usage_growth(&space, &req, &no_facts, &plan, &growth);
	ck_assert_uint_eq(growth.used[VMS_LIMIT_MAPS], 0);
}
END_TEST

START_TEST(a_limit_is_passed_by_the_first_byte_above_it)
{
	struct vms_limits limits = vms_limits_none;
	struct vms_usage used = { { 0 } }, growth = { { 0 } };

	ck_assert(!vms_limits_any(&limits));
	limits.max[VMS_LIMIT_COMMIT] = 10 * PAGE;
	ck_assert(vms_limits_any(&limits));
	used.used[VMS_LIMIT_COMMIT] = 6 * PAGE;
	growth.used[VMS_LIMIT_COMMIT] = 4 * PAGE;
	ck_assert_int_eq(vms_limits_passed(&limits, &used, &growth), VMS_LIMIT_NONE);
	growth.used[VMS_LIMIT_COMMIT] = 5 * PAGE;
	ck_assert_int_eq(vms_limits_passed(&limits, &used, &growth), VMS_LIMIT_COMMIT);
	growth.used[VMS_LIMIT_COMMIT] = UINT64_MAX;
	ck_assert_int_eq(vms_limits_passed(&limits, &used, &growth), VMS_LIMIT_COMMIT);
}
END_TEST

START_TEST(who_is_above_a_lowered_limit_may_do_what_does_not_grow)
{
	struct vms_limits limits = vms_limits_none;
	struct vms_usage used = { { 0 } }, growth = { { 0 } };

	limits.max[VMS_LIMIT_VA] = PAGE;
	used.used[VMS_LIMIT_VA] = 100 * PAGE;
	ck_assert_int_eq(vms_limits_passed(&limits, &used, &growth), VMS_LIMIT_NONE);
	growth.used[VMS_LIMIT_MAPS] = 1;
	ck_assert_int_eq(vms_limits_passed(&limits, &used, &growth), VMS_LIMIT_NONE);
	growth.used[VMS_LIMIT_VA] = 1;
	ck_assert_int_eq(vms_limits_passed(&limits, &used, &growth), VMS_LIMIT_VA);
}
END_TEST

START_TEST(brk_is_refused_with_the_break_all_else_with_ENOMEM)
{
	struct vms_plan plan = vms_limit_refusal(&space, &(struct vms_req){ .call = VMS_CALL_BRK });

	ck_assert_int_eq(plan.verdict, VMS_REPLY);
	ck_assert_uint_eq(plan.value, space.brk.current);
	plan = vms_limit_refusal(&space, &(struct vms_req){ .call = VMS_CALL_MPROTECT });
	ck_assert_int_eq(plan.verdict, VMS_REFUSE);
	ck_assert_int_eq(plan.error, ENOMEM);
	/* After PR_SET_MM the kernel is asked for it. */
	space.brk.is_unknown = true;
	plan = vms_limit_refusal(&space, &(struct vms_req){ .call = VMS_CALL_BRK });
	ck_assert_int_eq(plan.verdict, VMS_REMOTE);
	ck_assert_uint_eq(plan.args[0], 0);
	ck_assert_int_eq(plan.effect, VMS_EFFECT_NONE);
}
END_TEST

/* Random plans, each carried out: the growth told before is what the tree then shows, or more. */
START_TEST(growth_is_never_below_what_comes)
{
	const char *text = getenv("VMS_SEED");
	unsigned int seed = text ? (unsigned int)strtoul(text, NULL, 0) : 12345;

	for (int i = 0; i < 3000; i++) {
		vms_addr_t from = (vms_addr_t)(rand_r(&seed) % 60), to = from + 1 + (vms_addr_t)(rand_r(&seed) % 12);
		const uint8_t prots[] = { 0, VMS_PROT_READ, RW };
		struct vms_plan plan = map_plan(vma(from, to, prots[rand_r(&seed) % 3],
						    rand_r(&seed) % 4 ? 0 : VMS_VMA_NORESERVE));

		if (rand_r(&seed) % 3 == 0) {
			plan.effect = VMS_EFFECT_UNMAP;
		} else if (rand_r(&seed) % 3 == 0 && vms_tree_is_full(&space.tree, &plan.range)) {
			plan.effect = VMS_EFFECT_PROTECT;
		}
		check_against_settle(plan, false);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("limit");
	TCase *t = tcase_create("limit");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_new_mapping_adds_its_size_and_one);
	tcase_add_test(t, a_reservation_is_no_commit);
	tcase_add_test(t, a_mapping_that_joins_its_neighbours_adds_none);
	tcase_add_test(t, what_is_replaced_is_not_counted_twice);
	tcase_add_test(t, protection_charges_what_becomes_writable);
	tcase_add_test(t, a_protection_that_stretches_down_is_charged);
	tcase_add_test(t, a_cut_through_the_middle_adds_one);
	tcase_add_test(t, a_move_counts_only_what_grows);
	tcase_add_test(t, the_heap_is_counted_to_the_byte);
	tcase_add_test(t, what_only_the_kernel_can_tell_is_counted_from_above);
	tcase_add_test(t, a_limit_is_passed_by_the_first_byte_above_it);
	tcase_add_test(t, who_is_above_a_lowered_limit_may_do_what_does_not_grow);
	tcase_add_test(t, brk_is_refused_with_the_break_all_else_with_ENOMEM);
	tcase_add_test(t, growth_is_never_below_what_comes);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
