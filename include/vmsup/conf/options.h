/*
 * The options of `vmsup run`, as data, and their parser.
 */
#ifndef VMSUP_CONF_OPTIONS_H
#define VMSUP_CONF_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "vmsup/core/inject.h"
#include "vmsup/core/limit.h"
#include "vmsup/core/policy.h"
#include "vmsup/core/range.h"
#include "vmsup/core/wx.h"

#define VMS_MAX_EXEC_DIRS 64

enum vms_mode {
	VMS_MODE_SUPERVISE, /* memory calls are intercepted and decided */
	VMS_MODE_FENCE, /* only the exec family is intercepted */
};

enum vms_place_how {
	VMS_PLACE_AUTO, /* let the kernel place where it will do what was decided */
	VMS_PLACE_REMOTE, /* carry out every placement by a remote call */
};

enum vms_aslr {
	VMS_ASLR_RANDOM, /* a fresh seed a run */
	VMS_ASLR_SEED, /* repeatable */
	VMS_ASLR_OFF, /* lowest or highest fixed addresses */
};

struct vms_places;

/** Everything `vmsup run` was told. Strings are borrowed from @places, argv from the caller. */
struct vms_run_options {
	struct vms_places *places; /* owned: command line, file and profile as they were read */
	struct vms_range range; /* valid when has_range */
	bool has_range; /* false: the whole user address space, no confinement */
	enum vms_mode mode;
	enum vms_place_how place;
	enum vms_aslr aslr;
	uint64_t seed; /* with VMS_ASLR_SEED */
	bool audit;
	bool stats;
	const char *stats_file; /* NULL: stderr */
	bool trace;
	const char *trace_file; /* NULL: stderr */
	bool signal_guard; /* by default on in supervise mode, off in fence mode */
	unsigned int va_bits; /* a short name for a range; 0: not given */
	struct vms_policy policy; /* where mappings go; policy.low is empty, see reserve_low */
	vms_addr_t reserve_low; /* bytes right below 2 GiB for MAP_32BIT only; 0: none */
	bool has_layout_seed;
	uint64_t layout_seed; /* with has_layout_seed */
	struct vms_injections injections;
	struct vms_exec_policy exec_policy; /* exec_from: nr_exec_dirs is not 0 */
	char *exec_dirs[VMS_MAX_EXEC_DIRS]; /* absolute, with a slash at the end; owned */
	size_t nr_exec_dirs;
	struct vms_limits limits; /* of each process */
	struct vms_limits tree_limits; /* of all together: commit, va, maps */
	int on_limit_signal; /* sent when a limit refuses a call; 0: none */
	char **words; /* the options that hold, of all places, each as one word of a command line; of @places */
	int nr_words;
	const char *tenant; /* borrowed from its word: whose policy, user and place it takes; NULL: of none */
	char **argv; /* program and its arguments, NULL-terminated; at least one */
};

enum vms_options_verdict {
	VMS_OPTIONS_RUN,
	VMS_OPTIONS_HELP, /* --help was asked for */
};

/**
 * Parse the words after `vmsup run` (@argv[0] is "run"). Options end at the first word that is not
 * one, or at "--". With --config or --profile (or the file's key profile) a file is read: the command line is stronger than the
 * file, the file stronger than the profile (setting.h).
 * Returns 0 with *ret_verdict and, for VMS_OPTIONS_RUN, *ret_options; or -errno with a sentence in @err.
 * Only the text is checked here; what depends on the machine or the program is checked when it starts.
 */
VMS_MUST_CHECK int vms_options_parse(int argc, char **argv, struct vms_run_options *ret_options,
				     enum vms_options_verdict *ret_verdict, struct vms_err *err);
void vms_options_done(struct vms_run_options *options);

#endif
