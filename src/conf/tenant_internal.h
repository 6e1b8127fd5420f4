/* What tenant.c and daemon.c share. Private to the layer. */
#ifndef VMSUP_CONF_TENANT_INTERNAL_H
#define VMSUP_CONF_TENANT_INTERNAL_H

#include "vmsup/conf/tenant.h"

#define VMS_TENANT_SUFFIX ".conf"

#define VMS_TAKE(NAME) \
	static int NAME(void *to, const struct vms_key *key, const char *inner, const char *word, struct vms_err *err)

int vms_tenant_no_memory(struct vms_err *err);
int vms_tenant_wrong_word(const struct vms_key *key, const char *word, struct vms_err *err);
int vms_tenant_keep(char **to, const char *word, struct vms_err *err);
int vms_tenant_append(char ***list, size_t *nr, const char *text, size_t len, struct vms_err *err);
int vms_tenant_parse_slice(const struct vms_key *key, const char *word, uint64_t *ret_size, struct vms_err *err);
/* @defaults, @saved: the files that are weaker and stronger, which may be missing; NULL: none. */
int vms_tenant_conf_load_with(const char *path, const char *defaults, const char *saved, const struct vms_config_tell *tell,
			      struct vms_tenant_conf *ret_conf, struct vms_err *err);
/* Whether the file of defaults is right by itself. It may be missing. */
int vms_tenant_check_defaults(const char *path, const struct vms_config_tell *tell, struct vms_err *err);

#endif
