#!/usr/bin/python3
"""Hostile calls: none opens the fence, makes tree and kernel disagree, or stalls somebody else."""

import os

import hostile as h
import vmsuptest as t

s = t.Suite()


def add_attacks():
    for what in ("advice", "memory", "userfault", "rings", "shm", "registers", "abi", "cookie", "image"):
        for way in h.USERS + h.HIGH:
            s.add("no way through the fence by %s [%s]" % (what, way.name), attack, way, what)


def attack(way, what):
    h.unharmed(way, "fence", what, audit=way.mode == "supervise")


add_attacks()


@s.case_for(h.BOTH)
def races(way):
    """threads and processes that race on addresses, descriptors and tasks"""
    for what, rounds in ("ranges", 300), ("files", 500), ("exits", 1000), ("forks", 100), ("spaces", 150), ("blocks", 200):
        h.unharmed(way, "race", what, rounds, audit=way.mode == "supervise")


@s.case_for(h.USERS)
def stalls(way):
    """a call that does not return stalls nobody else"""
    for what in "asleep", "populate", "path", "action", "limit", "get-limit":
        got = h.guest(way, "stall", what, seconds=30)
        t.expect(got, 0)
        t.require("slow" not in got.out, str(got))


@s.case_for(t.ways(modes=("supervise", "fence"), users=("root",), ranges=("low",)))
def deputies(way):
    """the supervisor sets no limit that the program might not set itself"""
    guest = h.argv(way, "limits")
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    words = " ".join(nobody + guest)
    script = "%s other $$ && %s raise && %s inner $$; echo $?" % (words, words, words)
    h.contained(t.expect(t.run(way, ["sh", "-c", script], audit=False), 0, out="^0$"))


@s.case_for(t.ways(modes=("supervise", "fence"), users=("ordinary",), ranges=("low",)))
def capabilities(way):
    """capabilities in a user namespace of one's own raise no hard limit"""
    h.guest(way, "limits", "raise")
    h.guest(way, "limits", "inner", os.getpid())


s.main()
