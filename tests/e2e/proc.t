#!/usr/bin/python3
"""What others see of a process inside is what they would see of it outside."""

import glob
import os
import re
import subprocess
import time

import vmsuptest as t

s = t.Suite()
EVERY = t.ways(modes=("supervise", "fence"))
MINE = [w for w in EVERY if w.user == t.ME]
ALL = EVERY + t.ways(places=("remote",))


@s.case_for(ALL)
def itself(way):
    """a process that looks at itself in /proc"""
    argv = [t.place.guest("procinfo"), "a", "", "b c"]
    native = t.run_native(way.user, argv)
    t.require("NO" not in native.out, "natively\n%s" % native)
    t.same_as_native(native, t.run(way, argv))


def seen_from_outside(pid):
    base = "/proc/%d/" % pid
    names = ["cmdline", "environ", "comm"]
    view = {n: t.read_text(base + n) for n in names}
    view["exe"] = t.exe_of(pid)
    view["cwd"] = os.readlink(base + "cwd")
    view["labels"] = sorted({m.file for m in t.kernel_maps(pid) if m.file} - {"[vsyscall]"})
    status = t.read_text(base + "status")
    view["status"] = re.findall(r"^(?:Name|Uid|Gid|Groups|Threads|Sig\w+|Shd\w+|Cap\w+|Umask):.*", status, re.M)
    view["status"] = [x for x in view["status"] if not x.startswith("SigQ")]
    view["limits"] = t.read_text(base + "limits")
    return view


@s.case_for(EVERY)
def others(way):
    """another process that looks at it in /proc"""
    views = []
    for inside in (False, True):
        r, w = os.pipe()
        argv = ["sh", "-c", "echo ready; exec cat", "with", "odd\narguments", ""]
        if inside:
            proc = t.start(way, argv, stdin=r)
        else:
            work = t.place.fresh(way.user)
            proc = t.Proc(t.as_user(way.user, argv), work, t.place.env(way.user), stdin=r)
        os.close(r)
        proc.wait_text(r"^ready$")
        end = time.monotonic() + 20
        while True:
            pids = t.inside_processes(proc.pid) if inside else [proc.pid]
            pid = next(iter(pids), None)
            if pid and t.stat_of(pid)[0] == "cat":
                break
            t.require(time.monotonic() < end, "cat never came up")
        time.sleep(0.2) # it maps its locale, then waits
        views.append(seen_from_outside(pid))
        os.close(w)
        t.expect(t.finish(proc), 0)
    native, got = views
    for key in native:
        t.require(native[key] == got[key], "%s natively:\n%s\nhere:\n%s" % (key, native[key], got[key]))


def seen_by_tools(pid):
    """What does not hang on addresses, of a process that waits for its stdin."""
    base = "/proc/%d/" % pid
    view = {n: t.read_text(base + n) for n in ("cmdline", "environ", "comm", "wchan", "oom_score_adj")}
    # The call and its first argument; the function names of the kernel's stack.
    view["syscall"] = t.read_text(base + "syscall").split()[:2]
    view["stack"] = re.findall(r"\] (\w+)", t.read_text(base + "stack"))
    view["smaps"] = sorted(set(re.findall(r"^(\w+):", t.read_text(base + "smaps"), re.M)))
    for what in ("args", "comm", "stat", "nlwp"):
        said = subprocess.run(["ps", "-o", what + "=", "-p", str(pid)], stdout=subprocess.PIPE, timeout=30, check=True)
        view["ps " + what] = said.stdout.decode().strip().rstrip("s+")
    said = subprocess.run(["pmap", str(pid)], stdout=subprocess.PIPE, timeout=30, check=True).stdout.decode()
    view["pmap"] = sorted(set(re.findall(r"(\S+)$", said, re.M)) & {"debug", "libc.so.6", "ld-linux-x86-64.so.2"})
    view["map_files"] = sorted({os.path.basename(os.readlink(x)) for x in glob.glob(base + "map_files/*")})
    return view


def resident(pid):
    return int(re.search(r"^VmRSS:\s*(\d+)", t.read_text("/proc/%d/status" % pid), re.M).group(1))


@s.case_for(MINE)
def tools(way):
    """ps, pmap and /proc of a process that has changed its title, name and environment"""
    views, sizes = [], []
    for inside in (False, True):
        r, w = os.pipe()
        argv = [t.place.guest("debug"), "of a length to write a title into"]
        if inside:
            proc = t.start(way, argv, stdin=r)
        else:
            proc = t.Proc(t.as_user(way.user, argv), t.place.fresh(way.user), t.place.env(way.user), stdin=r)
        os.close(r)
        proc.wait_text(r"^ready$")
        pid = next(iter(t.inside_processes(proc.pid))) if inside else proc.pid
        os.write(w, b"t 0\n")
        proc.wait_text(r"^titled$")
        end = time.monotonic() + 20
        while t.read_text("/proc/%d/syscall" % pid).split()[:2] != ["0", "0x0"]:
            t.require(time.monotonic() < end, "it never waits for its stdin")
            time.sleep(0.01)
        views.append(seen_by_tools(pid))
        sizes.append(resident(pid))
        os.close(w)
        t.expect(t.finish(proc), 0)
    native, got = views
    t.require(native["comm"] == "new comm\n" and "title" in native["ps args"], "natively %r" % native)
    for key in native:
        t.require(native[key] == got[key], "%s natively:\n%r\nhere:\n%r" % (key, native[key], got[key]))
    t.require(sizes[1] < sizes[0] + 1024, "resident: natively %d KiB, here %d" % tuple(sizes))


@s.case_for(EVERY)
def untraced(way):
    """a process that installs no interrupting handler is left untraced"""
    r, w = os.pipe()
    proc = t.start(way, ["bash", "-c", "perl -e '$| = 1; print qq(ready\\n); sleep 300' & cat; kill $!; wait"], stdin=r)
    os.close(r)
    proc.wait_text(r"^ready$")
    end = time.monotonic() + 10
    while True: # an exec holds them for a moment
        cats = [p for p, x in t.inside_processes(proc.pid).items() if x[0] in ("cat", "perl")]
        traced = [p for p in cats if not re.search(r"^TracerPid:\s*0$", t.read_text("/proc/%d/status" % p), re.M)]
        if len(cats) == 2 and not traced or time.monotonic() > end:
            break
        time.sleep(0.05)
    os.close(w)
    t.finish(proc)
    t.require(len(cats) == 2 and not traced, "of %r these are traced: %r" % (cats, traced))


@s.case_for(MINE)
def deep(way):
    """a deep recursion grows [stack], which keeps its name"""
    script = """
import threading, sys, re
def f(n): return 0 if n == 0 else 1 + f(n - 1)
sys.setrecursionlimit(100000)
print(f(9000))
m = [l for l in open('/proc/self/maps') if '[stack]' in l]
a, b = (int(x, 16) for x in m[0].split()[0].split('-'))
print(len(m), b - a > 100000)
threading.stack_size(64 << 20)
t = threading.Thread(target=lambda: print(f(20000))); t.start(); t.join()
"""
    env = t.place.python_env(way.range)
    argv = ["python3", "-c", script]
    argv[0] = t.found("python3", t.place.env(way.user, env))
    t.same_as_native(t.run_native(way.user, argv, env=env), t.run(way, argv, env=env))
    argv = ["bash", "-c", "ulimit -s 65536; exec %s" % t.place.guest("recurse")]
    t.same_as_native(t.run_native(way.user, argv), t.run(way, argv))


@s.case_for(MINE)
def gdb(way):
    """a debugger from outside attaches, shows where it is, and calls a function"""
    t.need("gdb")
    r, w = os.pipe()
    proc = t.start(way, [t.place.guest("tree"), "child"], stdin=r)
    os.close(r)
    proc.wait_text(r"^ready$")
    pid = next(iter(t.inside_processes(proc.pid)))
    argv = ["gdb", "-q", "-nx", "-batch", "-p", str(pid), "-ex", "bt", "-ex", "print (int)getpid()"]
    said = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    text = said.stdout.decode(errors="replace")
    os.close(w)
    t.expect(t.finish(proc), 0)
    t.require("wait_for_end" in text and "main" in text, "no backtrace:\n" + text)
    t.require(re.search(r"\$1 = %d\b" % pid, text), "no call in the program:\n" + text)


s.main()
