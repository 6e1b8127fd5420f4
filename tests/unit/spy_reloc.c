/*
 * Spy and victim: relocation. A program is stopped at its exec stop, moved into a range, and started; its own words and
 * /proc say whether everything is in its place. The victims: cat(1) on its own maps, and the guests.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spy.h"
#include "vmsup/host/machine.h"
#include "vmsup/host/reloc.h"
#include "vmsup/host/tracee.h"
#include "vmsup/trap/filter.h"

#define MIB ((vms_addr_t)1 << 20)
#define GIB ((vms_addr_t)1 << 30)

static char guests[4096] = "tests/guests";
static struct vms_machine machine;

struct victim {
	pid_t pid;
	int out; /* what it prints */
	struct vms_reloc_conf conf;
	struct vms_reloc reloc;
};

static void setup(void)
{
	vms_machine_learn(&machine);
}

static struct vms_reloc_conf conf_for(vms_addr_t lo, vms_addr_t hi, bool fence)
{
	struct vms_reloc_conf conf = {
		.range = { lo, hi },
		.image_range = { lo, hi },
		.user = machine.user,
		.mmap_min_addr = machine.rules.mmap_min_addr,
		.fence = fence,
		.seal = fence && machine.has_mseal,
	};

	ck_assert_int_eq(vms_cookie_draw(&conf.cookie), 0);
	return conf;
}

static const char *guest(const char *name)
{
	static char path[4200];

	snprintf(path, sizeof(path), "%s/%s", guests, name);
	return path;
}

/* A child that waits at the exec stop of @argv; @prepare runs in it before exec. */
static struct victim start(char *const *argv, char *const *envp, void (*prepare)(void))
{
	struct victim v = { .pid = -1 };
	int go[2], out[2], status;

	ck_assert(pipe2(go, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
	v.pid = fork();
	ck_assert_int_ge(v.pid, 0);
	if (v.pid == 0) {
		char c;

		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		dup2(out[1], STDOUT_FILENO);
		if (prepare)
			prepare();
		if (read(go[0], &c, 1) != 1)
			_exit(120);
		execve(argv[0], argv, envp);
		_exit(121);
	}
	close(out[1]);
	v.out = out[0];
	ck_assert_int_eq(vms_tracee_seize(v.pid, PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL), 0);
	ck_assert_int_eq(write(go[1], "g", 1), 1);
	close(go[0]);
	close(go[1]);
	status = spy_wait(v.pid);
	ck_assert_msg(vms_stop_of(status) == VMS_STOP_EXEC, "%s was not executed: %s", argv[0], spy_say(status));
	return v;
}

static int begin(struct victim *v, const struct vms_reloc_conf *conf)
{
	v->conf = *conf;
	return vms_reloc_begin(&v->reloc, v->pid, &v->conf, 8 * MIB, 1);
}

static void move(struct victim *v, const struct vms_reloc_conf *conf)
{
	int r = begin(v, conf);

	ck_assert_msg(r == 0, "%s", v->reloc.err.text);
	do {
		r = vms_reloc_stop(&v->reloc, spy_wait(v->pid));
		ck_assert_msg(r >= 0, "stage %d: %s: %s", v->reloc.stage, strerror(-r), v->reloc.err.text);
	} while (r == 0);
	ck_assert_int_eq(v->reloc.stage, VMS_RELOC_DONE);
}

/* Let it run; its output in a buffer to be freed. It must exit with @code. */
static char *run(struct victim *v, int code)
{
	size_t size = 1 << 20, n = 0;
	char *text = malloc(size);
	ssize_t got;
	int status;

	ck_assert_ptr_nonnull(text);
	ck_assert_int_eq(vms_reloc_finish(&v->reloc), 0);
	vms_reloc_done(&v->reloc);
	while ((got = read(v->out, text + n, size - 1 - n)) > 0)
		n += (size_t)got;
	text[n] = '\0';
	close(v->out);
	status = spy_wait(v->pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == code, "it %s, printed:\n%s", spy_say(status), text);
	return text;
}

static void end(struct victim *v)
{
	kill(v->pid, SIGKILL);
	while (waitpid(v->pid, NULL, __WALL) >= 0 || errno == EINTR)
		;
	close(v->out);
	vms_reloc_done(&v->reloc);
}

/* ---- what maps says ---- */

struct line {
	uint64_t start, end, ino;
	char perms[5], name[256];
};

static bool next_line(char **at, struct line *line)
{
	unsigned int major_nr, minor_nr;
	uint64_t offset;
	char *text = *at, *newline = strchr(text, '\n');

	if (!newline)
		return false;
	*newline = '\0';
	line->name[0] = '\0';
	ck_assert_msg(sscanf(text, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 " %255[^\n]", &line->start,
			     &line->end, line->perms, &offset, &major_nr, &minor_nr, &line->ino, line->name) >= 7,
		      "%s", text);
	*at = newline + 1;
	return true;
}

static bool is_fence(const struct line *line)
{
	return !strcmp(line->perms, "---p") && !line->ino && !line->name[0];
}

/* Everything lies in the range, but for vsyscall and, with a fence, the fence; and that leaves no hole. */
static void check_maps(char *maps, const struct vms_reloc_conf *conf)
{
	vms_addr_t fenced = vms_page_up(conf->mmap_min_addr);
	bool has_exe = false, has_stack = false, has_vdso = false;
	struct line line;

	while (next_line(&maps, &line)) {
		if (!strcmp(line.name, "[vsyscall]"))
			continue;
		has_exe |= line.ino && strstr(line.name, "cat") != NULL;
		has_stack |= !strcmp(line.name, "[stack]");
		has_vdso |= !strcmp(line.name, "[vdso]");
		if (line.start >= conf->range.start && line.end <= conf->range.end)
			continue;
		ck_assert_msg(conf->fence && is_fence(&line), "%" PRIx64 "-%" PRIx64 " %s %s is outside", line.start,
			      line.end, line.perms, line.name);
		if (line.start <= fenced && line.end > fenced)
			fenced = line.end;
		if (fenced == conf->range.start)
			fenced = conf->range.end;
	}
	ck_assert(has_exe && has_stack && has_vdso);
	if (conf->fence)
		ck_assert_uint_eq(fenced, conf->user.end);
}

static char *const cat_argv[] = { (char *)(uintptr_t) "/bin/cat", (char *)(uintptr_t) "/proc/self/maps", NULL };
static char *const no_env[] = { NULL };

static const struct {
	vms_addr_t lo, hi;
} ranges[] = {
	{ 0x10000, 0x7fff0000 },
	{ 0x10000000, 0x18000000 },
	{ 0x200000000, 0x400000000 },
	{ 64 * GIB, 65 * GIB },
	{ 0x100000000000, 0x200000000000 },
};

#define NR_RANGES (int)(sizeof(ranges) / sizeof(ranges[0]))

START_TEST(nothing_is_left_outside_the_range)
{
	struct vms_reloc_conf conf = conf_for(ranges[_i].lo, ranges[_i].hi, true);
	struct victim v = start(cat_argv, no_env, NULL);
	char *maps;

	move(&v, &conf);
	maps = run(&v, 0);
	check_maps(maps, &conf);
	free(maps);
}
END_TEST

START_TEST(without_a_fence_the_image_moves_and_nothing_is_fenced)
{
	struct vms_reloc_conf conf = conf_for(ranges[_i].lo, ranges[_i].hi, false);
	struct victim v = start(cat_argv, no_env, NULL);
	char *maps, *at;
	struct line line;
	bool exe = false, stack = false, vdso = false;

	move(&v, &conf);
	at = maps = run(&v, 0);
	/* The program's own mappings lie where the kernel likes, but image, stack and vdso have moved. */
	while (next_line(&at, &line)) {
		bool inside = line.start >= conf.range.start && line.end <= conf.range.end;

		ck_assert(!is_fence(&line) || vms_range_size(&(struct vms_range){ line.start, line.end }) < GIB);
		exe |= inside && strstr(line.name, "/cat");
		stack |= inside && !strcmp(line.name, "[stack]");
		vdso |= inside && !strcmp(line.name, "[vdso]");
	}
	ck_assert(exe && stack && vdso);
	free(maps);
}
END_TEST

START_TEST(random_layouts_of_many_seeds_all_work)
{
	struct vms_reloc_conf conf = conf_for(0x10000, 0x7fff0000, true);
	vms_addr_t first = 0;
	bool differs = false;

	conf.randomize = true;
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct victim v = start(cat_argv, no_env, NULL);
		char *maps;
		int r;

		v.conf = conf;
		ck_assert_int_eq(vms_reloc_begin(&v.reloc, v.pid, &v.conf, 8 * MIB, seed), 0);
		do {
			r = vms_reloc_stop(&v.reloc, spy_wait(v.pid));
			ck_assert_msg(r >= 0, "seed %" PRIu64 ": %s", seed, v.reloc.err.text);
		} while (r == 0);
		if (seed == 0)
			first = v.reloc.layout.exe;
		differs |= v.reloc.layout.exe != first;
		maps = run(&v, 0);
		check_maps(maps, &conf);
		free(maps);
	}
	ck_assert(differs);
}
END_TEST

/* ---- the image at work ---- */

START_TEST(proc_and_the_image_agree_about_words_heap_and_stack)
{
	char *argv[] = { strdup(guest("procinfo")), (char *)(uintptr_t) "one", (char *)(uintptr_t) "", NULL };
	char *envp[] = { (char *)(uintptr_t) "A=1", (char *)(uintptr_t) "LAST=end", NULL };
	struct vms_reloc_conf conf = conf_for(ranges[_i].lo, ranges[_i].hi, true);
	struct victim v = start(argv, envp, NULL);
	char *text;

	move(&v, &conf);
	text = run(&v, 0);
	ck_assert_msg(!strstr(text, " NO") && strstr(text, " yes"), "%s", text);
	free(text);
	free(argv[0]);
}
END_TEST

static void says_hello(const char *name, vms_addr_t lo, vms_addr_t hi)
{
	char *argv[] = { strdup(guest(name)), (char *)(uintptr_t) "two words", NULL };
	char *envp[] = { (char *)(uintptr_t) "GUEST_MARK=seen", NULL };
	struct vms_reloc_conf conf = conf_for(lo, hi, true);
	struct victim v = start(argv, envp, NULL);
	char *text, want[4300];

	move(&v, &conf);
	text = run(&v, 23);
	snprintf(want, sizeof(want), "argv[0]=%s\nargv[1]=two words\nenvc=1 mark=seen\nexecfn=%s\n", argv[0], argv[0]);
	ck_assert_msg(!strncmp(text, want, strlen(want)), "%s", text);
	ck_assert_msg(strstr(text, "tls=42 relocated=17 ctor=1\n") && strstr(text, "brk grew by 3145728\nbrk back: 1\n") &&
			      strstr(text, "malloc fine\n"),
		      "%s", text);
	free(text);
	free(argv[0]);
}

START_TEST(every_way_of_linking_runs)
{
	says_hello("hello", 0x10000, 0x7fff0000);
	says_hello("hello-static-pie", 0x10000, 0x7fff0000);
	says_hello("hello-nopie", 0x10000, 0x7fff0000);
	says_hello("hello-static", 0x10000, 0x7fff0000);
	says_hello("hello", 0x200000000, 0x400000000);
	says_hello("hello-static-pie", 0x200000000, 0x400000000);
}
END_TEST

START_TEST(the_vdso_answers_without_a_system_call)
{
	char *argv[] = { strdup(guest("vdsotime")), NULL };
	struct vms_reloc_conf conf = conf_for(ranges[_i].lo, ranges[_i].hi, true);
	struct victim v = start(argv, no_env, NULL);
	char *text;

	move(&v, &conf);
	text = run(&v, 0);
	ck_assert_str_eq(text, "by call: forbidden\nclock_gettime 0, gettimeofday 0\n");
	free(text);
	free(argv[0]);
}
END_TEST

START_TEST(the_stack_grows_to_its_limit)
{
	char *argv[] = { strdup(guest("recurse")), NULL };
	struct vms_reloc_conf conf = conf_for(0x10000, 0x7fff0000, true);
	struct victim v = start(argv, no_env, NULL);
	char *text;

	move(&v, &conf);
	text = run(&v, 0);
	ck_assert_msg(!strncmp(text, "sum ", 4), "%s", text);
	free(text);
	free(argv[0]);
}
END_TEST

START_TEST(many_arguments_are_all_moved)
{
	const size_t n = 12000;
	char **argv = calloc(n + 3, sizeof(*argv));
	struct vms_reloc_conf conf = conf_for(0x10000, 0x7fff0000, true);
	struct victim v;
	char *text;

	argv[0] = (char *)(uintptr_t) "/bin/echo";
	for (size_t i = 1; i <= n; i++)
		argv[i] = (char *)(uintptr_t) "argument-number-whatever";
	argv[n + 1] = (char *)(uintptr_t) "last";
	v = start(argv, no_env, NULL);
	move(&v, &conf);
	text = run(&v, 0);
	ck_assert_uint_eq(strlen(text), n * strlen("argument-number-whatever ") + strlen("last\n"));
	ck_assert_str_eq(text + strlen(text) - 5, "last\n");
	free(text);
	free(argv);
}
END_TEST

/* A range in the middle of where the kernel has put things: the targets overlap the sources. */
START_TEST(a_range_over_the_old_places_is_reached_by_staging)
{
	struct victim v = start(cat_argv, no_env, NULL);
	struct vms_reloc_conf conf;
	struct user_regs_struct regs;
	struct vms_image image;
	vms_addr_t interp, stack, exe, lo, hi;
	char *maps;

	ck_assert_int_eq(vms_tracee_get_regs(v.pid, &regs), 0);
	ck_assert_int_eq(vms_image_read(v.pid, &regs, &machine.user, &image, NULL), 0);
	exe = image.parts[VMS_PART_EXE].span.start;
	interp = image.parts[VMS_PART_INTERP].span.start;
	stack = image.parts[VMS_PART_STACK].span.end;
	vms_image_done(&image);
	switch (_i) {
	case 0: /* all of it in the range */
		lo = 64 * GIB;
		hi = machine.user.end;
		break;
	case 1: /* the range starts in the program */
		lo = exe + VMS_PAGE_SIZE;
		hi = lo + 4 * GIB;
		break;
	case 2: /* the range ends in the interpreter */
		hi = interp + 2 * VMS_PAGE_SIZE;
		lo = hi - 4 * GIB;
		break;
	default: /* the range ends with the stack */
		hi = stack;
		lo = hi - 256 * MIB;
		break;
	}
	conf = conf_for(lo, hi, true);
	move(&v, &conf);
	maps = run(&v, 0);
	check_maps(maps, &conf);
	free(maps);
}
END_TEST

/* ---- failures ---- */

START_TEST(a_range_that_is_too_small_is_said_and_the_victim_can_be_killed)
{
	struct vms_reloc_conf conf = conf_for(0x10000000, 0x10100000, true);
	struct victim v = start(cat_argv, no_env, NULL);

	ck_assert_int_eq(begin(&v, &conf), -ENOMEM);
	ck_assert_msg(strstr(v.reloc.err.text, "too small") && strstr(v.reloc.err.text, "larger --range"), "%s",
		      v.reloc.err.text);
	kill(v.pid, SIGKILL);
	ck_assert(WIFSIGNALED(spy_wait(v.pid)));
	end(&v);
}
END_TEST

static void be_quiet(void)
{
	dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
}

START_TEST(every_size_of_range_either_works_or_is_refused_in_words)
{
	bool refused = false, worked = false;

	for (vms_addr_t size = 256 << 10; size <= 24 * MIB; size += 1 * MIB + 64 * VMS_PAGE_SIZE) {
		struct vms_reloc_conf conf = conf_for(0x30000000, 0x30000000 + size, true);
		struct victim v = start(cat_argv, no_env, be_quiet);
		int r = begin(&v, &conf);

		while (r == 0)
			r = vms_reloc_stop(&v.reloc, spy_wait(v.pid));
		if (r == 1) {
			/* Small as it is, the program may run out of it, but only inside. */
			ck_assert_int_eq(vms_reloc_finish(&v.reloc), 0);
			ck_assert(!WIFSTOPPED(spy_wait(v.pid)));
			worked = true;
		} else {
			ck_assert_int_eq(r, -ENOMEM);
			ck_assert_msg(strstr(v.reloc.err.text, "larger --range"), "%s", v.reloc.err.text);
			ck_assert_msg(!worked, "a larger range was refused");
			refused = true;
		}
		end(&v);
	}
	ck_assert(refused && worked);
}
END_TEST

START_TEST(a_program_linked_outside_the_range_is_refused_with_its_addresses)
{
	char *argv[] = { strdup(guest("hello-static")), NULL };
	struct vms_reloc_conf conf = conf_for(0x200000000, 0x400000000, true);
	struct victim v = start(argv, no_env, NULL);

	ck_assert_int_eq(begin(&v, &conf), -ERANGE);
	ck_assert_msg(strstr(v.reloc.err.text, "linked to run at 0x4") && strstr(v.reloc.err.text, "--range"), "%s",
		      v.reloc.err.text);
	end(&v);
	free(argv[0]);
}
END_TEST

/* At the stop before each stage, and after the last, the victim is killed. */
START_TEST(a_victim_killed_at_any_stage_is_reported_gone)
{
	struct vms_reloc_conf conf = conf_for(0x10000, 0x7fff0000, true);
	struct victim v = start(cat_argv, no_env, NULL);
	int status = 0x7f, r, stops = 0;

	if (_i == 0)
		kill(v.pid, SIGKILL);
	r = begin(&v, &conf);
	while (r == 0) {
		status = spy_wait(v.pid);
		if (++stops == _i)
			kill(v.pid, SIGKILL);
		r = vms_reloc_stop(&v.reloc, status);
		/* Once more, now that the next step runs. */
		if (stops + 4 == _i)
			kill(v.pid, SIGKILL);
	}
	if (r == 1)
		r = vms_reloc_finish(&v.reloc);
	ck_assert_msg(r == -ESRCH || r == 0, "stage %d: %d %s", v.reloc.stage, r, v.reloc.err.text);
	while (WIFSTOPPED(status))
		status = spy_wait(v.pid);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%s", spy_say(status));
	end(&v);
}
END_TEST

START_TEST(a_victim_stopped_at_any_stage_waits_for_sigcont)
{
	struct vms_reloc_conf conf = conf_for(0x10000, 0x7fff0000, true);
	struct victim v = start(cat_argv, no_env, NULL);
	int r, stops = 0;
	char *maps;

	if (_i == 0)
		kill(v.pid, SIGSTOP);
	r = begin(&v, &conf);
	while (r == 0) {
		if (!spy_has_news(v.pid, 300)) {
			/* It stands in its group stop, and no news comes before SIGCONT. */
			spy_wait_state(v.pid, 't');
			ck_assert_int_eq(kill(v.pid, SIGCONT), 0);
			_i = -1;
		}
		if (++stops == _i)
			kill(v.pid, SIGSTOP);
		r = vms_reloc_stop(&v.reloc, spy_wait(v.pid));
	}
	ck_assert_msg(r == 1, "stage %d: %s: %s", v.reloc.stage, strerror(-r), v.reloc.err.text);
	if (_i >= 0) {
		/* Stopped at the last moment: it starts as a stopped process. */
		ck_assert_int_eq(vms_reloc_finish(&v.reloc), 0);
		spy_wait_state(v.pid, 'T');
		kill(v.pid, SIGCONT);
		ck_assert(WIFEXITED(spy_wait(v.pid)));
		end(&v);
		return;
	}
	maps = run(&v, 0);
	check_maps(maps, &conf);
	free(maps);
}
END_TEST

static void block_usr2(void)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	sigaddset(&mask, SIGTRAP);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* grep prints the lines; a signal sent in the middle stays pending, as it is blocked. */
START_TEST(the_signal_mask_dispositions_and_pending_signals_are_kept)
{
	char *argv[] = { (char *)(uintptr_t) "/bin/grep", (char *)(uintptr_t) "^\\(Sig\\|Shd\\)",
			 (char *)(uintptr_t) "/proc/self/status", NULL };
	struct vms_reloc_conf conf = conf_for(0x10000, 0x7fff0000, true);
	struct victim v = start(argv, no_env, block_usr2);
	uint64_t mask = 0, ignored = 0, pending = 0;
	char *text, *at;

	kill(v.pid, SIGUSR2);
	move(&v, &conf);
	text = run(&v, 0);
	at = strstr(text, "SigBlk:");
	ck_assert_ptr_nonnull(at);
	mask = strtoull(at + 7, NULL, 16);
	at = strstr(text, "SigIgn:");
	ck_assert_ptr_nonnull(at);
	ignored = strtoull(at + 7, NULL, 16);
	at = strstr(text, "ShdPnd:");
	ck_assert_ptr_nonnull(at);
	pending = strtoull(at + 7, NULL, 16);
	ck_assert_uint_eq(mask, 1u << (SIGUSR2 - 1) | 1u << (SIGTRAP - 1));
	ck_assert_uint_eq(pending, 1u << (SIGUSR2 - 1));
	ck_assert(ignored & 1u << (SIGPIPE - 1));
	free(text);
}
END_TEST

START_TEST(an_image_range_keeps_the_image_lower_than_the_range_and_fences_the_range_only)
{
	struct vms_reloc_conf conf = conf_for(0x10000, 0x400000000, true);
	struct victim v;
	char *maps, *at;
	struct line line;

	conf.image_range.end = 0x80000000;
	v = start(cat_argv, no_env, NULL);
	move(&v, &conf);
	ck_assert_uint_le(v.reloc.layout.vdso, 0x80000000);
	at = maps = run(&v, 0);
	while (next_line(&at, &line)) {
		if (!strcmp(line.name, "[stack]") || !strcmp(line.name, "[vdso]") || strstr(line.name, "/cat"))
			ck_assert_uint_le(line.end, 0x80000000);
		if (line.start >= 0x400000000 && strcmp(line.name, "[vsyscall]"))
			ck_assert(is_fence(&line));
	}
	free(maps);
}
END_TEST

START_TEST(an_address_outside_the_image_is_not_moved)
{
	struct vms_reloc_conf conf = conf_for(0x10000, 0x7fff0000, true);
	struct victim v = start(cat_argv, no_env, NULL);
	const struct vms_range *exe;

	move(&v, &conf);
	exe = &v.reloc.image.parts[VMS_PART_EXE].span;
	ck_assert_uint_eq(vms_reloc_moved(&v.reloc, exe->start), v.reloc.layout.exe);
	ck_assert_uint_eq(vms_reloc_moved(&v.reloc, exe->end - 1),
			  v.reloc.layout.exe + vms_range_size(exe) - 1);
	ck_assert_uint_eq(vms_reloc_moved(&v.reloc, exe->start - 1), exe->start - 1);
	ck_assert_uint_eq(vms_reloc_moved(&v.reloc, 0), 0);
	ck_assert_uint_eq(vms_reloc_moved(&v.reloc, v.reloc.image.parts[VMS_PART_STACK].span.end),
			  v.reloc.layout.stack + vms_range_size(&v.reloc.image.parts[VMS_PART_STACK].span));
	free(run(&v, 0));
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("reloc");
	TCase *tc = tcase_create("reloc");
	SRunner *runner;
	int failed;
	char self[4000];

	(void)argc;
	/* The guests are built beside the unit tests; VMS_GUESTS says otherwise. */
	if (getenv("VMS_GUESTS")) {
		snprintf(guests, sizeof(guests), "%s", getenv("VMS_GUESTS"));
	} else {
		snprintf(self, sizeof(self), "%s", argv[0]);
		snprintf(guests, sizeof(guests), "%s/../guests", dirname(self));
	}
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, nothing_is_left_outside_the_range, 0, NR_RANGES);
	tcase_add_loop_test(tc, without_a_fence_the_image_moves_and_nothing_is_fenced, 0, NR_RANGES);
	tcase_add_test(tc, random_layouts_of_many_seeds_all_work);
	tcase_add_loop_test(tc, proc_and_the_image_agree_about_words_heap_and_stack, 0, NR_RANGES);
	tcase_add_test(tc, every_way_of_linking_runs);
	tcase_add_loop_test(tc, the_vdso_answers_without_a_system_call, 0, NR_RANGES);
	tcase_add_test(tc, the_stack_grows_to_its_limit);
	tcase_add_test(tc, many_arguments_are_all_moved);
	tcase_add_loop_test(tc, a_range_over_the_old_places_is_reached_by_staging, 0, 4);
	tcase_add_test(tc, a_range_that_is_too_small_is_said_and_the_victim_can_be_killed);
	tcase_add_test(tc, every_size_of_range_either_works_or_is_refused_in_words);
	tcase_add_test(tc, a_program_linked_outside_the_range_is_refused_with_its_addresses);
	tcase_add_loop_test(tc, a_victim_killed_at_any_stage_is_reported_gone, 0, 9);
	tcase_add_loop_test(tc, a_victim_stopped_at_any_stage_waits_for_sigcont, 0, 5);
	tcase_add_test(tc, the_signal_mask_dispositions_and_pending_signals_are_kept);
	tcase_add_test(tc, an_image_range_keeps_the_image_lower_than_the_range_and_fences_the_range_only);
	tcase_add_test(tc, an_address_outside_the_image_is_not_moved);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
