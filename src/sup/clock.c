/* The monotonic clock, in nanoseconds. */
#include <time.h>

#include "vmsup/sup/sup.h"

long long vms_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (long long)ts.tv_sec * 1000000000 + ts.tv_nsec;
}
