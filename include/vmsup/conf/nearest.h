/*
 * The word that somebody meant who mistyped one. For sentences on stderr only: nothing is ever
 * done on the strength of a guess.
 */
#ifndef VMSUP_CONF_NEAREST_H
#define VMSUP_CONF_NEAREST_H

#include <stddef.h>

/**
 * Find which of @names is meant by the first @len characters of @word: the first that it
 * abbreviates, else the one with the fewest letters dropped, added, replaced or swapped with a
 * neighbour.
 * Returns an element of @names (borrowed), or NULL when none is near.
 */
const char *vms_nearest(const char *word, size_t len, const char *const *names, size_t count);

#endif
