/* vmsup doctor: what holds on this machine, and what to do about what does not. The probes are in
 * src/host. */
#include "vmsup/cli/verb.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "vmsup/base/fd.h"
#include "vmsup/base/log.h"
#include "vmsup/cli/help.h"
#include "vmsup/ctl/dir.h"
#include "vmsup/ctl/show.h"
#include "vmsup/host/probe.h"

static const char doctor_help[] =
	"Usage: vmsup doctor [--json]\n"
	"\n"
	"Try each kernel feature that vmsup uses, as this user and in this place (a container, a\n"
	"tracer, a limit may take some away), and say which modes and guarantees hold here and "
	"what\n"
	"to do about what is missing. Nothing is changed, except that the directory of control\n"
	"sockets is made if it is not there.\n"
	"\n"
	"  --json      print one JSON object instead\n"
	"  -h, --help  print this and exit\n"
	"\n"
	"Exit status: 0 when `vmsup run` works here in its default mode, 1 when not, 2 for a bad\n"
	"command line.\n";

/* What follows from the probes, for one thing that a user may want. */
struct verdict {
	const char *name;
	bool works;
	char text[256];
};

#define NR_VERDICTS 6

struct findings {
	struct vms_probe_result results[VMS_PROBE_MAX];
	size_t n;
	struct verdict verdicts[NR_VERDICTS];
};

static const struct vms_probe_result *get(const struct findings *f, const char *name)
{
	for (size_t i = 0; i < f->n; i++) {
		if (strcmp(f->results[i].name, name) == 0)
			return &f->results[i];
	}
	assert(!"no such probe");
	return NULL;
}

static bool is_ok(const struct findings *f, const char *name)
{
	return get(f, name)->state == VMS_PROBE_OK;
}

/* The names of the needed features that are missing; empty when `run` works. */
static void list_missing(const struct findings *f, char *ret, size_t size)
{
	size_t used = 0;

	ret[0] = '\0';
	for (size_t i = 0; i < f->n && used < size; i++) {
		const struct vms_probe_result *r = &f->results[i];
		int n;

		if (!r->needed || r->state != VMS_PROBE_MISSING)
			continue;
		n = snprintf(ret + used, size - used, "%s%s", used ? ", " : "", r->name);
		used += n > 0 ? (size_t)n : 0;
	}
}

static void judge_modes(const struct findings *f, struct verdict *supervise, struct verdict *fence)
{
	const char *how = is_ok(f, "mseal") ? "range kept by a sealed fence" :
					      "range kept by a fence that a filter guards "
					      "(sealing it needs mseal, Linux 6.10)";
	char missing[160];

	list_missing(f, missing, sizeof(missing));
	supervise->works = !missing[0];
	fence->works = !missing[0] && is_ok(f, "va_layout");
	if (missing[0]) {
		snprintf(supervise->text, sizeof(supervise->text), "no: missing %s", missing);
		snprintf(fence->text, sizeof(fence->text), "no: missing %s", missing);
		return;
	}
	snprintf(supervise->text, sizeof(supervise->text), "yes, %s", how);
	snprintf(fence->text, sizeof(fence->text), "%s%s", fence->works ? "yes, " : "",
		 fence->works ? how : "no: with the legacy layout the kernel does not look into the range");
}

static void judge_maps(struct verdict *maps)
{
	struct vms_err err = VMS_ERR_INIT;
	int fd;

	maps->works = vms_ctl_dir_own(&fd, &err) == 0;
	if (maps->works)
		vms_fd_close(&fd);
	snprintf(maps->text, sizeof(maps->text), "%s%.200s",
		 maps->works ? "yes" : "no: ", err.text);
}

static void judge(struct findings *f)
{
	struct verdict *v = f->verdicts;

	for (size_t i = 0; i < NR_VERDICTS; i++) {
		static const char *const names[NR_VERDICTS] = { "supervise",  "fence",
								"placement",  "settling",
								"exec speed", "maps and ps" };

		v[i] = (struct verdict){ .name = names[i], .works = true };
	}
	judge_modes(f, &v[0], &v[1]);
	snprintf(v[2].text, sizeof(v[2].text), "%s",
		 is_ok(f, "va_layout") && is_ok(f, "stack_guard_gap") ?
			 "where the kernel will place a mapping can be predicted" :
			 "the kernel's choice is often another than predicted: --place remote is "
			 "exact");
	snprintf(v[3].text, sizeof(v[3].text), "%s",
		 is_ok(f, "procmap_query") ? "the kernel is asked about single mappings" :
					     "maps are read as text (faster with Linux 6.11)");
	snprintf(v[4].text, sizeof(v[4].text), "%s",
		 is_ok(f, "mremap_multi") ?
			 "an image moves in a few calls" :
			 "an image moves one mapping at a time (faster with Linux 6.17)");
	judge_maps(&v[5]);
}

static void show_people(const struct findings *f)
{
	for (size_t i = 0; i < f->n; i++) {
		const struct vms_probe_result *r = &f->results[i];
		bool fatal = r->needed && r->state == VMS_PROBE_MISSING;

		printf("%-22s %-8s %s\n", r->name, vms_probe_state_name(r->state), r->detail);
		if (r->state != VMS_PROBE_OK)
			printf("%-31s for: %s%s%s%s%s\n", "", r->use, r->since[0] ? " (Linux " : "",
			       r->since, r->since[0] ? ")" : "",
			       fatal ? "; vmsup run needs it" : "");
		if (r->advice[0])
			printf("%-31s do: %s\n", "", r->advice);
	}
	putchar('\n');
	for (size_t i = 0; i < NR_VERDICTS; i++)
		printf("%s: %s\n", f->verdicts[i].name, f->verdicts[i].text);
}

/* Both return a new reference, or NULL without memory. */
static json_t *probe_to_json(const struct vms_probe_result *r)
{
	return json_pack("{s:s, s:s, s:b, s:s, s:s, s:s, s:s}", "name", r->name, "state",
			 vms_probe_state_name(r->state), "needed", r->needed, "since", r->since,
			 "use", r->use, "detail", r->detail, "advice", r->advice);
}

static json_t *to_json(const struct findings *f)
{
	json_t *probes = json_array(), *verdicts = json_array();
	int r = 0;

	for (size_t i = 0; i < f->n; i++)
		r |= json_array_append_new(probes, probe_to_json(&f->results[i]));
	for (size_t i = 0; i < NR_VERDICTS; i++)
		r |= json_array_append_new(
			verdicts, json_pack("{s:s, s:b, s:s}", "name", f->verdicts[i].name, "works",
					    f->verdicts[i].works, "text", f->verdicts[i].text));
	if (r < 0) {
		json_decref(probes);
		json_decref(verdicts);
		return NULL;
	}
	return json_pack("{s:b, s:o, s:o}", "works", f->verdicts[0].works, "verdicts", verdicts,
			 "probes", probes);
}

static int show(const struct findings *f, bool json)
{
	json_t *root;

	if (!json) {
		show_people(f);
	} else {
		root = to_json(f);
		if (!root) {
			vms_log("out of memory");
			return -ENOMEM;
		}
		(void)vms_show_json(stdout, root);
		json_decref(root);
	}
	if (fflush(stdout) != 0 || ferror(stdout)) {
		vms_log("cannot write to stdout: %s", strerror(errno));
		return -EIO;
	}
	return 0;
}

static int doctor_run(int argc, char **argv)
{
	static struct findings findings;
	bool json = false;
	int r;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return vms_help_verb(&vms_verb_doctor);
		if (strcmp(argv[i], "--json") != 0) {
			vms_log("doctor: '%.100s' is not understood; write: vmsup doctor [--json]",
				argv[i]);
			return VMS_EXIT_USAGE;
		}
		json = true;
	}
	r = vms_probe_all(findings.results, VMS_PROBE_MAX, &findings.n);
	if (r < 0) {
		vms_log("cannot run the probes: %s", strerror(-r));
		return 1;
	}
	judge(&findings);
	if (show(&findings, json) < 0)
		return 1;
	return findings.verdicts[0].works ? 0 : 1;
}

const struct vms_verb vms_verb_doctor = {
	.name = "doctor",
	.summary = "say which modes and guarantees hold on this machine",
	.help = doctor_help,
	.options = vms_verb_json_options,
	.run = doctor_run,
};
