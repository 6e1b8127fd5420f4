/*
 * Claim: eight threads may map, protect and unmap while another forks, and every process sees
 * only its own memory, with the contents it wrote.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 8
#define ROUNDS 150
#define FORKS 25

static atomic_int wrong;

static void fail(const char *what)
{
	fprintf(stderr, "mapfork: %s: %s\n", what, strerror(errno));
	wrong++;
}

static void *mapper(void *arg)
{
	unsigned int id = (unsigned int)(unsigned long)arg;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		size_t len = (size_t)(1 + (i * 7 + id) % 13) * 4096;
		unsigned char *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED) {
			fail("mmap");
			continue;
		}
		for (size_t o = 0; o < len; o += 4096) {
			if (p[o])
				fail("memory is not fresh");
			p[o] = (unsigned char)(id + 1);
		}
		if (mprotect(p, 4096, PROT_READ))
			fail("mprotect");
		for (size_t o = 0; o < len; o += 4096)
			if (p[o] != id + 1)
				fail("somebody else wrote here");
		if (munmap(p, len))
			fail("munmap");
	}
	return NULL;
}

/* Raw calls only: the other threads do not exist in the child. */
static void in_child(void)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		_exit(1);
	p[0] = p[8191] = 1;
	_exit(munmap(p, 8192) ? 2 : 0);
}

int main(void)
{
	pthread_t t[THREADS];

	for (unsigned long i = 0; i < THREADS; i++)
		if (pthread_create(&t[i], NULL, mapper, (void *)i))
			fail("pthread_create");
	for (int i = 0; i < FORKS; i++) {
		int status = -1;
		pid_t pid = fork();

		if (pid == 0)
			in_child();
		if (pid < 0)
			fail("fork");
		else if (waitpid(pid, &status, 0) != pid || status != 0)
			fail("a child went wrong");
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	printf("wrong %d\n", wrong);
	return wrong ? 1 : 0;
}
