/*
 * Claim: each way to executable memory works or is refused as the policy says.
 * protect: tries them all, prints a line each: name, and "ok" or the errno
 * protect race FILE: four threads swap descriptors of FILE and of a library while others map them executable; prints "kept", or
 * "broken" when FILE ever was executable
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/userfaultfd.h>

#define PAGE 4096
#define RW (PROT_READ | PROT_WRITE)
#define RX (PROT_READ | PROT_EXEC)

static void say(const char *name, int ok)
{
	printf("%s %s\n", name, ok ? "ok" : strerrorname_np(errno));
}

static char *anon(int prot)
{
	return mmap(NULL, PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static char *of(int fd, int prot, int flags)
{
	return mmap(NULL, PAGE, prot, flags, fd, 0);
}

/* A file with a page in it, open for reading and writing. */
static int page_file(int fd)
{
	static const char page[PAGE] = { (char)0xc3 };

	if (fd < 0 || pwrite(fd, page, PAGE, 0) != PAGE)
		exit(98);
	return fd;
}

static void try_anon(void)
{
	char *p;

	say("both", anon(RW | PROT_EXEC) != MAP_FAILED);
	say("anon", anon(RX) != MAP_FAILED);
	p = anon(RW);
	p[0] = (char)0xc3;
	say("after-write", mprotect(p, PAGE, RX) == 0);
	p = anon(RW);
	mprotect(p, PAGE, PROT_READ);
	say("after-write-read", mprotect(p, PAGE, RX) == 0);
	p = anon(RW);
	mprotect(p, PAGE, PROT_READ);
	p = mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
	say("after-move", p != MAP_FAILED && mprotect(p, PAGE, RX) == 0);
	say("both-later", mprotect(anon(RW), PAGE, RW | PROT_EXEC) == 0);
}

static void try_fork(void)
{
	char *p = anon(RW);
	int status;

	p[0] = (char)0xc3;
	mprotect(p, PAGE, PROT_READ);
	if (fork() == 0)
		_exit(mprotect(p, PAGE, RX) ? errno : 0);
	wait(&status);
	errno = WEXITSTATUS(status);
	say("after-fork", errno == 0);
}

static void try_files(void)
{
	int text = open("/proc/self/exe", O_RDONLY), fd = page_file(open("page", O_RDWR | O_CREAT | O_TRUNC, 0755)), again;
	int mem = page_file(memfd_create("page", 0));
	char *p;

	say("text", of(text, RX, MAP_PRIVATE) != MAP_FAILED);
	p = of(text, PROT_READ, MAP_PRIVATE);
	say("text-later", mprotect(p, PAGE, RX) == 0);
	p = of(text, RW, MAP_PRIVATE);
	p[0] = (char)0xc3;
	mprotect(p, PAGE, PROT_READ);
	say("text-written", mprotect(p, PAGE, RX) == 0);
	say("open-to-write", of(fd, RX, MAP_PRIVATE) != MAP_FAILED);
	say("file-both", of(open("page", O_RDONLY), RX | PROT_WRITE, MAP_PRIVATE) != MAP_FAILED);
	p = of(open("page", O_RDONLY), PROT_READ, MAP_PRIVATE);
	say("file-both-later", mprotect(p, PAGE, RX | PROT_WRITE) == 0);
	again = open("page", O_RDONLY);
	p = of(fd, RW, MAP_SHARED);
	say("alias", of(again, RX, MAP_PRIVATE) != MAP_FAILED);
	munmap(p, PAGE);
	/* Read-only and unmapped elsewhere: nobody can tell that it was written here. */
	p = of(again, RX, MAP_SHARED);
	say("reopened", p != MAP_FAILED);
	if (p != MAP_FAILED)
		say("alias-later", of(fd, RW, MAP_SHARED) != MAP_FAILED);
	else
		printf("alias-later none\n");
	say("memfd", of(mem, RX, MAP_SHARED) != MAP_FAILED);
	say("memfd-private", of(mem, RX, MAP_PRIVATE) != MAP_FAILED);
	say("memfd-later", mprotect(of(mem, PROT_READ, MAP_SHARED), PAGE, RX) == 0);
	say("memfd-private-later", mprotect(of(mem, PROT_READ, MAP_PRIVATE), PAGE, RX) == 0);
	say("open-to-write-later", mprotect(of(fd, PROT_READ, MAP_PRIVATE), PAGE, RX) == 0);
	say("closed", of(999, RX, MAP_PRIVATE) != MAP_FAILED);
}

static void try_shm(void)
{
	int id = shmget(IPC_PRIVATE, PAGE, 0700 | IPC_CREAT);

	say("shm", shmat(id, NULL, SHM_EXEC) != (void *)-1);
	say("shm-later", mprotect(shmat(id, NULL, SHM_RDONLY), PAGE, RX) == 0);
	shmctl(id, IPC_RMID, NULL);
}

static void try_shared(void)
{
	say("shared", mmap(NULL, PAGE, RX, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
	say("shared-later", mprotect(mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0), PAGE, RX) == 0);
}

static int dup_targets[2], slot = 100;
static atomic_int stop;

static void *swapper(void *arg)
{
	(void)arg;
	for (int i = 0; !stop; i++)
		dup2(dup_targets[i & 1], slot);
	return NULL;
}

static int is_broken(const char *path)
{
	FILE *file = fopen("/proc/self/maps", "r");
	char line[1024];
	int broken = 0;

	while (fgets(line, sizeof(line), file)) {
		char *prot = strchr(line, ' ');

		if (prot && prot[3] == 'x' && strstr(line, path))
			broken = 1;
	}
	fclose(file);
	return broken;
}

static int race(const char *path)
{
	pthread_t t[2];
	int broken = 0, mapped = 0;

	dup_targets[0] = open("/usr/lib/x86_64-linux-gnu/libc.so.6", O_RDONLY);
	dup_targets[1] = open(path, O_RDONLY);
	dup2(dup_targets[0], slot);
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, swapper, NULL);
	for (int i = 0; i < 400; i++) {
		char *p = of(slot, i & 1 ? RX : PROT_READ, MAP_PRIVATE);

		if (p == MAP_FAILED)
			continue;
		if (!(i & 1) && mprotect(p, PAGE, RX)) {
			munmap(p, PAGE);
			continue;
		}
		mapped++;
		broken |= is_broken(path);
		munmap(p, PAGE);
	}
	stop = 1;
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	printf("%s\n", broken ? "broken" : mapped ? "kept" : "never mapped");
	return 0;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IONBF, 0);
	if (argc > 2)
		return race(argv[2]);
	try_anon();
	try_fork();
	try_files();
	try_shm();
	try_shared();
	say("userfaultfd", syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY) >= 0);
	say("dlopen", dlopen("libm.so.6", RTLD_NOW) != NULL);
	say("personality", personality(READ_IMPLIES_EXEC) != -1);
	return 0;
}
