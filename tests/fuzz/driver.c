/*
 * A plain main for a fuzz entry point: runs the corpus in git, then some thousand seeded mutations of it. With clang and
 * -fsanitize=fuzzer the entry points run without this file.
 *
 * usage: fuzz_NAME [FILE...]; without files the corpus is $srcdir/tests/fuzz/corpus/NAME. VMS_SEED and VMS_ITERATIONS in the
 * environment. A seed replays a run.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

#define INPUT_SIZE 4096
#define MAX_FILES 64

static struct input {
	uint8_t data[INPUT_SIZE];
	size_t size;
} corpus[MAX_FILES], current;

static size_t nr_files;
static uint64_t seed, rng;
static char note[96]; /* what is running, for the handler */

static uint64_t chance(uint64_t n)
{
	uint64_t z;

	rng += 0x9e3779b97f4a7c15u;
	z = rng;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (z ^ (z >> 31)) % n;
}

/* Says which input it was, and leaves it in a file that can be given as an argument. */
static void on_crash(int sig)
{
	static const char name[] = "fuzz-crash.bin";
	FILE *file = fopen(name, "w");

	if (file) {
		fwrite(current.data, 1, current.size, file);
		fclose(file);
	}
	(void)!write(STDERR_FILENO, note, strlen(note));
	(void)!write(STDERR_FILENO, "; the input is in fuzz-crash.bin\n", 33);
	signal(sig, SIG_DFL);
	raise(sig);
}

static int load(const char *path)
{
	FILE *file = fopen(path, "re");

	if (!file) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	if (nr_files < MAX_FILES) {
		corpus[nr_files].size = fread(corpus[nr_files].data, 1, INPUT_SIZE, file);
		nr_files++;
	}
	fclose(file);
	return 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int load_folder(const char *self)
{
	const char *srcdir = getenv("srcdir"), *base = strrchr(self, '/');
	struct dirent **entries = NULL;
	char path[4096];
	int n, r = 0;

	base = base ? base + 1 : self;
	snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", srcdir ? srcdir : ".",
		 strncmp(base, "fuzz_", 5) == 0 ? base + 5 : base);
	n = scandir(path, &entries, NULL, by_name);
	if (n < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	for (int i = 0; i < n; i++) {
		char file[sizeof(path) + 300];

		snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
		if (entries[i]->d_name[0] != '.')
			r |= load(file);
		free(entries[i]);
	}
	free(entries);
	return r;
}

static void mutate_once(void)
{
	static const uint64_t edges[] = { 0, 1, 4095, 4096, 0x7fffffff, 0x80000000, 0xffffffff, 0x7ffffffff000,
					  0x8000000000000000, ~UINT64_C(0), ~UINT64_C(0) - 4095 };
	size_t at = current.size ? chance(current.size) : 0, n;
	const struct input *other = &corpus[chance(nr_files)];

	switch (chance(7)) {
	case 0:
		if (current.size)
			current.data[at] ^= (uint8_t)(1u << chance(8));
		break;
	case 1:
		if (current.size)
			current.data[at] = (uint8_t)chance(256);
		break;
	case 2: /* a number that matters, where a number may be */
		at &= ~(size_t)7;
		if (at + 8 <= current.size)
			memcpy(current.data + at, &edges[chance(sizeof(edges) / sizeof(edges[0]))], 8);
		break;
	case 3: /* cut out */
		n = chance(16) + 1;
		if (at + n <= current.size) {
			memmove(current.data + at, current.data + at + n, current.size - at - n);
			current.size -= n;
		}
		break;
	case 4: /* double */
		n = chance(16) + 1;
		if (at + n <= current.size && current.size + n <= INPUT_SIZE) {
			memmove(current.data + at + n, current.data + at, current.size - at);
			current.size += n;
		}
		break;
	case 5: /* the rest of another */
		n = other->size > at ? other->size - at : 0;
		memcpy(current.data + at, other->data + at, n);
		if (at + n > current.size)
			current.size = at + n;
		break;
	default:
		if (current.size < INPUT_SIZE)
			current.data[current.size++] = (uint8_t)chance(256);
		break;
	}
}

int main(int argc, char **argv)
{
	const char *text = getenv("VMS_SEED"), *count = getenv("VMS_ITERATIONS");
	uint64_t iterations = count ? strtoull(count, NULL, 0) : 20000;
	int r = 0;

	seed = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL) * 1000003u;
	rng = seed;
	for (int i = 1; i < argc; i++)
		r |= load(argv[i]);
	if (argc < 2)
		r = load_folder(argv[0]);
	if (r || nr_files == 0) {
		fprintf(stderr, "%s: no corpus\n", argv[0]);
		return 1;
	}
	printf("%s: %zu inputs, seed %" PRIu64 ", %" PRIu64 " mutations\n", argv[0], nr_files, seed, iterations);
	fflush(stdout);
	signal(SIGABRT, on_crash);
	signal(SIGSEGV, on_crash);
	for (size_t i = 0; i < nr_files; i++) {
		current = corpus[i];
		snprintf(note, sizeof(note), "input %zu of the corpus", i);
		LLVMFuzzerTestOneInput(current.data, current.size);
	}
	for (uint64_t i = 0; i < iterations; i++) {
		current = corpus[chance(nr_files)];
		for (uint64_t n = 1 + chance(6); n; n--)
			mutate_once();
		snprintf(note, sizeof(note), "seed %" PRIu64 ", mutation %" PRIu64, seed, i);
		LLVMFuzzerTestOneInput(current.data, current.size);
	}
	return 0;
}
