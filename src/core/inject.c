/* Fault injection; see the header. */
#include "vmsup/core/inject.h"

#include <sys/mman.h>

#include "vmsup/core/layout.h"
#include "vmsup/core/vma.h"

/* The length that @req asks for; 0 where it asks for none. */
static vms_addr_t length_of(const struct vms_req *req)
{
	switch (req->call) {
	case VMS_CALL_MMAP:
		return req->mmap.length;
	case VMS_CALL_MUNMAP:
	case VMS_CALL_MSEAL:
	case VMS_CALL_REMAP_FILE_PAGES:
		return req->span.length;
	case VMS_CALL_MPROTECT:
	case VMS_CALL_PKEY_MPROTECT:
		return req->mprotect.length;
	case VMS_CALL_MREMAP:
		return req->mremap.new_length;
	default:
		return 0;
	}
}

static uint8_t prot_of(const struct vms_req *req)
{
	switch (req->call) {
	case VMS_CALL_MMAP:
		return req->mmap.prot;
	case VMS_CALL_MPROTECT:
	case VMS_CALL_PKEY_MPROTECT:
		return req->mprotect.prot;
	default:
		return 0;
	}
}

bool vms_inject_matches(const struct vms_inject_rule *rule, const struct vms_req *req)
{
	const vms_addr_t length = length_of(req);

	if (!rule->calls[req->call] || (rule->prot & ~prot_of(req)))
		return false;
	if ((rule->above && length <= rule->above) || (rule->below && length >= rule->below))
		return false;
	if (rule->anon && (req->call != VMS_CALL_MMAP || !(req->mmap.flags & MAP_ANONYMOUS)))
		return false;
	return !rule->file || (req->call == VMS_CALL_MMAP && !(req->mmap.flags & MAP_ANONYMOUS));
}

static bool is_due(const struct vms_inject_when *when, uint64_t n)
{
	if (n < when->first || n > when->last)
		return false;
	return when->step == 0 || (n - when->first) % when->step == 0;
}

bool vms_inject_strikes(struct vms_inject_rule *rule, uint64_t *seen)
{
	if (!is_due(&rule->when, ++*seen))
		return false;
	return !rule->chance || vms_layout_random(&rule->random) >> 32 < rule->chance;
}
