#!/usr/bin/python3
"""vmsupd: what clients and tenants may try against it and against each other, and deaths at bad moments."""

import json
import os
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time

import vmsuptest as t
from vmsupdtest import Daemon, Line, Notify

s = t.Suite()
PYTHON = "/usr/bin/python3"
SLEEPER = "command: [sleep, '1000']\n"
CGROUPS = os.path.exists("/sys/fs/cgroup/unified/cgroup.procs") or os.path.exists("/sys/fs/cgroup/cgroup.controllers")
USERS = ("daemon", "bin", "sys", "man")

SILENT = """
import socket, sys, time
lines = []
for _ in range(16):
    lines.append(socket.socket(socket.AF_UNIX))
    lines[-1].connect(sys.argv[1])
print("there", flush=True)
time.sleep(1000)
"""

MANY_MAPS = """
import ctypes, time
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + 4 * [ctypes.c_long]
at = libc.mmap(None, 40000 << 12, 0, 0x4022, -1, 0)
for i in range(0, 40000, 2):
    libc.mprotect(ctypes.c_void_p(at + (i << 12)), 4096, 1)
time.sleep(1000)
"""


LOW = """
import ctypes, signal, sys, threading
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_long
libc.mmap.argtypes = [ctypes.c_ulong, ctypes.c_ulong] + 4 * [ctypes.c_long]
libc.syscall.restype = ctypes.c_long
libc.mallopt(-2, 32 << 20)
libc.mallopt(-1, 1 << 30)
if sys.argv[1] == "handler":
    signal.signal(signal.SIGUSR1, lambda *a: 0)
def low():
    n = 0
    while True:
        n = n + 1 & 255
        at = libc.mmap(0, 8192, 3, 0x62, -1, 0)
        if not 0 < at < 1 << 31:
            print("wrong: mapped at %x" % at, flush=True)
        ctypes.memset(at, n, 8192)
        if ctypes.string_at(at + 8191, 1) != bytes([n]):
            print("wrong content", flush=True)
        if libc.munmap(ctypes.c_ulong(at), 8192) != 0:
            print("wrong: munmap", flush=True)
        # The heap has to begin where this program's does, not where its parent's did; malloc has a stock and stays away.
        if sys.argv[1] == "child":
            top = libc.syscall(12, 0)
            if libc.syscall(12, ctypes.c_ulong(top + 8192)) != top + 8192 or ctypes.string_at(top, 8192) != bytes(8192):
                print("wrong: brk", flush=True)
            ctypes.memset(top, 1, 8192)
            if libc.syscall(12, ctypes.c_ulong(top)) != top:
                print("wrong: brk back", flush=True)
        if sys.argv[1] == "lock" and (libc.mlockall(1) or libc.munlockall()):
            print("wrong: mlockall", flush=True)
threads = [threading.Thread(target=low) for _ in range(2 if sys.argv[1] == "threads" else 0)]
if sys.argv[1] == "leader":
    threads = [threading.Thread(target=low)]
for t in threads:
    t.start()
if sys.argv[1] == "leader":
    libc.syscall(60, 0)
low()
"""


def high_water(pid):
    return int(next(x for x in t.read_text("/proc/%d/status" % pid).splitlines() if x.startswith("VmHWM")).split()[1])


def is_there(pid):
    return t.read_text("/proc/%d/stat" % pid, ") Z").rsplit(")", 1)[1].split()[0] not in "ZX"


def kill_quietly(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


@s.case
def room_for_root():
    """who connects and says nothing leaves room for root, and is hung up on"""
    with Daemon("", **{u: SLEEPER + "user: %s\n" % u for u in USERS}) as d:
        held = []
        for user in USERS:
            argv = ["setpriv", "--reuid=" + user, "--regid=nogroup", "--clear-groups", "--", PYTHON, "-c", SILENT, d.socket]
            held.append(subprocess.Popen(argv, stdout=subprocess.PIPE))
            held[-1].stdout.readline()
        d.ok("status")
        fds = "/proc/%d/fd" % d.proc.pid
        many = len(os.listdir(fds))
        d.until(lambda: len(os.listdir(fds)) < many - 25, "they are hung up on", 30)
        for proc in held:
            proc.kill()
            proc.wait()
            proc.stdout.close()


@s.case
def one_stream():
    """a connection follows events once, and what it held is free when it has gone"""
    with Daemon("", one=SLEEPER + "user: nobody\n") as d:
        d.wait_state("one", "running")
        for _ in range(70):
            line = Line(d.socket)
            line.send(b'{"verb": "events", "follow": true, "id": 1}')
            line.send(b'{"verb": "events", "follow": true, "id": 2}')
            got = [line.receive()]
            while got[-1].get("code") is None and len(got) < 50:
                got.append(line.receive())
            t.require(got[0]["ok"] and got[-1]["code"] == "EALREADY", "%r" % got)
            line.close()
        asker = Line(d.socket)
        d.ok("restart", "one")
        answer = asker.ask({"verb": "status"})
        t.require(answer.get("id") == 7 and answer["ok"], "%r" % answer)
        asker.close()


@s.case
def saved_or_told():
    """limit --save is for root, and says so when it could not save or what was saved will not be read; a stopped tenant's is saved, too"""
    with Daemon("", one=SLEEPER + "user: nobody\n") as d:
        d.wait_state("one", "running")
        d.refused("limit", "one", "--save", says="only root may change them", user=t.NOBODY)
        os.rename(d.top + "/state/overrides", d.top + "/state/away")
        d.refused("limit", "one", "--max-commit", "1G", "--save", says="cannot be saved in")
        os.rename(d.top + "/state/away", d.top + "/state/overrides")
        d.tenant("zz", "bogus: 1\n")
        d.refused("limit", "one", "--max-commit", "2G", "--save", says="as long as the configuration would be wrong")
        os.unlink(d.etc + "/tenants.d/zz.conf")
        d.ok("stop", "one")
        d.wait_state("one", "stopped")
        d.refused("limit", "one", "--max-commit", "4K", says="does not run")
        d.ok("limit", "one", "--max-commit", "4K", "--save")
        d.ok("limit", "one", "--max-commit", "3G", "--save")
        line = Line(d.socket)
        for wrong in {}, {"commit": -1}, {"commit": "1G"}, {"heap": 5}, {"bogus": 5}:
            answer = line.ask({"verb": "limit", "tenant": "one", "save": True, "max": wrong})
            t.require(answer.get("code") == "EINVAL", "%r: %r" % (wrong, answer))
        line.close()
        d.ok("start", "one")
        d.wait_state("one", "running")
        got = json.loads(d.ok("limit", "one", "--json"))["tree_limits"]
        t.require(got == {"commit": 3 << 30}, "%r" % got)
        # What would make the configuration wrong leaves nothing behind.
        was = t.read_text(d.top + "/state/overrides/one.conf")
        d.tenant("fence", SLEEPER + "mode: fence\nstart: manual\n")
        d.ok("reload")
        d.refused("limit", "fence", "--max-commit", "1G", "--save", says="limits have no effect with --mode=fence")
        d.refused("limit", "one", "--save", says="which one is to be saved")
        d.ok("reload")
        t.require(os.listdir(d.top + "/state/overrides") == ["one.conf"] and t.read_text(d.top + "/state/overrides/one.conf") == was,
                  "%r" % os.listdir(d.top + "/state/overrides"))


@s.case
def cut_names():
    """a name that is cut within a character is answered all the same"""
    with Daemon("", one=SLEEPER) as d:
        line = Line(d.socket)
        for ask in {"verb": "a" * 62 + "\u00e9"}, {"verb": "status", "tenant": "a" * 62 + "\u00e9"}:
            answer = line.ask(ask)
            t.require(answer and not answer["ok"], "%r" % answer)
        line.close()


@s.case
def large_answers():
    """large answers that nobody reads do not pile up"""
    with Daemon("", one="command: [%s, -c, %s]\nuser: nobody\nrange: 64K-0x7fff00000000\n" % (PYTHON, json.dumps(MANY_MAPS))) as d:
        now = d.wait_state("one", "running")
        d.until(lambda: len(t.read_text("/proc/%d/maps" % now["pid"]).splitlines()) > 30000, "it has mapped", 90)
        code = "import sys; sys.path[:0] = %r\nfrom vmsupdtest import Line\nlines = [Line(sys.argv[1]) for _ in range(16)]\n" % sys.path
        code += "for line in lines:\n for _ in range(20): line.send(b'{\"verb\": \"maps\", \"tenant\": \"one\"}')\n"
        code += "print('asked', flush=True)\nimport time; time.sleep(1000)\n"
        argv = ["setpriv", "--reuid=%d" % t.NOBODY, "--regid=nogroup", "--clear-groups", "--", PYTHON, "-c", code, d.socket]
        before = high_water(d.proc.pid)
        proc = subprocess.Popen(argv, stdout=subprocess.PIPE, env=d.env)
        t.require(proc.stdout.readline(), "it could not ask")
        slowest = 0
        for _ in range(10):
            began = time.monotonic()
            d.ok("status")
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.3)
        proc.kill()
        proc.wait()
        proc.stdout.close()
        t.require(high_water(d.proc.pid) - before < 64 << 10, "it grew from %d to %d KiB" % (before, high_water(d.proc.pid)))
        t.require(len(json.loads(d.ok("maps", "one", "--json"))["maps"]) > 30000, "root is answered")


@s.case
def own_events():
    """a tenant that is refused all the time does not wash out others' events, nor its own life, and what the range refuses is an event"""
    hog = "import mmap\nwhile 1:\n try: mmap.mmap(-1, 200 << 20)\n except (OSError, MemoryError, ValueError): pass\n"
    out = ("import ctypes, time\nlibc = ctypes.CDLL(None)\nlibc.mmap.argtypes = 2 * [ctypes.c_ulong] + 4 * [ctypes.c_long]\n"
           "while 1: libc.mmap(0x700000000000, 4096, 3, 0x32, -1, 0); time.sleep(0.001)\n")
    command = "command: [%s, -c, %s]\nrange: 64K-0x7fff0000\n"
    with Daemon("", hog=command % (PYTHON, json.dumps(hog)) + "tree-max-commit: 100M\n",
                out=command % (PYTHON, json.dumps(out)), one=SLEEPER) as d:
        d.wait_state("one", "running")
        d.ok("restart", "one")
        d.wait_state("one", "running")
        events = lambda name: [json.loads(x)["event"] for x in d.ok("events", name, "--json").splitlines()]
        d.until(lambda: len([x for x in events("hog") if x == "limit"]) >= 32, "it is refused often")
        d.until(lambda: "refusal" in events("out"), "the range refuses")
        time.sleep(2)
        t.require(events("one")[:2] == ["start", "stop"], "%r" % events("one"))
        t.require("start" in events("hog"), "%r" % events("hog"))
        all_of_them = [json.loads(x)["time"] for x in d.ok("events", "--json").splitlines()]
        t.require(all_of_them == sorted(all_of_them), "not in order")


@s.case
def dies_with_its_supervisor(conf="", rounds=12):
    """a program and its supervisor that are killed at once, in either order: it is seen, what is left goes, and it is started again"""
    left = "command: [sh, -c, 'setsid sleep 5555 & exec sleep 5556']\nrestart: always\nrestart-delay: 10ms\nrestart-delay-max: 10ms\n"
    with Daemon(conf, one=left) as d:
        for i in range(rounds):
            now = d.wait_state("one", "running")
            first, then = ("pid", "supervisor") if i % 2 else ("supervisor", "pid")
            kill_quietly(now[first])
            time.sleep(i / 2000)
            kill_quietly(now[then])
            d.until(lambda: d.of("one")["pid"] not in (None, now["pid"]), "it runs again (%d)" % i)
            if CGROUPS and not conf:
                sleepers = lambda: [p for p in map(int, filter(str.isdigit, os.listdir("/proc")))
                                    if t.read_text("/proc/%d/cmdline" % p, "") == "sleep\x005555\0" and
                                    d.of("one")["cgroup"] and "vmsup-one" in t.read_text("/proc/%d/cgroup" % p, "")]
                d.until(lambda: len(sleepers()) <= 1, "what was left is gone (%d)" % i)


@s.case
def dies_without_cgroup():
    """the same where there is no cgroup: what was left is not found, and does not keep the tenant from being started again"""
    dies_with_its_supervisor("cgroup-root: /proc/none\n", 3)


@s.case
def nothing_new_at_the_end():
    """while vmsupd ends with its tenants nothing is started"""
    slow = "command: [sh, -c, 'trap : TERM; while :; do sleep 0.1; done']\nstop-time: 2s\n"
    with Daemon("", slow=slow, two=SLEEPER + "start: manual\n", three=SLEEPER) as d:
        d.wait_state("slow", "running")
        d.proc.send_signal(signal.SIGINT)
        d.until(lambda: d.of("slow")["state"] == "stopping", "it ends")
        d.refused("start", "two", says="about to end")
        d.vmsup("restart", "three")
        d.proc.wait(30)
        t.require(d.proc.returncode == 0, d.text())


@s.case
def stops_go_on():
    """a stop or restart that is under way when vmsupd dies is finished by the next one"""
    slow = "command: [sh, -c, 'trap \"sleep 1.5; exit 0\" TERM; while :; do sleep 0.1; done']\n"
    deaf = "command: [sh, -c, 'trap : TERM; while :; do sleep 0.1; done']\nstop-time: 2s\n"
    with Daemon("", no=slow + "restart: no\n", fail=slow + "restart: on-failure\n", always=slow + "restart: always\n", deaf=deaf,
                late=slow + "start: manual\n") as d:
        d.ok("start", "late")
        before = {n: d.wait_state(n, "running")["pid"] for n in ("no", "fail", "always", "deaf", "late")}
        time.sleep(0.3)
        d.ok("restart", "no", "fail", "deaf", "late")
        d.ok("stop", "always")
        d.kill()
        d.start()
        for name in "no", "fail", "deaf", "late":
            d.until(lambda: d.of(name)["pid"] not in (None, before[name]), "%s is started again" % name)
        d.wait_state("always", "stopped")
        # All the time without a vmsupd.
        before = d.wait_state("late", "running")["pid"]
        time.sleep(0.3)
        d.ok("restart", "late")
        d.kill()
        time.sleep(2.5)
        d.start()
        d.until(lambda: d.of("late")["pid"] not in (None, before), "late is started again")
        t.require(d.of("always")["state"] == "stopped", "%r" % d.of("always"))


@s.case
def stops_the_silent():
    """a tenant whose supervisor does not answer: others are served meanwhile, nothing counts as restart, and stop ends it, unheard if need be"""
    with Daemon("", one=SLEEPER + "stop-time: 2s\n", two=SLEEPER, gone=SLEEPER + "stop-time: 1s\n", late=SLEEPER) as d:
        was = {n: d.wait_state(n, "running") for n in ("one", "two", "gone", "late")}
        d.kill()
        for name in "one", "gone", "late":
            os.kill(was[name]["supervisor"], signal.SIGSTOP)
        os.unlink(d.etc + "/tenants.d/gone.conf")
        began = time.monotonic()
        d.start()
        t.require(time.monotonic() - began < 5, "one after the other was waited for")
        for _ in range(10):
            began = time.monotonic()
            d.ok("status")
            t.require(time.monotonic() - began < 1, "it waits for the silent")
            time.sleep(0.1)
        t.require(d.of("one")["restarts"] == 0 and d.of("one")["state"] == "waiting", "%r" % d.of("one"))
        stop = subprocess.Popen([t.place.vmsup(), "stop", "one", "late"], env=d.env)
        d.until(lambda: d.of("late")["state"] == "stopping", "it is to stop")
        os.kill(was["late"]["supervisor"], signal.SIGCONT)
        t.require(stop.wait(30) == 0, "stop")
        t.require([d.wait_state(n, "stopped")["status"] for n in ("one", "late")] == [None, "signal TERM"], "%r" % d.tenants())
        d.until(lambda: not any(is_there(was[n][k]) for n in ("one", "late", "gone") for k in ("pid", "supervisor")), "they have ended")
        t.require(d.of("two")["pid"] == was["two"]["pid"], "%r" % d.of("two"))


@s.case
def both_die():
    """vmsupd and supervisor are killed and nobody has kept the descriptors: the old program is killed, and started again if it is to be"""
    with Daemon("", one="command: [sh, -c, 'sleep 4321 & sleep 4322 & wait']\nrestart: on-failure\n", two=SLEEPER,
                job="command: [sleep, '1']\n") as d:
        was, two = d.wait_state("one", "running"), d.wait_state("two", "running")
        for now in was, two:
            os.kill(now["supervisor"], signal.SIGSTOP)
        d.kill()
        for now in was, two:
            os.kill(now["supervisor"], signal.SIGKILL)
        time.sleep(1.5)
        d.start()
        t.require([d.of(n)["state"] for n in ("two", "job")] == 2 * ["failed"], "%r" % d.tenants())
        t.require("no vmsupd" in d.of("job")["failure"], "%r" % d.of("job"))
        d.until(lambda: not is_there(two["pid"]), "what is not to be started again is gone, too")
        d.wait_state("one", "running")
        t.require(d.of("one")["pid"] != was["pid"], "%r" % d.of("one"))
        sleepers = lambda: [p for p in os.listdir("/proc") if t.read_text("/proc/%s/cmdline" % p, "").startswith("sleep\x00432")]
        d.until(lambda: not is_there(was["pid"]) and len(sleepers()) == 2, "the old ones are gone")


@s.case
def dies_all_the_time():
    """supervisors, programs and vmsupd are killed at random while verbs are carried out: every tenant runs once, and all of it stops"""
    seed = int(os.environ.get("VMSUP_SEED", 0)) or random.randrange(1 << 30)
    print("# VMSUP_SEED=%d" % seed)
    dice = random.Random(seed)
    text = "command: 'sh -c \"setsid sleep 88%d & exec sleep 99%d\"'\nrange: auto\nrestart: always\nrestart-delay: 20ms\nrestart-delay-max: 50ms\n"
    with Daemon("pool: 1T-2T\n", **{"z%d" % i: text % (i, i) for i in range(3)}) as d:
        ours = lambda what: [int(p) for p in os.listdir("/proc") if p.isdigit() and is_there(int(p)) and
                             what(t.read_text("/proc/%s/cmdline" % p, "").split("\0"))]
        supervisors = lambda: ours(lambda a: a[1:2] == ["--supervise"] and a[2][:1] == "z")
        programs = lambda: ours(lambda a: a[0] == "sleep" and a[1][:2] == "99")
        end = time.monotonic() + (90 if os.environ.get("VMSUP_SOAK") else 8)
        asked = []
        while time.monotonic() < end:
            roll = dice.random()
            if roll < 0.4:
                words = ["reload"] if roll < 0.05 else [dice.choice(["restart", "restart", "stop", "start"]), "z%d" % dice.randrange(3)]
                asked.append(subprocess.Popen([t.place.vmsup()] + words, env=d.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            elif roll < 0.85:
                found = supervisors() if roll < 0.7 else programs()
                if found:
                    kill_quietly(dice.choice(found))
            else:
                d.kill()
                d.start()
            time.sleep(dice.random() * 0.1)
        for proc in asked:
            proc.wait(60)
        t.require("Assertion" not in d.text(), d.text())
        d.ok("start", "z0") if d.of("z0")["state"] == "stopped" else None
        d.until(lambda: all(x["state"] in ("running", "stopped") for x in d.tenants().values()), "they have settled")
        running = lambda: {x["pid"] for x in d.tenants().values() if x["pid"]}
        d.until(lambda: set(programs()) == running(), "each runs once")
        if CGROUPS:
            d.until(lambda: len(ours(lambda a: a[0] == "sleep" and a[1][:2] == "88")) == len(running()), "and what it has started")


@s.case
def share_pointers():
    """tenants of a pool that share map each other's segments at their addresses; what is their own stays in their slices; others may not"""
    if not re.search(r"^mseal +ok", t.run_vmsup(["doctor"]).out, re.M):
        raise t.Skip("no mseal: Linux 6.10")
    folder = tempfile.mkdtemp(dir=t.place.top)
    os.chmod(folder, 0o777)
    text = "command: [%s, %%s, %%s, %s]\nrange: auto\n" % (t.place.guest("sharer"), folder)
    with Daemon("pool: 1T-2T\n", a=text % ("a", "b") + "share: yes\n", b=text % ("b", "a") + "share: yes\nuser: nobody\n",
                c=text % ("c", "a") + "restart: no\n") as d:
        d.until(lambda: d.text().count("right 0x") == 2, "both are right")
        d.until(lambda: d.of("c")["state"] == "failed", "one that does not share is refused")
        t.require(d.text().count("wrong") == 1 and "wrong: segment 0x100" in d.text(), d.text())
        slices = [int(d.of(n)["range"]["start"], 16) for n in "ab"]
        private = [int(x, 16) for x in re.findall(r"right (0x\w+)", d.text())]
        t.require(sorted(x >> 32 for x in private) == [x >> 32 for x in slices], "%r %r" % (private, slices))
        d.kill_supervisor("a")
        theirs = json.loads(d.ok("maps", "a", "--json"))["maps"]
        t.require(sum(folder in (m["file"] or "") for m in theirs) == 2, "%r" % theirs)


@s.case
def traces():
    """a trace goes on when the supervisor is replaced, is not written through a link, and no loss of the file ends a tenant"""
    folder = tempfile.mkdtemp(dir=t.place.top)
    path = folder + "/trace"
    text = "command: [sh, -c, 'while :; do /bin/true; sleep 0.02; done']\nuser: nobody\ntrace: %s\n" % path
    with Daemon("", one=text) as d:
        was = d.wait_state("one", "running")
        lines = lambda: t.read_text(path, "").splitlines()
        d.until(lambda: len(lines()) > 200, "it is traced")
        before = len(lines())
        d.kill_supervisor("one")
        d.until(lambda: len(lines()) > before + 100, "it goes on")
        starts = [i for i, x in enumerate(lines()) if x.startswith('{"event":"start"')]
        t.require(len(starts) == 2 and starts[0] == 0 and starts[1] >= before, "%r" % starts)
        before = len(lines())
        d.ok("run", "--tenant", "one", "--", "true")
        t.require(len(lines()) >= before, "run --tenant has emptied it")
        # What stands there now, root must not write to.
        os.rename(path, folder + "/away")
        with open(folder + "/precious", "w") as f:
            f.write("precious")
        os.symlink("precious", path)
        d.kill_supervisor("one")
        d.until(lambda: "it is left out from now on" in d.text(), "it is said")
        t.require(d.of("one")["pid"] == was["pid"] and t.read_text(folder + "/precious") == "precious", d.text())
        d.ok("stop", "one")
        d.refused("start", "one", says="symbolic link")


@s.case
def asked_while_replaced():
    """what is asked of a supervisor that is just being replaced, the next one answers; ps still shows the processes; no socket is left"""
    with Daemon("", env={"XDG_RUNTIME_DIR": t.place.top}, one="command: [sh, -c, 'sleep 77 & wait']\n") as d:
        was = d.wait_state("one", "running")
        for _ in range(5):
            os.kill(d.of("one")["supervisor"], signal.SIGKILL)
            for words in ["limit", "one"], ["maps", "one"], ["ps", "one"]:
                d.ok(*words)
        d.until(lambda: d.of("one")["losses"] >= 5, "another")
        listed = json.loads(d.ok("ps", "--json", "one"))["supervisors"][0]
        t.require(listed["tenant"] == "one" and len(listed["processes"]) == 2 and was["pid"] in [p["pid"] for p in listed["processes"]],
                  "%r" % listed)
        t.require(len(json.loads(d.ok("stop", "--json", "one"))["tenants"]) == 1, "stop --json")
        d.stop()
        left = [x for x in os.listdir(t.place.top + "/vmsup")]
        t.require(not left, "left behind: %r" % left)


@s.case
def many_descriptors():
    """vmsupd has more descriptors than its tenants may: they are started all the same, and survive their supervisors"""
    d = Daemon("", **{"m%d" % i: SLEEPER for i in range(24)})
    d.preexec = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with d:
        for name in d.tenants():
            d.wait_state(name, "running")
        was = d.of("m7")
        d.kill_supervisor("m7")
        t.require(d.of("m7")["pid"] == was["pid"], d.text())
        t.require(len(os.listdir("/proc/%d/fd" % d.proc.pid)) > 100, "it has few descriptors")
        t.require(re.search(r"open files +64 ", t.read_text("/proc/%d/limits" % was["pid"])), "the tenant's limit")
        d.ok("stop", "--all")


@s.case
def all_at_once():
    """stop --all stops all at the same time, and --json says what has become of them; top --json measures; a tenant has vmsupd's own limits"""
    slow = "command: [sh, -c, 'trap \"sleep 1.5; exit 0\" TERM; while :; do sleep 0.1; done']\n"
    with Daemon("", **{"s%d" % i: slow for i in range(4)}, limits="command: [sh, -c, 'ulimit -n; exec sleep 1000']\n") as d:
        for name in d.tenants():
            d.wait_state(name, "running")
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        d.until(lambda: re.search(r"^%d$" % soft, d.text(), re.M), "the limit of open files")
        rows = json.loads(d.ok("top", "--json"))["tenants"]
        t.require({x["name"] for x in rows} == set(d.tenants()) and all(x["calls_per_second"] >= 0 for x in rows), "%r" % rows)
        began = time.monotonic()
        states = json.loads(d.ok("stop", "--all", "--json"))["tenants"]
        t.require(len(states) == 5 and all(x["state"] == "stopped" for x in states), "%r" % states)
        t.require(time.monotonic() - began < 5, "one after the other")
        d.refused("stop", "--all", "s1", says="--all takes no tenant", status=2)
        d.refused("status", "--all", says="unknown option", status=2)


@s.case
def no_regular_file():
    """a pipe among the files does not make vmsupd wait, and is told"""
    with Daemon("", one=SLEEPER) as d:
        d.wait_state("one", "running")
        os.mkfifo(d.etc + "/tenants.d/two.conf")
        d.refused("reload", says="two.conf is not a regular file")
        os.unlink(d.etc + "/tenants.d/two.conf")
        d.tenant("12", SLEEPER)
        d.refused("reload", says="12")
        os.unlink(d.etc + "/tenants.d/12.conf")
        d.ok("reload")
        d.tenant("three", SLEEPER + "directory: /nonexistent\nrestart: always\nrestart-delay: 50ms\n")
        d.ok("reload")
        told = lambda: [json.loads(x) for x in d.ok("events", "--json", "three").splitlines()]
        d.until(lambda: len([x for x in told() if x["event"] == "failed" and "/nonexistent" in x["reason"]]) >= 2, "why it cannot be started")
        t.require(not [x for x in told() if x["event"] == "exit"], "%r" % told())


VERBS = ("hello status stats maps explain ps limit policy events trace start stop restart reload enable disable").split()
ODD = [None, True, False, 0, -1, 1, 7, 2**31, 2**53, -2**63, 1.5, "", "one", "two", "nobody", "no such", "..", "a/b", "\u0000", "\ud7ff" * 40,
       "x" * 5000, [], {}, ["one"], {"one": 1}, [[[[[]]]]], "max-commit", "1G"]
LIMITS = "commit va maps heap stack max-commit tree-max-commit max-va nonsense".split()


def mutated(dice, number):
    """A request, some of it as it should be."""
    ask = {"verb": dice.choice(VERBS), "id": number}
    for key in "tenant", "pid", "max", "save", "follow", "version", "verb", "id", "raw", "n":
        roll = dice.random()
        if key == "tenant" and roll < 0.7:
            ask[key] = dice.choice(["one", "two"])
        elif key == "max" and roll < 0.3:
            ask[key] = {dice.choice(LIMITS): dice.choice(ODD + [1 << 30] * 20) for _ in range(dice.randrange(4))}
        elif roll > (0.97 if key in ("verb", "id") else 0.9):
            ask[key] = dice.choice(ODD)
    data = bytearray(json.dumps(ask).encode())
    for _ in range(dice.choice([0, 0, 0, 0, 1, 5])):
        at = dice.randrange(len(data))
        data[at:at + dice.randrange(3)] = bytes(dice.randrange(256) for _ in range(dice.randrange(3)))
    return bytes(data)


@s.case
def mutated_requests():
    """requests of every kind, changed at random, of root, an operator and a tenant's user: each is answered, and vmsupd neither ends nor grows"""
    seed = int(os.environ.get("VMSUP_SEED", 0)) or random.randrange(1 << 30)
    print("# VMSUP_SEED=%d" % seed)
    dice = random.Random(seed)

    def connect(uid, groups):
        os.setgroups(groups)
        os.seteuid(uid)
        try:
            return Line(d.socket)
        finally:
            os.seteuid(0)
            os.setgroups([])
    with Daemon("socket-group: daemon\n", one="command: [sleep, '100000']\nuser: nobody\n", two="command: [sleep, '100000']\n") as d:
        for name in "one", "two":
            d.wait_state(name, "running")
        users = ((0, []), (4242, [1]), (t.NOBODY, []))
        lines, sizes, answers = {u[0]: connect(*u) for u in users}, [], 0
        end = time.monotonic() + (300 if os.environ.get("VMSUP_SOAK") else 8)
        number = 0
        while time.monotonic() < end:
            number += 1
            uid, groups = dice.choice(users)
            try:
                lines[uid].send(mutated(dice, number))
                # Events that are followed come in between, without a number.
                while "id" not in (lines[uid].receive() or {"id": None}):
                    pass
                answers += 1
                hang_up = dice.random() < 0.02
            except (BrokenPipeError, ConnectionResetError):
                hang_up = True
            if hang_up or dice.random() < 0.01:
                lines[uid].close()
                lines[uid] = connect(uid, groups)
            if number % 500 == 0:
                sizes.append(int(t.read_text("/proc/%d/statm" % d.proc.pid).split()[1]))
        for line in lines.values():
            line.close()
        print("# %d answers, pages %r" % (answers, sizes[::max(1, len(sizes) // 5)]))
        t.require(answers > 500, "%d answers" % answers)
        t.require(sizes[-1] - sizes[len(sizes) // 3] < 500, "it grows: %r" % sizes)
        for name in "one", "two":
            # It may be ending just now.
            d.until(lambda: d.vmsup("start", name) and d.of(name)["state"] == "running", "%s can be started" % name)


def goes_on(how):
    # A child of the tenant's program that has executed another.
    first = "sh, -c, '\"$0\" \"$@\"; :', " if how == "child" else ""
    d = Daemon("", one="command: [%s%s, -c, %s, %s]\nrange: 64K-0x7fff00000000\n" % (first, PYTHON, json.dumps(LOW), how))
    # As a service manager's for all of a unit.
    d.preexec = t.filter_nothing if how == "filtered" else None
    with d:
        was = d.wait_state("one", "running")
        d.until(lambda: json.loads(d.ok("stats", "--json", "one"))["remote"] > 50, "it makes remote calls")
        for _ in range(100 if os.environ.get("VMSUP_SOAK") else 8):
            d.kill_supervisor("one")
            time.sleep(0.1)
        calls = d.of("one")["calls"]
        d.until(lambda: d.of("one")["calls"] > calls + 50, "it goes on")
        t.require(d.of("one")["pid"] == was["pid"] and "wrong" not in d.text(), d.text())
        t.require(len(json.loads(d.ok("maps", "one", "--json"))["maps"]) > 5, "its maps")


for HOW in "plain", "handler", "threads", "lock", "leader", "child", "filtered":
    s.add("a supervisor that is killed during remote calls: they go on [%s]" % HOW, goes_on, HOW)


def spoil_board(d):
    """So that no supervisor can take the tree over."""
    for fd in os.listdir("/proc/%d/fd" % d.proc.pid):
        path = "/proc/%d/fd/%s" % (d.proc.pid, fd)
        if "vmsup-board" in os.readlink(path):
            with open(path, "r+b") as f:
                f.write(b"spoiled!")


@s.case
def lost():
    """a tree that cannot be taken over is killed, or held until somebody stops it, as on-lost says"""
    with Daemon("", kill=SLEEPER, hold="command: [%s, -c, %s, plain]\nrange: 64K-0x7fff00000000\non-lost: hold\n" % (PYTHON, json.dumps(LOW))) as d:
        was = {n: d.wait_state(n, "running") for n in ("kill", "hold")}
        spoil_board(d)
        for now in was.values():
            os.kill(now["supervisor"], signal.SIGKILL)
        t.require("board" in d.wait_state("kill", "failed")["failure"], "%r" % d.of("kill"))
        held = d.wait_state("hold", "held")
        t.require("board" in held["failure"] and is_there(was["hold"]["pid"]), "%r" % held)
        d.until(lambda: not is_there(was["kill"]["pid"]), "it is killed")
        time.sleep(0.3)
        t.require(d.of("hold")["state"] == "held" and is_there(was["hold"]["pid"]), "%r" % d.of("hold"))
        d.ok("stop", "hold")
        d.until(lambda: not is_there(was["hold"]["pid"]), "it is stopped")


@s.case
def backs_off():
    """who ends again and again is started again later each time, up to restart-delay-max"""
    with Daemon("", one="command: ['false']\nrestart: always\nrestart-delay: 50ms\nrestart-delay-max: 400ms\n") as d:
        d.until(lambda: d.of("one")["restarts"] >= 7, "it is started often")
        when = [json.loads(x) for x in d.ok("events", "one", "--json").splitlines()]
        ends = [x["time"] for x in when if x["event"] == "exit"]
        again = [x["time"] for x in when if x["event"] == "restart"]
        waits = [b - a for a, b in zip(ends, again)]
        for i, wait in enumerate(waits):
            t.require(wait >= min(0.05 * 2 ** i, 0.4) - 0.005, "%r" % waits)


@s.case
def only_one():
    """a second vmsupd on the same folder does not start, and takes nothing from the first"""
    with Daemon("", one=SLEEPER) as d:
        was = d.wait_state("one", "running")
        got = subprocess.run(d.argv(), env=d.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             timeout=30, check=False)
        t.require(got.returncode == 2 and "a vmsupd runs already in" in got.stderr, "%r" % got)
        d.ok("restart", "one")
        d.until(lambda: d.of("one")["pid"] not in (None, was["pid"]), "it is told still")


@s.case
def defaults():
    """defaults.conf holds for all tenants that say nothing else, and a wrong one is told with file and line"""
    with Daemon("", one="command: [sleep, '77']\n", two=SLEEPER + "user: bin\n") as d:
        d.wait_state("one", "running")
        d.write("defaults.conf", "restart: always\nuser: nobody\nuser: nobody\n")
        d.refused("reload", says="defaults.conf:3: ")
        d.write("defaults.conf", "restart: always\nrestart-delay: 10ms\nuser: nobody\n")
        d.ok("reload")
        d.ok("restart", "one", "two")
        uid = lambda n: os.stat("/proc/%d" % d.wait_state(n, "running")["pid"]).st_uid
        d.until(lambda: (uid("one"), uid("two")) == (t.NOBODY, 2), "they are who they should be")
        os.kill(d.of("one")["pid"], signal.SIGKILL)
        d.until(lambda: d.of("one")["restarts"] == 1, "it is started again")


@s.case
def ends_of_orphans():
    """how a program ended that has lost both its supervisor and its vmsupd"""
    if tuple(map(int, os.uname().release.split(".")[:2])) < (6, 15):
        raise t.Skip("the kernel tells it from Linux 6.15 on")
    with Daemon("", one=SLEEPER) as d:
        was = d.wait_state("one", "running")
        d.kill_supervisor("one")
        d.kill()
        d.start()
        os.kill(was["pid"], signal.SIGUSR1)
        # We are what init is elsewhere.
        os.waitpid(was["pid"], 0)
        d.until(lambda: d.of("one")["status"] == "signal USR1", "its status is known")
        t.require(d.of("one")["state"] == "failed", "%r" % d.of("one"))


@s.case
def metrics_addresses():
    """a wrong metrics-address is told by reload with file and line, and the old configuration stays"""
    with Daemon("", one=SLEEPER) as d:
        for wrong in "nonsense", "127.0.0.1:99999", "127.0.0.1:0", "127.0.0.1:", "localhost:9778", "'[::1:9778'", "'::1:9778'":
            d.write("vmsup.conf", "\nmetrics-address: %s\n" % wrong)
            d.refused("reload", says="vmsup.conf:2: metrics-address:")
        d.write("vmsup.conf", "metrics-address: '[::1]:9778'\n")
        d.ok("reload")


@s.case
def apart_from_the_unit():
    """under a service manager tenants have their cgroups apart from the unit's, which can be used again at once"""
    if not CGROUPS:
        raise t.Skip("no cgroup hierarchy (v2) here")
    with Daemon("", env={"INVOCATION_ID": "0123"}, one=SLEEPER) as d:
        now = d.wait_state("one", "running")
        top, name = os.path.split(now["cgroup"])
        t.require(os.path.basename(top) == "vmsup" and name.startswith("vmsup-one"), "%r" % now)
        own = [x for x in t.read_text("/proc/%d/cgroup" % d.proc.pid).splitlines() if x.startswith("0::")]
        t.require(own == [x for x in t.read_text("/proc/self/cgroup").splitlines() if x.startswith("0::")], "%r" % own)
        d.stop()
        t.require(not os.path.exists(top), "it is left behind")


JOURNAL = "/run/systemd/journal/stdout"
ENTRIES = "/run/systemd/journal/socket"


@s.case
def streams():
    """what tenants write goes to the journal by a stream of each one's own, where stderr goes to the journal"""
    if os.path.exists(JOURNAL):
        raise t.Skip("there is a journal, and it is not ours to read")
    os.makedirs(os.path.dirname(JOURNAL), exist_ok=True)
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(JOURNAL)
    sock.listen(8)
    sock.settimeout(30)
    entries = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    entries.bind(ENTRIES)
    entries.settimeout(30)
    entries.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    say = "command: [sh, -c, 'echo I am %s; exec sleep 1000']\n"
    try:
        with Daemon("", one=say % "one", two=say % "two") as d:
            d.stop()
            st = os.stat(d.log)
            d.start(env={"JOURNAL_STREAM": "%d:%d" % (st.st_dev, st.st_ino)})
            fields = dict(x.split("=", 1) for x in entries.recv(4096).decode().splitlines())
            t.require(fields.pop("VMSUP_TENANT") in ("one", "two") and fields.pop("MESSAGE").startswith("tenant ") and
                      fields == {"PRIORITY": "6", "SYSLOG_IDENTIFIER": "vmsupd", "VMSUP_EVENT": "start"}, "%r" % fields)
            got = {}
            for _ in range(2):
                line = sock.accept()[0]
                line.settimeout(30)
                text = b""
                while b"I am" not in text:
                    text += line.recv(4096)
                got[text.split(b"\n")[0].decode()] = text.decode()
                line.close()
            t.require(sorted(got) == ["vmsup-one", "vmsup-two"] and "I am one" in got["vmsup-one"] and "I am two" in got["vmsup-two"], "%r" % got)
            inode = lambda pid: os.stat("/proc/%d/fd/2" % pid).st_ino
            t.require(len({inode(p) for p in (d.proc.pid, d.of("one")["pid"], d.of("two")["pid"])}) == 3, "they share one")
            # A journal that does not read: not even one event more may keep vmsupd waiting.
            for _ in range(40):
                d.ok("restart", "one")
                d.wait_state("one", "running")
                sock.accept()[0].close()
            # What it had no room for is on stderr, as is everything where stderr is something else.
            d.until(lambda: "tenant one: start" in d.text(), "what the journal had no room for")
            d.stop()
            os.truncate(d.log, 0)
            d.start(env={"JOURNAL_STREAM": "1:2"})
            d.until(lambda: d.text().count("I am") == 2 and d.text().count(": start") == 2, "all on stderr")
    finally:
        sock.close()
        entries.close()
        os.unlink(JOURNAL)
        os.unlink(ENTRIES)


@s.case
def silent_with_store():
    """a supervisor that does not answer is waited for, too, where the service manager has kept its descriptors"""
    with Daemon("", one=SLEEPER) as d:
        d.stop()
        manager = Notify(d.top)
        d.start(env={"NOTIFY_SOCKET": manager.path})
        was = d.wait_state("one", "running")
        d.until(lambda: manager.listen() or len(manager.kept) == 3, "the descriptors are kept")
        os.kill(was["supervisor"], signal.SIGSTOP)
        d.kill()
        names, fds = list(manager.kept), list(manager.kept.values())
        null = os.open("/dev/null", os.O_RDONLY)
        code = ("import os, sys\nfds = [int(x) for x in sys.argv[2].split(',')]\n"
                "high = [os.dup2(f, 200 + i) for i, f in enumerate(fds)]\n"
                "[os.dup2(f, 3 + i, inheritable=True) for i, f in enumerate(high)]\n"
                "os.closerange(3 + len(fds), 300)\n"
                "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=sys.argv[1])\n"
                "os.execv(sys.argv[3], sys.argv[3:])\n")
        # One that is no socket is none to be asked on.
        plain = d.argv()
        d.argv = lambda: [PYTHON, "-c", code, ":".join(names + ["odd"]), ",".join(map(str, fds + [null]))] + plain
        d.start(env={"NOTIFY_SOCKET": manager.path}, pass_fds=fds + [null])
        t.require(d.of("one")["state"] == "waiting" and is_there(was["pid"]), "%r" % d.of("one"))
        os.kill(was["supervisor"], signal.SIGCONT)
        now = d.wait_state("one", "running")
        t.require((now["pid"], now["supervisor"]) == (was["pid"], was["supervisor"]), "%r\n%r" % (was, now))
        os.close(null)
        manager.close()


@s.case
def many_groups():
    """a program has all groups of its user, however many"""
    with Daemon("", one=SLEEPER + "user: games\n") as d:
        d.stop()
        with open(d.top + "/group", "w") as f:
            f.write(t.read_text("/etc/group") + "".join("many%d:x:%d:games\n" % (i, 61000 + i) for i in range(150)))
        argv = ["unshare", "-m", "--propagation", "private", "sh", "-c", "mount --bind %s/group /etc/group && exec \"$@\"" % d.top, "sh"]
        plain = d.argv()
        d.argv = lambda: argv + plain
        d.start()
        now = d.wait_state("one", "running")
        groups = next(x for x in t.read_text("/proc/%d/status" % now["pid"]).splitlines() if x.startswith("Groups:")).split()[1:]
        t.require(len([g for g in groups if 61000 <= int(g) < 61150]) == 150, "%r" % groups)


s.main()
