/* The main file of vmsupd. */
#include <config.h>

#include <string.h>

#include "vmsup/base/log.h"
#include "vmsup/daemon/supervise.h"

int main(int argc, char **argv)
{
	/* vmsupd starts itself like this, with descriptors that nobody else has; the name is for ps(1). */
	if (argc >= 3 && strcmp(argv[1], "--supervise") == 0)
		return vms_supervise_main(argc > 3 && strcmp(argv[3], "--adopt") == 0);
	vms_log("vmsupd is not complete");
	return 2;
}
