/* Text for people; see the header. */
#include "vmsup/ctl/show.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* The string member @name of @object, or "-". */
static const char *get_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "-";
}

/* An address is a string "0x...": JSON numbers of some readers end at 2^53. */
static bool get_addr(const json_t *object, const char *name, uint64_t *ret_addr)
{
	const char *text = json_string_value(json_object_get(object, name));
	char *end;

	if (!text || strncmp(text, "0x", 2) != 0)
		return false;
	*ret_addr = strtoull(text + 2, &end, 16);
	return end > text + 2 && !*end;
}

void vms_show_text(FILE *out, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	for (; *p; p++) {
		/*
		 * C0 and DEL, and the C1 controls, which UTF-8 writes as 0xc2 and a byte below
		 * 0xa0.
		 */
		if (*p < 0x20 || *p == 0x7f) {
			fprintf(out, "\\%03o", *p);
		} else if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) {
			fprintf(out, "\\%03o\\%03o", p[0], p[1]);
			p++;
		} else {
			fputc(*p, out);
		}
	}
}

void vms_show_error(const char *text)
{
	fputs("vmsup: ", stderr);
	vms_show_text(stderr, text);
	fputc('\n', stderr);
}

static void show_line_text(FILE *out, const char *name, const char *text)
{
	fprintf(out, "%s: ", name);
	vms_show_text(out, text);
	fputc('\n', out);
}

static void show_line_size(FILE *out, const json_t *maps, const char *name)
{
	const json_t *value = json_object_get(maps, name);

	if (json_is_integer(value))
		fprintf(out, "%s: %" JSON_INTEGER_FORMAT "\n", name, json_integer_value(value));
	else
		show_line_text(out, name, "-");
}

/* "0x10000-0x7fff0000", or "none" for an unconfined tree; @ret has room for two addresses. */
static void format_range(const json_t *owner, char *ret, size_t size)
{
	const json_t *range = json_object_get(owner, "range");
	uint64_t start, end;

	if (json_is_null(range))
		snprintf(ret, size, "none");
	else if (get_addr(range, "start", &start) && get_addr(range, "end", &end))
		snprintf(ret, size, "0x%" PRIx64 "-0x%" PRIx64, start, end);
	else
		snprintf(ret, size, "-");
}

/* "noreserve,growsdown", or "-". */
static void format_flags(const json_t *map, char *ret, size_t size)
{
	const json_t *flags = json_object_get(map, "flags");
	size_t used = 0;

	snprintf(ret, size, "-");
	for (size_t i = 0; i < json_array_size(flags) && used < size; i++) {
		const char *flag = json_string_value(json_array_get(flags, i));
		int n = snprintf(ret + used, size - used, "%s%s", i ? "," : "", flag ? flag : "?");

		used += n > 0 ? (size_t)n : 0;
	}
}

/* Widths that make columns of all mappings. */
struct widths {
	int addr;
	int flags;
};

#define FLAGS_MAX 160

static struct widths measure_maps(const json_t *list)
{
	struct widths w = { .addr = 8, .flags = 1 };

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *map = json_array_get(list, i);
		char flags[FLAGS_MAX];
		uint64_t end = 0;
		int n = 0;

		format_flags(map, flags, sizeof(flags));
		if ((int)strlen(flags) > w.flags)
			w.flags = (int)strlen(flags);
		for (get_addr(map, "end", &end); end; end >>= 4)
			n++;
		if (n > w.addr)
			w.addr = n;
	}
	return w;
}

static void show_map(FILE *out, const json_t *map, const struct widths *w)
{
	const char *file = json_string_value(json_object_get(map, "file"));
	uint64_t start = 0, end = 0;
	char flags[FLAGS_MAX];

	get_addr(map, "start", &start);
	get_addr(map, "end", &end);
	format_flags(map, flags, sizeof(flags));
	fprintf(out, "%0*" PRIx64 "-%0*" PRIx64 " ", w->addr, start, w->addr, end);
	vms_show_text(out, get_text(map, "prot"));
	fprintf(out, " %-7s ", json_is_true(json_object_get(map, "shared")) ? "shared" : "private");
	vms_show_text(out, get_text(map, "kind"));
	/* Pad by hand: what was escaped has no known width, what is known has at most 6 letters. */
	for (size_t n = strlen(get_text(map, "kind")); n < 6; n++)
		fputc(' ', out);
	fputc(' ', out);
	vms_show_text(out, flags);
	if (file) {
		for (int n = (int)strlen(flags); n < w->flags; n++)
			fputc(' ', out);
		fputc(' ', out);
		vms_show_text(out, file);
	}
	fputc('\n', out);
}

/* 12.4M; plain bytes below 1 KiB; "-" when it is no number. */
static void format_size(const json_t *value, char *ret, size_t size)
{
	static const char units[] = "BKMGTPE";
	double bytes = (double)json_integer_value(value);
	size_t unit = 0;

	for (; bytes >= 1024 && unit < sizeof(units) - 2; unit++)
		bytes /= 1024;
	if (!json_is_integer(value))
		snprintf(ret, size, "-");
	else if (unit == 0)
		snprintf(ret, size, "%.0f", bytes);
	else
		snprintf(ret, size, "%.1f%c", bytes, units[unit]);
}

/* "commit=512.0M,maps=1000", or "-". */
static void format_limits(const json_t *limits, char *ret, size_t size)
{
	const char *name;
	json_t *value;
	size_t used = 0;
	void *at;

	snprintf(ret, size, "-");
	for (at = json_object_iter((json_t *)limits); at; at = json_object_iter_next((json_t *)limits, at)) {
		char number[24];
		int n;

		name = json_object_iter_key(at);
		value = json_object_iter_value(at);
		if (strcmp(name, "maps") == 0)
			snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		else
			format_size(value, number, sizeof(number));
		n = snprintf(ret + used, size - used, "%s%.16s=%s", used ? "," : "", name, number);
		if (n < 0 || (size_t)n >= size - used)
			return;
		used += (size_t)n;
	}
}

static void show_line_limits(FILE *out, const char *name, const json_t *limits)
{
	char text[160];

	if (!json_object_size(limits))
		return;
	format_limits(limits, text, sizeof(text));
	show_line_text(out, name, text);
}

void vms_show_maps(FILE *out, const json_t *maps)
{
	static const char *const addrs[] = { "brk_base", "brk", "brk_frontier" };
	static const char *const sizes[] = { "va", "commit", "reserved", "mappings" };
	const json_t *list = json_object_get(maps, "maps");
	struct widths w = measure_maps(list);
	char range[64];

	format_range(maps, range, sizeof(range));
	show_line_text(out, "range", range);
	show_line_text(out, "mode", get_text(maps, "mode"));
	for (size_t i = 0; i < sizeof(addrs) / sizeof(addrs[0]); i++)
		show_line_text(out, addrs[i], get_text(maps, addrs[i]));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		show_line_size(out, maps, sizes[i]);
	show_line_limits(out, "limits", json_object_get(maps, "limits"));
	show_line_limits(out, "tree_limits", json_object_get(maps, "tree_limits"));
	for (size_t i = 0; i < json_array_size(list); i++)
		show_map(out, json_array_get(list, i), &w);
}

static void format_count(const json_t *value, char *ret, size_t size)
{
	if (json_is_integer(value))
		snprintf(ret, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else
		snprintf(ret, size, "-");
}

#define CELL 24

/* The members of @object that are numbers, as cells. */
static void format_cells(const json_t *object, const char *const *names, size_t n,
			 char cells[][CELL])
{
	for (size_t i = 0; i < n; i++)
		format_count(json_object_get(object, names[i]), cells[i], CELL);
}

static void show_supervisor(FILE *out, const json_t *sup)
{
	static const char *const sup_names[] = { "supervisor", "uid" };
	static const char *const names[] = { "pid", "ppid", "threads", "mappings" };
	const json_t *processes = json_object_get(sup, "processes");
	/* Letters, digits and . _ - */
	const char *tenant = json_string_value(json_object_get(sup, "tenant"));
	char head[2][CELL], cells[4][CELL], va[CELL], commit[CELL], range[64], limits[160];
	size_t n = json_array_size(processes);

	format_range(sup, range, sizeof(range));
	format_cells(sup, sup_names, 2, head);
	/* Even a supervisor whose last process is just gone has a line. */
	for (size_t i = 0; i < (n ? n : 1); i++) {
		const json_t *process = json_array_get(processes, i);

		format_cells(process, names, 4, cells);
		format_size(json_object_get(process, "va"), va, sizeof(va));
		format_size(json_object_get(process, "commit"), commit, sizeof(commit));
		format_limits(json_object_get(process, "limits"), limits, sizeof(limits));
		fprintf(out, "%10s %6s ", head[0], head[1]);
		vms_show_text(out, get_text(sup, "mode"));
		for (size_t len = strlen(get_text(sup, "mode")); len < 9; len++)
			fputc(' ', out);
		fprintf(out, " %-29s %8s %8s %7s %8s %8s %8s ", range, cells[0], cells[1], cells[2],
			cells[3], va, commit);
		vms_show_text(out, limits);
		for (size_t len = strlen(limits); len < 12; len++)
			fputc(' ', out);
		fprintf(out, " %-12s ", tenant ? tenant : "-");
		vms_show_text(out, get_text(process, "command"));
		fputc('\n', out);
	}
}

void vms_show_ps(FILE *out, const json_t *ps)
{
	const json_t *supervisors = json_object_get(ps, "supervisors");

	fprintf(out, "%10s %6s %-9s %-29s %8s %8s %7s %8s %8s %8s %-12s %-12s %s\n", "SUPERVISOR", "UID", "MODE",
		"RANGE", "PID", "PPID", "THREADS", "MAPPINGS", "VA", "COMMIT", "LIMITS", "TENANT", "COMMAND");
	for (size_t i = 0; i < json_array_size(supervisors); i++)
		show_supervisor(out, json_array_get(supervisors, i));
}

void vms_show_limits(FILE *out, const json_t *limits)
{
	static const char *const names[] = { "commit", "va", "maps", "heap", "stack" };
	static const char *const columns[] = { "used", "limits", "tree", "tree_limits" };

	fprintf(out, "%-8s %10s %10s %10s %10s\n", "", "USED", "LIMIT", "TREE USED", "TREE LIMIT");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		fprintf(out, "%-8s", names[i]);
		for (size_t k = 0; k < sizeof(columns) / sizeof(columns[0]); k++) {
			const json_t *value = json_object_get(json_object_get(limits, columns[k]), names[i]);
			char cell[CELL];

			if (strcmp(names[i], "maps") == 0)
				format_count(value, cell, sizeof(cell));
			else
				format_size(value, cell, sizeof(cell));
			fprintf(out, " %10s", cell);
		}
		fputc('\n', out);
	}
}

int vms_show_json(FILE *out, const json_t *json)
{
	if (json_dumpf(json, out, JSON_INDENT(2) | JSON_ENSURE_ASCII | JSON_ENCODE_ANY) < 0)
		return -EIO;
	return fputc('\n', out) == EOF ? -EIO : 0;
}
