/*
 * The life of a supervisor: check what was asked for, start the program, serve, end with the last task of the tree.
 */
#include "vmsup/sup/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmsup/base/fd.h"
#include "vmsup/host/rlimits.h"
#include "vmsup/host/spawn.h"
#include "vmsup/sup/sup.h"

#define EXIT_FAILED 125
#define EXIT_CANNOT_EXECUTE 126
#define EXIT_NOT_FOUND 127
#define LOG_LINES 20
#define LOW2G_END ((vms_addr_t)2 << 30)
/* The LSM's usual minimum address: PR_SET_MM_MAP takes none below. */
#define LOWEST_START ((vms_addr_t)0x10000)
#define LAST_WORD_MS 20

/* --- what was asked for ------------------------------------------------------------------------ */

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

static bool is_unsealed(const struct vms_sup *sup)
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
	else if (is_unsealed(sup) && last_huge >= base.start + vms_range_size(&base) / 2)
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
	if (is_unsealed(sup))
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
static int check_limit(struct vms_sup *sup, struct rlimit *limit, bool *ret_set, struct vms_err *err)
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

static int open_output(const char *path, FILE **ret_file, struct vms_err *err)
{
	vms_autofd fd = -1;
	FILE *file;

	if (!path) {
		*ret_file = stderr;
		return 0;
	}
	/* Appending, so that --stats and --trace to the same file do not overwrite each other. */
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
	file = fd < 0 ? NULL : fdopen(fd, "a");
	if (!file)
		return vms_err_set(err, -errno, "%s cannot be written: %s", path, strerror(errno));
	vms_fd_steal(&fd);
	*ret_file = file;
	return 0;
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

static void configure(struct vms_sup *sup)
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

static unsigned int trap_features(const struct vms_sup *sup)
{
	unsigned int when = VMS_TRAP_I386;

	if (sup->options.signal_guard)
		when |= VMS_TRAP_GUARD;
	if (sup->options.mode == VMS_MODE_FENCE)
		return when | VMS_TRAP_FENCE;
	when |= VMS_TRAP_SUPERVISE;
	if (sup->options.has_range)
		when |= VMS_TRAP_ASKED;
	if (sup->options.audit)
		when |= VMS_TRAP_AUDIT;
	return when;
}

/* --- events ------------------------------------------------------------------------------------ */

static bool is_hung_up(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0 && !(p.revents & POLLIN) && (p.revents & (POLLHUP | POLLERR | POLLNVAL));
}

bool vms_sup_is_over(const struct vms_sup *sup)
{
	return is_hung_up(sup->listener.fd);
}

static void on_listener(void *arg, int fd, unsigned int events)
{
	struct vms_sup *sup = arg;
	struct vms_trap trap;
	enum vms_call call;
	int r = -EAGAIN;

	(void)events;
	/*
	 * Before Linux 6.11, to receive when the last task under the filter is gone is to wait for ever. A task is gone when it
	 * has been waited for, and the program itself is waited for by us.
	 */
	if (sup->main_exited && is_hung_up(fd)) {
		vms_loop_stop(sup->loop);
		return;
	}
	r = vms_listener_receive(&sup->listener, &trap);
	if (r < 0) {
		/* The last task under the filter is gone. */
		if (r != -EAGAIN || is_hung_up(fd))
			vms_loop_stop(sup->loop);
		return;
	}
	call = vms_call_by_nr(trap.arch, trap.nr);
	sup->stats.notifications++;
	if (call < VMS_NR_CALLS)
		sup->stats.by_call[call]++;
	vms_step(sup, &trap);
}

static void on_signal(void *arg, int fd, unsigned int events)
{
	struct vms_sup *sup = arg;
	struct signalfd_siginfo info;

	(void)events;
	while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		;
	vms_wait_all(sup);
}

static void on_front(void *arg, int fd, unsigned int events)
{
	struct vms_sup *sup = arg;
	struct vms_front_msg msg;
	ssize_t n = recv(fd, &msg, sizeof(msg), MSG_DONTWAIT);

	(void)events;
	if (n == (ssize_t)sizeof(msg) && msg.kind == VMS_FRONT_SIGNAL && !sup->main_exited) {
		kill(sup->main_pid, msg.value);
		return;
	}
	if (n == (ssize_t)sizeof(msg) && msg.kind == VMS_FRONT_RESUMED) {
		sup->front_owes = false;
		vms_wait_tells_front(sup);
	}
	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	sup->front_pid = 0;
	/* The front is gone. If it had not been told the end, it was killed: so is what it stands for. */
	vms_watch_free(sup->front_watch);
	sup->front_watch = NULL;
	if (!sup->main_exited)
		kill(sup->main_pid, SIGKILL);
}

void vms_main_report(struct vms_sup *sup)
{
	int error = 0;
	char text[512];

	if (sup->report_fd < 0)
		return;
	if (read(sup->report_fd, &error, sizeof(error)) == (ssize_t)sizeof(error)) {
		snprintf(text, sizeof(text), "cannot run %s: %s", sup->options.argv[0],
			 error == ENOENT ? "no such program, or no such interpreter of it (#!): check the name and PATH" : strerror(error));
		vms_front_tell(sup->front_fd, VMS_FRONT_FAILED,
			       error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE, text);
	} else if (!sup->moves_images && sup->options.mode == VMS_MODE_FENCE) {
		vms_main_started(sup);
	}
	vms_watch_free(sup->report_watch);
	sup->report_watch = NULL;
	vms_fd_close(&sup->report_fd);
}

static void on_report(void *arg, int fd, unsigned int events)
{
	(void)fd;
	(void)events;
	vms_main_report(arg);
}

void vms_main_started(struct vms_sup *sup)
{
	if (sup->main_started)
		return;
	sup->main_started = true;
	vms_front_tell(sup->front_fd, VMS_FRONT_STARTED, sup->main_pid, NULL);
}

static void on_pidfd(void *arg, int fd, unsigned int events)
{
	struct vms_process *process = arg;

	(void)fd;
	(void)events;
	vms_tasks_drop_process(process->owner, process);
}

static void watch_process(struct vms_process *process, void *arg)
{
	struct vms_sup *sup = arg;
	struct vms_watch *watch;

	/* Before notifications, so that a tid that is used again never meets an old record. */
	if (vms_loop_add(sup->loop, process->pidfd, VMS_WATCH_READ, 2, on_pidfd, process, &watch) == 0)
		process->watch = watch;
}

static void unwatch_process(struct vms_process *process, void *arg)
{
	vms_exec_forget(arg, process);
	vms_watch_free(process->watch);
}

/* --- start and end ----------------------------------------------------------------------------- */

/* Everything that was inherited for the program is the program's: pipes must see their end when it closes them. */
static void close_inherited(const struct vms_sup *sup)
{
	const int keep[] = { sup->front_fd,
			     sup->listener.fd,
			     sup->report_fd,
			     sup->trace && sup->trace != stderr ? fileno(sup->trace) : -1,
			     sup->stats_file && sup->stats_file != stderr ? fileno(sup->stats_file) : -1 };

	vms_fd_let_go(keep, sizeof(keep) / sizeof(keep[0]));
}

static int load_filter(const void *arg)
{
	return vms_filter_load(arg);
}

static int start_program(struct vms_sup *sup, const struct vms_rlimits *given, struct vms_err *err)
{
	struct vms_filter filter = { 0 };
	struct rlimit limit;
	struct vms_spawn_req req = {
		.argv = sup->options.argv, .load = load_filter, .load_arg = &filter, .rlimits = given
	};
	struct vms_spawn spawn;
	bool set_limit;
	int r = check_limit(sup, &limit, &set_limit, err);

	if (r < 0)
		return r;
	if (set_limit)
		req.address_space = &limit;
	req.max_stack = sup->options.limits.max[VMS_LIMIT_STACK];
	r = vms_filter_build(trap_features(sup), &sup->cookie, is_unsealed(sup) ? &sup->range : NULL, &filter, err);
	if (r < 0)
		return r;
	/* Orphans of the tree become our children; before the first can exist. */
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	sup->front_pid = getppid();
	r = vms_spawn(&req, &spawn, err);
	vms_filter_done(&filter);
	if (r < 0)
		return r;
	sup->main_pid = spawn.pid;
	sup->report_fd = spawn.report;
	r = vms_listener_init(&sup->listener, spawn.listener);
	if (r < 0) {
		close(spawn.listener);
		kill(spawn.pid, SIGKILL);
		return vms_err_set(err, r, "the listener cannot be used: %s", strerror(-r));
	}
	return 0;
}

/*
 * Out of the way of the terminal: a session of our own, and no signal is taken but SIGCHLD. In the front's session we would, as
 * the program's parent, keep its process group from ever being orphaned, and Ctrl-Z without a job-control shell
 * would stop the program for good.
 */
static int leave_terminal(struct vms_sup *sup)
{
	sigset_t all, child;

	vms_log_never_wait();
	setsid();
	vms_ignore(chdir("/"));
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sup->signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	return sup->signal_fd < 0 ? -errno : 0;
}

static int start_watching(struct vms_sup *sup)
{
	int r = vms_loop_new(&sup->loop);

	if (r == 0)
		r = vms_loop_add_hot(sup->loop, sup->listener.fd, on_listener, sup, &sup->listener_watch);
	if (r == 0)
		r = vms_loop_add(sup->loop, sup->signal_fd, VMS_WATCH_READ, 1, on_signal, sup, &sup->signal_watch);
	if (r == 0)
		r = vms_loop_add(sup->loop, sup->front_fd, VMS_WATCH_READ, 0, on_front, sup, &sup->front_watch);
	if (r == 0)
		r = vms_loop_add(sup->loop, sup->report_fd, VMS_WATCH_READ, 0, on_report, sup, &sup->report_watch);
	if (r == 0)
		r = vms_wait_start(sup);
	return r < 0 ? r : vms_hold_start(sup);
}

static int start(struct vms_sup *sup, const struct vms_rlimits *given, struct vms_err *err)
{
	int r = vms_proc_check(err);

	if (r < 0)
		return r;
	vms_machine_learn(&sup->machine);
	r = check_range(sup, err);
	if (r == 0)
		r = check_mode(sup, err);
	if (r == 0)
		r = check_policy(sup, err);
	if (r == 0 && sup->options.stats)
		r = open_output(sup->options.stats_file, &sup->stats_file, err);
	if (r == 0 && sup->options.trace)
		r = open_output(sup->options.trace_file, &sup->trace, err);
	if (r < 0)
		return r;
	r = vms_cookie_draw(&sup->cookie);
	if (r < 0)
		return vms_err_set(err, r, "no random numbers: %s", strerror(-r));
	configure(sup);
	if (sup->trace)
		vms_trace_start(sup);
	r = start_program(sup, given, err);
	if (r < 0)
		return r;
	close_inherited(sup);
	r = leave_terminal(sup);
	if (r == 0)
		r = start_watching(sup);
	if (r < 0) {
		kill(sup->main_pid, SIGKILL);
		return vms_err_set(err, r, "the supervisor cannot start: %s", strerror(-r));
	}
	return 0;
}

int vms_sup_new(const struct vms_run_options *options, const struct vms_rlimits *given, int front_fd,
		struct vms_sup **ret_sup)
{
	struct vms_sup *sup = calloc(1, sizeof(*sup));
	struct vms_err err = VMS_ERR_INIT;
	int r;

	if (!sup) {
		vms_front_tell(front_fd, VMS_FRONT_FAILED, EXIT_FAILED, "out of memory");
		return -ENOMEM;
	}
	sup->options = *options;
	sup->front_fd = front_fd;
	sup->listener.fd = sup->report_fd = sup->signal_fd = sup->hold_timer = sup->look_timer = -1;
	sup->exec_log.max = sup->guard_log.max = sup->audit_log.max = sup->task_log.max = sup->limit_log.max = sup->rule_log.max = LOG_LINES;
	vms_tasks_init(&sup->tasks);
	sup->tasks.on_process_new = watch_process;
	sup->tasks.on_process_gone = unwatch_process;
	sup->tasks.arg = sup;
	r = start(sup, given, &err);
	if (r < 0) {
		vms_front_tell(front_fd, VMS_FRONT_FAILED, EXIT_FAILED, err.text);
		vms_sup_free(sup);
		return r;
	}
	*ret_sup = sup;
	return 0;
}

static bool is_written(FILE *file, const char *what)
{
	if (!file || (fflush(file) == 0 && !ferror(file)))
		return true;
	vms_log("the %s could not be written (%s): a part of it is lost", what, strerror(errno));
	return false;
}

/* The last words must not lie before a front that has stopped. */
static void wake_front(struct vms_sup *sup)
{
	struct pollfd p = { .fd = sup->front_fd, .events = POLLIN };

	while (vms_wait_wakes_front(sup)) {
		if (poll(&p, 1, LAST_WORD_MS) > 0)
			on_front(sup, sup->front_fd, 0);
	}
}

int vms_sup_run(struct vms_sup *sup)
{
	int verdict;

	vms_loop_run(sup->loop);
	vms_wait_rest(sup);
	/* Whole lines first: both may go to one file. An error is remembered until is_written asks. */
	if (sup->trace)
		vms_ignore(fflush(sup->trace));
	vms_stats_write(sup);
	verdict = sup->stats.divergences ? EXIT_FAILED : 0;
	if (!is_written(sup->stats_file, "statistics") || !is_written(sup->trace, "trace"))
		verdict = EXIT_FAILED;
	vms_front_tell(sup->front_fd, VMS_FRONT_VERDICT, verdict, NULL);
	wake_front(sup);
	return verdict;
}

static void close_output(FILE **file)
{
	if (*file && *file != stderr)
		fclose(*file);
	*file = NULL;
}

void vms_sup_free(struct vms_sup *sup)
{
	if (!sup)
		return;
	while (sup->tracees)
		vms_tracee_drop(sup, sup->tracees);
	vms_tasks_done(&sup->tasks);
	vms_hold_done(sup);
	vms_wait_done(sup);
	vms_precheck_done(sup);
	vms_watch_free(sup->listener_watch);
	vms_watch_free(sup->signal_watch);
	vms_watch_free(sup->front_watch);
	vms_watch_free(sup->report_watch);
	vms_loop_free(sup->loop);
	vms_listener_done(&sup->listener);
	vms_vma_list_done(&sup->seen_range);
	vms_vma_list_done(&sup->seen_from);
	vms_vma_list_done(&sup->seen_all);
	vms_fd_close(&sup->report_fd);
	vms_fd_close(&sup->signal_fd);
	vms_fd_close(&sup->front_fd);
	close_output(&sup->trace);
	close_output(&sup->stats_file);
	free(sup);
}

struct vms_loop *vms_sup_loop(struct vms_sup *sup)
{
	return sup->loop;
}
