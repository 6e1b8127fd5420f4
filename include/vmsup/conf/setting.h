/*
 * Options that were given at one place, in order: on the command line, in a file, in a profile. And how those of several places
 * become one.
 */
#ifndef VMSUP_CONF_SETTING_H
#define VMSUP_CONF_SETTING_H

#include "vmsup/conf/option.h"

struct vms_setting {
	const struct vms_option *option;
	char *text; /* owned; NULL: the option alone */
	bool off; /* a flag that is set to no, or an empty list: takes effect on weaker places only */
	unsigned int line; /* in a file, from 1 */
};

struct vms_settings {
	struct vms_setting *all;
	size_t nr, cap;
};

/** Append; @text is copied. 0 or -ENOMEM with a sentence. */
VMS_MUST_CHECK int vms_settings_add(struct vms_settings *settings, const struct vms_option *option, const char *text, bool off,
				    unsigned int line, struct vms_err *err);
void vms_settings_done(struct vms_settings *settings);

/** The text that option @name is given, or NULL. */
const char *vms_settings_text(const struct vms_settings *settings, const char *name);

/**
 * Take the settings of @nr places, the weakest first. An option that is given at one place, however often, replaces all that
 * weaker places say of it or of its topic. Strings of @draft are borrowed from @places.
 * 0, or -EINVAL with a sentence.
 */
VMS_MUST_CHECK int vms_settings_apply(const struct vms_settings *places, size_t nr, struct vms_draft *draft, struct vms_err *err);
/**
 * What of it holds, as words of a command line ("--seed=1", "--audit"), without what names other places. Owned by the caller, on
 * failure too. 0 or -ENOMEM.
 */
VMS_MUST_CHECK int vms_settings_words(const struct vms_settings *places, size_t nr, char ***ret_words, size_t *ret_nr);

#endif
