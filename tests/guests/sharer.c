/*
 * sharer ME OTHER FOLDER: claim: tenants that share map each other's segments at the addresses that these have there, and follow
 * the pointers in them. Each has a segment where the kernel put it and says in a file where; a pointer in the other's leads back to
 * it. Prints "right" with the address of a mapping of its own, or "wrong" and what.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE 65536

/* All are pointers into a segment. */
struct segment {
	uint64_t *volatile root; /* written by the other */
	uint64_t *self;
	uint64_t value;
};

static const char *folder;

static void wrong(const char *what, const void *at)
{
	printf("wrong: %s %p: %s\n", what, at, strerror(errno));
	fflush(stdout);
	exit(1);
}

static struct segment *map(const char *name, void *at, int flags)
{
	char path[256];
	void *got;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_RDWR | O_CREAT, 0666);
	if (fd < 0 || ftruncate(fd, SIZE) < 0)
		wrong(path, NULL);
	got = mmap(at, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | flags, fd, 0);
	if (got == MAP_FAILED)
		wrong("segment", at);
	close(fd);
	return got;
}

static void tell(const char *name, const void *at)
{
	char path[256], new[264];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.at", folder, name);
	snprintf(new, sizeof(new), "%s.new", path);
	file = fopen(new, "w");
	if (!file || fprintf(file, "%p\n", at) < 0 || fclose(file) != 0 || rename(new, path) < 0)
		wrong(path, at);
}

static void *hear(const char *name)
{
	char path[256];
	FILE *file;
	void *at;

	snprintf(path, sizeof(path), "%s/%s.at", folder, name);
	while (!(file = fopen(path, "r")))
		usleep(10000);
	if (fscanf(file, "%p", &at) != 1)
		wrong(path, NULL);
	fclose(file);
	return at;
}

int main(int argc, char **argv)
{
	struct segment *mine, *theirs;
	void *private, *at;

	if (argc != 4)
		return 2;
	umask(0);
	folder = argv[3];
	mine = map(argv[1], NULL, 0);
	mine->self = &mine->value;
	mine->value = 4711;
	tell(argv[1], mine);
	at = hear(argv[2]);
	theirs = map(argv[2], at, MAP_FIXED_NOREPLACE);
	if ((void *)theirs != at || theirs->self != &theirs->value || *theirs->self != 4711)
		wrong("their pointers", theirs);
	theirs->root = mine->self;
	while (!mine->root)
		usleep(10000);
	if (mine->root != theirs->self || *mine->root != 4711)
		wrong("what is in mine", mine->root);
	private = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	printf("right %p\n", private);
	fflush(stdout);
	pause();
	return 0;
}
