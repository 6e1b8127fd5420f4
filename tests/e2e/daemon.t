#!/usr/bin/python3
"""vmsupd: tenants, their lives and their supervisors' deaths, its own death, its verbs, its service manager."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import vmsuptest as t
from vmsupdtest import Daemon, Line, Notify

s = t.Suite()
SOAK = bool(os.environ.get("VMSUP_SOAK"))
KILLS = 100 if SOAK else 5
SLEEPER = "command: [sleep, '1000']\n"
CGROUPS = os.path.exists("/sys/fs/cgroup/unified/cgroup.procs") or os.path.exists("/sys/fs/cgroup/cgroup.controllers")


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def inside(pid, span):
    lo, hi = int(span["start"], 16), int(span["end"], 16)
    for line in t.read_text("/proc/%d/maps" % pid).splitlines():
        span, prot = line.split()[:2]
        start, end = (int(x, 16) for x in span.split("-"))
        t.require(lo <= start and end <= hi or prot == "---p" or "[vsyscall]" in line, line)


@s.case
def three_tenants():
    """redis, a python service and a crasher run side by side, each in a slice of its own, and every verb shows them"""
    port = free_port()
    service = "import time, mmap\\nwhile True:\\n    x = bytearray(1 << 20); time.sleep(0.02)\\n"
    with Daemon(
        "pool: 16G-64G\nslice: 4G\n",
        redis="command: [redis-server, --port, '%d', --save, '', --daemonize, 'no']\nrange: auto\ntree-max-commit: 1G\nuser: nobody\n" % port,
        service='command: [python3, -c, "%s"]\ntree-max-commit: 256M\nrestart: on-failure\n' % service,
        crasher="command: [sh, -c, 'exit 3']\nrange: auto\nrestart: always\nrestart-delay: 50ms\nrestart-delay-max: 400ms\n",
    ) as d:
        for name in "redis", "service":
            d.wait_state(name, "running")
        redis = d.of("redis")
        inside(redis["pid"], redis["range"])
        d.until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, "redis listens")
        bench = ["redis-benchmark", "-p", str(port), "-n", "4000", "-c", "8", "-q", "-t", "set,get"]
        got = subprocess.run(bench, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=90, check=False)
        t.require(got.returncode == 0 and "GET" in got.stdout, got.stdout)
        uid = [x.split()[1] for x in t.read_text("/proc/%d/status" % redis["pid"]).splitlines() if x.startswith("Uid:")]
        t.require(uid == [str(t.NOBODY)], "redis runs as %r" % uid)
        d.until(lambda: d.of("crasher")["restarts"] >= 3, "the crasher is started again")
        seen = d.tenants()
        t.require(seen["crasher"]["status"] in ("exit 3", None), "%r" % seen["crasher"])
        d.until(lambda: d.of("service")["commit"] > 1 << 20, "memory is counted")
        t.require(seen["service"]["restarts"] == 0, "%r" % seen["service"])
        table = d.ok("status")
        t.require(all(re.search(r"^%s +\w+" % n, table, re.M) for n in ("redis", "service", "crasher")), table)
        d.until(lambda: json.loads(d.ok("stats", "--json", "service"))["by_call"].get("mmap", 0) > 3, "calls are counted")
        t.require("notifications: " in d.ok("stats", "redis"), "stats for people")
        maps = json.loads(d.ok("maps", "--json", "redis"))
        t.require(maps["pid"] == redis["pid"] and len(maps["maps"]) > 10, "%r" % maps)
        events = [json.loads(x) for x in d.ok("events", "--json").splitlines()]
        t.require({"start", "exit", "restart"} <= {e["event"] for e in events if e["tenant"] == "crasher"}, "%r" % events)
        t.require(all(e["tenant"] == "redis" for e in (json.loads(x) for x in d.ok("events", "--json", "redis").splitlines())), "filter")
        d.ok("stop", "crasher")
        t.require(d.of("crasher")["state"] == "stopped", "%r" % d.of("crasher"))
        d.ok("restart", "redis", "service")
        t.require(d.of("redis")["pid"] != redis["pid"] and d.of("redis")["range"] == redis["range"], "a restart keeps the slice")


def survive(how, options="", calls=20000, kills=KILLS):
    guest = "command: [%s, '2', '%d'%s]\n" % (t.place.guest("survive"), calls * (20 if SOAK else 1), how and ", " + how)
    with Daemon("", guest=guest + options + "start: manual\n") as d:
        d.ok("start", "guest")
        for _ in range(kills):
            time.sleep(0.1)
            if d.of("guest")["state"] != "running":
                break
            d.kill_supervisor("guest")
        losses = d.of("guest")["losses"]
        t.require(losses >= min(kills, 3), "only %d supervisors were killed before it ended" % losses)
        d.until(lambda: d.of("guest")["state"] != "running", "the guest ends", 600)
        end = d.of("guest")
        t.require(end["state"] == "stopped" and end["status"] == "exit 0", "%r\n%s" % (end, d.text()))
        t.require(re.search(r"^right$", d.text(), re.M), d.text())
        t.require("wrong" not in d.text(), d.text())


@s.case
def supervisor_dies():
    """a supervisor that is killed is replaced, and the program notices nothing: every result and content is right"""
    survive("", "range: 64K-0x7fff0000\n")


@s.case
def supervisor_dies_of_remote_calls():
    """the same where every placement is a remote call: what is under way when the supervisor dies goes on"""
    survive("", "range: 64K-0x7fff0000\nplace: remote\n", calls=12000, kills=4 * KILLS)
    survive("fork", "layout: random\nuser: nobody\n", calls=4000)


@s.case
def supervisor_dies_of_forks():
    """the same of one that forks, with limits of the tree"""
    survive("fork", "range: 64K-0x7fff0000\nuser: nobody\n", calls=8000)


@s.case
def counts_go_on():
    """what was counted and what was set stays over a supervisor's death"""
    with Daemon("", one=SLEEPER.replace("sleep", "sh, -c, 'while :; do /bin/true; sleep 0.05; done', sleep") + "tree-max-commit: 300M\n") as d:
        d.wait_state("one", "running")
        d.ok("limit", "one", "--max-commit", "200M")
        d.until(lambda: json.loads(d.ok("stats", "--json", "one"))["execs"] > 3, "it is counted")
        before = json.loads(d.ok("stats", "--json", "one"))
        d.kill_supervisor("one")
        d.until(lambda: json.loads(d.ok("stats", "--json", "one"))["notifications"] >= before["notifications"] > 0, "it goes on")
        t.require(json.loads(d.ok("limit", "--json", "one"))["tree_limits"] == {"commit": 200 << 20}, d.ok("limit", "--json", "one"))


@s.case
def vmsupd_dies():
    """vmsupd is killed: tenants run on, the next one finds them and starts nothing again"""
    with Daemon("pool: 16G-64G\n", one=SLEEPER + "range: auto\n", two=SLEEPER) as d:
        before = {n: d.wait_state(n, "running") for n in ("one", "two")}
        d.kill()
        d.write("vmsup.conf", "pool: 32G-64G\n")
        d.start()
        for name, was in before.items():
            now = d.of(name)
            t.require((now["pid"], now["supervisor"], now["range"]) == (was["pid"], was["supervisor"], was["range"]), "%r\n%r" % (was, now))
        d.kill_supervisor("two")
        t.require(d.of("two")["pid"] == before["two"]["pid"], "it was started again")
        d.ok("stop", "one", "two")
        t.require({x["state"] for x in d.tenants().values()} == {"stopped"}, "%r" % d.tenants())


@s.case
def silent_supervisor():
    """a supervisor that does not answer is not doubled: its tenant is taken over when it does"""
    with Daemon("", one=SLEEPER) as d:
        was = d.wait_state("one", "running")
        d.kill()
        os.kill(was["supervisor"], signal.SIGSTOP)
        d.start()
        t.require(d.of("one")["state"] == "waiting" and d.of("one")["pid"] is None, "%r" % d.of("one"))
        os.kill(was["supervisor"], signal.SIGCONT)
        now = d.wait_state("one", "running")
        t.require((now["pid"], now["supervisor"]) == (was["pid"], was["supervisor"]), "%r\n%r" % (was, now))


@s.case
def ended_alone():
    """what ends while there is no vmsupd is told to the next, and what is restarted is restarted"""
    with Daemon("", one="command: [sleep, '1']\nrestart: always\nrestart-delay: 10ms\n") as d:
        was = d.wait_state("one", "running")
        d.kill()
        time.sleep(1.5)
        d.start()
        d.until(lambda: d.of("one")["pid"] not in (None, was["pid"]), "it runs again")


@s.case
def at_rest():
    """what was stopped by hand or has ended is left so by the next vmsupd, until it is started; what is new to it starts"""
    with Daemon("", one=SLEEPER, two=SLEEPER, done="command: [sh, -c, 'exit 3']\n", fine="command: ['true']\n", gone=SLEEPER) as d:
        d.wait_state("one", "running")
        d.ok("stop", "one", "gone")
        failed = d.wait_state("done", "failed")
        d.wait_state("fine", "stopped")
        d.kill()
        os.unlink(d.etc + "/tenants.d/gone.conf")
        d.tenant("three", SLEEPER)
        d.start()
        now = {n: x["state"] for n, x in d.tenants().items()}
        d.wait_state("three", "running")
        t.require(now["one"] == "stopped" and now["two"] == "running" and now["done"] == "failed" and now["fine"] == "stopped", "%r" % now)
        t.require(d.of("done")["status"] == failed["status"] == "exit 3", "%r" % d.of("done"))
        t.require(sorted(os.listdir(d.top + "/run/rest")) == ["done", "fine", "one", "three", "two"], "%r" % os.listdir(d.top + "/run/rest"))
        d.ok("start", "one")
        d.wait_state("one", "running")
        # What is there but cannot be read is nothing to keep to.
        d.ok("stop", "two")
        d.kill()
        with open(d.top + "/run/rest/two", "w") as f:
            f.write("{")
        os.mkdir(d.top + "/run/rest/fine.d")
        d.start()
        d.wait_state("two", "running")
        t.require(d.of("one")["state"] == "running", "%r" % d.of("one"))


@s.case
def service_manager():
    """the service manager is told, keeps the descriptors, and gives them to a vmsupd that has lost supervisors, too"""
    with Daemon("", one="command: [%s, '2', '40000']\n" % t.place.guest("survive")) as d:
        d.stop()
        notify = Notify(d.top)
        d.start(env={"NOTIFY_SOCKET": notify.path, "WATCHDOG_USEC": "400000"})
        was = d.wait_state("one", "running")
        time.sleep(0.7)
        notify.listen()
        t.require("READY=1" in notify.said and any(x.startswith("STATUS=1 of 1 ") for x in notify.said), "%r" % notify.said)
        t.require(notify.said.count("WATCHDOG=1") >= 2, "%r" % notify.said)
        t.require(sorted(notify.kept) == ["tenant.one." + x for x in ("board", "listener", "start")], "%r" % notify.kept)
        d.kill()
        os.kill(was["supervisor"], signal.SIGKILL)
        names = sorted(notify.kept)
        fds = [notify.kept[n] for n in names]
        argv = ["bash", "-c", "", "bash"] + d.argv()
        # From 3 on, in order.
        high = [os.dup2(fd, 200 + i) for i, fd in enumerate(fds)]
        redirections = " ".join("%d<&%d" % (3 + i, fd) for i, fd in enumerate(high))
        argv[2] = "export LISTEN_PID=$$; exec \"$@\" " + redirections
        with open(d.log, "ab") as log:
            d.proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=high,
                                      env=dict(d.env, NOTIFY_SOCKET=notify.path, LISTEN_FDS="3", LISTEN_FDNAMES=":".join(names)))
        for fd in high:
            os.close(fd)
        d.until(lambda: d.vmsup("status").returncode == 0, "it answers")
        d.until(lambda: d.of("one")["supervisor"], "a new supervisor")
        t.require(d.of("one")["pid"] == was["pid"], "%r\n%r" % (was, d.of("one")))
        d.until(lambda: re.search(r"^right$", d.text(), re.M), "the guest ends well", 120)
        t.require("wrong" not in d.text(), d.text())
        d.until(lambda: d.of("one")["state"] != "running", "its end is known")
        d.until(lambda: (notify.listen(), not notify.kept)[1], "the store is emptied")
        d.vmsup("reload")
        notify.listen()
        t.require("RELOADING=1" in notify.said, "%r" % notify.said)
        notify.close()


@s.case
def reloads():
    """reload starts what is new, stops what is gone, and keeps the old configuration when a file is wrong"""
    with Daemon("", one=SLEEPER) as d:
        was = d.wait_state("one", "running")
        d.tenant("two", "command: [sleep, '1000']\nrestrat: always\n")
        d.refused("reload", says="two.conf:2: unknown key 'restrat'; did you mean restart?")
        d.refused("reload", "two", says="two.conf:2: unknown key")
        t.require(d.of("one")["pid"] == was["pid"] and "two" not in d.tenants(), "%r" % d.tenants())
        d.tenant("two", SLEEPER)
        t.require("2 tenants" in d.ok("reload"), "reload")
        t.require([x["name"] for x in json.loads(d.ok("reload", "--json", "two"))["tenants"]] == ["two"], "reload of one")
        d.wait_state("two", "running")
        os.unlink(d.etc + "/tenants.d/one.conf")
        d.proc.send_signal(signal.SIGHUP)
        d.until(lambda: d.tenants().get("one", {"state": "stopped"})["state"] == "stopped", "one is stopped")
        t.require(not os.path.exists("/proc/%d" % was["pid"]), "one runs on")
        d.ok("reload")
        d.tenant("one", SLEEPER)
        d.ok("reload")
        d.wait_state("one", "running")


@s.case
def stubborn():
    """who ignores the stop signal is killed after the stop time, with all that it has started"""
    script = "trap '' TERM; setsid sleep 1234.5 & while :; do sleep 1; done"
    with Daemon("", one='command: [sh, -c, "%s"]\nstop-time: 300ms\n' % script, two=SLEEPER + "stop-signal: USR1\n") as d:
        d.wait_state("one", "running")
        d.wait_state("two", "running")
        d.until(lambda: d.of("one")["processes"] >= 1, "its processes are there")
        d.ok("stop", "one", "two")
        t.require(d.of("one")["status"] == "signal KILL", "%r" % d.of("one"))
        t.require(d.of("two")["status"] == "signal USR1", "%r" % d.of("two"))
        t.require("1234.5" not in subprocess.run(["ps", "-eo", "comm,args"], stdout=subprocess.PIPE, text=True, check=True).stdout, "a sleeper is left")


@s.case
def places():
    """a tenant runs as its user, in its directory, with its environment and no other, in a cgroup where there are any"""
    show = "id -u; id -g; pwd; env | sort | cut -d= -f1 | tr '\\\\n' ' '; echo; echo $WHO; grep ^0:: /proc/self/cgroup; exec sleep 1000"
    conf = 'command: [sh, -c, "%s"]\nuser: nobody\ndirectory: /usr\nenvironment: {WHO: it is me}\n' % show
    with Daemon("", env={"SECRET": "1"}, one=conf) as d:
        d.wait_state("one", "running")
        d.until(lambda: re.search(r"^0::", d.text(), re.M), "it has spoken")
        text = d.text()
        t.require(re.search(r"^%d\n\d+\n/usr\n" % t.NOBODY, text, re.M) and "SECRET" not in text and " WHO " in text, text)
        if CGROUPS:
            t.require("/vmsup-one" in text and "/vmsup-one" in d.of("one")["cgroup"], text)
            folder = d.of("one")["cgroup"]
            d.ok("stop", "one")
            d.until(lambda: not os.path.exists(folder), "its cgroup is removed")


@s.case
def failures():
    """what cannot be started says why in one sentence, and is shown as failed"""
    with Daemon("", gone="command: [/no/such/program]\nstart: manual\n", dir=SLEEPER + "directory: /no/such\nstart: manual\n",
                range=SLEEPER + "range: 4K-64K\nstart: manual\n") as d:
        d.refused("start", "gone", says="no such program")
        d.refused("start", "dir", says="/no/such cannot be entered")
        d.refused("start", "range", says="range")
        t.require(d.of("gone")["state"] == "failed", "%r" % d.tenants())
        d.refused("start", "nobody", says="there is no tenant 'nobody'")
        d.tenant("gone", SLEEPER)
        d.ok("reload")
        d.ok("start", "gone")
        d.refused("start", "gone", says="running already")


@s.case
def limits_of_a_tenant():
    """limit NAME changes the limits of a tenant as it runs, and for its next start with --save"""
    script = "import sys, time\\nfor i in range(100000):\\n    try: x = bytearray(64 << 20); print('yes')\\n    except MemoryError: print('no')\\n    sys.stdout.flush(); time.sleep(0.05)"
    with Daemon("", one='command: [python3, -c, "%s"]\ntree-max-commit: 40M\n' % script) as d:
        d.until(lambda: d.text().endswith("no\n"), "it is refused")
        d.until(lambda: "tree-max-commit" in json.loads(d.ok("stats", "--json", "one"))["limited"], "it is counted")
        t.require("--tree-max-commit" in d.ok("explain", "one"), d.ok("explain", "one"))
        t.require(any('"limit"' in x for x in d.ok("events", "--json", "one").splitlines()), "no event tells of it")
        d.ok("limit", "one", "--max-commit", "400M", "--save")
        d.until(lambda: d.text().endswith("yes\n"), "it is allowed")
        d.ok("restart", "one")
        t.require(d.of("one")["tree_limits"] == {"commit": 400 << 20}, "%r" % d.of("one"))
        d.ok("limit", "one", "--max-commit", "30M")
        d.ok("restart", "one")
        t.require(d.of("one")["tree_limits"] == {"commit": 400 << 20}, "what was not saved is gone")
        d.refused("limit", "one", "--max-stack", "1M", says="a tree has no limit of heap or stack")


@s.case
def enabled():
    """enable and disable say what vmsupd starts by itself, and stay"""
    with Daemon("", one=SLEEPER + "start: manual\n", two=SLEEPER) as d:
        t.require(d.of("one")["state"] == "stopped", "%r" % d.tenants())
        d.wait_state("two", "running")
        d.ok("enable", "one")
        d.ok("disable", "two")
        d.stop()
        d.start()
        d.wait_state("one", "running")
        t.require(d.of("two")["state"] == "stopped", "%r" % d.tenants())


@s.case
def traced():
    """trace NAME shows calls as they are decided, until the reader goes"""
    # The one that is traced by its number has to make calls itself.
    loop = "import mmap, subprocess\nwhile True:\n    mmap.mmap(-1, 1 << 20).close()\n    subprocess.run(['/bin/true'])\n"
    with Daemon("", one="command: [python3, -c, \"%s\"]\n" % loop.replace("\n", "\\n")) as d:
        d.wait_state("one", "running")
        proc = subprocess.Popen([t.place.vmsup(), "trace", "one"], env=d.env, stdout=subprocess.PIPE)
        lines = [json.loads(proc.stdout.readline()) for _ in range(60)]
        proc.kill()
        proc.stdout.close()
        proc.wait()
        t.require(lines[0]["event"] == "start" and any(x.get("call") == "mmap" for x in lines), "%r" % lines[:5])
        pid = d.of("one")["pid"]
        proc = subprocess.Popen([t.place.vmsup(), "trace", str(pid)], env=d.env, stdout=subprocess.PIPE)
        lines = [json.loads(proc.stdout.readline()) for _ in range(8)]
        proc.kill()
        proc.stdout.close()
        proc.wait()
        t.require({x.get("pid", pid) for x in lines} == {pid} and lines[0]["event"] == "start", "%r" % lines)
        d.refused("trace", "1", says="process 1 is no tenant's")
        count = d.of("one")["seconds"]
        time.sleep(1)
        t.require(d.of("one")["state"] == "running" and d.of("one")["losses"] == 0, "%r %r" % (count, d.of("one")))


@s.case
def followed():
    """events -f tells what happens when it happens"""
    with Daemon("", one=SLEEPER) as d:
        d.wait_state("one", "running")
        proc = subprocess.Popen([t.place.vmsup(), "events", "--json", "-f", "one"], env=d.env, stdout=subprocess.PIPE, text=True)
        t.require(json.loads(proc.stdout.readline())["event"] == "start", "the past")
        d.kill_supervisor("one")
        seen = [json.loads(proc.stdout.readline())["event"] for _ in range(2)]
        proc.kill()
        proc.stdout.close()
        proc.wait()
        t.require(seen == ["lost", "adopted"], "%r" % seen)


@s.case
def watched():
    """top shows tenants by commit and what they do in a second: on a terminal until q, elsewhere once"""
    with Daemon("", busy="command: [sh, -c, 'while :; do /bin/true; done']\ntree-max-commit: 1G\n",
                big="command: [python3, -c, 'import time; x = bytearray(50 << 20); time.sleep(1000)']\n") as d:
        d.until(lambda: d.of("big")["commit"] > 50 << 20 and d.of("busy")["calls"] > 0, "memory is counted")
        lines = [x.split() for x in d.ok("top").splitlines()]
        t.require([x[0] for x in lines] == ["TENANT", "big", "busy"], "%r" % lines)
        t.require(float(lines[2][5]) > 10 and lines[2][3] == "1024M" and lines[1][3] == "-", "%r" % lines)
        master, slave = os.openpty()
        proc = subprocess.Popen([t.place.vmsup(), "top"], env=d.env, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        seen = b""
        while seen.count(b"TENANT") < 2:
            seen += os.read(master, 65536)
        os.write(master, b"q")
        proc.wait(20)
        os.close(master)
        t.require(proc.returncode == 0 and b"\x1b[H" in seen, "%r" % seen[-300:])


@s.case
def rights():
    """root may do all, operators all but policy, a tenant's user may look at its own, others nothing"""
    with Daemon("socket-group: daemon\n", mine=SLEEPER + "user: nobody\n", other=SLEEPER) as d:
        d.wait_state("mine", "running")
        d.wait_state("other", "running")
        nobody, daemon, stranger = {"user": t.NOBODY}, {"user": 4242, "groups": "1"}, {"user": 4243}
        t.require(set(d.tenants(**nobody)) == {"mine"} and set(d.tenants(**daemon)) == {"mine", "other"}, "who sees whom")
        d.ok("stats", "mine", **nobody)
        d.ok("maps", "mine", **nobody)
        d.refused("stats", "other", says="there is no tenant 'other' that you may ask for", **nobody)
        d.refused("stop", "mine", says="only root and members", **nobody)
        d.refused("trace", "mine", says="only root and members", **nobody)
        d.refused("limit", "mine", "--max-commit", "1G", says="only root", **nobody)
        d.refused("limit", "mine", "--max-commit", "1G", says="only root", **daemon)
        d.refused("reload", says="only root", **daemon)
        d.refused("disable", "mine", says="only root", **daemon)
        d.ok("restart", "other", **daemon)
        d.refused("status", says="only root, members of the group", **stranger)


@s.case
def hostile_clients():
    """slow, broken and hostile clients neither stop vmsupd nor grow it"""
    with Daemon("", one=SLEEPER) as d:
        d.wait_state("one", "running")
        size = lambda: int(t.read_text("/proc/%d/statm" % d.proc.pid).split()[1])
        before = size()
        first = Line(d.socket, hello=False)
        t.require("must be hello" in first.ask({"verb": "status"})["error"], "without a hello")
        other = Line(d.socket, hello=False)
        t.require("version" in other.ask({"verb": "hello", "version": 99})["error"], "another version")
        huge = Line(d.socket)
        huge.sock.sendall(struct_pack(1 << 30) + b"x" * 1000)
        t.require(huge.receive() is None, "a huge request is hung up on")
        broken = Line(d.socket)
        broken.send(b"\xff{]")
        t.require("JSON" in broken.receive()["error"], "what is no JSON is told")
        broken.send(b"[1]")
        t.require("JSON object" in broken.receive()["error"], "what is no object is told")
        half = Line(d.socket)
        half.sock.sendall(struct_pack(500) + b"{")
        # Many that only sit there.
        many = []
        for _ in range(200):
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(5)
            try:
                sock.connect(d.socket)
            except OSError:
                pass
            many.append(sock)
        time.sleep(0.3)
        for sock in many:
            sock.close()
        d.until(lambda: d.vmsup("status").returncode == 0, "it answers again")
        # Who follows and never reads.
        deaf = Line(d.socket)
        deaf.ask({"verb": "events", "follow": True})
        talker = Line(d.socket)
        for _ in range(300):
            for verb in "stop", "start":
                talker.ask({"verb": verb, "tenant": "one"})
        # Who asks and asks, and does not read.
        greedy = Line(d.socket)
        greedy.sock.settimeout(2)
        try:
            for _ in range(20000):
                greedy.send(b'{"verb": "status", "id": 1}')
        except (TimeoutError, socket.timeout):
            pass
        d.ok("status")
        t.require(size() - before < 12000, "it has grown from %d to %d pages" % (before, size()))
        for line in first, other, huge, broken, half, deaf, talker, greedy:
            line.close()


@s.case
def beside():
    """run --tenant NAME runs a program as the tenant would be, beside it, and the command line is stronger"""
    with Daemon("pool: 16G-64G\n", one=SLEEPER + "user: nobody\ndirectory: /usr\nrange: auto\ntree-max-commit: 64M\nenvironment: {WHO: me}\n",
                two=SLEEPER) as d:
        d.wait_state("one", "running")
        out = d.ok("run", "--tenant", "one", "--", "sh", "-c", "id -u; pwd; echo $WHO; vmsup=1; grep -c . /proc/self/maps").splitlines()
        t.require(out[:3] == [str(t.NOBODY), "/usr", "me"], "%r" % out)
        hog = ["python3", "-c", "x = bytearray(100 << 20); print('had')"]
        t.require(d.vmsup("run", "--tenant", "one", "--range", "64K-0x7fff0000", "--", *hog).returncode == 1, "the limit does not hold")
        t.require("had" in d.ok("run", "--tenant=one", "--range", "64K-0x7fff0000", "--tree-max-commit", "1G", "--", *hog), "no override")
        got = d.vmsup("run", "--tenant", "one", "--", "sh", "-c", "kill -9 $$")
        t.require(got.returncode == -9, "%r" % got)
        d.refused("run", "--tenant", "none", "--", "true", says="there is no tenant 'none'", status=125)
        d.refused("run", "--tenant", "two", "--", "true", says="there is no tenant 'two' that you may ask for", status=125, user=t.NOBODY)
        t.require(d.ok("run", "--tenant", "one", "--", "id", "-u", user=t.NOBODY).strip() == str(t.NOBODY), "as its user")


def struct_pack(n):
    return n.to_bytes(4, "big")


def fetch(port, path="/metrics", headers=None, method="GET"):
    request = urllib.request.Request("http://127.0.0.1:%d%s" % (port, path), headers=headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as got:
            return got.status, got.headers["Content-Type"], got.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, "", ""


@s.case
def metrics():
    """metrics are served over HTTP and written to a file, in forms that Prometheus' own tool finds right"""
    port = free_port()
    with Daemon("") as d:
        d.stop()
        d.write("vmsup.conf", "metrics-address: 127.0.0.1:%d\nmetrics-file: %s/vmsup.prom\n" % (port, d.top))
        d.tenant("one", "command: [sh, -c, 'while :; do /bin/true; sleep 0.02; done']\ntree-max-commit: 1G\n")
        d.start()
        d.wait_state("one", "running")
        calls = lambda text: float(re.search(r'^vmsup_calls_total\{tenant="one",call="execve"\} (\S+)$', text, re.M).group(1))
        d.until(lambda: calls(fetch(port)[2]) > 3, "calls are counted")
        before = calls(fetch(port)[2])
        d.kill_supervisor("one")
        d.until(lambda: calls(fetch(port)[2]) >= before, "counters go on")
        status, kind, text = fetch(port)
        t.require(status == 200 and kind.startswith("text/plain") and "# EOF" not in text, kind)
        t.require(re.search(r'^vmsup_supervisor_losses_total\{tenant="one"\} 1$', text, re.M), text)
        t.require('vmsup_call_duration_seconds_bucket{tenant="one",le="+Inf"}' in text, text)
        t.require(re.search(r'^vmsup_commit_limit_bytes\{tenant="one"\} 1073741824$', text, re.M), text)
        status, kind, other = fetch(port, headers={"Accept": "application/openmetrics-text"})
        t.require(status == 200 and kind.startswith("application/openmetrics-text") and other.endswith("# EOF\n"), kind)
        t.require(fetch(port, "/")[0] == 404 and fetch(port, method="POST")[0] == 405, "other requests")
        t.require(re.search(r'^vmsup_refusals_total\{tenant="one",reason="limit"\} 0$', text, re.M), text)
        t.require(re.search(r'^vmsup_reserved_bytes\{tenant="one"\} [1-9]', text, re.M), text)
        # All connections that one address may have, and each says a little now and then: they end all the same.
        slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(16)]
        end = time.monotonic() + 60
        while slow:
            t.require(time.monotonic() < end, "slow connections are never ended")
            for sock in list(slow):
                try:
                    sock.sendall(b"G")
                except OSError:
                    sock.close()
                    slow.remove(sock)
            time.sleep(0.3)
        t.require(fetch(port)[0] == 200, "after slow connections")
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(10)]
        idle[0].sendall(b"GET /metrics")
        t.require(fetch(port)[0] == 200, "idle connections")
        for sock in idle:
            sock.close()
        d.until(lambda: "vmsup_tenant_up" in t.read_text(d.top + "/vmsup.prom"), "the file is written")
        again = subprocess.run(d.argv(), env=d.env, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        t.require(again.returncode == 2 and "a vmsupd runs already" in again.stderr, again.stderr)
        t.require(os.path.exists(d.top + "/vmsup.prom"), "a second vmsupd has removed the file of the first")
        d.stop()
        t.require(not os.path.exists(d.top + "/vmsup.prom"), "the file is left")
        d.write("vmsup.conf", "metrics-address: here\n")
        got = subprocess.run(d.argv(), env=d.env, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        t.require(got.returncode == 2 and "metrics-address: 'here'" in got.stderr, got.stderr)
        if not shutil.which("promtool"):
            raise t.Skip("promtool is not installed (package prometheus): the forms were not checked by it")
        got = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             check=False)
        t.require(got.returncode == 0 and not got.stdout, got.stdout)


@s.case
def wrong_configurations():
    """a wrong configuration is told with file and line, and vmsupd does not start"""
    with Daemon("") as d:
        d.stop()
        for conf, name, text, says in (
            ("", "one", "command: [true]\nrange: auto\n", "there is no pool"),
            ("pool: 1G-2G\nslice: 1G\n", "one", None, None),
            ("pool: 1G-4G\nslice: 4G\n", "one", "command: [true]\nrange: auto\n", "no room for tenant one"),
            ("pol: 1G-4G\n", "one", "command: [true]\n", r"vmsup.conf:1: unknown key 'pol'; did you mean pool\?"),
            ("", "one", "range: 64K-1G\n", "command is missing"),
            ("", "one", "command: [true]\nuser: nosuchuser\n", "one.conf:2: user: there is no user 'nosuchuser'"),
            ("", "one", "command: [true]\nstop-time: soon\n", "one.conf:2: stop-time: 'soon'"),
            ("", "one", "command: [true]\nmax-commit: 1X\n", "one.conf:2: "),
            ("", "one", "command: [true]\ncpu-max: rubbish\n", "one.conf:2: cpu-max: 'rubbish'"),
            ("pool: 1G-4G\n", "one", "command: [true]\nrange: auto\nva-bits: 39\n", "range: auto and va-bits"),
            ("", "one", "command: \"sh -c 'exit 1\"\n", "a quote is not closed"),
            ("", "one", "command: [true]\nrestart: no\nrestart: always\n", "second time, after line 2"),
            ("", "o ne", "command: [true]\n", "a tenant's name"),
        ):
            if text is None:
                continue
            for old in os.listdir(d.etc + "/tenants.d"):
                os.unlink(d.etc + "/tenants.d/" + old)
            d.write("vmsup.conf", conf)
            d.tenant(name, text)
            got = subprocess.run(d.argv(), env=d.env, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
            t.require(got.returncode == 2 and len(got.stderr.splitlines()) == 1 and re.search(says, got.stderr), "%r: %r" % (text, got))


@s.case
def two_of_a_pool():
    """slices of a pool are disjoint, also from ranges that tenants name, and two tenants that collide are both named"""
    with Daemon("pool: 16G-48G\nslice: 8G\n", a=SLEEPER + "range: auto\n", b=SLEEPER + "range: 20G-26G\n", c=SLEEPER + "range: auto\n") as d:
        seen = sorted((int(d.wait_state(n, "running")["range"]["start"], 16) >> 30, n) for n in "abc")
        t.require(seen == [(20, "b"), (26, "a"), (34, "c")], "%r" % seen)
        d.tenant("e", SLEEPER + "range: 24G-28G\n")
        d.refused("reload", says="tenants b and e both have addresses from")


s.main()
