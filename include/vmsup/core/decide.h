/*
 * Decide: request + space -> plan. Pure; works on the tree alone.
 */
#ifndef VMSUP_CORE_DECIDE_H
#define VMSUP_CORE_DECIDE_H

#include <stddef.h>

#include "vmsup/core/plan.h"
#include "vmsup/core/req.h"
#include "vmsup/core/space.h"

/** What a decision must know that registers do not hold; gathered by the host when asked for. */
#define VMS_NEED_FILE (1u << 0) /* facts.file: of mmap's fd */
#define VMS_NEED_SHM (1u << 1) /* facts.shm: of shmat's segment */
#define VMS_NEED_VET (1u << 2) /* facts.file: what a protection policy asks of mmap's fd, too */

struct vms_facts {
	struct {
		bool known;
		uint8_t may; /* what the open mode and the seals leave of VMS_PROT_* for a shared mapping */
		bool thp; /* large mappings are aligned to huge pages by the file system */
		bool hugetlb; /* made of huge pages only */
		bool is_zero; /* /dev/zero: shared, it is anonymous memory */
		bool is_memory; /* a memfd or its like: no file with a name */
		bool is_writable; /* the description is open for writing */
		bool trusted; /* under --exec-from */
		uint64_t dev, ino; /* as the kernel's maps show them */
	} file;
	struct {
		bool known;
		vms_addr_t size; /* of the segment, bytes */
	} shm;
};

/** Which facts vms_decide wants for @req in @space: a set of VMS_NEED_*. */
unsigned int vms_decide_needs(const struct vms_space *space, const struct vms_req *req);

/**
 * Decide @req in @space. @busy: @nr_busy plans of other threads that are in flight; what they touch is treated as
 * taken when an address is chosen here. Decides memory calls, prctl, arch_prctl and personality; for calls that
 * concern tasks (exec, exit, limits, signals) the plan only passes them on.
 * @max_start: 0, or on a retry the address that was rejected.
 * Fails with -ENOMEM only when what settling needs cannot be reserved; the call must then be refused.
 */
VMS_MUST_CHECK int vms_decide(struct vms_space *space, const struct vms_req *req, const struct vms_facts *facts,
			      const struct vms_plan *const *busy, size_t nr_busy, vms_addr_t max_start,
			      struct vms_plan *ret_plan);

#endif
