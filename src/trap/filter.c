/*
 * The seccomp filter; see the header.
 *
 * libseccomp writes the BPF; we load it ourselves, because the libseccomp of Debian 12 does not know
 * WAIT_KILLABLE_RECV.
 */
#include "vmsup/trap/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/seccomp.h>
#include <seccomp.h>

#include "vmsup/base/fd.h"
#include "vmsup/core/call.h"
#include "vmsup/trap/fence.h"

#include "i386.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

int vms_cookie_draw(struct vms_cookie *ret_cookie)
{
	struct vms_cookie cookie;

	/* Values that sloppy but honest callers leave in those registers are no cookies. */
	do {
		if (getrandom(&cookie, sizeof(cookie), 0) != (ssize_t)sizeof(cookie))
			return -EIO;
	} while (cookie.r9 <= UINT32_MAX || cookie.fd_high == 0 || cookie.fd_high == UINT32_MAX ||
		 cookie.offset_high == 0 || cookie.offset_high >= UINT32_MAX / 2);
	*ret_cookie = cookie;
	return 0;
}

/* Notify when @test holds and @extra (an array of @nr_extra comparisons) holds. */
static int add_notify(scmp_filter_ctx ctx, int nr, const struct vms_arg_test *test,
		      const struct scmp_arg_cmp *extra, unsigned int nr_extra)
{
	struct scmp_arg_cmp cmp[6];
	unsigned int n = 0;

	switch (test->op) {
	case VMS_TEST_NONE:
		break;
	case VMS_TEST_NE:
		cmp[n++] = SCMP_CMP64(test->arg, SCMP_CMP_NE, test->value, 0);
		break;
	case VMS_TEST_EQ:
		cmp[n++] = SCMP_CMP64(test->arg, SCMP_CMP_MASKED_EQ, UINT32_MAX, test->value);
		break;
	case VMS_TEST_CLEAR:
		cmp[n++] = SCMP_CMP64(test->arg, SCMP_CMP_MASKED_EQ, test->value, 0);
		break;
	}
	for (unsigned int i = 0; i < nr_extra; i++)
		cmp[n++] = extra[i];
	return seccomp_rule_add_array(ctx, SCMP_ACT_NOTIFY, nr, n, cmp);
}

/* Everything but a call that shows the whole cookie is notified. */
static int add_mmap(scmp_filter_ctx ctx, int nr, const struct vms_arg_test *test,
		    const struct vms_cookie *cookie)
{
	const uint64_t low = (uint64_t)cookie->fd_high << 32, high = low | UINT32_MAX;
	const uint64_t upper = (uint64_t)UINT32_MAX << 32;
	struct scmp_arg_cmp below = SCMP_CMP64(4, SCMP_CMP_LT, low, 0);
	struct scmp_arg_cmp above = SCMP_CMP64(4, SCMP_CMP_GT, high, 0);
	struct scmp_arg_cmp half[3] = {
		SCMP_CMP64(4, SCMP_CMP_MASKED_EQ, upper, low),
		SCMP_CMP64(3, SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS),
		SCMP_CMP64(5, SCMP_CMP_NE, (uint64_t)cookie->offset_high << 32, 0),
	};
	int r = add_notify(ctx, nr, test, &below, 1);

	if (r == 0)
		r = add_notify(ctx, nr, test, &above, 1);
	if (r == 0)
		r = add_notify(ctx, nr, test, half, 3);
	return r;
}

static int add_call(scmp_filter_ctx ctx, const struct vms_call_info *info, const struct vms_cookie *cookie)
{
	struct scmp_arg_cmp no_cookie = SCMP_CMP64(5, SCMP_CMP_NE, cookie->r9, 0);
	int r = 0;

	for (size_t i = 0; i < VMS_MAX_TESTS && r == 0; i++) {
		const struct vms_arg_test *test = &info->any_of[i];

		if (i > 0 && test->op == VMS_TEST_NONE)
			break;
		switch (info->cookie) {
		case VMS_COOKIE_NONE:
			r = add_notify(ctx, info->nr, test, NULL, 0);
			break;
		case VMS_COOKIE_R9:
			r = add_notify(ctx, info->nr, test, &no_cookie, 1);
			break;
		case VMS_COOKIE_MMAP:
			r = add_mmap(ctx, info->nr, test, cookie);
			break;
		}
	}
	return r;
}

static int add_rules(scmp_filter_ctx ctx, unsigned int when, const struct vms_cookie *cookie)
{
	int r;

	r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	/* A binary tree over the call numbers: most calls pass after a few comparisons. */
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; i < VMS_NR_CALLS && r == 0; i++) {
		const struct vms_call_info *info = vms_call_get((enum vms_call)i);

		if (info->when & when)
			r = add_call(ctx, info, cookie);
	}
	return r;
}

/*
 * libseccomp exports to a descriptor only. A pipe: a file, even in memory, would be subject to RLIMIT_FSIZE. It holds more than
 * the longest program.
 */
static int export_bpf(scmp_filter_ctx ctx, struct sock_filter *code, size_t max, size_t *ret_len)
{
	vms_autofd from = -1, to = -1;
	int fds[2], r;
	ssize_t size;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	from = fds[0];
	to = fds[1];
	r = seccomp_export_bpf(ctx, to);
	if (r < 0)
		return r;
	vms_fd_close(&to);
	size = vms_fd_read_all(from, code, max * sizeof(*code));
	if (size <= 0)
		return -EIO;
	*ret_len = (size_t)size / sizeof(*code);
	return 0;
}

/* The check of an unsealed fence comes first. */
static int write_code(scmp_filter_ctx ctx, unsigned int when, const struct vms_cookie *cookie,
		      const struct vms_range *unsealed, struct vms_filter *ret_filter)
{
	struct sock_filter *code = calloc(BPF_MAXINSNS, sizeof(*code));
	size_t before = 0, len = 0;
	int r;

	if (!code)
		return -ENOMEM;
	if (unsealed)
		before = vms_fence_check(unsealed, cookie, when & VMS_TRAP_SUPERVISE, code);
	/* In front: libseccomp's part answers every call of an architecture that is not its own. */
	if (when & VMS_TRAP_I386)
		before += vms_filter_i386(when, code + before);
	r = export_bpf(ctx, code + before, BPF_MAXINSNS - before, &len);
	if (r < 0) {
		free(code);
		return r;
	}
	ret_filter->prog.len = (unsigned short)(before + len);
	ret_filter->prog.filter = code;
	return 0;
}

int vms_filter_build(unsigned int when, const struct vms_cookie *cookie, const struct vms_range *unsealed,
		     struct vms_filter *ret_filter, struct vms_err *err)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r;

	if (!ctx)
		return vms_err_set(err, -ENOMEM, "cannot build the seccomp filter: out of memory");
	r = add_rules(ctx, when, cookie);
	if (r == 0)
		r = write_code(ctx, when, cookie, unsealed, ret_filter);
	seccomp_release(ctx);
	if (r < 0)
		return vms_err_set(err, r, "cannot build the seccomp filter (libseccomp error %d)", -r);
	return 0;
}

void vms_filter_done(struct vms_filter *filter)
{
	free(filter->prog.filter);
	filter->prog.filter = NULL;
}

int vms_filter_load(const struct vms_filter *filter)
{
	const unsigned long flags =
		SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
	long fd;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter->prog);
	return fd < 0 ? -errno : (int)fd;
}
