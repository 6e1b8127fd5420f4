/* grower: maps 40 pages with MAP_GROWSDOWN and lets each grow by page faults until one is refused. Prints by how many KiB they did. */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>

static sigjmp_buf refused;
static volatile long grown;
static char stack[1 << 16];

static void on_fault(int sig)
{
	(void)sig;
	siglongjmp(refused, 1);
}

static void grow(char *page)
{
	char *volatile at = page;

	if (sigsetjmp(refused, 1))
		return;
	for (*at = 1;; grown++) {
		at -= 4096;
		*at = 1;
	}
}

int main(void)
{
	const stack_t other = { .ss_sp = stack, .ss_size = sizeof(stack) };
	const struct sigaction action = { .sa_handler = on_fault, .sa_flags = SA_ONSTACK };

	if (sigaltstack(&other, NULL) < 0 || sigaction(SIGSEGV, &action, NULL) < 0)
		return 2;
	for (int i = 0; i < 40; i++) {
		char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0);

		if (page == MAP_FAILED) {
			perror("mmap");
			return 1;
		}
		grow(page);
	}
	printf("%ld KiB\n", grown * 4);
	return 0;
}
