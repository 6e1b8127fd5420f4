#!/usr/bin/python3
"""The signal guard: handlers without SA_RESTART never make a memory call or an exec fail."""

import vmsuptest as t

s = t.Suite()
KINDS = ("mmap", "brk", "mprotect", "fork", "exec", "spawn", "threads")


def storm(kind, way):
    argv = [t.place.guest("sigstorm"), "2", kind]
    # Not audited: the storm needs many calls in little time.
    got = t.run(way, argv, audit=False)
    t.expect(got, 0, r"\Awrong 0, calls many, signals many\n\Z")
    if way.mode == "supervise" and kind not in ("spawn", "fork"):
        t.require(got.stats["signal_repairs"] > 0, "the guard never had to repair a call: %r" % got.stats)


for kind in KINDS:
    # In fence mode there is no guard: memory calls are not intercepted, exec is, and may see EINTR.
    modes = ("supervise",) if kind == "exec" else ("supervise", "fence")
    for w in t.ways(modes=modes, users=(t.ME,), ranges=("low",)):
        s.add("%s under a storm of signals [%s]" % (kind, w.name), storm, kind, w)
for w in t.ways(places=("remote",), users=("ordinary",), ranges=("high",)):
    for kind in ("mmap", "threads", "exec"):
        s.add("%s under a storm of signals [%s]" % (kind, w.name), storm, kind, w)


@s.case_for(t.ways(users=(t.ME,), ranges=("low",)))
def audited(way):
    """the tree stays right under a storm"""
    got = t.run(way, [t.place.guest("sigstorm"), "2", "mmap"])
    t.expect(got, 0, r"\Awrong 0,")
    wrong = t.stats_wrong(got)
    t.require(not wrong, "%s\n%s" % (wrong, got))


PYTHON = """
import signal, subprocess, os, time
hits = 0
def hit(*a):
    global hits
    hits += 1
signal.signal(signal.SIGALRM, hit)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
for i in range(60):
    bytearray(1 << 20)
    assert subprocess.run(['sh', '-c', 'exit %d' % (i % 7)]).returncode == i % 7
signal.setitimer(signal.ITIMER_REAL, 0)
print('fine', hits > 20)
"""


@s.case_for(t.ways(modes=("supervise", "fence"), ranges=("low",)))
def python(way):
    """python's own handlers and children"""
    argv = ["/usr/bin/python3", "-c", PYTHON]
    t.same_as_native(t.run_native(way.user, argv), t.run(way, argv))


DASH = "trap : ALRM; : > armed; i=0; while [ $i -lt 150 ]; do i=$((i+1)); echo $i | cat | cat >/dev/null || echo bad; done; echo end"
PELT = """
import os, subprocess, sys, time
p = subprocess.Popen(['dash', '-c', sys.argv[1]])
while not os.path.exists('armed') and p.poll() is None:
    time.sleep(0.01)
while p.poll() is None:
    os.kill(p.pid, 14)
    time.sleep(0.0005)
sys.exit(p.returncode)
"""


@s.case_for(t.ways(modes=("supervise", "fence"), users=(t.ME,), ranges=("low",)))
def dash(way):
    """dash with a trap, pelted with signals, starts every pipeline"""
    got = t.run(way, ["/usr/bin/python3", "-c", PELT, DASH])
    t.expect(got, 0, r"end\n\Z")
    for word in ("bad", "Cannot fork", "Interrupted"):
        t.require(word not in got.out + got.err, "%s\n%s" % (word, got))


@s.case_for(t.ways(users=(t.ME,), ranges=("low",)))
def unguarded(way):
    """--no-signal-guard runs programs too"""
    got = t.run(way, ["bash", "-c", "trap : USR1; kill -USR1 $$; seq 5 | tail -1"], extra=["--no-signal-guard"])
    t.expect(got, 0, r"\A5\n\Z")
    t.require(got.stats["signal_repairs"] == 0, "repairs: %r" % got.stats)


s.main()
