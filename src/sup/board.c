/* The board; see the header. */
#include "vmsup/sup/board.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmsup/base/addr.h"
#include "vmsup/base/fd.h"

#define SEALS (F_SEAL_GROW | F_SEAL_SHRINK)

static size_t board_bytes(void)
{
	return (size_t)vms_page_up(sizeof(struct vms_board));
}

int vms_board_create(int *ret_fd)
{
	const uint64_t head[] = { VMS_BOARD_MAGIC, VMS_BOARD_VERSION, sizeof(struct vms_board) };
	vms_autofd fd = memfd_create("vmsup-board", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)board_bytes()) < 0 || fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL) < 0)
		return -errno;
	if (pwrite(fd, head, sizeof(head), 0) != (ssize_t)sizeof(head))
		return -EIO;
	*ret_fd = vms_fd_steal(&fd);
	return 0;
}

int vms_board_map(int fd, bool writable, struct vms_board **ret_board)
{
	struct vms_board *board;
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	/* One that could shrink would be a SIGBUS for whoever reads it. */
	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0 || (size_t)st.st_size != board_bytes())
		return -EPROTO;
	board = mmap(NULL, board_bytes(), writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
	if (board == MAP_FAILED)
		return -errno;
	if (board->magic != VMS_BOARD_MAGIC || board->version != VMS_BOARD_VERSION || board->size != sizeof(*board)) {
		munmap(board, board_bytes());
		return -EPROTO;
	}
	*ret_board = board;
	return 0;
}

void vms_board_unmap(const struct vms_board *board)
{
	if (board)
		munmap((void *)(uintptr_t)board, board_bytes());
}
