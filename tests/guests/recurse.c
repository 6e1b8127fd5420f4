/*
 * Claim: the stack grows to 7 MB under the usual 8 MB limit.
 */
#include <stdio.h>
#include <string.h>

#define FRAME 1024

static __attribute__((noinline)) unsigned long descend(long left, unsigned char seed)
{
	volatile unsigned char frame[FRAME];
	unsigned long below;

	memset((void *)frame, seed, sizeof(frame));
	if (left <= 0)
		return frame[FRAME / 2];
	below = descend(left - FRAME, (unsigned char)(seed + 1));
	return below + frame[0];
}

int main(void)
{
	printf("sum %lu\n", descend(7L << 20, 1));
	return 0;
}
