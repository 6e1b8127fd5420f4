/* Frames and messages of the control socket, without a supervisor. */
#include "vmsup/wire/frame.h"
#include "vmsup/wire/msg.h"

#include <check.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void add(struct vms_inbox *in, const char *text)
{
	ck_assert_int_eq(vms_inbox_add(in, text, strlen(text)), 0);
}

static void expect_line(struct vms_inbox *in, const char *want)
{
	char *line;
	size_t len;

	ck_assert_int_eq(vms_inbox_line(in, &line, &len), 0);
	ck_assert_str_eq(line, want);
	ck_assert_uint_eq(len, strlen(want));
}

static void expect_none(struct vms_inbox *in, int why)
{
	char *line;
	size_t len;

	ck_assert_int_eq(vms_inbox_line(in, &line, &len), why);
}

START_TEST(lines_come_out_however_they_are_cut)
{
	static const char text[] = "first\n\nthird line\n";

	for (size_t step = 1; step <= strlen(text); step++) {
		char got[64] = "";
		struct vms_inbox in;

		vms_inbox_init(&in, 64);
		for (size_t at = 0; at < strlen(text); at += step) {
			size_t n = strlen(text) - at < step ? strlen(text) - at : step;
			char *line;
			size_t len;

			ck_assert_int_eq(vms_inbox_add(&in, text + at, n), 0);
			while (vms_inbox_line(&in, &line, &len) == 0) {
				ck_assert_uint_eq(strlen(line), len);
				strcat(got, line);
				strcat(got, "|");
			}
		}
		ck_assert_str_eq(got, "first||third line|");
		expect_none(&in, -EAGAIN);
		vms_inbox_done(&in);
	}
}
END_TEST

START_TEST(a_line_may_be_as_long_as_max_and_no_longer)
{
	struct vms_inbox in;

	vms_inbox_init(&in, 8);
	add(&in, "1234567\n");
	expect_line(&in, "1234567");
	add(&in, "1234567");
	expect_none(&in, -EAGAIN);
	add(&in, "8");
	expect_none(&in, -EMSGSIZE);
	ck_assert_int_eq(vms_inbox_add(&in, "9", 1), -EMSGSIZE);
	vms_inbox_done(&in);
}
END_TEST

START_TEST(room_of_taken_lines_is_used_again)
{
	struct vms_inbox in;

	vms_inbox_init(&in, 16);
	for (int i = 0; i < 1000; i++) {
		add(&in, "ab\ncd");
		expect_line(&in, i ? "cdab" : "ab");
		expect_none(&in, -EAGAIN);
	}
	ck_assert_uint_le(in.size, 16);
	vms_inbox_done(&in);
}
END_TEST

START_TEST(an_inbox_grows_to_a_long_line)
{
	size_t n = 3000000;
	char *text = malloc(n + 1);
	struct vms_inbox in;
	char *line;
	size_t len;

	ck_assert_ptr_nonnull(text);
	memset(text, 'x', n);
	text[n] = '\n';
	vms_inbox_init(&in, VMS_FRAME_REPLY_MAX);
	for (size_t at = 0; at < n + 1; at += 1000) {
		expect_none(&in, -EAGAIN);
		ck_assert_int_eq(
			vms_inbox_add(&in, text + at, n + 1 - at < 1000 ? n + 1 - at : 1000), 0);
	}
	ck_assert_int_eq(vms_inbox_line(&in, &line, &len), 0);
	ck_assert_uint_eq(len, n);
	ck_assert_mem_eq(line, text, n);
	vms_inbox_done(&in);
	free(text);
}
END_TEST

START_TEST(a_full_socket_keeps_the_rest_for_later)
{
	size_t n = 4 << 20, got = 0;
	char *text = malloc(n), *copy = malloc(n);
	struct vms_outbox out;
	struct vms_inbox in;
	int fds[2], r;

	ck_assert_ptr_nonnull(text);
	ck_assert_ptr_nonnull(copy);
	for (size_t i = 0; i < n; i++)
		text[i] = (char)('a' + i % 26);
	text[n - 1] = '\n';
	memcpy(copy, text, n);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	vms_outbox_init(&out);
	ck_assert(vms_outbox_empty(&out));
	vms_outbox_put(&out, text, n);
	vms_inbox_init(&in, n);
	ck_assert_int_eq(vms_outbox_send(&out, fds[0]), -EAGAIN);
	ck_assert(!vms_outbox_empty(&out));
	do {
		size_t count;

		r = vms_outbox_send(&out, fds[0]);
		while (vms_inbox_receive(&in, fds[1], &count) == 0)
			got += count;
	} while (r == -EAGAIN);
	ck_assert_int_eq(r, 0);
	ck_assert(vms_outbox_empty(&out));
	ck_assert_uint_eq(got, n);
	ck_assert_mem_eq(in.data, copy, n);
	free(copy);
	vms_inbox_done(&in);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

START_TEST(a_peer_that_left_is_an_error_or_an_end_but_no_signal)
{
	struct vms_outbox out;
	struct vms_inbox in;
	size_t count = 1;
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	close(fds[1]);
	vms_outbox_init(&out);
	vms_outbox_put(&out, strdup("x\n"), 2);
	ck_assert_int_eq(vms_outbox_send(&out, fds[0]), -EPIPE);
	vms_outbox_done(&out);
	vms_inbox_init(&in, 8);
	ck_assert_int_eq(vms_inbox_receive(&in, fds[0], &count), 0);
	ck_assert_uint_eq(count, 0);
	vms_inbox_done(&in);
	close(fds[0]);
}
END_TEST

static const struct {
	const char *text;
	int want;
} bad_asks[] = {
	{ "", -EINVAL },
	{ "maps", -EINVAL },
	{ "{", -EINVAL },
	{ "{} {}", -EINVAL },
	{ "[]", -EINVAL },
	{ "{}", -EINVAL },
	{ "null", -EINVAL },
	{ "{\"verb\": 1}", -EINVAL },
	{ "{\"verb\": \"ps\", \"verb\": \"maps\"}", -EINVAL },
	{ "{\"verb\": \"\"}", -ENOSYS },
	{ "{\"verb\": \"PS\"}", -ENOSYS },
	{ "{\"verb\": \"kill\", \"pid\": 1}", -ENOSYS },
	{ "{\"verb\": \"maps\"}", -EINVAL },
	{ "{\"verb\": \"maps\", \"pid\": \"1\"}", -EINVAL },
	{ "{\"verb\": \"maps\", \"pid\": 1.5}", -EINVAL },
	{ "{\"verb\": \"maps\", \"pid\": 0}", -EINVAL },
	{ "{\"verb\": \"maps\", \"pid\": -7}", -EINVAL },
	{ "{\"verb\": \"maps\", \"pid\": 2147483648}", -EINVAL },
	{ "{\"verb\": \"maps\", \"pid\": 4294967297}", -EINVAL },
	{ "{\"verb\": \"maps\", \"pid\": 99999999999999999999999}", -EINVAL },
	{ "{\"verb\": \"\xff\"}", -EINVAL },
};

START_TEST(a_bad_request_is_refused_with_a_sentence)
{
	struct vms_ask ask = { .kind = VMS_ASK_PS, .pid = 42 };
	struct vms_err err = VMS_ERR_INIT;
	const char *text = bad_asks[_i].text;

	ck_assert_int_eq(vms_ask_parse(text, strlen(text), &ask, &err), bad_asks[_i].want);
	ck_assert_str_ne(err.text, "");
	ck_assert_int_eq(ask.pid, 42);
}
END_TEST

START_TEST(deep_nesting_is_refused)
{
	char text[VMS_FRAME_ASK_MAX];
	struct vms_ask ask;

	memset(text, '[', sizeof(text));
	ck_assert_int_eq(vms_ask_parse(text, sizeof(text), &ask, NULL), -EINVAL);
}
END_TEST

START_TEST(requests_survive_the_trip)
{
	static const struct vms_ask asks[] = {
		{ .kind = VMS_ASK_PS },
		{ .kind = VMS_ASK_MAPS, .pid = 1 },
		{ .kind = VMS_ASK_MAPS, .pid = INT_MAX },
	};

	for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
		struct vms_ask back = { .pid = -1 };
		char *line;
		size_t len;

		ck_assert_int_eq(vms_ask_format(&asks[i], &line, &len), 0);
		ck_assert_int_eq(line[len - 1], '\n');
		ck_assert_ptr_eq(memchr(line, '\n', len), line + len - 1);
		ck_assert_int_eq(vms_ask_parse(line, len - 1, &back, NULL), 0);
		ck_assert_int_eq(back.kind, asks[i].kind);
		ck_assert_int_eq(back.pid, asks[i].pid);
		free(line);
	}
}
END_TEST

START_TEST(members_that_are_not_known_are_ignored)
{
	static const char text[] = "{\"pid\": 7, \"colour\": [1], \"verb\": \"maps\"}";
	struct vms_ask ask;

	ck_assert_int_eq(vms_ask_parse(text, strlen(text), &ask, NULL), 0);
	ck_assert_int_eq(ask.kind, VMS_ASK_MAPS);
	ck_assert_int_eq(ask.pid, 7);
}
END_TEST

START_TEST(results_survive_the_trip_on_one_line)
{
	json_t *result = json_pack("{s:s, s:[i,n,b]}", "name", "two\nlines", "list", 7, 1);
	json_t *back = NULL;
	char *line;
	size_t len;

	ck_assert_int_eq(vms_reply_format(result, &line, &len), 0);
	ck_assert_ptr_eq(memchr(line, '\n', len), line + len - 1);
	ck_assert_int_eq(vms_reply_parse(line, len - 1, &back, NULL), 0);
	ck_assert(json_equal(result, back));
	json_decref(result);
	json_decref(back);
	free(line);
}
END_TEST

START_TEST(errors_survive_the_trip)
{
	static const int codes[] = { -ESRCH, -EINVAL, -EPERM, -ENOSYS, -ENOMEM, -EMSGSIZE };

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		struct vms_err err = VMS_ERR_INIT;
		json_t *back = NULL;
		char *line;
		size_t len;

		ck_assert_int_eq(vms_reply_format_error(codes[i], "so \"it\" is", &line, &len), 0);
		ck_assert_int_eq(vms_reply_parse(line, len - 1, &back, &err), codes[i]);
		ck_assert_str_eq(err.text, "so \"it\" is");
		ck_assert_ptr_null(back);
		free(line);
	}
}
END_TEST

START_TEST(an_error_without_a_sentence_or_a_known_code_is_still_an_error)
{
	struct vms_err err = VMS_ERR_INIT;
	json_t *back;
	char *line;
	size_t len;

	ck_assert_int_eq(vms_reply_format_error(-EXDEV, "", &line, &len), 0);
	ck_assert_int_eq(vms_reply_parse(line, len - 1, &back, &err), -EIO);
	ck_assert_str_eq(err.text, strerror(EXDEV));
	free(line);
}
END_TEST

START_TEST(a_reply_too_long_is_refused)
{
	char *text = malloc(VMS_FRAME_REPLY_MAX);
	json_t *result;
	char *line;
	size_t len;

	ck_assert_ptr_nonnull(text);
	memset(text, 'x', VMS_FRAME_REPLY_MAX);
	result = json_stringn(text, VMS_FRAME_REPLY_MAX - 64);
	ck_assert_int_eq(vms_reply_format(result, &line, &len), 0);
	free(line);
	json_decref(result);
	result = json_stringn(text, VMS_FRAME_REPLY_MAX - 8);
	ck_assert_int_eq(vms_reply_format(result, &line, &len), -EMSGSIZE);
	json_decref(result);
	free(text);
}
END_TEST

START_TEST(what_is_no_reply_is_said_to_be_none)
{
	static const char *const texts[] = {
		"",
		"ok",
		"[]",
		"{}",
		"{\"ok\": true}",
		"{\"ok\": 1, \"result\": 1}",
		"{\"ok\": false}",
		"{\"ok\": false, \"error\": \"x\"}",
		"{\"error\": \"x\", \"code\": \"EIO\"}",
		"{\"ok\": false, \"error\": 1, \"code\": 2}",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct vms_err err = VMS_ERR_INIT;
		json_t *back;

		ck_assert_msg(vms_reply_parse(texts[i], strlen(texts[i]), &back, &err) == -EBADMSG,
			      "%s", texts[i]);
		ck_assert_str_ne(err.text, "");
	}
}
END_TEST

START_TEST(any_bytes_become_a_json_string)
{
	static const struct {
		const char *bytes;
		const char *want;
	} cases[] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
		  "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80" },
		{ "\xff", "\\377" },
		{ "a\xc3", "a\\303" },	      /* cut off */
		{ "\xc0\xaf", "\\300\\257" }, /* overlong */
		{ "\xe0\x80\x80", "\\340\\200\\200" },
		{ "\xed\xa0\x80", "\\355\\240\\200" },		/* surrogate */
		{ "\xf4\x90\x80\x80", "\\364\\220\\200\\200" }, /* above U+10FFFF */
		{ "\xe2\x82x", "\\342\\202x" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *json = vms_msg_text(cases[i].bytes);

		ck_assert_ptr_nonnull(json);
		ck_assert_str_eq(json_string_value(json), cases[i].want);
		json_decref(json);
	}
}
END_TEST

START_TEST(every_pair_of_bytes_becomes_a_json_string)
{
	for (unsigned int i = 0; i < 0x10000; i++) {
		char bytes[] = { (char)(i & 0xff), (char)(i >> 8), '\0' };
		json_t *json = vms_msg_text(bytes);

		if (!json)
			ck_abort_msg("bytes %02x %02x", i & 0xff, i >> 8);
		json_decref(json);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wire");
	TCase *frame = tcase_create("frame");
	TCase *msg = tcase_create("msg");
	SRunner *runner;
	int failed;

	tcase_add_test(frame, lines_come_out_however_they_are_cut);
	tcase_add_test(frame, a_line_may_be_as_long_as_max_and_no_longer);
	tcase_add_test(frame, room_of_taken_lines_is_used_again);
	tcase_add_test(frame, an_inbox_grows_to_a_long_line);
	tcase_add_test(frame, a_full_socket_keeps_the_rest_for_later);
	tcase_add_test(frame, a_peer_that_left_is_an_error_or_an_end_but_no_signal);
	tcase_add_loop_test(msg, a_bad_request_is_refused_with_a_sentence, 0,
			    (int)(sizeof(bad_asks) / sizeof(bad_asks[0])));
	tcase_add_test(msg, deep_nesting_is_refused);
	tcase_add_test(msg, requests_survive_the_trip);
	tcase_add_test(msg, members_that_are_not_known_are_ignored);
	tcase_add_test(msg, results_survive_the_trip_on_one_line);
	tcase_add_test(msg, errors_survive_the_trip);
	tcase_add_test(msg, an_error_without_a_sentence_or_a_known_code_is_still_an_error);
	tcase_add_test(msg, a_reply_too_long_is_refused);
	tcase_add_test(msg, what_is_no_reply_is_said_to_be_none);
	tcase_add_test(msg, any_bytes_become_a_json_string);
	tcase_add_test(msg, every_pair_of_bytes_becomes_a_json_string);
	tcase_set_timeout(msg, 60);
	suite_add_tcase(suite, frame);
	suite_add_tcase(suite, msg);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
