/* The stub; see the header. */
#include "vmsup/host/stub.h"

#include <errno.h>
#include <string.h>

#include "vmsup/host/tracee.h"

#define WORDS 3
#define PARKED 19 /* behind the second syscall */

/* brk(1), should anybody let it happen, changes nothing; brk(0) would not be notified. The cookie must not be in r9 any more. */
static const unsigned char code[WORDS * sizeof(long)] = {
	0x0f, 0x05, /* syscall */
	0x48, 0x89, 0xc2, /* mov %rax, %rdx */
	0x31, 0xff, /* xor %edi, %edi */
	0xff, 0xc7, /* inc %edi */
	0x45, 0x31, 0xc9, /* xor %r9d, %r9d */
	0xb8, 0x0c, 0x00, 0x00, 0x00, /* mov $SYS_brk, %eax */
	0x0f, 0x05, /* syscall */
	0xeb, 0xf7, /* jmp to the mov before */
};

vms_addr_t vms_stub_place(vms_addr_t end)
{
	return end - sizeof(code);
}

vms_addr_t vms_stub_parked(vms_addr_t at)
{
	return at + PARKED;
}

bool vms_stub_has(vms_addr_t at, vms_addr_t ip)
{
	return ip >= at && ip - at < sizeof(code);
}

int vms_stub_plant(pid_t tid, vms_addr_t at)
{
	long words[WORDS], wanted[WORDS];
	bool is_there = true, is_free = true;
	int r = 0;

	memcpy(wanted, code, sizeof(code));
	for (int i = 0; r == 0 && i < WORDS; i++) {
		r = vms_tracee_peek(tid, at + (vms_addr_t)i * sizeof(long), &words[i]);
		is_there &= r == 0 && words[i] == wanted[i];
		is_free &= r == 0 && !words[i];
	}
	if (r == 0 && !is_there && !is_free)
		r = -EEXIST;
	for (int i = 0; r == 0 && !is_there && i < WORDS; i++)
		r = vms_tracee_poke(tid, at + (vms_addr_t)i * sizeof(long), wanted[i]);
	return r;
}
