/*
 * A trapped call as a typed request, decoded from registers alone.
 */
#ifndef VMSUP_CORE_REQ_H
#define VMSUP_CORE_REQ_H

#include "vmsup/base/addr.h"
#include "vmsup/base/err.h"
#include "vmsup/core/call.h"

struct vms_req {
	enum vms_call call;
	enum vms_arch arch;
	enum vms_form form;
	/*
	 * As the registers held them, those of i386 cut to 32 bits; ipc's are put as shmat and shmdt have them, followed by the
	 * address that shmat's result goes to.
	 */
	uint64_t args[6];
	union {
		struct {
			vms_addr_t addr;
			vms_addr_t length; /* as asked, not rounded */
			uint8_t prot; /* VMS_PROT_* only */
			uint32_t flags; /* MAP_* */
			int fd;
			uint64_t offset;
		} mmap;
		struct {
			vms_addr_t addr;
			vms_addr_t length;
		} span; /* munmap, mseal, remap_file_pages, mincore, msync */
		struct {
			vms_addr_t addr;
			vms_addr_t length;
			uint8_t prot;
			int pkey; /* -1: not given */
		} mprotect; /* and pkey_mprotect */
		struct {
			vms_addr_t old_addr;
			vms_addr_t old_length;
			vms_addr_t new_length;
			uint32_t flags; /* MREMAP_* */
			vms_addr_t new_addr;
		} mremap;
		struct {
			vms_addr_t addr;
		} brk;
		struct {
			int id;
			vms_addr_t addr;
			int flags; /* SHM_* */
		} shmat;
		struct {
			vms_addr_t addr;
		} shmdt;
		struct {
			int pid; /* 0: the caller; setrlimit and getrlimit have 0 */
			vms_addr_t new_limit; /* pointer in the child, 0: none */
			vms_addr_t old_limit; /* pointer in the child, 0: none */
		} rlimit; /* setrlimit, getrlimit, prlimit64 */
		struct {
			vms_addr_t action; /* pointer in the child; VMS_FORM_SIGNAL: the handler */
		} sigaction;
		struct {
			uint64_t persona;
		} personality;
	};
};

/**
 * Decode system call @nr of @arch with its six argument registers. Of VMS_FORM_BLOCK nothing but the pointer, args[0], is known.
 * Returns 0, or -ENOSYS when the table has no such call.
 */
VMS_MUST_CHECK int vms_req_decode(enum vms_arch arch, int nr, const uint64_t args[6], struct vms_req *ret_req);

/**
 * A request of VMS_FORM_BLOCK, whose six words are @words now: make it the mmap2 that it stands for.
 * -EINVAL: the offset is not that of a page.
 */
VMS_MUST_CHECK int vms_req_decode_block(struct vms_req *req, const uint32_t words[6]);

#endif
