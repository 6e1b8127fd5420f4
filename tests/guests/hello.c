/*
 * Claim: arguments, environment, auxiliary vector, break, heap and thread-local storage of a fresh
 * image are right, however the image was linked.
 * Built four times: dynamic PIE, dynamic non-PIE, static non-PIE, static PIE.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

static __thread int local = 42;
static int table[4096] = { [17] = 17 };
static int *const pointer = &table[17];

static int ctor_ran;

__attribute__((constructor)) static void ctor(void)
{
	ctor_ran = 1;
}

int main(int argc, char **argv, char **envp)
{
	const char *mark = getenv("GUEST_MARK");
	char *before, *after;
	int envc = 0;

	for (int i = 0; i < argc; i++)
		printf("argv[%d]=%s\n", i, argv[i]);
	while (envp[envc])
		envc++;
	printf("envc=%d mark=%s\n", envc, mark ? mark : "(none)");
	printf("execfn=%s\n", (const char *)getauxval(AT_EXECFN));
	printf("platform=%s pagesz=%lu phnum>0=%d\n", (const char *)getauxval(AT_PLATFORM),
	       getauxval(AT_PAGESZ), getauxval(AT_PHNUM) > 0);
	printf("random=%d\n", getauxval(AT_RANDOM) != 0);
	printf("tls=%d relocated=%d ctor=%d\n", local, *pointer, ctor_ran);

	before = sbrk(0);
	if (sbrk(3 << 20) != before) {
		printf("sbrk: %s\n", strerror(errno));
		return 1;
	}
	memset(before, 0x5a, 3 << 20);
	after = sbrk(0);
	printf("brk grew by %ld\n", (long)(after - before));
	sbrk(-(3 << 20));
	printf("brk back: %d\n", sbrk(0) == before);

	for (size_t n = 1; n <= (size_t)64 << 20; n <<= 1) {
		char *p = malloc(n);

		if (!p) {
			printf("malloc(%zu) failed\n", n);
			return 1;
		}
		p[0] = p[n - 1] = 1;
		free(p);
	}
	puts("malloc fine");
	return 23;
}
