/* Calls in flight that outlive their supervisor, the stream that never waits, and packets of the control socket. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmsup/sup/drain.h"
#include "vmsup/trap/journal.h"
#include "vmsup/trap/listener.h"
#include "vmsup/wire/frame.h"

static struct vms_journal journal;

static struct vms_trap trap(uint64_t id)
{
	return (struct vms_trap){ .id = id, .tid = (pid_t)(1000 + id % 100), .arch = VMS_ARCH_X86_64, .nr = 9, .args = { id, 2, 3, 4, 5, 6 },
				  .ip = 7 };
}

static size_t count(void)
{
	struct vms_trap got;
	size_t n = 0;

	for (size_t i = 0; i < VMS_JOURNAL_SLOTS; i++) {
		if (vms_journal_get(&journal, i, &got)) {
			ck_assert_uint_eq(got.args[0], got.id);
			ck_assert_int_eq(got.nr, 9);
			n++;
		}
	}
	return n;
}

START_TEST(what_is_put_is_there_until_it_is_dropped)
{
	memset(&journal, 0, sizeof(journal));
	for (uint64_t id = UINT64_MAX - 5; id != 5; id++) {
		struct vms_trap t = trap(id);

		ck_assert(vms_journal_put(&journal, &t));
	}
	ck_assert_uint_eq(count(), 11);
	ck_assert_uint_eq(journal.last_id, 4);
	vms_journal_drop(&journal, 2);
	vms_journal_drop(&journal, 2);
	vms_journal_drop(&journal, 77);
	ck_assert_uint_eq(count(), 10);
}
END_TEST

START_TEST(an_old_call_keeps_its_slot_from_a_later_one)
{
	struct vms_trap a = trap(10), b = trap(10 + VMS_JOURNAL_SLOTS);

	memset(&journal, 0, sizeof(journal));
	ck_assert(vms_journal_put(&journal, &a));
	ck_assert(vms_journal_put(&journal, &b));
	ck_assert_uint_eq(count(), 2);
	vms_journal_drop(&journal, b.id);
	ck_assert_uint_eq(count(), 1);
	vms_journal_drop(&journal, a.id);
	ck_assert_uint_eq(count(), 0);
}
END_TEST

START_TEST(a_full_journal_says_so)
{
	memset(&journal, 0, sizeof(journal));
	for (uint64_t id = 0; id < VMS_JOURNAL_SLOTS; id++) {
		struct vms_trap t = trap(id);

		ck_assert(vms_journal_put(&journal, &t));
	}
	ck_assert(!vms_journal_put(&journal, &(struct vms_trap){ .id = 99999 }));
	ck_assert_uint_eq(count(), VMS_JOURNAL_SLOTS);
	ck_assert_uint_eq(journal.last_id, 99999);
}
END_TEST

START_TEST(what_no_kernel_could_have_sent_is_not_taken)
{
	struct vms_trap got;

	memset(&journal, 0xff, sizeof(journal));
	for (size_t i = 0; i < VMS_JOURNAL_SLOTS; i++)
		ck_assert(!vms_journal_get(&journal, i, &got));
	journal.slots[0].state = 1;
	ck_assert(!vms_journal_get(&journal, 0, &got));
}
END_TEST

START_TEST(lines_that_find_no_room_are_dropped_whole)
{
	static char got[1 << 20];
	struct vms_drain *drain;
	size_t len = 0;
	ssize_t n;
	int ends[2];

	/* A supervisor blocks it. */
	signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	drain = vms_drain_new(ends[1]);
	ck_assert_ptr_nonnull(drain);
	for (int i = 0; i < 20000; i++)
		fprintf(vms_drain_file(drain), "line %d of them\n", i);
	ck_assert_uint_gt(vms_drain_lost(drain), 0);
	while ((n = read(ends[0], got + len, sizeof(got) - len)) > 0)
		len += (size_t)n;
	fprintf(vms_drain_file(drain), "again\n");
	fflush(vms_drain_file(drain));
	while ((n = read(ends[0], got + len, sizeof(got) - len)) > 0)
		len += (size_t)n;
	got[len] = '\0';
	ck_assert_str_eq(got + len - 6, "again\n");
	for (char *line = strtok(got, "\n"); line; line = strtok(NULL, "\n"))
		ck_assert(strcmp(line, "again") == 0 || (strncmp(line, "line ", 5) == 0 && strstr(line, " of them")));
	close(ends[0]);
	fprintf(vms_drain_file(drain), "nobody reads\n");
	fflush(vms_drain_file(drain));
	ck_assert(vms_drain_is_broken(drain));
	vms_drain_free(drain);
}
END_TEST

START_TEST(packets_are_cut_by_their_lengths)
{
	struct vms_inbox inbox;
	unsigned char head[4];
	const char *bytes;
	size_t len;

	vms_inbox_init(&inbox, 64);
	ck_assert_int_eq(vms_inbox_packet(&inbox, &bytes, &len), -EAGAIN);
	vms_packet_head(3, head);
	/* Byte by byte, two in a row. */
	for (int k = 0; k < 2; k++) {
		for (int i = 0; i < 4; i++) {
			ck_assert_int_eq(vms_inbox_add(&inbox, (char *)&head[i], 1), 0);
			ck_assert_int_eq(vms_inbox_packet(&inbox, &bytes, &len), -EAGAIN);
		}
		ck_assert_int_eq(vms_inbox_add(&inbox, "ab", 2), 0);
		ck_assert_int_eq(vms_inbox_packet(&inbox, &bytes, &len), -EAGAIN);
		ck_assert_int_eq(vms_inbox_add(&inbox, "c", 1), 0);
		ck_assert_int_eq(vms_inbox_packet(&inbox, &bytes, &len), 0);
		ck_assert_uint_eq(len, 3);
		ck_assert_int_eq(memcmp(bytes, "abc", 3), 0);
	}
	vms_packet_head(61, head);
	ck_assert_int_eq(vms_inbox_add(&inbox, (char *)head, 4), 0);
	ck_assert_int_eq(vms_inbox_packet(&inbox, &bytes, &len), -EMSGSIZE);
	vms_inbox_done(&inbox);
	vms_inbox_init(&inbox, 64);
	vms_packet_head(0, head);
	ck_assert_int_eq(vms_inbox_add(&inbox, (char *)head, 4), 0);
	ck_assert_int_eq(vms_inbox_packet(&inbox, &bytes, &len), 0);
	ck_assert_uint_eq(len, 0);
	vms_inbox_done(&inbox);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("journal");
	TCase *t = tcase_create("journal");
	SRunner *runner;
	int failed;

	tcase_add_test(t, what_is_put_is_there_until_it_is_dropped);
	tcase_add_test(t, an_old_call_keeps_its_slot_from_a_later_one);
	tcase_add_test(t, a_full_journal_says_so);
	tcase_add_test(t, what_no_kernel_could_have_sent_is_not_taken);
	tcase_add_test(t, lines_that_find_no_room_are_dropped_whole);
	tcase_add_test(t, packets_are_cut_by_their_lengths);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
