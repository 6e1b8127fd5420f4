/*
 * latency COUNT PAUSE_US: COUNT pairs of mmap and munmap with a pause after each; prints the median, the 99th percentile and the maximum of
 * one pair, in microseconds. latency storm THREADS: pairs without a pause, and a fork now and then, until it is killed.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void pair(void)
{
	void *at = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED || munmap(at, 65536) < 0)
		exit(1);
}

static void *storm(void *arg)
{
	for (unsigned long i = 0;; i++) {
		pair();
		if (i % 2000 == 0 && fork() == 0)
			_exit(0);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
	return arg;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int main(int argc, char **argv)
{
	long count, pause_us;
	double *all;

	if (argc == 3 && strcmp(argv[1], "storm") == 0) {
		for (long i = strtol(argv[2], NULL, 10); i > 1; i--) {
			pthread_t thread;

			pthread_create(&thread, NULL, storm, NULL);
		}
		storm(NULL);
	}
	if (argc != 3)
		return 2;
	count = strtol(argv[1], NULL, 10);
	pause_us = strtol(argv[2], NULL, 10);
	all = calloc((size_t)count, sizeof(*all));
	if (!all || count < 100)
		return 2;
	for (long i = 0; i < count; i++) {
		const double begun = now_us();

		pair();
		all[i] = now_us() - begun;
		usleep((useconds_t)pause_us);
	}
	qsort(all, (size_t)count, sizeof(*all), by_value);
	printf("%.1f %.1f %.1f\n", all[count / 2], all[count * 99 / 100], all[count - 1]);
	return 0;
}
