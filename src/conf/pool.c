/* Disjoint slices of a pool of addresses for tenants that ask for range: auto; see tenant.h. */
#include <errno.h>
#include <string.h>

#include "vmsup/conf/tenant.h"

static uint64_t slice_of(const struct vms_daemon_conf *conf, const struct vms_tenant_conf *tenant)
{
	return tenant->slice ? tenant->slice : conf->slice;
}

/* A tenant other than @self that has a part of @range, or NULL. */
static const struct vms_tenant_conf *owner_of(const struct vms_daemon_conf *conf, const struct vms_range *range,
					      const struct vms_tenant_conf *self)
{
	for (size_t i = 0; i < conf->nr_tenants; i++) {
		const struct vms_tenant_conf *t = &conf->tenants[i];

		if (t != self && t->has_range && vms_range_overlaps(&t->range, range))
			return t;
	}
	return NULL;
}

/* The same of those that run: what it has now it keeps, whatever it is to have when it is started again. */
static const struct vms_slice *holder_of(const struct vms_slice *kept, size_t nr_kept, const struct vms_range *range,
					 const struct vms_tenant_conf *self)
{
	for (size_t i = 0; i < nr_kept; i++) {
		if (strcmp(kept[i].name, self->name) != 0 && vms_range_overlaps(&kept[i].range, range))
			return &kept[i];
	}
	return NULL;
}

/* Two tenants that name their ranges may share them, but not in the pool, whose addresses mean one tenant each. */
static int check_explicit(const struct vms_daemon_conf *conf, const struct vms_slice *kept, size_t nr_kept, struct vms_err *err)
{
	for (size_t i = 0; conf->has_pool && i < conf->nr_tenants; i++) {
		const struct vms_tenant_conf *t = &conf->tenants[i], *other;
		const struct vms_slice *holder;

		if (!t->has_range || t->range_auto || !vms_range_overlaps(&t->range, &conf->pool))
			continue;
		other = owner_of(conf, &t->range, t);
		if (other)
			return vms_err_set(err, -EINVAL, "tenants %s and %s both have addresses from 0x%llx on, and these are in the pool: give "
					   "one of them another range (%.100s, %.100s)", t->name, other->name,
					   (unsigned long long)vms_addr_max(t->range.start, other->range.start), t->path, other->path);
		holder = holder_of(kept, nr_kept, &t->range, t);
		/* One that is not configured any more is being stopped. */
		if (holder && vms_daemon_conf_find(conf, holder->name))
			return vms_err_set(err, -EINVAL, "tenant %s asks for addresses from 0x%llx on, which tenant %s has as long as it runs: stop "
					   "that one first (%.150s)", t->name,
					   (unsigned long long)vms_addr_max(t->range.start, holder->range.start), holder->name, t->path);
	}
	return 0;
}

/* @what, for example "tenant one: range", of @path */
static int check_addresses(const struct vms_range *range, const struct vms_range *addresses, const char *what, const char *name,
			   const char *path, struct vms_err *err)
{
	/* --va-bits 47 ends one page above all programs of most machines. */
	const vms_addr_t end = range->end - addresses->end <= VMS_PAGE_SIZE ? addresses->end : range->end;

	if (range->start < addresses->start)
		return vms_err_set(err, -EINVAL, "%s%s starts at 0x%llx, and programs of this machine have no addresses below 0x%llx "
				   "(vm.mmap_min_addr) (%.200s)", what, name, (unsigned long long)range->start,
				   (unsigned long long)addresses->start, path);
	if (end > addresses->end)
		return vms_err_set(err, -EINVAL, "%s%s ends at 0x%llx, and programs of this machine have no addresses above 0x%llx (%.200s)", what,
				   name, (unsigned long long)range->end, (unsigned long long)addresses->end, path);
	return 0;
}

static int check_all_addresses(const struct vms_daemon_conf *conf, const struct vms_range *addresses, struct vms_err *err)
{
	int r = conf->has_pool ? check_addresses(&conf->pool, addresses, "the pool", "", "vmsup.conf", err) : 0;

	for (size_t i = 0; r == 0 && i < conf->nr_tenants; i++) {
		const struct vms_tenant_conf *t = &conf->tenants[i];

		if (t->has_range)
			r = check_addresses(&t->range, addresses, "the range of tenant ", t->name, t->path, err);
	}
	return r;
}

/* What runs stays where it is. */
static void keep_slices(struct vms_daemon_conf *conf, const struct vms_slice *kept, size_t nr_kept)
{
	for (size_t i = 0; i < nr_kept; i++) {
		struct vms_tenant_conf *t = vms_daemon_conf_find(conf, kept[i].name);

		if (!t || !t->range_auto || !conf->has_pool || vms_range_size(&kept[i].range) != slice_of(conf, t) ||
		    !vms_range_covers(&conf->pool, &kept[i].range) || owner_of(conf, &kept[i].range, t))
			continue;
		t->range = kept[i].range;
		t->has_range = true;
	}
}

/* The lowest place where nobody is. */
static int find_slice(const struct vms_daemon_conf *conf, const struct vms_slice *kept, size_t nr_kept, struct vms_tenant_conf *t,
		      struct vms_err *err)
{
	const uint64_t size = slice_of(conf, t);
	const char *last = NULL;
	struct vms_range range = { conf->pool.start, conf->pool.start + size };

	while (range.end > range.start && range.end <= conf->pool.end) {
		const struct vms_tenant_conf *owner = owner_of(conf, &range, t);
		const struct vms_slice *holder = owner ? NULL : holder_of(kept, nr_kept, &range, t);

		if (!owner && !holder) {
			t->range = range;
			t->has_range = true;
			return 0;
		}
		last = owner ? owner->name : holder->name;
		range.start = owner ? owner->range.end : holder->range.end;
		range.end = range.start + size;
	}
	return vms_err_set(err, -EINVAL, "the pool 0x%llx-0x%llx has no room for tenant %s, which asks for 0x%llx bytes%s%s: enlarge the pool, or "
			   "ask for smaller slices (%.150s)", (unsigned long long)conf->pool.start, (unsigned long long)conf->pool.end,
			   t->name, (unsigned long long)size, last ? ", beside tenant " : "", last ? last : "", t->path);
}

int vms_pool_assign(struct vms_daemon_conf *conf, const struct vms_range *addresses, const struct vms_slice *kept, size_t nr_kept,
		    struct vms_err *err)
{
	int r = check_all_addresses(conf, addresses, err);

	if (r == 0)
		r = check_explicit(conf, kept, nr_kept, err);
	if (r < 0)
		return r;
	keep_slices(conf, kept, nr_kept);
	for (size_t i = 0; i < conf->nr_tenants; i++) {
		struct vms_tenant_conf *t = &conf->tenants[i];

		if (!t->range_auto || t->has_range)
			continue;
		if (!conf->has_pool)
			return vms_err_set(err, -EINVAL, "tenant %s asks for range: auto, and there is no pool: write for example pool: 1T-2T in "
					   "vmsup.conf (%.150s)", t->name, t->path);
		r = find_slice(conf, kept, nr_kept, t, err);
		if (r < 0)
			return r;
	}
	return 0;
}
