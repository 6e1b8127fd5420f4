/*
 * Profiles: configuration files that come with vmsup, known by name.
 */
#ifndef VMSUP_CONF_PROFILE_H
#define VMSUP_CONF_PROFILE_H

#include "vmsup/conf/setting.h"

#define VMS_MAX_PROFILES 64

/** Names in the alphabet's order, each owned. */
struct vms_profiles {
	char *names[VMS_MAX_PROFILES];
	size_t nr;
};

/** The folder of profiles: $VMSUP_PROFILES, else the one that was chosen when vmsup was built. Borrowed. */
const char *vms_profile_folder(void);
/** The profiles there are; none when the folder cannot be read. */
void vms_profile_list(struct vms_profiles *ret_profiles);
void vms_profiles_done(struct vms_profiles *profiles);
/** Read the profile @name. 0, or -errno with a sentence. */
VMS_MUST_CHECK int vms_profile_load(const char *name, struct vms_settings *ret_settings, struct vms_err *err);

#endif
