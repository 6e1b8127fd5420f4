/* vmsup top: the tenants of vmsupd on a live screen. */
#include "vmsup/cli/verb.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "vmsup/base/log.h"
#include "vmsup/cli/help.h"
#include "vmsup/ctl/daemon.h"
#include "vmsup/ctl/show.h"

#define PERIOD_MS 1000
#define MAX_ROWS 1024

static const char top_help[] =
	"Usage: vmsup top [--json]\n"
	"\n"
	"Show the tenants of vmsupd, those with most committed memory first, and what they do in a\n"
	"second: memory calls and refusals. Once a second, until q or Ctrl-C; when stdout is no\n"
	"terminal, one table.\n"
	"\n"
	"  --json      measure for one second and print one JSON object\n"
	"  -h, --help  print this and exit\n"
	"\n"
	"Exit status: 0; 1 when vmsupd gives no answer; 2 for a bad command line.\n";

struct row {
	char name[64], state[16];
	double commit, limit; /* bytes; limit below 0: none */
	json_int_t calls, refused, processes;
	double call_rate, refused_rate; /* a second */
};

struct table {
	struct row rows[MAX_ROWS];
	size_t nr;
	struct timespec when;
};

static json_int_t number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static void fill(struct row *row, const json_t *tenant)
{
	const json_t *limit = json_object_get(json_object_get(tenant, "tree_limits"), "commit");
	const char *name = json_string_value(json_object_get(tenant, "name"));
	const char *state = json_string_value(json_object_get(tenant, "state"));

	*row = (struct row){ .commit = (double)number(tenant, "commit"), .limit = json_is_integer(limit) ? (double)json_integer_value(limit) : -1,
			     .calls = number(tenant, "calls"), .refused = number(tenant, "refused"),
			     .processes = number(tenant, "processes") };
	snprintf(row->name, sizeof(row->name), "%s", name ? name : "-");
	snprintf(row->state, sizeof(row->state), "%s", state ? state : "-");
}

static int by_commit(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return x->commit < y->commit ? 1 : x->commit > y->commit ? -1 : strcmp(x->name, y->name);
}

static double rate(json_int_t now, json_int_t before, double seconds)
{
	/* After a restart it counts from 0. */
	return now < before || seconds <= 0 ? 0 : (double)(now - before) / seconds;
}

static int read_table(struct vms_daemon_line *line, const struct table *before, struct table *ret, struct vms_err *err)
{
	const json_t *list;
	double seconds;
	json_t *result;
	int r = vms_daemon_ask(line, json_pack("{s:s}", "verb", "status"), &result, NULL, err);

	if (r < 0)
		return r;
	clock_gettime(CLOCK_MONOTONIC, &ret->when);
	seconds = (double)(ret->when.tv_sec - before->when.tv_sec) + (double)(ret->when.tv_nsec - before->when.tv_nsec) / 1e9;
	list = json_object_get(result, "tenants");
	ret->nr = 0;
	for (size_t i = 0; i < json_array_size(list) && ret->nr < MAX_ROWS; i++) {
		struct row *row = &ret->rows[ret->nr++];

		fill(row, json_array_get(list, i));
		for (size_t k = 0; k < before->nr; k++) {
			if (strcmp(before->rows[k].name, row->name) != 0)
				continue;
			row->call_rate = rate(row->calls, before->rows[k].calls, seconds);
			row->refused_rate = rate(row->refused, before->rows[k].refused, seconds);
		}
	}
	json_decref(result);
	qsort(ret->rows, ret->nr, sizeof(ret->rows[0]), by_commit);
	return 0;
}

static void print_size(double size)
{
	static const char units[] = "BKMGTPE";
	size_t unit = 0;

	while (size >= 9999.5 && unit < sizeof(units) - 2) {
		size /= 1024;
		unit++;
	}
	printf("%9.0f%c", size, units[unit]);
}

static void print_table(const struct table *table, size_t rows, const char *end)
{
	printf("%-20s %-9s %10s %10s %9s %10s %10s%s\n", "TENANT", "STATE", "COMMIT", "LIMIT", "PROCESSES", "CALLS/s", "REFUSED/s", end);
	for (size_t i = 0; i < table->nr && i < rows; i++) {
		const struct row *row = &table->rows[i];

		/* Names and states come from vmsupd; each is at most a few letters. */
		printf("%-20.20s %-9.9s ", row->name, row->state);
		print_size(row->commit);
		putchar(' ');
		if (row->limit >= 0)
			print_size(row->limit);
		else
			printf("%10s", "-");
		printf(" %9" JSON_INTEGER_FORMAT " %10.0f %10.0f%s\n", row->processes, row->call_rate, row->refused_rate, end);
	}
}

static void print_json(const struct table *table)
{
	json_t *all = json_pack("{s:[]}", "tenants"), *list = json_object_get(all, "tenants");

	for (size_t i = 0; i < table->nr; i++) {
		const struct row *row = &table->rows[i];

		json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:o, s:I, s:f, s:f}", "name", row->name, "state", row->state, "commit",
						      (json_int_t)row->commit, "limit",
						      row->limit >= 0 ? json_integer((json_int_t)row->limit) : json_null(), "processes",
						      row->processes, "calls_per_second", row->call_rate, "refused_per_second",
						      row->refused_rate));
	}
	(void)vms_show_json(stdout, all);
	json_decref(all);
}

/* True when q was typed, or nobody can type any more. */
static bool wait_key(void)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	char key;

	if (poll(&p, 1, PERIOD_MS) <= 0)
		return false;
	return read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q' || key == 3;
}

static size_t screen_rows(void)
{
	struct winsize size;

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 3 ? size.ws_row - 2u : 22;
}

static int watch(struct vms_daemon_line *line, struct table *now, struct table *before)
{
	struct vms_err err = VMS_ERR_INIT;
	struct termios old, raw;
	int r;

	if (tcgetattr(STDIN_FILENO, &old) < 0) {
		vms_log("top: stdin is no terminal: %s", strerror(errno));
		return 1;
	}
	raw = old;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	do {
		*before = *now;
		r = read_table(line, before, now, &err);
		if (r < 0)
			break;
		/* Home, each line to its end, and what is left below. */
		fputs("\033[H", stdout);
		print_table(now, screen_rows(), "\033[K");
		fputs("\033[J", stdout);
	} while (fflush(stdout) == 0 && !wait_key());
	tcsetattr(STDIN_FILENO, TCSANOW, &old);
	putchar('\n');
	if (r < 0)
		vms_show_error(err.text);
	return r < 0 ? 1 : 0;
}

static int once(struct vms_daemon_line *line, struct table *now, struct table *before, bool json)
{
	const struct timespec period = { .tv_sec = PERIOD_MS / 1000, .tv_nsec = PERIOD_MS % 1000 * 1000000L };
	struct vms_err err = VMS_ERR_INIT;
	int r;

	nanosleep(&period, NULL);
	*before = *now;
	r = read_table(line, before, now, &err);
	if (r < 0) {
		vms_show_error(err.text);
		return 1;
	}
	if (json)
		print_json(now);
	else
		print_table(now, now->nr, "");
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	vms_log("cannot write to stdout: %s", strerror(errno));
	return 1;
}

static int top_run(int argc, char **argv)
{
	static struct table now, before;
	struct vms_daemon_line *line;
	struct vms_err err = VMS_ERR_INIT;
	bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
	int status;

	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return vms_help_verb(&vms_verb_top);
	if (argc > 1 && !json) {
		vms_log("top: unknown word %.100s; see 'vmsup help top'", argv[1]);
		return VMS_EXIT_USAGE;
	}
	if (vms_daemon_connect(&line, &err) < 0 || read_table(line, &before, &now, &err) < 0) {
		vms_show_error(err.text);
		return 1;
	}
	status = isatty(STDOUT_FILENO) && !json ? watch(line, &now, &before) : once(line, &now, &before, json);
	vms_daemon_hang_up(line);
	return status;
}

const struct vms_verb vms_verb_top = {
	.name = "top",
	.summary = "watch the tenants of vmsupd",
	.help = top_help,
	.options = vms_verb_json_options,
	.run = top_run,
};
