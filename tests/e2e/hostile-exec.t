#!/usr/bin/python3
"""Hostile programs and execs: what is executed is inside the range, or it is killed."""

import hostile as h
import vmsuptest as t

s = t.Suite()


@s.case_for(h.USERS)
def filters(way):
    """a seccomp filter of the program's own cannot fake what is injected at exec"""
    h.unharmed(way, "filters", "lie", "none")
    for how in ("lie", "refuse", "kill", "trap", "trace"):
        for call in ("mmap", "fence", "munmap", "mremap", "prctl", "mseal"):
            h.guest(way, "filters", how, call)


@s.case_for(h.USERS)
def limits(way):
    """with next to no resources a program is executed inside, or not at all"""
    for what in ("as", "as-zero", "data", "stack", "stack-huge", "stack-max", "core", "nofile", "nproc", "memlock",
                 "fsize", "sigpending"):
        h.guest(way, "limits", "tiny", what)


s.main()
