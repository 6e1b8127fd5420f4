/* ptrace, step by step; see the header. Source: ptrace(2), kernel/ptrace.c (6.18). */
#include "vmsup/host/tracee.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <linux/audit.h>

static int call(enum __ptrace_request request, pid_t tid, uintptr_t addr, uintptr_t data)
{
	return ptrace(request, tid, (void *)addr, (void *)data) < 0 ? -errno : 0;
}

int vms_tracee_seize(pid_t tid, unsigned long options)
{
	return call(PTRACE_SEIZE, tid, 0, options);
}

int vms_tracee_set_options(pid_t tid, unsigned long options)
{
	return call(PTRACE_SETOPTIONS, tid, 0, options);
}

int vms_tracee_interrupt(pid_t tid)
{
	return call(PTRACE_INTERRUPT, tid, 0, 0);
}

int vms_tracee_resume(pid_t tid, enum vms_resume how, int sig)
{
	switch (how) {
	case VMS_RESUME_STEP:
		return call(PTRACE_SINGLESTEP, tid, 0, (uintptr_t)sig);
	case VMS_RESUME_LISTEN:
		return call(PTRACE_LISTEN, tid, 0, 0);
	case VMS_RESUME_CONT:
	default:
		return call(PTRACE_CONT, tid, 0, (uintptr_t)sig);
	}
}

int vms_tracee_detach(pid_t tid, int sig)
{
	return call(PTRACE_DETACH, tid, 0, (uintptr_t)sig);
}

/* Not PTRACE_GETREGSET, which shows 32-bit registers while 32-bit code runs. */
int vms_tracee_get_regs(pid_t tid, struct user_regs_struct *ret_regs)
{
	return call(PTRACE_GETREGS, tid, 0, (uintptr_t)ret_regs);
}

int vms_tracee_set_regs(pid_t tid, const struct user_regs_struct *regs)
{
	return call(PTRACE_SETREGS, tid, 0, (uintptr_t)regs);
}

int vms_tracee_get_arch(pid_t tid, enum vms_arch *ret_arch)
{
	struct __ptrace_syscall_info info;
	int r = call(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), (uintptr_t)&info);

	if (r == 0)
		*ret_arch = info.arch == AUDIT_ARCH_I386 ? VMS_ARCH_I386 : VMS_ARCH_X86_64;
	return r;
}

int vms_tracee_get_sigmask(pid_t tid, uint64_t *ret_mask)
{
	return call(PTRACE_GETSIGMASK, tid, sizeof(*ret_mask), (uintptr_t)ret_mask);
}

int vms_tracee_set_sigmask(pid_t tid, uint64_t mask)
{
	return call(PTRACE_SETSIGMASK, tid, sizeof(mask), (uintptr_t)&mask);
}

bool vms_tracee_signal_is_sent(pid_t tid)
{
	siginfo_t info;

	return call(PTRACE_GETSIGINFO, tid, 0, (uintptr_t)&info) == 0 && info.si_code <= 0;
}

int vms_tracee_event_message(pid_t tid, unsigned long *ret_message)
{
	return call(PTRACE_GETEVENTMSG, tid, 0, (uintptr_t)ret_message);
}

int vms_tracee_poke(pid_t tid, vms_addr_t addr, long word)
{
	return call(PTRACE_POKETEXT, tid, addr, (uintptr_t)word);
}

int vms_tracee_peek(pid_t tid, vms_addr_t addr, long *ret_word)
{
	long word;

	errno = 0;
	word = ptrace(PTRACE_PEEKTEXT, tid, (void *)(uintptr_t)addr, NULL);
	if (errno)
		return -errno;
	*ret_word = word;
	return 0;
}

static bool is_stop_signal(int sig)
{
	return sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU;
}

enum vms_stop vms_stop_of(int status)
{
	if (!WIFSTOPPED(status))
		return VMS_STOP_GONE;
	switch (status >> 16) {
	case PTRACE_EVENT_EXEC:
		return VMS_STOP_EXEC;
	case PTRACE_EVENT_FORK:
	case PTRACE_EVENT_VFORK:
	case PTRACE_EVENT_CLONE:
		return VMS_STOP_NEW_CHILD;
	case PTRACE_EVENT_STOP:
		return is_stop_signal(WSTOPSIG(status)) ? VMS_STOP_GROUP : VMS_STOP_TRAP;
	default:
		return VMS_STOP_SIGNAL;
	}
}

void vms_regs_set_call(struct user_regs_struct *regs, enum vms_arch arch, vms_addr_t ip, int nr, const uint64_t args[6])
{
	regs->rip = ip;
	regs->rax = (uint64_t)nr;
	regs->orig_rax = (uint64_t)-1;
	if (arch == VMS_ARCH_I386) {
		regs->rbx = args[0];
		regs->rcx = args[1];
		regs->rdx = args[2];
		regs->rsi = args[3];
		regs->rdi = args[4];
		regs->rbp = args[5];
		return;
	}
	regs->rdi = args[0];
	regs->rsi = args[1];
	regs->rdx = args[2];
	regs->r10 = args[3];
	regs->r8 = args[4];
	regs->r9 = args[5];
}

/* arch/x86/include/asm/segment.h */
#define USER32_CS 0x23
#define USER_DS 0x2b
#define USER_CS 0x33

bool vms_regs_are_compat(const struct user_regs_struct *regs)
{
	return regs->cs == USER32_CS;
}

void vms_regs_set_64(struct user_regs_struct *regs)
{
	regs->cs = USER_CS;
	regs->ss = USER_DS;
}
