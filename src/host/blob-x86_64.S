/*
 * The code that runs inside the child while its fresh image is moved into the range: it makes the
 * system calls of a table, one after the other, and stops.
 *
 * In:    rbx = address of the table (see host/blob.h)
 * Out:   int3 with rbx at the entry where it stopped: the end mark, or a call that failed; rax = its result
 *
 * No stack, no memory is written: the page it lies in need not be writable.
 */
	.section .rodata
	.globl	vms_blob_start
	.globl	vms_blob_end
	.hidden	vms_blob_start
	.hidden	vms_blob_end
	.balign	16
vms_blob_start:
next:
	movl	(%rbx), %eax		/* number, or -1 at the end */
	cmpl	$-1, %eax
	je	stop
	movq	8(%rbx), %rdi
	movq	16(%rbx), %rsi
	movq	24(%rbx), %rdx
	movq	32(%rbx), %r10
	movq	40(%rbx), %r8
	movq	48(%rbx), %r9
	syscall
	cmpq	$-4096, %rax
	jbe	ok
	testl	$1, 4(%rbx)		/* allowed to fail? */
	jz	stop
ok:
	addq	$56, %rbx
	jmp	next
stop:
	int3
vms_blob_end:
	.section .note.GNU-stack,"",@progbits
