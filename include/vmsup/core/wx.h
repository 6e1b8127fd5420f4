/*
 * Protection policy: what may be executable. Pure; what it must know of a file is vetted by the host.
 *
 * The kernel is asked in two steps where a file is made executable by mmap: mapped without PROT_EXEC first, then the mapping itself,
 * which nobody can swap, is compared with the file that was vetted, then it is made executable.
 */
#ifndef VMSUP_CORE_WX_H
#define VMSUP_CORE_WX_H

#include <stdbool.h>
#include <stddef.h>

#include "vmsup/core/vma.h"

struct vms_space;
struct vms_req;
struct vms_facts;
struct vms_plan;

enum vms_wx {
	VMS_WX_ALLOW,
	VMS_WX_LOG, /* tell what deny would refuse */
	VMS_WX_DENY, /* never writable and executable at once, nor executable after writable */
};

/** What a call, or an image, is refused for. */
enum vms_wx_rule {
	VMS_WX_FINE,
	VMS_WX_BOTH, /* writable and executable at once */
	VMS_WX_AFTER_WRITE, /* executable after it was writable */
	VMS_WX_ALIAS, /* executable here, writable there: the same memory, or the file it is from */
	VMS_WX_ANON, /* --no-anon-exec */
	VMS_WX_ELSEWHERE, /* a file that is not under --exec-from */
};

struct vms_exec_policy {
	enum vms_wx wx;
	bool no_anon_exec;
	bool exec_from; /* facts.file.trusted counts */
};

/** "wx" for the first three, "no-anon-exec", "exec-from": the option whose rule it is. */
const char *vms_wx_option(enum vms_wx_rule rule);
/** What it forbids, for a sentence: "writable and executable at once". */
const char *vms_wx_text(enum vms_wx_rule rule);

/** True when nothing is restricted. */
bool vms_exec_policy_is_plain(const struct vms_exec_policy *policy);

/**
 * The rule that @req breaks in @space; VMS_WX_FINE: none. With @wx deny a call in flight of another thread counts as if it had
 * happened. --wx log is asked like deny: the caller does not refuse then.
 */
enum vms_wx_rule vms_wx_check(const struct vms_space *space, const struct vms_req *req, const struct vms_facts *facts,
			      const struct vms_plan *const *busy, size_t nr_busy);
/** True when @req must be carried out in two steps, so that the file that is mapped is the one that was vetted. */
bool vms_wx_vets(const struct vms_space *space, const struct vms_req *req);
/** Give @plan for @req what settling must know, and have it carried out in two steps where that is needed. */
void vms_wx_prepare(const struct vms_space *space, const struct vms_req *req, const struct vms_facts *facts,
		    struct vms_plan *plan);
/** What @vma, of which @plan says how it came about (NULL: it was found), has to remember. */
void vms_wx_mark(const struct vms_space *space, const struct vms_plan *plan, struct vms_vma *vma);
/**
 * The rule that a fresh image breaks; @trusted tells of each of its @nr VMAs whether its file is under --exec-from, @memory whether
 * it is a memory file.
 */
enum vms_wx_rule vms_wx_check_image(const struct vms_exec_policy *policy, const struct vms_vma *vmas, const bool *trusted,
				    const bool *memory, size_t nr);

#endif
