#!/usr/bin/python3
"""vmsup where newer features of the kernel are hidden (tests/tools/compat): no mseal, no
PROCMAP_QUERY, no cheap wake-ups. Real older kernels: tests/tools/kernel-vm."""

import os
import re
import shutil
import subprocess

import programs
import vmsuptest as t

COMPAT = os.path.abspath("tests/tools/compat")
vmsup_argv = t.vmsup_argv
s = t.Suite()


def compat(kernel):
    if not os.path.exists(COMPAT):
        raise t.Skip("tests/tools/compat is not built")
    return [shutil.copy2(COMPAT, t.place.bin), kernel]


def pretend(kernel):
    """From now on vmsup is run as on Linux @kernel."""
    words = compat(kernel)
    t.vmsup_argv = lambda *args, **kw: words + vmsup_argv(*args, **kw)


WAYS = t.ways(modes=("supervise", "fence"), users=(t.USERS[-1],))
SOME = ("bash pipelines", "python threads", "python mmap", "luajit", "git", "dynamic PIE", "static PIE", "dynamic non-PIE",
        "proc tells the truth", "recursion of 7 MB", "threads map while another forks", "LD_PRELOAD of libjemalloc2")


def program(p, way, kernel):
    pretend(kernel)
    programs.check(p, way)


for p in programs.PROGRAMS:
    for way in WAYS:
        if p.name in SOME and way.range in p.ranges:
            s.add("%s, as on 6.1 [%s]" % (p.name, way.name), program, p, way, "6.1")
    if p.name == "bash pipelines":
        s.add("%s, as on 6.12" % p.name, program, p, WAYS[0], "6.12")


ROOT_TOO = t.ways(modes=("supervise", "fence"), ranges=("low",)) + t.ways(places=("remote",), users=(t.ME,), ranges=("high",))

# The same in both modes: what the filter refuses has the supervisor's errnos.
ANSWERS = {
    "below fixed": "EPERM",
    "above fixed": "ENOMEM",
    "far above fixed": "ENOMEM",
    "across the end: fixed": "ENOMEM",
    "below munmap": "ok",
    "above munmap": "EINVAL",
    "far above munmap": "EINVAL",
    "above mprotect": "ENOMEM",
    "far above mprotect": "ENOMEM",
    "above mremap from": "EFAULT",
    "above mremap to": "EINVAL",
    "too large": "ENOMEM",
}


def try_to_escape(way, guest):
    pretend("6.1")
    proc = t.start(way, [guest, "%#x" % way.lo, "%#x" % way.hi])
    proc.wait_text(r"^done$")
    t.check_inside(proc.pid, way.lo, way.hi)
    os.kill(proc.pid, 15)
    got = t.expect(t.finish(proc), -15)
    answers = re.findall(r"^(.*): (\w+)$", got.out, re.M)
    wrong = ["%s: %s" % a for a in answers if a[1] != ANSWERS.get(a[0], a[1])]
    wrong += ["%s: %s" % a for a in answers if not a[0].endswith(("hint", "below munmap")) and not a[1].startswith("E")]
    t.require(not wrong and len(answers) > 15, "wrong answers: %s\n%s" % (", ".join(wrong), got))


@s.case_for(ROOT_TOO)
def escapes(way):
    """as on 6.1, asking for addresses outside gets none"""
    try_to_escape(way, t.place.guest("escape"))


@s.case_for([w for w in ROOT_TOO if w.range == "low"])
def escapes_i386(way):
    """as on 6.1, nor does an i386 program get any"""
    guest = os.path.join(t.place.bin, "escape-32")
    if not os.path.exists(guest) or subprocess.run([guest], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode < 0:
        raise t.Skip("i386 programs cannot be built or run here")
    try_to_escape(way, guest)


@s.case_for(ROOT_TOO)
def tree(way):
    """as on 6.1, three generations by fork are inside, and so is what they execute"""
    pretend("6.1")
    for what, least in (("fork", 3), ("exec", 2)):
        r, w = os.pipe()
        proc = t.start(way, [t.place.guest("tree"), what], stdin=r)
        os.close(r)
        proc.wait_text(r"^ready$")
        t.check_inside(proc.pid, way.lo, way.hi, least=least)
        os.close(w)
        t.expect(t.finish(proc), 0)


@s.case
def doctor():
    """as on 6.1, doctor says what is missing, and that both modes work all the same"""
    got = t.expect(t.run_native(t.ME, compat("6.1") + [t.place.vmsup(), "doctor"]), 0)
    for want in (r"^mseal +degraded", r"^procmap_query +degraded", r"^seccomp_sync_wake_up +degraded",
                 r"^supervise: yes, .*filter", r"^fence: yes, .*filter", r"^settling: maps are read as text"):
        t.expect(got, 0, want)


s.main()
