/* The configuration of vmsupd: files, what was saved, slices of the pool. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmsup/conf/tenant.h"

static char folder[] = "/tmp/check_tenant-XXXXXX";
static struct vms_daemon_conf conf;
static struct vms_err err;
static char told[4096];

static void put(const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
}

static void setup(void)
{
	char path[128];

	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/tenants.d", folder);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/saved", folder);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	memset(&err, 0, sizeof(err));
	told[0] = '\0';
}

static void teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
}

static void tell(const char *sentence, void *arg)
{
	(void)arg;
	strncat(told, sentence, sizeof(told) - strlen(told) - 2);
	strcat(told, "\n");
}

static const struct vms_range addresses = { 0x1000, 0x7ffffffff000 };

static int load(const struct vms_slice *kept, size_t nr_kept)
{
	const struct vms_config_tell all = { .tell = tell };
	char saved[128];

	snprintf(saved, sizeof(saved), "%s/saved", folder);
	return vms_daemon_conf_load(folder, saved, &addresses, kept, nr_kept, &all, &conf, &err);
}

static const struct vms_tenant_conf *only(const char *text)
{
	put("tenants.d/one.conf", text);
	ck_assert_msg(load(NULL, 0) == 0, "%s", err.text);
	ck_assert_uint_eq(conf.nr_tenants, 1);
	return &conf.tenants[0];
}

START_TEST(a_tenant_has_what_its_file_says_and_defaults)
{
	const struct vms_tenant_conf *t = only("command: [sh, -c, 'a b']\nrestart: always\nrestart-delay: 2s\nstop-signal: INT\n"
					       "stop-time: 1m\nenvironment: {A: b c, D: ''}\ntree-max-commit: 1G\naudit: yes\n");

	ck_assert_str_eq(t->name, "one");
	ck_assert_uint_eq(t->nr_command, 3);
	ck_assert_str_eq(t->command[2], "a b");
	ck_assert_ptr_null(t->command[3]);
	ck_assert_int_eq(t->restart, VMS_RESTART_ALWAYS);
	ck_assert_uint_eq(t->restart_delay_ms, 2000);
	ck_assert_uint_eq(t->restart_delay_max_ms, 60000);
	ck_assert_uint_eq(t->stop_time_ms, 60000);
	ck_assert_int_eq(t->stop_signal, SIGINT);
	ck_assert_str_eq(t->environment[0], "A=b c");
	ck_assert_str_eq(t->environment[1], "D=");
	ck_assert_uint_eq(t->nr_words, 2);
	ck_assert_str_eq(t->words[0], "--tree-max-commit=1G");
	ck_assert(!t->has_range && !t->manual && t->on_lost == VMS_ON_LOST_KILL);
	vms_daemon_conf_done(&conf);
}
END_TEST

START_TEST(what_defaults_say_holds_for_all_that_say_nothing)
{
	const struct vms_tenant_conf *one, *two;

	put("defaults.conf", "restart: always\nstop-time: 3s\nuser: root\nenvironment: {A: all, B: all}\ncommand: [all]\nrange: auto\n"
			     "tree-max-commit: 1G\nprofile: own\n");
	put("vmsup.conf", "pool: 1G-1T\n");
	put("own.conf", "tree-max-maps: 77\ntree-max-commit: 5M\n");
	ck_assert_int_eq(setenv("VMSUP_PROFILES", folder, 1), 0);
	put("tenants.d/one.conf", "command: [mine, x]\nrestart: no\nenvironment: {B: mine, C: mine}\nrange: 1T-2T\ntree-max-commit: 2G\n");
	put("tenants.d/two.conf", "tree-max-va: 5G\n");
	put("saved/two.conf", "tree-max-commit: 3G\n");
	ck_assert_msg(load(NULL, 0) == 0, "%s", err.text);
	one = vms_daemon_conf_find(&conf, "one");
	two = vms_daemon_conf_find(&conf, "two");
	ck_assert(one->restart == VMS_RESTART_NO && two->restart == VMS_RESTART_ALWAYS);
	ck_assert(one->stop_time_ms == 3000 && two->stop_time_ms == 3000);
	ck_assert_str_eq(one->user, "root");
	ck_assert_uint_eq(one->nr_command, 2);
	ck_assert_str_eq(one->command[0], "mine");
	ck_assert_str_eq(two->command[0], "all");
	ck_assert_uint_eq(one->nr_environment, 3);
	ck_assert_str_eq(one->environment[0], "A=all");
	ck_assert_str_eq(one->environment[1], "B=mine");
	ck_assert(!one->range_auto && one->range.start == UINT64_C(1) << 40);
	ck_assert(two->range_auto && two->range.start >= UINT64_C(1) << 30 && two->range.end <= UINT64_C(1) << 40);
	for (size_t i = 0; i < one->nr_words; i++)
		ck_assert(strstr(one->words[i], "--tree-max-commit=") == NULL || strcmp(one->words[i], "--tree-max-commit=2G") == 0);
	ck_assert_str_eq(one->words[0], "--tree-max-maps=77");
	vms_daemon_conf_done(&conf);
}
END_TEST

START_TEST(a_slice_that_grows_does_not_reach_into_one_that_is_in_use)
{
	const struct vms_slice kept[] = { { "one", { UINT64_C(1) << 30, UINT64_C(2) << 30 } }, { "two", { UINT64_C(2) << 30, UINT64_C(3) << 30 } } };
	const struct vms_tenant_conf *one, *two;

	put("vmsup.conf", "pool: 1G-16G\nslice: 2G\n");
	put("tenants.d/one.conf", "command: [a]\nrange: auto\n");
	put("tenants.d/two.conf", "command: [a]\nrange: auto\nslice: 1G\n");
	put("tenants.d/three.conf", "command: [a]\nrange: auto\nslice: 1G\n");
	ck_assert_msg(load(kept, 2) == 0, "%s", err.text);
	one = vms_daemon_conf_find(&conf, "one");
	two = vms_daemon_conf_find(&conf, "two");
	ck_assert_uint_eq(two->range.start, UINT64_C(2) << 30);
	ck_assert_uint_eq(one->range.start, UINT64_C(3) << 30);
	/* What one has for now is nobody else's either. */
	ck_assert_uint_eq(vms_daemon_conf_find(&conf, "three")->range.start, UINT64_C(5) << 30);
	vms_daemon_conf_done(&conf);
	put("tenants.d/three.conf", "command: [a]\nrange: 1G-1536M\n");
	ck_assert_int_eq(load(kept, 2), -EINVAL);
	ck_assert_ptr_nonnull(strstr(told, "which tenant one has as long as it runs: stop that one first"));
}
END_TEST

START_TEST(wrong_defaults_are_told_once)
{
	put("tenants.d/one.conf", "command: [a]\n");
	put("tenants.d/two.conf", "command: [a]\n");
	put("defaults.conf", "\nrestart: perhaps\n");
	ck_assert_int_eq(load(NULL, 0), -EINVAL);
	ck_assert_ptr_nonnull(strstr(told, "defaults.conf:2: restart: 'perhaps'"));
	ck_assert_ptr_null(strstr(strstr(told, "perhaps") + 1, "perhaps"));
	put("defaults.conf", "range: 64K-1G\n");
	ck_assert_int_eq(load(NULL, 0), -EINVAL);
	ck_assert_ptr_nonnull(strstr(told, "for all write range: auto"));
}
END_TEST

START_TEST(a_command_in_one_string_is_split_as_a_shell_would)
{
	static const char *const words[] = { "a", "b c", "", "d'e", "f g", "h\\" };
	const struct vms_tenant_conf *t = only("command: |\n  a 'b c' \"\" d\\'e\n  f\\ g  'h\\'\n");

	ck_assert_uint_eq(t->nr_command, 6);
	for (int i = 0; i < 6; i++)
		ck_assert_str_eq(t->command[i], words[i]);
	vms_daemon_conf_done(&conf);
}
END_TEST

START_TEST(what_was_saved_is_stronger)
{
	const struct vms_tenant_conf *t;

	put("saved/one.conf", "start: manual\ntree-max-commit: 2G\ncommand: [c]\nenvironment: {A: z}\n");
	t = only("command: [a, b]\ntree-max-commit: 1G\nenvironment: {A: b, C: d}\n");
	ck_assert(t->manual);
	ck_assert_uint_eq(t->nr_command, 1);
	ck_assert_str_eq(t->command[0], "c");
	ck_assert_uint_eq(t->nr_environment, 2);
	ck_assert_str_eq(t->environment[0], "A=z");
	ck_assert_uint_eq(t->nr_words, 1);
	ck_assert_str_eq(t->words[0], "--tree-max-commit=2G");
	vms_daemon_conf_done(&conf);
}
END_TEST

static const char *const wrong[][3] = {
	/* file, text, what is said */
	{ "tenants.d/one.conf", "command: [a]\nrestart: sometimes\n", "one.conf:2: restart: 'sometimes'" },
	{ "tenants.d/one.conf", "command: [a]\nstop-time: 10\n", "one.conf:2: stop-time: '10'" },
	{ "tenants.d/one.conf", "command: [a]\ndirectory: tmp\n", "no absolute path" },
	{ "tenants.d/one.conf", "command: [a]\nslice: 5000\n", "whole pages" },
	{ "tenants.d/one.conf", "command: [a]\nslice: 4096\n", "holds no program" },
	{ "tenants.d/one.conf", "command: [a]\nrange: 0-4G\n", "the range of tenant one starts at 0x0" },
	{ "tenants.d/one.conf", "command: [a]\nrange: 64K-255T\n", "no addresses above 0x7ffffffff000" },
	{ "tenants.d/one.conf", "command: [a]\nva-bits: 48\n", "no addresses above 0x7ffffffff000" },
	{ "vmsup.conf", "pool: 200T-201T\n", "the pool ends at" },
	{ "tenants.d/one.conf", "command: [a]\nshare: yes\n", "needs range: auto" },
	{ "tenants.d/one.conf", "command: [a]\nshare: maybe\n", "share" },
	{ "tenants.d/one.conf", "command: [a]\nrange: auto\nmode: fence\nshare: yes\n", "needs mode: supervise" },
	{ "tenants.d/one.conf", "command: [a]\nuser: no-such-user\n", "there is no user 'no-such-user'" },
	{ "tenants.d/one.conf", "command: [a]\nenvironment: {A: b, A: c}\n", "given a second time" },
	{ "tenants.d/one.conf", "command: [a]\nenvironment: {1A: b}\n", "can be no name of a variable" },
	{ "tenants.d/one.conf", "command: [a]\nenvironment: A=b\n", "is to be written as environment: {" },
	{ "tenants.d/one.conf", "command: [a]\ncommand: [b]\n", "command is given a second time, after line 1" },
	{ "tenants.d/one.conf", "command: \"a 'b\"\n", "a quote is not closed" },
	{ "tenants.d/one.conf", "comand: [a]\n", "did you mean command?" },
	{ "tenants.d/one.conf", "restart: always\n", "command is missing" },
	{ "tenants.d/one.conf", "command: [a]\nmode: fence\nmax-commit: 1G\n", "one.conf" },
	{ "tenants.d/one.conf", "command: [a]\nrange: auto\n", "there is no pool" },
	{ "tenants.d/-x.conf", "command: [a]\n", "a tenant's name" },
	{ "vmsup.conf", "range: 1G-2G\n", "unknown key 'range'" },
	{ "vmsup.conf", "pool: 2G-1G\n", "vmsup.conf:1: " },
	{ "vmsup.conf", "socket-group: no-such-group\n", "there is no group" },
};

START_TEST(what_is_wrong_is_told_with_its_place)
{
	put(wrong[_i][0], wrong[_i][1]);
	ck_assert_int_eq(load(NULL, 0), -EINVAL);
	ck_assert_msg(strstr(err.text, wrong[_i][2]), "%s", err.text);
	ck_assert_msg(strstr(told, wrong[_i][2]), "%s", told);
}
END_TEST

START_TEST(all_that_is_wrong_is_told)
{
	put("vmsup.conf", "pol: 1G-2G\n");
	put("tenants.d/a.conf", "command: [a]\nx: y\nstart: now\n");
	put("tenants.d/b.conf", "restart: no\n");
	ck_assert_int_eq(load(NULL, 0), -EINVAL);
	ck_assert_ptr_nonnull(strstr(told, "vmsup.conf:1: "));
	ck_assert_ptr_nonnull(strstr(told, "a.conf:2: "));
	ck_assert_ptr_nonnull(strstr(told, "a.conf:3: "));
	ck_assert_ptr_nonnull(strstr(told, "b.conf: command is missing"));
}
END_TEST

#define GIB(n) ((vms_addr_t)(n) << 30)

static void check_slice(const char *name, vms_addr_t start, vms_addr_t end)
{
	const struct vms_tenant_conf *t = vms_daemon_conf_find(&conf, name);

	ck_assert_ptr_nonnull(t);
	ck_assert_msg(t->range.start == GIB(start) && t->range.end == GIB(end), "%s: %llx-%llx", name,
		      (unsigned long long)t->range.start, (unsigned long long)t->range.end);
}

START_TEST(slices_are_disjoint_and_kept)
{
	const struct vms_slice kept[] = { { "c", { GIB(16), GIB(20) } }, { "gone", { GIB(20), GIB(24) } }, { "d", { GIB(30), GIB(34) } } };

	put("vmsup.conf", "pool: 16G-40G\nslice: 4G\n");
	put("tenants.d/a.conf", "command: [a]\nrange: auto\n");
	put("tenants.d/b.conf", "command: [a]\nrange: 21G-23G\n");
	put("tenants.d/c.conf", "command: [a]\nrange: auto\nshare: yes\n");
	put("tenants.d/d.conf", "command: [a]\nrange: auto\nslice: 8G\nshare: yes\n");
	ck_assert_msg(load(kept, 3) == 0, "%s", err.text);
	check_slice("c", 16, 20);
	check_slice("b", 21, 23);
	/* Not where one is that is about to end. */
	check_slice("a", 24, 28);
	/* It wants another size than it has. */
	check_slice("d", 28, 36);
	ck_assert_str_eq(vms_daemon_conf_find(&conf, "a")->words[0], "--range=0x600000000-0x700000000");
	ck_assert_ptr_null(vms_daemon_conf_find(&conf, "a")->words[1]);
	/* The rest of the pool is open to those that share. */
	ck_assert_str_eq(vms_daemon_conf_find(&conf, "c")->words[1], "--hole=0x500000000-0xa00000000");
	ck_assert_str_eq(vms_daemon_conf_find(&conf, "d")->words[1], "--hole=0x400000000-0x700000000");
	ck_assert_str_eq(vms_daemon_conf_find(&conf, "d")->words[2], "--hole=0x900000000-0xa00000000");
	vms_daemon_conf_done(&conf);
}
END_TEST

START_TEST(a_pool_that_is_full_names_both)
{
	put("vmsup.conf", "pool: 16G-24G\nslice: 4G\n");
	put("tenants.d/a.conf", "command: [a]\nrange: auto\n");
	put("tenants.d/b.conf", "command: [a]\nrange: 18G-20G\n");
	put("tenants.d/c.conf", "command: [a]\nrange: auto\n");
	ck_assert_int_eq(load(NULL, 0), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "no room for tenant c"));
	ck_assert_ptr_nonnull(strstr(err.text, "beside tenant a"));
}
END_TEST

START_TEST(ranges_in_the_pool_must_not_overlap)
{
	put("vmsup.conf", "pool: 16G-24G\n");
	put("tenants.d/a.conf", "command: [a]\nrange: 17G-20G\n");
	put("tenants.d/b.conf", "command: [a]\nrange: 18G-21G\n");
	ck_assert_int_eq(load(NULL, 0), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "tenants a and b"));
	put("vmsup.conf", "pool: 32G-64G\n");
	ck_assert_msg(load(NULL, 0) == 0, "%s", err.text);
	vms_daemon_conf_done(&conf);
	/* A short name for a range. */
	put("tenants.d/a.conf", "command: [a]\nva-bits: 47\n");
	put("tenants.d/b.conf", "command: [a]\nrange: auto\n");
	ck_assert_int_eq(load(NULL, 0), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "tenant b"));
	ck_assert_ptr_nonnull(strstr(err.text, "beside tenant a"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tenant");
	TCase *t = tcase_create("tenant");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_tenant_has_what_its_file_says_and_defaults);
	tcase_add_test(t, what_defaults_say_holds_for_all_that_say_nothing);
	tcase_add_test(t, wrong_defaults_are_told_once);
	tcase_add_test(t, a_slice_that_grows_does_not_reach_into_one_that_is_in_use);
	tcase_add_test(t, a_command_in_one_string_is_split_as_a_shell_would);
	tcase_add_test(t, what_was_saved_is_stronger);
	tcase_add_loop_test(t, what_is_wrong_is_told_with_its_place, 0, (int)(sizeof(wrong) / sizeof(wrong[0])));
	tcase_add_test(t, all_that_is_wrong_is_told);
	tcase_add_test(t, slices_are_disjoint_and_kept);
	tcase_add_test(t, a_pool_that_is_full_names_both);
	tcase_add_test(t, ranges_in_the_pool_must_not_overlap);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
