/*
 * The memory of a task, without waiting for its pages.
 *
 * A page under a userfaultfd is filled when the program pleases, and process_vm_readv waits for it. /proc/PID/mem does not: its
 * page faults may not be retried, so that handle_userfault() (fs/userfaultfd.c, 6.18) gives up at once. It is dearer, and it
 * writes where the task may not, hence only once there is a userfaultfd in the tree. One that serves faults
 * of user mode only lets process_vm_readv fail by itself.
 */
#include <errno.h>

#include "vmsup/host/maps.h"
#include "vmsup/host/mem.h"
#include "vmsup/sup/sup.h"

int vms_sup_read(const struct vms_sup *sup, pid_t tid, vms_addr_t addr, void *buf, size_t len)
{
	int r;

	if (!sup->has_userfaultfd)
		return vms_mem_read(tid, addr, buf, len);
	r = vms_mem_read_forced(tid, addr, buf, len);
	return r == -EIO ? -EFAULT : r;
}

static bool is_writable(pid_t tid, vms_addr_t addr, size_t len)
{
	const struct vms_range span = { vms_page_down(addr), vms_page_up(addr + len) };
	struct vms_maps maps = VMS_MAPS_INIT;
	struct vms_vma_list list = { 0 };
	vms_addr_t at = span.start;

	if (vms_maps_open(tid, &maps) == 0 && vms_maps_read(&maps, &span, &list) == 0) {
		for (size_t i = 0; i < list.nr && list.items[i].range.start <= at; i++) {
			if (list.items[i].prot & VMS_PROT_WRITE)
				at = list.items[i].range.end;
		}
	}
	vms_vma_list_done(&list);
	vms_maps_close(&maps);
	return at >= span.end;
}

int vms_sup_write(const struct vms_sup *sup, pid_t tid, vms_addr_t addr, const void *buf, size_t len)
{
	if (!sup->has_userfaultfd)
		return vms_mem_write(tid, addr, buf, len);
	if (!is_writable(tid, addr, len))
		return -EFAULT;
	return vms_mem_write_forced(tid, addr, buf, len) < 0 ? -EAGAIN : 0;
}
