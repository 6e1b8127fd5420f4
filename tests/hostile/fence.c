/*
 * Claim: no call that takes an address opens the fence.
 * fence LO HI advice | memory | userfault | rings | shm | registers | abi | cookie | image
 */
#include <asm/ldt.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "hostile.h"

static sigjmp_buf fault;

static void on_fault(int sig)
{
	siglongjmp(fault, sig);
}

static bool is_readable(uintptr_t at)
{
	struct sigaction sa = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	if (sigsetjmp(fault, 1))
		return false;
	*(volatile char *)at;
	return true;
}

static uintptr_t places[4];
static int nr_places;

static void list_places(void)
{
	if (lo > 0x11000)
		places[nr_places++] = lo - PAGE;
	places[nr_places++] = hi;
	places[nr_places++] = USER_END / 2 & ~(PAGE - 1);
	places[nr_places++] = USER_END - PAGE;
}

static void check_places(const char *after)
{
	for (int i = 0; i < nr_places; i++) {
		if (is_readable(places[i]))
			escaped(after);
	}
	check_fence(after);
}

static void advice(void)
{
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	pid_t child;

	for (int i = 0; i < nr_places; i++) {
		for (int what = 0; what < 120; what++) {
			struct iovec iov = { (void *)places[i], PAGE };

			/* Poisoning is the machine's business, not ours. */
			if (what == 100 || what == 101)
				continue;
			madvise((void *)places[i], PAGE, what);
			syscall(SYS_process_madvise, pidfd, &iov, 1, what, 0);
		}
		mlock((void *)places[i], PAGE);
		msync((void *)places[i], PAGE, MS_SYNC);
		syscall(SYS_mbind, places[i], PAGE, 0, NULL, 0, 0);
	}
	/* MADV_DONTFORK on the fence would leave a child without it. */
	child = fork();
	if (child == 0) {
		check_places("fork after advice");
		_exit(0);
	}
	wait_for(child);
}

static void memory(void)
{
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	char byte = 'x';

	for (int i = 0; i < nr_places; i++) {
		struct iovec mine = { &byte, 1 }, its = { (void *)places[i], 1 };

		/* The kernel lets a program's debugger write there; no instruction can reach it. */
		(void)!pwrite(fd, &byte, 1, (off_t)places[i]);
		if (process_vm_writev(getpid(), &mine, 1, &its, 1, 0) == 1 || process_vm_readv(getpid(), &mine, 1, &its, 1, 0) == 1)
			escaped("process_vm_writev");
		(void)!write(1, (void *)places[i], 0);
		if (read(fd, (void *)places[i], 1) > 0)
			escaped("read into the fence");
	}
}

static void userfault(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	struct uffdio_api api = { .api = UFFD_API };
	char *page = mmap(NULL, 2 * PAGE, RW, ANON, -1, 0);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) < 0) {
		puts("no userfaultfd");
		return;
	}
	memset(page, 1, 2 * PAGE);
	for (int i = 0; i < nr_places; i++) {
		struct uffdio_register reg = { .range = { places[i], PAGE },
					       .mode = UFFDIO_REGISTER_MODE_MISSING };
		struct uffdio_copy copy = { .dst = places[i], .src = (uintptr_t)page, .len = PAGE };
		struct uffdio_zeropage zero = { .range = { places[i], PAGE } };

		ioctl(fd, UFFDIO_REGISTER, &reg);
		ioctl(fd, UFFDIO_COPY, &copy);
		ioctl(fd, UFFDIO_ZEROPAGE, &zero);
		ioctl(fd, UFFDIO_UNREGISTER, &reg.range);
	}
	close(fd);
}

static void uring(void)
{
	struct io_uring_params p = { 0 };
	int fd = (int)syscall(SYS_io_uring_setup, 8, &p);
	struct io_uring_sqe *sqes;
	unsigned int *ring;

	if (fd < 0) {
		puts("no io_uring");
		return;
	}
	ring = mmap(NULL, p.sq_off.array + p.sq_entries * 4, RW, MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQ_RING);
	sqes = mmap(NULL, p.sq_entries * sizeof(*sqes), RW, MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQES);
	if (ring == MAP_FAILED || sqes == MAP_FAILED || is_outside((long)ring) || is_outside((long)sqes))
		escaped("io_uring");
	for (int i = 0; i < nr_places; i++) {
		static const int advices[] = { MADV_DONTFORK, MADV_DONTNEED, MADV_FREE, MADV_REMOVE, 102 };

		for (size_t k = 0; k < sizeof(advices) / sizeof(advices[0]); k++) {
			unsigned int tail = ring[p.sq_off.tail / 4], slot = tail % p.sq_entries;

			memset(&sqes[slot], 0, sizeof(sqes[slot]));
			sqes[slot].opcode = IORING_OP_MADVISE;
			sqes[slot].addr = places[i];
			sqes[slot].len = PAGE;
			sqes[slot].fadvise_advice = (uint32_t)advices[k];
			ring[p.sq_off.array / 4 + slot] = slot;
			__atomic_store_n(&ring[p.sq_off.tail / 4], tail + 1, __ATOMIC_RELEASE);
			syscall(SYS_io_uring_enter, fd, 1, 0, 0, NULL, 0);
		}
	}
	close(fd);
}

static void rings(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(attr),
					.config = PERF_COUNT_SW_CPU_CLOCK, .exclude_kernel = 1 };
	aio_context_t many[8] = { 0 };
	int perf = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
	pid_t child;
	void *ring;

	for (int i = 0; i < 8; i++) {
		if (syscall(SYS_io_setup, 4 << i, &many[i]) == 0 && is_outside((long)many[i]))
			escaped("io_setup");
	}
	if (perf >= 0) {
		for (int i = 0; i < nr_places; i++)
			mmap((void *)places[i], 9 * PAGE, RW, MAP_SHARED | MAP_FIXED, perf, 0);
		ring = mmap(NULL, 9 * PAGE, RW, MAP_SHARED, perf, 0);
		if (ring != MAP_FAILED && is_outside((long)ring))
			escaped("perf");
		munmap(ring, 9 * PAGE);
	}
	uring();
	check_places("rings");
	child = fork();
	if (child == 0) {
		check_places("rings and fork");
		_exit(0);
	}
	wait_for(child);
	for (int i = 0; i < 8; i++)
		syscall(SYS_io_destroy, many[i]);
}

static void shm(void)
{
	int id = shmget(IPC_PRIVATE, 4 * PAGE, 0600);
	char *mine = mmap(NULL, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	for (int i = 0; i < nr_places; i++) {
		if (is_outside((long)shmat(id, (void *)places[i], SHM_REMAP)) ||
		    is_outside((long)shmat(id, (void *)(places[i] + 5), SHM_REMAP | SHM_RND)) ||
		    is_outside((long)shmat(id, (void *)places[i], 0)))
			escaped("shmat");
		shmdt((void *)places[i]);
		syscall(SYS_remap_file_pages, places[i], PAGE, 0, 1, 0);
	}
	/* From inside across the end. */
	if (shmat(id, (void *)(hi - PAGE), SHM_REMAP) != (void *)-1 ||
	    mremap(mine, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)(hi - PAGE)) != MAP_FAILED)
		escaped("across the end");
	shmctl(id, IPC_RMID, NULL);
}

/* The upper halves of int arguments set, addresses that wrap, lengths that overflow. */
static void registers(void)
{
	static const uint64_t upper[] = { 0, 1ULL << 32, 0xffffffffULL << 32, 1ULL << 63 };
	const size_t nr = sizeof(upper) / sizeof(upper[0]);

	for (int i = 0; i < nr_places; i++) {
		for (size_t k = 0; k < nr; k++) {
			uintptr_t at = places[i];

			if (is_outside(syscall(SYS_mmap, at, PAGE, (uint64_t)RW | upper[k], (ANON | MAP_FIXED) | upper[k], -1, 0)) ||
			    is_outside(syscall(SYS_mmap, at | upper[k], PAGE, RW, ANON | MAP_FIXED, upper[k] | 0xffffffff, 0)) ||
			    is_outside(syscall(SYS_mmap, at, PAGE | upper[k], RW, ANON | MAP_FIXED, -1, upper[k])) ||
			    syscall(SYS_mprotect, at, PAGE, RW | upper[k]) == 0 ||
			    syscall(SYS_prctl, 35 | upper[k], 1, at, 0, 0) == 0 ||
			    is_outside(syscall(SYS_shmat, upper[k], at, SHM_REMAP | upper[k])) ||
			    is_outside(syscall(SYS_mmap | upper[k], at, PAGE, RW, ANON | MAP_FIXED, -1, 0)))
				escaped("upper halves");
			syscall(SYS_munmap, at | upper[k], PAGE);
			/* Of 4 GiB it would take what is inside. */
			if (upper[k] != 1ULL << 32)
				syscall(SYS_munmap, at, PAGE | upper[k]);
			syscall(SYS_munmap | upper[k], at, PAGE);
			syscall(SYS_brk, at | upper[k]);
			syscall(SYS_mremap, at | upper[k], PAGE, 2 * PAGE, 1 | upper[k], 0);
			syscall(SYS_personality, 0x0200000 | upper[k]);
			syscall(SYS_arch_prctl, 0x2003 | upper[k], at);
			syscall(SYS_execve, upper[k], 0, 0);
			syscall(SYS_exit | 0x4000, 0);
		}
	}
	for (uint64_t len = 1; len; len <<= 1) {
		long at = syscall(SYS_mmap, lo, len, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);

		if (at != -1) {
			if ((uintptr_t)at < lo || (uintptr_t)at + len > hi)
				escaped("a long mapping");
			syscall(SYS_munmap, at, len);
		}
		if (len >= PAGE && syscall(SYS_munmap, hi - PAGE, (uint64_t)-len) == 0)
			escaped("munmap that wraps");
		syscall(SYS_mremap, hi - PAGE, len, len * 2, 1, 0);
	}
}

static long call_int80(long nr, long a, long b, long c, long d, long e, long f)
{
	long ret;
	register long rbp_value __asm__("r8") = f;

	__asm__ volatile("push %%rbp; mov %%r8, %%rbp; int $0x80; pop %%rbp"
			 : "=a"(ret), "+r"(rbp_value)
			 : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
			 : "memory", "r9", "r10", "r11");
	return ret;
}

/* ipc(2) has shmat behind a number with a version in its upper half. */
static void ipc_shmat(long at)
{
	int id = shmget(IPC_PRIVATE, PAGE, 0600);
	long *ret = mmap(NULL, PAGE, RW, ANON, -1, 0);

	for (long version = 0; version < 4 && (uintptr_t)ret < UINT32_MAX; version++) {
		ret[0] = 0;
		call_int80(117, version << 16 | 21, id, SHM_REMAP, (long)ret, at, 0);
		if (ret[0] == at)
			escaped("shmat of ipc");
	}
	shmctl(id, IPC_RMID, NULL);
	munmap(ret, PAGE);
}

/* The first mmap of i386 takes its arguments from memory. */
static void old_mmap(unsigned int at)
{
	unsigned int *block = mmap(NULL, PAGE, RW, ANON, -1, 0);
	const unsigned int args[6] = { at, PAGE, RW, ANON | MAP_FIXED, (unsigned int)-1, 0 };

	if ((uintptr_t)block < UINT32_MAX) {
		memcpy(block, args, sizeof(args));
		if (call_int80(90, (long)block, 0, 0, 0, 0, 0) == (long)at)
			escaped("the old mmap of i386");
	}
	munmap(block, PAGE);
}

/* i386 and x32: refused, or kept inside. */
static void abi(void)
{
	const uintptr_t low = lo > 0x11000 ? lo - PAGE : hi;
	struct sigaction sa = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
	long at;

	/* Without IA32 emulation int $0x80 is a fault. */
	sigaction(SIGSEGV, &sa, NULL);
	if (!sigsetjmp(fault, 1)) {
		if (low < UINT32_MAX) {
			at = call_int80(192, (long)low, PAGE, RW, ANON | MAP_FIXED, -1, 0);
			if (at == (long)low)
				escaped("mmap2 of i386");
			call_int80(91, (long)low, PAGE, 0, 0, 0, 0);
		}
		at = call_int80(192, 0, PAGE, RW, ANON, -1, 0);
		if (at > 0 && ((uintptr_t)at < lo || (uintptr_t)at >= hi))
			escaped("mmap2 of i386 without an address");
		call_int80(45, (long)(low & 0x7fffffff), 0, 0, 0, 0, 0);
		call_int80(136, 0x0200000, 0, 0, 0, 0, 0);
		ipc_shmat((long)low);
		old_mmap((unsigned int)low);
		call_int80(11, 0, 0, 0, 0, 0, 0);
	}
	at = syscall(SYS_mmap | 0x40000000, places[0], PAGE, RW, ANON | MAP_FIXED, -1, 0);
	syscall(SYS_munmap | 0x40000000, places[0], PAGE);
	if (is_outside(at))
		escaped("x32");
	at = syscall(512 + 0x40000000, 0, 0, 0);
	if (at != -1)
		escaped("an x32 call was answered");
}

/* Mappings of the shape in which vmsup shows its cookie, with values that might be one. */
static void cookie(void)
{
	uint64_t guess = 0x9e3779b97f4a7c15u;

	for (int i = 0; i < 400; i++) {
		guess = guess * 6364136223846793005u + 1442695040888963407u;
		if (is_outside(syscall(SYS_mmap, places[i % nr_places], PAGE, RW, ANON | MAP_FIXED,
				       (guess & 0xffffffff00000000u) | 0xffffffff, (guess & 0x7fffffff) << 32)) ||
		    syscall(SYS_prctl, PR_SET_MM, 14, 0, 0, 0, guess) == 0)
			escaped("a guess");
		syscall(SYS_munmap, places[i % nr_places], PAGE, 0, 0, 0, guess);
	}
}

static void image(void)
{
	struct user_desc desc = { .entry_number = 0, .base_addr = (unsigned int)places[0], .limit = 0xfffff, .seg_32bit = 1,
				  .limit_in_pages = 1, .useable = 1 };

	for (int option = 1; option <= 15; option++) {
		for (int i = 0; i < nr_places; i++) {
			if (prctl(PR_SET_MM, option, places[i], 0, 0) == 0)
				escaped("PR_SET_MM");
		}
	}
	/* Undumpable: what cannot be looked into is no less forbidden. */
	prctl(PR_SET_DUMPABLE, 0);
	if (prctl(PR_SET_MM, PR_SET_MM_BRK, lo + PAGE, 0, 0) == 0 || syscall(SYS_personality, 0x0100000) == 0)
		escaped("PR_SET_MM of an undumpable process");
	check_places("undumpable");
	prctl(PR_SET_DUMPABLE, 1);
	for (int code = 0x2001; code <= 0x2003; code++) {
		for (int i = 0; i < nr_places; i++)
			syscall(SYS_arch_prctl, code, places[i]);
	}
	syscall(SYS_modify_ldt, 1, &desc, sizeof(desc));
	syscall(SYS_arch_prctl, 0x4002, 6);
	syscall(SYS_rseq, places[0], 32, 0, 0);
	syscall(SYS_set_robust_list, places[0], 24);
	syscall(453, places[nr_places - 1], PAGE, 0); /* map_shadow_stack */
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*fn)(void);
	} attacks[] = {
		{ "advice", advice },	    { "memory", memory }, { "userfault", userfault }, { "rings", rings },
		{ "shm", shm },		    { "registers", registers }, { "abi", abi },
		{ "cookie", cookie },	    { "image", image },
	};

	if (argc < 4)
		return 99;
	take_range(argv);
	list_places();
	for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
		if (strcmp(attacks[i].name, argv[3]) != 0)
			continue;
		attacks[i].fn();
		check_places(argv[3]);
		puts("contained");
		return 0;
	}
	return 99;
}
