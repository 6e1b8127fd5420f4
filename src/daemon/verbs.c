/* What clients may ask vmsupd; vmsup-protocol(7). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <config.h>

#include "vmsup/base/fd.h"
#include "vmsup/daemon/server.h"

#define TRACE_PIPE_SIZE (1 << 20)

typedef int verb_fn(struct vms_client *client, struct vms_tenant *tenant, const json_t *ask, json_t **ret_result, struct vms_err *err);

static bool may_see(const struct vms_client *client, const struct vms_tenant *tenant)
{
	return client->right >= VMS_RIGHT_OPERATOR || (tenant->conf && tenant->conf->user && tenant->conf->uid == client->uid);
}

static int do_hello(struct vms_client *client, struct vms_tenant *tenant, const json_t *ask, json_t **ret_result, struct vms_err *err)
{
	static const char *const rights[] = { "none", "own", "operator", "all" };

	(void)tenant;
	(void)ask;
	(void)err;
	client->is_greeted = true;
	*ret_result = json_pack("{s:i, s:s, s:s}", "version", VMS_PROTOCOL_VERSION, "vmsup", PACKAGE_VERSION, "rights",
				rights[client->right]);
	return 0;
}

static int do_status(struct vms_client *client, struct vms_tenant *tenant, const json_t *ask, json_t **ret_result, struct vms_err *err)
{
	json_t *list = json_array();

	(void)ask;
	(void)err;
	if (tenant)
		json_array_append_new(list, vms_tenant_status(tenant));
	for (struct vms_tenant *t = tenant ? NULL : client->server->daemon->tenants; t; t = t->hh.next) {
		if (may_see(client, t))
			json_array_append_new(list, vms_tenant_status(t));
	}
	*ret_result = json_pack("{s:o}", "tenants", list);
	return 0;
}

static int do_stats(struct vms_client *client, struct vms_tenant *tenant, const json_t *ask, json_t **ret_result, struct vms_err *err)
{
	(void)client;
	(void)ask;
	*ret_result = vms_tenant_stats(tenant);
	return *ret_result ? 0 : vms_err_set(err, -ESRCH, "tenant %s does not run", tenant->name);
}

static int do_policy(struct vms_client *client, struct vms_tenant *tenant, const json_t *ask, json_t **ret_result, struct vms_err *err)
{
	(void)client;
	(void)ask;
	if (!tenant->conf)
		return vms_err_set(err, -ENOENT, "tenant %s has no file in tenants.d any more", tenant->name);
	*ret_result = vms_launch_json(tenant);
	return 0;
}

static int do_start(struct vms_client *client, struct vms_tenant *tenant, const json_t *ask, json_t **ret_result, struct vms_err *err)
{
	int r;

	(void)client;
	(void)ask;
	r = vms_tenant_start(tenant, err);
	if (r == 0)
		*ret_result = vms_tenant_status(tenant);
	return r;
}

static int do_stop(struct vms_client *client, struct vms_tenant *tenant, const json_t *ask, json_t **ret_result, struct vms_err *err)
{
	(void)client;
	(void)ask;
	(void)err;
	vms_tenant_stop(tenant, false);
	*ret_result = vms_tenant_status(tenant);
	return 0;
}

static int do_restart(struct vms_client *client, struct vms_tenant *tenant, const json_t *ask, json_t **ret_result, struct vms_err *err)
{
	(void)client;
	(void)ask;
	if (!tenant->conf)
		return vms_err_set(err, -ENOENT, "tenant %s has no file in tenants.d any more", tenant->name);
	vms_tenant_stop(tenant, true);
	*ret_result = vms_tenant_status(tenant);
	return 0;
}

static int do_reload(struct vms_client *client, struct vms_tenant *tenant, const json_t *ask, json_t **ret_result, struct vms_err *err)
{
	int r = vms_daemon_reload(client->server->daemon, err);

	(void)tenant;
	(void)ask;
	if (r == 0)
		*ret_result = json_pack("{s:I}", "tenants", (json_int_t)client->server->daemon->conf.nr_tenants);
	return r;
}

/* --- what stays over a restart ----------------------------------------------------------------------- */

/* A regular file, or NULL: nobody is waited for. */
static FILE *open_saved(const char *path)
{
	vms_autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	FILE *file = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? fdopen(fd, "r") : NULL;

	if (file)
		(void)vms_fd_steal(&fd);
	return file;
}

/* overrides/NAME.conf with @key as @value; a NULL value takes it out. 0 or -errno. */
static int save_key(const struct vms_daemon *daemon, const char *name, const char *key, const char *value)
{
	char path[4096], new_path[4160], line[4096];
	FILE *old, *new;
	int r = 0;

	snprintf(path, sizeof(path), "%s/overrides/%s.conf", daemon->options.state, name);
	snprintf(new_path, sizeof(new_path), "%s.new", path);
	new = fopen(new_path, "we");
	if (!new)
		return -errno;
	old = open_saved(path);
	if (!old)
		fputs("# Written by vmsup enable, disable and limit --save.\n", new);
	while (old && fgets(line, sizeof(line), old)) {
		if (strncmp(line, key, strlen(key)) != 0 || line[strlen(key)] != ':')
			fputs(line, new);
	}
	if (old)
		fclose(old);
	if (value)
		fprintf(new, "%s: %s\n", key, value);
	if (fflush(new) != 0 || fsync(fileno(new)) < 0)
		r = -errno;
	if (fclose(new) != 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(new_path, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(new_path);
	return r;
}

/* A key and what it is to be, for save. */
struct saved_key {
	char name[32];
	const char *value;
};

/*
 * Save @nr keys of tenant @name and read the configuration again; when that fails all is as it was. The record of the tenant may be
 * gone afterwards. 0, or a negative errno with a sentence.
 */
static int save(struct vms_daemon *daemon, const char *name, const struct saved_key *keys, size_t nr, struct vms_err *err)
{
	struct vms_err why = VMS_ERR_INIT;
	char path[4096], old[4160];
	bool was_there, was_missing;
	int r = 0;

	snprintf(path, sizeof(path), "%s/overrides/%s.conf", daemon->options.state, name);
	snprintf(old, sizeof(old), "%s.old", path);
	(void)unlink(old);
	/* save_key puts another file in its place. */
	was_there = link(path, old) == 0;
	was_missing = !was_there && errno == ENOENT;
	if (!was_there && !was_missing)
		r = -errno;
	for (size_t i = 0; r == 0 && i < nr; i++)
		r = save_key(daemon, name, keys[i].name, keys[i].value);
	if (r < 0) {
		vms_ignore(vms_err_set(err, r, "this cannot be saved in %.200s/overrides: %s", daemon->options.state, strerror(-r)));
	} else {
		r = vms_daemon_reload(daemon, &why);
		if (r < 0)
			vms_ignore(vms_err_set(err, r, "this cannot be saved as long as the configuration would be wrong: %.400s", why.text));
	}
	if (r < 0 && was_there)
		(void)rename(old, path);
	else if (r < 0 && was_missing)
		(void)unlink(path);
	(void)unlink(old);
	return r;
}

static int set_start(struct vms_client *client, struct vms_tenant *tenant, const char *how, json_t **ret_result, struct vms_err *err)
{
	struct vms_daemon *daemon = client->server->daemon;
	const struct saved_key key = { "start", how };
	char name[VMS_TENANT_NAME_MAX + 1];
	int r;

	snprintf(name, sizeof(name), "%s", tenant->name);
	r = save(daemon, name, &key, 1, err);
	tenant = vms_tenant_find(daemon, name);
	if (r == 0)
		*ret_result = tenant ? vms_tenant_status(tenant) : json_object();
	return r;
}

static int do_enable(struct vms_client *client, struct vms_tenant *tenant, const json_t *ask, json_t **ret_result, struct vms_err *err)
{
	(void)ask;
	return set_start(client, tenant, "auto", ret_result, err);
}

static int do_disable(struct vms_client *client, struct vms_tenant *tenant, const json_t *ask, json_t **ret_result, struct vms_err *err)
{
	(void)ask;
	return set_start(client, tenant, "manual", ret_result, err);
}

/* --- what the supervisor knows ------------------------------------------------------------------------ */

/* @object becomes the request that the supervisor gets; taken. */
static int relay(struct vms_client *client, const struct vms_tenant *tenant, json_t *object,
		 int (*on_success)(void *arg, struct vms_err *err), void *arg, struct vms_err *err)
{
	char *text = json_dumps(object, JSON_COMPACT), *line = NULL;
	int n = text ? asprintf(&line, "%s\n", text) : -1;

	json_decref(object);
	free(text);
	if (n < 0 || !tenant->supervisor) {
		free(arg);
		if (n >= 0)
			free(line);
		return n < 0 ? vms_err_set(err, -ENOMEM, "out of memory") :
			       vms_err_set(err, -ESRCH, "tenant %s does not run", tenant->name);
	}
	return vms_relay_start(client, tenant, line, (size_t)n, on_success, arg, err);
}

static pid_t pid_of(const struct vms_tenant *tenant, const json_t *ask)
{
	const json_t *pid = json_object_get(ask, "pid");

	return json_is_integer(pid) && json_integer_value(pid) > 0 && json_integer_value(pid) <= INT32_MAX ?
		       (pid_t)json_integer_value(pid) :
		       tenant->program;
}

static int do_maps(struct vms_client *client, struct vms_tenant *tenant, const json_t *ask, json_t **ret_result, struct vms_err *err)
{
	(void)ret_result;
	return relay(client, tenant, json_pack("{s:s, s:i}", "verb", "maps", "pid", (int)pid_of(tenant, ask)), NULL, NULL, err);
}

static int do_explain(struct vms_client *client, struct vms_tenant *tenant, const json_t *ask, json_t **ret_result, struct vms_err *err)
{
	(void)ret_result;
	(void)ask;
	return relay(client, tenant, json_pack("{s:s, s:i}", "verb", "explain", "pid", (int)tenant->supervisor), NULL, NULL, err);
}

static int do_ps(struct vms_client *client, struct vms_tenant *tenant, const json_t *ask, json_t **ret_result, struct vms_err *err)
{
	(void)ret_result;
	(void)ask;
	return relay(client, tenant, json_pack("{s:s}", "verb", "ps"), NULL, NULL, err);
}

/* What `limit --save` keeps once the supervisor has taken it. */
struct saving {
	struct vms_daemon *daemon;
	char name[VMS_TENANT_NAME_MAX + 1];
	bool runs;
	bool set[VMS_NR_LIMITS];
	char value[VMS_NR_LIMITS][24];
};

static int save_limits(void *arg, struct vms_err *err)
{
	struct saving *s = arg;
	struct saved_key keys[VMS_NR_LIMITS];
	struct vms_err why = VMS_ERR_INIT;
	size_t nr = 0;
	int r;

	for (int i = VMS_LIMIT_VA; i < VMS_NR_LIMITS; i++) {
		if (!s->set[i])
			continue;
		snprintf(keys[nr].name, sizeof(keys[nr].name), "tree-max-%s", vms_limit_name((enum vms_limit)i));
		keys[nr++].value = s->value[i];
	}
	r = save(s->daemon, s->name, keys, nr, &why);
	return r < 0 ? vms_err_set(err, r, "%s%s", s->runs ? "the limit holds until the tenant ends: " : "", why.text) : 0;
}

static struct saving *make_saving(const struct vms_tenant *tenant, const json_t *max)
{
	struct saving *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->daemon = tenant->daemon;
	s->runs = tenant->supervisor;
	snprintf(s->name, sizeof(s->name), "%s", tenant->name);
	for (int i = VMS_LIMIT_VA; i < VMS_NR_LIMITS; i++) {
		const json_t *value = json_object_get(max, vms_limit_name((enum vms_limit)i));

		if (!value)
			continue;
		s->set[i] = true;
		if (json_is_integer(value))
			snprintf(s->value[i], sizeof(s->value[i]), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		else
			snprintf(s->value[i], sizeof(s->value[i]), "none");
	}
	return s;
}

/* As the supervisor would, were there one. */
static bool are_limits(json_t *max)
{
	const char *key;
	json_t *value;

	json_object_foreach(max, key, value) {
		bool is_known = false;

		for (int i = VMS_LIMIT_VA; i < VMS_NR_LIMITS; i++)
			is_known |= (i == VMS_LIMIT_COMMIT || i == VMS_LIMIT_VA || i == VMS_LIMIT_MAPS) &&
				    strcmp(key, vms_limit_name((enum vms_limit)i)) == 0;
		if (!is_known || (!json_is_null(value) && (!json_is_integer(value) || json_integer_value(value) < 0)))
			return false;
	}
	return json_object_size(max);
}

#define WHICH "limit: which one is to be saved? give --max-commit, --max-va or --max-maps (in max: commit, va, maps, each a number or null)"

static int do_limit(struct vms_client *client, struct vms_tenant *tenant, const json_t *ask, json_t **ret_result, struct vms_err *err)
{
	json_t *max = json_object_get(ask, "max");
	const bool saves = json_is_true(json_object_get(ask, "save"));
	struct saving *saving = NULL;
	int r;

	if ((json_object_size(max) || saves) && client->right < VMS_RIGHT_ALL)
		return vms_err_set(err, -EPERM, "limits are policy: only root may change them");
	if (saves && !json_object_size(max))
		return vms_err_set(err, -EINVAL, WHICH);
	if (saves) {
		saving = make_saving(tenant, max);
		if (!saving)
			return vms_err_set(err, -ENOMEM, "out of memory");
	}
	/* For its next start. The record of the tenant may be gone afterwards. */
	if (saves && !tenant->supervisor) {
		r = are_limits(max) ? save_limits(saving, err) :
				      vms_err_set(err, -EINVAL, WHICH);
		free(saving);
		if (r == 0)
			*ret_result = json_pack("{s:O}", "tree_limits", max);
		return r;
	}
	return relay(client, tenant,
		     json_pack("{s:s, s:i, s:o}", "verb", "limit", "pid", (int)pid_of(tenant, ask), "tree_max",
			       max ? json_deep_copy(max) : json_object()),
		     saving ? save_limits : NULL, saving, err);
}

/* --- streams ------------------------------------------------------------------------------------------- */

static void on_event(void *arg, const json_t *event)
{
	struct vms_client *client = arg;
	const char *name = json_string_value(json_object_get(event, "tenant"));
	const struct vms_tenant *tenant = name ? vms_tenant_find(client->server->daemon, name) : NULL;

	if (client->fd < 0 || (client->only && name && strcmp(client->only, name) != 0))
		return;
	if (client->right >= VMS_RIGHT_OPERATOR || (tenant && may_see(client, tenant)))
		vms_client_event(client, event);
}

static int do_events(struct vms_client *client, struct vms_tenant *tenant, const json_t *ask, json_t **ret_result, struct vms_err *err)
{
	struct vms_events *events = client->server->daemon->events;
	const bool follows = json_is_true(json_object_get(ask, "follow"));

	(void)ret_result;
	if (client->streams)
		return vms_err_set(err, -EALREADY, "this connection follows events already: connect once more");
	free((char *)(uintptr_t)client->only);
	client->only = tenant ? strdup(tenant->name) : NULL;
	if (follows && vms_events_listen(events, on_event, client) < 0)
		return vms_err_set(err, -EAGAIN, "too many clients follow events already");
	client->streams = follows;
	vms_client_reply(client, json_pack("{s:b}", "follow", follows), 0, NULL);
	if (client->fd >= 0)
		vms_ignore(vms_events_replay(client->server->daemon, on_event, client));
	/* The end of those that there were. */
	if (client->fd >= 0 && !follows)
		vms_client_event(client, json_null());
	return 1;
}

static int do_trace(struct vms_client *client, struct vms_tenant *tenant, const json_t *ask, json_t **ret_result, struct vms_err *err)
{
	vms_autofd ours = -1, theirs = -1;
	int ends[2];

	(void)ask;
	(void)ret_result;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return vms_err_set(err, -errno, "cannot make a pipe: %s", strerror(errno));
	ours = ends[0];
	theirs = ends[1];
	(void)fcntl(theirs, F_SETPIPE_SZ, TRACE_PIPE_SIZE);
	if (!vms_link_tell(tenant, VMS_FRONT_TRACE, 1, theirs))
		return vms_err_set(err, -ESRCH, "tenant %s does not run", tenant->name);
	vms_client_reply_with(client, json_object(), ours);
	return 1;
}

/* --- the table ----------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	verb_fn *fn;
	enum vms_right right; /* that it takes */
	bool needs_tenant, takes_tenant;
} verbs[] = {
	{ "hello", do_hello, VMS_RIGHT_OWN, false, false },
	{ "status", do_status, VMS_RIGHT_OWN, false, true },
	{ "stats", do_stats, VMS_RIGHT_OWN, true, true },
	{ "maps", do_maps, VMS_RIGHT_OWN, true, true },
	{ "explain", do_explain, VMS_RIGHT_OWN, true, true },
	{ "ps", do_ps, VMS_RIGHT_OWN, true, true },
	{ "limit", do_limit, VMS_RIGHT_OWN, true, true },
	{ "policy", do_policy, VMS_RIGHT_OWN, true, true },
	{ "events", do_events, VMS_RIGHT_OWN, false, true },
	{ "trace", do_trace, VMS_RIGHT_OPERATOR, true, true },
	{ "start", do_start, VMS_RIGHT_OPERATOR, true, true },
	{ "stop", do_stop, VMS_RIGHT_OPERATOR, true, true },
	{ "restart", do_restart, VMS_RIGHT_OPERATOR, true, true },
	{ "reload", do_reload, VMS_RIGHT_ALL, false, false },
	{ "enable", do_enable, VMS_RIGHT_ALL, true, true },
	{ "disable", do_disable, VMS_RIGHT_ALL, true, true },
};

int vms_verb_do(struct vms_client *client, const json_t *ask, json_t **ret_result, struct vms_err *err)
{
	const char *verb = json_string_value(json_object_get(ask, "verb")), *name = json_string_value(json_object_get(ask, "tenant"));
	struct vms_tenant *tenant = name ? vms_tenant_find(client->server->daemon, name) : NULL;

	for (size_t i = 0; verb && i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(verbs[i].name, verb) != 0)
			continue;
		if (client->right < verbs[i].right)
			return vms_err_set(err, -EPERM, "%s: %s", verb,
					   verbs[i].right == VMS_RIGHT_ALL ? "only root may do that" :
									     "only root and members of the group in socket-group may do that");
		if (verbs[i].needs_tenant && !name)
			return vms_err_set(err, -EINVAL, "%s: of which tenant?", verb);
		if (name && verbs[i].takes_tenant && (!tenant || !may_see(client, tenant)))
			return vms_err_set(err, -ENOENT, "there is no tenant '%.63s' that you may ask for; vmsup status lists them", name);
		return verbs[i].fn(client, verbs[i].takes_tenant ? tenant : NULL, ask, ret_result, err);
	}
	return vms_err_set(err, -ENOSYS, "this vmsupd knows no verb '%.63s'", verb ? verb : "");
}
