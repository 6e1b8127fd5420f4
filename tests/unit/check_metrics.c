/* Metrics: each sample belongs to a family that was announced, none comes twice, and the numbers are those of the boards. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmsup/daemon/metrics.h"

static struct vms_daemon daemon_state;
static struct vms_tenant one, stopped;
static struct vms_board board;

static void setup(void)
{
	memset(&board, 0, sizeof(board));
	board.ready = 1;
	board.tree_limits = vms_limits_none;
	board.tree_limits.max[VMS_LIMIT_COMMIT] = 1 << 30;
	board.counters.commit = 12345;
	board.counters.by_call[VMS_CALL_MMAP] = 7;
	board.counters.refused = 10;
	board.counters.tree_limited[VMS_LIMIT_COMMIT] = 4;
	board.counters.policy = 1;
	board.counters.latency[0] = 5;
	board.counters.latency[3] = 2;
	board.counters.latency_sum_ns = 1500000000;
	one = (struct vms_tenant){ .name = (char *)(uintptr_t) "one", .board = &board, .state = VMS_TENANT_RUNNING, .restarts = 3, .losses = 2 };
	stopped = (struct vms_tenant){ .name = (char *)(uintptr_t) "not-there", .state = VMS_TENANT_STOPPED };
	daemon_state = (struct vms_daemon){ .tenants = NULL };
	HASH_ADD_KEYPTR(hh, daemon_state.tenants, one.name, strlen(one.name), (&one));
	HASH_ADD_KEYPTR(hh, daemon_state.tenants, stopped.name, strlen(stopped.name), (&stopped));
}

static void teardown(void)
{
	HASH_CLEAR(hh, daemon_state.tenants);
}

static char *text(bool open)
{
	char *got;
	size_t len;

	ck_assert_int_eq(vms_metrics_text(&daemon_state, open, &got, &len), 0);
	ck_assert_uint_eq(strlen(got), len);
	return got;
}

static void has(const char *got, const char *line)
{
	char whole[256];

	snprintf(whole, sizeof(whole), "\n%s\n", line);
	ck_assert_msg(strstr(got, whole), "no line %s in\n%s", line, got);
}

START_TEST(numbers_are_those_of_the_boards)
{
	char *got = text(false);

	has(got, "vmsup_commit_bytes{tenant=\"one\"} 12345");
	has(got, "vmsup_commit_limit_bytes{tenant=\"one\"} 1073741824");
	has(got, "vmsup_calls_total{tenant=\"one\",call=\"mmap\"} 7");
	has(got, "vmsup_limit_hits_total{tenant=\"one\",limit=\"commit\"} 4");
	has(got, "vmsup_refusals_total{tenant=\"one\",reason=\"limit\"} 4");
	has(got, "vmsup_refusals_total{tenant=\"one\",reason=\"policy\"} 1");
	has(got, "vmsup_refusals_total{tenant=\"one\",reason=\"other\"} 5");
	has(got, "vmsup_tenant_up{tenant=\"one\"} 1");
	has(got, "vmsup_tenant_up{tenant=\"not-there\"} 0");
	has(got, "vmsup_restarts_total{tenant=\"one\"} 3");
	has(got, "vmsup_supervisor_losses_total{tenant=\"one\"} 2");
	ck_assert_ptr_null(strstr(got, "vmsup_commit_bytes{tenant=\"not-there\"}"));
	free(got);
}
END_TEST

START_TEST(a_histogram_adds_up)
{
	char *got = text(true);

	has(got, "vmsup_call_duration_seconds_bucket{tenant=\"one\",le=\"1e-06\"} 5");
	has(got, "vmsup_call_duration_seconds_bucket{tenant=\"one\",le=\"4e-06\"} 5");
	has(got, "vmsup_call_duration_seconds_bucket{tenant=\"one\",le=\"8e-06\"} 7");
	has(got, "vmsup_call_duration_seconds_bucket{tenant=\"one\",le=\"+Inf\"} 7");
	has(got, "vmsup_call_duration_seconds_sum{tenant=\"one\"} 1.5");
	has(got, "vmsup_call_duration_seconds_count{tenant=\"one\"} 7");
	free(got);
}
END_TEST

START_TEST(every_sample_has_a_family_and_none_comes_twice)
{
	static char seen[1 << 16], family[128], *save;
	char *got = text(_i);
	size_t samples = 0;

	seen[0] = '\0';
	ck_assert((strstr(got, "# EOF\n") != NULL) == _i);
	for (char *line = strtok_r(got, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char name[256];

		if (sscanf(line, "# TYPE %127s", family) == 1 || *line == '#')
			continue;
		ck_assert_msg(strncmp(line, family, strlen(family)) == 0, "%s after %s", line, family);
		snprintf(name, sizeof(name), "\n%.*s\n", (int)(strrchr(line, ' ') - line), line);
		ck_assert_msg(!strstr(seen, name), "twice: %s", name);
		strcat(seen, name);
		samples++;
	}
	ck_assert_uint_gt(samples, 60);
	free(got);
}
END_TEST

START_TEST(the_file_is_whole_ours_and_removed)
{
	char path[] = "/tmp/check_metrics-XXXXXX", new_path[64], first[64] = "";
	FILE *file;

	ck_assert_int_ge(mkstemp(path), 0);
	snprintf(new_path, sizeof(new_path), "%s.new", path);
	/* Somebody's link is not followed. */
	ck_assert_int_eq(symlink("/tmp/check_metrics-elsewhere", new_path), 0);
	daemon_state.conf.metrics_file = path;
	vms_metrics_write(&daemon_state);
	ck_assert_int_lt(access("/tmp/check_metrics-elsewhere", F_OK), 0);
	ck_assert_int_lt(access(new_path, F_OK), 0);
	file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	ck_assert_ptr_nonnull(fgets(first, sizeof(first), file));
	fclose(file);
	ck_assert_ptr_nonnull(strstr(first, "# HELP vmsup_build_info"));
	vms_metrics_remove(&daemon_state);
	ck_assert_int_lt(access(path, F_OK), 0);
	/* One that was not written is not removed. */
	file = fopen(path, "w");
	fclose(file);
	vms_metrics_remove(&daemon_state);
	ck_assert_int_eq(unlink(path), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("metrics");
	TCase *t = tcase_create("metrics");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, numbers_are_those_of_the_boards);
	tcase_add_test(t, a_histogram_adds_up);
	tcase_add_loop_test(t, every_sample_has_a_family_and_none_comes_twice, 0, 2);
	tcase_add_test(t, the_file_is_whole_ours_and_removed);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
