/*
 * The script of a relocation: the table of calls and the data that the blob works on, as one block of bytes for the
 * scratch pages. No ptrace here.
 */
#ifndef VMSUP_HOST_SCRIPT_H
#define VMSUP_HOST_SCRIPT_H

#include <stddef.h>

#include "vmsup/host/reloc.h"

struct vms_script {
	unsigned char *bytes; /* owned; the code, the table, the data */
	size_t size; /* page multiple */
	size_t table_at; /* offset of the table */
};

/** The size in bytes (page multiple) of the script for @reloc's image. */
vms_addr_t vms_script_size(const struct vms_reloc *reloc);
/** Write the script for @reloc, to run at reloc->scratch. 0 or -ENOMEM. */
VMS_MUST_CHECK int vms_script_build(const struct vms_reloc *reloc, struct vms_script *ret_script);
void vms_script_done(struct vms_script *script);

#endif
