/*
 * What the spy and victim programs share: a victim behind the real filter, whose trapped calls the test answers by hand,
 * and waits that give up. Not the supervisor: nothing here decides.
 */
#ifndef VMSUP_TESTS_SPY_H
#define VMSUP_TESTS_SPY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmsup/core/cookie.h"
#include "vmsup/trap/listener.h"

struct spy {
	pid_t pid; /* of the victim */
	struct vms_listener listener;
	struct vms_cookie cookie;
};

/**
 * Fork a victim that loads the filter for @when and runs @body; what @body returns is its exit status. It dies with the
 * test. The test fails when this fails.
 */
struct spy spy_start(unsigned int when, int (*body)(void *arg), void *arg);
/** Kill the victim if it is still there, and close everything. */
void spy_end(struct spy *spy);

/** The next notification; the test fails when none comes for some seconds. */
struct vms_trap spy_receive(struct spy *spy);
/** Let calls through until one is of number @nr and has @value as argument @arg; that one is returned, unanswered. */
struct vms_trap spy_receive_marked(struct spy *spy, int nr, unsigned int arg, uint64_t value);
/** Let every call through until the victim is dead; its wait status. */
int spy_serve_to_end(struct spy *spy);

/** waitpid(@tid, __WALL) that fails the test after some seconds. */
int spy_wait(pid_t tid);
/** True when @tid has changed state within @ms milliseconds; nothing is reaped. */
bool spy_has_news(pid_t tid, int ms);
/** Wait until the state letter in /proc/@tid/stat is @state. */
void spy_wait_state(pid_t tid, char state);
/** "exited N" or "signal N", for messages; one static buffer. */
const char *spy_say(int status);

#endif
