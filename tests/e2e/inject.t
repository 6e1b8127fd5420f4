#!/usr/bin/python3
"""--inject: calls that fail because somebody wants them to."""

import json
import os
import re

import vmsuptest as t

s = t.Suite()
WAYS = [w for w in t.ways(places=("auto", "remote")) if w.user == t.ME and w.range == "low"]


def inject(way, rules, argv, **kw):
    extra = ["--inject=" + r for r in rules]
    return t.run(way, argv, extra=extra, **kw)


@s.case_for(WAYS)
def every_nth(way):
    """the n-th allocation of a program fails for every n up to its last, repeatably, and nothing else goes wrong"""
    argv = [t.place.guest("allocs")]
    plain = t.expect(t.run(way, argv), 0, r"\Afailed 0\n\Z")
    last = 0
    seen = set()
    for n in range(1, 80):
        rule = "mmap,mremap,mprotect:error=ENOMEM:size>100000:when=%d" % n
        a = inject(way, [rule], argv)
        t.require(a.stats["divergences"] == 0, "divergences\n%s" % a)
        if a.stats["injected"] == 0:
            break
        last = n
        # The loader's own mappings of libraries count, too: without them it says so and ends.
        t.expect(a, (0, 127))
        seen.add(a.out)
        if n % 5 == 1:
            b = inject(way, [rule], argv)
            t.require((a.out, a.status) == (b.out, b.status), "twice, two results\n%s\n%s" % (a, b))
    t.require(last >= 12, "only %d calls could be made to fail\n%s" % (last, plain))
    t.require("failed 1\n" in seen, "never exactly one failure: %r" % seen)


@s.case_for(WAYS)
def shell(way):
    """a real program: every mmap, brk or execve of dash fails once; it never hangs, and its parent sees why"""
    script = "x=$(seq 3 | tail -1); echo $x"
    for n in range(1, 60):
        got = inject(way, ["mmap,brk,execve:error=ENOMEM:when=%d" % n], ["dash", "-c", script], seconds=30)
        t.require(got.stats is None or got.stats["divergences"] == 0, "divergences\n%s" % got)
        if not got.stats or not got.stats["injected"]:
            break
    t.require(n > 10, "after %d calls there were none left" % n)


@s.case
def conditions():
    """size, prot, anon, file and probability choose the calls; the trace tells which"""
    way = t.way()
    trace = os.path.join(t.place.top, t.ME, "run", "t.json")
    for rule, wanted in (
        ("mmap:error=EACCES:file=*/libc.so*", lambda c: int(c["args"][4], 16) < 100),
        ("mmap:error=ENOMEM:size>1M:when=2", lambda c: int(c["args"][1], 16) > 1 << 20),
        ("mprotect:error=ENOMEM:prot=r:when=1", lambda c: int(c["args"][2], 16) & 1),
        ("mmap:error=ENOMEM:anon:when=1", lambda c: int(c["args"][3], 16) & 0x20),
    ):
        got = t.run(way, ["bash", "-c", ":"], extra=["--inject", rule, "--trace=" + trace], audit=False)
        calls = [json.loads(x) for x in open(trace) if '"injected"' in x and '"event"' not in x]
        t.require(calls and all(wanted(c) and c["decision"] == "refuse" for c in calls), "%s: %r\n%s" % (rule, calls, got))
        t.require(len(calls) == got.stats["injected"], "%d in the trace, %r" % (len(calls), got.stats["injected"]))
    runs = [
        t.run(way, ["bash", "-c", "seq 5 | tail -1"], extra=["--inject", "mprotect:signal=CONT:probability=0.5:seed=%d" % n])
        for n in (3, 3)
    ]
    t.require(runs[0].stats["injected"] == runs[1].stats["injected"] > 0, "%r" % [r.stats["injected"] for r in runs])
    t.expect(runs[0], 0, r"\A5\n\Z")


@s.case
def signals():
    """signal= sends a signal, with or without an error"""
    got = t.run(t.way(), [t.place.guest("allocs")], extra=["--inject", "mmap:signal=USR1:when=9"])
    t.expect(got, -10)
    got = t.run(t.way(), [t.place.guest("allocs")], extra=["--inject", "mmap:signal=CONT:when=9+"])
    t.expect(got, 0, r"\Afailed 0\n\Z")
    t.require(got.stats["injected"] > 0, "nothing was injected\n%s" % got)
    got = t.run(t.way(), [t.place.guest("allocs")], extra=["--inject", "mmap:error=ENOMEM:signal=KILL:when=9"])
    t.expect(got, -9)


@s.case
def execs():
    """an execve can fail with any errno, in both modes"""
    for mode in ("supervise", "fence"):
        got = t.run(t.way(mode), ["/bin/bash", "-c", ":"], extra=["--inject", "execve:error=EIO"])
        t.expect(got, 126, None, "Input/output error")
        # Counted for each process: the shell's own execve is its first, its child's a first one, too.
        got = t.run(t.way(mode), ["/bin/bash", "-c", "/bin/true; echo $?"], extra=["--inject", "execve:error=EACCES:when=2"])
        t.expect(got, 0, r"\A0\n\Z")
        got = t.run(t.way(mode), ["/bin/dash", "-c", "exec /bin/true; echo no"], extra=["--inject", "execve:error=EACCES:when=2"])
        t.expect(got, 126, None, "Permission denied")


@s.case
def wrong_words():
    """a rule that makes no sense is refused in a sentence"""
    for rule, pattern in (("mmpa:error=ENOMEM", "did you mean mmap"), ("mmap", "what shall happen")):
        t.expect_sentence(t.run_vmsup(["run", "--inject", rule, "--", "true"]), 125, pattern)
    words = ["run", "--mode=fence", "--inject=mmap:error=ENOMEM", "--", "true"]
    t.expect_sentence(t.run_vmsup(words), 125, "no effect with --mode=fence")


s.main()
