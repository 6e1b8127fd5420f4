/*
 * The part of the filter for i386 calls. libseccomp speaks of them by their x86-64 names, and knows no names newer than
 * itself; so this part is written here. Private to the layer.
 */
#ifndef VMSUP_TRAP_I386_H
#define VMSUP_TRAP_I386_H

#include <stddef.h>

#include <linux/filter.h>

/** The longest part. */
#define VMS_I386_MAX_CODE 512

/**
 * Write the part for the features @when to @code (room for VMS_I386_MAX_CODE instructions). It answers every i386 call, and
 * lets others run on behind its end. Returns its length.
 */
size_t vms_filter_i386(unsigned int when, struct sock_filter *code);

#endif
