/*
 * Claim: a program that checks its allocations survives each of them failing.
 * allocs: makes a list of mappings of growing size, grows some by mremap, commits others by mprotect, undoes them all, and prints how
 * many calls failed; exit status 0 when what was allocated held what was written
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define N 12

static size_t failed;

static char *get(size_t i, size_t size)
{
	char *p = mmap(NULL, size, i % 2 ? PROT_NONE : PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *q;

	if (p == MAP_FAILED) {
		failed++;
		return NULL;
	}
	if (i % 2 && mprotect(p, size, PROT_READ | PROT_WRITE)) {
		failed++;
		munmap(p, size);
		return NULL;
	}
	memset(p, (int)i + 1, size);
	if (i % 4 == 2) {
		/* Twice the size or, when that fails, what there is. */
		q = mremap(p, size, 2 * size, MREMAP_MAYMOVE);
		failed += q == MAP_FAILED;
		if (q != MAP_FAILED) {
			failed += mremap(q, 2 * size, size, 0) == MAP_FAILED;
			return q;
		}
	}
	return p;
}

int main(void)
{
	size_t size[N];
	char *p[N];

	for (size_t i = 0; i < N; i++) {
		size[i] = (i + 1) * 200704;
		p[i] = get(i, size[i]);
	}
	for (size_t i = 0; i < N; i++) {
		if (p[i] && (p[i][0] != (char)(i + 1) || p[i][size[i] - 1] != (char)(i + 1)))
			return 1;
		if (p[i])
			munmap(p[i], size[i]);
	}
	printf("failed %zu\n", failed);
	return 0;
}
