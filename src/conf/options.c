/*
 * The command line of `vmsup run`, and how it, a configuration file and a profile become one. Not its help text (src/cli/run.c).
 */
#include "vmsup/conf/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmsup/conf/config.h"
#include "vmsup/conf/option.h"
#include "vmsup/conf/profile.h"
#include "vmsup/conf/setting.h"

/* The weakest first. */
enum {
	PLACE_PROFILE,
	PLACE_FILE,
	PLACE_LINE,
	NR_PLACES,
};

struct vms_places {
	struct vms_settings at[NR_PLACES];
	char **words; /* the options that hold */
	size_t nr_words;
};

static const struct vms_option *row_of(int value)
{
	return &vms_run_table[value - VMS_OPTION_GETOPT];
}

static int unknown_option(const char *word, struct vms_err *err)
{
	const char *name = word + strspn(word, "-");
	const char *near = vms_option_nearest(name, strcspn(name, "="), false);

	if (near)
		return vms_err_set(err, -EINVAL, "unknown option '%.100s'; did you mean --%s?",
				   word, near);
	return vms_err_set(err, -EINVAL,
			   "unknown option '%.100s'; see 'vmsup help run' for those there are", word);
}

/* An abbreviation would change its meaning with the first new option, so none is taken. */
static bool spelled_out(const char *word, const char *name)
{
	size_t len = strcspn(word, "=");

	return len == strlen(name) + 2 && strncmp(word + 2, name, len - 2) == 0;
}

/* getopt's word for what is wrong, made a sentence. @word is the word it stopped at. */
static int refuse(int verdict, int option, const char *word, struct vms_err *err)
{
	if (verdict == ':')
		return vms_err_set(err, -EINVAL, "option --%s needs a value, as --%s=%s", row_of(option)->name,
				   row_of(option)->name, row_of(option)->example);
	if (option >= VMS_OPTION_GETOPT)
		return vms_err_set(err, -EINVAL, "option --%s takes no value; leave out what follows the '='",
				   row_of(option)->name);
	return unknown_option(word, err);
}

/* Reads until the program, or until --help. Each value is tried at once, so that errors come in the order of the words. */
static int read_line(int argc, char **argv, struct vms_settings *line, struct vms_draft *draft, struct vms_err *err)
{
	struct option table[VMS_MAX_OPTIONS + 1];
	int r;

	vms_option_getopt(vms_run_table, table);
	/* 0, not 1: glibc then forgets all about an earlier command line. */
	optind = 0;
	opterr = 0;
	while (!draft->help) {
		const char *word = argv[optind > 0 ? optind : argc > 0];
		int index = -1, c = getopt_long(argc, argv, "+:h", table, &index);
		const struct vms_option *o;

		if (c < 0)
			break;
		if (c == '?' || c == ':')
			return refuse(c, optopt, word, err);
		if (index >= 0 && !spelled_out(word, table[index].name))
			return unknown_option(word, err);
		o = c == 'h' ? vms_option_find("help") : row_of(c);
		r = o->take(draft, o, optarg, err);
		if (r == 0)
			r = vms_settings_add(line, o, optarg, false, 0, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* @line is what the command line says, by which file and profile are found. */
static int read_places(struct vms_places *places, const struct vms_draft *line, struct vms_err *err)
{
	const char *profile = line->profile;
	int r;

	if (line->config) {
		r = vms_config_load(line->config, NULL, &places->at[PLACE_FILE], err);
		if (r < 0)
			return r;
		if (!profile)
			profile = vms_settings_text(&places->at[PLACE_FILE], "profile");
	}
	return profile ? vms_profile_load(profile, &places->at[PLACE_PROFILE], err) : 0;
}

static int parse(int argc, char **argv, struct vms_places *places, struct vms_run_options *ret_options,
		 enum vms_options_verdict *ret_verdict, struct vms_err *err)
{
	struct vms_draft line = VMS_DRAFT_INIT, all = VMS_DRAFT_INIT;
	int r = read_line(argc, argv, &places->at[PLACE_LINE], &line, err);

	all.options.argv = argv + optind;
	all.options.places = places;
	if (r == 0 && !line.help)
		r = read_places(places, &line, err);
	vms_draft_done(&line);
	*ret_verdict = line.help ? VMS_OPTIONS_HELP : VMS_OPTIONS_RUN;
	if (r < 0 || line.help)
		return r;
	r = vms_settings_apply(places->at, NR_PLACES, &all, err);
	if (r == 0 && vms_settings_words(places->at, NR_PLACES, &places->words, &places->nr_words) < 0)
		r = vms_err_set(err, -ENOMEM, "out of memory");
	all.options.words = places->words;
	all.options.nr_words = (int)places->nr_words;
	if (r == 0)
		r = vms_draft_check(&all, err);
	if (r == 0 && !*all.options.argv)
		r = vms_err_set(err, -EINVAL, "no program given; write: vmsup run [OPTIONS] [--] PROG [ARG...]");
	if (r < 0)
		vms_draft_done(&all);
	else
		*ret_options = all.options;
	return r;
}

static void free_places(struct vms_places *places)
{
	if (!places)
		return;
	for (size_t i = 0; i < NR_PLACES; i++)
		vms_settings_done(&places->at[i]);
	while (places->nr_words)
		free(places->words[--places->nr_words]);
	free(places->words);
	free(places);
}

int vms_options_parse(int argc, char **argv, struct vms_run_options *ret_options,
		      enum vms_options_verdict *ret_verdict, struct vms_err *err)
{
	struct vms_places *places = calloc(1, sizeof(*places));
	enum vms_options_verdict verdict;
	int r;

	if (!places)
		return vms_err_set(err, -ENOMEM, "out of memory");
	r = parse(argc, argv, places, ret_options, &verdict, err);
	if (r == 0)
		*ret_verdict = verdict;
	if (r < 0 || verdict == VMS_OPTIONS_HELP)
		free_places(places);
	return r;
}

void vms_options_done(struct vms_run_options *options)
{
	vms_options_free_values(options);
	free_places(options->places);
	*options = (struct vms_run_options){ .places = NULL };
}
