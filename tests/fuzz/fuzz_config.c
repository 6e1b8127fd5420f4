/*
 * Fuzz: any bytes as a configuration file. What is taken can be given on a command line and means the same; what is refused is
 * refused in a sentence that has no line end.
 */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "vmsup/conf/config.h"

#define MAX_WORDS 200

struct told {
	unsigned int nr;
};

static void tell(const char *sentence, void *arg)
{
	struct told *told = arg;

	EXPECT(strncmp(sentence, "f:", 2) == 0 && strlen(sentence) > 5 && !strchr(sentence, '\n'));
	told->nr++;
}

/* Files cannot be named here, for they would be read. */
static bool names_a_file(const struct vms_settings *settings)
{
	return vms_settings_text(settings, "profile") != NULL;
}

/* The same words on the command line. */
static void check_line(const struct vms_settings *settings, const struct vms_draft *draft)
{
	char run[] = "run", prog[] = "prog", *argv[MAX_WORDS + 3];
	struct vms_run_options options;
	enum vms_options_verdict verdict;
	struct vms_err err = VMS_ERR_INIT;
	int argc = 0;

	if (settings->nr > MAX_WORDS || names_a_file(settings))
		return;
	argv[argc++] = run;
	for (size_t i = 0; i < settings->nr; i++) {
		const struct vms_setting *s = &settings->all[i];
		size_t size = strlen(s->option->name) + (s->text ? strlen(s->text) : 0) + 4;

		if (s->off)
			continue;
		argv[argc] = malloc(size);
		if (!argv[argc])
			break;
		snprintf(argv[argc++], size, "--%s%s%s", s->option->name, s->text ? "=" : "", s->text ? s->text : "");
	}
	argv[argc++] = prog;
	argv[argc] = NULL;
	EXPECT(vms_options_parse(argc, argv, &options, &verdict, &err) == 0);
	EXPECT(verdict == VMS_OPTIONS_RUN && options.argv[0] == prog);
	EXPECT(options.has_range == draft->options.has_range && options.range.start == draft->options.range.start);
	EXPECT(options.mode == draft->options.mode && options.place == draft->options.place);
	EXPECT(options.aslr == draft->options.aslr && options.seed == draft->options.seed);
	EXPECT(options.audit == draft->options.audit && options.stats == draft->options.stats);
	EXPECT(options.signal_guard == draft->options.signal_guard && options.va_bits == draft->options.va_bits);
	EXPECT(options.policy.nr_holes == draft->options.policy.nr_holes && options.policy.align == draft->options.policy.align);
	EXPECT(options.injections.nr == draft->options.injections.nr && options.nr_exec_dirs == draft->options.nr_exec_dirs);
	EXPECT(memcmp(&options.limits, &draft->options.limits, sizeof(options.limits)) == 0);
	vms_options_done(&options);
	for (int i = 1; i < argc - 1; i++)
		free(argv[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct told told = { .nr = 0 };
	const struct vms_config_tell all = { .tell = tell, .arg = &told };
	struct vms_settings settings = { .nr = 0 }, again = { .nr = 0 };
	struct vms_draft draft = VMS_DRAFT_INIT;
	struct vms_err err = VMS_ERR_INIT;
	/* Of just the size, so that a sanitizer sees a byte too many. */
	char *text = malloc(size ? size : 1);
	int r;

	if (!text)
		return 0;
	memcpy(text, data, size);
	r = vms_config_parse("f", text, size, NULL, &settings, &err);
	EXPECT(r == 0 || r == -EINVAL);
	EXPECT(vms_config_parse("f", text, size, &all, &again, NULL) == r);
	EXPECT((r < 0) == (told.nr > 0));
	if (r < 0) {
		EXPECT(strncmp(err.text, "f:", 2) == 0 && !strchr(err.text, '\n'));
	} else {
		EXPECT(settings.nr == again.nr);
		EXPECT(vms_settings_apply(&settings, 1, &draft, &err) == 0 && vms_draft_check(&draft, &err) == 0);
		check_line(&settings, &draft);
	}
	vms_draft_done(&draft);
	vms_settings_done(&settings);
	vms_settings_done(&again);
	free(text);
	return 0;
}
