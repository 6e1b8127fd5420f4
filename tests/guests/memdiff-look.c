/* What memdiff looks at: names of addresses, the kernel's list of mappings, contents. */
#include "memdiff.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static uintptr_t window_start(const struct worker *w)
{
	return w->base - MARGIN_PAGES * PAGE;
}

static uintptr_t window_end(const struct worker *w)
{
	return w->base + (ARENA_PAGES + MARGIN_PAGES) * PAGE;
}

bool in_window(const struct worker *w, uintptr_t addr)
{
	return addr >= window_start(w) && addr < window_end(w);
}

bool in_heap(uintptr_t addr)
{
	return addr >= shared.heap - PAGE && addr < shared.heap + 2 * HEAP_PAGES * PAGE;
}

static void name_offset(char *text, size_t size, const char *letter, long offset)
{
	long pages = offset >> 12, bytes = offset & (long)(PAGE - 1);

	if (bytes)
		snprintf(text, size, "%s%+ld.%ld", letter, pages, bytes);
	else
		snprintf(text, size, "%s%+ld", letter, pages);
}

const char *name_of(const struct worker *w, long value)
{
	static __thread char texts[8][40];
	static __thread unsigned int next;
	char *text = texts[next++ % 8];
	uintptr_t addr = (uintptr_t)value;

	if (value < 0 && value > -4096) {
		snprintf(text, 40, "%s", strerrorname_np((int)-value) ? strerrorname_np((int)-value) : "E?");
		return text;
	}
	if (in_window(w, addr) || addr == window_end(w)) {
		name_offset(text, 40, "A", (long)(addr - w->base));
		return text;
	}
	if (in_heap(addr)) {
		name_offset(text, 40, "H", (long)(addr - shared.heap));
		return text;
	}
	for (int i = 0; i < NR_SLOTS; i++) {
		char letter[8];

		if (addr < w->slots[i].addr || addr >= w->slots[i].addr + w->slots[i].size)
			continue;
		snprintf(letter, sizeof(letter), "S%d", i);
		name_offset(text, 40, letter, (long)(addr - w->slots[i].addr));
		return text;
	}
	snprintf(text, 40, "%#lx", (unsigned long)value);
	return text;
}

int touch(uintptr_t addr, bool write, int *ret_code)
{
	sigjmp_buf here;
	int fault = sigsetjmp(here, 1);

	if (fault == 0) {
		memdiff_jump = &here;
		if (write)
			*(volatile unsigned char *)addr = 0x5a;
		else
			(void)*(volatile unsigned char *)addr;
	}
	memdiff_jump = NULL;
	*ret_code = fault & 0xff;
	return fault >> 8;
}

/* The first bytes of each page; process_vm_readv honours the protection and never kills. */
static uint32_t contents(uintptr_t start, uintptr_t end)
{
	uint32_t hash = 2166136261u;

	for (uintptr_t at = start; at < end; at += PAGE) {
		unsigned char bytes[16];
		struct iovec to = { bytes, sizeof(bytes) }, from = { (void *)at, sizeof(bytes) };
		ssize_t n = process_vm_readv(getpid(), &to, 1, &from, 1, 0);

		if (n < 0)
			n = 0;
		hash = (hash ^ (uint32_t)n) * 16777619u;
		for (ssize_t i = 0; i < n; i++)
			hash = (hash ^ bytes[i]) * 16777619u;
	}
	return hash;
}

static bool is_watched(const struct worker *w, uintptr_t start, uintptr_t end)
{
	if (start < window_end(w) && end > window_start(w))
		return true;
	return w->id == 0 && end > shared.heap && start < shared.heap + 2 * HEAP_PAGES * PAGE;
}

/* What is printed of a mapping, or of several that differ in nothing: whether the kernel joins them depends on their past. */
struct area {
	uintptr_t start, end;
	unsigned long offset;
	bool has_offset;
	char perms[8], name[64], flags[128];
};

static void say_area(struct worker *w, const struct area *area)
{
	uintptr_t start = area->start, end = area->end;

	if (start == end)
		return;
	/* The heap begins before the pages that are looked at. */
	if (start < shared.heap && end > shared.heap)
		start = shared.heap;
	if (in_heap(start) && !in_heap(end))
		end = shared.heap + 2 * HEAP_PAGES * PAGE - PAGE;
	/* What lies beside the arena may have become one with it. */
	if (start < window_start(w) && in_window(w, end - 1))
		start = window_start(w);
	if (in_window(w, start) && end > window_end(w))
		end = window_end(w);
	say(w, "  %s %s %s %lx %s %08x%s\n", name_of(w, (long)start), name_of(w, (long)end), area->perms,
	    area->has_offset ? area->offset : 0, area->name, area->perms[0] == 'r' ? contents(start, end) : 0, area->flags);
}

static void parse_area(const char *line, struct area *area)
{
	const char *path, *name;
	unsigned long ino;
	int used = 0;

	sscanf(line, "%lx-%lx %7s %lx %*s %lu %n", &area->start, &area->end, area->perms, &area->offset, &ino, &used);
	path = line + used;
	name = strrchr(path, '/');
	snprintf(area->name, sizeof(area->name), "%s", name ? name + 1 : path);
	/* A private mapping of /dev/zero has its address for an offset. */
	area->has_offset = ino && (area->perms[3] != 'p' || strcmp(area->name, "zero") != 0);
}

/* "sd" says whether it was touched since a moment that nobody here knows. */
static void parse_flags(const char *text, struct area *area)
{
	char word[3];

	area->flags[0] = '\0';
	while (sscanf(text, " %2s", word) == 1) {
		if (strcmp(word, "sd") != 0 && strlen(area->flags) + 4 < sizeof(area->flags)) {
			strcat(area->flags, " ");
			strcat(area->flags, word);
		}
		text = strstr(text, word) + 2;
	}
}

static bool continues(const struct area *area, const struct area *next)
{
	return area->end == next->start && area->has_offset == next->has_offset &&
	       (!area->has_offset || area->offset + (area->end - area->start) == next->offset) &&
	       strcmp(area->perms, next->perms) == 0 && strcmp(area->name, next->name) == 0 &&
	       strcmp(area->flags, next->flags) == 0;
}

void read_maps(struct worker *w, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t n;

	if (fd < 0)
		die(path);
	while ((n = read(fd, w->maps + used, sizeof(w->maps) - 1 - used)) > 0)
		used += (size_t)n;
	if (used == sizeof(w->maps) - 1)
		die("too many mappings");
	close(fd);
	w->maps[used] = '\0';
}

void digest(struct worker *w)
{
	struct area area = { 0 }, next = { 0 };
	char *line, *rest;

	say(w, " digest\n");
	read_maps(w, "/proc/self/smaps");
	for (line = w->maps; *line; line = rest) {
		rest = strchr(line, '\n');
		if (!rest)
			break;
		*rest++ = '\0';
		if (strspn(line, "0123456789abcdef") == strcspn(line, "-") && strchr(line, '-')) {
			parse_area(line, &next);
		} else if (strncmp(line, "VmFlags:", 8) == 0 && is_watched(w, next.start, next.end)) {
			parse_flags(line + 8, &next);
			if (continues(&area, &next)) {
				area.end = next.end;
				continue;
			}
			say_area(w, &area);
			area = next;
		}
	}
	say_area(w, &area);
}
