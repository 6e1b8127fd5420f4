/* What was asked for, checked against this machine and brought into the form that serving needs. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vmsup/base/fd.h"
#include "vmsup/sup/sup.h"

#define LOW2G_END ((vms_addr_t)2 << 30)
/* The LSM's usual minimum address: PR_SET_MM_MAP takes none below. */
#define LOWEST_START ((vms_addr_t)0x10000)

/* --va-bits N: all below 2^N, as far as the machine goes. */
static int take_va_bits(struct vms_sup *sup, struct vms_err *err)
{
	const vms_addr_t end = (vms_addr_t)1 << sup->options.va_bits, user = sup->machine.user.end;

	if (!sup->options.va_bits)
		return 0;
	/* The last page below 2^47 is not the user's. */
	if (end > user + VMS_PAGE_SIZE)
		return vms_err_set(err, -EINVAL, "--va-bits=%u: addresses of this machine end at 0x%llx: give fewer bits",
				   sup->options.va_bits, (unsigned long long)user);
	sup->options.range.start = vms_page_up(sup->machine.rules.hint_min);
	if (sup->options.range.start < LOWEST_START)
		sup->options.range.start = LOWEST_START;
	sup->options.range.end = end < user ? end : user;
	sup->options.has_range = true;
	return 0;
}

bool vms_sup_is_unsealed(const struct vms_sup *sup)
{
	return sup->options.has_range && !sup->machine.has_mseal;
}

/*
 * Without a range the kernel's own, random mmap_base would decide: the image goes below the lowest there is. An unsealed fence is
 * kept by a filter that cannot tell a file of huge pages from any other, and so refuses to map files where those would not fit:
 * no image should be there.
 */
static struct vms_range image_base(const struct vms_sup *sup)
{
	const vms_addr_t last_huge = sup->range.end & ~(VMS_HUGE_SIZE - 1);
	struct vms_range base = sup->range;

	if (!sup->options.has_range)
		base.end = sup->machine.lowest_mmap_base;
	else if (vms_sup_is_unsealed(sup) && last_huge >= base.start + vms_range_size(&base) / 2)
		base.end = last_huge;
	return base;
}

static int check_policy(struct vms_sup *sup, struct vms_err *err)
{
	struct vms_policy *policy = &sup->options.policy;
	const vms_addr_t size = sup->options.reserve_low;

	sup->image_range = image_base(sup);
	if (size && (sup->range.start >= LOW2G_END - size || sup->range.end < LOW2G_END - size + VMS_PAGE_SIZE))
		return vms_err_set(err, -EINVAL,
				   "--reserve-low: the %llu bytes below 2 GiB are not in the range 0x%llx-0x%llx, or are all of it: "
				   "choose a range that begins lower, or reserve less",
				   (unsigned long long)size, (unsigned long long)sup->range.start,
				   (unsigned long long)sup->range.end);
	if (size)
		policy->low = (struct vms_range){ LOW2G_END - size, LOW2G_END };
	if (vms_policy_is_plain(policy))
		return 0;
	if (!vms_policy_widest(policy, &sup->image_range, &sup->image_range))
		return vms_err_set(err, -EINVAL, "--hole: nothing is left of the range 0x%llx-0x%llx",
				   (unsigned long long)sup->chosen.start, (unsigned long long)sup->chosen.end);
	sup->tasks.policy = policy;
	return 0;
}

/* Holes outside the range: only a seal keeps what lies between. */
static int add_outer_holes(struct vms_sup *sup, struct vms_err *err)
{
	struct vms_policy *policy = &sup->options.policy;
	const struct vms_range *first = policy->holes, *last = first + policy->nr_holes - 1;

	sup->chosen = sup->range;
	if (!policy->nr_holes || (first->start >= sup->range.start && last->end <= sup->range.end))
		return 0;
	if (first->start < vms_page_up(sup->machine.rules.mmap_min_addr) || last->end > sup->machine.user.end)
		return vms_err_set(err, -EINVAL,
				   "--hole, --avoid: 0x%llx-0x%llx is not in the user address space: stay within 0x%llx-0x%llx",
				   (unsigned long long)first->start, (unsigned long long)last->end,
				   (unsigned long long)vms_page_up(sup->machine.rules.mmap_min_addr),
				   (unsigned long long)sup->machine.user.end);
	if (vms_sup_is_unsealed(sup))
		return vms_err_set(err, -EINVAL,
				   "--hole, --avoid: 0x%llx-0x%llx is not in the range 0x%llx-0x%llx, and this kernel cannot seal what lies "
				   "between (mseal, Linux 6.10): choose a range that holds it",
				   (unsigned long long)first->start, (unsigned long long)last->end,
				   (unsigned long long)sup->range.start, (unsigned long long)sup->range.end);
	if (vms_policy_widen(policy, &sup->chosen, &sup->range) < 0)
		return vms_err_set(err, -EINVAL, "--hole: there are more than %d holes; join some", VMS_MAX_HOLES);
	return 0;
}

static int check_range(struct vms_sup *sup, struct vms_err *err)
{
	const struct vms_range *range = &sup->options.range;
	const vms_addr_t min = vms_page_up(sup->machine.rules.mmap_min_addr);
	int r;

	sup->range = (struct vms_range){ min, sup->machine.user.end };
	sup->chosen = sup->range;
	r = take_va_bits(sup, err);
	if (r < 0 || !sup->options.has_range)
		return r;
	if (range->start < min)
		return vms_err_set(err, -EINVAL,
				   "--range: it starts at 0x%llx, below vm.mmap_min_addr: start at 0x%llx or above",
				   (unsigned long long)range->start, (unsigned long long)min);
	if (range->end > sup->machine.user.end)
		return vms_err_set(err, -EINVAL,
				   "--range: it ends at 0x%llx, above the user address space: end at 0x%llx or below",
				   (unsigned long long)range->end, (unsigned long long)sup->machine.user.end);
	sup->range = *range;
	return add_outer_holes(sup, err);
}

static int check_mode(struct vms_sup *sup, struct vms_err *err)
{
	if (sup->options.has_range && sup->machine.maps_page_zero)
		return vms_err_set(err, -EINVAL,
				   "page 0 would be mapped, outside every range, in each program (setarch -Z, MMAP_PAGE_ZERO): "
				   "run vmsup without this personality");
	if (sup->options.mode == VMS_MODE_FENCE && sup->options.has_range && sup->machine.legacy_layout)
		return vms_err_set(err, -EINVAL,
				   "--mode fence cannot work with the legacy layout (setarch -L, vm.legacy_va_layout): the kernel would "
				   "look for room from the middle of all addresses upwards; use --mode supervise or the default layout");
	return 0;
}

/* RLIMIT_AS counts the fence and the top gap: the child gets its limit plus these. */
int vms_configure_limit(struct vms_sup *sup, struct rlimit *limit, bool *ret_set, struct vms_err *err)
{
	struct rlimit old;

	*ret_set = false;
	if (!sup->fence_size || getrlimit(RLIMIT_AS, limit) < 0 ||
	    (limit->rlim_cur == RLIM_INFINITY && limit->rlim_max == RLIM_INFINITY))
		return 0;
	old = *limit;
	if (limit->rlim_cur != RLIM_INFINITY)
		limit->rlim_cur += sup->fence_size;
	if (limit->rlim_max != RLIM_INFINITY)
		limit->rlim_max += sup->fence_size;
	*ret_set = true;
	if (setrlimit(RLIMIT_AS, limit) == 0) {
		vms_ignore(setrlimit(RLIMIT_AS, &old));
		return 0;
	}
	return vms_err_set(err, -EPERM,
			   "the address space is limited to %llu KiB for good (ulimit -v), which leaves no room for the fence: "
			   "run vmsup under 'ulimit -v unlimited' and set the limit inside",
			   (unsigned long long)old.rlim_max / 1024);
}

static vms_addr_t fence_bytes(const struct vms_sup *sup, const struct vms_reloc_conf *conf)
{
	vms_addr_t size;

	if (!sup->moves_images)
		return 0;
	/* As it is under a limit. In a process that sets itself one it was random; the limit is that much looser. */
	size = conf->top_end - conf->image_range.end;
	if (conf->randomize)
		size += vms_layout_top_max(&conf->image_range);
	if (!conf->fence)
		return size;
	for (size_t i = 0; i < conf->nr_walls; i++) {
		if (conf->walls[i].start < conf->range.end)
			size += vms_addr_min(conf->walls[i].end, conf->range.end) - conf->walls[i].start;
	}
	return size + (conf->range.start - conf->fence_start) + (conf->user.end - conf->range.end);
}

/* The image goes where no hole is. Below a hole, what is above the hole stays open. False: there is no room. */
static bool take_widest(const struct vms_sup *sup, struct vms_reloc_conf *conf)
{
	const vms_addr_t end = conf->image_range.end;

	if (conf->image_range.start >= end)
		return false;
	if (!sup->tasks.policy)
		return true;
	if (!vms_policy_widest(sup->tasks.policy, &conf->image_range, &conf->image_range))
		return false;
	if (conf->image_range.end < end)
		conf->top_end = conf->image_range.end;
	return true;
}

/*
 * i386 programs live in the part of the range that they can address. Its top is left to the top gap, so that the kernel's own
 * random mmap_base, which lies there, has no say.
 */
static void configure_i386(struct vms_sup *sup)
{
	struct vms_reloc_conf *conf = &sup->i386_conf;
	const vms_addr_t base = vms_machine_i386_mmap_base(&sup->machine, 0);

	*conf = sup->reloc_conf;
	conf->user = sup->machine.i386_user;
	/* With 3 GiB of addresses, all of it lies that much lower. */
	conf->end_3g = base - (conf->user.end - ((vms_addr_t)3 << 30));
	conf->range.end = vms_addr_min(conf->range.end, conf->user.end);
	conf->chosen.end = vms_addr_min(conf->chosen.end, conf->user.end);
	conf->image_range = image_base(sup);
	if (conf->image_range.end > base)
		conf->image_range.end = base;
	conf->top_end = conf->range.end;
	if (!take_widest(sup, conf)) {
		*conf = (struct vms_reloc_conf){ 0 };
		return;
	}
	sup->reloc_conf.i386 = conf;
	sup->i386_fence_size = fence_bytes(sup, conf);
	sup->tasks.i386.range = conf->range;
	sup->tasks.i386.user = conf->user;
	sup->tasks.i386.remote_only = sup->tasks.remote_only;
	if (sup->moves_images && conf->top_end == conf->range.end)
		sup->tasks.i386.ceiling = conf->image_range.end;
}

/*
 * Below mmap_min_addr only a privileged process may map. In supervise mode the decision forbids it, but where the range is full the
 * kernel's own search (before 6.4) goes down to the second page. The first one is left alone: a null pointer should fault as it does
 * without us.
 */
static vms_addr_t fence_start(const struct vms_sup *sup)
{
	const vms_addr_t min = vms_page_up(sup->machine.rules.mmap_min_addr);

	if (geteuid() != 0)
		return min;
	if (sup->options.mode == VMS_MODE_FENCE)
		return 0;
	return min < VMS_PAGE_SIZE ? min : VMS_PAGE_SIZE;
}

void vms_configure(struct vms_sup *sup)
{
	const struct vms_run_options *o = &sup->options;

	/* Where there are holes, the image must not lie in one either. */
	sup->moves_images = o->has_range || o->aslr != VMS_ASLR_RANDOM || o->policy.nr_holes || o->reserve_low;
	sup->reloc_conf = (struct vms_reloc_conf){
		.range = sup->range,
		.chosen = sup->chosen,
		.walls = o->policy.walls,
		.nr_walls = o->policy.nr_walls,
		.user = sup->machine.user,
		.mmap_min_addr = sup->machine.rules.mmap_min_addr,
		.fence = o->has_range,
		.seal = sup->machine.has_mseal,
		.fence_start = fence_start(sup),
		.randomize = o->aslr != VMS_ASLR_OFF,
		.cookie = sup->cookie,
	};
	sup->reloc_conf.image_range = sup->image_range;
	sup->reloc_conf.top_end = sup->range.end;
	/* Below a hole: what is above the hole stays open. */
	if (sup->tasks.policy && sup->image_range.end < image_base(sup).end)
		sup->reloc_conf.top_end = sup->image_range.end;
	sup->fence_size = fence_bytes(sup, &sup->reloc_conf);
	sup->tasks.range = sup->range;
	sup->tasks.user = sup->machine.user;
	sup->tasks.confined = o->has_range;
	/* In the legacy layout the kernel's own search starts outside most ranges. */
	sup->tasks.remote_only = o->place == VMS_PLACE_REMOTE || (o->has_range && sup->machine.legacy_layout);
	sup->tasks.rules = sup->machine.rules;
	sup->tasks.limits = o->limits;
	sup->tasks.exec_policy = o->exec_policy;
	sup->tasks.tree_limits = o->tree_limits;
	/* The kernel starts its search at the top of the range, unless its own mmap_base may lie inside. */
	if (sup->moves_images && sup->reloc_conf.top_end == sup->range.end &&
	    (!o->has_range || sup->range.end <= sup->machine.lowest_mmap_base))
		sup->tasks.ceiling = sup->range.end;
	else if (sup->moves_images && o->aslr != VMS_ASLR_RANDOM)
		sup->tasks.remote_only = true;
	configure_i386(sup);
	if (o->aslr == VMS_ASLR_SEED)
		sup->seed = o->seed;
	else if (getrandom(&sup->seed, sizeof(sup->seed), 0) < 0)
		sup->seed = (uint64_t)vms_now_ns();
	sup->tasks.random = o->has_layout_seed ? o->layout_seed : sup->seed;
}

unsigned int vms_configure_traps(const struct vms_sup *sup)
{
	unsigned int when = VMS_TRAP_I386;

	if (sup->options.signal_guard)
		when |= VMS_TRAP_GUARD;
	if (sup->options.mode == VMS_MODE_FENCE)
		return when | VMS_TRAP_FENCE;
	when |= VMS_TRAP_SUPERVISE;
	if (sup->options.has_range)
		when |= VMS_TRAP_ASKED;
	if (vms_limits_any(&sup->options.tree_limits))
		when |= VMS_TRAP_TREE;
	if (sup->options.audit)
		when |= VMS_TRAP_AUDIT;
	return when;
}

int vms_configure_check(struct vms_sup *sup, struct vms_err *err)
{
	int r = check_range(sup, err);

	if (r == 0)
		r = check_mode(sup, err);
	return r < 0 ? r : check_policy(sup, err);
}
