/* Limits of the program that are none of its supervisor's; see the header. */
#include "vmsup/host/rlimits.h"

#include <errno.h>

/* What a tree of the most processes that are recorded takes (SECURITY.md), and the least that is of use. */
#define MOST_FILES 140000
#define LEAST_FILES 64

static const struct {
	__rlimit_resource_t resource;
	rlim_t wanted;
} table[VMS_NR_RLIMITS] = {
	{ RLIMIT_NOFILE, MOST_FILES },
	{ RLIMIT_FSIZE, RLIM_INFINITY },
	{ RLIMIT_CPU, RLIM_INFINITY },
};

void vms_rlimits_lift(struct vms_rlimits *ret_given)
{
	for (int i = 0; i < VMS_NR_RLIMITS; i++) {
		struct rlimit *given = &ret_given->limits[i];
		struct rlimit all = { table[i].wanted, table[i].wanted };

		if (getrlimit(table[i].resource, given) < 0)
			*given = (struct rlimit){ RLIM_INFINITY, RLIM_INFINITY };
		if (given->rlim_cur >= table[i].wanted)
			continue;
		/* Above the hard limit only the privileged may go. */
		if (given->rlim_max >= table[i].wanted)
			all.rlim_max = given->rlim_max;
		if (setrlimit(table[i].resource, &all) == 0)
			continue;
		all = (struct rlimit){ given->rlim_max, given->rlim_max };
		vms_ignore(setrlimit(table[i].resource, &all));
	}
}

void vms_rlimits_give(const struct vms_rlimits *given)
{
	for (int i = 0; i < VMS_NR_RLIMITS; i++)
		vms_ignore(setrlimit(table[i].resource, &given->limits[i]));
}

int vms_rlimits_check(struct vms_err *err)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur >= LEAST_FILES)
		return 0;
	return vms_err_set(err, -EMFILE,
			   "only %llu files may be open (ulimit -n), and vmsup needs %d and two for each process: run it under "
			   "a higher limit, and set this one inside",
			   (unsigned long long)files.rlim_cur, LEAST_FILES);
}
