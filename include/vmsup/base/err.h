/*
 * The sentence for a person. Functions return 0 or a negative errno; where somebody must act,
 * they also fill a struct vms_err on the caller's stack: what is wrong and what to do.
 */
#ifndef VMSUP_BASE_ERR_H
#define VMSUP_BASE_ERR_H

#define VMS_MUST_CHECK __attribute__((warn_unused_result))

/** For the rare call whose failure changes nothing; says so where it stands. */
static inline void vms_ignore(int result)
{
	(void)result;
}

struct vms_err {
	char text[512];
};

#define VMS_ERR_INIT { .text = "" }

/**
 * Write the sentence (no trailing newline, no "vmsup:" prefix) and return @code, so that
 * a failing function can end with `return vms_err_set(err, -EINVAL, "...")`.
 * @err may be NULL: then only the code is returned. Too long a text is cut.
 */
int vms_err_set(struct vms_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
