/*
 * Metrics as text, read from the boards of the tenants: no supervisor is asked. Names follow the conventions of
 * Prometheus; a counter that a supervisor's death would have reset goes on, for the board is the same.
 */
#include <errno.h>
#include <inttypes.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <config.h>

#include "vmsup/base/fd.h"
#include "vmsup/base/log.h"
#include "vmsup/daemon/metrics.h"

struct text {
	FILE *file;
	const struct vms_daemon *daemon;
	bool open; /* OpenMetrics; otherwise the older form of Prometheus, which other tools read */
};

static void head(const struct text *t, const char *name, const char *type, const char *unit, const char *help)
{
	/* OpenMetrics leaves the suffix of a counter's samples out. */
	const char *suffix = !t->open && strcmp(type, "counter") == 0 ? "_total" : "";

	fprintf(t->file, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, suffix, help, name, suffix, type);
	if (unit && t->open)
		fprintf(t->file, "# UNIT %s %s\n", name, unit);
}

/* Names of tenants need no escape: letters, digits, . _ - */
static void line(const struct text *t, const char *name, const char *tenant, const char *label, const char *value, double number)
{
	fprintf(t->file, "%s{tenant=\"%s\"", name, tenant);
	if (label)
		fprintf(t->file, ",%s=\"%s\"", label, value);
	fprintf(t->file, "} %.17g\n", number);
}

static void each_gauge(const struct text *t, const char *name, const char *unit, const char *help, size_t offset)
{
	head(t, name, "gauge", unit, help);
	for (const struct vms_tenant *x = t->daemon->tenants; x; x = x->hh.next) {
		if (x->board)
			line(t, name, x->name, NULL, NULL, (double)*(const uint64_t *)((const char *)&x->board->counters + offset));
	}
}

#define GAUGE(NAME, UNIT, HELP, MEMBER) each_gauge(t, NAME, UNIT, HELP, offsetof(struct vms_board_counters, MEMBER))

static void gauges(const struct text *t)
{
	GAUGE("vmsup_commit_bytes", "bytes", "Memory that may have to be backed.", commit);
	GAUGE("vmsup_mapped_bytes", "bytes", "All mappings of all processes.", va);
	GAUGE("vmsup_reserved_bytes", "bytes", "Mappings that need not be backed: reservations and files.", reserved);
	GAUGE("vmsup_mappings", NULL, "Mappings of all processes.", maps);
	GAUGE("vmsup_processes", NULL, "Processes that have made a memory call.", processes);
	GAUGE("vmsup_threads", NULL, "Threads that have made a memory call.", threads);
	head(t, "vmsup_commit_limit_bytes", "gauge", "bytes", "The limit of committed memory, where there is one.");
	for (const struct vms_tenant *x = t->daemon->tenants; x; x = x->hh.next) {
		if (x->board && x->board->ready && x->board->tree_limits.max[VMS_LIMIT_COMMIT] != VMS_UNLIMITED)
			line(t, "vmsup_commit_limit_bytes", x->name, NULL, NULL, (double)x->board->tree_limits.max[VMS_LIMIT_COMMIT]);
	}
	head(t, "vmsup_tenant_up", "gauge", NULL, "Whether the tenant runs.");
	for (const struct vms_tenant *x = t->daemon->tenants; x; x = x->hh.next)
		line(t, "vmsup_tenant_up", x->name, NULL, NULL, x->state == VMS_TENANT_RUNNING);
}

static void calls(const struct text *t)
{
	head(t, "vmsup_calls", "counter", NULL, "Memory calls, by call.");
	for (const struct vms_tenant *x = t->daemon->tenants; x; x = x->hh.next) {
		for (int i = 0; x->board && i < VMS_NR_CALLS; i++)
			line(t, "vmsup_calls_total", x->name, "call", vms_call_get((enum vms_call)i)->name,
			     (double)x->board->counters.by_call[i]);
	}
	head(t, "vmsup_decisions", "counter", NULL, "Calls, by how they were decided.");
	for (const struct vms_tenant *x = t->daemon->tenants; x; x = x->hh.next) {
		const struct vms_board_counters *c = x->board ? &x->board->counters : NULL;

		if (!c)
			continue;
		line(t, "vmsup_decisions_total", x->name, "verdict", "continue", (double)c->continued);
		line(t, "vmsup_decisions_total", x->name, "verdict", "remote", (double)c->remote);
		line(t, "vmsup_decisions_total", x->name, "verdict", "refuse", (double)c->refused);
		line(t, "vmsup_decisions_total", x->name, "verdict", "reply", (double)c->replied);
	}
	head(t, "vmsup_limit_hits", "counter", NULL, "Calls refused for a limit, by limit.");
	for (const struct vms_tenant *x = t->daemon->tenants; x; x = x->hh.next) {
		for (int i = VMS_LIMIT_VA; x->board && i < VMS_NR_LIMITS; i++)
			line(t, "vmsup_limit_hits_total", x->name, "limit", vms_limit_name((enum vms_limit)i),
			     (double)(x->board->counters.limited[i] + x->board->counters.tree_limited[i]));
	}
}

static uint64_t sum_of(const uint64_t *limited, const uint64_t *tree_limited)
{
	uint64_t sum = 0;

	for (int i = 0; i < VMS_NR_LIMITS; i++)
		sum += limited[i] + tree_limited[i];
	return sum;
}

static void refusals(const struct text *t)
{
	head(t, "vmsup_refusals", "counter", NULL, "Calls that were refused, by the reason: a limit, a policy, fault injection, the range or the call itself.");
	for (const struct vms_tenant *x = t->daemon->tenants; x; x = x->hh.next) {
		const struct vms_board_counters *c = x->board ? &x->board->counters : NULL;
		uint64_t limit, known;

		if (!c)
			continue;
		limit = sum_of(c->limited, c->tree_limited);
		known = limit + c->policy + c->injected;
		line(t, "vmsup_refusals_total", x->name, "reason", "limit", (double)limit);
		line(t, "vmsup_refusals_total", x->name, "reason", "policy", (double)c->policy);
		line(t, "vmsup_refusals_total", x->name, "reason", "injected", (double)c->injected);
		line(t, "vmsup_refusals_total", x->name, "reason", "other", (double)(c->refused > known ? c->refused - known : 0));
	}
}

static void each_counter(const struct text *t, const char *name, const char *help, size_t offset)
{
	char total[64];

	snprintf(total, sizeof(total), "%s_total", name);
	head(t, name, "counter", NULL, help);
	for (const struct vms_tenant *x = t->daemon->tenants; x; x = x->hh.next) {
		if (x->board)
			line(t, total, x->name, NULL, NULL, (double)*(const uint64_t *)((const char *)&x->board->counters + offset));
	}
}

static void counters(const struct text *t)
{
	each_counter(t, "vmsup_policy_refusals", "Calls that broke a rule of what may be executable.",
		     offsetof(struct vms_board_counters, policy));
	each_counter(t, "vmsup_divergences", "Differences between tree and kernel that an audit found.",
		     offsetof(struct vms_board_counters, divergences));
	each_counter(t, "vmsup_events_lost", "Events that were not told.", offsetof(struct vms_board_counters, events_lost));
	head(t, "vmsup_restarts", "counter", NULL, "Starts of a tenant that had ended by itself.");
	for (const struct vms_tenant *x = t->daemon->tenants; x; x = x->hh.next)
		line(t, "vmsup_restarts_total", x->name, NULL, NULL, x->restarts);
	head(t, "vmsup_supervisor_losses", "counter", NULL, "Supervisors that died and were replaced.");
	for (const struct vms_tenant *x = t->daemon->tenants; x; x = x->hh.next)
		line(t, "vmsup_supervisor_losses_total", x->name, NULL, NULL, x->losses);
}

static void histogram(const struct text *t)
{
	const char *name = "vmsup_call_duration_seconds";

	head(t, name, "histogram", "seconds", "How long the supervisor took for a call; waiting for other calls is left out.");
	for (const struct vms_tenant *x = t->daemon->tenants; x; x = x->hh.next) {
		const struct vms_board_counters *c = x->board ? &x->board->counters : NULL;
		uint64_t sum = 0;
		char bound[32];

		for (int i = 0; c && i < VMS_BOARD_BUCKETS; i++) {
			sum += c->latency[i];
			if (i < VMS_BOARD_BUCKETS - 1)
				snprintf(bound, sizeof(bound), "%.9g", (double)(1u << i) / 1e6);
			else
				snprintf(bound, sizeof(bound), "+Inf");
			line(t, "vmsup_call_duration_seconds_bucket", x->name, "le", bound, (double)sum);
		}
		if (c) {
			line(t, "vmsup_call_duration_seconds_sum", x->name, NULL, NULL, (double)c->latency_sum_ns / 1e9);
			line(t, "vmsup_call_duration_seconds_count", x->name, NULL, NULL, (double)sum);
		}
	}
}

int vms_metrics_text(const struct vms_daemon *daemon, bool open, char **ret_text, size_t *ret_len)
{
	struct text text = { .daemon = daemon, .open = open };

	*ret_text = NULL;
	text.file = open_memstream(ret_text, ret_len);
	if (!text.file)
		return -ENOMEM;
	head(&text, "vmsup_build_info", "gauge", NULL, "The vmsupd that tells.");
	fprintf(text.file, "vmsup_build_info{version=\"%s\"} 1\n", PACKAGE_VERSION);
	gauges(&text);
	calls(&text);
	refusals(&text);
	counters(&text);
	histogram(&text);
	if (open)
		fputs("# EOF\n", text.file);
	if (fclose(text.file) == 0)
		return 0;
	free(*ret_text);
	return -ENOMEM;
}

/* Whole or not at all, for whoever reads it meanwhile. Nobody's link is followed. */
static int write_file(const char *path, const char *text, size_t len)
{
	char new_path[4096];
	vms_autofd fd = -1;
	int r;

	if (snprintf(new_path, sizeof(new_path), "%s.new", path) >= (int)sizeof(new_path))
		return -ENAMETOOLONG;
	(void)unlink(new_path);
	fd = open(new_path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	r = vms_fd_write_all(fd, text, len);
	if (r == 0 && rename(new_path, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(new_path);
	return r;
}

void vms_metrics_remove(struct vms_daemon *daemon)
{
	if (daemon->metrics_written)
		(void)unlink(daemon->metrics_written);
	free(daemon->metrics_written);
	daemon->metrics_written = NULL;
}

void vms_metrics_write(struct vms_daemon *daemon)
{
	const char *path = daemon->conf.metrics_file;
	char *text;
	size_t len;
	int r;

	/* Another one since a reload. */
	if (daemon->metrics_written && (!path || strcmp(path, daemon->metrics_written) != 0))
		vms_metrics_remove(daemon);
	if (!path || vms_metrics_text(daemon, false, &text, &len) < 0)
		return;
	r = write_file(path, text, len);
	free(text);
	if (r < 0 && !daemon->metrics_told)
		vms_log("metrics-file: %s cannot be written: %s", path, strerror(-r));
	daemon->metrics_told = r < 0;
	if (r == 0 && !daemon->metrics_written)
		daemon->metrics_written = strdup(path);
}
