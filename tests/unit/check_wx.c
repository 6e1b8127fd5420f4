/* Protection policy: which requests break which rule, and what is remembered of a mapping. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/shm.h>

#include "vmsup/core/decide.h"
#include "vmsup/core/settle.h"

#define PAGE VMS_PAGE_SIZE
#define RW (VMS_PROT_READ | VMS_PROT_WRITE)
#define RX (VMS_PROT_READ | VMS_PROT_EXEC)
#define AT UINT64_C(0x1000000)

static struct vms_space space;
static struct vms_facts facts;

static void setup(void)
{
	const struct vms_range range = { 0x10000, 0x7fff0000 }, user = { 0, 0x7ffffffff000 };
	const struct vms_place_rules rules = { .mmap_min_addr = 0x10000, .hint_min = 0x10000, .guard = 256 * PAGE };

	vms_space_init(&space, &range, &user, &rules);
	space.confined = true;
	space.ceiling = range.end;
	space.exec_policy.wx = VMS_WX_DENY;
	facts = (struct vms_facts){ .file = { .known = true, .may = VMS_PROT_ALL, .dev = 7, .ino = 8, .trusted = true } };
}

static void teardown(void)
{
	vms_space_done(&space);
}

static void put(vms_addr_t at, uint8_t prot, uint32_t flags, uint64_t ino)
{
	struct vms_vma vma = { .range = { at, at + PAGE }, .prot = prot, .may = VMS_PROT_ALL, .flags = flags, .dev = ino ? 7 : 0,
			       .ino = ino };

	ck_assert_int_eq(vms_tree_replace(&space.tree, &vma), 0);
}

static struct vms_req mmap_req(uint8_t prot, uint32_t flags)
{
	return (struct vms_req){ .call = VMS_CALL_MMAP, .mmap = { .length = PAGE, .prot = prot, .flags = flags, .fd = 3 },
				 .args = { 0, PAGE, prot, flags, 3, 0 } };
}

static enum vms_wx_rule check(const struct vms_req *req)
{
	return vms_wx_check(&space, req, &facts, NULL, 0);
}

static enum vms_wx_rule mmaps(uint8_t prot, uint32_t flags)
{
	struct vms_req req = mmap_req(prot, flags);

	return check(&req);
}

static enum vms_wx_rule protects(uint8_t prot)
{
	const struct vms_req req = { .call = VMS_CALL_MPROTECT, .mprotect = { .addr = AT, .length = PAGE, .prot = prot } };

	return check(&req);
}

START_TEST(a_plain_policy_allows_all)
{
	space.exec_policy = (struct vms_exec_policy){ VMS_WX_ALLOW };
	put(AT, RW, VMS_VMA_WRITTEN, 0);
	ck_assert_int_eq(mmaps(RW | RX, MAP_PRIVATE | MAP_ANONYMOUS), VMS_WX_FINE);
	ck_assert_int_eq(protects(RX), VMS_WX_FINE);
}
END_TEST

START_TEST(both_at_once_is_refused)
{
	put(AT, VMS_PROT_READ, 0, 0);
	ck_assert_int_eq(mmaps(RW | RX, MAP_PRIVATE | MAP_ANONYMOUS), VMS_WX_BOTH);
	ck_assert_int_eq(mmaps(RX, MAP_PRIVATE | MAP_ANONYMOUS), VMS_WX_FINE);
	ck_assert_int_eq(protects(RW | RX), VMS_WX_BOTH);
	ck_assert_int_eq(protects(RX), VMS_WX_FINE);
}
END_TEST

START_TEST(what_was_writable_stays_so)
{
	struct vms_plan plan = vms_plan_pass();
	const struct vms_vma rw = { .range = { AT, AT + PAGE }, .prot = RW };
	const struct vms_vma r = { .range = { AT, AT + PAGE }, .prot = VMS_PROT_READ };

	put(AT, VMS_PROT_READ, 0, 0);
	plan.effect = VMS_EFFECT_PROTECT;
	plan.range = rw.range;
	plan.marks_written = true;
	plan.vma.prot = RW;
	ck_assert_int_eq(vms_settle(&space, &plan, &(struct vms_seen){ .range = &rw, .nr_range = 1 }), VMS_SETTLED_DONE);
	plan.vma.prot = VMS_PROT_READ;
	ck_assert_int_eq(vms_settle(&space, &plan, &(struct vms_seen){ .range = &r, .nr_range = 1 }), VMS_SETTLED_DONE);
	ck_assert_int_eq(protects(RX), VMS_WX_AFTER_WRITE);
}
END_TEST

START_TEST(what_another_thread_makes_writable_counts)
{
	struct vms_plan plan = vms_plan_pass();
	const struct vms_plan *busy[] = { &plan };
	const struct vms_req req = { .call = VMS_CALL_MPROTECT, .mprotect = { .addr = AT, .length = PAGE, .prot = RX } };

	put(AT, VMS_PROT_READ, 0, 0);
	plan.effect = VMS_EFFECT_PROTECT;
	plan.range = (struct vms_range){ AT, AT + PAGE };
	plan.vma.prot = RW;
	ck_assert_int_eq(vms_wx_check(&space, &req, &facts, busy, 1), VMS_WX_AFTER_WRITE);
	plan.range = (struct vms_range){ AT + PAGE, AT + 2 * PAGE };
	ck_assert_int_eq(vms_wx_check(&space, &req, &facts, busy, 1), VMS_WX_FINE);
}
END_TEST

START_TEST(a_second_way_to_write_is_seen_from_both_sides)
{
	ck_assert_int_eq(mmaps(RX, MAP_PRIVATE), VMS_WX_FINE);
	put(AT, RW, VMS_VMA_SHARED, 8);
	ck_assert_int_eq(mmaps(RX, MAP_PRIVATE), VMS_WX_ALIAS);
	put(AT, RX, 0, 8);
	ck_assert_int_eq(mmaps(RX, MAP_PRIVATE), VMS_WX_FINE);
	ck_assert_int_eq(mmaps(RW, MAP_SHARED), VMS_WX_ALIAS);
	ck_assert_int_eq(mmaps(RW, MAP_PRIVATE), VMS_WX_FINE);
	put(AT, RX, 0, 9);
	ck_assert_int_eq(mmaps(RW, MAP_SHARED), VMS_WX_FINE);
	facts.file.is_writable = true;
	ck_assert_int_eq(mmaps(RX, MAP_PRIVATE), VMS_WX_ALIAS);
	facts.file.is_writable = false;
	facts.file.is_memory = true;
	ck_assert_int_eq(mmaps(RX, MAP_PRIVATE), VMS_WX_ALIAS);
}
END_TEST

START_TEST(shared_memory_segments)
{
	struct vms_req req = { .call = VMS_CALL_SHMAT };

	ck_assert_int_eq(check(&req), VMS_WX_FINE);
	req.shmat.flags = SHM_EXEC;
	ck_assert_int_eq(check(&req), VMS_WX_ALIAS);
}
END_TEST

START_TEST(only_files_are_executable)
{
	space.exec_policy = (struct vms_exec_policy){ .no_anon_exec = true };
	ck_assert_int_eq(mmaps(RX, MAP_PRIVATE | MAP_ANONYMOUS), VMS_WX_ANON);
	ck_assert_int_eq(mmaps(RX, MAP_PRIVATE), VMS_WX_FINE);
	ck_assert_int_eq(mmaps(RW | RX, MAP_PRIVATE), VMS_WX_ANON);
	ck_assert_int_eq(mmaps(RW | RX, MAP_SHARED), VMS_WX_FINE);
	put(AT, VMS_PROT_READ, 0, 0);
	ck_assert_int_eq(protects(RX), VMS_WX_ANON);
	put(AT, VMS_PROT_READ, 0, 8);
	ck_assert_int_eq(protects(RX), VMS_WX_FINE);
	put(AT, VMS_PROT_READ, VMS_VMA_WRITTEN, 8);
	ck_assert_int_eq(protects(RX), VMS_WX_ANON);
	put(AT, RX, 0, 8);
	ck_assert_int_eq(protects(RX), VMS_WX_FINE);
	ck_assert_int_eq(protects(RW | RX), VMS_WX_ANON);
	put(AT, RX, VMS_VMA_SHARED, 8);
	ck_assert_int_eq(protects(RW | RX), VMS_WX_FINE);
}
END_TEST

START_TEST(files_from_elsewhere)
{
	space.exec_policy = (struct vms_exec_policy){ .exec_from = true };
	ck_assert_int_eq(mmaps(RX, MAP_PRIVATE), VMS_WX_FINE);
	facts.file.trusted = false;
	ck_assert_int_eq(mmaps(RX, MAP_PRIVATE), VMS_WX_ELSEWHERE);
	ck_assert_int_eq(mmaps(VMS_PROT_READ, MAP_PRIVATE), VMS_WX_FINE);
}
END_TEST

START_TEST(what_is_mapped_instead_may_not_become_executable)
{
	const struct vms_req req = mmap_req(VMS_PROT_READ, MAP_PRIVATE);
	struct vms_vma seen = { .prot = VMS_PROT_READ, .dev = 7, .ino = 99, .kind = VMS_KIND_FILE };
	struct vms_req later = { .call = VMS_CALL_MPROTECT, .mprotect = { .length = PAGE, .prot = RX } };
	struct vms_plan plan;

	space.exec_policy = (struct vms_exec_policy){ .exec_from = true };
	ck_assert_int_eq(vms_decide(&space, &req, &facts, NULL, 0, 0, &plan), 0);
	ck_assert(plan.vetted && !plan.in_two_steps);
	seen.range = plan.range;
	later.mprotect.addr = plan.range.start;
	/* Another file than the one that was vetted. */
	ck_assert_int_eq(vms_settle(&space, &plan, &(struct vms_seen){ .range = &seen, .nr_range = 1 }), VMS_SETTLED_DONE);
	ck_assert_int_eq(check(&later), VMS_WX_ELSEWHERE);
}
END_TEST

START_TEST(executable_files_are_mapped_in_two_steps)
{
	struct vms_req req = mmap_req(RX, MAP_PRIVATE);
	struct vms_plan plan;

	ck_assert_int_eq(vms_decide(&space, &req, &facts, NULL, 0, 0, &plan), 0);
	ck_assert_int_eq(plan.verdict, VMS_REMOTE);
	ck_assert(plan.in_two_steps);
	ck_assert_uint_eq(plan.args[0], plan.range.start);
	ck_assert_uint_eq(plan.args[2], VMS_PROT_READ);
	ck_assert(plan.args[3] & MAP_FIXED_NOREPLACE);
	ck_assert_uint_eq(plan.vma.prot, RX);
	/* Nothing to vet. */
	facts.file.known = false;
	ck_assert_int_eq(vms_decide(&space, &req, &facts, NULL, 0, 0, &plan), 0);
	ck_assert_int_eq(plan.verdict, VMS_REFUSE);
	ck_assert_int_eq(plan.error, EBADF);
	req = mmap_req(RX, MAP_PRIVATE | MAP_ANONYMOUS);
	ck_assert_int_eq(vms_decide(&space, &req, &facts, NULL, 0, 0, &plan), 0);
	ck_assert(!plan.in_two_steps);
}
END_TEST

START_TEST(what_can_be_written_to_by_another_way_counts_as_written)
{
	struct vms_vma vma = { .prot = VMS_PROT_READ, .dev = 7, .ino = 8, .kind = VMS_KIND_FILE };
	struct vms_req req = mmap_req(VMS_PROT_READ, MAP_PRIVATE);
	struct vms_plan plan;

	vms_wx_mark(&space, NULL, &vma);
	ck_assert(!(vma.flags & VMS_VMA_WRITTEN));
	for (int i = 0; i < 2; i++) {
		facts.file.is_memory = i == 0;
		facts.file.is_writable = i == 1;
		ck_assert_int_eq(vms_decide(&space, &req, &facts, NULL, 0, 0, &plan), 0);
		vma.flags = 0;
		vms_wx_mark(&space, &plan, &vma);
		ck_assert(vma.flags & VMS_VMA_WRITTEN);
	}
	vma = (struct vms_vma){ .prot = VMS_PROT_READ, .kind = VMS_KIND_SHM };
	vms_wx_mark(&space, NULL, &vma);
	ck_assert(vma.flags & VMS_VMA_WRITTEN);
	vma = (struct vms_vma){ .prot = VMS_PROT_READ, .flags = VMS_VMA_SHARED, .kind = VMS_KIND_ANON };
	vms_wx_mark(&space, NULL, &vma);
	ck_assert(vma.flags & VMS_VMA_WRITTEN);
	ck_assert_int_eq(mmaps(RX, MAP_SHARED | MAP_ANONYMOUS), VMS_WX_ALIAS);
	ck_assert_int_eq(mmaps(RX, MAP_PRIVATE | MAP_ANONYMOUS), VMS_WX_FINE);
}
END_TEST

START_TEST(a_protection_that_stretches_down_is_seen)
{
	struct vms_req req = { .call = VMS_CALL_MPROTECT, .mprotect = { .addr = AT + PAGE, .length = PAGE, .prot = RX },
			       .args = { AT + PAGE, PAGE, RX } };

	put(AT, VMS_PROT_READ, VMS_VMA_WRITTEN, 0);
	put(AT + PAGE, VMS_PROT_READ, 0, 0);
	ck_assert_int_eq(check(&req), VMS_WX_FINE);
	req.args[2] |= PROT_GROWSDOWN;
	ck_assert_int_eq(check(&req), VMS_WX_AFTER_WRITE);
}
END_TEST

START_TEST(images)
{
	const struct vms_vma vmas[] = { { .prot = RX, .ino = 5 }, { .prot = RW }, { .prot = RX } };
	const struct vms_vma stack[] = { { .prot = RW | RX } };
	const bool all[] = { true, true, true }, none[] = { false, false, false };
	struct vms_exec_policy policy = { .wx = VMS_WX_DENY };

	ck_assert_int_eq(vms_wx_check_image(&policy, vmas, none, none, 3), VMS_WX_FINE);
	ck_assert_int_eq(vms_wx_check_image(&policy, stack, none, none, 1), VMS_WX_BOTH);
	ck_assert_int_eq(vms_wx_check_image(&policy, vmas, none, all, 3), VMS_WX_ALIAS);
	policy = (struct vms_exec_policy){ .no_anon_exec = true };
	ck_assert_int_eq(vms_wx_check_image(&policy, vmas, none, all, 3), VMS_WX_ANON);
	ck_assert_int_eq(vms_wx_check_image(&policy, vmas, none, none, 3), VMS_WX_FINE);
	ck_assert_int_eq(vms_wx_check_image(&policy, stack, none, none, 1), VMS_WX_ANON);
	policy = (struct vms_exec_policy){ .exec_from = true };
	ck_assert_int_eq(vms_wx_check_image(&policy, vmas, all, none, 3), VMS_WX_FINE);
	ck_assert_int_eq(vms_wx_check_image(&policy, vmas, none, none, 3), VMS_WX_ELSEWHERE);
	ck_assert_int_eq(vms_wx_check_image(&policy, stack, none, none, 1), VMS_WX_FINE);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("wx");
	TCase *t = tcase_create("wx");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_plain_policy_allows_all);
	tcase_add_test(t, both_at_once_is_refused);
	tcase_add_test(t, what_was_writable_stays_so);
	tcase_add_test(t, what_another_thread_makes_writable_counts);
	tcase_add_test(t, a_second_way_to_write_is_seen_from_both_sides);
	tcase_add_test(t, shared_memory_segments);
	tcase_add_test(t, a_protection_that_stretches_down_is_seen);
	tcase_add_test(t, what_can_be_written_to_by_another_way_counts_as_written);
	tcase_add_test(t, only_files_are_executable);
	tcase_add_test(t, files_from_elsewhere);
	tcase_add_test(t, what_is_mapped_instead_may_not_become_executable);
	tcase_add_test(t, executable_files_are_mapped_in_two_steps);
	tcase_add_test(t, images);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
