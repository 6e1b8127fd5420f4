/* vmsup trace: the memory calls of a tenant, or of one process of it, as they are decided. */
#include "vmsup/cli/verb.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmsup/base/fd.h"
#include "vmsup/base/log.h"
#include "vmsup/base/num.h"
#include "vmsup/cli/help.h"
#include "vmsup/ctl/client.h"
#include "vmsup/ctl/daemon.h"
#include "vmsup/ctl/show.h"

static const char trace_help[] =
	"Usage: vmsup trace TENANT|PID\n"
	"\n"
	"Write a trace of the tenant, as run --trace does, to stdout until it ends or this command\n"
	"does; of PID only the calls of this process, which must be a tenant's: that takes root.\n"
	"Lines that find no room are dropped: the tenant does not wait.\n"
	"\n"
	"  -h, --help  print this and exit\n"
	"\n"
	"vmsupd is asked on /run/vmsup/vmsupd.sock, or on $VMSUP_SOCKET.\n"
	"\n"
	"Exit status: 0; 1 when vmsupd refuses or it went wrong; 2 for a bad command line.\n";

static bool has_process(const json_t *supervisor, json_int_t pid)
{
	const json_t *processes = json_object_get(supervisor, "processes");

	for (size_t i = 0; i < json_array_size(processes); i++) {
		if (json_integer_value(json_object_get(json_array_get(processes, i), "pid")) == pid)
			return true;
	}
	return false;
}

/* The number of the supervisor that has @pid, or 0. */
static json_int_t supervisor_of(const json_t *ps, json_int_t pid)
{
	const json_t *supervisors = json_object_get(ps, "supervisors");

	for (size_t i = 0; i < json_array_size(supervisors); i++) {
		const json_t *supervisor = json_array_get(supervisors, i);

		if (has_process(supervisor, pid))
			return json_integer_value(json_object_get(supervisor, "supervisor"));
	}
	return 0;
}

/* The name of the tenant that has @pid. 0 or a negative errno with a sentence. */
static int find_tenant(json_int_t pid, char *ret_name, size_t size, struct vms_err *err)
{
	json_int_t supervisor;
	json_t *ps, *status;
	const json_t *list;
	int r = vms_ctl_ps(&ps, err);

	if (r < 0)
		return r;
	supervisor = supervisor_of(ps, pid);
	json_decref(ps);
	r = vms_daemon_question("status", NULL, &status, err);
	if (r < 0)
		return r;
	list = json_object_get(status, "tenants");
	r = -ESRCH;
	for (size_t i = 0; supervisor && i < json_array_size(list); i++) {
		const json_t *tenant = json_array_get(list, i);
		const char *name = json_string_value(json_object_get(tenant, "name"));

		if (name && json_integer_value(json_object_get(tenant, "supervisor")) == supervisor) {
			snprintf(ret_name, size, "%s", name);
			r = 0;
		}
	}
	json_decref(status);
	return r < 0 ? vms_err_set(err, r, "process %lld is no tenant's, as far as can be seen; vmsup ps lists those there are", (long long)pid) : 0;
}

/* What is no call, but the beginning, belongs to the whole tree. */
static bool is_of(const char *line, json_int_t pid)
{
	json_t *json = json_loads(line, 0, NULL);
	const char *event = json_string_value(json_object_get(json, "event"));
	bool is = event ? strcmp(event, "start") == 0 : json_integer_value(json_object_get(json, "pid")) == pid;

	json_decref(json);
	return is;
}

/* Until the other end is closed. @pid 0: all lines. */
static int copy(int fd, json_int_t pid)
{
	vms_autofd owned = fd;
	FILE *from = fdopen(fd, "r");
	char *line = NULL;
	size_t size = 0;
	int status = 0;

	if (!from)
		return 1;
	vms_fd_steal(&owned);
	while (getline(&line, &size, from) > 0) {
		if (pid && !is_of(line, pid))
			continue;
		if (fputs(line, stdout) < 0 || fflush(stdout) != 0) {
			vms_log("cannot write to stdout: %s", strerror(errno));
			status = 1;
			break;
		}
	}
	free(line);
	fclose(from);
	return status;
}

static int ask(const char *tenant, int *ret_fd, struct vms_err *err)
{
	struct vms_daemon_line *line;
	json_t *result;
	int r = vms_daemon_connect(&line, err);

	if (r < 0)
		return r;
	r = vms_daemon_ask(line, json_pack("{s:s, s:s}", "verb", "trace", "tenant", tenant), &result, ret_fd, err);
	vms_daemon_hang_up(line);
	if (r < 0)
		return r;
	json_decref(result);
	return *ret_fd < 0 ? vms_err_set(err, -EPROTO, "vmsupd sent no trace") : 0;
}

static int trace_run(int argc, char **argv)
{
	struct vms_err err = VMS_ERR_INIT;
	uint64_t pid = 0;
	char name[64];
	int fd = -1, r = 0;

	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return vms_help_verb(&vms_verb_trace);
	if (argc != 2 || argv[1][0] == '-' || !argv[1][0]) {
		vms_log(argc > 2 ? "trace: one tenant or process at a time, please" :
			argc < 2 ? "trace: which tenant or process? vmsup status lists tenants" :
				   "trace: it has no options; see 'vmsup help trace'");
		return VMS_EXIT_USAGE;
	}
	if (vms_daemon_is_name(argv[1])) {
		snprintf(name, sizeof(name), "%s", argv[1]);
	} else if (vms_num_parse(argv[1], NULL, &pid) < 0 || pid < 1 || pid > INT_MAX) {
		vms_log("trace: %.100s is neither a tenant nor the number of a process", argv[1]);
		return VMS_EXIT_USAGE;
	} else {
		r = find_tenant((json_int_t)pid, name, sizeof(name), &err);
	}
	if (r == 0)
		r = ask(name, &fd, &err);
	if (r < 0) {
		vms_show_error(err.text);
		return 1;
	}
	return copy(fd, (json_int_t)pid);
}

static const struct vms_option trace_options[] = {
	{ .name = "help" },
	{ .name = NULL },
};

const struct vms_verb vms_verb_trace = {
	.name = "trace",
	.summary = "show the memory calls of a tenant as they are decided",
	.help = trace_help,
	.options = trace_options,
	.run = trace_run,
};
