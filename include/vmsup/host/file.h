/*
 * What can be known of a child's open file without asking its file system, which may be the child's own.
 */
#ifndef VMSUP_HOST_FILE_H
#define VMSUP_HOST_FILE_H

#include <sys/types.h>

#include "vmsup/core/decide.h"

/**
 * Fill facts->file for descriptor @fd of thread @tid: from its open mode, its seals when it is a memfd, and whether its file
 * system aligns large mappings. Left as it is when nothing can be known. The child may change the descriptor at
 * any time: this predicts, the kernel decides.
 */
void vms_file_facts(pid_t tid, int pidfd, int fd, struct vms_facts *facts);

/**
 * Fill what a protection policy asks of descriptor @fd: its very description is copied and looked at. @dirs: @nr absolute names
 * with a slash at the end. facts->file.known is false when there is no such descriptor.
 */
void vms_file_vet(int pidfd, int fd, char *const *dirs, size_t nr, struct vms_facts *facts);
/** True when files on device @dev are memory without a name: memfd_create(2), shared anonymous and System V memory. */
bool vms_file_is_memory(uint64_t dev);
/** True when the file behind descriptor @fd of ours lies under one of @dirs. */
bool vms_file_is_under(int fd, char *const *dirs, size_t nr);
/** True when the mapped file @dev and @ino, of this name, lies under one of @dirs, as we see them. */
bool vms_file_name_is_under(const char *name, uint64_t dev, uint64_t ino, char *const *dirs, size_t nr);

#endif
