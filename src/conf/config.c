/* Configuration files; see the header. */
#include "vmsup/conf/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <yaml.h>

#include "vmsup/base/fd.h"
#include "vmsup/conf/nearest.h"

struct reader {
	const char *name; /* of the file */
	const char *text;
	size_t size;
	const struct vms_config_tell *tell;
	struct vms_err *err;
	bool wrong; /* something was told */
	yaml_parser_t parser;
	yaml_event_t event; /* the current one, owned */
	struct vms_settings settings;
	struct vms_draft draft; /* what the values are tried on */
	size_t key_lines[VMS_MAX_OPTIONS]; /* where each of the file's own keys was given; 0: not yet */
};

/* Line 0: the file as a whole. Returns 0 when reading may go on, to find more. */
__attribute__((format(printf, 3, 4))) static int wrong(struct reader *rd, size_t line, const char *fmt, ...)
{
	char text[400], where[24] = "";
	struct vms_err sentence = VMS_ERR_INIT;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (line)
		snprintf(where, sizeof(where), ":%zu", line);
	vms_ignore(vms_err_set(&sentence, 0, "%.100s%s: %s", rd->name, where, text));
	if (!rd->wrong && rd->err)
		*rd->err = sentence;
	rd->wrong = true;
	if (!rd->tell || !rd->tell->tell)
		return -EINVAL;
	rd->tell->tell(sentence.text, rd->tell->arg);
	return 0;
}

/* The same where reading cannot go on. */
#define fatal(...) (vms_ignore(wrong(__VA_ARGS__)), -EINVAL)

/* What is no UTF-8 has an offset only. */
static size_t error_line(const struct reader *rd)
{
	size_t line = 1;

	if (rd->parser.error != YAML_READER_ERROR)
		return rd->parser.problem_mark.line + 1;
	for (size_t i = 0; i < rd->parser.problem_offset && i < rd->size; i++)
		line += rd->text[i] == '\n';
	return line;
}

static size_t event_line(const struct reader *rd)
{
	return rd->event.start_mark.line + 1;
}

static int next(struct reader *rd)
{
	yaml_event_delete(&rd->event);
	if (yaml_parser_parse(&rd->parser, &rd->event))
		return 0;
	memset(&rd->event, 0, sizeof(rd->event));
	if (rd->parser.error == YAML_MEMORY_ERROR)
		return vms_err_set(rd->err, -ENOMEM, "out of memory");
	return fatal(rd, error_line(rd), "%s%s%s; a line is KEY: VALUE",
		     rd->parser.problem ? rd->parser.problem : "this cannot be read", rd->parser.context ? ", " : "",
		     rd->parser.context ? rd->parser.context : "");
}

/* The text of the current event, when it is a plain word or a quoted one that can be one; borrowed. */
static int get_text(struct reader *rd, const char *what, bool has_lines, const char **ret_word)
{
	const char *text = (const char *)rd->event.data.scalar.value;

	if (rd->event.type == YAML_ALIAS_EVENT || (rd->event.type == YAML_SCALAR_EVENT && rd->event.data.scalar.anchor))
		return fatal(rd, event_line(rd), "%s is an anchor or an alias, which have no use here; quote what begins with & or *",
			     what);
	if (rd->event.type != YAML_SCALAR_EVENT)
		return fatal(rd, event_line(rd), "%s is no word; quote what contains { } [ ] or ': '", what);
	if (rd->event.data.scalar.tag)
		return fatal(rd, event_line(rd), "%s has a tag, which has no use here; quote what begins with !", what);
	if (strlen(text) != rd->event.data.scalar.length)
		return fatal(rd, event_line(rd), "%s has a zero byte", what);
	for (const char *c = text; *c; c++) {
		if (((unsigned char)*c < ' ' || *c == 0x7f) && !(has_lines && (*c == '\n' || *c == '\t')))
			return fatal(rd, event_line(rd), "%s has a control character", what);
	}
	*ret_word = text;
	return 0;
}

static int get_word(struct reader *rd, const char *what, const char **ret_word)
{
	return get_text(rd, what, false, ret_word);
}

static const struct vms_keys *own_keys(const struct reader *rd)
{
	return rd->tell ? rd->tell->keys : NULL;
}

static bool has_options(const struct reader *rd)
{
	return !own_keys(rd) || !own_keys(rd)->only;
}

static const struct vms_key *find_key(const struct reader *rd, const char *name)
{
	const struct vms_key *key = own_keys(rd) ? own_keys(rd)->rows : NULL;

	while (key && key->name && strcmp(key->name, name) != 0)
		key++;
	return key && key->name ? key : NULL;
}

/* Of the keys that this file has, or NULL. */
static const char *nearest_key(const struct reader *rd, const char *bare)
{
	const char *names[2 * VMS_MAX_OPTIONS], *option = has_options(rd) ? vms_option_nearest(bare, strlen(bare), true) : NULL;
	size_t nr = 0;

	for (const struct vms_key *key = own_keys(rd) ? own_keys(rd)->rows : NULL; key && key->name && nr < VMS_MAX_OPTIONS; key++)
		names[nr++] = key->name;
	if (option)
		names[nr++] = option;
	return vms_nearest(bare, strlen(bare), names, nr);
}

static int unknown_key(struct reader *rd, size_t line, const char *key)
{
	const char *bare = key + strspn(key, "-"), *near = nearest_key(rd, bare);
	const struct vms_option *o = has_options(rd) ? vms_option_find(bare) : NULL;

	if (o && o->line_only)
		return wrong(rd, line, "'%.60s' belongs on the command line only", key);
	if (near)
		return wrong(rd, line, "unknown key '%.60s'; did you mean %s?", key, near);
	return wrong(rd, line, "unknown key '%.60s'; vmsup.conf(5) has those there are", key);
}

static int check_key(struct reader *rd, size_t line, const char *key, const struct vms_option **ret_option)
{
	const struct vms_option *o = has_options(rd) ? vms_option_find(key) : NULL;

	*ret_option = NULL;
	if (!o || o->line_only)
		return unknown_key(rd, line, key);
	if (rd->tell && rd->tell->in_profile && strcmp(key, "profile") == 0)
		return wrong(rd, line, "a profile cannot name another one");
	for (size_t i = 0; i < rd->settings.nr; i++) {
		const struct vms_setting *s = &rd->settings.all[i];

		if (s->option == o && o->kind == VMS_OPTION_LIST)
			return wrong(rd, line, "%s is given a second time, after line %u; write one list: %s: [%s, ...]", key, s->line,
				     key, o->example);
		if (s->option == o)
			return wrong(rd, line, "%s is given a second time, after line %u", key, s->line);
	}
	*ret_option = o;
	return 0;
}

/* Keeps what is right, and of what is wrong only that it was there. */
static int add(struct reader *rd, size_t line, const struct vms_option *o, const char *text, bool off)
{
	struct vms_err why = VMS_ERR_INIT;
	const char *kept;
	int r = vms_settings_add(&rd->settings, o, text, off, (unsigned int)line, rd->err);

	if (r < 0 || off)
		return r;
	/* What the draft borrows lives as long as the settings. */
	kept = rd->settings.all[rd->settings.nr - 1].text;
	r = o->take(&rd->draft, o, kept, &why);
	if (r == -EINVAL)
		return wrong(rd, line, "%s", why.text);
	return r < 0 ? vms_err_set(rd->err, r, "%s", why.text) : 0;
}

static bool is_one_of(const char *word, const char *const words[3])
{
	return strcmp(word, words[0]) == 0 || strcmp(word, words[1]) == 0 || strcmp(word, words[2]) == 0;
}

static int add_word(struct reader *rd, size_t line, const struct vms_option *o, const char *word)
{
	static const char *const yes[3] = { "yes", "true", "on" }, *const no[3] = { "no", "false", "off" };

	if (o->kind == VMS_OPTION_FLAG || o->kind == VMS_OPTION_REPORT) {
		if (is_one_of(word, yes))
			return add(rd, line, o, NULL, false);
		if (is_one_of(word, no))
			return add(rd, line, o, NULL, true);
	}
	if (o->kind == VMS_OPTION_FLAG)
		return wrong(rd, line, "%s takes yes or no, not '%.60s'", o->name, word);
	if (own_keys(rd) && own_keys(rd)->special && own_keys(rd)->special(own_keys(rd)->to, o->name, word))
		return vms_settings_add(&rd->settings, o, NULL, true, (unsigned int)line, rd->err);
	if (!*word)
		return wrong(rd, line, "%s needs a value, as %s: %s", o->name, o->name, o->example);
	return add(rd, line, o, word, false);
}

/* @o is NULL for a value whose key was wrong: it is passed over. */
static int read_list(struct reader *rd, const struct vms_option *o)
{
	const size_t line = event_line(rd);
	bool empty = true;
	int r = 0;

	if (o && o->kind != VMS_OPTION_LIST) {
		r = wrong(rd, line, "%s takes one value, not a list", o->name);
		o = NULL;
	}
	while (r == 0) {
		const char *word;

		r = next(rd);
		if (r < 0 || rd->event.type == YAML_SEQUENCE_END_EVENT)
			break;
		r = get_word(rd, "a value", &word);
		if (r == 0 && o)
			r = add_word(rd, event_line(rd), o, word);
		empty = false;
	}
	if (r == 0 && o && empty)
		r = add(rd, line, o, NULL, true);
	return r;
}

static int read_value(struct reader *rd, const struct vms_option *o)
{
	const char *word;
	int r = next(rd);

	if (r < 0)
		return r;
	if (rd->event.type == YAML_SEQUENCE_START_EVENT)
		return read_list(rd, o);
	r = get_word(rd, o ? o->name : "a value", &word);
	return r == 0 && o ? add_word(rd, event_line(rd), o, word) : r;
}

/* --- keys that are no options ------------------------------------------------------------------ */

static int take_word(struct reader *rd, const struct vms_key *key, const char *inner, const char *word)
{
	struct vms_err why = VMS_ERR_INIT;
	const size_t line = event_line(rd);
	int r = key->take(own_keys(rd)->to, key, inner, word, &why);

	if (r == -EINVAL)
		return wrong(rd, line, "%s", why.text);
	return r < 0 ? vms_err_set(rd->err, r, "%s", why.text) : 0;
}

static int read_words(struct reader *rd, const struct vms_key *key)
{
	const char *word;
	int r;

	for (;;) {
		r = next(rd);
		if (r < 0 || rd->event.type == YAML_SEQUENCE_END_EVENT)
			return r;
		/* A script may be one word of a command. */
		r = get_text(rd, key->name, true, &word);
		if (r == 0)
			r = take_word(rd, key, NULL, word);
		if (r < 0)
			return r;
	}
}

/*
 * Words that stand in one string, as in a simple shell: blanks part them, '...' and "..." hold them together, a backslash takes the next
 * character as it is. Nothing is expanded.
 */
static int take_split(struct reader *rd, const struct vms_key *key, const char *text)
{
	char *word = malloc(strlen(text) + 1), quote = 0;
	bool has_word = false;
	size_t n = 0;
	int r = 0;

	if (!word)
		return vms_err_set(rd->err, -ENOMEM, "out of memory");
	for (const char *c = text; r == 0 && *c; c++) {
		const bool blank = *c == ' ' || *c == '\t' || *c == '\n';

		if (quote ? *c == quote : *c == '\'' || *c == '"') {
			quote = quote ? 0 : *c;
			has_word = true;
		} else if (!quote && blank) {
			word[n] = '\0';
			if (has_word)
				r = take_word(rd, key, NULL, word);
			has_word = false;
			n = 0;
		} else {
			if (*c == '\\' && quote != '\'' && c[1])
				c++;
			word[n++] = *c;
			has_word = true;
		}
	}
	word[n] = '\0';
	if (r == 0 && quote)
		r = wrong(rd, event_line(rd), "%s: a quote is not closed", key->name);
	else if (r == 0 && has_word)
		r = take_word(rd, key, NULL, word);
	free(word);
	return r;
}

static int read_map(struct reader *rd, const struct vms_key *key)
{
	for (;;) {
		const char *word;
		char *inner;
		int r = next(rd);

		if (r < 0 || rd->event.type == YAML_MAPPING_END_EVENT)
			return r;
		r = get_word(rd, "a name", &word);
		if (r < 0)
			return r;
		inner = strdup(word);
		if (!inner)
			return vms_err_set(rd->err, -ENOMEM, "out of memory");
		r = next(rd);
		if (r == 0)
			r = get_text(rd, inner, true, &word);
		if (r == 0)
			r = take_word(rd, key, inner, word);
		free(inner);
		if (r < 0)
			return r;
	}
}

static int read_key(struct reader *rd, const struct vms_key *key)
{
	const size_t at = (size_t)(key - own_keys(rd)->rows), line = event_line(rd);
	const char *word;
	int r = 0;

	if (rd->key_lines[at])
		r = wrong(rd, line, "%s is given a second time, after line %zu", key->name, rd->key_lines[at]);
	rd->key_lines[at] = line;
	if (r == 0)
		r = next(rd);
	if (r < 0)
		return r;
	if (key->kind == VMS_KEY_WORDS && rd->event.type == YAML_SEQUENCE_START_EVENT)
		return read_words(rd, key);
	if (key->kind == VMS_KEY_MAP && rd->event.type == YAML_MAPPING_START_EVENT)
		return read_map(rd, key);
	if (key->kind == VMS_KEY_MAP || rd->event.type != YAML_SCALAR_EVENT)
		return fatal(rd, event_line(rd), "%s is to be written as %s: %s", key->name, key->name, key->example);
	r = get_text(rd, key->name, key->kind == VMS_KEY_WORDS, &word);
	if (r < 0)
		return r;
	return key->kind == VMS_KEY_WORDS ? take_split(rd, key, word) : take_word(rd, key, NULL, word);
}

static int read_keys(struct reader *rd)
{
	for (;;) {
		const struct vms_option *o;
		const struct vms_key *own;
		const char *key;
		int r = next(rd);

		if (r < 0 || rd->event.type == YAML_MAPPING_END_EVENT)
			return r;
		r = get_word(rd, "a key", &key);
		own = r == 0 ? find_key(rd, key) : NULL;
		if (own) {
			r = read_key(rd, own);
			if (r < 0)
				return r;
			continue;
		}
		if (r == 0)
			r = check_key(rd, event_line(rd), key, &o);
		if (r == 0)
			r = read_value(rd, o);
		if (r < 0)
			return r;
	}
}

static int read_document(struct reader *rd)
{
	int r = next(rd);

	if (r == 0)
		r = next(rd);
	/* Nothing, or nothing but comments. */
	if (r < 0 || rd->event.type == YAML_STREAM_END_EVENT)
		return r;
	r = next(rd);
	if (r == 0 && rd->event.type != YAML_MAPPING_START_EVENT)
		return fatal(rd, event_line(rd), "this is no line of the form KEY: VALUE, as range: 64K-0x7fff0000");
	if (r == 0)
		r = read_keys(rd);
	if (r == 0)
		r = next(rd);
	if (r == 0)
		r = next(rd);
	if (r == 0 && rd->event.type != YAML_STREAM_END_EVENT)
		return fatal(rd, event_line(rd), "a file has one document; leave out the line ---");
	return r;
}

static int parse(struct reader *rd)
{
	struct vms_err why = VMS_ERR_INIT;
	int r;

	if (!yaml_parser_initialize(&rd->parser))
		return vms_err_set(rd->err, -ENOMEM, "out of memory");
	yaml_parser_set_input_string(&rd->parser, (const unsigned char *)rd->text, rd->size);
	r = read_document(rd);
	yaml_event_delete(&rd->event);
	yaml_parser_delete(&rd->parser);
	if (r == 0 && !rd->wrong && vms_draft_check(&rd->draft, &why) < 0)
		r = wrong(rd, 0, "%s", why.text);
	return r < 0 ? r : rd->wrong ? -EINVAL : 0;
}

int vms_config_parse(const char *name, const char *text, size_t size, const struct vms_config_tell *tell,
		     struct vms_settings *ret_settings, struct vms_err *err)
{
	struct reader rd = { .name = name, .text = text, .size = size, .tell = tell, .err = err, .draft = VMS_DRAFT_INIT };
	int r = parse(&rd);

	vms_draft_done(&rd.draft);
	if (r < 0)
		vms_settings_done(&rd.settings);
	else
		*ret_settings = rd.settings;
	return r;
}

int vms_config_load(const char *path, const struct vms_config_tell *tell, struct vms_settings *ret_settings,
		    struct vms_err *err)
{
	/* vmsupd must not wait for whoever might write into a pipe; a person may use one. */
	const bool is_daemon = tell && tell->keys;
	vms_autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (is_daemon ? O_NONBLOCK : 0));
	struct stat st;
	char *text;
	ssize_t n;
	int r;

	if (fd < 0)
		return vms_err_set(err, -errno, "cannot open %.200s: %s", path, strerror(errno));
	if (is_daemon && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)))
		return vms_err_set(err, -EINVAL, "%.200s is not a regular file", path);
	text = malloc(VMS_CONFIG_MAX_SIZE + 1);
	if (!text)
		return vms_err_set(err, -ENOMEM, "out of memory");
	n = vms_fd_read_all(fd, text, VMS_CONFIG_MAX_SIZE + 1);
	if (n < 0)
		r = vms_err_set(err, (int)n, "cannot read %.200s: %s", path, strerror((int)-n));
	else if ((size_t)n > VMS_CONFIG_MAX_SIZE)
		r = vms_err_set(err, -EFBIG, "%.200s is larger than a configuration file may be, 1 MiB", path);
	else
		r = vms_config_parse(path, text, (size_t)n, tell, ret_settings, err);
	free(text);
	return r;
}
