/* The board that a supervisor shares with vmsupd: what is written is read, and nothing else is taken for one. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmsup/sup/board.h"

START_TEST(what_the_supervisor_writes_the_reader_sees)
{
	struct vms_board *writer, *reader;
	int fd;

	ck_assert_int_eq(vms_board_create(&fd), 0);
	ck_assert_int_eq(vms_board_map(fd, true, &writer), 0);
	ck_assert_int_eq(vms_board_map(fd, false, &reader), 0);
	writer->counters.commit = 12345;
	writer->journal.slots[VMS_JOURNAL_SLOTS - 1].state = 1;
	ck_assert_uint_eq(reader->counters.commit, 12345);
	ck_assert_uint_eq(reader->journal.slots[VMS_JOURNAL_SLOTS - 1].state, 1);
	vms_board_unmap(writer);
	vms_board_unmap(reader);
	close(fd);
}
END_TEST

START_TEST(it_can_neither_shrink_nor_grow)
{
	int fd;

	ck_assert_int_eq(vms_board_create(&fd), 0);
	ck_assert_int_lt(ftruncate(fd, 0), 0);
	ck_assert_int_lt(ftruncate(fd, 1 << 30), 0);
	close(fd);
}
END_TEST

START_TEST(another_file_is_refused)
{
	struct vms_board *board;
	int fd = memfd_create("test", MFD_ALLOW_SEALING);

	ck_assert_int_eq(ftruncate(fd, (off_t)vms_page_up(sizeof(struct vms_board))), 0);
	ck_assert_int_eq(vms_board_map(fd, false, &board), -EPROTO);
	/* Sealed, of the right size, and empty. */
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK), 0);
	ck_assert_int_eq(vms_board_map(fd, false, &board), -EPROTO);
	close(fd);
}
END_TEST

START_TEST(another_version_is_refused)
{
	struct vms_board *board;
	uint64_t version = VMS_BOARD_VERSION + 1;
	int fd;

	ck_assert_int_eq(vms_board_create(&fd), 0);
	ck_assert_int_eq(pwrite(fd, &version, sizeof(version), sizeof(uint64_t)), sizeof(version));
	ck_assert_int_eq(vms_board_map(fd, true, &board), -EPROTO);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("board");
	TCase *tc = tcase_create("board");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, what_the_supervisor_writes_the_reader_sees);
	tcase_add_test(tc, it_can_neither_shrink_nor_grow);
	tcase_add_test(tc, another_file_is_refused);
	tcase_add_test(tc, another_version_is_refused);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
