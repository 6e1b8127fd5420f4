/* What /proc says about a task; see the header. */
#include "vmsup/host/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/kcmp.h>

#include "vmsup/base/fd.h"

/* Read a small file of /proc in one go; NUL-terminated. */
static int read_small(pid_t pid, const char *name, char *buf, size_t size)
{
	char path[48];
	vms_autofd fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	n = read(fd, buf, size - 1);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return 0;
}

int vms_proc_check(struct vms_err *err)
{
	vms_autofd fd = -1;
	char self[32] = "";

	if (readlink("/proc/self", self, sizeof(self) - 1) < 0 || strtol(self, NULL, 10) != getpid())
		return vms_err_set(err, -ENOENT,
				   "/proc does not show this process, and vmsup needs it: mount -t proc proc /proc, in this pid "
				   "namespace (unshare --mount-proc)");
	fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return vms_err_set(err, -errno,
				   "/proc/self/mem cannot be opened for writing (%s), and vmsup moves programs by it: mount /proc "
				   "writable",
				   strerror(errno));
	return 0;
}

static const char *field(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? at + strlen(name) : NULL;
}

static void parse_ids(const char *text, unsigned int ids[3])
{
	char *at = (char *)(uintptr_t)text;

	for (int i = 0; i < 3; i++)
		ids[i] = at ? (unsigned int)strtoul(at, &at, 10) : UINT32_MAX;
}

/* One number for each pid namespace, the innermost last. */
static unsigned int parse_last(const char *text, pid_t *ret_last)
{
	char *at = (char *)(uintptr_t)text;
	unsigned int nr = 0;

	while (at && *at == '\t') {
		*ret_last = (pid_t)strtol(at, &at, 10);
		nr++;
	}
	return nr;
}

int vms_proc_status(pid_t tid, struct vms_proc_status *ret)
{
	char buf[4096];
	const char *tgid, *ppid, *tracer, *threads, *caps, *caught, *seccomp, *filters, *state;
	int r = read_small(tid, "status", buf, sizeof(buf));

	if (r < 0)
		return r;
	state = field(buf, "\nState:\t");
	tgid = field(buf, "\nTgid:");
	ppid = field(buf, "\nPPid:");
	tracer = field(buf, "\nTracerPid:");
	threads = field(buf, "\nThreads:");
	caps = field(buf, "\nCapEff:");
	caught = field(buf, "\nSigCgt:");
	seccomp = field(buf, "\nSeccomp:");
	filters = field(buf, "\nSeccomp_filters:");
	if (!tgid || !ppid || !tracer)
		return -ESRCH;
	*ret = (struct vms_proc_status){
		.tgid = (pid_t)strtol(tgid, NULL, 10),
		.ppid = (pid_t)strtol(ppid, NULL, 10),
		.tracer = (pid_t)strtol(tracer, NULL, 10),
		.state = state ? *state : '?',
		.threads = threads ? (unsigned int)strtoul(threads, NULL, 10) : 0,
		.cap_eff = caps ? strtoull(caps, NULL, 16) : 0,
		.caught = caught ? strtoull(caught, NULL, 16) : 0,
		.seccomp = seccomp ? (int)strtol(seccomp, NULL, 10) : 0,
		.filters = filters ? (unsigned int)strtoul(filters, NULL, 10) : 0,
	};
	ret->is_nested = parse_last(field(buf, "\nNStgid:"), &ret->inner_tgid) > 1;
	parse_ids(field(buf, "\nUid:"), ret->uid);
	parse_ids(field(buf, "\nGid:"), ret->gid);
	if (strncmp(buf, "Name:\t", 6) == 0)
		snprintf(ret->comm, sizeof(ret->comm), "%.*s", (int)strcspn(buf + 6, "\n"), buf + 6);
	return 0;
}

/* linux/pidfd.h, of which Debian 12 has an older one. */
struct pidfd_info_v0 {
	uint64_t mask, cgroupid;
	uint32_t pid, tgid, ppid, ids[8];
	int32_t exit_code;
};
#define INFO_EXIT (UINT64_C(1) << 3)
#define GET_INFO _IOWR(0xFF, 11, struct pidfd_info_v0)

int vms_proc_exit_status(int pidfd, int *ret_status)
{
	struct pidfd_info_v0 info = { .mask = INFO_EXIT };

	/* ESRCH: it has ended, and is not to be told of until it has been waited for. */
	if (ioctl(pidfd, GET_INFO, &info) < 0)
		return errno == ESRCH ? -EAGAIN : -errno;
	if (!(info.mask & INFO_EXIT))
		return -EAGAIN;
	*ret_status = info.exit_code;
	return 0;
}

/* proc_pid_stat(5): the 22nd field, counted from behind the name, which may hold anything. */
int vms_proc_start_time(pid_t pid, uint64_t *ret_ticks)
{
	char buf[1024];
	int r = read_small(pid, "stat", buf, sizeof(buf));
	const char *at = r < 0 ? NULL : strrchr(buf, ')');

	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (!at)
		return r < 0 ? r : -ESRCH;
	*ret_ticks = strtoull(at, NULL, 10);
	return 0;
}

/* Its last word is the instruction pointer. */
int vms_proc_call_ip(pid_t tid, uint64_t *ret_ip)
{
	char buf[256];
	const char *last;
	int r = read_small(tid, "syscall", buf, sizeof(buf));

	if (r < 0)
		return r;
	last = strrchr(buf, ' ');
	if (!last)
		return -EAGAIN;
	*ret_ip = strtoull(last + 1, NULL, 16);
	return 0;
}

int vms_proc_call(pid_t tid, int *ret_nr)
{
	char buf[256], *end;
	long nr;
	int r = read_small(tid, "syscall", buf, sizeof(buf));

	if (r < 0)
		return r;
	nr = strtol(buf, &end, 10);
	/* "running", or "-1 ..." for a thread that waits outside of calls. */
	if (end == buf || nr < 0)
		return -EAGAIN;
	*ret_nr = (int)nr;
	return 0;
}

int vms_proc_mm(pid_t pid, struct vms_proc_mm *ret)
{
	char buf[2048], *at;
	uint64_t f[53] = { 0 };
	int r = read_small(pid, "stat", buf, sizeof(buf));

	if (r < 0)
		return r;
	/* The command may hold blanks and parentheses; what follows the last one is field 3. */
	at = strrchr(buf, ')');
	if (!at)
		return -ESRCH;
	at += 2;
	for (int i = 3; i < 53 && *at; i++) {
		f[i] = strtoull(at, &at, 10);
		if (i == 3)
			at += strcspn(at, " ");
		at += strspn(at, " ");
	}
	if (!f[28] || !f[48])
		return -EACCES;
	*ret = (struct vms_proc_mm){
		.start_code = f[26], .end_code = f[27], .start_stack = f[28],
		.start_data = f[45], .end_data = f[46], .start_brk = f[47],
		.arg_start = f[48],  .arg_end = f[49],	.env_start = f[50], .env_end = f[51],
	};
	return 0;
}

/* include/linux/proc_ns.h: PROC_USER_INIT_INO */
#define FIRST_USERNS 0xEFFFFFFDu

bool vms_proc_in_first_userns(pid_t tid)
{
	char path[48];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/user", tid);
	return stat(path, &st) == 0 && st.st_ino == FIRST_USERNS;
}

int vms_proc_pidfd(pid_t pid)
{
	long fd = syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : (int)fd;
}

int vms_proc_thread_pidfd(pid_t tid)
{
	/* PIDFD_THREAD */
	long fd = syscall(SYS_pidfd_open, tid, O_EXCL);

	return fd < 0 ? -errno : (int)fd;
}

int vms_proc_getfd(int pidfd, int fd)
{
	long copy = syscall(SYS_pidfd_getfd, pidfd, fd, 0);

	return copy < 0 ? -errno : (int)copy;
}

int vms_proc_compare_mm(pid_t a, pid_t b)
{
	long order = syscall(SYS_kcmp, a, b, KCMP_VM, 0, 0);

	return order == 0 ? 0 : order == 1 ? -1 : 1;
}

bool vms_proc_same_mm(pid_t a, pid_t b)
{
	return vms_proc_compare_mm(a, b) == 0;
}

bool vms_proc_same_ns(pid_t a, pid_t b, const char *type)
{
	const pid_t pids[2] = { a, b };
	struct stat st[2];
	char path[48];

	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", pids[i], type);
		if (stat(path, &st[i]) < 0)
			return false;
	}
	return st[0].st_dev == st[1].st_dev && st[0].st_ino == st[1].st_ino;
}

bool vms_proc_has_thread(pid_t pid, pid_t tid)
{
	return syscall(SYS_tgkill, pid, tid, 0) == 0 || errno != ESRCH;
}

int vms_proc_each_thread(pid_t pid, int (*fn)(pid_t tid, void *arg), void *arg)
{
	char path[32];
	struct dirent *entry;
	int r = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? -ESRCH : -errno;
	while (r == 0 && (entry = readdir(dir))) {
		if (entry->d_name[0] != '.')
			r = fn((pid_t)strtol(entry->d_name, NULL, 10), arg);
	}
	closedir(dir);
	return r;
}

static int take_living(pid_t tid, void *arg)
{
	struct vms_proc_status status;
	pid_t *ret_tid = arg;

	if (vms_proc_status(tid, &status) < 0 || status.state == 'Z' || status.state == 'X')
		return 0;
	*ret_tid = tid;
	return 1;
}

pid_t vms_proc_living_thread(pid_t pid)
{
	pid_t tid = 0;

	vms_ignore(vms_proc_each_thread(pid, take_living, &tid));
	return tid;
}

int vms_proc_each_child(pid_t pid, pid_t tid, int (*fn)(pid_t pid, void *arg), void *arg)
{
	char path[64];
	FILE *file;
	int child, r = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, tid);
	file = fopen(path, "re");
	if (!file)
		return errno == ENOENT ? -ESRCH : -errno;
	while (r == 0 && fscanf(file, "%d", &child) == 1)
		r = fn(child, arg);
	fclose(file);
	return r;
}

vms_addr_t vms_proc_auxv(pid_t pid, enum vms_arch arch, unsigned long type)
{
	const size_t size = arch == VMS_ARCH_I386 ? sizeof(uint32_t) : sizeof(uint64_t);
	unsigned char bytes[1024];
	char path[32];
	vms_autofd fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/auxv", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));
	for (ssize_t at = 0; at + 2 * (ssize_t)size <= n; at += 2 * (ssize_t)size) {
		uint64_t pair[2] = { 0 };

		/* Little-endian: a short word is the lower half. */
		memcpy(&pair[0], bytes + at, size);
		memcpy(&pair[1], bytes + at + size, size);
		if (pair[0] == type)
			return pair[1];
	}
	return 0;
}

int vms_proc_personality(pid_t pid, uint64_t *ret_persona)
{
	char buf[32];
	int r = read_small(pid, "personality", buf, sizeof(buf));

	if (r == 0)
		*ret_persona = strtoull(buf, NULL, 16);
	return r;
}

/* More hops than any real chain of parents; a chain that changes under us may be a loop for a moment. */
#define MAX_HOPS 4096

static int kill_one(pid_t pid, void *arg)
{
	(void)arg;
	kill(pid, SIGKILL);
	return 0;
}

void vms_proc_kill_tree(pid_t root)
{
	vms_ignore(vms_proc_each_descendant(root, kill_one, NULL));
	kill(root, SIGKILL);
}

bool vms_proc_is_descendant(pid_t pid, pid_t root)
{
	struct vms_proc_status status;

	for (int i = 0; i < MAX_HOPS && pid > 1; i++) {
		if (vms_proc_status(pid, &status) < 0)
			return false;
		if (status.ppid == root)
			return true;
		pid = status.ppid;
	}
	return false;
}

struct member {
	pid_t pid, ppid;
	bool known, is_in; /* known: is_in says whether it descends from the root */
};

struct family {
	struct member *members; /* by number */
	size_t nr, cap;
};

static pid_t parent_of(pid_t pid)
{
	char buf[512], *at;

	if (read_small(pid, "stat", buf, sizeof(buf)) < 0)
		return 0;
	at = strrchr(buf, ')');
	return at && at[1] && at[2] ? (pid_t)strtol(at + 3, NULL, 10) : 0;
}

static int add_member(struct family *family, pid_t pid)
{
	if (family->nr == family->cap) {
		size_t cap = family->cap ? 2 * family->cap : 256;
		struct member *members = reallocarray(family->members, cap, sizeof(*members));

		if (!members)
			return -ENOMEM;
		family->members = members;
		family->cap = cap;
	}
	family->members[family->nr++] = (struct member){ .pid = pid, .ppid = parent_of(pid) };
	return 0;
}

static int by_pid(const void *a, const void *b)
{
	const struct member *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

static struct member *find_member(const struct family *family, pid_t pid)
{
	const struct member key = { .pid = pid };

	return bsearch(&key, family->members, family->nr, sizeof(key), by_pid);
}

/* Up to the root, or to one that is known; then all on the way are known. */
static bool descends(const struct family *family, struct member *from, pid_t root)
{
	struct member *at = from;
	bool is_in = false;

	for (size_t hops = 0; at && hops <= family->nr; hops++) {
		if (at->known || at->ppid == root) {
			is_in = at->known ? at->is_in : true;
			break;
		}
		at = find_member(family, at->ppid);
	}
	for (at = from; at && !at->known;) {
		at->known = true;
		at->is_in = is_in;
		at = at->ppid == root ? NULL : find_member(family, at->ppid);
	}
	return is_in;
}

int vms_proc_each_descendant(pid_t root, int (*fn)(pid_t pid, void *arg), void *arg)
{
	struct family family = { 0 };
	struct dirent *entry;
	DIR *dir = opendir("/proc");
	int r = 0;

	if (!dir)
		return -errno;
	while (r == 0 && (entry = readdir(dir))) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (pid > 0)
			r = add_member(&family, pid);
	}
	closedir(dir);
	if (family.nr)
		qsort(family.members, family.nr, sizeof(family.members[0]), by_pid);
	for (size_t i = 0; r == 0 && i < family.nr; i++) {
		if (descends(&family, &family.members[i], root))
			r = fn(family.members[i].pid, arg);
	}
	free(family.members);
	return r;
}

/* include/uapi/linux/nsfs.h, 6.11; newer than the headers of Debian 12. */
#define GET_TGID_FROM_PIDNS _IOR(0xb7, 0x7, int)

static pid_t ask_namespace(pid_t viewer, pid_t inner)
{
	char path[48];
	vms_autofd fd = -1;
	int pid;

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", viewer);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	pid = fd < 0 ? -1 : ioctl(fd, GET_TGID_FROM_PIDNS, inner);
	return pid < 0 ? 0 : pid;
}

struct numbered {
	pid_t viewer, inner, pid;
};

static int match_number(pid_t pid, void *arg)
{
	struct numbered *n = arg;
	struct vms_proc_status status;

	if (vms_proc_status(pid, &status) < 0 || status.inner_tgid != n->inner ||
	    !vms_proc_same_ns(pid, n->viewer, "pid"))
		return 0;
	n->pid = pid;
	return 1;
}

pid_t vms_proc_number(pid_t root, pid_t viewer, pid_t number)
{
	struct numbered n = { viewer, number, 0 };
	struct vms_proc_status status;

	/* Not by its namespace: that of a process with another user's rights is not shown to us. */
	if (vms_proc_status(viewer, &status) < 0 || !status.is_nested)
		return number;
	n.pid = ask_namespace(viewer, number);
	if (n.pid)
		return vms_proc_is_descendant(n.pid, root) ? n.pid : 0;
	/* Before 6.11; it misses those in namespaces within the viewer's. */
	vms_ignore(vms_proc_each_descendant(root, match_number, &n));
	return n.pid;
}
