/* The supervisor of one tenant; see the header. */
#include "vmsup/daemon/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "vmsup/base/fd.h"
#include "vmsup/base/log.h"
#include "vmsup/conf/options.h"
#include "vmsup/ctl/server.h"
#include "vmsup/ctl/start.h"
#include "vmsup/host/rlimits.h"
#include "vmsup/host/spawn.h"
#include "vmsup/sup/supervisor.h"

#define EXIT_FAILED 125

/* As the words of `vmsup run`, for they have been checked as such. */
static int parse_options(const struct vms_start *start, struct vms_run_options *ret_options, struct vms_err *err)
{
	enum vms_options_verdict verdict;
	size_t nr_argv = 0, n = 0;
	char **words;
	int r;

	while (start->argv[nr_argv])
		nr_argv++;
	/* The options borrow the program's words, not this array's: it must live as long as they. */
	words = calloc(start->nr_options + nr_argv + 3, sizeof(*words));
	if (!words)
		return vms_err_set(err, -ENOMEM, "out of memory");
	words[n++] = (char *)(uintptr_t) "run";
	for (size_t i = 0; i < start->nr_options; i++)
		words[n++] = start->options[i];
	words[n++] = (char *)(uintptr_t) "--";
	for (size_t i = 0; i < nr_argv; i++)
		words[n++] = start->argv[i];
	r = vms_options_parse((int)n, words, ret_options, &verdict, err);
	if (r == 0)
		ret_options->argv = start->argv;
	free(words);
	return r;
}

/* Everything but the words that both need: descriptors must not leak into the program. */
static void close_on_exec(bool adopt)
{
	for (int fd = VMS_START_LINK; fd <= (adopt ? VMS_START_LISTENER : VMS_START_LOCK); fd++)
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static int open_cgroup(const char *folder, int *ret_fd, struct vms_err *err)
{
	vms_autofd dir = -1;

	*ret_fd = -1;
	if (!folder)
		return 0;
	dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	*ret_fd = dir < 0 ? -1 : openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	return *ret_fd < 0 ? vms_err_set(err, -errno, "the cgroup %s cannot be used: %s", folder, strerror(errno)) : 0;
}

static int serve(const struct vms_start *start, const struct vms_run_options *options, const struct vms_rlimits *given, int cgroup,
		 bool adopt)
{
	const struct vms_spawn_place place = {
		.is_service = true, .has_user = start->has_user, .uid = start->uid, .gid = start->gid, .groups = start->groups,
		.nr_groups = start->nr_groups, .directory = start->directory, .cgroup_procs = cgroup,
	};
	const struct vms_tenancy tenancy = {
		.name = start->name, .start_fd = VMS_START_START, .board_fd = VMS_START_BOARD,
		.lock_fd = VMS_START_LOCK, .listener = adopt ? VMS_START_LISTENER : -1, .link_path = start->link, .place = &place, .cgroup = start->cgroup,
	};
	struct vms_ctl_server *server = NULL;
	struct vms_err err = VMS_ERR_INIT;
	char **own = environ;
	struct vms_sup *sup = NULL;
	int status, r;

	/* The program's, which is found and started in there. */
	environ = start->environment;
	r = vms_sup_new(options, given, VMS_START_LINK, &tenancy, &sup);
	environ = own;
	if (r < 0)
		return EXIT_FAILED;
	if (vms_ctl_serve(sup, &server, &err) < 0)
		server = NULL;
	status = vms_sup_run(sup);
	vms_ctl_server_free(server);
	vms_sup_free(sup);
	return status;
}

/* What goes wrong before there is a supervisor: vmsupd hears it as the front would. */
static int give_up(const struct vms_err *err)
{
	struct vms_front_msg msg = { .kind = VMS_FRONT_FAILED, .value = EXIT_FAILED };

	memcpy(msg.text, err->text, strnlen(err->text, sizeof(msg.text) - 1));
	(void)!write(VMS_START_LINK, &msg, sizeof(msg));
	return EXIT_FAILED;
}

int vms_supervise_main(bool adopt)
{
	struct vms_run_options options;
	struct vms_err err = VMS_ERR_INIT;
	struct vms_rlimits given;
	struct vms_start start;
	int status, cgroup;

	close_on_exec(adopt);
	/* It was executed by a link, and is not to die by `pkill vmsupd`. */
	prctl(PR_SET_NAME, "vms-supervisor");
	vms_rlimits_lift(&given);
	if (vms_rlimits_check(&err) < 0 || vms_start_read(VMS_START_START, &start, &err) < 0)
		return give_up(&err);
	if (parse_options(&start, &options, &err) < 0) {
		vms_start_done(&start);
		return give_up(&err);
	}
	if (open_cgroup(start.cgroup, &cgroup, &err) < 0) {
		status = give_up(&err);
	} else {
		status = serve(&start, &options, &given, cgroup, adopt);
	}
	vms_fd_close(&cgroup);
	vms_options_done(&options);
	vms_start_done(&start);
	return status;
}
