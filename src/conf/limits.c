/* Limits as people write them; see the header. */
#include "vmsup/conf/limits.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "vmsup/base/num.h"
#include "vmsup/core/limit.h"

int vms_limit_parse(const char *name, const char *text, uint64_t *ret_max, struct vms_err *err)
{
	uint64_t value;
	int r = strcmp(text, "none") == 0 ? 1 : vms_num_parse(text, NULL, &value);

	if (r < 0)
		return vms_err_set(err, -EINVAL,
				   r == -ERANGE ? "--%s: '%.100s' is too big; give a number below 2^64, or none" :
						  "--%s: '%.100s' is no number; give one from 0 up, as 512M, or none",
				   name, text);
	*ret_max = r == 1 ? VMS_UNLIMITED : value;
	return 0;
}

int vms_signal_number(const char *name)
{
	if (strncmp(name, "SIG", 3) == 0)
		name += 3;
	for (int sig = 1; sig < SIGRTMIN; sig++) {
		const char *known = sigabbrev_np(sig);

		if (known && strcmp(known, name) == 0)
			return sig;
	}
	return 0;
}

int vms_on_limit_parse(const char *text, int *ret_signal, struct vms_err *err)
{
	static const char prefix[] = "signal:";
	int sig = 0;

	if (strcmp(text, "kill") == 0)
		sig = SIGKILL;
	else if (strncmp(text, prefix, sizeof(prefix) - 1) == 0)
		sig = vms_signal_number(text + sizeof(prefix) - 1);
	else if (strcmp(text, "enomem") != 0)
		return vms_err_set(err, -EINVAL,
				   "--on-limit: '%.100s' is none of 'enomem', 'signal:NAME' and 'kill'", text);
	if (!sig && strcmp(text, "enomem") != 0)
		return vms_err_set(err, -EINVAL, "--on-limit: there is no signal '%.100s'; write for example signal:TERM",
				   text + sizeof(prefix) - 1);
	*ret_signal = sig;
	return 0;
}
