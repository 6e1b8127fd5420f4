/*
 * The memory of a child, by copies. Nothing read here is the ground of a security decision: the child's other threads may
 * change it at any time.
 */
#ifndef VMSUP_HOST_MEM_H
#define VMSUP_HOST_MEM_H

#include <stddef.h>
#include <sys/types.h>

#include "vmsup/base/addr.h"
#include "vmsup/base/err.h"

/** Copy @len bytes at @addr of the process of @tid into @buf. 0; -EFAULT when not all of it is there; -errno. */
VMS_MUST_CHECK int vms_mem_read(pid_t tid, vms_addr_t addr, void *buf, size_t len);
/** Copy @len bytes of @buf to @addr; honours the child's protections. 0; -EFAULT; -errno. */
VMS_MUST_CHECK int vms_mem_write(pid_t tid, vms_addr_t addr, const void *buf, size_t len);
/** As vms_mem_read, but never waits for a userfaultfd: -EIO for a page that one should fill. */
VMS_MUST_CHECK int vms_mem_read_forced(pid_t tid, vms_addr_t addr, void *buf, size_t len);
/** As vms_mem_write, but also into private read-only memory of a tracee (as a debugger does), and without waiting for a userfaultfd. */
VMS_MUST_CHECK int vms_mem_write_forced(pid_t tid, vms_addr_t addr, const void *buf, size_t len);

#endif
