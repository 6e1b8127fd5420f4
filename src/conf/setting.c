/* Options of several places; see the header. */
#include "vmsup/conf/setting.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int grow(struct vms_settings *settings)
{
	size_t cap = settings->cap ? 2 * settings->cap : 16;
	struct vms_setting *all;

	if (settings->nr < settings->cap)
		return 0;
	all = reallocarray(settings->all, cap, sizeof(*all));
	if (!all)
		return -ENOMEM;
	settings->all = all;
	settings->cap = cap;
	return 0;
}

int vms_settings_add(struct vms_settings *settings, const struct vms_option *option, const char *text, bool off,
		     unsigned int line, struct vms_err *err)
{
	char *copy = text ? strdup(text) : NULL;

	if ((text && !copy) || grow(settings) < 0) {
		free(copy);
		return vms_err_set(err, -ENOMEM, "out of memory");
	}
	settings->all[settings->nr++] =
		(struct vms_setting){ .option = option, .text = copy, .off = off, .line = line };
	return 0;
}

void vms_settings_done(struct vms_settings *settings)
{
	for (size_t i = 0; i < settings->nr; i++)
		free(settings->all[i].text);
	free(settings->all);
	*settings = (struct vms_settings){ .nr = 0 };
}

const char *vms_settings_text(const struct vms_settings *settings, const char *name)
{
	for (size_t i = 0; i < settings->nr; i++) {
		if (strcmp(settings->all[i].option->name, name) == 0)
			return settings->all[i].text;
	}
	return NULL;
}

static bool replaces(const struct vms_setting *stronger, const struct vms_setting *weaker)
{
	const char *topic = weaker->option->topic;

	if (stronger->option == weaker->option)
		return true;
	return !stronger->off && topic && stronger->option->topic && strcmp(stronger->option->topic, topic) == 0;
}

static bool is_replaced(const struct vms_setting *setting, const struct vms_settings *stronger, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		for (size_t j = 0; j < stronger[i].nr; j++) {
			if (replaces(&stronger[i].all[j], setting))
				return true;
		}
	}
	return false;
}

/* Calls @each for what holds, the weakest first, until one fails. */
static int each_that_holds(const struct vms_settings *places, size_t nr, int (*each)(const struct vms_setting *s, void *arg),
			   void *arg)
{
	for (size_t i = 0; i < nr; i++) {
		for (size_t j = 0; j < places[i].nr; j++) {
			const struct vms_setting *s = &places[i].all[j];
			int r = s->off || is_replaced(s, places + i + 1, nr - i - 1) ? 0 : each(s, arg);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

struct apply {
	struct vms_draft *draft;
	struct vms_err *err;
};

static int apply(const struct vms_setting *s, void *arg)
{
	const struct apply *a = arg;

	return s->option->take(a->draft, s->option, s->text, a->err);
}

int vms_settings_apply(const struct vms_settings *places, size_t nr, struct vms_draft *draft, struct vms_err *err)
{
	return each_that_holds(places, nr, apply, &(struct apply){ draft, err });
}

struct words {
	char **all;
	size_t nr;
};

static int add_word(const struct vms_setting *s, void *arg)
{
	struct words *w = arg;
	const char *name = s->option->name;

	if (s->option->line_only || strcmp(name, "profile") == 0)
		return 0;
	if (asprintf(&w->all[w->nr], "--%s%s%s", name, s->text ? "=" : "", s->text ? s->text : "") < 0)
		return -ENOMEM;
	w->nr++;
	return 0;
}

int vms_settings_words(const struct vms_settings *places, size_t nr, char ***ret_words, size_t *ret_nr)
{
	struct words w = { .nr = 0 };
	size_t most = 1;
	int r;

	for (size_t i = 0; i < nr; i++)
		most += places[i].nr;
	w.all = calloc(most, sizeof(*w.all));
	if (!w.all)
		return -ENOMEM;
	r = each_that_holds(places, nr, add_word, &w);
	*ret_words = w.all;
	*ret_nr = w.nr;
	return r;
}
