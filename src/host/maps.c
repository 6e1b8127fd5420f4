/* The kernel's list of VMAs; see the header. Source: fs/proc/task_mmu.c (6.18). */
#include "vmsup/host/maps.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "vmsup/base/fd.h"

/* include/uapi/linux/fs.h, 6.11; newer than the headers of Debian 12. */
#define QUERY_IOCTL _IOWR('f', 17, struct procmap_query_arg)
#define QUERY_READABLE 0x01u
#define QUERY_WRITABLE 0x02u
#define QUERY_EXECUTABLE 0x04u
#define QUERY_SHARED 0x08u
#define QUERY_COVERING_OR_NEXT 0x10u

struct procmap_query_arg {
	uint64_t size;
	uint64_t query_flags;
	uint64_t query_addr;
	uint64_t vma_start;
	uint64_t vma_end;
	uint64_t vma_flags;
	uint64_t vma_page_size;
	uint64_t vma_offset;
	uint64_t inode;
	uint32_t dev_major;
	uint32_t dev_minor;
	uint32_t vma_name_size;
	uint32_t build_id_size;
	uint64_t vma_name_addr;
	uint64_t build_id_addr;
};

void vms_vma_list_done(struct vms_vma_list *list)
{
	free(list->items);
	*list = (struct vms_vma_list){ 0 };
}

static int append(struct vms_vma_list *list, const struct vms_vma *vma)
{
	if (list->nr == list->cap) {
		size_t cap = list->cap ? 2 * list->cap : 64;
		struct vms_vma *items = reallocarray(list->items, cap, sizeof(*items));

		if (!items)
			return -ENOMEM;
		list->items = items;
		list->cap = cap;
	}
	list->items[list->nr++] = *vma;
	return 0;
}

static int query(int fd, uint64_t flags, vms_addr_t addr, struct procmap_query_arg *ret_q)
{
	*ret_q = (struct procmap_query_arg){ .size = sizeof(*ret_q), .query_flags = flags,
					     .query_addr = addr };
	while (ioctl(fd, QUERY_IOCTL, ret_q) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

int vms_maps_open(pid_t pid, struct vms_maps *ret_maps)
{
	struct procmap_query_arg q;
	char path[32];
	int fd, r;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	r = query(fd, QUERY_COVERING_OR_NEXT, 0, &q);
	ret_maps->fd = fd;
	ret_maps->has_query = r == 0 || r == -ENOENT || r == -ESRCH;
	return 0;
}

void vms_maps_close(struct vms_maps *maps)
{
	vms_fd_close(&maps->fd);
}

static void vma_of_query(const struct procmap_query_arg *q, struct vms_vma *vma)
{
	*vma = (struct vms_vma){ .range = { q->vma_start, q->vma_end }, .may = VMS_PROT_ALL };
	if (q->vma_flags & QUERY_READABLE)
		vma->prot |= VMS_PROT_READ;
	if (q->vma_flags & QUERY_WRITABLE)
		vma->prot |= VMS_PROT_WRITE;
	if (q->vma_flags & QUERY_EXECUTABLE)
		vma->prot |= VMS_PROT_EXEC;
	if (q->vma_flags & QUERY_SHARED)
		vma->flags |= VMS_VMA_SHARED;
	/* vma_kernel_pagesize (6.18): differs for hugetlbfs (and what SHM_HUGETLB makes of it), and for device dax. */
	if (q->vma_page_size > VMS_PAGE_SIZE && q->inode)
		vma->flags |= VMS_VMA_HUGETLB;
	if (q->inode) {
		vma->ino = q->inode;
		vma->dev = makedev(q->dev_major, q->dev_minor);
		vma->offset = q->vma_offset;
		vma->kind = VMS_KIND_FILE;
	}
}

static int read_by_query(struct vms_maps *maps, const struct vms_range *range, struct vms_vma_list *list)
{
	vms_addr_t at = range->start;

	while (at < range->end) {
		struct procmap_query_arg q;
		struct vms_vma vma;
		int r = query(maps->fd, QUERY_COVERING_OR_NEXT, at, &q);

		if (r == -ENOENT)
			return 0;
		if (r < 0)
			return r;
		if (q.vma_start >= range->end)
			return 0;
		vma_of_query(&q, &vma);
		r = append(list, &vma);
		if (r < 0)
			return r;
		at = q.vma_end;
	}
	return 0;
}

/* "start-end perms offset major:minor inode   name" */
static bool parse_line(const char *line, struct vms_vma *vma, const char **ret_name)
{
	unsigned int major, minor;
	uint64_t start, end, offset, ino;
	char perms[5];
	int used = 0;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 " %n", &start, &end, perms,
		   &offset, &major, &minor, &ino, &used) < 7)
		return false;
	*vma = (struct vms_vma){ .range = { start, end }, .may = VMS_PROT_ALL };
	vma->prot = (perms[0] == 'r' ? VMS_PROT_READ : 0) | (perms[1] == 'w' ? VMS_PROT_WRITE : 0) |
		    (perms[2] == 'x' ? VMS_PROT_EXEC : 0);
	vma->flags = perms[3] == 's' ? VMS_VMA_SHARED : 0;
	if (ino) {
		vma->ino = ino;
		vma->dev = makedev(major, minor);
		vma->offset = offset;
		vma->kind = VMS_KIND_FILE;
	}
	*ret_name = line + used;
	return true;
}

/* Calls @fn for each line until it returns non-zero. */
static int each_line(struct vms_maps *maps, int (*fn)(const struct vms_vma *, const char *, void *), void *arg)
{
	char *line = NULL;
	size_t size = 0;
	int fd = dup(maps->fd), r = 0;
	bool is_empty = true;
	FILE *file;

	if (fd < 0)
		return -errno;
	file = fdopen(fd, "r");
	if (!file) {
		close(fd);
		return -ENOMEM;
	}
	rewind(file);
	while (r == 0 && getline(&line, &size, file) > 0) {
		struct vms_vma vma;
		const char *name;

		is_empty = false;
		line[strcspn(line, "\n")] = '\0';
		if (parse_line(line, &vma, &name))
			r = fn(&vma, name, arg);
	}
	/* No process runs without a mapping: its mm is gone. */
	if (r == 0 && (ferror(file) || is_empty))
		r = -ESRCH;
	free(line);
	fclose(file);
	return r < 0 ? r : 0;
}

struct text_read {
	const struct vms_range *range;
	struct vms_vma_list *list;
};

static int take_line(const struct vms_vma *vma, const char *name, void *arg)
{
	struct text_read *t = arg;

	(void)name;
	if (vma->range.start >= t->range->end)
		return 1;
	return vma->range.end > t->range->start ? append(t->list, vma) : 0;
}

int vms_maps_read(struct vms_maps *maps, const struct vms_range *range, struct vms_vma_list *list)
{
	struct text_read t = { range, list };

	list->nr = 0;
	if (range->start >= range->end)
		return 0;
	return maps->has_query ? read_by_query(maps, range, list) : each_line(maps, take_line, &t);
}

bool vms_maps_is_free(struct vms_maps *maps, const struct vms_range *range)
{
	struct procmap_query_arg q;
	struct vms_vma_list list = { 0 };
	bool is_free;
	int r;

	if (maps->has_query) {
		r = query(maps->fd, QUERY_COVERING_OR_NEXT, range->start, &q);
		return r == -ENOENT || (r == 0 && q.vma_start >= range->end);
	}
	is_free = vms_maps_read(maps, range, &list) == 0 && !list.nr;
	vms_vma_list_done(&list);
	return is_free;
}

struct name_read {
	vms_addr_t addr;
	char *buf;
	size_t size;
	bool found;
};

static int take_name(const struct vms_vma *vma, const char *name, void *arg)
{
	struct name_read *n = arg;

	if (!vms_range_has(&vma->range, n->addr))
		return 0;
	snprintf(n->buf, n->size, "%s", name);
	n->found = true;
	return 1;
}

int vms_maps_name(struct vms_maps *maps, vms_addr_t addr, char *buf, size_t size)
{
	struct procmap_query_arg q = { .size = sizeof(q), .query_addr = addr,
				       .vma_name_addr = (uintptr_t)buf, .vma_name_size = (uint32_t)size };
	struct name_read n = { .addr = addr, .buf = buf, .size = size };
	int r;

	buf[0] = '\0';
	if (maps->has_query) {
		if (ioctl(maps->fd, QUERY_IOCTL, &q) < 0)
			return -errno;
		if (!q.vma_name_size)
			buf[0] = '\0';
		return 0;
	}
	r = each_line(maps, take_name, &n);
	if (r < 0)
		return r;
	return n.found ? 0 : -ENOENT;
}

static uint32_t parse_vm_flags(const char *text)
{
	static const struct {
		char name[3];
		uint32_t flag;
	} known[] = {
		{ "nr", VMS_VMA_NORESERVE }, { "gd", VMS_VMA_GROWSDOWN }, { "sl", VMS_VMA_SEALED },
		{ "ht", VMS_VMA_HUGETLB },   { "dc", VMS_VMA_DONTFORK },  { "wf", VMS_VMA_WIPEONFORK },
	};
	uint32_t flags = 0;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		char word[5] = { ' ', known[i].name[0], known[i].name[1], ' ', '\0' };

		if (strstr(text, word))
			flags |= known[i].flag;
	}
	return flags;
}

int vms_maps_read_flags(pid_t pid, struct vms_vma_list *list)
{
	char path[32], *line = NULL;
	size_t size = 0, i = 0, told = 0;
	vms_addr_t start = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	while (getline(&line, &size, file) > 0) {
		uint64_t from, to;

		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &from, &to) == 2) {
			start = from;
			continue;
		}
		if (strncmp(line, "VmFlags:", 8) != 0)
			continue;
		line[strcspn(line, "\n")] = ' ';
		while (i < list->nr && list->items[i].range.start < start)
			i++;
		if (i < list->nr && list->items[i].range.start == start) {
			list->items[i].flags |= parse_vm_flags(line + 8);
			told++;
		}
	}
	free(line);
	fclose(file);
	/* It has another mm by now, or none, or it has changed. */
	return told == list->nr ? 0 : -ESRCH;
}
