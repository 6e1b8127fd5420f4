/* Records of tasks, over real processes: made once, found again, shared mms, dropped with all that hangs on them. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmsup/host/machine.h"
#include "vmsup/task/task.h"

#define AREA ((vms_addr_t)0x210000000000)

static const struct vms_usage no_growth;
static struct vms_tasks tasks;
static struct vms_machine machine;
static unsigned int nr_new, nr_gone;

static void on_new(struct vms_process *process, void *arg)
{
	ck_assert_ptr_eq(arg, &tasks);
	ck_assert_int_gt(process->pid, 0);
	nr_new++;
}

static void on_gone(struct vms_process *process, void *arg)
{
	ck_assert_ptr_eq(arg, &tasks);
	ck_assert_int_ge(process->pidfd, 0);
	nr_gone++;
}

static void setup(void)
{
	vms_machine_learn(&machine);
	vms_tasks_init(&tasks);
	tasks.range = tasks.user = machine.user;
	tasks.rules = machine.rules;
	tasks.on_process_new = on_new;
	tasks.on_process_gone = on_gone;
	tasks.arg = &tasks;
}

static void teardown(void)
{
	vms_tasks_done(&tasks);
	ck_assert_uint_eq(nr_new, nr_gone);
	ck_assert_uint_eq(tasks.nr_threads, 0);
	ck_assert_uint_eq(tasks.nr_processes, 0);
}

static pid_t fork_waiting(void)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		for (;;)
			pause();
	}
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, __WALL), pid);
}

static struct vms_thread *get(pid_t tid)
{
	struct vms_thread *thread;

	ck_assert_int_ge(vms_tasks_get(&tasks, tid, &thread), 0);
	return thread;
}

START_TEST(a_record_is_made_once_and_found_again)
{
	pid_t pid = fork_waiting();
	struct vms_thread *thread;

	ck_assert_ptr_null(vms_tasks_find(&tasks, pid));
	ck_assert_ptr_null(vms_tasks_find_process(&tasks, pid));
	thread = get(pid);
	ck_assert_int_eq(thread->tid, pid);
	ck_assert_int_eq(thread->process->pid, pid);
	ck_assert_ptr_null(vms_tasks_parent(&tasks, thread->process));
	ck_assert_int_eq(thread->process->ppid, getpid());
	ck_assert_ptr_eq(vms_tasks_find(&tasks, pid), thread);
	ck_assert_ptr_eq(get(pid), thread);
	ck_assert_ptr_eq(vms_tasks_find_process(&tasks, pid), thread->process);
	ck_assert_uint_eq(tasks.nr_threads, 1);
	ck_assert_uint_eq(tasks.made_processes, 1);
	ck_assert_uint_eq(nr_new, 1);
	end(pid);
}
END_TEST

START_TEST(a_task_that_is_gone_has_no_record)
{
	pid_t pid = fork_waiting();
	struct vms_thread *thread = NULL;
	struct vms_process *process = NULL;

	end(pid);
	ck_assert_int_eq(vms_tasks_get(&tasks, pid, &thread), -ESRCH);
	ck_assert_int_eq(vms_tasks_get_process(&tasks, pid, &process), -ESRCH);
	ck_assert(!thread && !process);
	ck_assert_uint_eq(tasks.nr_threads, 0);
}
END_TEST

static volatile pid_t other_tid;

static void *idle(void *arg)
{
	(void)arg;
	other_tid = (pid_t)syscall(SYS_gettid);
	for (;;)
		pause();
	return NULL;
}

START_TEST(threads_share_their_process_and_a_tid_is_no_process)
{
	struct vms_process *process;
	struct vms_thread *a, *b;
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, idle, NULL), 0);
	while (!other_tid)
		usleep(100);
	ck_assert_int_eq(vms_tasks_get_process(&tasks, other_tid, &process), -ESRCH);
	b = get(other_tid);
	a = get(getpid());
	ck_assert_ptr_eq(a->process, b->process);
	ck_assert_int_eq(b->process->pid, getpid());
	ck_assert_uint_eq(tasks.nr_processes, 1);
	ck_assert_uint_eq(tasks.nr_threads, 2);
	vms_tasks_drop_thread(&tasks, b);
	ck_assert_ptr_null(vms_tasks_find(&tasks, other_tid));
	ck_assert_ptr_eq(vms_tasks_find(&tasks, getpid()), a);
	ck_assert_uint_eq(tasks.nr_threads, 1);
}
END_TEST

START_TEST(the_cap_on_threads_is_eagain)
{
	pid_t pid = fork_waiting(), other = fork_waiting();
	struct vms_thread *thread;

	tasks.max_threads = 1;
	get(pid);
	ck_assert_int_eq(vms_tasks_get(&tasks, other, &thread), -EAGAIN);
	ck_assert_ptr_nonnull(get(pid));
	end(pid);
	end(other);
}
END_TEST

START_TEST(an_mm_is_read_from_the_kernel)
{
	const struct vms_vma *vma;
	struct vms_thread *thread;
	pid_t pid;

	ck_assert_ptr_eq(mmap((void *)(uintptr_t)AREA, 4 * 4096, PROT_READ,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0),
			 (void *)(uintptr_t)AREA);
	pid = fork_waiting();
	thread = get(pid);
	ck_assert_ptr_null(thread->process->mm);
	ck_assert_int_eq(vms_tasks_load_mm(&tasks, thread->process), 0);
	vma = vms_tree_find(&thread->process->mm->space.tree, AREA);
	ck_assert_ptr_nonnull(vma);
	ck_assert_uint_eq(vma->range.end, AREA + 4 * 4096);
	ck_assert_uint_eq(vma->prot, VMS_PROT_READ);
	ck_assert_uint_eq(vma->flags, VMS_VMA_NORESERVE);
	ck_assert_uint_le(thread->process->mm->space.brk.base, thread->process->mm->space.brk.current);
	ck_assert_uint_eq(tasks.made_spaces, 1);
	/* A second time changes nothing. */
	ck_assert_int_eq(vms_tasks_load_mm(&tasks, thread->process), 0);
	ck_assert_uint_eq(tasks.made_spaces, 1);
	end(pid);
}
END_TEST

START_TEST(a_forked_child_takes_from_its_parent_what_the_kernel_does_not_tell)
{
	struct vms_thread *parent = get(getpid()), *child;
	struct vms_vma *mine;
	pid_t pid;

	ck_assert_ptr_eq(mmap((void *)(uintptr_t)AREA, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
			      -1, 0),
			 (void *)(uintptr_t)AREA);
	ck_assert_int_eq(vms_tasks_load_mm(&tasks, parent->process), 0);
	mine = (struct vms_vma *)(uintptr_t)vms_tree_find(&parent->process->mm->space.tree, AREA);
	ck_assert_ptr_nonnull(mine);
	mine->flags |= VMS_VMA_LOW2G;
	mine->may = VMS_PROT_READ;
	parent->process->mm->space.ceiling = 0x7f0000000000;
	pid = fork_waiting();
	child = get(pid);
	ck_assert_int_eq(vms_tasks_load_mm(&tasks, child->process), 0);
	ck_assert_ptr_ne(child->process->mm, parent->process->mm);
	ck_assert_uint_eq(vms_tree_find(&child->process->mm->space.tree, AREA)->flags, VMS_VMA_LOW2G);
	ck_assert_uint_eq(vms_tree_find(&child->process->mm->space.tree, AREA)->may, VMS_PROT_READ);
	ck_assert_uint_eq(child->process->mm->space.ceiling, 0x7f0000000000);
	ck_assert_uint_eq(child->process->mm->space.brk.current, parent->process->mm->space.brk.current);
	end(pid);
}
END_TEST

START_TEST(processes_that_share_an_mm_share_its_record)
{
	static char stack[16384];
	struct vms_thread *parent = get(getpid()), *child;
	struct vms_mm *mm;
	pid_t pid;

	ck_assert_int_eq(vms_tasks_load_mm(&tasks, parent->process), 0);
	mm = parent->process->mm;
	pid = clone((int (*)(void *))(uintptr_t)pause, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL);
	ck_assert_int_gt(pid, 0);
	child = get(pid);
	ck_assert_int_eq(vms_tasks_load_mm(&tasks, child->process), 0);
	ck_assert_ptr_eq(child->process->mm, mm);
	ck_assert_uint_eq(mm->refs, 2);
	vms_tasks_drop_process(&tasks, child->process);
	ck_assert_uint_eq(mm->refs, 1);
	ck_assert_uint_eq(nr_gone, 1);
	end(pid);
}
END_TEST

START_TEST(a_thread_dropped_in_mid_call_makes_its_mm_stale)
{
	struct vms_plan plan = { .verdict = VMS_CONTINUE, .effect = VMS_EFFECT_UNMAP, .range = { AREA, AREA + 4096 } };
	struct vms_thread *thread = get(getpid());
	struct vms_mm *mm;

	vms_thread_fly(thread, &plan, &no_growth);
	ck_assert_msg(!thread->is_in_flight, "a call flies without an mm");
	ck_assert_int_eq(vms_tasks_load_mm(&tasks, thread->process), 0);
	mm = thread->process->mm;
	vms_thread_fly(thread, &plan, &no_growth);
	ck_assert(thread->is_in_flight && mm->in_flight == thread);
	ck_assert_uint_eq(thread->plan.range.start, AREA);
	/* Once more replaces the plan, and is in the list once. */
	plan.range.start = AREA - 4096;
	vms_thread_fly(thread, &plan, &no_growth);
	ck_assert_uint_eq(thread->plan.range.start, AREA - 4096);
	vms_thread_land(thread);
	ck_assert(!thread->is_in_flight && !mm->in_flight && !mm->stale);
	vms_thread_land(thread);
	vms_thread_fly(thread, &plan, &no_growth);
	vms_tasks_drop_thread(&tasks, thread);
	ck_assert(mm->stale && !mm->in_flight);
}
END_TEST

START_TEST(exec_leaves_the_leader_and_a_fresh_mm)
{
	pid_t pid = fork_waiting();
	struct vms_thread *thread = get(pid);
	struct vms_process *process = thread->process;
	struct vms_maps maps = VMS_MAPS_INIT;
	struct vms_mm *fresh;

	ck_assert_int_eq(vms_tasks_load_mm(&tasks, process), 0);
	process->guarded = true;
	process->mm->space.max_vmas = 12345;
	ck_assert_int_eq(vms_maps_open(pid, &maps), 0);
	fresh = vms_mm_new(&tasks, &maps);
	ck_assert_ptr_nonnull(fresh);
	ck_assert_int_eq(maps.fd, -1);
	ck_assert_int_eq(vms_tasks_exec(&tasks, process, fresh), 0);
	ck_assert_ptr_eq(process->mm, fresh);
	ck_assert_uint_eq(fresh->refs, 1);
	ck_assert(!process->guarded);
	ck_assert_uint_eq(tasks.nr_threads, 1);
	ck_assert_ptr_nonnull(vms_tasks_find(&tasks, pid));
	/* The old one's peak is remembered. */
	ck_assert_uint_eq(tasks.max_vmas, 12345);
	/* An mm that is not known yet is read when it is needed. */
	ck_assert_int_eq(vms_tasks_exec(&tasks, process, NULL), 0);
	ck_assert_ptr_null(process->mm);
	ck_assert_int_eq(vms_tasks_load_mm(&tasks, process), 0);
	ck_assert_ptr_nonnull(process->mm);
	end(pid);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("task");
	TCase *tc = tcase_create("task");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, a_record_is_made_once_and_found_again);
	tcase_add_test(tc, a_task_that_is_gone_has_no_record);
	tcase_add_test(tc, threads_share_their_process_and_a_tid_is_no_process);
	tcase_add_test(tc, the_cap_on_threads_is_eagain);
	tcase_add_test(tc, an_mm_is_read_from_the_kernel);
	tcase_add_test(tc, a_forked_child_takes_from_its_parent_what_the_kernel_does_not_tell);
	tcase_add_test(tc, processes_that_share_an_mm_share_its_record);
	tcase_add_test(tc, a_thread_dropped_in_mid_call_makes_its_mm_stale);
	tcase_add_test(tc, exec_leaves_the_leader_and_a_fresh_mm);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
