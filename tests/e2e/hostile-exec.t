#!/usr/bin/python3
"""Hostile programs and execs: what is executed is inside the range, or it is killed."""

import vmsuptest as t

s = t.Suite()
BOTH = [w for w in t.ways(modes=("supervise", "fence"), users=(t.ME,), ranges=("low",))]
EVERY = t.ways(modes=("supervise", "fence"))


def guest(way, name, *words, **kw):
    argv = [t.place.guest(name), "%#x" % way.lo, "%#x" % way.hi] + list(words)
    return t.run(way, argv, audit=kw.pop("audit", False), **kw)


def contained(got):
    """It ended, by itself or killed, and saw no page outside."""
    t.require(got.status not in (70, 71, 99) and "ESCAPED" not in got.err, "it was not contained\n%s" % got)
    return got


@s.case_for(EVERY)
def filters(way):
    """a seccomp filter of the program's own cannot fake what is injected at exec"""
    for how in ("lie", "refuse", "kill", "trap", "trace"):
        for call in ("none", "mmap", "fence", "munmap", "mremap", "prctl", "mseal"):
            got = contained(guest(way, "filters", how, call))
            if call == "none":
                t.expect(got, 0, out="^contained$")


s.main()
