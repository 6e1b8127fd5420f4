/*
 * Claim: where exe, stack, heap and mmap top lie follows the seed. Prints the four, in hex.
 */
#include <stdint.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	void *map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)argc;
	printf("exe %lx\nstack %lx\nbrk %lx\nldso %lx\nvdso %lx\nmmap %lx\n", getauxval(AT_PHDR),
	       (unsigned long)(uintptr_t)argv & ~0xfffUL, (unsigned long)(uintptr_t)sbrk(0),
	       getauxval(AT_BASE), getauxval(AT_SYSINFO_EHDR), (unsigned long)(uintptr_t)map);
	return 0;
}
