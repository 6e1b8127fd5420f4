#!/usr/bin/python3
"""The signal guard: handlers without SA_RESTART never make a memory call or an exec fail, and nobody sees that there is a
guard. VMSUP_SOAK=1 (make soak) is the long form: more than 100,000 calls."""

import os

import vmsuptest as t

s = t.Suite()
SOAK = bool(os.environ.get("VMSUP_SOAK"))
repairs = 0

# Calls each; those that end in a new program or process cost far more than the others.
CHEAP = {"mmap": 20000, "mremap": 20000, "brk": 20000, "mprotect": 20000, "threads": 20000} if SOAK else {
    "mmap": 300, "mremap": 300, "brk": 300, "mprotect": 300, "threads": 300}
DEAR = {"fork": 3000, "vfork": 2000, "exec": 1000, "spawn": 2000, "create": 3000} if SOAK else {
    "fork": 60, "vfork": 40, "exec": 30, "spawn": 40, "create": 60}
KINDS = {**CHEAP, **DEAR}
# In fence mode no guard is there for exec, unless it is asked for.
EXECS = ("vfork", "exec", "spawn")


def storm(way, kind, *words, audit=False, extra=()):
    global repairs
    got = t.run(way, [t.place.guest("sigstorm"), str(KINDS[kind]), kind] + list(words), audit=audit, extra=extra,
                seconds=900 if SOAK else t.TIME_LIMIT)
    t.expect(got, 0, r"\Awrong 0\n\Z")
    wrong = t.stats_wrong(got)
    t.require(not wrong, "%s\n%s" % (wrong, got))
    repairs += got.stats["signal_repairs"]


for kind in KINDS:
    # Not audited: the storm needs many calls in little time.
    for w in t.ways(users=(t.ME,), ranges=("low",)):
        s.add("%s under a storm of signals [%s]" % (kind, w.name), storm, w, kind)
    for w in t.ways(modes=("fence",), users=(t.ME,), ranges=("low",)):
        extra = ("--signal-guard",) if kind in EXECS else ()
        s.add("%s under a storm of signals [%s]" % (" ".join((kind,) + extra), w.name),
              lambda w, k, e: storm(w, k, extra=e), w, kind, extra)
for w in t.ways(places=("remote",), users=("ordinary",), ranges=("high",)):
    for kind in ("mmap", "mremap", "threads", "exec"):
        s.add("%s under a storm of signals [%s]" % (kind, w.name), storm, w, kind)
for kind, words in (
    ("mmap", "stop"), ("threads", "stop"), ("fork", "stop"), ("exec", "stop"), ("spawn", "stop tgkill"),
    ("threads", "tgkill"), ("create", "tgkill stop"), ("mremap", "install tgkill"), ("threads", "install nodefer"),
    ("mmap", "resethand altstack"), ("brk", "inherit nodefer altstack"), ("fork", "inherit resethand install"),
):
    for w in t.ways(places=("auto", "remote"), users=(t.ME,), ranges=("low",)):
        s.add("%s, %s [%s]" % (kind, words, w.name), lambda w, k, x: storm(w, k, *x.split()), w, kind, words)


@s.case_for([t.Way("fence", "auto", t.ME, "low")])
def unconfined(way):
    """the guard in fence mode without a range, where no image is moved"""
    for kind in ("exec", "spawn"):
        argv = [t.place.vmsup(), "run", "--mode", "fence", "--signal-guard", "--", t.place.guest("sigstorm"), "20", kind,
                "stop", "tgkill"]
        t.expect(t.run_native(way.user, argv), 0, r"\Awrong 0\n\Z")


@s.case_for(t.ways(places=("auto", "remote"), users=(t.ME,), ranges=("low",)))
def audited(way):
    """the tree stays right under storms"""
    # An audit looks at everything before each call.
    for kind in ("mmap", "mremap", "brk"):
        got = t.run(way, [t.place.guest("sigstorm"), "100", kind, "stop"])
        t.expect(got, 0, r"\Awrong 0\n\Z")
        wrong = t.stats_wrong(got)
        t.require(not wrong, "%s\n%s" % (wrong, got))


def same(way, argv, **kw):
    """The same output and status as natively, nothing said, and no divergence."""
    got = t.run(way, argv, **kw)
    t.same_as_native(t.run_native(way.user, argv), got)
    return got


@s.case_for(t.ways(modes=("supervise", "fence"), users=(t.ME,), ranges=("low",))
            + t.ways(places=("remote",), users=(t.ME,), ranges=("high",)))
def jumps(way):
    """a handler that jumps out of memory calls leaves them done or not done"""
    got = same(way, [t.place.guest("sigjump"), "5000" if SOAK else "100"])
    t.expect(got, 0, r"\Awrong 0\n\Z")


@s.case_for(t.ways(modes=("supervise", "fence"), users=(t.ME,), ranges=("low",))
            + t.ways(places=("remote",), ranges=("high",)))
def kills(way):
    """SIGKILL at any moment: gone at once, the right status, nothing left"""
    got = same(way, [t.place.guest("sigkill"), "300" if SOAK else "8"])
    t.expect(got, 0, r"\Awrong 0\n\Z")


@s.case_for(t.ways(modes=("supervise", "fence"), users=(t.ME,), ranges=("low",))
            + t.ways(places=("remote",), users=(t.ME,), ranges=("high",)))
def waits(way):
    """sigwaitinfo, sigtimedwait, signalfd and pselect beside threads that map"""
    got = same(way, [t.place.guest("sigwait"), "20000" if SOAK else "150"])
    t.expect(got, 0, r"\Awrong 0,")


@s.case_for(t.ways(modes=("supervise", "fence"), ranges=("low",))
            + t.ways(places=("remote",), users=(t.ME,), ranges=("high",)))
def stops(way):
    """a parent sees its child's stops, continues and traps as natively"""
    same(way, [t.place.guest("sigstop")])


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


if SOAK:

    @s.case
    def repaired():
        """the guard had calls to repair"""
        t.require(repairs > 1000, "only %d repairs: the storms tell nothing" % repairs)


s.main()
