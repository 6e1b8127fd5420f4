/*
 * Fuzz: any text where /proc/PID/maps is expected. The file name of a mapping is the child's to choose, so some of that text is
 * in its hands.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "vmsup/host/maps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct vms_range all = { 0, ~UINT64_C(0) & VMS_PAGE_MASK }, part = { 0x400000, 0x600000 };
	struct vms_maps maps = { .fd = memfd_create("maps", MFD_CLOEXEC), .has_query = false };
	struct vms_vma_list list = { 0 };
	char name[16];
	int r;

	EXPECT(maps.fd >= 0);
	EXPECT(write(maps.fd, data, size) == (ssize_t)size);
	r = vms_maps_read(&maps, &all, &list);
	EXPECT(r == 0);
	/* No more entries than lines. */
	size_t lines = size > 0;
	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	EXPECT(list.nr <= lines);
	r = vms_maps_read(&maps, &part, &list);
	EXPECT(r == 0);
	for (size_t i = 0; i < list.nr; i++) {
		EXPECT(list.items[i].range.start < part.end && list.items[i].range.end > part.start);
		EXPECT((list.items[i].prot & ~VMS_PROT_ALL) == 0);
		EXPECT((list.items[i].kind == VMS_KIND_FILE) == (list.items[i].ino != 0));
	}
	memset(name, 'x', sizeof(name));
	r = vms_maps_name(&maps, 0x400000, name, sizeof(name));
	EXPECT(r == 0 || r == -ENOENT);
	EXPECT(memchr(name, '\0', sizeof(name)));
	vms_vma_list_done(&list);
	vms_maps_close(&maps);
	return 0;
}
