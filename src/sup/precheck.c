/*
 * What can be seen of a program before it is executed: an x32 program, or one that can run outside the range only, is
 * refused while its caller can still hear of it. This is advice: the path is the child's, and it may change. What gets
 * past is found at the exec stop, and killed there.
 *
 * Nothing here may wait for a file system, which may be the child's own (FUSE): names are looked up in the kernel's cache only,
 * and only files on block devices are opened.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <linux/openat2.h>

#include "vmsup/base/fd.h"
#include "vmsup/host/file.h"
#include "vmsup/sup/sup.h"

#define MAX_PATH 4096
#define MAX_LOADS 64

/* The string at @addr; it may end close before memory that is not there. */
static int read_path(const struct vms_sup *sup, pid_t tid, vms_addr_t addr, char *buf, size_t size)
{
	size_t done = 0;

	while (done < size) {
		size_t chunk = (size_t)(VMS_PAGE_SIZE - ((addr + done) & ~VMS_PAGE_MASK));
		int r;

		if (chunk > size - done)
			chunk = size - done;
		r = vms_sup_read(sup, tid, addr + done, buf + done, chunk);
		if (r < 0)
			return r;
		if (memchr(buf + done, '\0', chunk))
			return 0;
		done += chunk;
	}
	return -ENAMETOOLONG;
}

/* The directory that the path starts from, as the child has it. Magic links: no file system is asked. */
static int open_base(const struct vms_trap *trap, const struct vms_req *req, const char *path)
{
	char name[64];

	if (path[0] == '/')
		snprintf(name, sizeof(name), "/proc/%d/root", trap->tid);
	else if (req->call == VMS_CALL_EXECVEAT && (int)req->args[0] != AT_FDCWD)
		snprintf(name, sizeof(name), "/proc/%d/fd/%d", trap->tid, (int)req->args[0]);
	else
		snprintf(name, sizeof(name), "/proc/%d/cwd", trap->tid);
	return open(name, O_PATH | O_CLOEXEC);
}

/* Programs that were looked at and found good, by inode: a shell executes the same few again and again. */
#define CACHE_SIZE 256

struct known {
	uint64_t dev, ino, size;
	struct statx_timestamp changed;
};

struct vms_precheck_cache {
	struct known good[CACHE_SIZE];
};

static struct known *slot_of(struct vms_sup *sup, const struct known *program)
{
	if (!sup->precheck)
		sup->precheck = calloc(1, sizeof(*sup->precheck));
	return sup->precheck ? &sup->precheck->good[program->ino % CACHE_SIZE] : NULL;
}

static bool is_known(struct vms_sup *sup, const struct known *program)
{
	const struct known *slot = slot_of(sup, program);

	return slot && memcmp(slot, program, sizeof(*slot)) == 0;
}

static void remember(struct vms_sup *sup, const struct known *program)
{
	struct known *slot = slot_of(sup, program);

	if (slot)
		memcpy(slot, program, sizeof(*slot));
}

void vms_precheck_done(struct vms_sup *sup)
{
	free(sup->precheck);
	sup->precheck = NULL;
}

/* False for what is no regular file on a block device. */
static bool identify(int fd, struct known *ret_program)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &st) < 0 ||
	    !S_ISREG(st.stx_mode) || !st.stx_dev_major)
		return false;
	memset(ret_program, 0, sizeof(*ret_program));
	ret_program->dev = makedev(st.stx_dev_major, st.stx_dev_minor);
	ret_program->ino = st.stx_ino;
	ret_program->size = st.stx_size;
	ret_program->changed.tv_sec = st.stx_ctime.tv_sec;
	ret_program->changed.tv_nsec = st.stx_ctime.tv_nsec;
	return true;
}

/* -1 as well when there is nothing to look at any more. */
static int open_program(struct vms_sup *sup, const struct vms_trap *trap, const struct vms_req *req,
			struct known *ret_program)
{
	const bool is_at = req->call == VMS_CALL_EXECVEAT;
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_CACHED };
	vms_autofd base = -1, file = -1;
	char path[MAX_PATH], name[64];

	if (read_path(sup, trap->tid, req->args[is_at ? 1 : 0], path, sizeof(path)) < 0)
		return -1;
	base = open_base(trap, req, path);
	if (base < 0)
		return -1;
	if (path[0] == '/')
		how.resolve |= RESOLVE_IN_ROOT;
	if (path[0])
		file = (int)syscall(SYS_openat2, base, path, &how, sizeof(how));
	else
		file = vms_fd_steal(&base);
	if (file < 0 || !identify(file, ret_program) || is_known(sup, ret_program))
		return -1;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", file);
	return open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

/* Where an entry of the program headers wants to be; false: it is none that is loaded. */
static bool load_span(const void *entry, bool is_64, struct vms_range *ret_span)
{
	Elf64_Phdr p64;
	Elf32_Phdr p32;

	if (is_64) {
		memcpy(&p64, entry, sizeof(p64));
	} else {
		memcpy(&p32, entry, sizeof(p32));
		p64 = (Elf64_Phdr){ .p_type = p32.p_type, .p_vaddr = p32.p_vaddr, .p_memsz = p32.p_memsz };
	}
	*ret_span = (struct vms_range){ vms_page_down(p64.p_vaddr), vms_page_up(p64.p_vaddr + p64.p_memsz) };
	return p64.p_type == PT_LOAD && p64.p_memsz;
}

union ehdr {
	Elf64_Ehdr e64;
	Elf32_Ehdr e32;
};

static bool loads_outside(const struct vms_range *range, int fd, const union ehdr *ehdr, struct vms_range *ret_span)
{
	unsigned char table[MAX_LOADS * sizeof(Elf64_Phdr)];
	const bool is_64 = ehdr->e64.e_ident[EI_CLASS] == ELFCLASS64;
	const size_t size = is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	const size_t entry_size = is_64 ? ehdr->e64.e_phentsize : ehdr->e32.e_phentsize;
	const off_t at = is_64 ? (off_t)ehdr->e64.e_phoff : (off_t)ehdr->e32.e_phoff;
	size_t nr = is_64 ? ehdr->e64.e_phnum : ehdr->e32.e_phnum;

	if (nr > MAX_LOADS)
		nr = MAX_LOADS;
	if (entry_size != size || pread(fd, table, nr * size, at) != (ssize_t)(nr * size))
		return false;
	for (size_t i = 0; i < nr; i++) {
		if (load_span(table + i * size, is_64, ret_span) && !vms_range_covers(range, ret_span))
			return true;
	}
	return false;
}

/* What the range of @conf cannot hold is refused. */
static int check_fixed(const struct vms_reloc_conf *conf, int fd, const union ehdr *ehdr, struct vms_err *err)
{
	struct vms_range span;

	if (!conf->fence || !loads_outside(&conf->chosen, fd, ehdr, &span))
		return 0;
	vms_err_set(err, 0,
		    "it is linked to run at 0x%llx (ET_EXEC), outside the range 0x%llx-0x%llx: choose a --range that "
		    "holds it, or build it as a PIE",
		    (unsigned long long)span.start, (unsigned long long)conf->chosen.start,
		    (unsigned long long)conf->chosen.end);
	return ENOEXEC;
}

static int check_i386(const struct vms_sup *sup, pid_t tid, struct vms_err *err)
{
	uint64_t persona;

	if (sup->reloc_conf.i386) {
		if (!sup->reloc_conf.fence || vms_proc_personality(tid, &persona) < 0)
			return 0;
		return vms_reloc_check_i386(&sup->i386_conf, persona, err) < 0 ? ENOEXEC : 0;
	}
	vms_err_set(err, 0,
		    "it is a 32-bit (i386) program, and the range 0x%llx-0x%llx has no room for it: choose a --range "
		    "below 4 GiB",
		    (unsigned long long)sup->chosen.start, (unsigned long long)sup->chosen.end);
	return ENOEXEC;
}

static int check_place(const struct vms_sup *sup, int fd, struct vms_err *err)
{
	if (vms_file_is_under(fd, sup->options.exec_dirs, sup->options.nr_exec_dirs))
		return 0;
	vms_err_set(err, 0, "it does not lie under any --exec-from: add its directory, or run another program");
	return EACCES;
}

int vms_precheck(struct vms_sup *sup, const struct vms_trap *trap, const struct vms_req *req, struct vms_err *err)
{
	struct known program;
	vms_autofd fd = open_program(sup, trap, req, &program);
	union ehdr ehdr;
	int r = 0;

	if (fd < 0 || pread(fd, &ehdr, sizeof(ehdr), 0) != (ssize_t)sizeof(ehdr) ||
	    memcmp(ehdr.e64.e_ident, ELFMAG, SELFMAG) != 0)
		return 0;
	if (ehdr.e64.e_ident[EI_CLASS] == ELFCLASS32 && ehdr.e64.e_machine == EM_X86_64) {
		vms_err_set(err, 0, "it is an x32 program: vmsup runs x86-64 and i386 programs only");
		return ENOEXEC;
	}
	if (ehdr.e64.e_ident[EI_CLASS] == ELFCLASS32 && ehdr.e64.e_machine == EM_386) {
		r = check_i386(sup, trap->tid, err);
		if (r == 0 && ehdr.e64.e_type == ET_EXEC)
			r = check_fixed(&sup->i386_conf, fd, &ehdr, err);
	} else if (ehdr.e64.e_ident[EI_CLASS] == ELFCLASS64 && ehdr.e64.e_type == ET_EXEC) {
		r = check_fixed(&sup->reloc_conf, fd, &ehdr, err);
	}
	/* Whether an i386 program can run depends on who executes it, too. */
	/* By another name the same file may lie elsewhere: such a verdict is not remembered. */
	if (r == 0 && sup->options.exec_policy.exec_from)
		return check_place(sup, fd, err);
	if (r == 0 && ehdr.e64.e_machine != EM_386)
		remember(sup, &program);
	return r;
}
