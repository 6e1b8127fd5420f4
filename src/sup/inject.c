/* --inject: calls that fail because somebody wants them to. Which: core/inject.c; here what only the host knows, and the deed. */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmsup/sup/sup.h"

/* The name of the file behind @fd of the task, as /proc shows it. */
static bool names_file(pid_t tid, int fd, const char *glob)
{
	char link[64], path[4096];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%d/fd/%d", tid, fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return false;
	path[n] = '\0';
	return fnmatch(glob, path, 0) == 0;
}

static struct vms_plan failure(const struct vms_process *process, const struct vms_req *req, int error)
{
	/* brk has no errno: it fails by leaving the break where it is. */
	if (req->call == VMS_CALL_BRK && process->mm)
		return vms_plan_reply(process->mm->space.brk.current);
	return vms_plan_refuse(error);
}

bool vms_inject(struct vms_sup *sup, struct vms_thread *thread, const struct vms_req *req, struct vms_plan *ret_plan)
{
	struct vms_injections *all = &sup->options.injections;
	struct vms_process *process = thread->process;
	bool fails = false;

	for (size_t i = 0; i < all->nr; i++) {
		struct vms_inject_rule *rule = &all->rules[i];

		if (!vms_inject_matches(rule, req) ||
		    (rule->file && !names_file(thread->tid, req->mmap.fd, rule->file)) ||
		    !vms_inject_strikes(rule, &process->injected.seen[i]))
			continue;
		sup->stats.injected++;
		if (rule->signal)
			vms_ignore((int)syscall(SYS_pidfd_send_signal, process->pidfd, rule->signal, NULL, 0));
		if (!rule->error || fails)
			continue;
		*ret_plan = failure(process, req, rule->error);
		ret_plan->injected = true;
		fails = true;
	}
	return fails;
}
