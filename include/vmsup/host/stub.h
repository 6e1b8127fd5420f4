/*
 * The stub: a few instructions in the padding of a process's vdso, by which a remote call ends by itself. Made to run there, a thread
 * carries out one call and then waits in a notification of brk, with the result as its third argument, for whoever answers it. Nothing is
 * left to be stepped, so that a tracer that dies leaves a thread that waits for the next one.
 */
#ifndef VMSUP_HOST_STUB_H
#define VMSUP_HOST_STUB_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmsup/base/addr.h"
#include "vmsup/base/err.h"

/** Where the stub of a vdso that ends at @end is. */
vms_addr_t vms_stub_place(vms_addr_t end);
/** The instruction pointer of a thread that waits in the stub at @at. */
vms_addr_t vms_stub_parked(vms_addr_t at);
/** True when @ip is in the stub at @at. */
bool vms_stub_has(vms_addr_t at, vms_addr_t ip);
/**
 * See to it that it is there; @tid is a stopped tracee. 0; -EEXIST: something else is there; another -errno.
 */
VMS_MUST_CHECK int vms_stub_plant(pid_t tid, vms_addr_t at);

#endif
