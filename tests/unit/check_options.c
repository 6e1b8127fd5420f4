/* What `vmsup run` makes of its words, and what it says of bad ones. No program is started. */
#include "vmsup/conf/options.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmsup/conf/nearest.h"

#define WORDS_MAX 16

struct parsed {
	char *words[WORDS_MAX + 1];
	int count;
	int ret;
	struct vms_run_options options;
	enum vms_options_verdict verdict;
	struct vms_err err;
};

/* Parse "run" and the blank-separated words of @line. They live until the next call. */
static struct parsed *parse(const char *line)
{
	static struct parsed p;
	static char text[512];

	memset(&p, 0, sizeof(p));
	snprintf(text, sizeof(text), "run %s", line);
	for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) {
		ck_assert_int_lt(p.count, WORDS_MAX);
		p.words[p.count++] = word;
	}
	p.ret = vms_options_parse(p.count, p.words, &p.options, &p.verdict, &p.err);
	return &p;
}

static struct vms_run_options *good(const char *line)
{
	struct parsed *p = parse(line);

	ck_assert_msg(p->ret == 0, "'%s' was refused: %s", line, p->err.text);
	ck_assert_int_eq(p->verdict, VMS_OPTIONS_RUN);
	return &p->options;
}

START_TEST(defaults_supervise_the_whole_space)
{
	struct vms_run_options *o = good("prog");

	ck_assert(!o->has_range && !o->audit && !o->stats && !o->trace);
	ck_assert(o->signal_guard);
	ck_assert_int_eq(o->mode, VMS_MODE_SUPERVISE);
	ck_assert_int_eq(o->place, VMS_PLACE_AUTO);
	ck_assert_int_eq(o->aslr, VMS_ASLR_RANDOM);
	ck_assert_str_eq(o->argv[0], "prog");
	ck_assert_ptr_null(o->argv[1]);
}
END_TEST

START_TEST(every_option_is_taken)
{
	struct vms_run_options *o = good("--range 64K-0x7fff0000 --mode=supervise --place remote "
					 "--seed=0x10 --audit --stats=s --trace=t --no-signal-guard "
					 "-- prog");

	ck_assert(o->has_range && o->audit && o->stats && o->trace && !o->signal_guard);
	ck_assert_uint_eq(o->range.start, 0x10000);
	ck_assert_uint_eq(o->range.end, 0x7fff0000);
	ck_assert_int_eq(o->mode, VMS_MODE_SUPERVISE);
	ck_assert_int_eq(o->place, VMS_PLACE_REMOTE);
	ck_assert_int_eq(o->aslr, VMS_ASLR_SEED);
	ck_assert_uint_eq(o->seed, 16);
	ck_assert_str_eq(o->stats_file, "s");
	ck_assert_str_eq(o->trace_file, "t");
	ck_assert_str_eq(o->argv[0], "prog");
}
END_TEST

START_TEST(stats_and_trace_alone_go_to_stderr)
{
	struct vms_run_options *o = good("--stats --trace prog");

	ck_assert(o->stats && o->trace);
	ck_assert_ptr_null(o->stats_file);
	ck_assert_ptr_null(o->trace_file);
	/* The next word is the program, never the file. */
	ck_assert_str_eq(o->argv[0], "prog");
}
END_TEST

START_TEST(no_aslr_is_taken)
{
	ck_assert_int_eq(good("--no-aslr prog")->aslr, VMS_ASLR_OFF);
}
END_TEST

START_TEST(seed_zero_is_a_seed)
{
	struct vms_run_options *o = good("--seed 0 prog");

	ck_assert_int_eq(o->aslr, VMS_ASLR_SEED);
	ck_assert_uint_eq(o->seed, 0);
	ck_assert_uint_eq(good("--seed 18446744073709551615 prog")->seed, UINT64_MAX);
}
END_TEST

START_TEST(the_last_of_two_values_holds)
{
	ck_assert_int_eq(good("--mode fence --mode supervise prog")->mode, VMS_MODE_SUPERVISE);
	ck_assert_uint_eq(good("--seed 1 --seed 2 prog")->seed, 2);
}
END_TEST

START_TEST(options_of_the_program_stay_its_own)
{
	struct vms_run_options *o = good("--audit ls --stats -l -- --mode bad");

	ck_assert(o->audit && !o->stats);
	ck_assert_str_eq(o->argv[0], "ls");
	ck_assert_str_eq(o->argv[1], "--stats");
	ck_assert_str_eq(o->argv[2], "-l");
	ck_assert_str_eq(o->argv[3], "--");
	ck_assert_str_eq(o->argv[4], "--mode");
	ck_assert_str_eq(o->argv[5], "bad");
	ck_assert_ptr_null(o->argv[6]);
}
END_TEST

START_TEST(two_dashes_end_the_options)
{
	struct vms_run_options *o = good("-- --audit --help");

	ck_assert(!o->audit);
	ck_assert_str_eq(o->argv[0], "--audit");
	ck_assert_str_eq(o->argv[1], "--help");
}
END_TEST

START_TEST(fence_takes_reports_and_seeds)
{
	struct vms_run_options *o = good("--mode=fence --audit --stats --trace --seed 1 "
					 "--place auto --no-signal-guard prog");

	ck_assert_int_eq(o->mode, VMS_MODE_FENCE);
	ck_assert(o->audit && o->stats && o->trace);
}
END_TEST

START_TEST(the_guard_is_off_in_fence_mode_unless_asked_for)
{
	ck_assert(!good("--mode=fence prog")->signal_guard);
	ck_assert(good("--mode=fence --signal-guard prog")->signal_guard);
	ck_assert(good("--signal-guard --mode=fence prog")->signal_guard);
	ck_assert(good("--signal-guard prog")->signal_guard);
	ck_assert(!good("--signal-guard --no-signal-guard prog")->signal_guard);
}
END_TEST

START_TEST(help_needs_no_program)
{
	const char *const lines[] = { "--help", "-h", "--audit --help", "--help prog" };

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct parsed *p = parse(lines[i]);

		ck_assert_int_eq(p->ret, 0);
		ck_assert_int_eq(p->verdict, VMS_OPTIONS_HELP);
	}
}
END_TEST

/* The line, and what its sentence must say. */
static const struct {
	const char *line;
	const char *says;
} bad[] = {
	{ "", "no program" },
	{ "--", "no program" },
	{ "--audit", "no program" },
	{ "--rnage 1-2 prog", "did you mean --range?" },
	{ "--rang=64K-1M prog", "did you mean --range?" },
	{ "--stat prog", "did you mean --stats?" },
	{ "--no-aslt prog", "did you mean --no-aslr?" },
	{ "--signal-guards prog", "unknown option '--signal-guards'" },
	{ "--xyzzy prog", "help run" },
	{ "-x prog", "unknown option '-x'" },
	{ "-mode fence prog", "did you mean --mode?" },
	{ "--audit=1 prog", "--audit takes no value" },
	{ "--no-aslr=x prog", "--no-aslr takes no value" },
	{ "--range", "--range needs a value" },
	{ "--audit --seed", "--seed needs a value" },
	{ "--mode", "--mode=fence" },
	{ "--place", "--place=remote" },
	{ "--range 1M-64K prog", "range" },
	{ "--range= prog", "range" },
	{ "--range 1-2 prog", "range" },
	{ "--mode= prog", "unknown mode ''" },
	{ "--mode supervised prog", "'supervise' or 'fence'" },
	{ "--place local prog", "'auto' or 'remote'" },
	{ "--seed -1 prog", "'-1' is not a seed" },
	{ "--seed= prog", "'' is not a seed" },
	{ "--seed 12x4 prog", "'12x4' is not a seed" },
	{ "--seed 18446744073709551616 prog", "too big" },
	{ "--stats= prog", "--stats= names no file" },
	{ "--trace= prog", "--trace= names no file" },
	{ "--seed 1 --no-aslr prog", "exclude each other" },
	{ "--no-aslr --seed 1 prog", "exclude each other" },
	{ "--mode fence --place remote prog", "no effect with --mode=fence" },
	{ "--place remote --mode fence prog", "no effect with --mode=fence" },
};

START_TEST(bad_lines_get_a_sentence)
{
	struct parsed *p = parse(bad[_i].line);

	ck_assert_msg(p->ret == -EINVAL, "'%s' was taken", bad[_i].line);
	ck_assert_msg(strstr(p->err.text, bad[_i].says), "'%s' got: %s", bad[_i].line, p->err.text);
	ck_assert_ptr_null(strchr(p->err.text, '\n'));
	/* Nothing is written on failure. */
	ck_assert_ptr_null(p->options.argv);
}
END_TEST

START_TEST(a_long_bad_word_is_cut)
{
	char line[400];
	struct parsed *p;

	memset(line, 'x', sizeof(line));
	memcpy(line, "--mode ", 7);
	line[sizeof(line) - 1] = '\0';
	p = parse(line);
	ck_assert_int_eq(p->ret, -EINVAL);
	ck_assert(strlen(p->err.text) < 200);
	ck_assert_ptr_nonnull(strstr(p->err.text, "'supervise' or 'fence'"));
}
END_TEST

START_TEST(one_parse_does_not_colour_the_next)
{
	ck_assert_int_eq(parse("--audit --xyzzy prog")->ret, -EINVAL);
	ck_assert(!good("prog")->audit);
	ck_assert_int_eq(parse("-xyz prog")->ret, -EINVAL);
	ck_assert_str_eq(good("--stats a b")->argv[0], "a");
}
END_TEST

START_TEST(nearest_finds_slips_and_no_more)
{
	static const char *const verbs[] = { "run", "maps", "ps", "doctor", "help" };
	static const struct {
		const char *word, *meant;
	} slips[] = {
		{ "rn", "run" },
		{ "rnu", "run" },
		{ "runn", "run" },
		{ "map", "maps" },
		{ "mpas", "maps" },
		{ "dcotor", "doctor" },
		{ "doc", "doctor" },
		{ "hlep", "help" },
		{ "p", "ps" },
		{ "python3", NULL },
		{ "ls", NULL },
		{ "exec", NULL },
		{ "", NULL },
	};

	for (size_t i = 0; i < sizeof(slips) / sizeof(slips[0]); i++) {
		const char *near = vms_nearest(slips[i].word, strlen(slips[i].word), verbs, 5);

		if (slips[i].meant)
			ck_assert_pstr_eq(near, slips[i].meant);
		else
			ck_assert_msg(!near, "'%s' became '%s'", slips[i].word, near);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("options");
	TCase *tc = tcase_create("options");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, defaults_supervise_the_whole_space);
	tcase_add_test(tc, every_option_is_taken);
	tcase_add_test(tc, stats_and_trace_alone_go_to_stderr);
	tcase_add_test(tc, no_aslr_is_taken);
	tcase_add_test(tc, seed_zero_is_a_seed);
	tcase_add_test(tc, the_last_of_two_values_holds);
	tcase_add_test(tc, options_of_the_program_stay_its_own);
	tcase_add_test(tc, two_dashes_end_the_options);
	tcase_add_test(tc, fence_takes_reports_and_seeds);
	tcase_add_test(tc, the_guard_is_off_in_fence_mode_unless_asked_for);
	tcase_add_test(tc, help_needs_no_program);
	tcase_add_loop_test(tc, bad_lines_get_a_sentence, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(tc, a_long_bad_word_is_cut);
	tcase_add_test(tc, one_parse_does_not_colour_the_next);
	tcase_add_test(tc, nearest_finds_slips_and_no_more);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
