/*
 * Claim: an i386 program gets from every call that is i386's own, or that passes its arguments differently there, what it gets
 * natively. Prints no address, so the output is the same everywhere.
 * i386 [but-old-mmap]
 * i386 exec PROGRAM ARGUMENT...: runs it as a child, and says how it ended
 * i386 grab MIB: says whether so much address space can be had
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <asm/ldt.h>

#define PAGE 4096UL
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

#define NR_OLD_MMAP 90
#define NR_OLD_GETRLIMIT 76
#define NR_IPC 117
#define NR_SIGNAL 48
#define NR_SIGACTION 67
#define NR_SHMAT 397
#define NR_SHMDT 398

/* x86-64's numbers, for the 64-bit code. */
#define NR64_MMAP 9
#define NR64_MUNMAP 11
#define NR64_GETPID 39

static void say(const char *what, long r)
{
	if (r >= 0 || r < -4095)
		printf("%-34s ok\n", what);
	else
		printf("%-34s %s\n", what, strerrorname_np((int)-r));
}

/* As the kernel returns it. An errno of glibc's syscall is -1. */
static long raw(long nr, long a, long b, long c, long d, long e)
{
	long r = nr;

	__asm__ volatile("int $0x80" : "+a"(r) : "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory");
	return r;
}

static int big_file(void)
{
	char name[] = "i386-XXXXXX";
	int fd = mkostemp64(name, O_CLOEXEC);

	if (fd < 0)
		exit(98);
	unlink(name);
	if (pwrite64(fd, "low", 4, PAGE) != 4 || pwrite64(fd, "high", 5, 0x140000000LL) != 5)
		exit(98);
	return fd;
}

static void old_mmap(int fd)
{
	unsigned long block[6] = { 0, 3 * PAGE, RW, ANON, -1UL, 0 };
	char *p = (char *)raw(NR_OLD_MMAP, (long)block, 0, 0, 0, 0);

	say("old mmap", (long)p);
	memset(p, 7, 3 * PAGE);
	block[0] = (unsigned long)p + PAGE;
	block[1] = PAGE;
	block[2] = PROT_READ;
	block[3] = MAP_PRIVATE | MAP_FIXED;
	block[4] = (unsigned long)fd;
	block[5] = PAGE;
	say("old mmap of a file, fixed", raw(NR_OLD_MMAP, (long)block, 0, 0, 0, 0));
	printf("%-34s %s %d %d\n", "  it has", p + PAGE, p[0], p[2 * PAGE]);
	block[5] = 5;
	say("old mmap, odd offset", raw(NR_OLD_MMAP, (long)block, 0, 0, 0, 0));
	say("old mmap, no block", raw(NR_OLD_MMAP, 16, 0, 0, 0, 0));
	block[4] = 999;
	block[5] = 0;
	say("old mmap, no file", raw(NR_OLD_MMAP, (long)block, 0, 0, 0, 0));
	say("munmap", munmap(p, 3 * PAGE));
}

static void new_mmap(int fd)
{
	char *p = mmap64(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0x140000000LL), *q;

	printf("%-34s %s\n", "mmap2 beyond 4 GiB", p == MAP_FAILED ? "failed" : p);
	q = mmap(p, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
	say("mmap2, noreplace", q == MAP_FAILED ? -errno : 0);
	q = mmap(p, PAGE, RW, ANON | MAP_FIXED, -1, 0);
	say("mmap2, fixed", q == p ? 0 : -errno);
	q = mmap(NULL, 0xfffff000u, RW, ANON, -1, 0);
	say("mmap2, nearly everything", q == MAP_FAILED ? -errno : 0);
	q = mmap(NULL, 0xffffffffu, RW, ANON, -1, 0);
	say("mmap2, everything", q == MAP_FAILED ? -errno : 0);
	say("munmap at the end", raw(SYS_munmap, (long)0xfffff000u, (long)PAGE, 0, 0, 0));
	/* Another's MAP_32BIT: nothing special here. */
	q = mmap(NULL, PAGE, RW, ANON | 0x40, -1, 0);
	say("mmap2, 32 bit", q == MAP_FAILED ? -errno : 0);
	q = mremap(q, PAGE, 3000 * PAGE, MREMAP_MAYMOVE);
	say("mremap", q == MAP_FAILED ? -errno : 0);
	q[2999 * PAGE] = 1;
	say("munmap", munmap(q, 3000 * PAGE));
	say("brk", brk((char *)sbrk(0) + 12345));
	memset((char *)sbrk(0) - 12345, 1, 12345);
}

static void shared_memory(void)
{
	int id = shmget(IPC_PRIVATE, 3 * PAGE, 0600);
	char *p = NULL, *q;

	say("shmget", id < 0 ? -errno : 0);
	say("ipc shmat", raw(NR_IPC, 21, id, 0, (long)&p, 0));
	if (p)
		strcpy(p, "shared");
	say("ipc shmat, no result", raw(NR_IPC, 21, id, 0, 16, 0));
	say("ipc shmat, version 1", raw(NR_IPC, 0x10000 | 21, id, 0, (long)&p, 0));
	q = (char *)raw(NR_SHMAT, id, 0, SHM_RDONLY, 0, 0);
	printf("%-34s %s\n", "shmat", (long)q < 0 && (long)q > -4096 ? "failed" : q);
	say("ipc shmdt", raw(NR_IPC, 22, 0, 0, 0, (long)p));
	say("shmdt", raw(NR_SHMDT, (long)q, 0, 0, 0, 0));
	say("shmdt again", raw(NR_SHMDT, (long)q, 0, 0, 0, 0));
	shmctl(id, IPC_RMID, NULL);
}

static void limits(void)
{
	unsigned long l[2] = { 1u << 30, -1UL };
	unsigned long long l64[2];
	void *p;

	say("setrlimit", raw(SYS_setrlimit, RLIMIT_AS, (long)l, 0, 0, 0));
	l[0] = 0;
	say("getrlimit", raw(SYS_ugetrlimit, RLIMIT_AS, (long)l, 0, 0, 0));
	printf("%-34s %lx %lx\n", "  it is", l[0], l[1]);
	say("old getrlimit", raw(NR_OLD_GETRLIMIT, RLIMIT_AS, (long)l, 0, 0, 0));
	printf("%-34s %lx %lx\n", "  it is", l[0], l[1]);
	say("prlimit64", raw(SYS_prlimit64, 0, RLIMIT_AS, 0, (long)l64, 0));
	printf("%-34s %llx %llx\n", "  it is", l64[0], l64[1]);
	/* Under vmsup the limit is looser, by the top gap at the most. */
	p = mmap(NULL, 9u << 27, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
	say("mmap of more than is allowed", p == MAP_FAILED ? -errno : 0);
	p = mmap(NULL, 3u << 28, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
	say("mmap of three quarters", p == MAP_FAILED ? -errno : 0);
	munmap(p, 3u << 28);
	l[0] = 2;
	l[1] = 1;
	say("setrlimit, soft above hard", raw(SYS_setrlimit, RLIMIT_AS, (long)l, 0, 0, 0));
	say("setrlimit, no limit", raw(SYS_setrlimit, RLIMIT_AS, 0, 0, 0, 0));
	l[0] = l[1] = -1UL;
	say("setrlimit, none", raw(SYS_setrlimit, RLIMIT_AS, (long)l, 0, 0, 0));
}

static volatile sig_atomic_t seen;

static void handler(int sig)
{
	seen += sig == SIGUSR1;
}

static void signals(void)
{
	struct {
		void (*handler)(int);
		unsigned long mask, flags;
		void (*restorer)(void);
	} old = { handler, 0, SA_RESTART, NULL };

	say("signal", raw(NR_SIGNAL, SIGUSR1, (long)handler, 0, 0, 0));
	raise(SIGUSR1);
	say("old sigaction", raw(NR_SIGACTION, SIGUSR1, (long)&old, 0, 0, 0));
	raise(SIGUSR1);
	signal(SIGUSR1, handler);
	raise(SIGUSR1);
	printf("%-34s %d\n", "handlers ran", (int)seen);
}

/* A far pointer, as a far jump takes it from memory. */
struct far {
	uint32_t offset;
	uint16_t segment;
};

struct call64 {
	struct far there, back;
	long nr, a, b, c, d, e;
};

/* Jumps to 64-bit code and comes back. Jumps, for qemu's emulation of a far call panics the kernel that it runs. */
long enter64(struct call64 *call);
__asm__("	.text\n"
	"enter64:\n"
	"	push %ebx\n"
	"	push %esi\n"
	"	push %edi\n"
	"	push %ebp\n"
	"	mov 20(%esp), %ebp\n"
	"	call 0f\n"
	"0:	pop %eax\n"
	"	add $1f - 0b, %eax\n"
	"	mov %eax, 8(%ebp)\n"
	"	movw $0x23, 12(%ebp)\n"
	"	mov 16(%ebp), %eax\n"
	"	mov 20(%ebp), %edi\n"
	"	mov 24(%ebp), %esi\n"
	"	mov 28(%ebp), %edx\n"
	"	mov 32(%ebp), %ecx\n"
	"	mov 36(%ebp), %ebx\n"
	"	ljmp *(%ebp)\n"
	"1:	pop %ebp\n"
	"	pop %edi\n"
	"	pop %esi\n"
	"	pop %ebx\n"
	"	ret\n");

static long call64(long nr, long a, long b, long c, long d, long e)
{
	static const unsigned char code[] = {
		0x41, 0x89, 0xca, /* mov %ecx, %r10d */
		0x41, 0x89, 0xd8, /* mov %ebx, %r8d */
		0x45, 0x31, 0xc9, /* xor %r9d, %r9d */
		0x0f, 0x05, /* syscall */
		0xff, 0x6d, 0x08, /* ljmp *8(%rbp) */
	};
	static char *page;
	struct call64 call = { .nr = nr, .a = a, .b = b, .c = c, .d = d, .e = e };

	if (!page) {
		page = mmap(NULL, PAGE, RW | PROT_EXEC, ANON, -1, 0);
		if (page == MAP_FAILED)
			exit(97);
		memcpy(page, code, sizeof(code));
	}
	call.there = (struct far){ (uintptr_t)page, 0x33 };
	return enter64(&call);
}

static void as_64(void)
{
	char *p = mmap(NULL, 2 * PAGE, RW, ANON, -1, 0);

	printf("%-34s %d\n", "64-bit getpid is getpid", call64(NR64_GETPID, 0, 0, 0, 0, 0) == getpid());
	p[0] = 9;
	say("64-bit mmap, fixed", call64(NR64_MMAP, (long)p, (long)PAGE, RW, ANON | MAP_FIXED, -1));
	printf("%-34s %d\n", "  it has", p[0]);
	/* The kernel searches from the 64-bit mmap_base, and finds what is no address here. */
	say("64-bit mmap", call64(NR64_MMAP, 0, (long)PAGE, RW, ANON, -1));
	say("64-bit munmap", call64(NR64_MUNMAP, (long)p, (long)(2 * PAGE), 0, 0, 0));
	say("munmap of the same", munmap(p, 2 * PAGE));
}

static long sysenter_getpid(void)
{
	unsigned long entry = getauxval(AT_SYSINFO);
	long r = SYS_getpid;

	__asm__ volatile("call *%1" : "+a"(r) : "r"(entry) : "memory");
	return r;
}

/* What a thread has in its segment registers stays there, whatever is done about its calls. */
static void segments(void)
{
	static uint32_t there = 0x1234567;
	struct user_desc desc = { .entry_number = (unsigned int)-1, .base_addr = (uintptr_t)&there, .limit = 0xfffff,
				  .seg_32bit = 1, .limit_in_pages = 1, .useable = 1 };
	uint32_t got;

	say("set_thread_area", raw(SYS_set_thread_area, (long)&desc, 0, 0, 0, 0));
	__asm__ volatile("mov %w0, %%fs" : : "r"(desc.entry_number << 3 | 3));
	for (int i = 0; i < 3; i++)
		munmap(mmap(NULL, PAGE << i, RW, ANON, -1, 0), PAGE << i);
	__asm__ volatile("mov %%fs:0, %0" : "=r"(got));
	printf("%-34s %x\n", "fs:0", got);
	printf("%-34s %d\n", "getpid through the vdso", sysenter_getpid() == getpid());
}

static void *thread(void *arg)
{
	char *p = mmap(NULL, 100 * PAGE, RW, ANON, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	memset(p, 1, 100 * PAGE);
	munmap(p, 100 * PAGE);
	return arg;
}

static void threads(void)
{
	pthread_t t[10];
	static int mine[10];
	void *r;
	int fine = 0;

	for (int i = 0; i < 10; i++)
		if (pthread_create(&t[i], NULL, thread, &mine[i]))
			t[i] = 0;
	for (int i = 0; i < 10; i++)
		fine += t[i] && pthread_join(t[i], &r) == 0 && r == &mine[i];
	printf("%-34s %d\n", "threads", fine);
}

static int grab(const char *mib)
{
	void *p = mmap(NULL, strtoul(mib, NULL, 0) << 20, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);

	printf("%s: %s\n", mib, p == MAP_FAILED ? strerrorname_np(errno) : "ok");
	return 0;
}

static int execute(char **argv)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execvp(argv[0], argv);
		fprintf(stderr, "%s: %s\n", argv[0], strerrorname_np(errno));
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 96;
	printf("%s: %s %d\n", argv[0], WIFEXITED(status) ? "exit" : "signal",
	       WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	return 0;
}

int main(int argc, char **argv)
{
	int fd;

	setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
	if (argc > 2 && !strcmp(argv[1], "exec"))
		return execute(argv + 2);
	if (argc == 3 && !strcmp(argv[1], "grab"))
		return grab(argv[2]);
	fd = big_file();
	if (argc < 2)
		old_mmap(fd);
	new_mmap(fd);
	shared_memory();
	limits();
	signals();
	as_64();
	segments();
	threads();
	return 0;
}
