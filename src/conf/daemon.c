/* The configuration of vmsupd as a whole: vmsup.conf, all tenants, what was saved; see tenant.h. */
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmsup/base/num.h"
#include "vmsup/conf/tenant.h"
#include "tenant_internal.h"

#define SUFFIX VMS_TENANT_SUFFIX
#define DEFAULTS "defaults.conf"

/* "HOST:PORT" or "[HOST]:PORT", in numbers. */
static bool is_address(const char *word)
{
	const char *colon = strrchr(word, ':');
	struct in6_addr address;
	char host[INET6_ADDRSTRLEN + 2];
	uint64_t port;
	size_t len = colon ? (size_t)(colon - word) : 0;

	if (!len || len >= sizeof(host) || !isdigit((unsigned char)colon[1]) || vms_num_parse(colon + 1, NULL, &port) < 0 || !port ||
	    port > UINT16_MAX)
		return false;
	memcpy(host, word, len);
	host[len] = '\0';
	if (host[0] != '[')
		return inet_pton(AF_INET, host, &address) == 1;
	host[len - 1] = '\0';
	return word[len - 1] == ']' && inet_pton(AF_INET6, host + 1, &address) == 1;
}

VMS_TAKE(take_daemon_text)
{
	struct vms_daemon_conf *conf = to;
	char **where = strcmp(key->name, "metrics-address") == 0 ? &conf->metrics_address :
		       strcmp(key->name, "metrics-file") == 0	 ? &conf->metrics_file :
								   &conf->cgroup_root;

	(void)inner;
	if (where == &conf->metrics_address ? !is_address(word) : *word != '/')
		return vms_tenant_wrong_word(key, word, err);
	return vms_tenant_keep(where, word, err);
}

VMS_TAKE(take_socket_group)
{
	(void)inner;
	if (!getgrnam(word))
		return vms_err_set(err, -EINVAL, "%s: there is no group '%.100s'; make one with addgroup --system", key->name, word);
	return vms_tenant_keep(&((struct vms_daemon_conf *)to)->socket_group, word, err);
}

VMS_TAKE(take_pool)
{
	struct vms_daemon_conf *conf = to;

	(void)inner;
	(void)key;
	conf->has_pool = vms_range_parse(word, &conf->pool, err) == 0;
	return conf->has_pool ? 0 : -EINVAL;
}

VMS_TAKE(take_daemon_slice)
{
	(void)inner;
	return vms_tenant_parse_slice(key, word, &((struct vms_daemon_conf *)to)->slice, err);
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
	char path[PATH_MAX], saved[PATH_MAX], defaults[PATH_MAX];
	struct vms_err why = VMS_ERR_INIT;
	char name[VMS_TENANT_NAME_MAX + 2];
	int r = 0;

	snprintf(path, sizeof(path), "%s/tenants.d/%s", folder, file);
	snprintf(defaults, sizeof(defaults), "%s/" DEFAULTS, folder);
	snprintf(saved, sizeof(saved), "%s/%s", saved_folder ? saved_folder : "", file);
	snprintf(name, sizeof(name), "%.*s", (int)(strlen(file) - strlen(SUFFIX)), file);
	if (strlen(file) - strlen(SUFFIX) > VMS_TENANT_NAME_MAX || !vms_tenant_name_is_right(name))
		r = vms_err_set(&why, -EINVAL, "%.200s: a tenant's name has up to %d letters, digits, . _ and -, not only digits, and begins with a letter or "
				"digit: rename the file", path, VMS_TENANT_NAME_MAX);
	if (r == 0)
		r = vms_tenant_conf_load_with(path, defaults, saved_folder ? saved : NULL, &mine, &conf->tenants[conf->nr_tenants],
					      &why);
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
		result = vms_tenant_no_memory(err);
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

static int add_range(struct vms_tenant_conf *conf, const char *option, vms_addr_t start, vms_addr_t end, struct vms_err *err)
{
	char text[80];

	if (start == end)
		return 0;
	snprintf(text, sizeof(text), "--%s=0x%llx-0x%llx", option, (unsigned long long)start, (unsigned long long)end);
	return vms_tenant_append(&conf->words, &conf->nr_words, text, strlen(text), err);
}

static int make_words(struct vms_tenant_conf *conf, const struct vms_range *pool, struct vms_err *err)
{
	size_t nr = 0;
	int r = vms_settings_words(conf->settings, VMS_TENANT_PLACES, &conf->words, &nr);

	conf->nr_words = nr;
	if (r < 0)
		return vms_tenant_no_memory(err);
	if (!conf->range_auto)
		return 0;
	r = add_range(conf, "range", conf->range.start, conf->range.end, err);
	/* What is another's is open, and nothing is placed there. */
	if (r == 0 && conf->shares)
		r = add_range(conf, "hole", pool->start, conf->range.start, err);
	if (r == 0 && conf->shares)
		r = add_range(conf, "hole", conf->range.end, pool->end, err);
	return r;
}

int vms_daemon_conf_load(const char *folder, const char *saved, const struct vms_range *addresses, const struct vms_slice *kept,
			 size_t nr_kept, const struct vms_config_tell *tell, struct vms_daemon_conf *ret_conf, struct vms_err *err)
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
	counting.told = 0;
	why = (struct vms_err)VMS_ERR_INIT;
	snprintf(path, sizeof(path), "%s/" DEFAULTS, folder);
	r = vms_tenant_check_defaults(path, &mine, &why);
	/* Once, not for each tenant. */
	if (r < 0)
		r = tell_wrong(tell, r, &why, counting.told, &first);
	else
		r = read_tenants(folder, saved, tell, &conf, &first);
	result = result < 0 ? result : r;
	if (result == 0) {
		why = (struct vms_err)VMS_ERR_INIT;
		result = vms_pool_assign(&conf, addresses, kept, nr_kept, &why);
		for (size_t i = 0; result == 0 && i < conf.nr_tenants; i++)
			result = make_words(&conf.tenants[i], &conf.pool, &why);
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
