/* Fault injection: the grammar, and which calls are struck. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vmsup/conf/inject.h"
#include "vmsup/core/vma.h"

static struct vms_injections all;

static void setup(void)
{
	memset(&all, 0, sizeof(all));
}

/* A program keeps its rules; a test program that is looked at by valgrind does not. */
static void teardown(void)
{
	for (size_t i = 0; i < all.nr; i++)
		free((char *)all.rules[i].file);
}

static struct vms_inject_rule *rule(const char *text)
{
	struct vms_err err = VMS_ERR_INIT;

	ck_assert_msg(vms_inject_parse(text, &all, &err) == 0, "%s: %s", text, err.text);
	return &all.rules[all.nr - 1];
}

static void check_refused(const char *text, const char *why)
{
	struct vms_err err = VMS_ERR_INIT;
	size_t before = all.nr;

	ck_assert_msg(vms_inject_parse(text, &all, &err) == -EINVAL, "%s was taken", text);
	ck_assert_msg(strstr(err.text, why), "%s: '%s' does not say '%s'", text, err.text, why);
	ck_assert_uint_eq(all.nr, before);
}

/* The numbers of the calls, up to @n, that are struck, as text. */
static const char *struck(struct vms_inject_rule *r, int n)
{
	static char text[256];
	uint64_t seen = 0;

	text[0] = '\0';
	for (int i = 1; i <= n; i++) {
		if (vms_inject_strikes(r, &seen))
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%d ", i);
	}
	return text;
}

START_TEST(when_is_as_strace_has_it)
{
	ck_assert_str_eq(struck(rule("mmap:error=ENOMEM"), 4), "1 2 3 4 ");
	ck_assert_str_eq(struck(rule("mmap:error=ENOMEM:when=3"), 9), "3 ");
	ck_assert_str_eq(struck(rule("mmap:error=ENOMEM:when=3+"), 5), "3 4 5 ");
	ck_assert_str_eq(struck(rule("mmap:error=ENOMEM:when=7+3"), 15), "7 10 13 ");
	ck_assert_str_eq(struck(rule("mmap:error=ENOMEM:when=2..4"), 9), "2 3 4 ");
	ck_assert_str_eq(struck(rule("mmap:error=ENOMEM:when=2..8+3"), 12), "2 5 8 ");
}
END_TEST

START_TEST(errors_are_names_or_numbers)
{
	ck_assert_int_eq(rule("mmap:error=EAGAIN")->error, EAGAIN);
	ck_assert_int_eq(rule("mmap:error=5")->error, 5);
	ck_assert_int_eq(rule("mmap:signal=SIGUSR1")->signal, SIGUSR1);
	ck_assert_int_eq(rule("mmap:signal=USR2:error=ENOMEM")->signal, SIGUSR2);
}
END_TEST

START_TEST(several_calls_and_the_class_of_all)
{
	struct vms_inject_rule *r = rule("mmap,brk:error=ENOMEM");

	ck_assert(r->calls[VMS_CALL_MMAP] && r->calls[VMS_CALL_BRK] && !r->calls[VMS_CALL_MUNMAP]);
	r = rule("%memory:error=ENOMEM");
	ck_assert(r->calls[VMS_CALL_MMAP] && r->calls[VMS_CALL_SHMAT] && !r->calls[VMS_CALL_EXECVE]);
	ck_assert(rule("execve:error=EACCES")->calls[VMS_CALL_EXECVE]);
}
END_TEST

START_TEST(conditions_on_the_request)
{
	struct vms_req anon = { .call = VMS_CALL_MMAP,
				.mmap = { .length = 2 << 20, .prot = VMS_PROT_READ | VMS_PROT_EXEC, .flags = MAP_PRIVATE | MAP_ANONYMOUS } };
	struct vms_req file = { .call = VMS_CALL_MMAP, .mmap = { .length = 4096, .prot = VMS_PROT_READ, .flags = MAP_PRIVATE } };
	struct vms_req brk = { .call = VMS_CALL_BRK };

	ck_assert(vms_inject_matches(rule("mmap:error=ENOMEM:size>1M"), &anon));
	ck_assert(!vms_inject_matches(rule("mmap:error=ENOMEM:size>2M"), &anon));
	ck_assert(vms_inject_matches(rule("mmap:error=ENOMEM:size<8192"), &file));
	ck_assert(!vms_inject_matches(rule("mmap:error=ENOMEM:size<4096"), &file));
	ck_assert(vms_inject_matches(rule("mmap:error=ENOMEM:prot=x"), &anon));
	ck_assert(!vms_inject_matches(rule("mmap:error=ENOMEM:prot=rwx"), &anon));
	ck_assert(vms_inject_matches(rule("mmap:error=ENOMEM:anon"), &anon));
	ck_assert(!vms_inject_matches(rule("mmap:error=ENOMEM:anon"), &file));
	ck_assert(!vms_inject_matches(rule("mmap:error=ENOMEM:file=*"), &anon));
	ck_assert(vms_inject_matches(rule("mmap:error=ENOMEM:file=*.so"), &file));
	ck_assert(!vms_inject_matches(rule("mmap:error=ENOMEM"), &brk));
	ck_assert(vms_inject_matches(rule("mmap,brk:error=ENOMEM"), &brk));
}
END_TEST

START_TEST(chance_is_about_what_it_says_and_repeatable)
{
	struct vms_inject_rule *r = rule("mmap:error=ENOMEM:probability=0.25:seed=9"), again = *r;
	uint64_t seen = 0, other = 0;
	int n = 0;

	for (int i = 0; i < 4000; i++) {
		bool one = vms_inject_strikes(r, &seen);

		ck_assert_int_eq(one, vms_inject_strikes(&again, &other));
		n += one;
	}
	ck_assert_int_gt(n, 850);
	ck_assert_int_lt(n, 1150);
}
END_TEST

START_TEST(what_makes_no_sense_is_refused)
{
	check_refused("", "which call?");
	check_refused("mmap", "what shall happen?");
	check_refused("mmap:when=3", "what shall happen?");
	check_refused("mmpa:error=ENOMEM", "did you mean mmap");
	check_refused("open:error=ENOENT", "no call that can be made to fail");
	check_refused("mmap:error=ENOPE", "no errno");
	check_refused("mmap:error=0", "no errno");
	check_refused("mmap:error=ENOMEM:when=0", "when=0");
	check_refused("mmap:error=ENOMEM:when=5..3", "when=5..3");
	check_refused("mmap:error=ENOMEM:when=3+0", "when=3+0");
	check_refused("mmap:error=ENOMEM:when=", "when=");
	check_refused("mmap:error=ENOMEM:size>x", "no size");
	check_refused("mmap:error=ENOMEM:prot=q", "letters r, w and x");
	check_refused("mmap:error=ENOMEM:probability=2", "up to 1");
	check_refused("mmap:error=ENOMEM:seed=x", "seed");
	check_refused("mmap:error=ENOMEM:seed=1", "probability");
	check_refused("brk:error=ENOMEM:file=*", "file=");
	check_refused("brk,munmap:error=ENOMEM:anon", "anon");
	check_refused("mmap:error=ENOMEM:anon:file=*", "anonymous");
	check_refused("munmap:error=ENOMEM:prot=x", "prot=");
	check_refused("mmap:eror=ENOMEM", "did you mean error");
	check_refused("mmap:signal=NOPE", "no signal");
	for (int i = 0; i < VMS_MAX_INJECTIONS; i++)
		rule("brk:error=ENOMEM");
	check_refused("brk:error=ENOMEM", "at the most");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("inject");
	TCase *t = tcase_create("inject");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, when_is_as_strace_has_it);
	tcase_add_test(t, errors_are_names_or_numbers);
	tcase_add_test(t, several_calls_and_the_class_of_all);
	tcase_add_test(t, conditions_on_the_request);
	tcase_add_test(t, chance_is_about_what_it_says_and_repeatable);
	tcase_add_test(t, what_makes_no_sense_is_refused);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
