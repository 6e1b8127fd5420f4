/*
 * Configuration files: YAML, of which one mapping is used, with a key for each option of `vmsup run`; vmsup.conf(5).
 *
 * libyaml is a parser only: it tells the text and the line of each word and gives it no type, so that a value in a file is
 * read by the same function as on the command line. It expands nothing, includes nothing and has no state outside its object.
 */
#ifndef VMSUP_CONF_CONFIG_H
#define VMSUP_CONF_CONFIG_H

#include <stddef.h>

#include "vmsup/conf/setting.h"

#define VMS_CONFIG_MAX_SIZE ((size_t)1 << 20) /* bytes of a file */

enum vms_key_kind {
	VMS_KEY_WORD, /* key: word */
	VMS_KEY_WORDS, /* key: [word, ...], or words in one string, as in a shell */
	VMS_KEY_MAP, /* key: {name: word, ...} */
};

/** A key of a file that is no option of `vmsup run`. */
struct vms_key {
	const char *name;
	enum vms_key_kind kind;
	const char *example; /* a right value */
	/* Called once for each word; @inner is the name in a map, else NULL. 0, or -EINVAL, -ENOMEM with a sentence. */
	int (*take)(void *to, const struct vms_key *key, const char *inner, const char *word, struct vms_err *err);
};

/** Keys of one kind of file. */
struct vms_keys {
	const struct vms_key *rows; /* ends with one without a name */
	void *to; /* passed to take */
	bool only; /* the options of run are no keys of this file */
	/* May be NULL. True when @word is no value of option @name here, but has been taken as it is. */
	bool (*special)(void *to, const char *name, const char *word);
};

/** Where wrong lines are told, each in a sentence with file and line. */
struct vms_config_tell {
	void (*tell)(const char *sentence, void *arg);
	void *arg;
	bool in_profile; /* the file is a profile: it may name no other one */
	const struct vms_keys *keys; /* those that it has besides; NULL: none */
};

/**
 * Read @text, a file called @name. Every value is checked, and all of them together.
 * @tell: may be NULL: then reading ends with the first wrong line; otherwise all of them are told that can be
 * Returns 0 with *ret_settings (to be freed with vms_settings_done), -EINVAL with the first sentence in @err, or -ENOMEM.
 */
VMS_MUST_CHECK int vms_config_parse(const char *name, const char *text, size_t size, const struct vms_config_tell *tell,
				    struct vms_settings *ret_settings, struct vms_err *err);
/** The same of the file @path. Also the errnos of open and read. */
VMS_MUST_CHECK int vms_config_load(const char *path, const struct vms_config_tell *tell, struct vms_settings *ret_settings,
				   struct vms_err *err);

#endif
