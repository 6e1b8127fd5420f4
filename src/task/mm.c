/* Address spaces of a tree: made, shared, read from the kernel; see task.h. */
#include "vmsup/task/task.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct vms_mm *vms_mm_new(struct vms_tasks *tasks, struct vms_maps *maps)
{
	struct vms_mm *mm = calloc(1, sizeof(*mm));

	if (!mm)
		return NULL;
	mm->refs = 1;
	mm->created = ++tasks->made_spaces;
	mm->maps = *maps;
	maps->fd = -1;
	vms_space_init(&mm->space, &tasks->range, &tasks->user, &tasks->rules);
	mm->space.confined = tasks->confined;
	mm->space.remote_only = tasks->remote_only;
	mm->space.ceiling = tasks->ceiling;
	mm->space.policy = tasks->policy;
	mm->space.exec_policy = tasks->exec_policy;
	/* Each has a sequence of its own, the same in each run with the same seed. */
	mm->space.random = tasks->random + mm->created * 0x9e3779b97f4a7c15u;
	return mm;
}

void vms_mm_set_i386(const struct vms_tasks *tasks, struct vms_mm *mm)
{
	mm->space.arch = VMS_ARCH_I386;
	mm->space.range = tasks->i386.range;
	mm->space.user = tasks->i386.user;
	mm->space.remote_only = tasks->i386.remote_only;
	mm->space.ceiling = tasks->i386.ceiling;
}

/* A 64-bit program has something above 4 GiB: the fence, its stack or its vdso. */
static enum vms_arch arch_of_maps(const struct vms_tasks *tasks, struct vms_maps *maps)
{
	const struct vms_range above = { tasks->i386.user.end, tasks->user.end };
	if (tasks->i386.range.start < tasks->i386.range.end && vms_maps_is_free(maps, &above))
		return VMS_ARCH_I386;
	return VMS_ARCH_X86_64;
}

enum vms_arch vms_tasks_arch(const struct vms_tasks *tasks, const struct vms_process *process)
{
	struct vms_maps maps = VMS_MAPS_INIT;
	enum vms_arch arch;

	if (process->mm)
		return process->mm->space.arch;
	if (vms_maps_open(process->pid, &maps) < 0)
		return VMS_ARCH_X86_64;
	arch = arch_of_maps(tasks, &maps);
	vms_maps_close(&maps);
	return arch;
}

void vms_mm_unref(struct vms_tasks *tasks, struct vms_mm *mm)
{
	if (!mm || --mm->refs > 0)
		return;
	vms_usage_sub(&tasks->total, &mm->counted);
	if (mm->space.max_vmas > tasks->max_vmas)
		tasks->max_vmas = mm->space.max_vmas;
	vms_space_done(&mm->space);
	vms_maps_close(&mm->maps);
	free(mm);
}

void vms_mm_count(struct vms_tasks *tasks, struct vms_mm *mm)
{
	struct vms_usage now;

	vms_usage_of(&mm->space, &now);
	vms_usage_sub(&tasks->total, &mm->counted);
	vms_usage_add(&tasks->total, &now);
	mm->counted = now;
}

/* A known process with the same mm (vfork, CLONE_VM): its parent most likely, else any. */
static struct vms_mm *find_shared(const struct vms_tasks *tasks, struct vms_process *process)
{
	const struct vms_process *parent = vms_tasks_parent(tasks, process);

	if (parent && parent->mm && vms_proc_same_mm(vms_process_tid(process), vms_process_tid(parent)))
		return parent->mm;
	return vms_sharers_find(tasks, process);
}

/* Mappings of the same file as the one that holds @addr. */
static void kind_of_file(struct vms_vma_list *list, vms_addr_t addr, enum vms_vma_kind kind)
{
	const struct vms_vma *found = NULL;

	for (size_t i = 0; i < list->nr && !found; i++) {
		if (vms_range_has(&list->items[i].range, addr))
			found = &list->items[i];
	}
	if (!found || !found->ino)
		return;
	for (size_t i = 0; i < list->nr; i++) {
		if (list->items[i].ino == found->ino && list->items[i].dev == found->dev)
			list->items[i].kind = (uint8_t)kind;
	}
}

/* Without a parent's record: what the names and the auxiliary vector say. */
static void name_kinds(pid_t pid, struct vms_mm *mm, struct vms_vma_list *list)
{
	static const struct {
		const char *name;
		enum vms_vma_kind kind;
	} known[] = {
		{ "[heap]", VMS_KIND_HEAP }, { "[stack]", VMS_KIND_STACK }, { "[vdso]", VMS_KIND_VDSO },
		{ "[vvar", VMS_KIND_VDSO },  { "/SYSV", VMS_KIND_SHM },	    { "/dev/zero", VMS_KIND_ANON },
	};
	char name[64];

	/* The top gap, unless the program has taken it. */
	if (list->nr && mm->space.confined) {
		struct vms_vma *last = &list->items[list->nr - 1];

		if (!last->prot && !last->ino && last->range.end == mm->space.range.end)
			last->kind = VMS_KIND_FENCE;
	}
	kind_of_file(list, vms_proc_auxv(pid, mm->space.arch, AT_PHDR), VMS_KIND_EXE);
	kind_of_file(list, vms_proc_auxv(pid, mm->space.arch, AT_BASE), VMS_KIND_INTERP);
	for (size_t i = 0; i < list->nr; i++) {
		struct vms_vma *vma = &list->items[i];

		/* A longer name is a file's. */
		if (vms_maps_name(&mm->maps, vma->range.start, name, sizeof(name)) < 0)
			continue;
		for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++) {
			if (strncmp(name, known[k].name, strlen(known[k].name)) == 0)
				vma->kind = (uint8_t)known[k].kind;
		}
		if (vma->kind == VMS_KIND_HEAP && vma->range.end > mm->space.brk.current)
			vms_brk_set(&mm->space.brk, vma->range.end);
	}
}

/*
 * The parent's break is the child's, unless either has moved it since the fork, or the parent's record was behind: then what the
 * kernel calls the heap tells, to a page.
 */
static void inherit_brk(struct vms_mm *mm, const struct vms_brk *parent)
{
	const struct vms_vma *vma;
	vms_addr_t end = 0;
	char name[16];

	mm->space.brk = *parent;
	for (vma = vms_tree_find_from(&mm->space.tree, vms_page_down(parent->base)); vma; vma = vms_tree_next(vma)) {
		if (vms_maps_name(&mm->maps, vma->range.start, name, sizeof(name)) < 0 ||
		    strcmp(name, "[heap]") != 0)
			break;
		end = vma->range.end;
	}
	if (end && end != parent->frontier)
		vms_brk_set(&mm->space.brk, end);
}

/* At the fork the parent may have been ahead of its record, and it may have gone on since. */
static bool is_as_copied(const struct vms_mm *mm, const struct vms_mm *parent, const struct vms_vma_list *list)
{
	return !parent->in_flight && !parent->stale &&
	       vms_space_agrees(&mm->space, &mm->space.range, list->items, list->nr);
}

/* For --wx: what is not executable now may have been written to. */
static void assume_written(struct vms_vma_list *list)
{
	for (size_t i = 0; i < list->nr; i++) {
		if (!(list->items[i].prot & VMS_PROT_EXEC))
			list->items[i].flags |= VMS_VMA_WRITTEN;
	}
}

static int read_space(const struct vms_tasks *tasks, struct vms_process *process, struct vms_mm *mm, const struct vms_mm *parent)
{
	struct vms_vma_list list = { 0 };
	struct vms_proc_mm numbers;
	bool has_flags = false;
	const pid_t tid = vms_process_tid(process);
	int r = vms_maps_read(&mm->maps, &mm->space.range, &list);

	if (r == 0 && parent) {
		mm->space.ceiling = parent->space.ceiling;
		mm->space.remote_only = parent->space.remote_only;
		mm->space.legacy_layout = parent->space.legacy_layout;
		mm->space.read_implies_exec = parent->space.read_implies_exec;
		r = vms_tree_copy(&mm->space.tree, &parent->space.tree);
		has_flags = r == 0 && !is_as_copied(mm, parent, &list);
	} else if (r == 0) {
		has_flags = true;
		if (vms_proc_mm(tid, &numbers) == 0)
			vms_brk_init(&mm->space.brk, numbers.start_brk);
		name_kinds(tid, mm, &list);
	}
	if (r == 0 && has_flags)
		has_flags = vms_maps_read_flags(tid, &list) == 0;
	if (r == 0 && !parent && tasks->has_forgotten)
		assume_written(&list);
	if (r == 0)
		r = vms_space_adopt(&mm->space, &mm->space.range, list.items, list.nr, has_flags);
	if (r == 0 && parent)
		inherit_brk(mm, &parent->space.brk);
	vms_vma_list_done(&list);
	return r;
}

int vms_tasks_load_mm(struct vms_tasks *tasks, struct vms_process *process)
{
	struct vms_process *parent;
	struct vms_maps maps = VMS_MAPS_INIT;
	struct vms_mm *mm;
	int r;

	if (process->mm)
		return 0;
	mm = find_shared(tasks, process);
	if (mm) {
		mm->refs++;
		vms_sharers_join(tasks, process, mm);
		return 0;
	}
	r = vms_maps_open(vms_process_tid(process), &maps);
	if (r < 0)
		return r;
	mm = vms_mm_new(tasks, &maps);
	if (!mm) {
		vms_maps_close(&maps);
		return -ENOMEM;
	}
	if (arch_of_maps(tasks, &mm->maps) == VMS_ARCH_I386)
		vms_mm_set_i386(tasks, mm);
	/* Since it was adopted only the kernel knows it: it may have executed another program than its parent. */
	parent = process->is_adopted ? NULL : vms_tasks_parent(tasks, process);
	/* A parent that runs a program of the other kind by now is not what was copied. */
	if (parent && parent->mm && parent->mm->space.arch != mm->space.arch)
		parent = NULL;
	r = read_space(tasks, process, mm, parent ? parent->mm : NULL);
	if (r < 0) {
		vms_mm_unref(tasks, mm);
		return r;
	}
	vms_mm_count(tasks, mm);
	vms_sharers_join(tasks, process, mm);
	return 0;
}
