/*
 * One line on stderr for an operator, prefixed "vmsup: ". Logged once, where an error stops rising.
 * A caller that a child can provoke uses the limited form, so that a child cannot flood the log.
 */
#ifndef VMSUP_BASE_LOG_H
#define VMSUP_BASE_LOG_H

void vms_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** A budget of lines for one kind of message; after @max lines one says that more follow unseen. */
struct vms_log_budget {
	unsigned int max;
	unsigned int used;
};

void vms_log_limited(struct vms_log_budget *budget, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * From now on a line is dropped where writing it would wait: a pipe that nobody reads, which the program may have filled,
 * would stop the supervisor and with it the whole tree.
 */
void vms_log_never_wait(void);

#endif
