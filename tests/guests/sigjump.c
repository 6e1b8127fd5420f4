/*
 * Claim: a handler that siglongjmps out of memory calls leaves each call done or not done, never
 * half done and never done twice, and the program's own view of it agrees with the kernel's.
 * sigjump JUMPS
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096ul
#define SLOTS 32

static sigjmp_buf back;
static volatile sig_atomic_t armed, jumps;
static unsigned char *arena; /* SLOTS pages, each mapped or not */
static long wrong;

static void handler(int sig)
{
	(void)sig;
	if (!armed)
		return;
	armed = 0;
	jumps++;
	siglongjmp(back, 1);
}

static int is_mapped(int slot)
{
	unsigned char vec;

	return mincore(arena + slot * PAGE, PAGE, &vec) == 0;
}

static void bad(const char *what, int slot)
{
	wrong++;
	if (wrong < 10)
		fprintf(stderr, "sigjump: %s, slot %d: %s\n", what, slot, strerror(errno));
}

static int map(int slot)
{
	unsigned char *at = arena + slot * PAGE;

	return mmap(at, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == at;
}

/* What the slot is, after a call that may have been left: known or one of two. */
static void round_of(int slot)
{
	volatile int was = is_mapped(slot);

	if (sigsetjmp(back, 1) == 0) {
		int ok;

		armed = 1;
		ok = was ? munmap(arena + slot * PAGE, PAGE) == 0 : map(slot);
		armed = 0;
		if (!ok)
			bad(was ? "munmap" : "mmap", slot);
		else if (is_mapped(slot) == was)
			bad("done, but not to be seen", slot);
	} else if (is_mapped(slot) != was && !was) {
		/* A new page is zero: it has not been mapped twice with a use in between. */
		if (arena[slot * PAGE])
			bad("not fresh", slot);
	}
	if (is_mapped(slot))
		memset(arena + slot * PAGE, 1, PAGE);
}

/* brk has a state of its own: where it stands is what a later brk(0) says. */
static void round_of_brk(void)
{
	char *volatile base = (char *)syscall(SYS_brk, 0);

	if (sigsetjmp(back, 1) == 0) {
		char *now;

		armed = 1;
		now = (char *)syscall(SYS_brk, base + 3 * PAGE);
		armed = 0;
		if (now != base + 3 * PAGE)
			bad("brk", 0);
	} else {
		char *now = (char *)syscall(SYS_brk, 0);

		if (now != base && now != base + 3 * PAGE)
			bad("brk after a jump", 0);
	}
	if ((char *)syscall(SYS_brk, base) != base)
		bad("brk back", 0);
}

static void restart_timer(void)
{
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGURG };
	const struct itimerspec its = { { 0, 300000 }, { 0, 300000 } };
	timer_t timer;

	if (timer_create(CLOCK_MONOTONIC, &ev, &timer) || timer_settime(timer, 0, &its, NULL))
		exit(99);
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = handler };
	long goal = argc > 1 ? atol(argv[1]) : 100;

	arena = mmap(NULL, SLOTS * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (arena == MAP_FAILED)
		return 99;
	memset(arena, 1, SLOTS * PAGE);
	sigaction(SIGURG, &sa, NULL);
	restart_timer();
	for (unsigned int i = 0; jumps < goal; i++) {
		if (i % 5 == 4)
			round_of_brk();
		else
			round_of((int)((i * 7) % SLOTS));
	}
	printf("wrong %ld\n", wrong);
	return wrong ? 1 : 0;
}
