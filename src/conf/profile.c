/* Profiles; see the header. */
#include "vmsup/conf/profile.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmsup/conf/config.h"
#include "vmsup/conf/nearest.h"

static const char ending[] = ".conf";

const char *vms_profile_folder(void)
{
	const char *folder = secure_getenv("VMSUP_PROFILES");

	return folder && *folder ? folder : VMS_PROFILES_DIR;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void vms_profile_list(struct vms_profiles *ret_profiles)
{
	DIR *dir = opendir(vms_profile_folder());
	struct dirent *entry;

	ret_profiles->nr = 0;
	if (!dir)
		return;
	while (ret_profiles->nr < VMS_MAX_PROFILES && (entry = readdir(dir))) {
		size_t len = strlen(entry->d_name);
		char *name;

		if (len < sizeof(ending) || entry->d_name[0] == '.' || strcmp(entry->d_name + len - (sizeof(ending) - 1), ending) != 0)
			continue;
		name = strndup(entry->d_name, len - (sizeof(ending) - 1));
		if (!name)
			break;
		ret_profiles->names[ret_profiles->nr++] = name;
	}
	closedir(dir);
	qsort(ret_profiles->names, ret_profiles->nr, sizeof(ret_profiles->names[0]), by_name);
}

void vms_profiles_done(struct vms_profiles *profiles)
{
	for (size_t i = 0; i < profiles->nr; i++)
		free(profiles->names[i]);
	profiles->nr = 0;
}

static int unknown(const char *name, struct vms_err *err)
{
	struct vms_profiles profiles;
	const char *near;
	char all[256] = "";
	size_t used = 0;

	vms_profile_list(&profiles);
	near = vms_nearest(name, strlen(name), (const char *const *)profiles.names, profiles.nr);
	for (size_t i = 0; i < profiles.nr && used < sizeof(all); i++)
		used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s", i ? ", " : "", profiles.names[i]);
	if (near)
		vms_ignore(vms_err_set(err, 0, "there is no profile '%.60s'; did you mean %.60s?", name, near));
	else
		vms_ignore(vms_err_set(err, 0, "there is no profile '%.60s' in %.150s; there are: %s", name, vms_profile_folder(),
				       all[0] ? all : "none"));
	vms_profiles_done(&profiles);
	return -ENOENT;
}

int vms_profile_load(const char *name, struct vms_settings *ret_settings, struct vms_err *err)
{
	static const struct vms_config_tell tell = { .in_profile = true };
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/%s%s", vms_profile_folder(), name, ending);

	/* A name, not a path. */
	if (strchr(name, '/') || name[0] == '.' || n < 0 || (size_t)n >= sizeof(path) || access(path, F_OK) < 0)
		return unknown(name, err);
	return vms_config_load(path, &tell, ret_settings, err);
}
