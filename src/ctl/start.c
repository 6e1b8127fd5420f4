/* What a supervisor is started with; see the header. */
#include "vmsup/ctl/start.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmsup/base/fd.h"

int vms_start_create(const json_t *json, int *ret_fd)
{
	vms_autofd fd = memfd_create("vmsup-start", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	char *text;
	int r;

	if (fd < 0)
		return -errno;
	text = json_dumps(json, JSON_COMPACT | JSON_PRESERVE_ORDER);
	if (!text)
		return -ENOMEM;
	r = vms_fd_write_all(fd, text, strlen(text));
	free(text);
	if (r == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		r = -errno;
	if (r == 0)
		*ret_fd = vms_fd_steal(&fd);
	return r;
}

static int load(int fd, json_t **ret_json)
{
	struct stat st;
	char *text;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size <= 0 || (size_t)st.st_size > VMS_START_MAX_SIZE)
		return -EPROTO;
	text = malloc((size_t)st.st_size);
	if (!text)
		return -ENOMEM;
	/* At its own offset: others hold the same description. */
	n = pread(fd, text, (size_t)st.st_size, 0);
	*ret_json = n == st.st_size ? json_loadb(text, (size_t)n, 0, NULL) : NULL;
	free(text);
	return *ret_json ? 0 : -EPROTO;
}

/* An array of strings, borrowed from @array. 0, -EPROTO, -ENOMEM. */
static int take_words(const json_t *array, char ***ret_words, size_t *ret_nr)
{
	const size_t nr = json_array_size(array);
	char **words;

	if (!json_is_array(array))
		return -EPROTO;
	words = calloc(nr + 1, sizeof(*words));
	if (!words)
		return -ENOMEM;
	*ret_words = words;
	for (size_t i = 0; i < nr; i++) {
		words[i] = (char *)(uintptr_t)json_string_value(json_array_get(array, i));
		if (!words[i])
			return -EPROTO;
	}
	if (ret_nr)
		*ret_nr = nr;
	return 0;
}

static int take_user(struct vms_start *start)
{
	const json_t *uid = json_object_get(start->json, "uid"), *gid = json_object_get(start->json, "gid");
	const json_t *groups = json_object_get(start->json, "groups");

	if (!uid)
		return 0;
	if (!json_is_integer(uid) || !json_is_integer(gid) || (groups && !json_is_array(groups)))
		return -EPROTO;
	start->has_user = true;
	start->uid = (uid_t)json_integer_value(uid);
	start->gid = (gid_t)json_integer_value(gid);
	start->groups = calloc(json_array_size(groups) + 1, sizeof(*start->groups));
	if (!start->groups)
		return -ENOMEM;
	for (size_t i = 0; i < json_array_size(groups); i++)
		start->groups[start->nr_groups++] = (gid_t)json_integer_value(json_array_get(groups, i));
	return 0;
}

static int take(struct vms_start *start)
{
	const json_t *json = start->json;
	int r = 0;

	start->name = json_string_value(json_object_get(json, "name"));
	start->directory = json_string_value(json_object_get(json, "directory"));
	start->cgroup = json_string_value(json_object_get(json, "cgroup"));
	start->link = json_string_value(json_object_get(json, "link"));
	start->restarts = (unsigned int)json_integer_value(json_object_get(json, "restarts"));
	if (!start->name || !start->directory || !start->link)
		return -EPROTO;
	r = take_words(json_object_get(json, "options"), &start->options, &start->nr_options);
	if (r == 0)
		r = take_words(json_object_get(json, "argv"), &start->argv, NULL);
	if (r == 0)
		r = take_words(json_object_get(json, "environment"), &start->environment, NULL);
	if (r == 0)
		r = take_user(start);
	return r == 0 && !start->argv[0] ? -EPROTO : r;
}

int vms_start_take(json_t *json, struct vms_start *ret_start, struct vms_err *err)
{
	struct vms_start start = { .json = json };
	int r = take(&start);

	if (r < 0) {
		vms_start_done(&start);
		return vms_err_set(err, r, "what the tenant is started with cannot be understood: %s", strerror(-r));
	}
	*ret_start = start;
	return 0;
}

int vms_start_read(int fd, struct vms_start *ret_start, struct vms_err *err)
{
	json_t *json = NULL;
	int r = load(fd, &json);

	if (r < 0)
		return vms_err_set(err, r, "what the supervisor was started with cannot be read: %s", strerror(-r));
	return vms_start_take(json, ret_start, err);
}

void vms_start_done(struct vms_start *start)
{
	json_decref(start->json);
	free(start->options);
	free(start->argv);
	free(start->environment);
	free(start->groups);
	*start = (struct vms_start){ .json = NULL };
}
