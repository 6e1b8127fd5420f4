/*
 * The image that execve has just loaded: what it consists of, read from a tracee that stands at its exec stop, where nothing
 * of it has run yet.
 */
#ifndef VMSUP_HOST_IMAGE_H
#define VMSUP_HOST_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/user.h>

#include "vmsup/core/call.h"
#include "vmsup/host/maps.h"
#include "vmsup/host/proc.h"

enum vms_part {
	VMS_PART_EXE,
	VMS_PART_INTERP,
	VMS_PART_STACK,
	VMS_PART_VDSO, /* with vvar */
	VMS_NR_PARTS,
};

/** A part of the image that moves as a whole; empty when absent. */
struct vms_image_part {
	struct vms_range span;
	vms_addr_t align;
	bool fixed; /* linked to this address */
};

struct vms_image {
	enum vms_arch arch; /* of the program */
	struct vms_image_part parts[VMS_NR_PARTS];
	struct vms_vma_list vmas; /* every VMA of the new mm */
	struct vms_maps maps; /* of the new mm */
	vms_addr_t rsp; /* = address of argc */
	uint64_t *words; /* the stack from rsp up to the end of the auxiliary vector, whatever the size of a word; owned */
	size_t nr_words;
	size_t argv_at, envp_at, auxv_at; /* indices into words */
	vms_addr_t vdso; /* AT_SYSINFO_EHDR, 0: none */
	uint64_t persona; /* personality(2), of i386 programs only */
	struct vms_proc_mm mm; /* what the kernel has noted of it, start_brk aside; worked out, not read (/proc/PID/stat is dear) */
};

/**
 * Read the image of the tracee @pid, whose registers are @regs. @user: all user addresses.
 * 0; -ENOEXEC when it is no image we can handle (then @err says why); -ESRCH; -ENOMEM.
 */
VMS_MUST_CHECK int vms_image_read(pid_t pid, const struct user_regs_struct *regs, const struct vms_range *user,
				  struct vms_image *ret_image, struct vms_err *err);
/** Bytes of a word on the stack. */
size_t vms_image_word_size(const struct vms_image *image);
/** Write @nr words of the image from index @at to @buf, as the program has them. */
void vms_image_put_words(const struct vms_image *image, size_t at, size_t nr, void *buf);
void vms_image_done(struct vms_image *image);

/** The part that holds @addr, or VMS_NR_PARTS. */
enum vms_part vms_image_part_of(const struct vms_image *image, vms_addr_t addr);

/** The kind of VMA that the mappings of @part are. */
enum vms_vma_kind vms_part_kind(enum vms_part part);

#endif
