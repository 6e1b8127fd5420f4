#!/usr/bin/python3
"""Tasks: forks, clones, execs, leaders that end, numbers that are used again, namespaces, waits, debuggers inside. Each guest
prints what it sees, and must see the same natively. VMSUP_SOAK=1 (make soak) is the long form."""

import os
import re
import signal
import time

import vmsuptest as t

s = t.Suite()
SOAK = bool(os.environ.get("VMSUP_SOAK"))
BOTH = t.ways(modes=("supervise", "fence"), users=(t.ME,), ranges=("low",))
ALL = t.ways(modes=("supervise", "fence"), ranges=("low",)) + t.ways(users=(t.ME,), ranges=("high",))
REMOTE = t.ways(places=("remote",), users=(t.ME,), ranges=("high",))


def same(way, argv, native=None, **kw):
    """The same output and status as natively, nothing said, and no divergence."""
    native = native or t.run_native(way.user, argv, **{k: v for k, v in kw.items() if k in ("files", "env")})
    got = t.run(way, argv, **kw)
    t.same_as_native(native, got)
    return got


@s.case_for(ALL)
def execs(way):
    """every way to execute a program, and every way to fail at it"""
    work = os.path.join(t.place.top, way.user, "work")
    # An audit looks at everything before each call of the threads that map meanwhile.
    got = same(way, [t.place.guest("taskexec"), work], audit=False)
    t.require("ELIBBAD" in got.out and "E2BIG" in got.out, "not all was tried:\n%s" % got)


@s.case_for(BOTH + REMOTE)
def leaders(way):
    """a process that outlives its leader"""
    # It executes under a storm of signals.
    extra = ["--signal-guard"] if way.mode == "fence" else []
    got = same(way, [t.place.guest("taskleader"), "2000" if SOAK else "20"], extra=extra)
    t.expect(got, 0, r"\A(status 0x500\n){3}\Z")


@s.case_for(t.ways(users=(t.ME,), ranges=("low",)) + REMOTE)
def stopped_without_leader(way):
    """a program without its leader stops, and so does vmsup run"""
    proc = t.start(way, [t.place.guest("taskleader"), "stop"])
    end = time.monotonic() + 60
    while (t.stat_of(proc.pid) or "??")[1] != "T":
        t.require(time.monotonic() < end and proc.popen.poll() is None,
                  "it never stopped\n" + t.snapshot_of(t.descendants()))
        time.sleep(0.02)
    os.kill(proc.pid, signal.SIGCONT)
    t.expect(t.finish(proc), 6, r"\Agoes on\n\Z")


@s.case_for(BOTH + REMOTE)
def shared(way):
    """processes that share memory, by every combination of clone's flags"""
    got = same(way, [t.place.guest("taskvm")])
    t.expect(got, 0)
    t.require("bad" not in got.out, str(got))


@s.case_for(t.ways(modes=("supervise", "fence"), ranges=("low",)) + REMOTE)
def waits(way):
    """waiting, clone3, numbers chosen by the parent, subreapers, sessions, death signals"""
    same(way, [t.place.guest("taskwait")])


@s.case_for(BOTH)
def many_threads(way):
    """500 threads at once, all mapping"""
    t.expect(same(way, [t.place.guest("taskmany"), "threads", "500"], audit=False, seconds=400), 0, r"\Awrong 0\n\Z")


@s.case_for(t.ways(places=("auto", "remote"), users=(t.ME,), ranges=("low",)))
def threads_audited(way):
    """60 threads at once, all mapping, audited"""
    t.expect(same(way, [t.place.guest("taskmany"), "threads", "300" if SOAK else "60"]), 0, r"\Awrong 0\n\Z")


@s.case_for(BOTH + REMOTE)
def short_processes(way):
    """short processes, one after the other"""
    t.expect(same(way, [t.place.guest("taskmany"), "short", "5000" if SOAK else "300"]), 0, r"\Awrong 0\n\Z")


@s.case_for(BOTH)
def trees(way):
    """zombies and orphans"""
    t.expect(same(way, [t.place.guest("taskmany"), "tree", "1000" if SOAK else "30"]), 0, r"\Awrong 0\n\Z")


@s.case_for(BOTH)
def debugger(way):
    """a debugger inside attaches to a process that maps"""
    t.expect(same(way, [t.place.guest("tasktrace")]), 0, r"wrong 0")


# Linux 6.14: pid_max is a namespace's own. In older kernels it is everybody's, and not ours to change.
OWN_PID_MAX = ["unshare", "-pf", "--mount-proc", "sh", "-ec", 'echo 350 > /proc/sys/kernel/pid_max; exec "$@"', "-"]


def small_numbers(way):
    if t.ME != "root":
        raise t.Skip("only root may make a pid namespace")
    before = t.read_text("/proc/sys/kernel/pid_max")
    if tuple(int(x) for x in re.findall(r"\d+", os.uname().release)[:2]) < (6, 14):
        raise t.Skip("pid_max is not a namespace's own before Linux 6.14")
    argv = [t.place.guest("taskmany"), "recycle", "20000" if SOAK else "150"]
    work = t.place.fresh(way.user)
    stats = os.path.join(t.place.top, way.user, "run", "stats.json")
    proc = t.Proc(OWN_PID_MAX + t.vmsup_argv(way, argv, stats), work, t.place.env(way.user))
    proc.stats_path = stats
    got = t.finish(proc)
    t.require(t.read_text("/proc/sys/kernel/pid_max") == before, "pid_max has changed outside")
    t.expect(got, 0, r"\Awrong 0\n\Z")
    wrong = t.stats_wrong(got)
    t.require(not wrong, "%s\n%s" % (wrong, got))
    return got


@s.case_for(BOTH + t.ways(places=("remote",), users=("root",), ranges=("low",)))
def recycled(way):
    """numbers that are used again and again are never taken for those who had them before"""
    small_numbers(way)


UNSHARE = ["unshare", "-Urpf", "--mount-proc"]
INSIDE = """
import os, subprocess, sys, mmap
print('pid', os.getpid(), 'ppid', os.getppid(), 'uid', os.getuid())
print(sorted(int(x) for x in os.listdir('/proc') if x.isdigit()))
p = subprocess.run(['sh', '-c', 'echo $$; exit 3'], stdout=subprocess.PIPE)
print(p.stdout, p.returncode)
m = [mmap.mmap(-1, 4096 * (i + 1)) for i in range(20)]
pid = os.fork()
if pid == 0:
    del m
    os._exit(5)
print(pid, os.waitpid(pid, 0)[1])
"""


def can_unshare(way):
    if t.run_native(way.user, UNSHARE + ["true"]).status:
        raise t.Skip("no user namespaces here")


@s.case_for(t.ways(modes=("supervise", "fence"), ranges=("low",)) + REMOTE)
def namespaces(way):
    """user, pid and mount namespaces inside, and within each other"""
    can_unshare(way)
    env = t.place.python_env(way.range)
    python = [t.found("python3", t.place.env(way.user, env)), "-c", INSIDE]
    same(way, UNSHARE + python, env=env)
    same(way, UNSHARE + UNSHARE + python, env=env)


LIMIT = """
import os, resource as r
go, ready = os.pipe(), os.pipe()
pid = os.fork()
if pid == 0:
    os.write(ready[1], b'r')
    os.read(go[0], 1)
    a = bytearray(1 << 22)
    os.execv('/bin/sh', ['sh', '-c', 'echo it runs; ulimit -H -v'])
os.read(ready[0], 1)
r.prlimit(pid, r.RLIMIT_AS, (5000 << 20, 6000 << 20))
print(r.prlimit(pid, r.RLIMIT_AS)[1] >> 20, r.getrlimit(r.RLIMIT_AS)[1], r.prlimit(1, r.RLIMIT_AS)[1], flush=True)
os.write(go[1], b'g')
print(os.waitpid(pid, 0)[1])
"""


@s.case_for(BOTH)
def namespaced_limits(way):
    """in a pid namespace a limit is set for who is meant there, and less the fence"""
    can_unshare(way)
    same(way, UNSHARE + ["/usr/bin/python3", "-c", LIMIT])


@s.case_for(BOTH)
def namespaced_maps(way):
    """vmsup maps and ps of processes in a pid namespace, from outside and from inside"""
    can_unshare(way)
    proc = t.start(way, UNSHARE + ["sh", "-c", 'echo "number $$"; "$0" maps $$ && echo done; read x', t.place.vmsup()],
                   session=True, stdin=None)
    proc.wait_text("^done")
    t.require(re.search(r"^number 1$", proc.text("out"), re.M), proc.text("out"))
    t.require(re.search(r" heap | stack ", proc.text("out")), proc.text("out"))
    t.finish(proc)


@s.case_for(t.ways(modes=("supervise", "fence"), ranges=("low",)) + REMOTE)
def undumpable(way):
    """a program that has made itself undumpable executes another"""
    code = ("import ctypes, os, sys, threading\n"
            "l = ctypes.CDLL(None)\n"
            "assert l.prctl(4, 0) == 0 and l.prctl(3) == 0\n"
            "b = [bytearray(1 << 20) for i in range(5)]\n"
            "t = threading.Thread(target=lambda: None); t.start(); t.join()\n"
            "pid = os.fork()\n"
            "if pid == 0:\n"
            "    os.execv('/bin/sh', ['sh', '-c', 'exit 3'])\n"
            "assert os.waitpid(pid, 0)[1] == 3 << 8\n"
            "os.execv('/bin/echo', ['echo', 'executed'])\n")
    env = t.place.python_env(way.range)
    python = t.found("python3", t.place.env(way.user, env))
    t.expect(same(way, [python, "-c", code], env=env), 0, r"\Aexecuted\n\Z")
    # Without a handler that would have it guarded anyway.
    code = ("syscall(157, 4, 0, 0, 0, 0) == 0 or die; $p = fork; exec 'sh', '-c', 'exit 3' if !$p; waitpid $p, 0;"
            "exec 'echo', 'executed', $? >> 8")
    t.need("perl")
    got = same(way, ["perl", "-e", code], extra=["--no-signal-guard"])
    t.expect(got, 0, r"\Aexecuted 3\n\Z")


BINFMT = """
set -e
mkdir misc; mount -t binfmt_misc none misc 2>/dev/null || { echo cannot; exit 0; }
printf 'TESTFORMAT rest' > prog.tst; chmod 755 prog.tst
printf '#!/bin/sh\\necho interpreter "$@"\\n' > interp; chmod 755 interp
echo ":test-vmsup:M::TESTFORMAT::/bin/echo:" > misc/register
./prog.tst a b
echo -1 > misc/test-vmsup
echo ":test-vmsup:M::TESTFORMAT::/bin/echo:POC" > misc/register 2>/dev/null && ./prog.tst a b
echo -1 > misc/test-vmsup
"""


@s.case_for(BOTH)
def binfmt(way):
    """binfmt_misc"""
    # Linux 6.7: a user namespace has formats of its own.
    argv = ["unshare", "-Urm", "sh", "-c", BINFMT]
    native = t.run_native(way.user, argv)
    if native.status or "cannot" in native.out:
        raise t.Skip("binfmt_misc cannot be mounted here")
    t.same_as_native(native, t.run(way, argv))


s.main()
