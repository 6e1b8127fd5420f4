/*
 * Claim: where exe, stack, heap and mmap top lie follows the seed. Prints them, in hex; of the stack
 * the end, because the kernel itself chooses at random where in it the first word is.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

static uintptr_t stack_end(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	uintptr_t at = (uintptr_t)&f, start, end;
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &start, &end) == 2 && at >= start && at < end)
			return end;
	return 0;
}

int main(void)
{
	void *map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	printf("exe %lx\nstack %lx\nbrk %lx\nldso %lx\nvdso %lx\nmmap %lx\n", getauxval(AT_PHDR),
	       (unsigned long)stack_end() - 4096, (unsigned long)(uintptr_t)sbrk(0),
	       getauxval(AT_BASE), getauxval(AT_SYSINFO_EHDR), (unsigned long)(uintptr_t)map);
	return 0;
}
