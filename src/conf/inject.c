/* Fault injection as people write it; see the header. */
#include "vmsup/conf/inject.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "vmsup/base/num.h"
#include "vmsup/conf/limits.h"
#include "vmsup/conf/nearest.h"
#include "vmsup/core/vma.h"

bool vms_inject_can_strike(enum vms_call call)
{
	return call <= VMS_CALL_EXECVEAT;
}

static int unknown_call(const char *name, struct vms_err *err)
{
	const char *names[VMS_NR_CALLS], *near;
	size_t nr = 0;

	for (int i = 0; i < VMS_NR_CALLS; i++) {
		if (vms_inject_can_strike((enum vms_call)i))
			names[nr++] = vms_call_get((enum vms_call)i)->name;
	}
	near = vms_nearest(name, strlen(name), names, nr);
	if (near)
		return vms_err_set(err, -EINVAL, "--inject: '%.60s' is no call that can be made to fail; did you mean %s?", name,
				   near);
	return vms_err_set(err, -EINVAL,
			   "--inject: '%.60s' is no call that can be made to fail; give mmap, brk, execve..., or %%memory", name);
}

static int take_call(const char *name, struct vms_inject_rule *rule, struct vms_err *err)
{
	bool all = strcmp(name, "%memory") == 0, found = false;

	for (int i = 0; i < VMS_NR_CALLS; i++) {
		enum vms_call call = (enum vms_call)i;

		if (vms_inject_can_strike(call) && ((all && call < VMS_CALL_EXECVE) || strcmp(vms_call_get(call)->name, name) == 0))
			found = rule->calls[i] = true;
	}
	return found ? 0 : unknown_call(name, err);
}

static int take_calls(char *names, struct vms_inject_rule *rule, struct vms_err *err)
{
	char *save, *name = strtok_r(names, ",", &save);

	if (!name)
		return vms_err_set(err, -EINVAL, "--inject: which call? write for example mmap:error=ENOMEM");
	for (; name; name = strtok_r(NULL, ",", &save)) {
		int r = take_call(name, rule, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int take_error(const char *text, struct vms_inject_rule *rule, struct vms_err *err)
{
	uint64_t number;

	for (int e = 1; e < 134; e++) {
		const char *name = strerrorname_np(e);

		if (name && strcmp(name, text) == 0)
			rule->error = e;
	}
	if (!rule->error && vms_num_parse(text, NULL, &number) == 0 && number > 0 && number < 4096)
		rule->error = (int)number;
	return rule->error ? 0 : vms_err_set(err, -EINVAL, "--inject: error=%.60s is no errno; give one, as ENOMEM", text);
}

/* FIRST, FIRST+, FIRST..LAST, FIRST+STEP, FIRST..LAST+STEP */
static int take_when(const char *text, struct vms_inject_rule *rule, struct vms_err *err)
{
	struct vms_inject_when *w = &rule->when;
	const char *plus = strchr(text, '+'), *dots = strstr(text, ".."), *end = plus ? plus : text + strlen(text);

	if (dots && dots > end)
		dots = NULL;
	*w = (struct vms_inject_when){ .step = 0 };
	if (vms_num_parse(text, dots ? dots : end, &w->first) < 0 || !w->first)
		goto wrong;
	w->last = plus ? UINT64_MAX : w->first;
	if (dots && (vms_num_parse(dots + 2, end, &w->last) < 0 || w->last < w->first))
		goto wrong;
	if (plus && !plus[1])
		w->step = 1;
	else if (plus && (vms_num_parse(plus + 1, NULL, &w->step) < 0 || !w->step))
		goto wrong;
	return 0;
wrong:
	return vms_err_set(err, -EINVAL,
			   "--inject: when=%.60s is not FIRST[..LAST][+[STEP]] with numbers from 1 up, as when=3, 3+ or 7+3", text);
}

static int take_size(const char *text, uint64_t *ret_size, struct vms_err *err)
{
	if (vms_num_parse(text, NULL, ret_size) == 0 && *ret_size)
		return 0;
	return vms_err_set(err, -EINVAL, "--inject: '%.60s' is no size; write for example size>1M", text);
}

static int take_prot(const char *text, struct vms_inject_rule *rule, struct vms_err *err)
{
	static const char letters[] = "rwx";

	for (; *text; text++) {
		const char *at = strchr(letters, *text);

		if (!at)
			return vms_err_set(err, -EINVAL, "--inject: prot= takes the letters r, w and x");
		rule->prot |= (uint8_t)(1u << (at - letters));
	}
	return 0;
}

static int take_probability(const char *text, struct vms_inject_rule *rule, struct vms_err *err)
{
	char *end;
	double p = strtod(text, &end);

	if (end == text || *end || !(p > 0 && p <= 1))
		return vms_err_set(err, -EINVAL, "--inject: probability=%.60s is no number above 0, up to 1; as probability=0.01",
				   text);
	rule->chance = (uint64_t)(p * 4294967296.0);
	if (!rule->chance)
		rule->chance = 1;
	return 0;
}

static int take_field(const char *field, struct vms_inject_rule *rule, bool *ret_seeded, struct vms_err *err)
{
	static const char *const names[] = { "error", "signal", "when", "size", "prot", "anon", "file", "probability", "seed" };
	const size_t len = strcspn(field, "=<>");
	const char *value = field[len] ? field + len + 1 : "", *near;

	if (strncmp(field, "size>", 5) == 0)
		return take_size(value, &rule->above, err);
	if (strncmp(field, "size<", 5) == 0)
		return take_size(value, &rule->below, err);
	if (strcmp(field, "anon") == 0) {
		rule->anon = true;
		return 0;
	}
	if (strncmp(field, "error=", 6) == 0)
		return take_error(value, rule, err);
	if (strncmp(field, "when=", 5) == 0)
		return take_when(value, rule, err);
	if (strncmp(field, "prot=", 5) == 0)
		return take_prot(value, rule, err);
	if (strncmp(field, "probability=", 12) == 0)
		return take_probability(value, rule, err);
	if (strncmp(field, "seed=", 5) == 0 && vms_num_parse(value, NULL, &rule->random) == 0) {
		*ret_seeded = true;
		return 0;
	}
	if (strncmp(field, "signal=", 7) == 0) {
		rule->signal = vms_signal_number(value);
		return rule->signal ? 0 : vms_err_set(err, -EINVAL, "--inject: there is no signal '%.60s'", value);
	}
	if (strncmp(field, "file=", 5) == 0 && *value) {
		free((char *)rule->file);
		rule->file = strdup(value);
		return rule->file ? 0 : vms_err_set(err, -ENOMEM, "out of memory");
	}
	near = vms_nearest(field, len, names, sizeof(names) / sizeof(names[0]));
	return vms_err_set(err, -EINVAL, "--inject: '%.60s' is not understood%s%s%s", field, near ? "; did you mean " : "",
			   near ? near : "", near ? "?" : "; see 'vmsup help run'");
}

/* What could never be true, or would mean nothing. */
static int check_together(const struct vms_inject_rule *rule, bool seeded, struct vms_err *err)
{
	if (seeded && !rule->chance)
		return vms_err_set(err, -EINVAL, "--inject: seed= belongs to a probability: add probability=0.01, or leave seed= out");
	if ((rule->file || rule->anon) && !rule->calls[VMS_CALL_MMAP])
		return vms_err_set(err, -EINVAL,
				   "--inject: %s can be true of mmap only, which is not among the calls: add mmap, or leave it out",
				   rule->file ? "file=" : "anon");
	if (rule->prot && !rule->calls[VMS_CALL_MMAP] && !rule->calls[VMS_CALL_MPROTECT] && !rule->calls[VMS_CALL_PKEY_MPROTECT])
		return vms_err_set(err, -EINVAL,
				   "--inject: prot= can be true of mmap, mprotect and pkey_mprotect only: add one of them, or leave it out");
	if (rule->anon && rule->file)
		return vms_err_set(err, -EINVAL, "--inject: a mapping is anonymous or of a file: leave out anon or file=");
	return 0;
}

static int parse(char *text, struct vms_inject_rule *rule, struct vms_err *err)
{
	char *fields = strchr(text, ':'), *save, *field;
	bool seeded = false;
	int r;

	if (fields)
		*fields++ = '\0';
	r = take_calls(text, rule, err);
	for (field = fields ? strtok_r(fields, ":", &save) : NULL; r == 0 && field; field = strtok_r(NULL, ":", &save))
		r = take_field(field, rule, &seeded, err);
	if (r == 0 && !rule->error && !rule->signal)
		return vms_err_set(err, -EINVAL, "--inject: what shall happen? add error=ENOMEM or signal=TERM");
	return r == 0 ? check_together(rule, seeded, err) : r;
}

int vms_inject_parse(const char *text, struct vms_injections *injections, struct vms_err *err)
{
	struct vms_inject_rule rule = { .when = { 1, UINT64_MAX, 1 } };
	char *copy;
	int r;

	if (injections->nr == VMS_MAX_INJECTIONS)
		return vms_err_set(err, -EINVAL, "--inject can be given %d times at the most", VMS_MAX_INJECTIONS);
	copy = strdup(text);
	if (!copy)
		return vms_err_set(err, -ENOMEM, "out of memory");
	r = parse(copy, &rule, err);
	free(copy);
	if (r < 0) {
		free((char *)rule.file);
		return r;
	}
	injections->rules[injections->nr++] = rule;
	return 0;
}

void vms_injections_done(struct vms_injections *injections)
{
	for (size_t i = 0; i < injections->nr; i++)
		free((char *)injections->rules[i].file);
	injections->nr = 0;
}
