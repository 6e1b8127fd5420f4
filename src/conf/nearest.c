/* Guessing at mistyped words; see the header. */
#include "vmsup/conf/nearest.h"

#include <stdint.h>
#include <string.h>

#define LONGEST 32

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Optimal string alignment distance; both words are at most LONGEST letters. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t rows[3][LONGEST + 1];
	size_t *before = rows[0], *last = rows[1], *row = rows[2];

	for (size_t j = 0; j <= b_len; j++)
		last[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t *spare = before;

		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			row[j] = least(least(last[j], row[j - 1]) + 1,
				       last[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = least(row[j], before[j - 2] + 1);
		}
		before = last;
		last = row;
		row = spare;
	}
	return last[b_len];
}

const char *vms_nearest(const char *word, size_t len, const char *const *names, size_t count)
{
	const char *best = NULL;
	size_t best_distance = SIZE_MAX;

	if (len == 0 || len > LONGEST)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		size_t name_len = strlen(names[i]), d;

		if (name_len > LONGEST)
			continue;
		if (strncmp(names[i], word, len) == 0)
			return names[i];
		d = distance(word, len, names[i], name_len);
		/* A third of the letters may be wrong: more, and the guess would only mislead. */
		if (d < best_distance && d <= name_len / 3) {
			best = names[i];
			best_distance = d;
		}
	}
	return best;
}
