/* A space against what the kernel shows: when they agree, and how the tree takes over the kernel's view. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "vmsup/core/space.h"

#define PAGES(n) ((vms_addr_t)(n) << VMS_PAGE_SHIFT)
#define BASE ((vms_addr_t)0x100000)
#define AT(n) (BASE + PAGES(n))
#define RW (VMS_PROT_READ | VMS_PROT_WRITE)

static struct vms_space space;
static const struct vms_range all = { BASE, BASE + PAGES(100) };

static struct vms_vma vma_at(unsigned int from, unsigned int to, uint8_t prot, uint64_t ino, uint64_t page)
{
	return (struct vms_vma){ .range = { AT(from), AT(to) }, .prot = prot, .may = VMS_PROT_ALL, .ino = ino,
				 .dev = ino ? 3 : 0, .offset = PAGES(page), .kind = ino ? VMS_KIND_FILE : VMS_KIND_ANON };
}

static void setup(void)
{
	const struct vms_range user = { 0, 0x7ffffffff000 };
	const struct vms_place_rules rules = { .mmap_min_addr = 0x10000, .hint_min = 0x10000, .guard = PAGES(256) };

	vms_space_init(&space, &all, &user, &rules);
}

static void teardown(void)
{
	vms_space_done(&space);
}

static void add(struct vms_vma vma)
{
	ck_assert_int_eq(vms_tree_insert(&space.tree, &vma), 0);
}

#define AGREES(...)                                                                                                \
	vms_space_agrees(&space, &all, (const struct vms_vma[]){ __VA_ARGS__ },                                   \
			 sizeof((const struct vms_vma[]){ __VA_ARGS__ }) / sizeof(struct vms_vma))

START_TEST(an_empty_space_has_the_rules_it_was_given)
{
	ck_assert_uint_eq(space.tree.guard, PAGES(256));
	ck_assert_uint_eq(space.tree.count, 0);
	ck_assert(!space.confined && !space.remote_only && space.ceiling == 0);
	ck_assert(vms_space_agrees(&space, &all, NULL, 0));
}
END_TEST

START_TEST(agreement_is_page_by_page_however_either_side_cuts_it)
{
	add(vma_at(1, 4, RW, 0, 0));
	add(vma_at(6, 8, VMS_PROT_READ, 9, 2));
	ck_assert(AGREES(vma_at(1, 4, RW, 0, 0), vma_at(6, 8, VMS_PROT_READ, 9, 2)));
	ck_assert(AGREES(vma_at(1, 2, RW, 0, 0), vma_at(2, 4, RW, 0, 0), vma_at(6, 7, VMS_PROT_READ, 9, 2),
			 vma_at(7, 8, VMS_PROT_READ, 9, 3)));
}
END_TEST

START_TEST(one_page_more_or_less_is_a_difference)
{
	add(vma_at(1, 4, RW, 0, 0));
	ck_assert(!vms_space_agrees(&space, &all, NULL, 0));
	ck_assert(!AGREES(vma_at(1, 3, RW, 0, 0)));
	ck_assert(!AGREES(vma_at(2, 4, RW, 0, 0)));
	ck_assert(!AGREES(vma_at(1, 5, RW, 0, 0)));
	ck_assert(!AGREES(vma_at(0, 4, RW, 0, 0)));
	ck_assert(!AGREES(vma_at(1, 4, RW, 0, 0), vma_at(50, 51, RW, 0, 0)));
}
END_TEST

START_TEST(prot_sharing_file_and_offset_are_compared)
{
	struct vms_vma shared = vma_at(1, 4, RW, 9, 2), other_dev = vma_at(1, 4, RW, 9, 2);

	add(vma_at(1, 4, RW, 9, 2));
	shared.flags = VMS_VMA_SHARED;
	other_dev.dev = 4;
	ck_assert(AGREES(vma_at(1, 4, RW, 9, 2)));
	ck_assert(!AGREES(vma_at(1, 4, VMS_PROT_READ, 9, 2)));
	ck_assert(!AGREES(shared));
	ck_assert(!AGREES(vma_at(1, 4, RW, 8, 2)));
	ck_assert(!AGREES(other_dev));
	ck_assert(!AGREES(vma_at(1, 4, RW, 9, 3)));
	ck_assert(!AGREES(vma_at(1, 4, RW, 0, 0)));
}
END_TEST

START_TEST(only_the_range_is_looked_at)
{
	const struct vms_range part = { AT(2), AT(3) };
	struct vms_vma seen = vma_at(0, 50, RW, 0, 0);

	add(vma_at(1, 4, RW, 0, 0));
	ck_assert(vms_space_agrees(&space, &part, &seen, 1));
}
END_TEST

START_TEST(a_stack_may_have_grown_down_but_not_up_or_away)
{
	struct vms_vma stack = vma_at(20, 24, RW, 0, 0);

	stack.flags = VMS_VMA_GROWSDOWN;
	add(stack);
	ck_assert(AGREES(vma_at(15, 24, RW, 0, 0)));
	ck_assert(!AGREES(vma_at(15, 25, RW, 0, 0)));
	ck_assert(!AGREES(vma_at(15, 19, RW, 0, 0)));
	ck_assert(!AGREES(vma_at(15, 24, VMS_PROT_READ, 0, 0)));
}
END_TEST

static void adopt(const struct vms_vma *seen, size_t nr)
{
	ck_assert_int_eq(vms_space_adopt(&space, &all, seen, nr, false), 0);
	ck_assert(vms_tree_is_sound(&space.tree));
	ck_assert(vms_space_agrees(&space, &all, seen, nr));
}

START_TEST(adopting_makes_both_agree)
{
	const struct vms_vma first[] = { vma_at(1, 4, RW, 0, 0), vma_at(6, 8, VMS_PROT_READ, 9, 2) };
	const struct vms_vma second[] = { vma_at(0, 2, VMS_PROT_READ, 9, 0), vma_at(3, 7, RW, 0, 0),
					  vma_at(99, 100, RW, 0, 0) };

	adopt(first, 2);
	adopt(second, 3);
	ck_assert_uint_eq(space.tree.count, 3);
	adopt(first, 2);
	adopt(NULL, 0);
	ck_assert_uint_eq(space.tree.count, 0);
	ck_assert_uint_eq(space.max_vmas, 3);
}
END_TEST

START_TEST(adopting_keeps_what_only_we_know_of_the_same_mapping)
{
	struct vms_vma mine = vma_at(1, 4, RW, 0, 0), seen = vma_at(1, 4, VMS_PROT_READ, 0, 0);
	const struct vms_vma *got;

	mine.flags = VMS_VMA_NORESERVE | VMS_VMA_LOW2G;
	mine.may = VMS_PROT_READ;
	mine.kind = VMS_KIND_HEAP;
	mine.pkey = 3;
	add(mine);
	adopt(&seen, 1);
	got = vms_tree_find(&space.tree, AT(1));
	ck_assert_uint_eq(got->prot, VMS_PROT_READ);
	ck_assert_uint_eq(got->flags, mine.flags);
	ck_assert_uint_eq(got->may, mine.may);
	ck_assert_uint_eq(got->kind, mine.kind);
	ck_assert_uint_eq(got->pkey, mine.pkey);
}
END_TEST

START_TEST(what_smaps_tells_replaces_what_we_thought_and_the_rest_is_kept)
{
	struct vms_vma mine = vma_at(1, 4, RW, 0, 0), seen = vma_at(1, 4, RW, 0, 0);

	mine.flags = VMS_VMA_NORESERVE | VMS_VMA_LOW2G;
	mine.kind = VMS_KIND_HEAP;
	add(mine);
	seen.flags = VMS_VMA_DONTFORK;
	ck_assert_int_eq(vms_space_adopt(&space, &all, &seen, 1, true), 0);
	ck_assert_uint_eq(vms_tree_find(&space.tree, AT(1))->flags, VMS_VMA_DONTFORK | VMS_VMA_LOW2G);
	ck_assert_uint_eq(vms_tree_find(&space.tree, AT(1))->kind, VMS_KIND_HEAP);
}
END_TEST

START_TEST(another_mapping_at_the_same_place_inherits_nothing)
{
	struct vms_vma mine = vma_at(1, 4, RW, 0, 0), seen = vma_at(1, 4, RW, 9, 0);

	mine.flags = VMS_VMA_NORESERVE;
	mine.kind = VMS_KIND_STACK;
	add(mine);
	adopt(&seen, 1);
	ck_assert_uint_eq(vms_tree_find(&space.tree, AT(1))->flags, 0);
	ck_assert_uint_eq(vms_tree_find(&space.tree, AT(1))->kind, VMS_KIND_FILE);
}
END_TEST

START_TEST(one_vma_of_the_kernel_may_be_two_of_ours)
{
	struct vms_vma a = vma_at(1, 3, RW, 0, 0), b = vma_at(3, 5, RW, 0, 0), seen = vma_at(1, 5, RW, 0, 0);

	a.flags = VMS_VMA_NORESERVE;
	b.kind = VMS_KIND_HEAP;
	add(a);
	add(b);
	adopt(&seen, 1);
	ck_assert_uint_eq(vms_tree_find(&space.tree, AT(2))->flags, VMS_VMA_NORESERVE);
	ck_assert_uint_eq(vms_tree_find(&space.tree, AT(3))->kind, VMS_KIND_HEAP);
	ck_assert_uint_eq(vms_tree_find(&space.tree, AT(3))->flags, 0);
}
END_TEST

START_TEST(a_grown_stack_stays_a_stack)
{
	struct vms_vma stack = vma_at(20, 24, RW, 0, 0), seen = vma_at(12, 24, RW, 0, 0);

	stack.flags = VMS_VMA_GROWSDOWN;
	stack.kind = VMS_KIND_STACK;
	add(stack);
	adopt(&seen, 1);
	ck_assert_uint_eq(vms_tree_find(&space.tree, AT(12))->flags, VMS_VMA_GROWSDOWN);
	ck_assert_uint_eq(vms_tree_find(&space.tree, AT(12))->kind, VMS_KIND_STACK);
	ck_assert_uint_eq(space.tree.count, 1);
}
END_TEST

START_TEST(what_lies_outside_the_range_stays)
{
	const struct vms_range part = { AT(2), AT(6) };
	const struct vms_vma seen = vma_at(3, 9, VMS_PROT_READ, 0, 0);

	add(vma_at(1, 8, RW, 0, 0));
	ck_assert_int_eq(vms_space_adopt(&space, &part, &seen, 1, false), 0);
	ck_assert_uint_eq(vms_tree_find(&space.tree, AT(1))->prot, RW);
	ck_assert_ptr_null(vms_tree_find(&space.tree, AT(2)));
	ck_assert_uint_eq(vms_tree_find(&space.tree, AT(3))->prot, VMS_PROT_READ);
	ck_assert_uint_eq(vms_tree_find(&space.tree, AT(5))->prot, VMS_PROT_READ);
	ck_assert_uint_eq(vms_tree_find(&space.tree, AT(6))->prot, RW);
}
END_TEST

static void *no_memory(size_t size)
{
	(void)size;
	return NULL;
}

START_TEST(without_memory_adopting_says_so)
{
	const struct vms_vma seen = vma_at(3, 9, VMS_PROT_READ, 0, 0);

	space.tree.alloc = no_memory;
	ck_assert_int_eq(vms_space_adopt(&space, &all, &seen, 1, false), -ENOMEM);
	ck_assert(vms_tree_is_sound(&space.tree));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("space");
	TCase *tc = tcase_create("space");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, an_empty_space_has_the_rules_it_was_given);
	tcase_add_test(tc, agreement_is_page_by_page_however_either_side_cuts_it);
	tcase_add_test(tc, one_page_more_or_less_is_a_difference);
	tcase_add_test(tc, prot_sharing_file_and_offset_are_compared);
	tcase_add_test(tc, only_the_range_is_looked_at);
	tcase_add_test(tc, a_stack_may_have_grown_down_but_not_up_or_away);
	tcase_add_test(tc, adopting_makes_both_agree);
	tcase_add_test(tc, adopting_keeps_what_only_we_know_of_the_same_mapping);
	tcase_add_test(tc, what_smaps_tells_replaces_what_we_thought_and_the_rest_is_kept);
	tcase_add_test(tc, another_mapping_at_the_same_place_inherits_nothing);
	tcase_add_test(tc, one_vma_of_the_kernel_may_be_two_of_ours);
	tcase_add_test(tc, a_grown_stack_stays_a_stack);
	tcase_add_test(tc, what_lies_outside_the_range_stays);
	tcase_add_test(tc, without_memory_adopting_says_so);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
