/*
 * What supervisors tell, as text for people or as JSON. It trusts nothing in it: a member of the
 * wrong type is shown as "-", and text that a terminal could obey is escaped as \ooo.
 */
#ifndef VMSUP_CTL_SHOW_H
#define VMSUP_CTL_SHOW_H

#include <stdio.h>

#include <jansson.h>

/** Print @text with control characters as \ooo. */
void vms_show_text(FILE *out, const char *text);
/** Print a sentence that a supervisor may have sent on stderr, as vms_log does. */
void vms_show_error(const char *text);

/**
 * Print what vms_report_maps describes: lines "name: value" (range, mode, brk_base, brk,
 * brk_frontier, va, commit, reserved, mappings; sizes in bytes; limits where there are any), then a line a mapping:
 *   start-end prot shared|private kind flags file
 * with addresses as in /proc/PID/maps, hexadecimal without 0x; flags joined by commas, "-" when
 * none.
 */
void vms_show_maps(FILE *out, const json_t *maps);

/** Print what vms_ctl_ps describes as a table, one line a process. Silent supervisors are left out.
 */
void vms_show_ps(FILE *out, const json_t *ps);

/** Print what vms_report_limit describes as a table, one line a limit. */
void vms_show_limits(FILE *out, const json_t *limits);

/** Print @json in ASCII with a newline. 0 or -EIO. */
int vms_show_json(FILE *out, const json_t *json);

#endif
