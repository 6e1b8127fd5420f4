/*
 * Fault injection: rules by which calls fail that would not. Pure but for the counters, which are the caller's.
 */
#ifndef VMSUP_CORE_INJECT_H
#define VMSUP_CORE_INJECT_H

#include "vmsup/core/req.h"

#define VMS_MAX_INJECTIONS 16

/** Which of the calls that a rule matches fail: first, first + step... up to last; counted from 1, for each process. */
struct vms_inject_when {
	uint64_t first, last;
	uint64_t step; /* 0: the first only, or with last all between */
};

struct vms_inject_rule {
	bool calls[VMS_NR_CALLS];
	struct vms_inject_when when;
	uint64_t above, below; /* length in bytes: more than above, less than below; below 0: no bound */
	uint8_t prot; /* VMS_PROT_*: all of these are asked for */
	bool anon; /* anonymous mappings only */
	const char *file; /* glob of a mapped file's name; NULL: any; borrowed, matched by the host */
	uint64_t chance; /* of 2^32; 0: certain */
	uint64_t random; /* state, advanced by each draw */
	int error; /* a positive errno; 0: none is injected */
	int signal; /* sent to the process; 0: none */
};

struct vms_injections {
	struct vms_inject_rule rules[VMS_MAX_INJECTIONS];
	size_t nr;
};

/** What one process has seen: how many calls each rule has matched. */
struct vms_inject_counts {
	uint64_t seen[VMS_MAX_INJECTIONS];
};

/** True when @rule is about @req, by everything but file, when and chance. */
bool vms_inject_matches(const struct vms_inject_rule *rule, const struct vms_req *req);
/** One more matching call: true when it is one to fail. Advances *@seen, and the rule's random state. */
bool vms_inject_strikes(struct vms_inject_rule *rule, uint64_t *seen);

#endif
