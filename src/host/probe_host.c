/*
 * Settings of the machine and of this process that change what vmsup can promise. They are only
 * read, but for a limit that is lifted in a child that is thrown away.
 */
#include "probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#define STACK_GUARD_PAGES 256

/* The first number of a file, -1 when it cannot be read. */
static long read_number(const char *path)
{
	FILE *f = fopen(path, "re");
	long value = -1;

	if (!f)
		return -1;
	if (fscanf(f, "%ld", &value) != 1)
		value = -1;
	fclose(f);
	return value;
}

long vms_probe_status_field(int pid, const char *field)
{
	char path[64], line[512];
	long value = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, field, strlen(field)) != 0)
			continue;
		value = strtol(line + strlen(field), NULL, 10);
		break;
	}
	fclose(f);
	return value;
}

void vms_probe_kernel(struct vms_probe_result *r)
{
	int major = 0, minor = 0;
	struct utsname u;

	if (uname(&u) < 0 || sscanf(u.release, "%d.%d", &major, &minor) != 2)
		vms_probe_say(r, VMS_PROBE_DEGRADED, "the version is not known");
	else if (strcmp(u.machine, "x86_64") != 0)
		vms_probe_say(r, VMS_PROBE_DEGRADED, "this process sees a machine of type %.64s",
			      u.machine);
	else if (major < 6 || (major == 6 && minor < 1))
		vms_probe_say(r, VMS_PROBE_DEGRADED, "Linux %.64s", u.release);
	else
		vms_probe_say(r, VMS_PROBE_OK, "Linux %.64s", u.release);
	if (r->state != VMS_PROBE_OK)
		vms_probe_advise(r, "vmsup is made for Linux 6.1 and later on x86-64");
}

void vms_probe_procfs(struct vms_probe_result *r)
{
	char self[32] = "", us[32];

	snprintf(us, sizeof(us), "%d", (int)getpid());
	if (readlink("/proc/self", self, sizeof(self) - 1) > 0 && strcmp(self, us) == 0 &&
	    access("/proc/self/maps", R_OK) == 0) {
		if (access("/proc/self/mem", W_OK) == 0) {
			vms_probe_say(r, VMS_PROBE_OK, "/proc shows this process");
			return;
		}
		vms_probe_say(r, VMS_PROBE_MISSING, "/proc is mounted read-only");
		vms_probe_advise(r, "mount it writable: programs are moved by /proc/PID/mem");
		return;
	}
	vms_probe_say(r, VMS_PROBE_MISSING, "%s",
		      self[0] ? "/proc is that of another pid namespace" :
				"/proc does not show this process");
	vms_probe_advise(
		r,
		"mount it for this pid namespace: mount -t proc proc /proc (unshare --mount-proc)");
}

void vms_probe_rlimit_as(struct vms_probe_result *r)
{
	static const struct rlimit none = { .rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY };
	struct rlimit limit, lifted;
	unsigned long long kib;

	if (getrlimit(RLIMIT_AS, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY) {
		vms_probe_say(r, VMS_PROBE_OK, "no limit on address space");
		return;
	}
	kib = (unsigned long long)limit.rlim_cur >> 10;
	lifted = (struct rlimit){ .rlim_cur = RLIM_INFINITY, .rlim_max = limit.rlim_max };
	if (setrlimit(RLIMIT_AS, &lifted) == 0 && getrlimit(RLIMIT_AS, &lifted) == 0 &&
	    lifted.rlim_cur == RLIM_INFINITY) {
		vms_probe_say(r, VMS_PROBE_DEGRADED,
			      "a soft limit of %llu KiB; the fence is 128 TiB", kib);
		vms_probe_advise(
			r, "run `ulimit -S -v unlimited` first, or limit the program by --range");
	} else if (setrlimit(RLIMIT_AS, &none) == 0) {
		vms_probe_say(r, VMS_PROBE_DEGRADED,
			      "a hard limit of %llu KiB; the fence is 128 TiB", kib);
		vms_probe_advise(r,
				 "run `ulimit -v unlimited` first (this user may), or use --range");
	} else {
		vms_probe_say(r, VMS_PROBE_MISSING,
			      "a hard limit of %llu KiB; the fence is 128 TiB", kib);
		vms_probe_advise(
			r,
			"raise it as root (prlimit --as=unlimited --pid PID of the shell), or in "
			"/etc/security/limits.conf");
	}
}

void vms_probe_tracer(struct vms_probe_result *r)
{
	long tracer = vms_probe_status_field(getpid(), "TracerPid:");

	if (tracer <= 0) {
		vms_probe_say(r, VMS_PROBE_OK, "nobody traces this process");
		return;
	}
	vms_probe_say(r, VMS_PROBE_DEGRADED, "process %ld traces this process", tracer);
	vms_probe_advise(
		r, "a tracer that follows forks makes every exec fail: start vmsup outside of it");
}

void vms_probe_yama(struct vms_probe_result *r)
{
	long scope = read_number("/proc/sys/kernel/yama/ptrace_scope");

	if (scope < 0) {
		vms_probe_say(r, VMS_PROBE_OK, "no Yama: a user may trace what is his");
		return;
	}
	vms_probe_say(r, scope <= 1 ? VMS_PROBE_OK : VMS_PROBE_DEGRADED, "%ld: %s", scope,
		      scope == 0 ? "a user may trace what is his" :
		      scope == 1 ? "a user may trace descendants, which is all that vmsup does" :
		      scope == 2 ? "only CAP_SYS_PTRACE may trace" :
				   "nobody may trace until the next boot");
	if (scope == 2)
		vms_probe_advise(r, "sysctl kernel.yama.ptrace_scope=1, or run vmsup as root");
	else if (scope > 2)
		vms_probe_advise(
			r, "boot with kernel.yama.ptrace_scope=1: this value cannot be lowered");
}

void vms_probe_filters(struct vms_probe_result *r)
{
	long mode = vms_probe_status_field(getpid(), "Seccomp:");
	long n = vms_probe_status_field(getpid(), "Seccomp_filters:");

	if (mode <= 0)
		vms_probe_say(r, VMS_PROBE_OK, "none");
	else
		vms_probe_say(r, VMS_PROBE_OK, "%ld already; what they refuse stays refused", n);
}

void vms_probe_no_new_privs(struct vms_probe_result *r)
{
	long set = vms_probe_status_field(getpid(), "NoNewPrivs:");

	vms_probe_say(r, VMS_PROBE_OK, "%s: setuid programs get no privileges under vmsup run",
		      set == 1 ? "set already" : "vmsup run sets it");
}

void vms_probe_mmap_min_addr(struct vms_probe_result *r)
{
	long min = read_number("/proc/sys/vm/mmap_min_addr");

	if (min < 0)
		vms_probe_say(r, VMS_PROBE_DEGRADED, "cannot be read; 0x10000 is usual");
	else
		vms_probe_say(r, VMS_PROBE_OK, "a range may start at 0x%lx", min);
}

void vms_probe_stack_guard_gap(struct vms_probe_result *r)
{
	static const char name[] = "stack_guard_gap=";
	FILE *f = fopen("/proc/cmdline", "re");
	long pages = STACK_GUARD_PAGES;
	char line[4096] = "", *at;

	if (f && !fgets(line, sizeof(line), f))
		line[0] = '\0';
	if (f)
		fclose(f);
	for (at = line; (at = strstr(at, name)); at++) {
		if (at == line || at[-1] == ' ')
			pages = strtol(at + strlen(name), NULL, 0);
	}
	vms_probe_say(r, pages == STACK_GUARD_PAGES ? VMS_PROBE_OK : VMS_PROBE_DEGRADED,
		      "%ld pages%s", pages,
		      pages == STACK_GUARD_PAGES ? "" : ", by the kernel's command line");
	if (pages != STACK_GUARD_PAGES)
		vms_probe_advise(
			r,
			"boot without stack_guard_gap= if --stats shows many mispredicted calls");
}

void vms_probe_overcommit(struct vms_probe_result *r)
{
	static const char *const meanings[] = {
		"heuristic: only absurd requests are refused",
		"always: nothing is refused",
		"never: MAP_NORESERVE is ignored, and commit is limited for the whole machine",
	};
	long mode = read_number("/proc/sys/vm/overcommit_memory");

	if (mode < 0 || mode > 2)
		vms_probe_say(r, VMS_PROBE_DEGRADED, "cannot be read");
	else
		vms_probe_say(r, VMS_PROBE_OK, "%ld, %s", mode, meanings[mode]);
}

void vms_probe_va_layout(struct vms_probe_result *r)
{
	bool by_sysctl = read_number("/proc/sys/vm/legacy_va_layout") > 0;
	int persona = personality(0xffffffff);
	bool by_persona = persona != -1 && (persona & ADDR_COMPAT_LAYOUT);

	if (!by_sysctl && !by_persona) {
		vms_probe_say(r, VMS_PROBE_OK, "top-down");
		return;
	}
	vms_probe_say(r, VMS_PROBE_DEGRADED,
		      "legacy: the kernel searches from a third of the address space up");
	vms_probe_advise(r, "%s, or use --place remote",
			 by_sysctl ? "sysctl vm.legacy_va_layout=0" : "start without setarch -L");
}

void vms_probe_max_map_count(struct vms_probe_result *r)
{
	long max = read_number("/proc/sys/vm/max_map_count");

	if (max < 0)
		vms_probe_say(r, VMS_PROBE_DEGRADED, "cannot be read; 65530 is usual");
	else
		vms_probe_say(r, VMS_PROBE_OK, "%ld mappings a process", max);
}
