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

#define MAX_WORDS 1024
#define SUFFIX ".conf"
#define TAKE(NAME) static int NAME(void *to, const struct vms_key *key, const char *inner, const char *word, struct vms_err *err)

enum place {
	PLACE_PROFILE,
	PLACE_FILE,
	PLACE_SAVED,
	NR_PLACES,
};

static int no_memory(struct vms_err *err)
{
	return vms_err_set(err, -ENOMEM, "out of memory");
}

static int wrong_word(const struct vms_key *key, const char *word, struct vms_err *err)
{
	return vms_err_set(err, -EINVAL, "%s: '%.100s' is not understood; write for example %s: %s", key->name, word, key->name,
			   key->example);
}

static int keep(char **to, const char *word, struct vms_err *err)
{
	char *copy = strdup(word);

	if (!copy)
		return no_memory(err);
	free(*to);
	*to = copy;
	return 0;
}

/* --- values ------------------------------------------------------------------------------------ */

static int append(char ***list, size_t *nr, const char *text, size_t len, struct vms_err *err)
{
	char **grown;

	if (*nr >= MAX_WORDS)
		return vms_err_set(err, -EINVAL, "more than %d words", MAX_WORDS);
	grown = reallocarray(*list, *nr + 2, sizeof(**list));
	if (!grown)
		return no_memory(err);
	*list = grown;
	grown[*nr] = strndup(text, len);
	if (!grown[*nr])
		return no_memory(err);
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

TAKE(take_text)
{
	struct vms_tenant_conf *conf = to;
	const struct {
		const char *name;
		char **where;
	} all[] = { { "memory-max", &conf->memory_max }, { "cpu-max", &conf->cpu_max }, { "cpu-weight", &conf->cpu_weight },
		    { "pids-max", &conf->pids_max } };

	(void)inner;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (strcmp(key->name, all[i].name) == 0)
			return *word ? keep(all[i].where, word, err) : wrong_word(key, word, err);
	}
	return wrong_word(key, word, err);
}

TAKE(take_command)
{
	struct vms_tenant_conf *conf = to;

	(void)inner;
	if (!*word && !conf->nr_command)
		return wrong_word(key, word, err);
	return append(&conf->command, &conf->nr_command, word, strlen(word), err);
}

TAKE(take_environment)
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
		if (strncmp(conf->environment[i], text, strlen(inner) + 1) == 0)
			return vms_err_set(err, -EINVAL, "environment: %.100s is given a second time", inner);
	}
	return append(&conf->environment, &conf->nr_environment, text, (size_t)n, err);
}

TAKE(take_user)
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
	return keep(&conf->user, word, err);
}

TAKE(take_group)
{
	struct vms_tenant_conf *conf = to;
	const struct group *group = getgrnam(word);

	(void)inner;
	(void)key;
	if (!group)
		return vms_err_set(err, -EINVAL, "group: there is no group '%.100s'; make one with addgroup --system", word);
	conf->gid = group->gr_gid;
	return keep(&conf->group, word, err);
}

TAKE(take_directory)
{
	(void)inner;
	if (*word != '/')
		return vms_err_set(err, -EINVAL, "%s: '%.100s' is no absolute path", key->name, word);
	return keep(&((struct vms_tenant_conf *)to)->directory, word, err);
}

static int take_choice(const struct vms_key *key, const char *word, const char *const *choices, int *ret_at, struct vms_err *err)
{
	for (int i = 0; choices[i]; i++) {
		if (strcmp(word, choices[i]) == 0) {
			*ret_at = i;
			return 0;
		}
	}
	return wrong_word(key, word, err);
}

TAKE(take_how)
{
	static const char *const restarts[] = { "no", "on-failure", "always", NULL }, *const lost[] = { "kill", "hold", NULL },
				*const starts[] = { "auto", "manual", NULL };
	struct vms_tenant_conf *conf = to;
	int at = 0, r;

	(void)inner;
	if (strcmp(key->name, "restart") == 0) {
		r = take_choice(key, word, restarts, &at, err);
		conf->restart = (enum vms_restart)at;
	} else if (strcmp(key->name, "on-lost") == 0) {
		r = take_choice(key, word, lost, &at, err);
		conf->on_lost = (enum vms_on_lost)at;
	} else {
		r = take_choice(key, word, starts, &at, err);
		conf->manual = at == 1;
	}
	return r;
}

TAKE(take_time)
{
	struct vms_tenant_conf *conf = to;
	unsigned int *where = strcmp(key->name, "stop-time") == 0     ? &conf->stop_time_ms :
			      strcmp(key->name, "restart-delay") == 0 ? &conf->restart_delay_ms :
									&conf->restart_delay_max_ms;

	(void)inner;
	return parse_time(word, where) ? 0 : wrong_word(key, word, err);
}

TAKE(take_stop_signal)
{
	struct vms_tenant_conf *conf = to;

	(void)inner;
	conf->stop_signal = vms_signal_number(word);
	return conf->stop_signal ? 0 : wrong_word(key, word, err);
}

static int parse_slice(const struct vms_key *key, const char *word, uint64_t *ret_size, struct vms_err *err)
{
	uint64_t size;

	if (vms_num_parse(word, NULL, &size) < 0 || !size || size % VMS_PAGE_SIZE)
		return vms_err_set(err, -EINVAL, "%s: '%.100s' is no size in whole pages of 4096 bytes; write for example %s: %s", key->name,
				   word, key->name, key->example);
	*ret_size = size;
	return 0;
}

TAKE(take_slice)
{
	(void)inner;
	return parse_slice(key, word, &((struct vms_tenant_conf *)to)->slice, err);
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

TAKE(take_daemon_text)
{
	struct vms_daemon_conf *conf = to;
	char **where = strcmp(key->name, "metrics-address") == 0 ? &conf->metrics_address :
		       strcmp(key->name, "metrics-file") == 0	 ? &conf->metrics_file :
								   &conf->cgroup_root;

	(void)inner;
	if (!*word || (where != &conf->metrics_address && *word != '/'))
		return wrong_word(key, word, err);
	return keep(where, word, err);
}

TAKE(take_socket_group)
{
	(void)inner;
	if (!getgrnam(word))
		return vms_err_set(err, -EINVAL, "%s: there is no group '%.100s'; make one with addgroup --system", key->name, word);
	return keep(&((struct vms_daemon_conf *)to)->socket_group, word, err);
}

TAKE(take_pool)
{
	struct vms_daemon_conf *conf = to;

	(void)inner;
	(void)key;
	conf->has_pool = vms_range_parse(word, &conf->pool, err) == 0;
	return conf->has_pool ? 0 : -EINVAL;
}

TAKE(take_daemon_slice)
{
	(void)inner;
	return parse_slice(key, word, &((struct vms_daemon_conf *)to)->slice, err);
}

static const struct vms_key daemon_keys[] = {
	{ "socket-group", VMS_KEY_WORD, "vmsup", take_socket_group },
	{ "pool", VMS_KEY_WORD, "1T-2T", take_pool },
	{ "slice", VMS_KEY_WORD, "4G", take_daemon_slice },
	{ "metrics-address", VMS_KEY_WORD, "127.0.0.1:9778", take_daemon_text },
	{ "metrics-file", VMS_KEY_WORD, "/var/lib/prometheus/node-exporter/vmsup.prom", take_daemon_text },
	{ "cgroup-root", VMS_KEY_WORD, "/sys/fs/cgroup/vmsup", take_daemon_text },
	{ .name = NULL },
};

/* --- one tenant -------------------------------------------------------------------------------- */

bool vms_tenant_name_is_right(const char *name)
{
	const size_t len = strlen(name);

	if (!len || len > VMS_TENANT_NAME_MAX || !isalnum((unsigned char)*name))
		return false;
	for (const char *c = name; *c; c++) {
		if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
			return false;
	}
	return true;
}

void vms_tenant_conf_done(struct vms_tenant_conf *conf)
{
	for (int i = 0; i < NR_PLACES; i++)
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
	int r = vms_config_load(path, &mine, &conf->settings[place], err);

	/* A stronger file that names a range takes it from the pool. */
	if (r == 0 && place == PLACE_SAVED && was_auto && vms_settings_text(&conf->settings[place], "range"))
		conf->range_auto = false;
	return r;
}

/* All of it together, as the run options that it will be. */
static int check_options(struct vms_tenant_conf *conf, struct vms_err *err)
{
	struct vms_draft draft = VMS_DRAFT_INIT;
	const char *profile = vms_settings_text(&conf->settings[PLACE_FILE], "profile");
	int r = profile ? vms_profile_load(profile, &conf->settings[PLACE_PROFILE], err) : 0;

	if (r == 0)
		r = vms_settings_apply(conf->settings, NR_PLACES, &draft, err);
	if (r == 0)
		r = vms_draft_check(&draft, err);
	if (r == 0 && !conf->range_auto && draft.options.has_range) {
		conf->has_range = true;
		conf->range = draft.options.range;
	}
	if (r == 0 && draft.options.mode == VMS_MODE_FENCE && vms_limits_any(&draft.options.tree_limits))
		r = vms_err_set(err, -EINVAL, "limits need mode: supervise");
	vms_draft_done(&draft);
	return r;
}

static int check_tenant(struct vms_tenant_conf *conf, struct vms_err *err)
{
	struct vms_err why = VMS_ERR_INIT;
	int r = check_options(conf, &why);

	if (r == 0 && !conf->nr_command)
		r = vms_err_set(&why, -EINVAL, "command is missing: what shall run? write for example command: [redis-server]");
	if (r == 0 && conf->restart_delay_max_ms < conf->restart_delay_ms)
		r = vms_err_set(&why, -EINVAL, "restart-delay-max is less than restart-delay");
	return r < 0 ? vms_err_set(err, r, "%.200s: %.280s", conf->path, why.text) : 0;
}

static int load_tenant(const char *path, const char *saved, const struct vms_config_tell *tell, struct vms_tenant_conf *ret_conf,
		       struct vms_err *err)
{
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	const size_t len = strlen(base), cut = len > strlen(SUFFIX) && strcmp(base + len - strlen(SUFFIX), SUFFIX) == 0 ? strlen(SUFFIX) : 0;
	struct vms_tenant_conf conf = {
		.name = strndup(base, len - cut), .path = strdup(path), .restart_delay_ms = 100, .restart_delay_max_ms = 60000,
		.stop_time_ms = 10000, .stop_signal = SIGTERM,
	};
	int r = conf.name && conf.path ? 0 : no_memory(err);

	if (r == 0)
		r = read_file(path, tell, &conf, PLACE_FILE, err);
	if (r == 0 && saved) {
		r = read_file(saved, tell, &conf, PLACE_SAVED, err);
		if (r == -ENOENT)
			r = 0;
	}
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
	return load_tenant(path, NULL, tell, ret_conf, err);
}

/* --- all of it --------------------------------------------------------------------------------- */

void vms_daemon_conf_done(struct vms_daemon_conf *conf)
{
	for (size_t i = 0; i < conf->nr_tenants; i++)
		vms_tenant_conf_done(&conf->tenants[i]);
	free(conf->tenants);
	free(conf->socket_group);
	free(conf->metrics_address);
	free(conf->metrics_file);
	free(conf->cgroup_root);
	*conf = (struct vms_daemon_conf){ .tenants = NULL };
}

int vms_daemon_conf_load_file(const char *path, const struct vms_config_tell *tell, struct vms_daemon_conf *ret_conf,
			      struct vms_err *err)
{
	struct vms_daemon_conf conf = { .slice = (uint64_t)4 << 30 };
	const struct vms_keys keys = { .rows = daemon_keys, .to = &conf, .only = true };
	const struct vms_config_tell mine = { .tell = tell ? tell->tell : NULL, .arg = tell ? tell->arg : NULL, .keys = &keys };
	struct vms_settings none = { .nr = 0 };
	int r = vms_config_load(path, &mine, &none, err);

	vms_settings_done(&none);
	if (r < 0)
		vms_daemon_conf_done(&conf);
	else
		*ret_conf = conf;
	return r;
}

struct vms_tenant_conf *vms_daemon_conf_find(const struct vms_daemon_conf *conf, const char *name)
{
	for (size_t i = 0; i < conf->nr_tenants; i++) {
		if (strcmp(conf->tenants[i].name, name) == 0)
			return &conf->tenants[i];
	}
	return NULL;
}

static int is_file_of_tenant(const struct dirent *entry)
{
	const size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > strlen(SUFFIX) && strcmp(entry->d_name + len - strlen(SUFFIX), SUFFIX) == 0;
}

/* Tells, and goes on to find more. */
static int tell_wrong(const struct vms_config_tell *tell, int r, const struct vms_err *why, bool told, struct vms_err *first)
{
	if (!first->text[0])
		*first = *why;
	if (tell && tell->tell && !told)
		tell->tell(why->text, tell->arg);
	return r;
}

struct counting {
	const struct vms_config_tell *tell;
	unsigned int told;
};

static void count_and_tell(const char *sentence, void *arg)
{
	struct counting *c = arg;

	c->told++;
	if (c->tell && c->tell->tell)
		c->tell->tell(sentence, c->tell->arg);
}

static int add_tenant(const char *folder, const char *saved_folder, const char *file, const struct vms_config_tell *tell,
		      struct vms_daemon_conf *conf, struct vms_err *err)
{
	struct counting counting = { .tell = tell };
	const struct vms_config_tell mine = { .tell = count_and_tell, .arg = &counting };
	char path[PATH_MAX], saved[PATH_MAX];
	struct vms_err why = VMS_ERR_INIT;
	char name[VMS_TENANT_NAME_MAX + 2];
	int r = 0;

	snprintf(path, sizeof(path), "%s/tenants.d/%s", folder, file);
	snprintf(saved, sizeof(saved), "%s/%s", saved_folder ? saved_folder : "", file);
	snprintf(name, sizeof(name), "%.*s", (int)(strlen(file) - strlen(SUFFIX)), file);
	if (strlen(file) - strlen(SUFFIX) > VMS_TENANT_NAME_MAX || !vms_tenant_name_is_right(name))
		r = vms_err_set(&why, -EINVAL, "%.200s: a tenant's name has up to %d letters, digits, . _ and -, and begins with a letter or "
				"digit: rename the file", path, VMS_TENANT_NAME_MAX);
	if (r == 0)
		r = load_tenant(path, saved_folder ? saved : NULL, &mine, &conf->tenants[conf->nr_tenants], &why);
	if (r == 0)
		conf->nr_tenants++;
	return r < 0 ? tell_wrong(tell, r, &why, counting.told, err) : 0;
}

static int read_tenants(const char *folder, const char *saved, const struct vms_config_tell *tell, struct vms_daemon_conf *conf,
			struct vms_err *err)
{
	char path[PATH_MAX];
	struct dirent **entries;
	int nr, result = 0;

	snprintf(path, sizeof(path), "%s/tenants.d", folder);
	nr = scandir(path, &entries, is_file_of_tenant, alphasort);
	if (nr < 0)
		return errno == ENOENT ? 0 : vms_err_set(err, -errno, "cannot read %.200s: %s", path, strerror(errno));
	conf->tenants = calloc((size_t)nr + 1, sizeof(*conf->tenants));
	if (!conf->tenants)
		result = no_memory(err);
	else if (nr > VMS_MAX_TENANTS)
		result = vms_err_set(err, -EINVAL, "%.200s has more than %d tenants", path, VMS_MAX_TENANTS);
	for (int i = 0; i < nr; i++) {
		if (conf->tenants && nr <= VMS_MAX_TENANTS) {
			int r = add_tenant(folder, saved, entries[i]->d_name, tell, conf, err);

			result = result < 0 ? result : r;
		}
		free(entries[i]);
	}
	free(entries);
	return result;
}

static int make_words(struct vms_tenant_conf *conf, struct vms_err *err)
{
	char text[64];
	size_t nr = 0;
	int r = vms_settings_words(conf->settings, NR_PLACES, &conf->words, &nr);

	conf->nr_words = nr;
	if (r < 0)
		return no_memory(err);
	if (!conf->range_auto)
		return 0;
	snprintf(text, sizeof(text), "--range=0x%llx-0x%llx", (unsigned long long)conf->range.start, (unsigned long long)conf->range.end);
	return append(&conf->words, &conf->nr_words, text, strlen(text), err);
}

int vms_daemon_conf_load(const char *folder, const char *saved, const struct vms_slice *kept, size_t nr_kept,
			 const struct vms_config_tell *tell, struct vms_daemon_conf *ret_conf, struct vms_err *err)
{
	struct vms_daemon_conf conf = { .slice = (uint64_t)4 << 30 };
	struct counting counting = { .tell = tell };
	const struct vms_config_tell mine = { .tell = count_and_tell, .arg = &counting };
	struct vms_err first = VMS_ERR_INIT, why = VMS_ERR_INIT;
	char path[PATH_MAX];
	int r, result;

	snprintf(path, sizeof(path), "%s/vmsup.conf", folder);
	result = vms_daemon_conf_load_file(path, &mine, &conf, &why);
	if (result == -ENOENT)
		result = 0;
	if (result < 0)
		result = tell_wrong(tell, result, &why, counting.told, &first);
	r = read_tenants(folder, saved, tell, &conf, &first);
	result = result < 0 ? result : r;
	if (result == 0) {
		why = (struct vms_err)VMS_ERR_INIT;
		result = vms_pool_assign(&conf, kept, nr_kept, &why);
		for (size_t i = 0; result == 0 && i < conf.nr_tenants; i++)
			result = make_words(&conf.tenants[i], &why);
		if (result < 0)
			result = tell_wrong(tell, result, &why, false, &first);
	}
	if (result < 0) {
		vms_daemon_conf_done(&conf);
		*err = first;
		return result;
	}
	*ret_conf = conf;
	return 0;
}
