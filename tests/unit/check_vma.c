/* One mapping as a record: attributes, merging, clipping, commit. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "vmsup/core/vma.h"

static struct vms_vma anon(vms_addr_t start, vms_addr_t end)
{
	return (struct vms_vma){
		.range = { start, end },
		.prot = VMS_PROT_READ | VMS_PROT_WRITE,
		.may = VMS_PROT_ALL,
		.kind = VMS_KIND_ANON,
	};
}

static struct vms_vma file(vms_addr_t start, vms_addr_t end, uint64_t offset)
{
	struct vms_vma vma = anon(start, end);

	vma.kind = VMS_KIND_FILE;
	vma.dev = 0x801;
	vma.ino = 12;
	vma.offset = offset;
	return vma;
}

START_TEST(every_kind_has_a_name_and_others_have_one_too)
{
	static const char *const names[] = { "anon",  "file", "exe",  "interp", "heap",
					     "stack", "shm",  "vdso", "fence" };
	unsigned int kind;

	ck_assert_uint_eq(sizeof(names) / sizeof(names[0]), VMS_NR_KINDS);
	for (kind = 0; kind < VMS_NR_KINDS; kind++)
		ck_assert_str_eq(vms_vma_kind_name(kind), names[kind]);
	ck_assert_str_eq(vms_vma_kind_name(VMS_NR_KINDS), "unknown");
	ck_assert_str_eq(vms_vma_kind_name(~0u), "unknown");
}
END_TEST

START_TEST(every_attribute_counts_and_range_and_offset_do_not)
{
	struct vms_vma a = file(0x1000, 0x2000, 0), b = file(0x7000, 0x9000, 0x5000);

	ck_assert(vms_vma_same_attr(&a, &b));
#define DIFFERS(field, value)                                                                      \
	do {                                                                                       \
		struct vms_vma c = b;                                                              \
		c.field = (value);                                                                 \
		ck_assert_msg(!vms_vma_same_attr(&a, &c), #field);                                 \
	} while (0)
	DIFFERS(dev, 0x802);
	DIFFERS(ino, 13);
	DIFFERS(flags, VMS_VMA_SHARED);
	DIFFERS(flags, VMS_VMA_WIPEONFORK);
	DIFFERS(prot, VMS_PROT_READ);
	DIFFERS(may, VMS_PROT_READ);
	DIFFERS(kind, VMS_KIND_EXE);
	DIFFERS(pkey, 1);
}
END_TEST

START_TEST(anonymous_neighbours_merge_and_others_do_not)
{
	struct vms_vma a = anon(0x1000, 0x2000), b = anon(0x2000, 0x3000), c = anon(0x3000, 0x4000);

	ck_assert(vms_vma_can_merge(&a, &b));
	ck_assert(!vms_vma_can_merge(&b, &a));
	ck_assert(!vms_vma_can_merge(&a, &c));
	b.prot = VMS_PROT_READ;
	ck_assert(!vms_vma_can_merge(&a, &b));
}
END_TEST

START_TEST(file_neighbours_merge_only_when_offsets_run_on)
{
	struct vms_vma a = file(0x1000, 0x3000, 0x8000), b = file(0x3000, 0x4000, 0xa000);

	ck_assert(vms_vma_can_merge(&a, &b));
	b.offset = 0xb000;
	ck_assert(!vms_vma_can_merge(&a, &b));
	b.offset = 0x8000;
	ck_assert(!vms_vma_can_merge(&a, &b));
}
END_TEST

START_TEST(clipping_moves_the_offset_of_a_file_and_not_of_anonymous_memory)
{
	struct vms_vma f = file(0x1000, 0x9000, 0x100000), a = anon(0x1000, 0x9000);
	struct vms_range middle = { 0x3000, 0x5000 }, wide = { 0, 0x4000 };

	vms_vma_clip(&f, &middle);
	ck_assert_uint_eq(f.range.start, 0x3000);
	ck_assert_uint_eq(f.range.end, 0x5000);
	ck_assert_uint_eq(f.offset, 0x102000);
	vms_vma_clip(&f, &wide);
	ck_assert_uint_eq(f.range.start, 0x3000);
	ck_assert_uint_eq(f.range.end, 0x4000);
	ck_assert_uint_eq(f.offset, 0x102000);
	vms_vma_clip(&a, &middle);
	ck_assert_uint_eq(a.range.start, 0x3000);
	ck_assert_uint_eq(a.range.end, 0x5000);
	ck_assert_uint_eq(a.offset, 0);
}
END_TEST

START_TEST(two_parts_of_a_clipped_vma_merge_again)
{
	struct vms_vma low = file(0x1000, 0x9000, 0x100000), high = low;

	vms_vma_clip(&low, &(struct vms_range){ 0x1000, 0x4000 });
	vms_vma_clip(&high, &(struct vms_range){ 0x4000, 0x9000 });
	ck_assert(vms_vma_can_merge(&low, &high));
}
END_TEST

START_TEST(commit_is_private_writable_or_shared_anonymous)
{
	struct vms_vma a = anon(0x1000, 0x2000), f = file(0x1000, 0x2000, 0);

	ck_assert(vms_vma_is_commit(&a));
	ck_assert(vms_vma_is_commit(&f));
	a.prot = f.prot = VMS_PROT_READ | VMS_PROT_EXEC;
	ck_assert(!vms_vma_is_commit(&a));
	ck_assert(!vms_vma_is_commit(&f));
	a.flags = f.flags = VMS_VMA_SHARED;
	ck_assert(vms_vma_is_commit(&a));
	ck_assert(!vms_vma_is_commit(&f));
	f.prot = VMS_PROT_READ | VMS_PROT_WRITE;
	ck_assert(!vms_vma_is_commit(&f));
	f.kind = VMS_KIND_ANON; /* shared anonymous memory has an inode */
	ck_assert(vms_vma_is_commit(&f));
	f.kind = VMS_KIND_SHM;
	ck_assert(vms_vma_is_commit(&f));
}
END_TEST

START_TEST(noreserve_and_prot_none_are_not_commit)
{
	struct vms_vma a = anon(0x1000, 0x2000);

	a.flags = VMS_VMA_NORESERVE;
	ck_assert(!vms_vma_is_commit(&a));
	a.flags = VMS_VMA_NORESERVE | VMS_VMA_SHARED;
	ck_assert(!vms_vma_is_commit(&a));
	a.flags = VMS_VMA_SHARED;
	a.prot = 0;
	ck_assert(!vms_vma_is_commit(&a));
	a.flags = 0;
	ck_assert(!vms_vma_is_commit(&a));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vma");
	TCase *tc = tcase_create("vma");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, every_kind_has_a_name_and_others_have_one_too);
	tcase_add_test(tc, every_attribute_counts_and_range_and_offset_do_not);
	tcase_add_test(tc, anonymous_neighbours_merge_and_others_do_not);
	tcase_add_test(tc, file_neighbours_merge_only_when_offsets_run_on);
	tcase_add_test(tc, clipping_moves_the_offset_of_a_file_and_not_of_anonymous_memory);
	tcase_add_test(tc, two_parts_of_a_clipped_vma_merge_again);
	tcase_add_test(tc, commit_is_private_writable_or_shared_anonymous);
	tcase_add_test(tc, noreserve_and_prot_none_are_not_commit);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
