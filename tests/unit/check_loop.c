/* The event loop: order, pausing, watches that free each other, and the hot one last. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmsup/sup/loop.h"

#define NR 4

static struct vms_loop *loop;
static struct vms_watch *watches[NR];
static int ends[NR][2];
static char order[32];

static void setup(void)
{
	ck_assert_int_eq(vms_loop_new(&loop), 0);
	for (int i = 0; i < NR; i++)
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends[i]), 0);
}

static void teardown(void)
{
	vms_loop_free(loop);
}

static void poke(int i)
{
	ck_assert_int_eq(write(ends[i][1], "x", 1), 1);
}

static void note(char c)
{
	size_t n = strlen(order);

	ck_assert_uint_lt(n + 1, sizeof(order));
	order[n] = c;
}

/* Takes a byte; '!' stops the loop. The letter is the index of its pair. */
static void on_read(void *arg, int fd, unsigned int events)
{
	int i = (int)(intptr_t)arg;
	char c;

	ck_assert_int_eq(fd, ends[i][0]);
	ck_assert_uint_eq(events, VMS_WATCH_READ);
	ck_assert_int_eq(read(fd, &c, 1), 1);
	note((char)('a' + i));
	if (c == '!')
		vms_loop_stop(loop);
}

static void watch(int i, int priority, vms_watch_fn *fn)
{
	ck_assert_int_eq(vms_loop_add(loop, ends[i][0], VMS_WATCH_READ, priority, fn, (void *)(intptr_t)i, &watches[i]), 0);
}

static void finish_with(int i)
{
	ck_assert_int_eq(write(ends[i][1], "!", 1), 1);
}

START_TEST(what_is_ready_is_called_once_for_each_byte)
{
	watch(0, 0, on_read);
	poke(0);
	poke(0);
	finish_with(0);
	vms_loop_run(loop);
	ck_assert_str_eq(order, "aaa");
}
END_TEST

START_TEST(a_higher_priority_is_called_first)
{
	watch(0, -2, on_read);
	watch(1, 2, on_read);
	watch(2, 0, on_read);
	finish_with(0);
	poke(1);
	poke(2);
	vms_loop_run(loop);
	ck_assert_str_eq(order, "bca");
}
END_TEST

START_TEST(the_hot_watch_comes_after_all_others_of_its_round)
{
	ck_assert_int_eq(vms_loop_add_hot(loop, ends[0][0], on_read, (void *)0, &watches[0]), 0);
	watch(1, -2, on_read);
	watch(2, 2, on_read);
	watch(3, 0, on_read);
	/* One round first: watches that are new are looked at before the round that waits. */
	finish_with(3);
	vms_loop_run(loop);
	ck_assert_str_eq(order, "d");
	finish_with(0);
	poke(1);
	poke(2);
	vms_loop_run(loop);
	ck_assert_str_eq(order, "dcba");
}
END_TEST

START_TEST(a_paused_watch_waits_until_it_is_set_again)
{
	watch(0, 0, on_read);
	watch(1, 0, on_read);
	vms_watch_set(watches[0], 0);
	poke(0);
	finish_with(1);
	vms_loop_run(loop);
	ck_assert_str_eq(order, "b");
	vms_watch_set(watches[0], VMS_WATCH_READ);
	finish_with(0);
	vms_loop_run(loop);
	ck_assert_str_eq(order, "baa");
}
END_TEST

static void on_write(void *arg, int fd, unsigned int events)
{
	(void)arg;
	(void)fd;
	ck_assert_uint_eq(events, VMS_WATCH_WRITE);
	note('w');
	vms_loop_stop(loop);
}

START_TEST(writing_is_watched_as_well)
{
	ck_assert_int_eq(vms_loop_add(loop, ends[0][0], VMS_WATCH_WRITE, 0, on_write, NULL, &watches[0]), 0);
	vms_loop_run(loop);
	ck_assert_str_eq(order, "w");
}
END_TEST

/* Frees itself and all lower ones, which are ready too. */
static void on_read_free_others(void *arg, int fd, unsigned int events)
{
	(void)arg;
	(void)fd;
	(void)events;
	note('f');
	for (int i = 0; i < 3; i++) {
		vms_watch_free(watches[i]);
		watches[i] = NULL;
	}
}

START_TEST(a_callback_may_free_itself_and_others_that_are_ready)
{
	watch(0, 2, on_read_free_others);
	watch(1, 0, on_read);
	watch(2, -1, on_read);
	watch(3, -2, on_read);
	poke(0);
	poke(1);
	poke(2);
	finish_with(3);
	vms_loop_run(loop);
	ck_assert_str_eq(order, "fd");
}
END_TEST

START_TEST(no_watch_is_a_watch_that_can_be_freed)
{
	vms_watch_free(NULL);
	vms_loop_free(NULL);
}
END_TEST

START_TEST(a_freed_watch_leaves_its_descriptor_open)
{
	char c;

	watch(0, 0, on_read);
	vms_watch_free(watches[0]);
	poke(0);
	ck_assert_int_eq(read(ends[0][0], &c, 1), 1);
}
END_TEST

START_TEST(a_descriptor_that_is_closed_and_open_elsewhere_is_forgotten)
{
	int low, other;

	/* A number below that of the loop's epoll. */
	vms_loop_free(loop);
	low = dup(ends[0][0]);
	ck_assert_int_eq(vms_loop_new(&loop), 0);
	watch(0, 0, on_read);
	watch(1, 0, on_read);
	finish_with(1);
	vms_loop_run(loop);
	other = dup(ends[0][0]);
	vms_watch_free(watches[0]);
	close(ends[0][0]);
	/* Which a new epoll would get. */
	close(low);
	poke(0);
	for (int i = 0; i < 4; i++) {
		finish_with(1);
		vms_loop_run(loop);
	}
	ck_assert_str_eq(order, "bbbbb");
	close(other);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("loop");
	TCase *tc = tcase_create("loop");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 20);
	tcase_add_test(tc, what_is_ready_is_called_once_for_each_byte);
	tcase_add_test(tc, a_higher_priority_is_called_first);
	tcase_add_test(tc, the_hot_watch_comes_after_all_others_of_its_round);
	tcase_add_test(tc, a_paused_watch_waits_until_it_is_set_again);
	tcase_add_test(tc, writing_is_watched_as_well);
	tcase_add_test(tc, a_callback_may_free_itself_and_others_that_are_ready);
	tcase_add_test(tc, no_watch_is_a_watch_that_can_be_freed);
	tcase_add_test(tc, a_freed_watch_leaves_its_descriptor_open);
	tcase_add_test(tc, a_descriptor_that_is_closed_and_open_elsewhere_is_forgotten);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
