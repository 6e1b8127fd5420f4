/* Configuration files and profiles: what is taken, what is refused and in which line, and which of several places wins. */
#include "vmsup/conf/config.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmsup/conf/profile.h"

static struct vms_err err;
static char told[2048];

static void note(const char *sentence, void *arg)
{
	(void)arg;
	strncat(told, sentence, sizeof(told) - strlen(told) - 2);
	strcat(told, "\n");
}

static int parse(const char *text, struct vms_settings *ret_settings)
{
	err = (struct vms_err)VMS_ERR_INIT;
	return vms_config_parse("f", text, strlen(text), NULL, ret_settings, &err);
}

/* What the file @text makes of the options; the strings are not looked at later. */
static struct vms_run_options *good(const char *text)
{
	static struct vms_draft draft;
	struct vms_settings settings;

	draft = (struct vms_draft)VMS_DRAFT_INIT;
	ck_assert_msg(parse(text, &settings) == 0, "'%s' was refused: %s", text, err.text);
	ck_assert_int_eq(vms_settings_apply(&settings, 1, &draft, &err), 0);
	ck_assert_int_eq(vms_draft_check(&draft, &err), 0);
	vms_draft_done(&draft);
	vms_settings_done(&settings);
	return &draft.options;
}

START_TEST(a_file_may_be_empty)
{
	const char *const empty[] = { "", "\n\n", "# nothing\n", "  # nothing" };

	for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
		struct vms_run_options *o = good(empty[i]);

		ck_assert(!o->has_range && !o->audit && o->signal_guard);
		ck_assert_int_eq(o->aslr, VMS_ASLR_RANDOM);
	}
}
END_TEST

START_TEST(every_row_is_a_key)
{
	unsigned int keys = 0;

	for (const struct vms_option *o = vms_run_table; o->name; o++) {
		struct vms_settings settings;
		char text[200];

		if (o->kind == VMS_OPTION_FLAG)
			snprintf(text, sizeof(text), "%s: yes\n", o->name);
		else
			snprintf(text, sizeof(text), "%s: %s\n", o->name, o->example);
		if (o->line_only) {
			ck_assert_int_eq(parse(text, &settings), -EINVAL);
			ck_assert_ptr_nonnull(strstr(err.text, "command line only"));
			continue;
		}
		ck_assert_msg(parse(text, &settings) == 0, "'%s' was refused: %s", text, err.text);
		ck_assert_uint_eq(settings.nr, 1);
		ck_assert_ptr_eq(settings.all[0].option, o);
		vms_settings_done(&settings);
		if (o->kind == VMS_OPTION_LIST) {
			snprintf(text, sizeof(text), "%s:\n- %s\n- '%s'\n", o->name, o->example, o->example);
			ck_assert_msg(parse(text, &settings) == 0, "'%s' was refused: %s", text, err.text);
			ck_assert_uint_eq(settings.nr, 2);
			vms_settings_done(&settings);
		}
		keys++;
	}
	ck_assert_uint_gt(keys, 20);
}
END_TEST

START_TEST(every_row_is_an_option_of_the_line)
{
	for (const struct vms_option *o = vms_run_table; o->name; o++) {
		struct vms_run_options options;
		enum vms_options_verdict verdict;
		char run_word[] = "run", prog[] = "prog", word[100], *argv[] = { run_word, word, prog, NULL };
		bool elsewhere = strcmp(o->name, "config") == 0 || strcmp(o->name, "profile") == 0;
		int r;

		snprintf(word, sizeof(word), o->example ? "--%s=%s" : "--%s", o->name, o->example);
		r = vms_options_parse(3, argv, &options, &verdict, &err);
		if (elsewhere) {
			ck_assert_int_eq(r, -ENOENT);
			continue;
		}
		ck_assert_msg(r == 0, "'%s' was refused: %s", word, err.text);
		ck_assert_int_eq(verdict == VMS_OPTIONS_HELP, strcmp(o->name, "help") == 0);
		if (verdict == VMS_OPTIONS_RUN)
			vms_options_done(&options);
	}
}
END_TEST

START_TEST(every_word_of_a_row_is_a_right_value)
{
	for (const struct vms_option *o = vms_run_table; o->name; o++) {
		char words[200], *save, *word;

		snprintf(words, sizeof(words), "%s", o->words ? o->words : "");
		for (word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
			struct vms_settings settings;
			char text[100];

			if (strcmp(word, "FILE") == 0 || strcmp(word, "DIRECTORY") == 0 || strcmp(word, "PROFILE") == 0 ||
			    strcmp(word, "CALL") == 0)
				continue;
			snprintf(text, sizeof(text), "%s: %s", o->name, word);
			ck_assert_msg(parse(text, &settings) == 0, "'%s' was refused: %s", text, err.text);
			vms_settings_done(&settings);
		}
	}
}
END_TEST

START_TEST(values_are_those_of_the_line)
{
	struct vms_run_options *o = good("range: 64K-8G\nseed: 0x10 # hexadecimal\nhole: [1G-2G, \"3G-4G\"]\n"
					 "max-commit: 512M\ninject:\n  - mmap:error=ENOMEM:size>1G\n"
					 "  - '%memory:error=EAGAIN'\nno-signal-guard: on\naudit: no\n");

	ck_assert(o->has_range && !o->audit && !o->signal_guard);
	ck_assert_uint_eq(o->range.end, (uint64_t)8 << 30);
	ck_assert_int_eq(o->aslr, VMS_ASLR_SEED);
	ck_assert_uint_eq(o->seed, 16);
	ck_assert_uint_eq(o->policy.nr_holes, 2);
	ck_assert_uint_eq(o->limits.max[VMS_LIMIT_COMMIT], (uint64_t)512 << 20);
}
END_TEST

START_TEST(reports_go_to_stderr_or_to_a_file)
{
	struct vms_settings settings;

	ck_assert_int_eq(parse("stats: yes\ntrace: ./yes\n", &settings), 0);
	ck_assert_ptr_null(vms_settings_text(&settings, "stats"));
	ck_assert(!settings.all[0].off);
	ck_assert_str_eq(vms_settings_text(&settings, "trace"), "./yes");
	vms_settings_done(&settings);
	ck_assert(!good("stats: no")->stats);
}
END_TEST

/* The text, the line that is told, and what the sentence must say. */
static const struct {
	const char *text;
	unsigned int line;
	const char *says;
} bad[] = {
	{ "\n# c\nrnage: 1M-2M\n", 3, "unknown key 'rnage'; did you mean range?" },
	{ "max-comit: 1G", 1, "did you mean max-commit?" },
	{ "xyzzy: 1", 1, "unknown key 'xyzzy'; vmsup.conf(5)" },
	{ "--mode: fence", 1, "did you mean mode?" },
	{ "Mode: fence", 1, "unknown key 'Mode'" },
	{ "\"\": fence", 1, "unknown key ''" },
	{ "config: a", 1, "command line only" },
	{ "help: yes", 1, "command line only" },
	{ "audit: yes\nmode: fenced\n", 2, "'supervise' or 'fence'" },
	{ "mode:\n  fenced\n", 2, "'supervise' or 'fence'" },
	{ "seed: -1", 1, "'-1' is not a seed" },
	{ "seed: 18446744073709551616", 1, "too big" },
	{ "seed: 1\nmode: fence\n\nseed: 2", 4, "seed is given a second time, after line 1" },
	{ "audit: no\naudit: no", 2, "a second time" },
	{ "hole: 1G-2G\nhole: 3G-4G", 2, "write one list: hole: [" },
	{ "hole: [1G-2G,\n3G-2G]", 2, "--hole" },
	{ "hole: [1G-2G\n", 2, "while parsing a flow sequence" },
	{ "range: [1G-2G]", 1, "range takes one value" },
	{ "audit: maybe", 1, "audit takes yes or no, not 'maybe'" },
	{ "audit:", 1, "audit takes yes or no" },
	{ "range:", 1, "range needs a value, as range: " },
	{ "range: ''", 1, "needs a value" },
	{ "range 64K-1G", 1, "KEY: VALUE" },
	{ "range = 64K-1G\nmode: fence\n", 1, "KEY: VALUE" },
	{ "- range", 1, "KEY: VALUE" },
	{ "range: {a: b}", 1, "range is no word" },
	{ "hole: [[1G-2G]]", 1, "a value is no word" },
	{ "? [a]\n: b", 1, "a key is no word" },
	{ "range: &a 1M-2M", 1, "anchor" },
	{ "range: *a", 1, "anchor or an alias" },
	{ "range: !!str 1M-2M", 1, "tag" },
	{ "inject: %memory:error=ENOMEM", 1, "KEY: VALUE" },
	{ "mode: fence\n---\nmode: fence", 2, "one document" },
	{ "mode: fence\n...\naudit: yes", 3, "" },
	{ "mode: \"fen\\0ce\"", 1, "zero byte" },
	{ "mode: \"fen\\nce\"", 1, "control character" },
	{ "mode: \"fen\\e[1mce\"", 1, "control character" },
	{ "audit: yes\nmode: \xff\xfe", 2, "UTF-8" },
	{ "\tmode: fence", 1, "" },
	{ "seed: 1\nno-aslr: yes", 0, "exclude each other" },
	{ "mode: fence\nplace: remote", 0, "no effect with --mode=fence" },
};

START_TEST(bad_files_get_a_line_and_a_sentence)
{
	struct vms_settings settings;
	char where[20];

	if (bad[_i].line)
		snprintf(where, sizeof(where), "f:%u: ", bad[_i].line);
	else
		strcpy(where, "f: ");
	ck_assert_msg(parse(bad[_i].text, &settings) == -EINVAL, "'%s' was taken", bad[_i].text);
	ck_assert_msg(strncmp(err.text, where, strlen(where)) == 0, "'%s' got: %s", bad[_i].text, err.text);
	ck_assert_msg(strstr(err.text, bad[_i].says), "'%s' got: %s", bad[_i].text, err.text);
	ck_assert_ptr_null(strchr(err.text, '\n'));
}
END_TEST

START_TEST(all_bad_lines_are_told)
{
	static const char text[] = "rnage: {\"1M-2M\": 3}\n"
				   "mode: fence\n";
	static const char several[] = "rnage: [1M, 2M]\nmode: x\naudit: yes\naudit: yes\nhole: [1, 2]\n";
	const struct vms_config_tell tell = { .tell = note };
	struct vms_settings settings;

	told[0] = '\0';
	ck_assert_int_eq(vms_config_parse("f", several, strlen(several), &tell, &settings, &err), -EINVAL);
	for (int line = 1; line <= 5; line++) {
		char where[20];

		snprintf(where, sizeof(where), "f:%d: ", line);
		ck_assert_msg(!strstr(told, where) == (line == 3), "line %d:\n%s", line, told);
	}
	/* The first of them is in err. */
	ck_assert_int_eq(strncmp(told, err.text, strlen(err.text)), 0);
	told[0] = '\0';
	ck_assert_int_eq(vms_config_parse("f", text, strlen(text), &tell, &settings, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(told, "f:1: unknown key"));
}
END_TEST

START_TEST(long_words_are_cut)
{
	static char text[VMS_CONFIG_MAX_SIZE];
	struct vms_settings settings;

	memset(text, 'x', sizeof(text) - 1);
	memcpy(text, "mode: ", 6);
	ck_assert_int_eq(parse(text, &settings), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "'supervise' or 'fence'"));
	memset(text, '[', sizeof(text) - 1);
	ck_assert_int_eq(parse(text, &settings), -EINVAL);
	memcpy(text, "hole: ", 6);
	ck_assert_int_eq(parse(text, &settings), -EINVAL);
}
END_TEST

/* ---- places ---- */

static char folder[] = "/tmp/check_config-XXXXXX";

static void write_file(const char *name, const char *text)
{
	char path[200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static void set_up(void)
{
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	setenv("VMSUP_PROFILES", folder, 1);
	write_file("p.conf", "mode: fence\nva-bits: 39\nseed: 5\naudit: yes\nstats: from-p\n");
	write_file("q.conf", "hole: [1M-2M, 3M-4M]\navoid: asan\nguard-gap: 64K\nmax-va: 1G\n");
	write_file("nested.conf", "profile: p\n");
	write_file("broken.conf", "mode: fence\nmode: fence\n");
	write_file("c", "range: 64K-1G\nno-aslr: yes\nmode: supervise\nstats: no\n");
	write_file("named", "profile: q\nhole: []\nmax-va: none\n");
	write_file("bad", "\nmode: x\n");
}

static void tear_down(void)
{
	static const char *const names[] = { "p.conf", "q.conf", "nested.conf", "broken.conf", "c", "named", "bad" };
	char path[200];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	rmdir(folder);
}

/* The words of @line; @NAME in it is the path of a file. */
static int run(const char *line, struct vms_run_options *ret_options)
{
	static char words[20][200];
	char text[300], *argv[21], *save;
	enum vms_options_verdict verdict;
	int argc = 0;

	snprintf(text, sizeof(text), "run %s", line);
	for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		char *at = strchr(word, '@');

		if (at)
			snprintf(words[argc], sizeof(words[0]), "%.*s%s/%s", (int)(at - word), word, folder, at + 1);
		else
			snprintf(words[argc], sizeof(words[0]), "%s", word);
		argv[argc] = words[argc];
		argc++;
	}
	argv[argc] = NULL;
	err = (struct vms_err)VMS_ERR_INIT;
	return vms_options_parse(argc, argv, ret_options, &verdict, &err);
}

START_TEST(a_profile_is_taken)
{
	struct vms_run_options o;

	ck_assert_msg(run("--profile p prog", &o) == 0, "%s", err.text);
	ck_assert_int_eq(o.mode, VMS_MODE_FENCE);
	ck_assert_uint_eq(o.va_bits, 39);
	ck_assert_int_eq(o.aslr, VMS_ASLR_SEED);
	ck_assert(o.audit && o.stats);
	ck_assert_str_eq(o.stats_file, "from-p");
	ck_assert_str_eq(o.argv[0], "prog");
	vms_options_done(&o);
}
END_TEST

START_TEST(a_file_is_stronger_than_a_profile)
{
	const char *const lines[] = { "--profile p --config @c prog", "--config=@c --profile=p -- prog" };

	for (int i = 0; i < 2; i++) {
		struct vms_run_options o;

		ck_assert_msg(run(lines[i], &o) == 0, "%s", err.text);
		ck_assert_int_eq(o.mode, VMS_MODE_SUPERVISE);
		/* Each of these says the same in other words. */
		ck_assert(o.has_range && !o.va_bits);
		ck_assert_int_eq(o.aslr, VMS_ASLR_OFF);
		ck_assert(o.audit && !o.stats);
		vms_options_done(&o);
	}
}
END_TEST

START_TEST(the_line_is_stronger_wherever_it_stands)
{
	const char *const lines[] = { "--seed 7 --mode=fence --va-bits 31 --stats=mine --config @c prog",
				      "--config @c --seed 7 --mode=fence --va-bits 31 --stats=mine prog",
				      "--seed 7 --config @c --profile p --mode=fence --va-bits 31 --stats=mine prog" };

	for (int i = 0; i < 3; i++) {
		struct vms_run_options o;

		ck_assert_msg(run(lines[i], &o) == 0, "%s", err.text);
		ck_assert_int_eq(o.mode, VMS_MODE_FENCE);
		ck_assert(!o.has_range);
		ck_assert_uint_eq(o.va_bits, 31);
		ck_assert_int_eq(o.aslr, VMS_ASLR_SEED);
		ck_assert_uint_eq(o.seed, 7);
		ck_assert_str_eq(o.stats_file, "mine");
		vms_options_done(&o);
	}
}
END_TEST

START_TEST(words_are_what_holds)
{
	static const char *const want[] = { "--mode=supervise", "--audit", "--range=64K-1G", "--seed=7" };
	struct vms_run_options o;

	ck_assert_msg(run("--seed 7 --config @c --profile p prog --audit", &o) == 0, "%s", err.text);
	ck_assert_int_eq(o.nr_words, 4);
	for (size_t i = 0; i < 4; i++) {
		bool found = false;

		for (int j = 0; j < o.nr_words; j++)
			found |= strcmp(o.words[j], want[i]) == 0;
		ck_assert_msg(found, "%s is missing", want[i]);
	}
	vms_options_done(&o);
}
END_TEST

START_TEST(a_list_replaces_the_whole_list)
{
	struct vms_run_options o;
	size_t with_asan;

	ck_assert_msg(run("--profile q prog", &o) == 0, "%s", err.text);
	with_asan = o.policy.nr_holes;
	ck_assert_uint_gt(with_asan, 2);
	vms_options_done(&o);
	/* --avoid is an option of its own. */
	ck_assert_msg(run("--profile q --hole 5M-6M prog", &o) == 0, "%s", err.text);
	ck_assert_uint_eq(o.policy.nr_holes, with_asan - 1);
	vms_options_done(&o);
}
END_TEST

START_TEST(a_file_may_name_its_profile)
{
	struct vms_run_options o;

	ck_assert_msg(run("--config @named prog", &o) == 0, "%s", err.text);
	ck_assert_uint_eq(o.policy.guard_gap, 65536);
	ck_assert_uint_eq(o.limits.max[VMS_LIMIT_VA], VMS_UNLIMITED);
	vms_options_done(&o);
	/* That of the line takes its place. */
	ck_assert_msg(run("--config @named --profile p prog", &o) == 0, "%s", err.text);
	ck_assert_uint_eq(o.policy.guard_gap, 0);
	ck_assert_int_eq(o.mode, VMS_MODE_FENCE);
	vms_options_done(&o);
}
END_TEST

START_TEST(places_that_are_wrong_say_so)
{
	static const struct {
		const char *line, *says;
	} wrong[] = {
		{ "--config @bad prog", "/bad:2: " },
		{ "--config @bad --mode fence prog", "/bad:2: " },
		{ "--config @none prog", "No such file" },
		{ "--config=/ prog", "Is a directory" },
		{ "--config=/dev/zero prog", "larger than" },
		{ "--config= prog", "names nothing" },
		{ "--config @c --config @c prog", "once only" },
		{ "--profile p --profile q prog", "once only" },
		{ "--profile brokn prog", "did you mean broken?" },
		{ "--profile xyzzy prog", "there are: broken, nested, p, q" },
		{ "--profile ../c prog", "there is no profile" },
		{ "--profile broken prog", "broken.conf:2: mode is given a second time" },
		{ "--profile nested prog", "nested.conf:1: a profile cannot name another" },
		{ "--profile p --place remote prog", "no effect with --mode=fence" },
		{ "--config @c", "no program" },
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct vms_run_options o;

		ck_assert_msg(run(wrong[i].line, &o) < 0, "'%s' was taken", wrong[i].line);
		ck_assert_msg(strstr(err.text, wrong[i].says), "'%s' got: %s", wrong[i].line, err.text);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config");
	TCase *text = tcase_create("text"), *places = tcase_create("places");
	SRunner *runner;
	int failed;

	/* No profile is read but by those below, which have their own. */
	setenv("VMSUP_PROFILES", "/nonexistent", 1);
	tcase_add_test(text, a_file_may_be_empty);
	tcase_add_test(text, every_row_is_a_key);
	tcase_add_test(text, every_row_is_an_option_of_the_line);
	tcase_add_test(text, every_word_of_a_row_is_a_right_value);
	tcase_add_test(text, values_are_those_of_the_line);
	tcase_add_test(text, reports_go_to_stderr_or_to_a_file);
	tcase_add_loop_test(text, bad_files_get_a_line_and_a_sentence, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(text, all_bad_lines_are_told);
	tcase_add_test(text, long_words_are_cut);
	suite_add_tcase(suite, text);
	tcase_add_checked_fixture(places, set_up, tear_down);
	tcase_add_test(places, a_profile_is_taken);
	tcase_add_test(places, a_file_is_stronger_than_a_profile);
	tcase_add_test(places, the_line_is_stronger_wherever_it_stands);
	tcase_add_test(places, words_are_what_holds);
	tcase_add_test(places, a_list_replaces_the_whole_list);
	tcase_add_test(places, a_file_may_name_its_profile);
	tcase_add_test(places, places_that_are_wrong_say_so);
	suite_add_tcase(suite, places);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
