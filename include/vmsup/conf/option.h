/*
 * The options of `vmsup run` as a table: one row is an option of the command line, a key of configuration files, and what
 * completion and the tests know of it.
 */
#ifndef VMSUP_CONF_OPTION_H
#define VMSUP_CONF_OPTION_H

#include <getopt.h>

#include "vmsup/base/err.h"
#include "vmsup/conf/options.h"

enum vms_option_kind {
	VMS_OPTION_FLAG, /* --audit; in a file audit: yes */
	VMS_OPTION_VALUE, /* --seed 1 or --seed=1; seed: 1 */
	VMS_OPTION_LIST, /* the same, and may be given again; hole: [1G-2G, 4G-5G] */
	VMS_OPTION_REPORT, /* --stats or --stats=FILE; stats: yes or stats: FILE */
};

/** Options while they are being read. */
struct vms_draft {
	struct vms_run_options options;
	bool help;
	bool no_aslr;
	bool seeded;
	const struct vms_option *guard; /* of the two the one that came last; NULL: neither */
	const char *config, *profile; /* borrowed from their words; NULL: not given */
};

#define VMS_DRAFT_INIT { .options = { .limits = vms_limits_none, .tree_limits = vms_limits_none } }

struct vms_option {
	const char *name;
	enum vms_option_kind kind;
	bool line_only; /* no key of files */
	const char *example; /* a right value; NULL for flags */
	const char *words; /* for completion: all values there are, or FILE, DIRECTORY, PROFILE or CALL; NULL: neither */
	const char *topic; /* options of one topic say the same thing in other words; NULL: no other does */
	int limit; /* an enum vms_limit, for those that are one */
	/* @text is NULL when the option came alone. 0, or -EINVAL with a sentence. */
	int (*take)(struct vms_draft *draft, const struct vms_option *option, const char *text, struct vms_err *err);
};

#define VMS_MAX_OPTIONS 64

/** The rows, at most VMS_MAX_OPTIONS, ending with one without a name. */
extern const struct vms_option vms_run_table[];

/** The row of that name, or NULL. */
const struct vms_option *vms_option_find(const char *name);
/** The name that was meant by the first @len letters of @word, or NULL; @key: among keys of files only. */
const char *vms_option_nearest(const char *word, size_t len, bool key);
/* From 256 up, so that getopt's optopt tells a long option from an unknown letter. */
#define VMS_OPTION_GETOPT 256

/** Make a table for getopt_long: the value of @rows[i] is VMS_OPTION_GETOPT + i. */
void vms_option_getopt(const struct vms_option *rows, struct option ret_table[VMS_MAX_OPTIONS + 1]);
/** "flag", "value", "list" or "report". */
const char *vms_option_kind_name(enum vms_option_kind kind);
/** Whether all of it goes together; fills what follows from it. 0, or -EINVAL with a sentence. */
VMS_MUST_CHECK int vms_draft_check(struct vms_draft *draft, struct vms_err *err);
/** Free what the rows have allocated. */
void vms_options_free_values(struct vms_run_options *options);
/** The same, of @draft. */
void vms_draft_done(struct vms_draft *draft);

#endif
