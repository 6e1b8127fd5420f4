/*
 * A stream of lines for a reader that must not be waited for: lines that find no room are dropped whole.
 */
#ifndef VMSUP_SUP_DRAIN_H
#define VMSUP_SUP_DRAIN_H

#include <stdbool.h>
#include <stdio.h>

struct vms_drain;

/** Write to @fd (taken, on failure too), the end of a pipe or a socket. NULL: out of memory, or no such descriptor. */
struct vms_drain *vms_drain_new(int fd);
/** The stream; borrowed. */
FILE *vms_drain_file(struct vms_drain *drain);
/** True when the reader is gone. */
bool vms_drain_is_broken(const struct vms_drain *drain);
/** Lines that were dropped. */
unsigned long long vms_drain_lost(const struct vms_drain *drain);
/** NULL is fine. */
void vms_drain_free(struct vms_drain *drain);

#endif
