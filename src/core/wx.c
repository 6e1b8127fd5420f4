/* Protection policy; see the header. */
#include "vmsup/core/wx.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/shm.h>

#include "vmsup/core/decide.h"

static const struct {
	const char *option, *text;
} rules[] = {
	[VMS_WX_FINE] = { "none", "nothing" },
	[VMS_WX_BOTH] = { "wx", "memory that is writable and executable at once" },
	[VMS_WX_AFTER_WRITE] = { "wx", "memory that becomes executable after it was writable" },
	[VMS_WX_ALIAS] = { "wx", "executable memory that can be written to by another way" },
	[VMS_WX_ANON] = { "no-anon-exec", "executable memory that is not a file's" },
	[VMS_WX_ELSEWHERE] = { "exec-from", "executable memory from a file elsewhere" },
};

const char *vms_wx_option(enum vms_wx_rule rule)
{
	return rules[rule].option;
}

const char *vms_wx_text(enum vms_wx_rule rule)
{
	return rules[rule].text;
}

bool vms_exec_policy_is_plain(const struct vms_exec_policy *policy)
{
	return policy->wx == VMS_WX_ALLOW && !policy->no_anon_exec && !policy->exec_from;
}

static bool has(uint8_t prot, uint8_t bits)
{
	return (prot & bits) == bits;
}

/* True when @vma was ever writable while it was known. */
static bool was_writable(const struct vms_vma *vma)
{
	return (vma->flags & VMS_VMA_WRITTEN) || (vma->prot & VMS_PROT_WRITE);
}

/* True when the space has a shared mapping of the file that now has, or had, @bits. */
static bool is_mapped(const struct vms_space *space, uint64_t dev, uint64_t ino, bool writable)
{
	const struct vms_vma *vma;

	if (!ino)
		return false;
	for (vma = vms_tree_first(&space->tree); vma; vma = vms_tree_next(vma)) {
		if (vma->ino != ino || vma->dev != dev)
			continue;
		if (writable ? (vma->flags & VMS_VMA_SHARED) && was_writable(vma) : (vma->prot & VMS_PROT_EXEC) != 0)
			return true;
	}
	return false;
}

static enum vms_wx_rule check_mmap(const struct vms_space *space, const struct vms_req *req, const struct vms_facts *facts)
{
	const struct vms_exec_policy *policy = &space->exec_policy;
	const bool wx = policy->wx != VMS_WX_ALLOW, exec = req->mmap.prot & VMS_PROT_EXEC;
	const bool anon = (req->mmap.flags & MAP_ANONYMOUS) || (facts->file.known && facts->file.is_memory);
	const bool shared = (req->mmap.flags & MAP_TYPE) != MAP_PRIVATE;

	if (wx && has(req->mmap.prot, VMS_PROT_WRITE | VMS_PROT_EXEC))
		return VMS_WX_BOTH;
	/* The file is executable here already, and would become writable. */
	if (wx && !exec && !anon && shared && (req->mmap.prot & VMS_PROT_WRITE) && facts->file.known &&
	    is_mapped(space, facts->file.dev, facts->file.ino, false))
		return VMS_WX_ALIAS;
	if (!exec)
		return VMS_WX_FINE;
	/* A page of a private mapping is anonymous once it is written to. */
	if (policy->no_anon_exec && (anon || (!shared && (req->mmap.prot & VMS_PROT_WRITE))))
		return VMS_WX_ANON;
	/* A child may have it, too, and write to it. */
	if (wx && shared && (req->mmap.flags & MAP_ANONYMOUS))
		return VMS_WX_ALIAS;
	if (wx && !(req->mmap.flags & MAP_ANONYMOUS) &&
	    (anon || facts->file.is_writable || is_mapped(space, facts->file.dev, facts->file.ino, true)))
		return VMS_WX_ALIAS;
	if (policy->exec_from && !(req->mmap.flags & MAP_ANONYMOUS) && !facts->file.trusted)
		return VMS_WX_ELSEWHERE;
	return VMS_WX_FINE;
}

static enum vms_wx_rule check_exec_of(const struct vms_space *space, const struct vms_vma *vma)
{
	const struct vms_exec_policy *policy = &space->exec_policy;

	if (vma->prot & VMS_PROT_EXEC)
		return VMS_WX_FINE;
	if (policy->no_anon_exec && (!vma->ino || was_writable(vma)))
		return VMS_WX_ANON;
	if (policy->wx != VMS_WX_ALLOW && was_writable(vma))
		return VMS_WX_AFTER_WRITE;
	if (policy->wx != VMS_WX_ALLOW && is_mapped(space, vma->dev, vma->ino, true))
		return VMS_WX_ALIAS;
	if (policy->exec_from && vma->ino && !(vma->may & VMS_PROT_EXEC))
		return VMS_WX_ELSEWHERE;
	return VMS_WX_FINE;
}

/* Where the kernel may begin: PROT_GROWSDOWN means the whole mapping, which to us may be several. */
static vms_addr_t protect_start(const struct vms_space *space, const struct vms_req *req)
{
	if (req->args[2] & PROT_GROWSDOWN)
		return vms_tree_run_start(&space->tree, req->mprotect.addr);
	return req->mprotect.addr;
}

static enum vms_wx_rule check_mprotect(const struct vms_space *space, const struct vms_req *req)
{
	const vms_addr_t start = protect_start(space, req), end = req->mprotect.addr + vms_page_up(req->mprotect.length);
	const bool wx = space->exec_policy.wx != VMS_WX_ALLOW;
	const struct vms_vma *vma;

	if (wx && has(req->mprotect.prot, VMS_PROT_WRITE | VMS_PROT_EXEC))
		return VMS_WX_BOTH;
	for (vma = vms_tree_find_from(&space->tree, start); vma && vma->range.start < end; vma = vms_tree_next(vma)) {
		enum vms_wx_rule rule = VMS_WX_FINE;

		if (has(req->mprotect.prot, VMS_PROT_WRITE | VMS_PROT_EXEC) && !(vma->flags & VMS_VMA_SHARED) &&
		    space->exec_policy.no_anon_exec)
			rule = VMS_WX_ANON;
		else if (req->mprotect.prot & VMS_PROT_EXEC)
			rule = check_exec_of(space, vma);
		else if (wx && (req->mprotect.prot & VMS_PROT_WRITE) && (vma->flags & VMS_VMA_SHARED) &&
			 is_mapped(space, vma->dev, vma->ino, false))
			rule = VMS_WX_ALIAS;
		if (rule != VMS_WX_FINE)
			return rule;
	}
	return VMS_WX_FINE;
}

/* The range for which @req asks for execution; false: for none. */
static bool exec_range(const struct vms_space *space, const struct vms_req *req, struct vms_range *ret_range)
{
	if ((req->call != VMS_CALL_MPROTECT && req->call != VMS_CALL_PKEY_MPROTECT) ||
	    !(req->mprotect.prot & VMS_PROT_EXEC))
		return false;
	*ret_range = (struct vms_range){ protect_start(space, req), req->mprotect.addr + vms_page_up(req->mprotect.length) };
	return ret_range->start < ret_range->end;
}

enum vms_wx_rule vms_wx_check(const struct vms_space *space, const struct vms_req *req, const struct vms_facts *facts,
			      const struct vms_plan *const *busy, size_t nr_busy)
{
	struct vms_range range;

	if (vms_exec_policy_is_plain(&space->exec_policy))
		return VMS_WX_FINE;
	/* What another thread just makes writable has been writable. */
	for (size_t i = 0; exec_range(space, req, &range) && i < nr_busy; i++) {
		if (vms_plan_touches(busy[i], &range) &&
		    (busy[i]->effect == VMS_EFFECT_UNKNOWN || (busy[i]->vma.prot & VMS_PROT_WRITE)))
			return space->exec_policy.wx != VMS_WX_ALLOW ? VMS_WX_AFTER_WRITE : VMS_WX_ANON;
	}
	switch (req->call) {
	case VMS_CALL_MMAP:
		return check_mmap(space, req, facts);
	case VMS_CALL_MPROTECT:
	case VMS_CALL_PKEY_MPROTECT:
		return check_mprotect(space, req);
	case VMS_CALL_SHMAT:
		if (!(req->shmat.flags & SHM_EXEC))
			return VMS_WX_FINE;
		return space->exec_policy.wx != VMS_WX_ALLOW ? VMS_WX_ALIAS : VMS_WX_ANON;
	default:
		return VMS_WX_FINE;
	}
}

bool vms_wx_vets(const struct vms_space *space, const struct vms_req *req)
{
	return !vms_exec_policy_is_plain(&space->exec_policy) && req->call == VMS_CALL_MMAP &&
	       (req->mmap.prot & VMS_PROT_EXEC) && !(req->mmap.flags & MAP_ANONYMOUS);
}

void vms_wx_prepare(const struct vms_space *space, const struct vms_req *req, const struct vms_facts *facts,
		    struct vms_plan *plan)
{
	if (vms_exec_policy_is_plain(&space->exec_policy) || plan->verdict == VMS_REFUSE || plan->verdict == VMS_REPLY)
		return;
	plan->marks_written = true;
	if (req->call != VMS_CALL_MMAP || (req->mmap.flags & MAP_ANONYMOUS))
		return;
	plan->vetted = true;
	/* What write(2) does to it is not seen. */
	plan->is_written = facts->file.is_memory || (facts->file.is_writable && space->exec_policy.wx != VMS_WX_ALLOW);
	plan->vet_dev = facts->file.dev;
	plan->vet_ino = facts->file.ino;
	if (space->exec_policy.exec_from && !facts->file.trusted)
		plan->vma.may &= (uint8_t)~VMS_PROT_EXEC;
	if (!vms_wx_vets(space, req))
		return;
	/* The descriptor is closed, as far as can be seen: it must not be another's by the time the kernel looks. */
	if (!facts->file.known) {
		*plan = vms_plan_refuse(EBADF);
		return;
	}
	if (plan->verdict == VMS_CONTINUE) {
		for (int i = 0; i < 6; i++)
			plan->args[i] = req->args[i];
		if (plan->effect == VMS_EFFECT_MAP && plan->chosen) {
			plan->args[0] = plan->range.start;
			plan->args[3] |= MAP_FIXED_NOREPLACE;
		}
		plan->verdict = VMS_REMOTE;
	}
	plan->args[2] &= ~(uint64_t)PROT_EXEC;
	plan->in_two_steps = true;
}

/* Memory that others may have, too, and write to. */
static bool is_shared_memory(const struct vms_vma *vma)
{
	return vma->kind == VMS_KIND_SHM || (vma->kind == VMS_KIND_ANON && (vma->flags & VMS_VMA_SHARED));
}

void vms_wx_mark(const struct vms_space *space, const struct vms_plan *plan, struct vms_vma *vma)
{
	const bool is_other = plan && plan->vetted && (vma->dev != plan->vet_dev || vma->ino != plan->vet_ino);

	if (vms_exec_policy_is_plain(&space->exec_policy))
		return;
	if ((vma->prot & VMS_PROT_WRITE) || is_shared_memory(vma) || is_other || (plan && plan->is_written))
		vma->flags |= VMS_VMA_WRITTEN;
	if (is_other && space->exec_policy.exec_from)
		vma->may &= (uint8_t)~VMS_PROT_EXEC;
}

enum vms_wx_rule vms_wx_check_image(const struct vms_exec_policy *policy, const struct vms_vma *vmas, const bool *trusted,
				    const bool *memory, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		if (policy->wx != VMS_WX_ALLOW && has(vmas[i].prot, VMS_PROT_WRITE | VMS_PROT_EXEC))
			return VMS_WX_BOTH;
		if (policy->no_anon_exec && has(vmas[i].prot, VMS_PROT_WRITE | VMS_PROT_EXEC))
			return VMS_WX_ANON;
		if (!(vmas[i].prot & VMS_PROT_EXEC) || !vmas[i].ino)
			continue;
		if (policy->no_anon_exec && memory[i])
			return VMS_WX_ANON;
		if (policy->exec_from && !trusted[i])
			return VMS_WX_ELSEWHERE;
		if (policy->wx != VMS_WX_ALLOW && memory[i])
			return VMS_WX_ALIAS;
	}
	return VMS_WX_FINE;
}
