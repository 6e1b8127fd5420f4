/*
 * `vmsup run`: reads its options and makes two processes of this one, front and supervisor. What
 * they do is in front.c and in src/sup.
 */
#include "vmsup/cli/verb.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmsup/base/fd.h"
#include "vmsup/base/log.h"
#include "vmsup/cli/front.h"
#include "vmsup/cli/help.h"
#include "vmsup/conf/options.h"
#include "vmsup/ctl/daemon.h"
#include "vmsup/ctl/server.h"
#include "vmsup/ctl/start.h"
#include "vmsup/host/spawn.h"
#include "vmsup/sup/supervisor.h"

static const char run_help[] =
	"Usage: vmsup run [OPTIONS] [--] PROG [ARG...]\n"
	"\n"
	"Run PROG, found in PATH, and everything it starts under supervision. Options end at PROG:\n"
	"what follows is PROG's own. A value may follow its option after '=' or as the next word,\n"
	"but FILE only after '='. Numbers are decimal or 0x hexadecimal, and may end in K, M, G\n"
	"or T (powers of 1024).\n"
	"\n"
	"  --range LO-HI       keep every mapping in the addresses from LO up to but not including\n"
	"                      HI, in bytes, both multiples of 4096 (default: the whole user\n"
	"                      address space)\n"
	"  --mode supervise    intercept and decide every memory call (the default)\n"
	"  --mode fence        intercept only the exec family and leave the rest to the kernel:\n"
	"                      native speed, the range holds, nothing is counted or limited\n"
	"  --place auto        let the kernel place what it will place as decided (the default)\n"
	"  --place remote      carry out every placement by a remote call: slower, the same result\n"
	"  --seed N            make the random addresses repeatable: the same number, from 0 to\n"
	"                      2^64-1, gives the same layout\n"
	"  --no-aslr           no random addresses: each at its lowest or highest place\n"
	"  --audit             compare with the kernel after each decided call, page by page; print\n"
	"                      each divergence and exit with 125 if there was one\n"
	"  --stats[=FILE]      when the last process has ended, write the counters as one JSON\n"
	"                      object to FILE (default: stderr)\n"
	"  --trace[=FILE]      write one JSON object a line for each decided call, with its cost in\n"
	"                      microseconds, to FILE (default: stderr)\n"
	"  --no-signal-guard   do not trace processes whose signal handlers interrupt system calls;\n"
	"                      a memory call of theirs may then fail with EINTR\n"
	"  --signal-guard      with --mode fence: trace them, so that no exec fails with EINTR\n"
	"  --va-bits N         --range from 64K up to 2^N: 31, 32, 36, 39, 47 or 48\n"
	"  --layout HOW        where mappings go: top-down (as the kernel, the default), bottom-up,\n"
	"                      random[:SEED] (top-down with random distances) or scatter[:SEED]\n"
	"                      (anywhere)\n"
	"  --hole LO-HI        place nothing there; the program may map there by MAP_FIXED, outside\n"
	"                      the range, too. May be given again\n"
	"  --avoid WHAT        the shadow of asan, msan or tsan is a hole\n"
	"  --align SIZE        align mappings of SIZE and more to SIZE, a power of two\n"
	"  --guard-gap SIZE    keep so much free between what is placed\n"
	"  --reserve-low SIZE  keep the SIZE bytes below 2 GiB for MAP_32BIT\n"
	"  --wx deny           no memory is writable and executable at once, nor executable after it\n"
	"                      was writable; log: only tell; allow: the default\n"
	"  --exec-from DIR     executable files are mapped from below DIR only. May be given again\n"
	"  --no-anon-exec      nothing but files is executable\n"
	"  --inject CALLS:error=ERRNO[:signal=NAME][:when=FIRST[..LAST][+STEP]][:CONDITION...]\n"
	"                      make calls fail, as strace does; conditions are size>N, size<N, prot=x,\n"
	"                      anon, file=GLOB and probability=P[:seed=N]. May be given again\n"
	"  --max-commit SIZE   let no process have more memory that may have to be backed: writable\n"
	"                      private and anonymous shared memory, reservations (PROT_NONE,\n"
	"                      MAP_NORESERVE) not counted; beyond it calls fail with ENOMEM\n"
	"  --max-va SIZE       the same for all mappings\n"
	"  --max-heap SIZE     the same for the heap (brk)\n"
	"  --max-maps N        the same for the number of mappings\n"
	"  --max-stack SIZE    limit the stack (RLIMIT_STACK, hard)\n"
	"  --tree-max-commit SIZE, --tree-max-va SIZE, --tree-max-maps N\n"
	"                      the same for all processes together\n"
	"  --on-limit WHAT     when a limit refuses a call: enomem (the default), signal:NAME (send\n"
	"                      that signal, too) or kill (SIGKILL)\n"
	"  --config FILE       take options from FILE, in which each has a key of the same name;\n"
	"                      those of the command line are stronger; see vmsup.conf(5)\n"
	"  --tenant NAME       run PROG as the tenant NAME of vmsupd would be: with its options, below\n"
	"                      those given here, its user, groups, directory and environment\n"
	"  --profile NAME      take options from the profile NAME, below those of FILE\n"
	"  -h, --help          print this and exit\n"
	"\n"
	"With --mode fence, --audit, --stats and --trace cover the exec family only.\n"
	"\n"
	"Exit status: PROG's own; when a signal killed PROG, vmsup dies of the same signal.\n"
	"  125  vmsup itself failed, or its options are wrong\n"
	"  126  PROG was found and cannot be executed\n"
	"  127  PROG was not found\n"
	"\n"
	"Example:\n"
	"  vmsup run --range 0x10000-0x7fff0000 -- cat /proc/self/maps\n";

/* The supervisor process, from the fork to its end. What goes wrong in it, it tells the front. */
static int supervise(const struct vms_run_options *options, const struct vms_rlimits *given, int front_fd,
		     const struct vms_start *place)
{
	const struct vms_spawn_place where = {
		.has_user = place->has_user && (geteuid() == 0), .uid = place->uid, .gid = place->gid, .groups = place->groups,
		.nr_groups = place->nr_groups, .directory = place->directory, .cgroup_procs = -1,
	};
	const struct vms_tenancy tenancy = { .name = place->name, .start_fd = -1, .board_fd = -1, .lock_fd = -1, .listener = -1, .place = &where };
	struct vms_ctl_server *server = NULL;
	struct vms_err err = VMS_ERR_INIT;
	struct vms_sup *sup = NULL;
	int status;

	if (place->json)
		environ = place->environment;
	if (vms_sup_new(options, given, front_fd, place->json ? &tenancy : NULL, &sup) < 0)
		return VMS_EXIT_VMSUP;
	/* Without a control socket (/run is read-only, say) only maps and ps do not see it. */
	if (vms_ctl_serve(sup, &server, &err) < 0)
		server = NULL;
	status = vms_sup_run(sup);
	/* Its watchers are on the supervisor's loop, so it goes first. */
	vms_ctl_server_free(server);
	vms_sup_free(sup);
	return status;
}

static int start(const struct vms_run_options *options, const struct vms_start *place)
{
	vms_autofd ours = -1, theirs = -1;
	struct vms_err err = VMS_ERR_INIT;
	struct vms_rlimits given;
	int pair[2];
	pid_t pid;

	if (vms_front_fill_stdio() < 0) {
		vms_log("cannot open /dev/null in the place of a closed stdin, stdout or stderr");
		return VMS_EXIT_VMSUP;
	}
	vms_rlimits_lift(&given);
	if (vms_rlimits_check(&err) < 0) {
		vms_log("%s", err.text);
		return VMS_EXIT_VMSUP;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		vms_log("cannot make a socket pair: %s", strerror(errno));
		return VMS_EXIT_VMSUP;
	}
	ours = pair[0];
	theirs = pair[1];
	/* Nothing about signals may change before: the program inherits from here. */
	pid = fork();
	if (pid < 0) {
		vms_log("cannot fork the supervisor: %s", strerror(errno));
		return VMS_EXIT_VMSUP;
	}
	if (pid == 0) {
		vms_fd_close(&ours);
		_exit(supervise(options, &given, vms_fd_steal(&theirs), place));
	}
	vms_fd_close(&theirs);
	return vms_front_run(vms_fd_steal(&ours), pid,
			     options->audit || options->stats || options->trace);
}

/* Who may not become the tenant's user must be it. */
static int check_user(const struct vms_start *place, struct vms_err *err)
{
	if (!place->has_user || geteuid() == 0)
		return 0;
	if (geteuid() != place->uid)
		return vms_err_set(err, -EPERM, "--tenant %s: it runs as another user, whom only root can become", place->name);
	if (getegid() != place->gid)
		return vms_err_set(err, -EPERM, "--tenant %s: it runs with the group %u, and you with %u: as root, or after newgrp(1)", place->name,
				   (unsigned int)place->gid, (unsigned int)getegid());
	return 0;
}

/* Once more, with the tenant's options before those of the command line: of two that exclude each other the later one holds. */
static int parse_with_tenant(int argc, char **argv, struct vms_run_options *options, struct vms_start *ret_place, char ***ret_words,
			     struct vms_err *err)
{
	enum vms_options_verdict verdict;
	json_t *json;
	char **words;
	size_t n = 0;
	int r = vms_daemon_question("policy", options->tenant, &json, err);

	if (r == 0)
		r = vms_start_take(json, ret_place, err);
	vms_options_done(options);
	if (r < 0)
		return r;
	words = calloc(ret_place->nr_options + (size_t)argc + 1, sizeof(*words));
	if (!words)
		return vms_err_set(err, -ENOMEM, "out of memory");
	words[n++] = argv[0];
	for (size_t i = 0; i < ret_place->nr_options; i++) {
		/* These files are the tenant's, which may be writing to them. */
		if (strncmp(ret_place->options[i], "--trace", 7) != 0 && strncmp(ret_place->options[i], "--stats", 7) != 0)
			words[n++] = ret_place->options[i];
	}
	for (int i = 1; i < argc; i++)
		words[n++] = argv[i];
	/* The program's words are borrowed from it for the whole run. */
	*ret_words = words;
	r = vms_options_parse((int)n, words, options, &verdict, err);
	return r < 0 ? r : check_user(ret_place, err);
}

static int run_run(int argc, char **argv)
{
	struct vms_start place = { .json = NULL };
	char **words = NULL;
	struct vms_err err = VMS_ERR_INIT;
	enum vms_options_verdict verdict;
	struct vms_run_options options;
	int status;

	if (vms_options_parse(argc, argv, &options, &verdict, &err) < 0) {
		vms_log("%s", err.text);
		return VMS_EXIT_VMSUP;
	}
	if (verdict == VMS_OPTIONS_HELP)
		return vms_help_verb(&vms_verb_run);
	if (options.tenant && parse_with_tenant(argc, argv, &options, &place, &words, &err) < 0) {
		vms_log("%s", err.text);
		return VMS_EXIT_VMSUP;
	}
	status = start(&options, &place);
	vms_options_done(&options);
	vms_start_done(&place);
	free(words);
	return status;
}

const struct vms_verb vms_verb_run = {
	.name = "run",
	.summary = "run a program inside a range of addresses",
	.help = run_help,
	.options = vms_run_table,
	.run = run_run,
};
