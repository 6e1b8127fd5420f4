/* A stream that never waits; see the header. */
#include "vmsup/sup/drain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "vmsup/base/fd.h"

/* A space with many mappings is one long line. */
#define MAX_PENDING ((size_t)8 << 20)

struct vms_drain {
	int fd; /* owned */
	FILE *file; /* owned */
	char *bytes; /* owned: the rest of a line that was begun, and the line that is being written */
	size_t len, cap;
	size_t line; /* where the line being written begins */
	bool is_dropping; /* the line being written */
	bool is_broken; /* nobody reads any more */
	unsigned long long lost;
};

static void send_pending(struct vms_drain *drain)
{
	size_t done = 0;

	while (done < drain->line && !drain->is_broken) {
		ssize_t n = write(drain->fd, drain->bytes + done, drain->line - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			drain->is_broken = errno != EAGAIN;
			break;
		}
		done += (size_t)n;
	}
	memmove(drain->bytes, drain->bytes + done, drain->len - done);
	drain->len -= done;
	drain->line -= done;
}

static bool append(struct vms_drain *drain, const char *bytes, size_t len)
{
	if (drain->len + len > MAX_PENDING)
		return false;
	if (drain->len + len > drain->cap) {
		size_t cap = 2 * (drain->len + len);
		char *grown = realloc(drain->bytes, cap);

		if (!grown)
			return false;
		drain->bytes = grown;
		drain->cap = cap;
	}
	memcpy(drain->bytes + drain->len, bytes, len);
	drain->len += len;
	return true;
}

static void end_line(struct vms_drain *drain)
{
	if (drain->is_dropping) {
		drain->lost++;
		drain->len = drain->line;
		drain->is_dropping = false;
		return;
	}
	drain->line = drain->len;
	send_pending(drain);
}

static ssize_t put(void *cookie, const char *bytes, size_t size)
{
	struct vms_drain *drain = cookie;
	size_t done = 0;

	while (done < size) {
		const char *end = memchr(bytes + done, '\n', size - done);
		size_t len = end ? (size_t)(end - (bytes + done)) + 1 : size - done;

		/* What is left of an earlier line has to go first. */
		if (drain->len == drain->line && drain->line)
			send_pending(drain);
		if (drain->line || drain->is_broken || !append(drain, bytes + done, len))
			drain->is_dropping = true;
		if (end)
			end_line(drain);
		done += len;
	}
	/* What is lost is no error of the stream. */
	return (ssize_t)size;
}

struct vms_drain *vms_drain_new(int fd)
{
	const cookie_io_functions_t functions = { .write = put };
	vms_autofd owned = fd;
	struct vms_drain *drain = calloc(1, sizeof(*drain));

	if (!drain)
		return NULL;
	drain->fd = -1;
	drain->file = fopencookie(drain, "w", functions);
	if (!drain->file || fcntl(fd, F_SETFL, O_WRONLY | O_NONBLOCK) < 0) {
		vms_drain_free(drain);
		return NULL;
	}
	setvbuf(drain->file, NULL, _IOLBF, BUFSIZ);
	drain->fd = vms_fd_steal(&owned);
	return drain;
}

FILE *vms_drain_file(struct vms_drain *drain)
{
	return drain->file;
}

bool vms_drain_is_broken(const struct vms_drain *drain)
{
	return drain->is_broken;
}

unsigned long long vms_drain_lost(const struct vms_drain *drain)
{
	return drain->lost;
}

void vms_drain_free(struct vms_drain *drain)
{
	if (!drain)
		return;
	if (drain->file)
		fclose(drain->file);
	vms_fd_close(&drain->fd);
	free(drain->bytes);
	free(drain);
}
