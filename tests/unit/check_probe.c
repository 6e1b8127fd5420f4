/* The probes of `vmsup doctor`, on the kernel that runs the tests. */
#include "vmsup/host/probe.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static struct vms_probe_result results[VMS_PROBE_MAX];
static size_t nr_results;

static void setup(void)
{
	ck_assert_int_eq(vms_probe_all(results, VMS_PROBE_MAX, &nr_results), 0);
	ck_assert_uint_gt(nr_results, 0);
	ck_assert_uint_le(nr_results, VMS_PROBE_MAX);
}

static const struct vms_probe_result *get(const char *name)
{
	for (size_t i = 0; i < nr_results; i++) {
		if (strcmp(results[i].name, name) == 0)
			return &results[i];
	}
	ck_abort_msg("no probe %s", name);
	return NULL;
}

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

START_TEST(names_are_unique)
{
	for (size_t i = 0; i < nr_results; i++) {
		ck_assert_str_ne(results[i].name, "");
		for (size_t j = 0; j < i; j++)
			ck_assert_str_ne(results[i].name, results[j].name);
	}
}
END_TEST

START_TEST(every_result_says_what_was_found_and_what_it_is_for)
{
	for (size_t i = 0; i < nr_results; i++) {
		ck_assert_msg(results[i].detail[0] != '\0', "%s", results[i].name);
		ck_assert_msg(results[i].use[0] != '\0', "%s", results[i].name);
		ck_assert_str_ne(vms_probe_state_name(results[i].state), "");
	}
}
END_TEST

START_TEST(what_is_needed_is_there_or_has_advice)
{
	for (size_t i = 0; i < nr_results; i++) {
		const struct vms_probe_result *r = &results[i];

		ck_assert_msg(!r->needed || r->state == VMS_PROBE_OK ||
				      r->state == VMS_PROBE_DEGRADED || r->advice[0] != '\0',
			      "%s: %s", r->name, r->detail);
	}
}
END_TEST

START_TEST(the_caller_is_left_as_it_was)
{
	int fds = count_fds();
	int privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
	int seccomp = prctl(PR_GET_SECCOMP, 0, 0, 0, 0);

	setup();
	ck_assert_int_eq(count_fds(), fds);
	ck_assert_int_eq(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), privs);
	ck_assert_int_eq(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), seccomp);
	ck_assert_int_eq(waitpid(-1, NULL, 0), -1);
	ck_assert_int_eq(errno, ECHILD);
}
END_TEST

START_TEST(too_small_an_array_is_refused)
{
	struct vms_probe_result one = { .name = "untouched" };
	size_t n = 77;

	ck_assert_int_eq(vms_probe_all(&one, 1, &n), -ENOSPC);
	ck_assert_uint_eq(n, 77);
	ck_assert_str_eq(one.name, "untouched");
}
END_TEST

/* The kernel tells by other ways too; both must say the same. */
START_TEST(results_agree_with_proc)
{
	FILE *f = fopen("/proc/sys/vm/overcommit_memory", "re");
	int mode, seen;

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%d", &mode), 1);
	fclose(f);
	ck_assert_int_eq(sscanf(get("overcommit_memory")->detail, "%d,", &seen), 1);
	ck_assert_int_eq(seen, mode);
}
END_TEST

/* Set in a child, as Check forks for each test. */
START_TEST(no_new_privs_that_is_set_is_seen)
{
	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	setup();
	ck_assert_ptr_nonnull(strstr(get("no_new_privs")->detail, "set already"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("probe");
	TCase *tcase = tcase_create("probe");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, names_are_unique);
	tcase_add_test(tcase, every_result_says_what_was_found_and_what_it_is_for);
	tcase_add_test(tcase, what_is_needed_is_there_or_has_advice);
	tcase_add_test(tcase, the_caller_is_left_as_it_was);
	tcase_add_test(tcase, too_small_an_array_is_refused);
	tcase_add_test(tcase, results_agree_with_proc);
	tcase_add_test(tcase, no_new_privs_that_is_set_is_seen);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
