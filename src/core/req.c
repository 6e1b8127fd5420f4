/* Registers to a typed request; see the header. One small decoder a call, found by the table. */
#include "vmsup/core/req.h"

#include <errno.h>
#include <string.h>

#include "vmsup/core/vma.h"

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
	[VMS_CALL_MADVISE] = decode_span,
	[VMS_CALL_SETRLIMIT] = decode_setrlimit,
	[VMS_CALL_GETRLIMIT] = decode_getrlimit,
	[VMS_CALL_PRLIMIT64] = decode_prlimit64,
	[VMS_CALL_RT_SIGACTION] = decode_sigaction,
	[VMS_CALL_PERSONALITY] = decode_personality,
};

int vms_req_decode(int nr, const uint64_t args[6], struct vms_req *ret_req)
{
	enum vms_call call = vms_call_by_nr(nr);
	struct vms_req req = { .call = call };

	if (call == VMS_NR_CALLS)
		return -ENOSYS;
	memcpy(req.args, args, sizeof(req.args));
	if (decoders[call])
		decoders[call](args, &req);
	*ret_req = req;
	return 0;
}
