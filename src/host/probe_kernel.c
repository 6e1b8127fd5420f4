/*
 * Kernel features, each tried for real. Every function here runs in a child of its own (see
 * probe.c) and leaves processes, descriptors and memory to its death.
 */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/kcmp.h>
#include <linux/seccomp.h>

#include "vmsup/base/addr.h"

/* Newer than the headers of the systems that we build on. */
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif
#ifndef __NR_mseal
#define __NR_mseal 462
#endif

#define ANON (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

static const char listener_above[] = "not tried: another listener is above this process";

static void *reserve(size_t len)
{
	return mmap(NULL, len, PROT_NONE, ANON, -1, 0);
}

/* A child that waits to be looked at, and dies with us. */
static pid_t fork_sleeper(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(3);
		for (;;)
			pause();
	}
	return pid;
}

/* A filter that notifies getppid(2), which nothing here needs. Returns the listener or -errno. */
static int install_listener(unsigned long flags)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 2),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
	};
	struct sock_fprog prog = { .len = sizeof(code) / sizeof(code[0]), .filter = code };
	int fd;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			  SECCOMP_FILTER_FLAG_NEW_LISTENER | flags, &prog);
	return fd < 0 ? -errno : fd;
}

void vms_probe_notify(struct vms_probe_result *r)
{
	uint32_t action = SECCOMP_RET_USER_NOTIF;

	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0) {
		vms_probe_say(r, VMS_PROBE_OK, "the kernel has seccomp user notification");
		return;
	}
	vms_probe_say(r, VMS_PROBE_MISSING, "seccomp: %s", strerror(errno));
	vms_probe_advise(
		r, "use a kernel with CONFIG_SECCOMP_FILTER, Linux 5.19 or later; in a container, "
		   "allow seccomp(2)");
}

/*
 * The highest ancestor (of those in a row from us up) that has a filter: there the listener may
 * come from.
 */
static int first_filtered_ancestor(void)
{
	long pid = getpid(), found = 0;

	for (int height = 0; pid > 0 && height < 1024; height++) {
		if (vms_probe_status_field((int)pid, "Seccomp:") != SECCOMP_MODE_FILTER)
			break;
		found = pid;
		pid = vms_probe_status_field((int)pid, "PPid:");
	}
	return (int)found;
}

void vms_probe_listener_free(struct vms_probe_result *r)
{
	int fd = install_listener(0);

	if (fd >= 0) {
		vms_probe_say(r, VMS_PROBE_OK, "no other listener is above this process");
		return;
	}
	if (fd != -EBUSY) {
		vms_probe_say(r, VMS_PROBE_MISSING, "installing a filter with a listener: %s",
			      strerror(-fd));
		vms_probe_advise(r,
				 "in a container, allow seccomp(2) and prctl(PR_SET_NO_NEW_PRIVS)");
		return;
	}
	vms_probe_say(r, VMS_PROBE_MISSING,
		      "another program listens already; filters begin at process %d or above",
		      first_filtered_ancestor());
	vms_probe_advise(
		r, "vmsup cannot run inside vmsup or another notifier: start it outside. See which "
		   "ancestors have filters: grep Seccomp /proc/PID/status");
}

/* Answer one notification with CONTINUE. 0 or -errno. */
static int continue_once(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	/* Room for the structures of newer kernels. */
	union {
		struct seccomp_notif notif;
		struct seccomp_notif_resp resp;
		char room[512];
	} u;
	uint64_t id;

	if (poll(&pfd, 1, 1000) != 1)
		return -ETIMEDOUT;
	memset(&u, 0, sizeof(u));
	if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &u) < 0)
		return -errno;
	id = u.notif.id;
	memset(&u, 0, sizeof(u));
	u.resp.id = id;
	u.resp.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	return ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &u) < 0 ? -errno : 0;
}

void vms_probe_continue(struct vms_probe_result *r)
{
	int fd = install_listener(0), result, status = -1;
	pid_t us = getpid(), pid;

	if (fd < 0) {
		vms_probe_say(r, VMS_PROBE_DEGRADED, "%s",
			      fd == -EBUSY ? listener_above : "not tried: no listener can be made");
		return;
	}
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(fd); /* or it would wait for ever on a listener of its own */
		_exit(syscall(SYS_getppid) == us ? 0 : 1);
	}
	result = pid < 0 ? -errno : continue_once(fd);
	close(fd); /* ends the wait of a child that got no answer */
	if (pid > 0)
		waitpid(pid, &status, 0);
	if (result == 0 && status == 0) {
		vms_probe_say(r, VMS_PROBE_OK, "a notified call went on and had its own result");
		return;
	}
	vms_probe_say(r, VMS_PROBE_MISSING, "a notified call could not be continued: %s",
		      result < 0 ? strerror(-result) : "wrong result");
	vms_probe_advise(r, "use Linux 5.19 or later");
}

void vms_probe_wait_killable(struct vms_probe_result *r)
{
	/* A flag that is not known is EINVAL; the missing filter, looked at later, is EFAULT. */
	long ret = syscall(
		SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, NULL);
	int fd;

	if (ret < 0 && errno == EFAULT) {
		fd = install_listener(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
		if (fd >= 0 || fd == -EBUSY) {
			vms_probe_say(r, VMS_PROBE_OK, "the kernel takes WAIT_KILLABLE_RECV");
			return;
		}
		errno = -fd;
	}
	vms_probe_say(r, VMS_PROBE_MISSING, "WAIT_KILLABLE_RECV with NEW_LISTENER: %s",
		      strerror(errno));
	vms_probe_advise(r, "use Linux 5.19 or later: without it, execs cannot be followed safely");
}

void vms_probe_sync_wake_up(struct vms_probe_result *r)
{
	int fd = install_listener(0);

	if (fd < 0)
		vms_probe_say(r, VMS_PROBE_DEGRADED, "%s",
			      fd == -EBUSY ? listener_above : "not tried: no listener can be made");
	else if (ioctl(fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) == 0)
		vms_probe_say(r, VMS_PROBE_OK, "the listener takes SYNC_WAKE_UP");
	else
		vms_probe_say(r, VMS_PROBE_DEGRADED,
			      "no SYNC_WAKE_UP: a decided call may take some 20 us more");
}

static void advise_on_ptrace(struct vms_probe_result *r, pid_t child)
{
	long tracer = vms_probe_status_field(child, "TracerPid:");

	if (tracer > 0)
		vms_probe_advise(
			r,
			"process %ld traces everything that is started here: run vmsup outside of "
			"it (gdb and strace can attach to a supervised program afterwards)",
			tracer);
	else
		vms_probe_advise(
			r, "check kernel.yama.ptrace_scope (0 or 1 will do); in a container, allow "
			   "ptrace(2) by its seccomp profile, or add CAP_SYS_PTRACE");
}

void vms_probe_ptrace(struct vms_probe_result *r)
{
	pid_t pid = fork_sleeper();
	int status = 0;

	if (pid < 0 || ptrace(PTRACE_SEIZE, pid, NULL,
			      PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC | PTRACE_O_TRACECLONE) < 0) {
		vms_probe_say(r, VMS_PROBE_MISSING, "seizing a child: %s", strerror(errno));
		advise_on_ptrace(r, pid);
		return;
	}
	if (ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0 || waitpid(pid, &status, __WALL) != pid ||
	    !WIFSTOPPED(status) || status >> 16 != PTRACE_EVENT_STOP) {
		vms_probe_say(r, VMS_PROBE_MISSING, "a seized child did not stop when interrupted");
		advise_on_ptrace(r, pid);
		return;
	}
	vms_probe_say(r, VMS_PROBE_OK, "own children can be seized and interrupted");
}

void vms_probe_mm_map(struct vms_probe_result *r)
{
	unsigned int size = 0;

	if (prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, &size, 0, 0) == 0) {
		vms_probe_say(r, VMS_PROBE_OK, "the kernel's structure has %u bytes", size);
		return;
	}
	vms_probe_say(r, VMS_PROBE_MISSING, "PR_SET_MM_MAP_SIZE: %s", strerror(errno));
	if (errno == EINVAL)
		vms_probe_advise(
			r, "use a kernel with CONFIG_CHECKPOINT_RESTORE=y (see /proc/config.gz or "
			   "/boot/config-*)");
	else
		vms_probe_advise(r, "in a container, allow prctl(PR_SET_MM); inside vmsup it is "
				    "refused always");
}

#define MAX_VDSO 8

/* The mappings [vvar], [vvar_vclock], [vdso]; they are neighbours. Returns how many. */
static size_t list_vdso(struct iovec ret[MAX_VDSO])
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	size_t n = 0;

	while (f && n < MAX_VDSO && fgets(line, sizeof(line), f)) {
		uint64_t start, end;

		if ((!strstr(line, "[vvar") && !strstr(line, "[vdso]")) ||
		    sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end) != 2)
			continue;
		ret[n++] = (struct iovec){ .iov_base = (void *)start, .iov_len = end - start };
	}
	if (f)
		fclose(f);
	return n;
}

void vms_probe_vdso_move(struct vms_probe_result *r)
{
	struct iovec old[MAX_VDSO];
	size_t n = list_vdso(old), span;
	char *first, *target;

	if (n == 0) {
		vms_probe_say(r, VMS_PROBE_OK, "there is no vdso: nothing to move");
		return;
	}
	first = old[0].iov_base;
	span = (size_t)((char *)old[n - 1].iov_base + old[n - 1].iov_len - first);
	target = reserve(span);
	for (size_t i = 0; i < n; i++) {
		void *to = target + ((char *)old[i].iov_base - first);

		/* From the first success on, nothing may ask for the time. */
		if (target != MAP_FAILED && mremap(old[i].iov_base, old[i].iov_len, old[i].iov_len,
						   MREMAP_MAYMOVE | MREMAP_FIXED, to) == to)
			continue;
		vms_probe_say(r, VMS_PROBE_MISSING, "moving mapping %zu of %zu of the vdso: %s",
			      i + 1, n, strerror(errno));
		vms_probe_advise(
			r, "%s",
			errno == EPERM ?
				"use a kernel without CONFIG_MSEAL_SYSTEM_MAPPINGS: it seals "
				"the vdso where it is" :
				"boot with vdso=0, or report this with the kernel's version");
		return;
	}
	vms_probe_say(r, VMS_PROBE_OK, "%zu mappings moved", n);
}

void vms_probe_mremap_multi(struct vms_probe_result *r)
{
	size_t page = VMS_PAGE_SIZE;
	char *from = reserve(3 * page), *to = reserve(3 * page);

	if (from == MAP_FAILED || to == MAP_FAILED || mprotect(from + page, page, PROT_READ) < 0) {
		vms_probe_say(r, VMS_PROBE_DEGRADED, "not tried: %s", strerror(errno));
		return;
	}
	if (mremap(from, 3 * page, 3 * page, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to)
		vms_probe_say(r, VMS_PROBE_OK, "one call moves a span of several mappings");
	else
		vms_probe_say(r, VMS_PROBE_DEGRADED,
			      "one call a mapping: an exec takes a little longer");
}

void vms_probe_mseal(struct vms_probe_result *r)
{
	char *p = reserve(VMS_PAGE_SIZE);

	if (p != MAP_FAILED && syscall(__NR_mseal, p, VMS_PAGE_SIZE, 0) == 0 &&
	    munmap(p, VMS_PAGE_SIZE) < 0 && errno == EPERM) {
		vms_probe_say(r, VMS_PROBE_OK, "a sealed mapping could not be unmapped");
		return;
	}
	vms_probe_say(r, VMS_PROBE_DEGRADED, "none (%s): a filter guards the fence, and refuses io_uring and SHM_REMAP",
		      strerror(errno));
	vms_probe_advise(r, "use Linux 6.10 or later for programs that insist on io_uring");
}

static void give_up(int sig)
{
	(void)sig;
	_exit(0);
}

void vms_probe_ia32(struct vms_probe_result *r)
{
	long nr = 20; /* i386's getpid */

	/* What holds if the next instruction is refused. */
	vms_probe_say(r, VMS_PROBE_MISSING, "the kernel runs x86-64 programs only");
	vms_probe_advise(r, "for i386 programs use a kernel with CONFIG_IA32_EMULATION, booted without ia32_emulation=off");
	signal(SIGSEGV, give_up);
	__asm__ volatile("int $0x80" : "+a"(nr) : : "memory", "r8", "r9", "r10", "r11");
	if ((int)nr != getpid()) {
		vms_probe_say(r, VMS_PROBE_MISSING, "a call of i386 returned %d", (int)nr);
		return;
	}
	vms_probe_say(r, VMS_PROBE_OK, "i386 programs run, in a range that has room below 4 GiB");
	r->advice[0] = '\0';
}

/* <linux/fs.h> of 6.11. */
struct procmap_query_6_11 {
	uint64_t size, query_flags, query_addr;
	uint64_t vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
	uint32_t dev_major, dev_minor, vma_name_size, build_id_size;
	uint64_t vma_name_addr, build_id_addr;
};
#define PROCMAP_QUERY_6_11 _IOWR('f', 17, struct procmap_query_6_11)

void vms_probe_procmap_query(struct vms_probe_result *r)
{
	struct procmap_query_6_11 q = { .size = sizeof(q), .query_addr = (uintptr_t)&q };
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

	if (fd >= 0 && ioctl(fd, PROCMAP_QUERY_6_11, &q) == 0 && q.vma_start <= (uintptr_t)&q &&
	    q.vma_end > (uintptr_t)&q)
		vms_probe_say(r, VMS_PROBE_OK, "/proc/self/maps answers queries");
	else
		vms_probe_say(r, VMS_PROBE_DEGRADED,
			      "none (%s): maps are read as text, settling a call takes 10 us more",
			      strerror(errno));
}

/* A descriptor of a sleeping child's process, or -1 with a result. */
static int open_sleeper(struct vms_probe_result *r, pid_t *ret_pid)
{
	pid_t pid = fork_sleeper();
	int fd = pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0) {
		vms_probe_say(r, VMS_PROBE_MISSING, "pidfd_open: %s", strerror(errno));
		vms_probe_advise(r, "use Linux 5.19 or later; in a container, allow pidfd_open(2)");
	}
	*ret_pid = pid;
	return fd;
}

void vms_probe_pidfd_open(struct vms_probe_result *r)
{
	struct pollfd pfd = { .events = POLLIN };
	pid_t pid;

	pfd.fd = open_sleeper(r, &pid);
	if (pfd.fd < 0)
		return;
	kill(pid, SIGKILL);
	if (poll(&pfd, 1, 1000) == 1)
		vms_probe_say(r, VMS_PROBE_OK, "a pidfd told the end of its process");
	else
		vms_probe_say(r, VMS_PROBE_MISSING, "a pidfd did not tell the end of its process");
}

void vms_probe_pidfd_getfd(struct vms_probe_result *r)
{
	struct stat ours, theirs;
	int pipe_fds[2], fd, copy;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0) {
		vms_probe_say(r, VMS_PROBE_MISSING, "not tried: %s", strerror(errno));
		return;
	}
	fd = open_sleeper(r, &pid);
	if (fd < 0)
		return;
	copy = (int)syscall(SYS_pidfd_getfd, fd, pipe_fds[1], 0);
	if (copy >= 0 && fstat(copy, &theirs) == 0 && fstat(pipe_fds[1], &ours) == 0 &&
	    ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev) {
		vms_probe_say(r, VMS_PROBE_OK, "a descriptor of a child could be copied");
		return;
	}
	vms_probe_say(r, VMS_PROBE_MISSING, "pidfd_getfd from a child: %s", strerror(errno));
	advise_on_ptrace(r, pid);
}

void vms_probe_kcmp(struct vms_probe_result *r)
{
	pid_t us = getpid(), pid = fork_sleeper();
	long same = syscall(SYS_kcmp, us, us, KCMP_VM, 0, 0);
	long other = same < 0 ? same : syscall(SYS_kcmp, us, pid, KCMP_VM, 0, 0);

	if (same == 0 && other > 0) {
		vms_probe_say(r, VMS_PROBE_OK, "address spaces can be told apart");
		return;
	}
	vms_probe_say(r, VMS_PROBE_MISSING, "kcmp: %s",
		      same < 0 || other < 0 ? strerror(errno) : "wrong answer");
	vms_probe_advise(r, "use a kernel with CONFIG_KCMP=y; in a container, allow kcmp(2)");
}

void vms_probe_process_vm(struct vms_probe_result *r)
{
	static volatile uint64_t theirs = 1;
	uint64_t word = 0, two = 2;
	struct iovec local = { .iov_base = &word, .iov_len = sizeof(word) };
	struct iovec source = { .iov_base = &two, .iov_len = sizeof(two) };
	struct iovec remote = { .iov_base = (void *)&theirs, .iov_len = sizeof(theirs) };
	pid_t pid = fork_sleeper();

	if (pid > 0 && process_vm_readv(pid, &local, 1, &remote, 1, 0) == sizeof(word) &&
	    word == 1 && process_vm_writev(pid, &source, 1, &remote, 1, 0) == sizeof(word) &&
	    process_vm_readv(pid, &local, 1, &remote, 1, 0) == sizeof(word) && word == 2 &&
	    theirs == 1) {
		vms_probe_say(r, VMS_PROBE_OK, "a child's memory could be read and written");
		return;
	}
	vms_probe_say(r, VMS_PROBE_MISSING, "process_vm_readv and process_vm_writev: %s",
		      strerror(errno));
	advise_on_ptrace(r, pid);
}

void vms_probe_noreplace(struct vms_probe_result *r)
{
	char *p = reserve(VMS_PAGE_SIZE), *q;

	q = mmap(p, VMS_PAGE_SIZE, PROT_NONE, ANON | MAP_FIXED_NOREPLACE, -1, 0);
	if (p != MAP_FAILED && q == MAP_FAILED && errno == EEXIST) {
		vms_probe_say(r, VMS_PROBE_OK, "an occupied address is refused");
		return;
	}
	vms_probe_say(r, VMS_PROBE_MISSING, "an occupied address was not refused");
	vms_probe_advise(r, "use Linux 4.17 or later");
}

void vms_probe_address_bits(struct vms_probe_result *r)
{
	/* Above 47 bits the kernel places something only when it is asked to. */
	void *hint = (void *)((uintptr_t)1 << 48);
	void *p = mmap(hint, VMS_PAGE_SIZE, PROT_NONE, ANON, -1, 0);

	if (p != MAP_FAILED && (uintptr_t)p >> 47)
		vms_probe_say(r, VMS_PROBE_OK, "56 bits: user addresses end at 0xfffffffffff000");
	else
		vms_probe_say(r, VMS_PROBE_OK, "47 bits: user addresses end at 0x7ffffffff000");
}

/*
 * True when mappings of @len start at multiples of 2 MiB, four times out of four, whatever lies
 * above.
 */
static bool are_aligned(size_t len)
{
	for (int i = 0; i < 4; i++) {
		void *page = reserve(VMS_PAGE_SIZE), *p = reserve(len);

		if (page == MAP_FAILED || p == MAP_FAILED || (uintptr_t)p % VMS_HUGE_SIZE)
			return false;
	}
	return true;
}

void vms_probe_thp(struct vms_probe_result *r)
{
	bool multiple = are_aligned(2 * VMS_HUGE_SIZE);
	bool any = are_aligned(2 * VMS_HUGE_SIZE + VMS_PAGE_SIZE);
	char modes[64] = "not built in\n", *mode = modes, *end;
	FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");

	if (f && fgets(modes, sizeof(modes), f) && strchr(modes, '['))
		mode = strchr(modes, '[') + 1;
	if (f)
		fclose(f);
	end = mode + strcspn(mode, "]\n");
	vms_probe_say(r, VMS_PROBE_OK, "huge pages: %.*s; anonymous mappings %s", (int)(end - mode),
		      mode,
		      any      ? "of 2 MiB and more are aligned to 2 MiB" :
		      multiple ? "of multiples of 2 MiB are aligned to 2 MiB" :
				 "are not aligned to 2 MiB");
}
