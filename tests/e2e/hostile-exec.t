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
    h.guest(way, "filters", "lie", "mseal", "int80")
    h.guest(way, "filters", "lie", "fence", "int80")


@s.case_for(h.USERS)
def limits(way):
    """with next to no resources a program is executed inside, or not at all"""
    for what in ("as", "as-zero", "data", "stack", "stack-huge", "stack-max", "core", "nofile", "nproc", "memlock",
                 "fsize", "sigpending"):
        h.guest(way, "limits", "tiny", what)


@s.case_for(h.USERS)
def personalities(way):
    """under no personality is a program executed outside"""
    for bits in ("0400000", "0200000", "0100000", "8000000", "0020000", "0040000", "4000000", "0008", "7ffffff"):
        h.unharmed(way, "spaces", "persona", bits, audit=way.mode == "supervise")
    h.guest(way, "spaces", "mdwe")


@s.case_for(h.USERS)
def itself(way):
    """a program that takes its own image apart lives on inside"""
    for part in "vdso", "heap", "stack", "top":
        h.unharmed(way, "spaces", "unmap", part, audit=way.mode == "supervise")
    h.unharmed(way, "spaces", "vfork", audit=way.mode == "supervise")
    for size in 0, 200, 1400000:
        h.unharmed(way, "spaces", "arguments", size)


@s.case_for(h.USERS)
def elsewhere(way):
    """undumpable, in a chroot, in namespaces, with and without a /proc"""
    for what in "undumpable", "chroot", "namespaces", "noproc":
        h.guest(way, "spaces", what, audit=way.mode == "supervise")


@s.case_for(h.USERS)
def tracers(way):
    """who traces others of the tree gets nothing of them outside"""
    for what in "rewrite", "poke", "seize", "orphan", "untraced":
        h.unharmed(way, "tracer", what)


@s.case_for(h.BOTH)
def storms(way):
    """many at once, dying and stopping at any moment"""
    for what, number in ("threads", 150), ("execs", 20), ("deaths", 40), ("stops", 20), ("bomb", 150):
        h.guest(way, "storm", what, number)


s.main()
