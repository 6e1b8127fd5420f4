#!/usr/bin/python3
"""Debuggers, tracers and profilers work on what runs inside, from outside; core dumps too; and `vmsup maps` says what
the kernel says."""

import json
import os
import re
import signal
import struct
import subprocess
import time

import vmsuptest as t

s = t.Suite()
OTHER = t.USERS[-1]
FEW = [t.way(), t.way(place="remote", user=OTHER, where="high"), t.way("fence", user=OTHER)]
MODES = [t.way(), t.way("fence", user=OTHER)]


class Debuggee:
    """The guest `debug` under vmsup (@way None: natively), told what to do through a fifo in its work folder."""

    def __init__(self, way, extra=(), user=None):
        self.user = way.user if way else user
        self.work = t.place.fresh(self.user)
        fifo = os.path.join(self.work, "in")
        os.mkfifo(fifo, 0o666)
        os.chmod(fifo, 0o666)
        r = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self.w = os.open(fifo, os.O_WRONLY | os.O_CLOEXEC)
        os.set_blocking(r, True)
        argv = [t.place.guest("debug")]
        if way:
            self.proc = t.start(way, argv, fresh=False, extra=extra, stdin=r)
        else:
            self.proc = t.Proc(t.as_user(self.user, argv), self.work, t.place.env(self.user), stdin=r)
        os.close(r)
        self.proc.wait_text(r"^ready$")
        self.pid = next(iter(t.inside_processes(self.proc.pid))) if way else self.proc.pid

    def tell(self, command, answer):
        os.write(self.w, (command + "\n").encode())
        self.proc.wait_text(answer, 30)

    def end(self):
        os.close(self.w)
        return t.expect(t.finish(self.proc), 0, out=r"^done$")

    def run(self, argv, seconds=60):
        """A tool, as the same user, in the same folder; what it says."""
        p = subprocess.run(
            t.as_user(self.user, argv),
            cwd=self.work,
            env=t.place.env(self.user),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
        )
        return p.stdout.decode(errors="replace")

    def gdb(self, *commands):
        argv = ["gdb", "-q", "-nx", "-batch", "-p", str(self.pid)]
        for c in commands:
            argv += ["-ex", c]
        return self.run(argv)


def in_order(text, *patterns):
    """@patterns are found in @text, one behind the other."""
    at = 0
    for p in patterns:
        m = re.compile(p, re.M).search(text, at)
        t.require(m, "wanted /%s/ behind position %d of\n%s" % (p, at, text))
        at = m.end()


def wait_for(what, fn, seconds=30):
    end = time.monotonic() + seconds
    while not fn():
        t.require(time.monotonic() < end, "never: " + what)
        time.sleep(0.02)


def tracer_of(pid):
    return int(re.search(r"^TracerPid:\s*(\d+)", t.read_text("/proc/%d/status" % pid), re.M).group(1))


@s.case_for(FEW)
def gdb(way):
    """gdb attaches, stops at a breakpoint, shows the way there, calls functions that map, and lets go"""
    t.need("gdb")
    d = Debuggee(way)
    said = d.gdb(
        "break map_one",
        "shell echo m 40 > in",
        "continue",
        "bt",
        "finish",
        "delete",
        "print map_from(6)",
        "print map_from(8)",
        "print (int)getpid()",
        "detach",
    )
    in_order(
        said,
        r"^Breakpoint 1, map_one \(n=40\) at .*debug\.c:",
        r"^#0 +map_one \(n=40\)",
        r"^#1 .* in map_from \(",
        r"^#\d .*\bmain \(",
        r"^Value returned is \$1 = 40$",
        r"^\$2 = 106$",
        r"^\$3 = 108$",
        r"^\$4 = %d$" % d.pid,
        r"detached",
    )
    d.proc.wait_text(r"^mapped 140$")
    d.tell("m 2", r"^mapped 102$")
    d.tell("f 0", r"^child status 0$")
    t.expect(d.end(), out=r"^executed$")


@s.case_for(FEW)
def strace(way):
    """under strace -f memory calls go on, exec fails with a sentence, and after it everything works"""
    t.need("strace")
    d = Debuggee(way)
    log = os.path.join(d.work, "log")
    p = t.Proc(t.as_user(d.user, ["strace", "-f", "-o", "log", "-p", str(d.pid)]), d.work, t.place.env(d.user))
    wait_for("strace attached", lambda: tracer_of(d.pid) == p.pid)
    # Above 4 GiB MAP_32BIT finds no place.
    d.tell("m 5", r"^mapped %d$" % (105 if way.range == "low" else 99))
    d.tell("m 6", r"^mapped 106$")
    d.tell("h 0", r"^handler 0$")
    d.tell("f 0", r"^child status 100$")
    d.tell("x 0", r"\A(?:.*\n)*exec errno 1\n(?:.*\n)*exec errno 1\n")
    t.require(tracer_of(d.pid) == p.pid, "strace is not there any more")
    os.kill(p.pid, signal.SIGTERM)
    p.wait(20)
    d.tell("f 1", r"^child status 0$")
    got = d.end()
    t.expect(got, out=r"^executed$", err=r"traced by process %d, and only one tracer is possible" % p.pid)
    text = t.read_text(log)
    in_order(text, r"mmap\(NULL, 8192.*MAP_32BIT.* = ", r"mmap\(NULL, 8192.* = 0x", r"munmap\(0x", r"execve\(.* = -1 EPERM")


@s.case
def guarded():
    """a process under the signal guard has its tracer; without the guard it can be attached to"""
    t.need("gdb")
    d = Debuggee(t.way())
    d.tell("h 0", r"^handler 0$")
    said = d.gdb("print 40 + 2")
    t.require(re.search(r"ptrace: Operation not permitted|already traced by", said), said)
    d.tell("m 2", r"^mapped 102$")
    d.end()
    d = Debuggee(t.way(), extra=["--no-signal-guard"])
    d.tell("h 0", r"^handler 0$")
    in_order(d.gdb("bt", "detach"), r"^#\d .*\bmain \(")
    d.tell("m 2", r"^mapped 102$")
    d.end()


@s.case
def neighbours():
    """a process that a debugger holds does not hold the others of its tree"""
    t.need("gdb")
    r, w = os.pipe()
    script = "sleep 300 & echo ready; read x; for i in 1 2 3; do %s; done; echo over" % t.place.guest("hello")
    proc = t.start(t.way(), ["sh", "-c", script], stdin=r)
    os.close(r)
    proc.wait_text(r"^ready$")
    pids = []
    wait_for("sleep", lambda: pids.extend(p for p, x in t.inside_processes(proc.pid).items() if x[0] == "sleep") or pids)
    held = t.Proc(["gdb", "-q", "-nx", "-batch", "-p", str(pids[0]), "-ex", "shell sleep 300"], t.place.top,
                  t.place.env(t.ME))
    wait_for("the debugger holds it", lambda: (t.stat_of(pids[0]) or "  ")[1] == "t")
    os.write(w, b"\n")
    os.close(w)
    try:
        proc.wait_text(r"^over$", 30)
    finally:
        held.popen.kill()
        held.wait(20)
        t.kill_all()


def core_of(run):
    """What a crash five calls deep leaves in its folder: (path, bytes on disk)."""
    got = run(["sh", "-c", "ulimit -c unlimited; echo c 4 | exec %s" % t.place.guest("debug")])
    found = [n for n in os.listdir(got.work) if n.startswith("core")]
    t.require(got.status == 139, "not a crash\n%s" % got)
    t.require(len(found) == 1, "%d cores\n%s" % (len(found), got))
    path = os.path.join(got.work, found[0])
    return path, os.stat(path).st_blocks * 512


def run_here(argv, way=None, user=None):
    user = way.user if way else user
    got = t.run(way, argv, stats=False, audit=False) if way else t.run_native(user, argv)
    got.work = os.path.join(t.place.top, user, "work")
    return got


@s.case_for(FEW)
def cores(way):
    """a crash leaves a core of the usual size, with the right backtrace and no address outside"""
    t.need("gdb")
    pattern = t.read_text("/proc/sys/kernel/core_pattern").strip()
    if not re.fullmatch(r"core[.%a-z]*", pattern):
        raise t.Skip("core_pattern is " + pattern)
    native = core_of(lambda argv: run_here(argv, user=way.user))[1]
    path, size = core_of(lambda argv: run_here(argv, way))
    t.require(size < 2 * native + (1 << 20), "the core has %d bytes, natively %d" % (size, native))
    argv = ["gdb", "-q", "-nx", "-batch", "-ex", "bt", t.place.guest("debug"), path]
    said = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
                          check=False).stdout.decode(errors="replace")
    in_order(said, r"SIGSEGV", r"^#0 .*fall \(depth=0\)", r"^#4 .*fall \(", r"^#\d .*main \(")
    wrong = [x for x in dumped(path) if not (way.lo <= x[0] and x[1] <= way.hi) and x[0] < 1 << 63]
    t.require(not wrong, "parts outside the range: %r" % wrong)


def dumped(path):
    """The mappings of which a core holds something: (start, end)."""
    with open(path, "rb") as f:
        head = f.read(64)
        at, size, count = struct.unpack_from("<Q", head, 32)[0], *struct.unpack_from("<HH", head, 54)
        f.seek(at)
        table = f.read(size * count)
    segments = [struct.unpack_from("<IIQQQQQQ", table, i * size) for i in range(count)]
    loads = [(x[3], x[3] + x[6]) for x in segments if x[0] == 1 and x[5]]
    t.require(loads, "the core is empty")
    return loads


@s.case_for(FEW)
def gcore(way):
    """gcore dumps a process that runs on"""
    t.need("gcore", "gdb")
    d = Debuggee(way)
    d.run(["gcore", "-o", "dump", str(d.pid)])
    path = os.path.join(d.work, "dump.%d" % d.pid)
    t.require(os.path.exists(path), "there is no %s" % path)
    said = d.run(["gdb", "-q", "-nx", "-batch", "-ex", "bt", t.place.guest("debug"), path])
    in_order(said, r"^#\d .*\bmain \(")
    t.require(os.stat(path).st_blocks * 512 < 64 << 20, "the dump has %d bytes" % os.stat(path).st_size)
    d.tell("m 2", r"^mapped 102$")
    d.end()


def profile(proc, pid, user):
    work = os.path.join(t.place.top, user, "work")
    env = t.place.env(user)
    argv = ["perf", "record", "-q", "-e", "cpu-clock", "-o", os.path.join(t.place.top, "perf.data"), "-p", str(pid),
            "--", "sleep", "1"]
    p = subprocess.run(argv, cwd=work, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       timeout=60, check=False)
    said = p.stdout.decode(errors="replace")
    p = subprocess.run(["perf", "report", "-i", os.path.join(t.place.top, "perf.data"), "--stdio", "--sort", "sym"],
                       cwd=work, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       timeout=60, check=False)
    proc.popen.send_signal(signal.SIGTERM)
    proc.wait(20)
    return said + p.stdout.decode(errors="replace")


@s.case_for(MODES)
def perf(way):
    """perf record of a running process finds the names of its functions"""
    t.need("perf")
    argv = [t.place.guest("debug"), "spin"]
    t.place.fresh(way.user)
    native = t.Proc(t.as_user(way.user, argv), t.place.top, t.place.env(way.user))
    native.wait_text(r"^ready$")
    said = profile(native, native.pid, way.user)
    if "spin_here" not in said:
        raise t.Skip("perf does not work here: " + " ".join(said.split())[:200])
    proc = t.start(way, argv)
    proc.wait_text(r"^ready$")
    said = profile(proc, next(iter(t.inside_processes(proc.pid))), way.user)
    t.require("spin_here" in said, said)


@s.case_for(MODES)
def ltrace(way):
    """ltrace attaches and shows library calls"""
    t.need("ltrace")
    d = Debuggee(way)
    p = t.Proc(t.as_user(d.user, ["ltrace", "-o", "log", "-p", str(d.pid)]), d.work, t.place.env(d.user))
    wait_for("ltrace attached", lambda: tracer_of(d.pid) == p.pid)
    wait_for("the program runs on", lambda: t.stat_of(d.pid)[1] == "S")
    log = os.path.join(d.work, "log")
    numbers = iter(range(2, 1000, 2))

    def shown():
        n = next(numbers)
        d.tell("m %d" % n, r"^mapped %d$" % (n + 100))
        return "munmap(0x" in t.read_text(log)

    wait_for("a munmap in the log", shown)
    os.kill(p.pid, signal.SIGINT)
    p.wait(20)
    d.tell("m 2", r"^mapped 102$")
    d.end()


@s.case_for(MODES)
def valgrind(way):
    """valgrind runs a program in a range that holds its addresses, and says no in another"""
    t.need("valgrind")
    argv = ["valgrind", "-q", "--error-exitcode=9", t.place.guest("hello"), "a", "b"]
    native = t.run_native(way.user, argv)
    wide = ["run", "--range", "64K-256G", "--mode", way.mode, "--"] + argv
    got = t.run_vmsup(wide, user=way.user)
    t.require((got.status, got.out) == (native.status, native.out), "%s\n%s" % (native, got))
    got = t.run(way, argv, audit=False)
    t.expect(got, 1, err=r"^valgrind:.*stack")


# ---- vmsup maps ---------------------------------------------------------------------------------


def joined(maps):
    """Neighbours that differ in nothing are one; a list of (start, end, prot, shared, file)."""
    out = []
    for start, end, *rest in sorted(maps):
        if out and out[-1][1] == start and out[-1][2:] == rest:
            out[-1][1] = end
        else:
            out.append([start, end] + rest)
    return out


def kernel_says(pid, way):
    maps = []
    for m in t.kernel_maps(pid):
        if way.lo <= m.start and m.end <= way.hi:
            name = m.file if m.file and not m.file.startswith("[") else ""
            maps.append((m.start, m.end, m.prot, m.shared, name))
    return joined(maps)


def vmsup_says(pid, way):
    p = subprocess.run(
        t.as_user(way.user, [t.place.vmsup(), "maps", "--json", str(pid)]), env=t.place.env(way.user), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, timeout=60, check=False)
    if p.returncode:
        return None
    maps = []
    for m in json.loads(p.stdout)["maps"]:
        start, end = int(m["start"], 16), int(m["end"], 16)
        if way.lo <= start and end <= way.hi:
            maps.append((start, end, m["prot"][:3], m["shared"], m["file"] or ""))
    return joined(maps)


def agree(pid, way):
    """True when both say the same; else what differs, or None when the process has changed meanwhile or is gone."""
    before = kernel_says(pid, way)
    mine = vmsup_says(pid, way)
    if not before or kernel_says(pid, way) != before or mine is None:
        return None
    if mine == before:
        return True
    wrong = ["  vmsup  %x-%x %s %s %s" % tuple(m) for m in mine if m not in before]
    wrong += ["  kernel %x-%x %s %s %s" % tuple(m) for m in before if m not in mine]
    return "`vmsup maps %d` and the kernel differ:\n%s" % (pid, "\n".join(wrong))


def agree_often(front, way, least=6):
    """At arbitrary moments of every process of the run. What changes there and back cannot be told from a difference, unless
    it stays."""
    end = time.monotonic() + 60
    good, last = 0, ""
    while good < least:
        t.require(time.monotonic() < end, "only %d comparisons\n%s" % (good, last))
        for pid in t.inside_processes(front):
            said = agree(pid, way)
            if said is True:
                good += 1
            elif said:
                last = said


# Each maps and unmaps for a while whenever it is given a line, and says when it is done.
PYTHON = """
import random, mmap, threading, sys
keep = []
def churn():
    for i in range(60):
        keep.append(mmap.mmap(-1, random.randrange(1, 50) * 4096))
        keep.append(bytearray(random.randrange(1, 1 << 20)))
        while len(keep) > 40: keep.pop(random.randrange(len(keep)))
print("ready", flush=True)
for line in sys.stdin:
    threads = [threading.Thread(target=churn) for i in range(3)]
    for t in threads: t.start()
    for t in threads: t.join()
    print("done", line, flush=True)
"""
NODE = """
let keep = []; console.log("ready");
process.stdin.on("data", line => {
  for (let i = 0; i < 500; i++) keep.push(Buffer.alloc(100000 * Math.random() | 0), {a: new Array(1000).fill(i)});
  keep = keep.slice(-500); console.log("done " + line); });
"""
JAVA = """
public class Churn { static Object[] keep = new Object[1000];
  public static void main(String[] a) throws Exception { System.out.println("ready"); int n;
    while ((n = System.in.read()) >= 0) { for (int i = 0; i < 20000; i++) { keep[i % 1000] = new byte[i % 30000];
      if (i % 1000 == 0) { Thread t = new Thread(() -> { }); t.start(); t.join(); } }
      if (n >= ' ') System.out.println("done " + (char)n); } } }
"""


def churning(way, argv, files=None, env=None):
    r, w = os.pipe()
    proc = t.start(way, argv, files=files, env=env, stdin=r)
    os.close(r)
    proc.wait_text(r"^ready$")
    for i in range(4):
        os.write(w, b"%d\n" % i)
        for pid in t.inside_processes(proc.pid):
            t.require(vmsup_says(pid, way), "no answer while the process works")
        proc.wait_text(r"^done %d" % i)
        agree_often(proc.pid, way, 1)
    os.close(w)
    t.expect(t.finish(proc), 0)


@s.case_for(MODES)
def maps_python(way):
    """vmsup maps and the kernel agree on python"""
    env = t.place.python_env(way.range)
    churning(way, [t.found("python3", t.place.env(way.user, env)), "-c", PYTHON], env=env)


@s.case_for(MODES)
def maps_node(way):
    """vmsup maps and the kernel agree on node"""
    t.need("node")
    churning(way, ["node", "--max-old-space-size=128", "-e", NODE])


@s.case_for(MODES)
def maps_java(way):
    """vmsup maps and the kernel agree on java"""
    t.need("java", "javac")
    churning(way, ["java", "-Xmx64m", "-XX:CompressedClassSpaceSize=64m", "Churn.java"], files={"Churn.java": JAVA})


@s.case_for(MODES)
def maps_redis(way):
    """vmsup maps and the kernel agree on redis, and on the child that it forks to save"""
    t.need("redis-server", "redis-cli")
    argv = ["redis-server", "--port", "0", "--unixsocket", "redis.sock", "--save", "", "--rdb-key-save-delay", "10000",
            "--enable-debug-command", "local"]
    proc = t.start(way, argv)
    sock = os.path.join(proc.work, "redis.sock")

    def say(*words):
        return subprocess.run(["redis-cli", "-s", sock] + list(words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=60, check=False).stdout.decode()

    wait_for("redis answers", lambda: "PONG" in say("ping"))
    say("debug", "populate", "3000", "key", "100")
    t.require("started" in say("bgsave"), "no BGSAVE")
    agree_often(proc.pid, way)
    pids = [p for p in t.inside_processes(proc.pid) if t.read_text("/proc/%d/comm" % p).startswith("redis")]
    t.require(len(pids) == 2, "no child that saves: %r" % pids)
    say("shutdown", "nosave", "now", "force")
    proc.wait(30)
    t.kill_all()


s.main()
