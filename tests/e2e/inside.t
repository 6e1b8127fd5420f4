#!/usr/bin/python3
"""No readable, writable or executable page of any process of a run lies outside the range."""

import os
import re
import resource
import time

import vmsuptest as t

s = t.Suite()
EVERY = t.ways(modes=("supervise", "fence"))
REMOTE = [w for w in t.ways(places=("remote",)) if w.user == t.ME]


def held(way, argv, processes, env=None):
    """Start @argv, which says "ready" and waits for the end of its stdin; look at all processes."""
    r, w = os.pipe()
    proc = t.start(way, argv, env=env, stdin=r, audit=way.mode == "supervise", stats=True)
    os.close(r)
    proc.wait_text(r"^ready$")
    procs = t.check_inside(proc.pid, way.lo, way.hi, least=processes)
    os.close(w)
    got = t.expect(t.finish(proc), 0)
    wrong = t.stats_wrong(got)
    t.require(not wrong, "%s\n%s" % (wrong, got))
    return procs


@s.case_for(EVERY + REMOTE)
def threads(way):
    """a process with threads that map"""
    procs = held(way, [t.place.guest("tree"), "threads"], 1)
    t.require(len(procs) == 1, "wanted one process, got %r" % procs)


@s.case_for(EVERY + REMOTE)
def forks(way):
    """three generations by fork"""
    held(way, [t.place.guest("tree"), "fork"], 3)


@s.case_for(EVERY)
def vforks(way):
    """a child of vfork in its parent's memory"""
    held(way, [t.place.guest("tree"), "vfork"], 2)


@s.case_for(EVERY + REMOTE)
def execs(way):
    """a program executed by a program"""
    held(way, [t.place.guest("tree"), "exec"], 2)


@s.case_for(EVERY)
def shells(way):
    """a tree of shells, cats and pythons"""
    # All of them end with the stdin that they share.
    script = """
    exec 3<&0
    (cat <&3 | cat | cat >/dev/null) & (dash -c 'cat; :' <&3 > /dev/null) & python3 -c '
import threading, time, mmap
k = [mmap.mmap(-1, 70000) for i in range(50)]
for i in range(3): threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
open(3).read()' &
    echo ready; cat <&3; wait; exit 0
    """
    held(way, ["bash", "-c", script], 7, t.place.python_env(way.range))


@s.case_for(t.ways(modes=("supervise", "fence"), users=(t.ME,)))
def churn(way):
    """processes that come and go all the time"""
    script = "while [ ! -f stop ]; do seq 50 | sort -n | tail -1 > /dev/null; python3 -c 'import json' & wait; done"
    proc = t.start(way, ["bash", "-c", script], env=t.place.python_env(way.range))
    began = time.monotonic()
    seen = set()
    # A slow machine starts few of them in that time.
    while time.monotonic() < began + 4 or (len(seen) <= 5 and time.monotonic() < began + t.TIME_LIMIT):
        seen |= set(t.check_inside(proc.pid, way.lo, way.hi, least=0))
    open(os.path.join(proc.work, "stop"), "w").close()
    t.expect(t.finish(proc), 0)
    t.require(len(seen) > 5, "only %d processes were ever seen" % len(seen))


# What Linux says at the ends of its own address space; in fence mode the kernel may name another.
STRICT = {
    "below fixed": "EPERM",
    "below noreplace": "EPERM",
    "above fixed": "ENOMEM",
    "above noreplace": "ENOMEM",
    "far above fixed": "ENOMEM",
    "far above noreplace": "ENOMEM",
    "below munmap": "ok",
    "above munmap": "EINVAL",
    "far above munmap": "EINVAL",
    "across the end: fixed": "ENOMEM",
    "too large": "ENOMEM",
}


@s.case_for(EVERY + REMOTE)
def escapes(way):
    """asking for addresses outside gets none"""
    lo, hi = ("%#x" % x for x in (way.lo, way.hi))
    proc = t.start(way, [t.place.guest("escape"), lo, hi])
    proc.wait_text(r"^done$")
    t.check_inside(proc.pid, way.lo, way.hi)
    os.kill(proc.pid, 15)
    got = t.expect(t.finish(proc), -15)
    wrong = []
    for name, answer in re.findall(r"^(.*): (\w+)$", got.out, re.M):
        if name.endswith("hint"):
            fine = answer == "ok"
        elif name == "below munmap" and answer == "ok":
            fine = True  # nothing is removed; a sealed fence in fence mode says EPERM
        elif way.mode == "supervise" and name in STRICT:
            fine = answer == STRICT[name]
        else:
            fine = answer.startswith("E")
        if not fine:
            wrong.append("%s: %s" % (name, answer))
    t.require(not wrong, "wrong answers: %s\n%s" % (", ".join(wrong), got))


IMAGE_CALLS = """
for (["ARCH_MAP_VDSO_64", 158, 0x2003, 0], ["ARCH_MAP_VDSO_32", 158, 0x2002, 0], ["ARCH_MAP_VDSO_X32", 158, 0x2001, 0],
     ["ARCH_CET", 158, 0x3001, 0], ["PR_SET_MM", 157, 35, 6], ["PR_SET_SECCOMP", 157, 22, 9], ["seccomp", 317, 1, 0xff],
     ["personality", 135, 0xffffffff, 0], ["getrlimit", 97, 9, 0], ["setrlimit", 160, 9, 0]) {
    my ($name, @call) = @$_;
    my $r = syscall($call[0], $call[1], $call[2], 0, 0, 0);
    print "$name: ", $r < 0 ? $! : "ok", "\\n";
}
"""


@s.case_for(EVERY)
def image_calls(way):
    """calls that touch what the kernel keeps of an image, in every mode"""
    argv = ["perl", "-e", IMAGE_CALLS]
    native = t.run_native(way.user, argv)
    if not t.has_mseal():
        # It could open a fence that is not sealed.
        native.out = native.out.replace("PR_SET_MM: Invalid argument", "PR_SET_MM: Operation not permitted")
    t.same_as_native(native, t.run(way, argv))


@s.case_for(t.ways(modes=("supervise", "fence"), ranges=("low",)) + t.ways(places=("remote",), ranges=("high",)))
def lock_all(way):
    """mlockall locks what the program has, and counts no fence"""
    for guest in ("lockall", "lockall-32") if way.range == "low" else ("lockall",):
        for limit in ([], ["0"], ["1024"], ["8192"]):
            argv = [t.place.guest(guest)] + limit
            if way.user != "root" and limit == ["8192"] and resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] < 8 << 20:
                continue
            native = t.run_native(way.user, argv)
            t.require("before lo" in native.out or limit, native)
            t.require("too much" not in native.out, native)
            t.same_as_native(native, t.run(way, argv))


@s.case_for(t.ways(modes=("supervise", "fence"), users=(t.ME,)))
def foreign(way):
    """calls of another ABI get no further than our own"""
    proc = t.start(way, [t.place.guest("foreign"), "%#x" % way.lo, "%#x" % way.hi])
    proc.wait_text(r"^done$")
    t.check_inside(proc.pid, way.lo, way.hi)
    os.kill(proc.pid, 15)
    got = t.expect(t.finish(proc), -15, r"^i386 getpid: ok$")
    t.expect(got, None, r"^x32 mmap: ENOSYS$")
    # Where the range lies above what i386 calls can name, there is no place for them.
    t.expect(got, None, r"^i386 mmap2: %s$" % ("ok" if way.range == "low" else "ENOMEM"))
    for line in got.out.splitlines():
        t.require("OUTSIDE" not in line, got)
        if "below:" in line or "above:" in line:
            # Cut to 32 bits, "above" a high range is below it, where there is nothing to unmap.
            fine = r": E\w+$|munmap.*: ok$" if way.range == "high" else r": E\w+$|munmap below: ok$"
            t.require(re.search(fine, line), "%s\n%s" % (line, got))
    if way.range == "low":
        # Its arguments are in memory, where the filter that keeps an unsealed fence does not see them.
        seen = way.mode == "supervise" or t.has_mseal()
        t.expect(got, None, r"^i386 old mmap: %s$" % ("ok" if seen else "ENOSYS"))


s.main()
