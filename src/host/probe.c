/* The table of probes and what runs them; see the header. */
#include "probe.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMEOUT_S 3

static const struct {
	const char *name;
	const char *since;
	const char *use;
	vms_probe_fn *fn;
	bool needed;
	bool forked;
} probes[] = {
	{ "kernel", "6.1", "the versions that vmsup is made for", vms_probe_kernel, false, false },
	{ "procfs", "", "reading the maps and threads of children", vms_probe_procfs, true, false },
	{ "seccomp_notify", "5.0", "being asked about each memory call", vms_probe_notify, true,
	  true },
	{ "seccomp_listener", "5.0", "one listener for the whole tree", vms_probe_listener_free,
	  true, true },
	{ "seccomp_continue", "5.5", "letting the kernel carry out what was decided",
	  vms_probe_continue, true, true },
	{ "seccomp_wait_killable", "5.19", "calls and execs that no signal can interrupt half-way",
	  vms_probe_wait_killable, true, true },
	{ "seccomp_sync_wake_up", "6.6", "cheaper wake-ups", vms_probe_sync_wake_up, false, true },
	{ "ptrace_seize", "3.4", "moving images at exec, remote calls, the signal guard",
	  vms_probe_ptrace, true, true },
	{ "pr_set_mm_map", "3.18", "telling the kernel where a moved image is", vms_probe_mm_map,
	  true, true },
	{ "vdso_move", "", "moving the vdso into the range", vms_probe_vdso_move, true, true },
	{ "mremap_multi", "6.17", "moving an image in fewer calls", vms_probe_mremap_multi, false,
	  true },
	{ "mseal", "6.10", "a fence that nothing can remove", vms_probe_mseal, false, true },
	{ "procmap_query", "6.11", "asking the kernel about one mapping", vms_probe_procmap_query,
	  false, true },
	{ "pidfd_open", "5.3", "seeing the end of a process", vms_probe_pidfd_open, true, true },
	{ "pidfd_getfd", "5.6", "how a mapped file was opened", vms_probe_pidfd_getfd, true, true },
	{ "kcmp_vm", "3.5", "telling vfork from fork", vms_probe_kcmp, true, true },
	{ "process_vm", "3.2", "reading and writing the memory of children", vms_probe_process_vm,
	  true, true },
	{ "map_fixed_noreplace", "4.17", "remote placements that replace nothing",
	  vms_probe_noreplace, true, true },
	{ "address_bits", "", "where the fence must end", vms_probe_address_bits, false, true },
	{ "thp_alignment", "6.7", "predicting where the kernel puts large mappings", vms_probe_thp,
	  false, true },
	{ "ia32_emulation", "", "running i386 programs", vms_probe_ia32, false, true },
	{ "va_layout", "", "predicting from which end the kernel searches", vms_probe_va_layout,
	  false, false },
	{ "stack_guard_gap", "", "predicting the gap below a growing stack",
	  vms_probe_stack_guard_gap, false, false },
	{ "mmap_min_addr", "", "the lowest address a range may have", vms_probe_mmap_min_addr,
	  false, false },
	{ "max_map_count", "", "how many mappings a process may have", vms_probe_max_map_count,
	  false, false },
	{ "overcommit_memory", "", "what the kernel charges for", vms_probe_overcommit, false,
	  false },
	{ "rlimit_as", "", "room for the fence", vms_probe_rlimit_as, true, true },
	{ "no_new_privs", "", "installing a filter without privileges", vms_probe_no_new_privs,
	  false, false },
	{ "seccomp_filters", "", "filters that are there already", vms_probe_filters, false,
	  false },
	{ "tracer", "", "being the only tracer of the program", vms_probe_tracer, false, false },
	{ "yama_ptrace_scope", "", "who may trace whom", vms_probe_yama, false, false },
};

#define NR_PROBES (sizeof(probes) / sizeof(probes[0]))
_Static_assert(NR_PROBES <= VMS_PROBE_MAX, "raise VMS_PROBE_MAX");

void vms_probe_say(struct vms_probe_result *r, enum vms_probe_state state, const char *fmt, ...)
{
	va_list ap;

	r->state = state;
	va_start(ap, fmt);
	vsnprintf(r->detail, sizeof(r->detail), fmt, ap);
	va_end(ap);
}

void vms_probe_advise(struct vms_probe_result *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->advice, sizeof(r->advice), fmt, ap);
	va_end(ap);
}

/* In the child. The alarm ends a probe that waits for ever; its own children die with it. */
static void be_probe(vms_probe_fn *fn, struct vms_probe_result *shared, pid_t parent)
{
	sigset_t none;

	sigemptyset(&none);
	signal(SIGALRM, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	alarm(TIMEOUT_S);
	fn(shared);
	_exit(0);
}

static void run_forked(vms_probe_fn *fn, struct vms_probe_result *r,
		       struct vms_probe_result *shared)
{
	pid_t parent = getpid(), pid, waited;
	int status = 0;

	*shared = *r;
	pid = fork();
	if (pid == 0)
		be_probe(fn, shared, parent);
	if (pid < 0) {
		vms_probe_say(r, VMS_PROBE_MISSING, "cannot fork to try it: %s", strerror(errno));
		vms_probe_advise(r, "free some processes or memory, and run vmsup doctor again");
		return;
	}
	do {
		waited = waitpid(pid, &status, 0);
	} while (waited < 0 && errno == EINTR);
	*r = *shared;
	if (waited == pid && WIFSIGNALED(status)) {
		vms_probe_say(r, VMS_PROBE_MISSING,
			      WTERMSIG(status) == SIGALRM ?
				      "the attempt did not end within 3 seconds (signal %d)" :
				      "the attempt was killed by signal %d",
			      WTERMSIG(status));
		vms_probe_advise(r, "look for a seccomp policy or a sandbox around this process");
	}
}

int vms_probe_all(struct vms_probe_result *ret, size_t cap, size_t *ret_n)
{
	struct vms_probe_result *shared;

	if (cap < NR_PROBES)
		return -ENOSPC;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		return -ENOMEM;
	for (size_t i = 0; i < NR_PROBES; i++) {
		ret[i] = (struct vms_probe_result){
			.name = probes[i].name,
			.state = VMS_PROBE_MISSING,
			.needed = probes[i].needed,
			.since = probes[i].since,
			.use = probes[i].use,
		};
		if (probes[i].forked)
			run_forked(probes[i].fn, &ret[i], shared);
		else
			probes[i].fn(&ret[i]);
	}
	munmap(shared, sizeof(*shared));
	*ret_n = NR_PROBES;
	return 0;
}

const char *vms_probe_state_name(enum vms_probe_state state)
{
	static const char *const names[] = {
		[VMS_PROBE_OK] = "ok",
		[VMS_PROBE_MISSING] = "missing",
		[VMS_PROBE_DEGRADED] = "degraded",
	};

	return names[state];
}
