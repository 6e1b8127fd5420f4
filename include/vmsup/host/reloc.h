/*
 * Relocation: move the image that execve has loaded into the range, fence the rest, and let the program start.
 *
 * The kernel loads; we move. At the exec stop nothing of the image has run, so nothing but the stack and the auxiliary
 * vector holds an address of it. Stages, one ptrace stop each:
 *
 *	exec stop -> step out of execve -> map a scratch page -> run the blob in it -> unmap it -> start
 *
 * An i386 program is moved by 64-bit code as well: for the time being its one thread goes on as a 64-bit one.
 *
 * All signals but SIGSTOP and SIGKILL wait until the program starts.
 */
#ifndef VMSUP_HOST_RELOC_H
#define VMSUP_HOST_RELOC_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/user.h>

#include "vmsup/core/cookie.h"
#include "vmsup/core/layout.h"
#include "vmsup/host/image.h"

/** What holds for every exec of a tree. */
struct vms_reloc_conf {
	struct vms_range range; /* where mappings may be; with holes outside the range that was asked for, these are in it */
	struct vms_range chosen; /* the range that was asked for: where an image may be */
	const struct vms_range *walls; /* borrowed: fence inside range; may reach beyond user addresses */
	size_t nr_walls;
	struct vms_range image_range; /* where the image goes: range, or its part below any mmap_base */
	vms_addr_t top_end; /* where the top gap ends; 0: where range does */
	struct vms_range user; /* all user addresses */
	vms_addr_t mmap_min_addr;
	bool fence; /* lay the fence over everything outside range */
	bool seal; /* and seal it: mseal(2) is there */
	vms_addr_t fence_start; /* below mmap_min_addr where the child may map there */
	bool randomize;
	bool verify; /* look at what the injected calls have really done: a filter of the program may have answered them */
	struct vms_cookie cookie;
	vms_addr_t end_3g; /* of i386 programs: with 3 GiB of addresses (setarch -3) the range must end here or below */
	const struct vms_reloc_conf *i386; /* what holds for i386 programs instead; NULL: they cannot run */
};

enum vms_reloc_stage {
	VMS_RELOC_STEP_OUT,
	VMS_RELOC_MAP,
	VMS_RELOC_BLOB,
	VMS_RELOC_UNMAP,
	VMS_RELOC_DONE,
};

struct vms_reloc {
	pid_t pid;
	enum vms_reloc_stage stage;
	const struct vms_reloc_conf *conf; /* borrowed; the one for this program */
	struct vms_image image;
	struct vms_layout layout;
	vms_addr_t new_start[VMS_NR_PARTS];
	vms_addr_t scratch; /* address of the scratch pages */
	vms_addr_t scratch_size;
	vms_addr_t syscall_ip; /* of a system call instruction: in the vdso, or poked in */
	long poked; /* the word that was there before */
	bool has_poked;
	struct user_regs_struct regs; /* as execve left them */
	uint64_t sigmask;
	bool owes_trap; /* a SIGTRAP that somebody sent meanwhile; sent again at the end */
	struct vms_err err; /* the sentence, once a function has failed */
};

/**
 * Begin at the exec stop of @pid. @stack_limit: its RLIMIT_STACK in bytes. @seed: for this image's layout.
 * 0, or a negative errno: the process must then be killed, and reloc->err says why. vms_reloc_done in any case.
 */
VMS_MUST_CHECK int vms_reloc_begin(struct vms_reloc *reloc, pid_t pid, const struct vms_reloc_conf *conf,
				   vms_addr_t stack_limit, uint64_t seed);
/** Take a stop. 1: everything is in its place; 0: more stops follow; negative errno: as vms_reloc_begin, -ESRCH: gone. */
VMS_MUST_CHECK int vms_reloc_stop(struct vms_reloc *reloc, int status);
/** When DONE: let the program start, untraced. */
VMS_MUST_CHECK int vms_reloc_finish(struct vms_reloc *reloc);
/** Where the part that held @addr before holds it now; @addr itself when it was in none. */
vms_addr_t vms_reloc_moved(const struct vms_reloc *reloc, vms_addr_t addr);
/** 0 when an i386 program of @persona (personality(2)) can run; else -ENOEXEC and a sentence. @conf: i386's. */
VMS_MUST_CHECK int vms_reloc_check_i386(const struct vms_reloc_conf *conf, uint64_t persona, struct vms_err *err);
void vms_reloc_done(struct vms_reloc *reloc);

#endif
