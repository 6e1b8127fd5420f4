/* vmsup check: whether configuration files are right. Nothing is started. */
#include "vmsup/cli/verb.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "vmsup/base/log.h"
#include "vmsup/cli/help.h"
#include "vmsup/conf/config.h"
#include "vmsup/conf/profile.h"
#include "vmsup/conf/tenant.h"
#include "vmsup/host/machine.h"

static const char check_help[] =
	"Usage: vmsup check FILE|DIR...\n"
	"\n"
	"Say whether each FILE is a right configuration file; see vmsup.conf(5). Every line that is\n"
	"not is told on stderr. What depends on the machine or on the program is looked at when one\n"
	"is run. A file in a folder tenants.d is one of a tenant of vmsupd; a DIR is all of\n"
	"vmsupd's, with vmsup.conf and tenants.d.\n"
	"\n"
	"  -h, --help  print this and exit\n"
	"\n"
	"Exit status: 0 when all are right, 1 when one is not, 2 for a bad command line.\n";

static void tell(const char *sentence, void *arg)
{
	unsigned int *told = arg;

	vms_log("%s", sentence);
	(*told)++;
}

/* Each on its own may be right, and the two not go together. */
static int check_with_profile(const char *path, const char *profile, const struct vms_settings *file, struct vms_err *err)
{
	struct vms_settings places[2] = { { .nr = 0 }, *file };
	struct vms_draft draft = VMS_DRAFT_INIT;
	struct vms_err why = VMS_ERR_INIT;
	int r = vms_profile_load(profile, &places[0], &why);

	if (r == 0)
		r = vms_settings_apply(places, 2, &draft, &why);
	if (r == 0)
		r = vms_draft_check(&draft, &why);
	if (r < 0)
		vms_ignore(vms_err_set(err, 0, "%.100s: with its profile: %.390s", path, why.text));
	vms_draft_done(&draft);
	vms_settings_done(&places[0]);
	return r;
}

static bool is_of_tenant(const char *path)
{
	const char *slash = strrchr(path, '/');
	const size_t len = slash ? (size_t)(slash - path) : 0;

	return len >= strlen("tenants.d") && strncmp(slash - strlen("tenants.d"), "tenants.d", strlen("tenants.d")) == 0 &&
	       (len == strlen("tenants.d") || slash[-(int)strlen("tenants.d") - 1] == '/');
}

static int check_tenant(const char *path, const struct vms_config_tell *all, struct vms_err *err)
{
	struct vms_tenant_conf conf;
	int r = vms_tenant_conf_load(path, all, &conf, err);

	if (r == 0)
		vms_tenant_conf_done(&conf);
	return r;
}

static int check_folder(const char *path, const struct vms_config_tell *all, struct vms_err *err)
{
	const struct vms_range addresses = vms_machine_addresses();
	struct vms_daemon_conf conf;
	int r = vms_daemon_conf_load(path, NULL, &addresses, NULL, 0, all, &conf, err);

	if (r == 0)
		vms_daemon_conf_done(&conf);
	return r;
}

static int check_file(const char *path, const struct vms_config_tell *all, struct vms_err *err)
{
	struct vms_settings settings = { .nr = 0 };
	const char *profile;
	int r = vms_config_load(path, all, &settings, err);

	profile = r == 0 ? vms_settings_text(&settings, "profile") : NULL;
	if (profile)
		r = check_with_profile(path, profile, &settings, err);
	vms_settings_done(&settings);
	return r;
}

static bool is_right(const char *path)
{
	unsigned int told = 0;
	const struct vms_config_tell all = { .tell = tell, .arg = &told };
	struct vms_err err = VMS_ERR_INIT;
	struct stat st;
	int r;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		r = check_folder(path, &all, &err);
	else
		r = is_of_tenant(path) ? check_tenant(path, &all, &err) : check_file(path, &all, &err);
	if (r < 0 && !told)
		vms_log("%s", err.text);
	return r == 0;
}

static int check_run(int argc, char **argv)
{
	int first = 1, status = 0;

	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return vms_help_verb(&vms_verb_check);
	if (argc > 1 && strcmp(argv[1], "--") == 0) {
		first++;
	} else if (argc > 1 && argv[1][0] == '-' && argv[1][1]) {
		vms_log("check: unknown option %.100s; see 'vmsup help check'", argv[1]);
		return VMS_EXIT_USAGE;
	}
	if (first >= argc) {
		vms_log("check: which file? Usage: vmsup check FILE|DIR...");
		return VMS_EXIT_USAGE;
	}
	for (int i = first; i < argc; i++) {
		if (is_right(argv[i]))
			printf("%s: right\n", argv[i]);
		else
			status = 1;
	}
	if (fflush(stdout) != 0 || ferror(stdout)) {
		vms_log("cannot write to stdout: %s", strerror(errno));
		return 1;
	}
	return status;
}

static const struct vms_option check_options[] = {
	{ .name = "help" },
	{ .name = NULL },
};

const struct vms_verb vms_verb_check = {
	.name = "check",
	.summary = "say whether a configuration file is right",
	.help = check_help,
	.options = check_options,
	.run = check_run,
};
