/*
 * The front: the process that the shell started. It stands for the program: dies, stops and goes on
 * as the program does, and hands on what is sent to it. It touches no memory and traces nobody.
 */
#ifndef VMSUP_CLI_FRONT_H
#define VMSUP_CLI_FRONT_H

#include <stdbool.h>
#include <sys/types.h>

/**
 * Fill what is closed of stdin, stdout and stderr with a close-on-exec /dev/null, so that no
 * descriptor of ours takes their place, while the program still finds them closed.
 */
int vms_front_fill_stdio(void);

/**
 * Stand for the program until it has ended. Call it right after the fork of the supervisor, for
 * it changes this process: its signal mask first, later its descriptors and directory.
 * @fd: this end of the pair with the supervisor (taken)
 * @supervisor: our child
 * @want_verdict: wait for the supervisor's last message, not only for the end of the program
 * Returns the exit status. When a signal killed the program, the same one kills this process.
 */
int vms_front_run(int fd, pid_t supervisor, bool want_verdict);

#endif
