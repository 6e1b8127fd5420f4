/* The configuration of vmsupd; see the header. */
#include "vmsup/conf/tenant.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmsup/base/num.h"
#include "vmsup/conf/limits.h"
#include "vmsup/conf/profile.h"
#include "tenant_internal.h"

#define MAX_WORDS 1024
#define SUFFIX VMS_TENANT_SUFFIX

enum place {
	PLACE_DEFAULTS_PROFILE,
	PLACE_DEFAULTS,
	PLACE_PROFILE,
	PLACE_FILE,
	PLACE_SAVED,
};

int vms_tenant_no_memory(struct vms_err *err)
{
	return vms_err_set(err, -ENOMEM, "out of memory");
}

int vms_tenant_wrong_word(const struct vms_key *key, const char *word, struct vms_err *err)
{
	return vms_err_set(err, -EINVAL, "%s: '%.100s' is not understood; write for example %s: %s", key->name, word, key->name,
			   key->example);
}

int vms_tenant_keep(char **to, const char *word, struct vms_err *err)
{
	char *copy = strdup(word);

	if (!copy)
		return vms_tenant_no_memory(err);
	free(*to);
	*to = copy;
	return 0;
}

/* --- values ------------------------------------------------------------------------------------ */

int vms_tenant_append(char ***list, size_t *nr, const char *text, size_t len, struct vms_err *err)
{
	char **grown;

	if (*nr >= MAX_WORDS)
		return vms_err_set(err, -EINVAL, "more than %d words", MAX_WORDS);
	grown = reallocarray(*list, *nr + 2, sizeof(**list));
	if (!grown)
		return vms_tenant_no_memory(err);
	*list = grown;
	grown[*nr] = strndup(text, len);
	if (!grown[*nr])
		return vms_tenant_no_memory(err);
	grown[++*nr] = NULL;
	return 0;
}

static void free_list(char ***list)
{
	for (size_t i = 0; *list && (*list)[i]; i++)
		free((*list)[i]);
	free(*list);
	*list = NULL;
}

/* "100ms", "5s", "2m", "1h". */
static bool parse_time(const char *text, unsigned int *ret_ms)
{
	static const struct {
		const char *unit;
		unsigned int ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 } };
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || !isdigit((unsigned char)*text))
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].unit) == 0 && n <= UINT_MAX / units[i].ms) {
			*ret_ms = (unsigned int)n * units[i].ms;
			return true;
		}
	}
	return false;
}

/* As cgroups(7) takes it: "max", numbers; cpu.max a quota and perhaps a period. */
static bool is_of_cgroup(const char *key, const char *word)
{
	const char *blank = strchr(word, ' ');
	uint64_t n;

	if (strcmp(key, "cpu-weight") == 0)
		return vms_num_parse(word, NULL, &n) == 0 && n >= 1 && n <= 10000;
	if (strcmp(word, "max") == 0)
		return true;
	if (strcmp(key, "cpu-max") != 0)
		return vms_num_parse(word, NULL, &n) == 0;
	if (blank && vms_num_parse(blank + 1, NULL, &n) < 0)
		return false;
	return (blank && blank - word == 3 && strncmp(word, "max", 3) == 0) || vms_num_parse(word, blank, &n) == 0;
}

VMS_TAKE(take_text)
{
	struct vms_tenant_conf *conf = to;
	const struct {
		const char *name;
		char **where;
	} all[] = { { "memory-max", &conf->memory_max }, { "cpu-max", &conf->cpu_max }, { "cpu-weight", &conf->cpu_weight },
		    { "pids-max", &conf->pids_max } };

	(void)inner;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (strcmp(key->name, all[i].name) == 0 && is_of_cgroup(key->name, word))
			return vms_tenant_keep(all[i].where, word, err);
	}
	return vms_tenant_wrong_word(key, word, err);
}

VMS_TAKE(take_command)
{
	struct vms_tenant_conf *conf = to;

	(void)inner;
	/* A stronger file's replaces that of a weaker one. */
	if (conf->replaces_command) {
		free_list(&conf->command);
		conf->nr_command = 0;
		conf->replaces_command = false;
	}
	if (!*word && !conf->nr_command)
		return vms_tenant_wrong_word(key, word, err);
	return vms_tenant_append(&conf->command, &conf->nr_command, word, strlen(word), err);
}

VMS_TAKE(take_environment)
{
	struct vms_tenant_conf *conf = to;
	char text[8192];
	int n = snprintf(text, sizeof(text), "%s=%s", inner, word);

	(void)key;
	if (!*inner || strchr(inner, '=') || isdigit((unsigned char)*inner))
		return vms_err_set(err, -EINVAL, "environment: '%.100s' can be no name of a variable", inner);
	if (n < 0 || (size_t)n >= sizeof(text))
		return vms_err_set(err, -EINVAL, "environment: %.100s is longer than 8 KiB", inner);
	for (size_t i = 0; i < conf->nr_environment; i++) {
		if (strncmp(conf->environment[i], text, strlen(inner) + 1) != 0)
			continue;
		if (i >= conf->weaker_environment)
			return vms_err_set(err, -EINVAL, "environment: %.100s is given a second time", inner);
		return vms_tenant_keep(&conf->environment[i], text, err);
	}
	return vms_tenant_append(&conf->environment, &conf->nr_environment, text, (size_t)n, err);
}

VMS_TAKE(take_user)
{
	struct vms_tenant_conf *conf = to;
	const struct passwd *user = getpwnam(word);

	(void)inner;
	(void)key;
	if (!user)
		return vms_err_set(err, -EINVAL, "user: there is no user '%.100s'; make one with adduser --system", word);
	conf->uid = user->pw_uid;
	if (!conf->group)
		conf->gid = user->pw_gid;
	return vms_tenant_keep(&conf->user, word, err);
}

VMS_TAKE(take_group)
{
	struct vms_tenant_conf *conf = to;
	const struct group *group = getgrnam(word);

	(void)inner;
	(void)key;
	if (!group)
		return vms_err_set(err, -EINVAL, "group: there is no group '%.100s'; make one with addgroup --system", word);
	conf->gid = group->gr_gid;
	return vms_tenant_keep(&conf->group, word, err);
}

VMS_TAKE(take_directory)
{
	(void)inner;
	if (*word != '/')
		return vms_err_set(err, -EINVAL, "%s: '%.100s' is no absolute path", key->name, word);
	return vms_tenant_keep(&((struct vms_tenant_conf *)to)->directory, word, err);
}

static int take_choice(const struct vms_key *key, const char *word, const char *const *choices, int *ret_at, struct vms_err *err)
{
	for (int i = 0; choices[i]; i++) {
		if (strcmp(word, choices[i]) == 0) {
			*ret_at = i;
			return 0;
		}
	}
	return vms_tenant_wrong_word(key, word, err);
}

VMS_TAKE(take_how)
{
	static const char *const restarts[] = { "no", "on-failure", "always", NULL }, *const lost[] = { "kill", "hold", NULL },
				*const starts[] = { "auto", "manual", NULL }, *const shares[] = { "no", "yes", NULL };
	struct vms_tenant_conf *conf = to;
	int at = 0, r;

	(void)inner;
	if (strcmp(key->name, "restart") == 0) {
		r = take_choice(key, word, restarts, &at, err);
		conf->restart = (enum vms_restart)at;
	} else if (strcmp(key->name, "on-lost") == 0) {
		r = take_choice(key, word, lost, &at, err);
		conf->on_lost = (enum vms_on_lost)at;
	} else if (strcmp(key->name, "share") == 0) {
		r = take_choice(key, word, shares, &at, err);
		conf->shares = at == 1;
	} else {
		r = take_choice(key, word, starts, &at, err);
		conf->manual = at == 1;
	}
	return r;
}

VMS_TAKE(take_time)
{
	struct vms_tenant_conf *conf = to;
	unsigned int *where = strcmp(key->name, "stop-time") == 0     ? &conf->stop_time_ms :
			      strcmp(key->name, "restart-delay") == 0 ? &conf->restart_delay_ms :
									&conf->restart_delay_max_ms;

	(void)inner;
	return parse_time(word, where) ? 0 : vms_tenant_wrong_word(key, word, err);
}

VMS_TAKE(take_stop_signal)
{
	struct vms_tenant_conf *conf = to;

	(void)inner;
	conf->stop_signal = vms_signal_number(word);
	return conf->stop_signal ? 0 : vms_tenant_wrong_word(key, word, err);
}

/* bytes; the image and the stack of a small program take half of it */
#define MIN_SLICE ((uint64_t)1 << 20)

int vms_tenant_parse_slice(const struct vms_key *key, const char *word, uint64_t *ret_size, struct vms_err *err)
{
	uint64_t size;

	if (vms_num_parse(word, NULL, &size) < 0 || !size || size % VMS_PAGE_SIZE)
		return vms_err_set(err, -EINVAL, "%s: '%.100s' is no size in whole pages of 4096 bytes; write for example %s: %s", key->name,
				   word, key->name, key->example);
	if (size < MIN_SLICE)
		return vms_err_set(err, -EINVAL, "%s: '%.100s' holds no program: ask for 1M at least", key->name, word);
	*ret_size = size;
	return 0;
}

VMS_TAKE(take_slice)
{
	(void)inner;
	return vms_tenant_parse_slice(key, word, &((struct vms_tenant_conf *)to)->slice, err);
}

static const struct vms_key tenant_keys[] = {
	{ "command", VMS_KEY_WORDS, "[redis-server, --port, 6400]", take_command },
	{ "user", VMS_KEY_WORD, "redis", take_user },
	{ "group", VMS_KEY_WORD, "redis", take_group },
	{ "directory", VMS_KEY_WORD, "/var/lib/redis", take_directory },
	{ "environment", VMS_KEY_MAP, "{LANG: C.UTF-8}", take_environment },
	{ "restart", VMS_KEY_WORD, "on-failure", take_how },
	{ "restart-delay", VMS_KEY_WORD, "100ms", take_time },
	{ "restart-delay-max", VMS_KEY_WORD, "1m", take_time },
	{ "start", VMS_KEY_WORD, "manual", take_how },
	{ "stop-signal", VMS_KEY_WORD, "TERM", take_stop_signal },
	{ "stop-time", VMS_KEY_WORD, "10s", take_time },
	{ "on-lost", VMS_KEY_WORD, "kill", take_how },
	{ "slice", VMS_KEY_WORD, "4G", take_slice },
	{ "share", VMS_KEY_WORD, "yes", take_how },
	{ "memory-max", VMS_KEY_WORD, "1G", take_text },
	{ "cpu-max", VMS_KEY_WORD, "'50000 100000'", take_text },
	{ "cpu-weight", VMS_KEY_WORD, "100", take_text },
	{ "pids-max", VMS_KEY_WORD, "512", take_text },
	{ .name = NULL },
};

/* range: auto is no range yet. */
static bool take_auto(void *to, const char *name, const char *word)
{
	if (strcmp(name, "range") != 0 || strcmp(word, "auto") != 0)
		return false;
	((struct vms_tenant_conf *)to)->range_auto = true;
	return true;
}

/* --- one tenant -------------------------------------------------------------------------------- */

bool vms_tenant_name_is_right(const char *name)
{
	const size_t len = strlen(name);

	/* Digits alone would be taken for a process. */
	if (!len || len > VMS_TENANT_NAME_MAX || !isalnum((unsigned char)*name) || strspn(name, "0123456789") == len)
		return false;
	for (const char *c = name; *c; c++) {
		if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
			return false;
	}
	return true;
}

void vms_tenant_conf_done(struct vms_tenant_conf *conf)
{
	for (int i = 0; i < VMS_TENANT_PLACES; i++)
		vms_settings_done(&conf->settings[i]);
	free(conf->name);
	free(conf->path);
	free_list(&conf->words);
	free_list(&conf->command);
	free_list(&conf->environment);
	free(conf->user);
	free(conf->group);
	free(conf->directory);
	free(conf->memory_max);
	free(conf->cpu_max);
	free(conf->cpu_weight);
	free(conf->pids_max);
	*conf = (struct vms_tenant_conf){ .name = NULL };
}

static int read_file(const char *path, const struct vms_config_tell *tell, struct vms_tenant_conf *conf, enum place place,
		     struct vms_err *err)
{
	const struct vms_keys keys = { .rows = tenant_keys, .to = conf, .special = take_auto };
	const struct vms_config_tell mine = { .tell = tell ? tell->tell : NULL, .arg = tell ? tell->arg : NULL, .keys = &keys };
	const bool was_auto = conf->range_auto;
	const char *range;
	int r;

	conf->range_auto = false;
	conf->replaces_command = conf->nr_command > 0;
	conf->weaker_environment = conf->nr_environment;
	r = vms_config_load(path, &mine, &conf->settings[place], err);
	conf->replaces_command = false;
	if (r < 0) {
		/* What was saved may be nothing. */
		conf->range_auto = was_auto;
		return r;
	}
	range = vms_settings_text(&conf->settings[place], "range");
	if (!range)
		range = vms_settings_text(&conf->settings[place], "va-bits");
	if (range && conf->range_auto)
		return vms_err_set(err, -EINVAL, "%.200s: range: auto and va-bits both say where it lies: leave one out", path);
	/* A stronger file that names a range takes it from the pool. */
	conf->range_auto |= was_auto && !range;
	return 0;
}

/* That which the file at @place names goes below it. */
static int load_profile(struct vms_tenant_conf *conf, enum place place, struct vms_err *err)
{
	const char *profile = vms_settings_text(&conf->settings[place], "profile");

	return profile ? vms_profile_load(profile, &conf->settings[place - 1], err) : 0;
}

/* Nobody knows where vmsupd was started. */
static int check_file(const char *key, const char *path, struct vms_err *err)
{
	return path && *path != '/' ? vms_err_set(err, -EINVAL, "%s: '%.100s' is no path from / on", key, path) : 0;
}

/* All of it together, as the run options that it will be. */
static int check_options(struct vms_tenant_conf *conf, struct vms_err *err)
{
	struct vms_draft draft = VMS_DRAFT_INIT;
	int r = load_profile(conf, PLACE_DEFAULTS, err);

	if (r == 0)
		r = load_profile(conf, PLACE_FILE, err);
	if (r == 0)
		r = vms_settings_apply(conf->settings, VMS_TENANT_PLACES, &draft, err);
	if (r == 0)
		r = vms_draft_check(&draft, err);
	if (r == 0 && !conf->range_auto && draft.options.has_range) {
		conf->has_range = true;
		conf->range = draft.options.range;
	} else if (r == 0 && !conf->range_auto && draft.options.va_bits) {
		/* From 64K on; see vmsup(1). */
		conf->has_range = true;
		conf->range = (struct vms_range){ 0x10000, (vms_addr_t)1 << draft.options.va_bits };
	}
	if (r == 0 && draft.options.mode == VMS_MODE_FENCE && vms_limits_any(&draft.options.tree_limits))
		r = vms_err_set(err, -EINVAL, "limits need mode: supervise");
	if (r == 0 && conf->shares && draft.options.mode == VMS_MODE_FENCE)
		r = vms_err_set(err, -EINVAL, "share: yes needs mode: supervise");
	if (r == 0)
		r = check_file("trace", draft.options.trace_file, err);
	if (r == 0)
		r = check_file("stats", draft.options.stats_file, err);
	vms_draft_done(&draft);
	return r;
}

static int check_tenant(struct vms_tenant_conf *conf, struct vms_err *err)
{
	struct vms_err why = VMS_ERR_INIT;
	int r = check_options(conf, &why);

	if (r == 0 && !conf->nr_command)
		r = vms_err_set(&why, -EINVAL, "command is missing: what shall run? write for example command: [redis-server]");
	if (r == 0 && conf->shares && !conf->range_auto)
		r = vms_err_set(&why, -EINVAL, "share: yes is about the rest of the pool and needs range: auto");
	if (r == 0 && conf->restart_delay_max_ms < conf->restart_delay_ms)
		r = vms_err_set(&why, -EINVAL, "restart-delay-max is less than restart-delay");
	return r < 0 ? vms_err_set(err, r, "%.200s: %.280s", conf->path, why.text) : 0;
}

/* One that may be missing, or NULL. */
static int read_other(const char *path, const struct vms_config_tell *tell, struct vms_tenant_conf *conf, enum place place,
		      struct vms_err *err)
{
	int r = path ? read_file(path, tell, conf, place, err) : 0;

	return r == -ENOENT ? 0 : r;
}

int vms_tenant_check_defaults(const char *path, const struct vms_config_tell *tell, struct vms_err *err)
{
	struct vms_tenant_conf conf = { .name = NULL };
	int r = read_other(path, tell, &conf, PLACE_DEFAULTS, err);

	if (r == 0 && vms_settings_text(&conf.settings[PLACE_DEFAULTS], "range"))
		r = vms_err_set(err, -EINVAL, "%.200s: a range is of one tenant; for all write range: auto, which gives each one of its own", path);
	vms_tenant_conf_done(&conf);
	return r;
}

int vms_tenant_conf_load_with(const char *path, const char *defaults, const char *saved, const struct vms_config_tell *tell,
			      struct vms_tenant_conf *ret_conf, struct vms_err *err)
{
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	const size_t len = strlen(base), cut = len > strlen(SUFFIX) && strcmp(base + len - strlen(SUFFIX), SUFFIX) == 0 ? strlen(SUFFIX) : 0;
	struct vms_tenant_conf conf = {
		.name = strndup(base, len - cut), .path = strdup(path), .restart_delay_ms = 100, .restart_delay_max_ms = 60000,
		.stop_time_ms = 10000, .stop_signal = SIGTERM,
	};
	int r = conf.name && conf.path ? 0 : vms_tenant_no_memory(err);

	if (r == 0)
		r = read_other(defaults, tell, &conf, PLACE_DEFAULTS, err);
	if (r == 0)
		r = read_file(path, tell, &conf, PLACE_FILE, err);
	if (r == 0)
		r = read_other(saved, tell, &conf, PLACE_SAVED, err);
	if (r == 0)
		r = check_tenant(&conf, err);
	if (r < 0)
		vms_tenant_conf_done(&conf);
	else
		*ret_conf = conf;
	return r;
}

int vms_tenant_conf_load(const char *path, const struct vms_config_tell *tell, struct vms_tenant_conf *ret_conf, struct vms_err *err)
{
	return vms_tenant_conf_load_with(path, NULL, NULL, tell, ret_conf, err);
}
