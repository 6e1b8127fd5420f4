/* Registers to a typed request; see the header. One small decoder a call, found by the table. */
#include "vmsup/core/req.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "vmsup/core/vma.h"

#ifndef MAP_ABOVE4G
#define MAP_ABOVE4G 0x80
#endif

typedef void decode_fn(const uint64_t a[6], struct vms_req *req);

static void decode_mmap(const uint64_t a[6], struct vms_req *req)
{
	req->mmap.addr = a[0];
	req->mmap.length = a[1];
	req->mmap.prot = a[2] & VMS_PROT_ALL;
	req->mmap.flags = (uint32_t)a[3];
	req->mmap.fd = (int)a[4];
	req->mmap.offset = a[5];
}

static void decode_span(const uint64_t a[6], struct vms_req *req)
{
	req->span.addr = a[0];
	req->span.length = a[1];
}

static void decode_mprotect(const uint64_t a[6], struct vms_req *req)
{
	req->mprotect.addr = a[0];
	req->mprotect.length = a[1];
	req->mprotect.prot = a[2] & VMS_PROT_ALL;
	req->mprotect.pkey = req->call == VMS_CALL_PKEY_MPROTECT ? (int)a[3] : -1;
}

static void decode_mremap(const uint64_t a[6], struct vms_req *req)
{
	req->mremap.old_addr = a[0];
	req->mremap.old_length = a[1];
	req->mremap.new_length = a[2];
	req->mremap.flags = (uint32_t)a[3];
	req->mremap.new_addr = a[4];
}

static void decode_brk(const uint64_t a[6], struct vms_req *req)
{
	req->brk.addr = a[0];
}

static void decode_shmat(const uint64_t a[6], struct vms_req *req)
{
	req->shmat.id = (int)a[0];
	req->shmat.addr = a[1];
	req->shmat.flags = (int)a[2];
}

static void decode_shmdt(const uint64_t a[6], struct vms_req *req)
{
	req->shmdt.addr = a[0];
}

static void decode_setrlimit(const uint64_t a[6], struct vms_req *req)
{
	req->rlimit.new_limit = a[1];
}

static void decode_getrlimit(const uint64_t a[6], struct vms_req *req)
{
	req->rlimit.old_limit = a[1];
}

static void decode_prlimit64(const uint64_t a[6], struct vms_req *req)
{
	req->rlimit.pid = (int)a[0];
	req->rlimit.new_limit = a[2];
	req->rlimit.old_limit = a[3];
}

static void decode_sigaction(const uint64_t a[6], struct vms_req *req)
{
	req->sigaction.action = a[1];
}

static void decode_personality(const uint64_t a[6], struct vms_req *req)
{
	req->personality.persona = a[0];
}

static decode_fn *const decoders[VMS_NR_CALLS] = {
	[VMS_CALL_MMAP] = decode_mmap,
	[VMS_CALL_MUNMAP] = decode_span,
	[VMS_CALL_MREMAP] = decode_mremap,
	[VMS_CALL_MPROTECT] = decode_mprotect,
	[VMS_CALL_PKEY_MPROTECT] = decode_mprotect,
	[VMS_CALL_BRK] = decode_brk,
	[VMS_CALL_SHMAT] = decode_shmat,
	[VMS_CALL_SHMDT] = decode_shmdt,
	[VMS_CALL_REMAP_FILE_PAGES] = decode_span,
	[VMS_CALL_MSEAL] = decode_span,
	[VMS_CALL_MINCORE] = decode_span,
	[VMS_CALL_MSYNC] = decode_span,
	[VMS_CALL_SETRLIMIT] = decode_setrlimit,
	[VMS_CALL_GETRLIMIT] = decode_getrlimit,
	[VMS_CALL_PRLIMIT64] = decode_prlimit64,
	[VMS_CALL_RT_SIGACTION] = decode_sigaction,
	[VMS_CALL_PERSONALITY] = decode_personality,
};

/* ipc(call, first, second, third, ptr): see arch/x86 syscall_32.tbl, ipc/syscall.c compat_ksys_ipc (6.18). */
static void decode_ipc(const uint64_t a[6], struct vms_req *req)
{
	const uint32_t which = a[0] & 0xffff, version = (uint32_t)a[0] >> 16;
	const uint64_t shmat[6] = { a[1], a[4], a[2], a[3], 0, 0 }, shmdt[6] = { a[4], 0, 0, 0, 0, 0 };

	/* SHMAT of version 1 is refused by the kernel; as an shmdt it is passed on. */
	if (which == VMS_IPC_SHMAT && version != 1) {
		memcpy(req->args, shmat, sizeof(shmat));
		decode_shmat(shmat, req);
		return;
	}
	req->call = VMS_CALL_SHMDT;
	memcpy(req->args, shmdt, sizeof(shmdt));
	decode_shmdt(shmdt, req);
}

static void decode_args(struct vms_req *req)
{
	uint64_t args[6];

	memcpy(args, req->args, sizeof(args));
	if (decoders[req->call])
		decoders[req->call](args, req);
}

static void decode_i386(struct vms_req *req)
{
	/* What the upper halves hold is nobody's business; the kernel does not look. */
	for (int i = 0; i < 6; i++)
		req->args[i] = (uint32_t)req->args[i];
	switch (req->form) {
	case VMS_FORM_BLOCK:
		break;
	case VMS_FORM_IPC: {
		uint64_t args[6];

		memcpy(args, req->args, sizeof(args));
		decode_ipc(args, req);
		break;
	}
	case VMS_FORM_PAGES:
		decode_args(req);
		req->mmap.offset = req->args[5] * VMS_PAGE_SIZE;
		/* arch/x86/kernel/sys_x86_64.c: without meaning in a 32-bit call. */
		req->mmap.flags &= ~(uint32_t)(MAP_32BIT | MAP_ABOVE4G);
		break;
	default:
		decode_args(req);
		break;
	}
}

int vms_req_decode(enum vms_arch arch, int nr, const uint64_t args[6], struct vms_req *ret_req)
{
	const struct vms_i386_call *i386 = arch == VMS_ARCH_I386 ? vms_i386_find(nr) : NULL;
	struct vms_req req = { .call = vms_call_by_nr(arch, nr), .arch = arch };

	if (req.call == VMS_NR_CALLS)
		return -ENOSYS;
	memcpy(req.args, args, sizeof(req.args));
	if (i386) {
		req.form = i386->form;
		decode_i386(&req);
	} else {
		decode_args(&req);
	}
	*ret_req = req;
	return 0;
}

int vms_req_decode_block(struct vms_req *req, const uint32_t words[6])
{
	if (!vms_page_aligned(words[5]))
		return -EINVAL;
	for (int i = 0; i < 6; i++)
		req->args[i] = words[i];
	req->args[5] /= VMS_PAGE_SIZE;
	req->form = VMS_FORM_PAGES;
	decode_i386(req);
	/* Its registers do not say what it does: it must not be carried out as it is. */
	req->form = VMS_FORM_BLOCK;
	return 0;
}
