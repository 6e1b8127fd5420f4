/*
 * Fuzz: any bytes as the file of a tenant. What is refused is refused in a sentence without a line end; what is taken has a program and
 * words that `vmsup run` takes.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "vmsup/conf/options.h"
#include "vmsup/conf/tenant.h"

static void tell(const char *sentence, void *arg)
{
	unsigned int *told = arg;

	EXPECT(*sentence && !strchr(sentence, '\n'));
	(*told)++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int told = 0;
	const struct vms_config_tell all = { .tell = tell, .arg = &told };
	struct vms_err err = VMS_ERR_INIT;
	struct vms_tenant_conf conf;
	char path[32];
	int fd = memfd_create("fuzz", MFD_CLOEXEC), r;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = vms_tenant_conf_load(path, &all, &conf, &err);
	if (r == 0) {
		EXPECT(conf.nr_command > 0 && conf.command[0] && !conf.command[conf.nr_command]);
		for (size_t i = 0; i < conf.nr_environment; i++)
			EXPECT(strchr(conf.environment[i], '=') > conf.environment[i]);
		EXPECT(conf.stop_signal > 0 && conf.restart_delay_ms <= conf.restart_delay_max_ms);
		EXPECT(!conf.range_auto || !conf.has_range);
		vms_tenant_conf_done(&conf);
	} else {
		EXPECT(told || err.text[0]);
		EXPECT(!strchr(err.text, '\n'));
	}
	close(fd);
	return 0;
}
