#!/usr/bin/python3
"""Random memory calls answer under vmsup as they do natively; see memdiff.py."""

import memdiff
import vmsuptest as t

s = t.Suite()
EVERY = [w for w in map(memdiff.way_of, memdiff.WAYS) if w.user in t.USERS]
SUPERVISED = [w for w in EVERY if w.mode == "supervise"]


def check(way, *words, audit=False):
    wrong = memdiff.compare(way, words, audit=audit)
    t.require(not wrong, wrong)


@s.case_for(EVERY)
def alone(way):
    """800 random calls of one thread"""
    check(way, "--seed=%d" % (11 + EVERY.index(way)), "--ops=800")


@s.case_for(EVERY)
def threads(way):
    """4 threads with arenas of their own, 250 random calls each"""
    check(way, "--seed=%d" % (31 + EVERY.index(way)), "--ops=250", "--threads=4")


@s.case_for(SUPERVISED)
def audited(way):
    """200 random calls, the tree compared with the kernel after each"""
    check(way, "--seed=%d" % (51 + EVERY.index(way)), "--ops=200", audit=True)


@s.case_for(SUPERVISED)
def heap_elsewhere(way):
    """after PR_SET_MM the break is the kernel's, also where memory is counted"""
    wrong = memdiff.compare(way, ["--seed=2", "--ops=2000", "--only=791"], extra=["--max-heap=200M", "--max-commit=400M"])
    t.require(not wrong, wrong)


@s.case
def regressions():
    """sequences that once differed"""
    for words, options in memdiff.REGRESSIONS:
        way = memdiff.way_of(words)
        if way.user in t.USERS:
            check(way, "--digest=1000000", *options.split(), audit=way.mode == "supervise")


s.main()
