#!/usr/bin/python3
"""Limits: ENOMEM instead of an OOM kill; `vmsup limit`."""

import json
import os
import re
import signal
import subprocess
import sys

import vmsuptest as t

s = t.Suite()
EVERY = t.ways()
MINE = [w for w in EVERY if w.user == t.ME]
LOW = [w for w in MINE if w.range == "low"]
REMOTE = [w for w in t.ways(places=("remote",)) if w.user == t.ME]
MIB = 1 << 20


def limited(way, options, argv, **kw):
    got = t.run(way, [t.place.guest("budget")] + [str(a) for a in argv], extra=options, **kw)
    wrong = t.stats_wrong(got)
    t.require(not wrong, "%s\n%s" % (wrong, got))
    return got


def counts(got):
    return [(int(n), e) for n, e in re.findall(r"^(\d+) (\w+)$", got.out, re.M)]


@s.case_for(EVERY + REMOTE)
def commit(way):
    """--max-commit: mmap, mprotect, mremap, brk and shared memory get ENOMEM at the limit, and again after giving back"""
    for kind in ("commit", "shared", "zero", "protect", "grow", "heap"):
        got = t.expect(limited(way, ["--max-commit=64M"], [kind, 200 * MIB]), 0)
        (first, e1), (second, e2) = counts(got)
        # What the program itself has takes a few MiB.
        t.require(56 <= first <= 64 and second == first, "%s: %d, then %d MiB\n%s" % (kind, first, second, got))
        t.require(e1 == e2 == "ENOMEM", "%s: %s\n%s" % (kind, e1, got))
        t.require(got.stats["limited"].get("max-commit", 0) >= 2, "stats: %r" % got.stats["limited"])


@s.case_for(EVERY)
def reservations(way):
    """a reservation is no commit, but counts for --max-va"""
    for options, out in ((["--max-commit=32M"], "reserved"), (["--max-va=512M"], "ENOMEM")):
        got = limited(way, options, ["reserve", 1024 * MIB])
        t.expect(got, 0 if out == "reserved" else 1, r"\A%s\n\Z" % out)


@s.case
def reservation_beyond_ulimit():
    """64 GiB reserved as Go does: well under --max-commit 512M, dead under ulimit -v 512M"""
    guest = t.place.guest("budget")
    words = [t.place.vmsup(), "run", "--max-commit", "512M", "--", guest, "reserve", str(64 << 30)]
    t.expect(t.finish(t.Proc(words, t.place.fresh(t.ME), t.place.env(t.ME))), 0, r"\Areserved\n\Z")
    got = t.run_native(t.ME, ["bash", "-c", "ulimit -v 524288; exec %s reserve %d" % (guest, 64 << 30)])
    t.expect(got, 1, r"\AENOMEM\n\Z")


def runtime(argv, out):
    t.need(argv[0])
    words = [t.place.vmsup(), "run", "--max-commit", "512M", "--"] + argv
    t.expect(t.finish(t.Proc(words, t.place.fresh(t.ME), t.place.env(t.ME))), 0, out)
    script = "ulimit -v 524288; exec " + " ".join(t.quote(a) for a in argv)
    got = t.run_native(t.ME, ["bash", "-c", script])
    t.require(got.status != 0, "it runs under ulimit -v, too\n%s" % got)


@s.case
def node():
    """node runs under --max-commit 512M, and dies under ulimit -v 512M"""
    runtime(["node", "-e", "console.log([1, 2, 3].map(x => x * x).join())"], r"^1,4,9$")


@s.case
def java():
    """java runs under --max-commit 512M, and dies under ulimit -v 512M"""
    runtime(["java", "-Xmx128m", "-version"], None)


@s.case_for(MINE)
def memory_error(way):
    """python3 gets a MemoryError at --max-commit, and goes on"""
    script = "try:\n bytearray(100 << 20)\nexcept MemoryError:\n print('MemoryError', len(bytearray(10 << 20)))"
    got = t.run(way, ["python3", "-c", script], env=t.place.python_env(way.range), extra=["--max-commit=64M"])
    t.expect(got, 0, r"\AMemoryError 10485760\n\Z", r"^vmsup: process \d+ has reached --max-commit: \w+ would pass 67108864 bytes")
    t.require(got.stats["divergences"] == 0, "divergences\n%s" % got)


@s.case_for(MINE)
def heap(way):
    """--max-heap limits brk only"""
    got = t.expect(limited(way, ["--max-heap=20M"], ["heap", 100 * MIB]), 0)
    t.require(all(18 <= n <= 20 and e == "ENOMEM" for n, e in counts(got)), "%s" % got)
    got = t.expect(limited(way, ["--max-heap=20M"], ["commit", 100 * MIB]), 0)
    t.require(counts(got)[0][0] == 100, "%s" % got)


@s.case_for(MINE + REMOTE)
def number_of_maps(way):
    """--max-maps limits the number of mappings"""
    got = t.expect(limited(way, ["--max-maps=500"], ["maps", 1000]), 0)
    ((n, e),) = counts(got)
    t.require(200 <= n <= 245 and e == "ENOMEM", "%d mappings, %s\n%s" % (n, e, got))
    t.require(got.stats["max_vmas"] <= 501, "%d were there" % got.stats["max_vmas"])


@s.case_for(t.ways(modes=("supervise", "fence"), users=(t.ME,), ranges=("low",)))
def stack(way):
    """--max-stack: a recursion of 7 MB dies under 4M, and runs under 16M"""
    guest = [t.place.guest("recurse"), "7"]
    t.expect(t.run(way, guest, extra=["--max-stack=16M"], audit=False), 0)
    t.expect(t.run(way, guest, extra=["--max-stack=4M"], audit=False), -11)


@s.case_for(LOW)
def racing_threads(way):
    """eight threads that race never have more than the limit at once"""
    t.expect(limited(way, ["--max-commit=100M"], ["threads", 100 * MIB], audit=False), 0, r"\Adone\n\Z")
    t.expect(limited(way, ["--max-commit=72M"], ["threads", 4 * MIB], audit=False), (0, 1), r"done\n\Z")


@s.case_for(MINE)
def tree_commit(way):
    """--tree-max-commit counts all processes together, and forgets those that are gone"""
    got = t.expect(limited(way, ["--tree-max-commit=30M"], ["forks", 40 * MIB]), 0, r"^free again$")
    could = int(got.out.split()[0])
    t.require(15 <= could <= 29, "%d children could\n%s" % (could, got))
    t.require(got.stats["limited"].get("tree-max-commit", 0) >= 40 - could, "%r" % got.stats["limited"])


@s.case_for(LOW)
def tree_forks(way):
    """a fork counts from its first moment where the tree has a limit, and no longer than it lives"""
    for how in "libc", "fork", "clone3", "parent", "orphan":
        argv = [t.place.guest("forkbudget"), how]
        got = t.expect(t.run(way, argv, extra=["--tree-max-commit=250M"]), (0, -15))
        counted = counts(got)
        t.require(counted and all(3 <= n <= 5 and e == "ENOMEM" for n, e in counted) and len(set(counted)) == 1, got)
    t.expect(t.run(way, [t.place.guest("forkbudget"), "fork"], extra=["--max-commit=250M"]), 0, out=r"\A64 no limit$")


@s.case_for(LOW + REMOTE)
def growing(way):
    """what grows by page faults keeps its size where memory is counted, and grows where it is not"""
    grower = [t.place.guest("grower")]
    # What lies below may be a mapping of its own.
    for options in ["--max-commit=64M"], ["--max-va=1G"], ["--tree-max-commit=64M"]:
        t.expect(t.run(way, grower, extra=options), 0, out=r"^\d{1,3} KiB$")
    grown = t.expect(t.run(way, grower), 0, out=r"^\d{5,} KiB$")
    native = t.expect(t.run_native(way.user, grower), 0)
    t.require(int(grown.out.split()[0]) * 2 > int(native.out.split()[0]), "natively:\n%s\nhere:\n%s" % (native, grown))


@s.case_for(LOW)
def on_limit(way):
    """--on-limit: a signal with the ENOMEM, or death"""
    t.expect(limited(way, ["--max-commit=64M", "--on-limit=signal:USR1"], ["signal"]), 0, r"\AENOMEM 1\n\Z")
    t.expect(limited(way, ["--max-commit=64M", "--on-limit=enomem"], ["signal"]), 0, r"\AENOMEM 0\n\Z")
    got = t.run(way, [t.place.guest("budget"), "signal"], extra=["--max-commit=64M", "--on-limit", "kill"])
    t.expect(got, -9)


@s.case_for(LOW)
def shown(way):
    """the program is shown --max-va as its RLIMIT_AS; the trace names the limit"""
    t.expect(limited(way, ["--max-va=300M"], ["rlimit"]), 0, r"\A%d\n\Z" % (300 * MIB))
    trace = os.path.join(t.place.top, t.ME, "run", "trace.json")
    limited(way, ["--max-commit=64M", "--trace=" + trace], ["commit", 100 * MIB])
    lines = [json.loads(x) for x in open(trace) if '"limit"' in x]
    t.require(lines and all(x["limit"] == "max-commit" and x["errno"] == "ENOMEM" for x in lines), "%r" % lines[:3])


def ask(guest):
    os.write(guest.w, b"\n")


@s.case_for(t.ways(ranges=("low",)))
def changed_live(way):
    """vmsup limit shows and changes the limits of a running process; not from inside"""
    with t.Held(way, [t.place.guest("budget"), "hold"], extra=["--max-commit=64M", "--tree-max-va=1G"]) as g:
        pid = str(g.pid)
        got = json.loads(t.expect(t.verb(way, "limit", "--json", pid), 0).out)
        t.require(got["limits"] == {"commit": 64 * MIB} and got["tree_limits"] == {"va": 1 << 30}, "%r" % got)
        used = got["used"]["commit"]
        t.require(0 < used < 8 * MIB and got["tree"]["commit"] == used, "%r" % got)
        ask(g)
        g.proc.wait_text(r"^yes$")
        # Below what is used: only growth stops.
        t.expect(t.verb(way, "limit", "--max-commit", "64K", pid), 0, r"^commit +1\.\dM +64\.0K ")
        ask(g)
        g.proc.wait_text(r"^yes\nno$")
        t.expect(t.verb(way, "limit", "--max-commit=none", "--tree-max-va=2M", pid), 0)
        ask(g)
        g.proc.wait_text(r"^yes\nno\nno$")
        t.expect(t.verb(way, "limit", "--tree-max-va=none", pid), 0)
        ask(g)
        g.proc.wait_text(r"^yes\nno\nno\nyes$")
        t.expect(t.verb(way, "limit", "--max-maps=77", pid), 0)
        t.expect(t.verb(way, "ps"), (0, 1), r" %s .* maps=77 " % pid)
        t.expect(t.verb(way, "maps", pid), 0, r"^limits: maps=77$")
    inside = [t.place.vmsup(), "limit", "--max-commit", "1G"]
    got = t.run(way, ["bash", "-c", "%s $$; echo $?" % " ".join(inside)], audit=False, extra=["--max-commit=64M"])
    t.expect(got, 0, r"\A1\n\Z", r"^vmsup: a process cannot change the limits of the tree that it is in")


@s.case_for(LOW)
def inherited(way):
    """a limit that was set live holds over fork and exec"""
    script = "echo ready; read x; %s commit 209715200 | head -1; read x; exit 0" % t.place.guest("budget")
    with t.Held(way, ["bash", "-c", script]) as g:
        t.expect(t.verb(way, "limit", "--max-commit", "40M", str(g.pid)), 0)
        ask(g)
        n = int(g.proc.wait_text(r"^(\d+) ENOMEM$").group(1))
        t.require(32 <= n <= 40, "%d MiB" % n)


@s.case
def silent_elsewhere():
    """a supervisor that hangs is not to blame for a process that is none of its tree, but for its own"""
    way = t.ways(users=(t.ME,), ranges=("low",))[0]
    with t.Held(way, [t.place.guest("budget"), "hold"]) as g:
        supervisor = t.stat_of(g.pid)[2]
        with subprocess.Popen([sys.executable, "-c", "import time; print(); time.sleep(100)"], stdout=subprocess.PIPE,
                              bufsize=0, preexec_fn=t.filter_nothing) as other:
            other.stdout.readline()
            os.kill(supervisor, signal.SIGSTOP)
            try:
                t.expect_sentence(t.verb(way, "limit", str(other.pid)), 1, "is not supervised")
                t.expect_sentence(t.verb(way, "limit", str(g.pid)), 1, "supervisor %d gave no answer" % supervisor)
            finally:
                os.kill(supervisor, signal.SIGCONT)
                other.kill()
        t.expect(t.verb(way, "limit", str(g.pid)), 0)


@s.case
def wrong_words():
    """options that make no sense say so in a sentence"""
    for words, pattern in (
        (["--max-commit", "x"], "--max-commit: 'x' is no number"),
        (["--max-va=99999999999999999999"], "--max-va: .* too big"),
        (["--max-comit=1"], "did you mean --max-commit"),
        (["--on-limit=stop"], "none of 'enomem'"),
        (["--on-limit=signal:NOPE"], "there is no signal 'NOPE'"),
        (["--mode=fence", "--max-va=1G"], "no effect with --mode=fence"),
        (["--tree-max-heap=1G"], "unknown option"),
    ):
        t.expect_sentence(t.run_vmsup(["run"] + words + ["--", "true"]), 125, pattern)
    t.expect_sentence(t.run_vmsup(["run", "--max-commit"]), 125, "needs a value, as --max-commit=512M")
    for words, pattern in (
        (["limit"], "which process"),
        (["limit", "1/2"], "not the number of a process"),
        (["limit", "1", "2"], "one PID at a time"),
        (["limit", "--max-commit=x", "1"], "is no number"),
        (["limit", "--nonsense", "1"], "unknown option"),
    ):
        t.expect_sentence(t.run_vmsup(words), 2, pattern)
    t.expect_sentence(t.run_vmsup(["limit", str(os.getpid())]), 1, "not supervised|knows no verb")


s.main()
