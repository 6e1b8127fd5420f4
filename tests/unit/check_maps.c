/*
 * What the kernel shows of a process: maps by query and by text, names, flags; memory by copies; /proc's words about tasks;
 * and what was learned of this machine. The process looked at is a forked child, or the test itself.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmsup/host/machine.h"
#include "vmsup/host/maps.h"
#include "vmsup/host/mem.h"
#include "vmsup/host/proc.h"

#define PAGE ((size_t)4096)
/* Free in every ordinary process. */
#define AREA ((vms_addr_t)0x210000000000)

static const struct vms_range area = { AREA, AREA + 64 * 4096 };
static struct vms_maps maps = VMS_MAPS_INIT;
static struct vms_vma_list list;
static int memfd;

static char *at(unsigned int page)
{
	return (char *)(uintptr_t)(AREA + page * PAGE);
}

static void map(unsigned int page, unsigned int pages, int prot, int flags, int fd, off_t offset)
{
	ck_assert_ptr_eq(mmap(at(page), pages * PAGE, prot, flags | MAP_FIXED_NOREPLACE, fd, offset), at(page));
}

static void setup(void)
{
	memfd = memfd_create("a name", MFD_CLOEXEC);
	ck_assert_int_ge(memfd, 0);
	ck_assert_int_eq(ftruncate(memfd, 16 * 4096), 0);
	map(1, 2, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	map(3, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	map(6, 3, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 2 * 4096);
	map(9, 1, PROT_READ | PROT_EXEC, MAP_PRIVATE, memfd, 5 * 4096);
	map(20, 2, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	map(40, 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0);
	ck_assert_int_eq(vms_maps_open(getpid(), &maps), 0);
}

static void teardown(void)
{
	vms_maps_close(&maps);
	vms_vma_list_done(&list);
}

/* 0: as the kernel can; 1: by text, as on a kernel without the query. */
static void choose_way(int way)
{
	if (way == 1)
		maps.has_query = false;
}

static void is(size_t i, unsigned int from, unsigned int to, uint8_t prot, uint32_t flags, bool has_file, uint64_t offset)
{
	const struct vms_vma *vma = &list.items[i];
	struct stat st;

	ck_assert_uint_lt(i, list.nr);
	ck_assert_msg(vma->range.start == AREA + from * PAGE && vma->range.end == AREA + to * PAGE,
		      "entry %zu: %" PRIx64 "-%" PRIx64, i, vma->range.start, vma->range.end);
	ck_assert_uint_eq(vma->prot, prot);
	ck_assert_uint_eq(vma->flags, flags);
	ck_assert_uint_eq(vma->may, VMS_PROT_ALL);
	if (has_file) {
		ck_assert_int_eq(fstat(memfd, &st), 0);
		ck_assert_uint_eq(vma->ino, st.st_ino);
		ck_assert_uint_eq(vma->dev, st.st_dev);
		ck_assert_uint_eq(vma->offset, offset);
		ck_assert_uint_eq(vma->kind, VMS_KIND_FILE);
	} else if (!(flags & VMS_VMA_SHARED)) {
		ck_assert(vma->ino == 0 && vma->dev == 0 && vma->offset == 0 && vma->kind == VMS_KIND_ANON);
	}
}

START_TEST(every_mapping_is_read_with_all_that_maps_tells)
{
	choose_way(_i);
	ck_assert_int_eq(vms_maps_read(&maps, &area, &list), 0);
	ck_assert_uint_eq(list.nr, 6);
	is(0, 1, 3, PROT_READ, 0, false, 0);
	is(1, 3, 4, 0, 0, false, 0);
	is(2, 6, 9, PROT_READ | PROT_WRITE, VMS_VMA_SHARED, true, 2 * 4096);
	is(3, 9, 10, PROT_READ | PROT_EXEC, 0, true, 5 * 4096);
	is(4, 20, 22, PROT_READ | PROT_WRITE, VMS_VMA_SHARED, false, 0);
	is(5, 40, 42, PROT_READ | PROT_WRITE, 0, false, 0);
}
END_TEST

START_TEST(a_range_gets_whole_vmas_that_overlap_it_and_no_others)
{
	struct vms_range part = { AREA + 2 * 4096, AREA + 7 * 4096 };

	choose_way(_i);
	ck_assert_int_eq(vms_maps_read(&maps, &part, &list), 0);
	ck_assert_uint_eq(list.nr, 3);
	is(0, 1, 3, PROT_READ, 0, false, 0);
	is(2, 6, 9, PROT_READ | PROT_WRITE, VMS_VMA_SHARED, true, 2 * 4096);
	part = (struct vms_range){ AREA + 4 * 4096, AREA + 6 * 4096 };
	ck_assert_int_eq(vms_maps_read(&maps, &part, &list), 0);
	ck_assert_uint_eq(list.nr, 0);
	part.end = part.start;
	ck_assert_int_eq(vms_maps_read(&maps, &part, &list), 0);
	ck_assert_uint_eq(list.nr, 0);
	/* Above everything, too. */
	part = (struct vms_range){ 0x7ffffffff000, 0x800000000000 };
	ck_assert_int_eq(vms_maps_read(&maps, &part, &list), 0);
	ck_assert_uint_eq(list.nr, 0);
}
END_TEST

START_TEST(both_ways_of_reading_agree_on_the_whole_process)
{
	const struct vms_range all = { 0, 0x7ffffffff000 };
	struct vms_vma_list text = { 0 };

	ck_assert_int_eq(vms_maps_read(&maps, &all, &list), 0);
	maps.has_query = false;
	ck_assert_int_eq(vms_maps_read(&maps, &all, &text), 0);
	/* Reading text may itself have mapped something; the area has not changed. */
	ck_assert_uint_ge(text.nr, 12);
	ck_assert_uint_ge(list.nr, 12);
	for (size_t i = 0, j = 0; i < list.nr && j < text.nr; i++, j++) {
		if (list.items[i].range.end > 0x300000000000 || text.items[j].range.end > 0x300000000000)
			break;
		ck_assert_msg(!memcmp(&list.items[i], &text.items[j], sizeof(list.items[i])), "%" PRIx64 " and %" PRIx64,
			      list.items[i].range.start, text.items[j].range.start);
	}
	vms_vma_list_done(&text);
}
END_TEST

START_TEST(names_are_the_files_and_the_kernels_brackets)
{
	char name[128];
	int on_stack;

	choose_way(_i);
	ck_assert_int_eq(vms_maps_name(&maps, AREA + 7 * PAGE + 100, name, sizeof(name)), 0);
	ck_assert_str_eq(name, "/memfd:a name (deleted)");
	ck_assert_int_eq(vms_maps_name(&maps, AREA + PAGE, name, sizeof(name)), 0);
	ck_assert_str_eq(name, "");
	ck_assert_int_eq(vms_maps_name(&maps, (uintptr_t)&on_stack, name, sizeof(name)), 0);
	ck_assert_str_eq(name, "[stack]");
	ck_assert_int_eq(vms_maps_name(&maps, AREA + 5 * PAGE, name, sizeof(name)), -ENOENT);
	ck_assert_str_eq(name, "");
}
END_TEST

START_TEST(flags_that_only_smaps_tells_are_added)
{
	ck_assert_int_eq(madvise(at(1), PAGE * 2, MADV_DONTFORK), 0);
	ck_assert_int_eq(madvise(at(40), PAGE * 2, MADV_WIPEONFORK), 0);
	ck_assert_int_eq(vms_maps_read(&maps, &area, &list), 0);
	ck_assert_int_eq(vms_maps_read_flags(getpid(), &list), 0);
	is(0, 1, 3, PROT_READ, VMS_VMA_DONTFORK, false, 0);
	is(1, 3, 4, 0, VMS_VMA_NORESERVE, false, 0);
	is(2, 6, 9, PROT_READ | PROT_WRITE, VMS_VMA_SHARED, true, 2 * 4096);
	is(5, 40, 42, PROT_READ | PROT_WRITE, VMS_VMA_GROWSDOWN | VMS_VMA_WIPEONFORK, false, 0);
	if (syscall(462, at(3), PAGE, 0) == 0) {
		ck_assert_int_eq(vms_maps_read(&maps, &area, &list), 0);
		ck_assert_int_eq(vms_maps_read_flags(getpid(), &list), 0);
		is(1, 3, 4, 0, VMS_VMA_NORESERVE | VMS_VMA_SEALED, false, 0);
	}
}
END_TEST

static pid_t fork_waiting(void)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		pause();
		_exit(0);
	}
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

START_TEST(the_maps_of_a_process_that_has_died_are_gone)
{
	pid_t pid = fork_waiting();
	struct vms_maps theirs;
	int r;

	ck_assert_int_eq(vms_maps_open(pid, &theirs), 0);
	if (_i == 1)
		theirs.has_query = false;
	ck_assert_int_eq(vms_maps_read(&theirs, &area, &list), 0);
	ck_assert_uint_eq(list.nr, 6);
	end(pid);
	r = vms_maps_read(&theirs, &area, &list);
	ck_assert_int_eq(r, -ESRCH);
	vms_maps_close(&theirs);
	ck_assert_int_eq(theirs.fd, -1);
	ck_assert_int_eq(vms_maps_open(pid, &theirs), -ESRCH);
}
END_TEST

/* ---- mem ---- */

START_TEST(memory_is_copied_both_ways)
{
	pid_t pid;
	char buf[8] = "before";

	map(50, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(at(50) + 100, "theirs", 7);
	pid = fork_waiting();
	ck_assert_int_eq(vms_mem_read(pid, AREA + 50 * PAGE + 100, buf, 7), 0);
	ck_assert_str_eq(buf, "theirs");
	ck_assert_int_eq(vms_mem_write(pid, AREA + 50 * PAGE + 100, "ours..", 7), 0);
	ck_assert_int_eq(vms_mem_read(pid, AREA + 50 * PAGE + 100, buf, 7), 0);
	ck_assert_str_eq(buf, "ours..");
	ck_assert_str_eq(at(50) + 100, "theirs");
	end(pid);
}
END_TEST

START_TEST(a_copy_that_is_cut_short_is_efault)
{
	pid_t pid;
	char buf[2 * 4096] = "";

	map(50, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid = fork_waiting();
	ck_assert_int_eq(vms_mem_read(pid, AREA + 50 * PAGE, buf, sizeof(buf)), -EFAULT);
	ck_assert_int_eq(vms_mem_write(pid, AREA + 50 * PAGE, buf, sizeof(buf)), -EFAULT);
	ck_assert_int_eq(vms_mem_read(pid, AREA + 55 * PAGE, buf, 1), -EFAULT);
	ck_assert_int_eq(vms_mem_read(pid, ~UINT64_C(0) - 10, buf, 100), -EFAULT);
	end(pid);
	ck_assert_int_eq(vms_mem_read(pid, AREA + 50 * PAGE, buf, 1), -ESRCH);
}
END_TEST

START_TEST(read_only_memory_is_written_by_force_only)
{
	pid_t pid = fork_waiting();
	char buf[4] = "";

	ck_assert_int_eq(ptrace(PTRACE_SEIZE, pid, 0, 0), 0);
	ck_assert_int_eq(vms_mem_write(pid, AREA + PAGE, "abc", 3), -EFAULT);
	ck_assert_int_eq(vms_mem_write_forced(pid, AREA + PAGE, "abc", 3), 0);
	ck_assert_int_eq(vms_mem_read(pid, AREA + PAGE, buf, 3), 0);
	ck_assert_str_eq(buf, "abc");
	end(pid);
}
END_TEST

/* ---- proc ---- */

START_TEST(the_status_of_a_process_is_read)
{
	struct vms_proc_status status;
	pid_t pid;

	prctl(PR_SET_NAME, "a (b) c");
	pid = fork_waiting();
	ck_assert_int_eq(vms_proc_status(pid, &status), 0);
	ck_assert_int_eq(status.tgid, pid);
	ck_assert_int_eq(status.ppid, getpid());
	ck_assert_int_eq(status.tracer, 0);
	ck_assert_uint_eq(status.threads, 1);
	ck_assert_str_eq(status.comm, "a (b) c");
	ck_assert_int_eq(ptrace(PTRACE_SEIZE, pid, 0, 0), 0);
	ck_assert_int_eq(vms_proc_status(pid, &status), 0);
	ck_assert_int_eq(status.tracer, getpid());
	end(pid);
	ck_assert_int_eq(vms_proc_status(pid, &status), -ESRCH);
}
END_TEST

static void *idle(void *arg)
{
	*(pid_t *)arg = (pid_t)syscall(SYS_gettid);
	for (;;)
		pause();
	return NULL;
}

struct found {
	pid_t want;
	int all, hits;
};

static int count_thread(pid_t tid, void *arg)
{
	struct found *f = arg;

	f->all++;
	f->hits += tid == f->want;
	return 0;
}

static int stop_at_once(pid_t tid, void *arg)
{
	(void)tid;
	++*(int *)arg;
	return -EBADMSG;
}

START_TEST(threads_are_listed_and_belong_to_their_process)
{
	struct vms_proc_status status;
	struct found found = { 0 };
	volatile pid_t tid = 0;
	pthread_t thread;
	int calls = 0;

	ck_assert_int_eq(pthread_create(&thread, NULL, idle, (void *)(uintptr_t)&tid), 0);
	while (!tid)
		usleep(100);
	ck_assert_int_eq(vms_proc_status(tid, &status), 0);
	ck_assert_int_eq(status.tgid, getpid());
	ck_assert_uint_eq(status.threads, 2);
	found.want = tid;
	ck_assert_int_eq(vms_proc_each_thread(getpid(), count_thread, &found), 0);
	ck_assert_int_eq(found.all, 2);
	ck_assert_int_eq(found.hits, 1);
	ck_assert_int_eq(vms_proc_each_thread(getpid(), stop_at_once, &calls), -EBADMSG);
	ck_assert_int_eq(calls, 1);
}
END_TEST

START_TEST(the_numbers_of_an_mm_are_those_of_the_image)
{
	struct vms_proc_mm mm;
	extern char etext, edata, **environ;

	/* A name with blanks and parentheses must not shift the fields. */
	prctl(PR_SET_NAME, ") 1 2 (3");
	ck_assert_int_eq(vms_proc_mm(getpid(), &mm), 0);
	ck_assert(mm.start_code < (uintptr_t)&etext && mm.end_code >= (uintptr_t)setup);
	ck_assert(mm.start_data <= (uintptr_t)&edata && mm.end_data >= (uintptr_t)&edata - PAGE);
	ck_assert_uint_le(mm.start_brk, (uintptr_t)sbrk(0));
	ck_assert(mm.arg_start < mm.arg_end && mm.arg_end <= mm.env_start && mm.env_start <= mm.env_end);
	ck_assert(mm.start_stack < mm.arg_start);
}
END_TEST

START_TEST(a_descriptor_of_another_process_can_be_copied)
{
	pid_t pid = fork_waiting();
	int pidfd = vms_proc_pidfd(pid), copy;
	struct stat a, b;

	ck_assert_int_ge(pidfd, 0);
	ck_assert_int_eq(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
	copy = vms_proc_getfd(pidfd, memfd);
	ck_assert_int_ge(copy, 0);
	ck_assert_int_eq(fcntl(copy, F_GETFD), FD_CLOEXEC);
	ck_assert(fstat(copy, &a) == 0 && fstat(memfd, &b) == 0 && a.st_ino == b.st_ino);
	ck_assert_int_eq(vms_proc_getfd(pidfd, 12345), -EBADF);
	end(pid);
	ck_assert_int_eq(vms_proc_getfd(pidfd, memfd), -ESRCH);
	ck_assert_int_eq(vms_proc_pidfd(pid), -ESRCH);
}
END_TEST

START_TEST(only_tasks_that_share_it_have_the_same_mm)
{
	pid_t pid = fork_waiting();
	long sharing;

	ck_assert(vms_proc_same_mm(getpid(), getpid()));
	ck_assert(!vms_proc_same_mm(getpid(), pid));
	end(pid);
	ck_assert(!vms_proc_same_mm(getpid(), pid));
	/* vfork: the child shares, and the parent waits for it. */
	sharing = vfork();
	if (sharing == 0)
		_exit(vms_proc_same_mm(getpid(), getppid()) ? 0 : 1);
	int status;
	ck_assert_int_eq(waitpid((pid_t)sharing, &status, 0), sharing);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* ---- machine ---- */

/* Bytes of anonymous memory without any access, in small pieces: a sanitizer's are large. */
static vms_addr_t nothing_mapped(void)
{
	const struct vms_range all = { 0, 0x7ffffffff000 };
	vms_addr_t sum = 0;

	ck_assert_int_eq(vms_maps_read(&maps, &all, &list), 0);
	for (size_t i = 0; i < list.nr; i++) {
		vms_addr_t size = vms_range_size(&list.items[i].range);

		if (!list.items[i].prot && !list.items[i].ino && size < 64 * PAGE)
			sum += size;
	}
	return sum;
}

START_TEST(the_machine_is_what_the_kernel_does_here)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	struct vms_machine m;
	bool aligned = true;
	FILE *file;
	unsigned long long min;
	vms_addr_t before;

	before = nothing_mapped();
	vms_machine_learn(&m);
	/* What it mapped to try is gone. */
	ck_assert_uint_eq(nothing_mapped(), before);

	/* The last user page can be mapped or is taken; the one behind it cannot be. */
	ck_assert(mmap((void *)(uintptr_t)m.user.end, PAGE, PROT_NONE, flags | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED);
	ck_assert_int_eq(errno, ENOMEM);
	void *last = mmap((void *)(uintptr_t)(m.user.end - PAGE), PAGE, PROT_NONE, flags | MAP_FIXED_NOREPLACE, -1, 0);
	ck_assert(last != MAP_FAILED || errno == EEXIST);
	ck_assert_uint_eq(m.user.start, 0);

	file = fopen("/proc/sys/vm/mmap_min_addr", "re");
	if (file && fscanf(file, "%llu", &min) == 1)
		ck_assert_uint_eq(m.rules.mmap_min_addr, min);
	if (file)
		fclose(file);
	ck_assert_int_eq(m.has_mseal, syscall(462, 0, 0, 0) == 0);
	ck_assert_uint_eq(m.rules.guard % PAGE, 0);

	/* Four places in a row, a page apart. */
	for (int i = 0; i < 4; i++) {
		void *p = mmap(NULL, 4 << 20, PROT_NONE, flags, -1, 0);

		aligned &= ((uintptr_t)p & (VMS_HUGE_SIZE - 1)) == 0;
		ck_assert(mmap(NULL, PAGE, PROT_NONE, flags, -1, 0) != MAP_FAILED);
	}
	ck_assert_int_eq(m.rules.thp_anon_multiple, aligned);
}
END_TEST

START_TEST(the_guard_below_a_growing_mapping_is_the_one_learned)
{
	struct vms_machine m;
	char *grows = at(60) + (64 << 20);
	vms_addr_t hint;

	vms_machine_learn(&m);
	ck_assert_ptr_eq(mmap(grows, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED_NOREPLACE, -1,
			      0),
			 grows);
	hint = (uintptr_t)grows - m.rules.guard - PAGE;
	ck_assert_uint_eq((uintptr_t)mmap((void *)(uintptr_t)(hint + PAGE), PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
				  hint + PAGE,
			  m.rules.guard == 0);
	ck_assert_uint_eq((uintptr_t)mmap((void *)(uintptr_t)hint, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), hint);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("maps");
	TCase *tc = tcase_create("maps");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, every_mapping_is_read_with_all_that_maps_tells, 0, 2);
	tcase_add_loop_test(tc, a_range_gets_whole_vmas_that_overlap_it_and_no_others, 0, 2);
	tcase_add_test(tc, both_ways_of_reading_agree_on_the_whole_process);
	tcase_add_loop_test(tc, names_are_the_files_and_the_kernels_brackets, 0, 2);
	tcase_add_test(tc, flags_that_only_smaps_tells_are_added);
	tcase_add_loop_test(tc, the_maps_of_a_process_that_has_died_are_gone, 0, 2);
	tcase_add_test(tc, memory_is_copied_both_ways);
	tcase_add_test(tc, a_copy_that_is_cut_short_is_efault);
	tcase_add_test(tc, read_only_memory_is_written_by_force_only);
	tcase_add_test(tc, the_status_of_a_process_is_read);
	tcase_add_test(tc, threads_are_listed_and_belong_to_their_process);
	tcase_add_test(tc, the_numbers_of_an_mm_are_those_of_the_image);
	tcase_add_test(tc, a_descriptor_of_another_process_can_be_copied);
	tcase_add_test(tc, only_tasks_that_share_it_have_the_same_mm);
	tcase_add_test(tc, the_machine_is_what_the_kernel_does_here);
	tcase_add_test(tc, the_guard_below_a_growing_mapping_is_the_one_learned);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
