#!/usr/bin/python3
"""vmsupd as a unit of a real systemd: readiness, reload, store, watchdog, socket, journal, cgroups; vmsup@.service.

It installs and starts units, so it runs only in a machine of its own: make check-systemd KERNELS='FOLDER...'.
"""

import contextlib
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import vmsuptest as t

s = t.Suite()
GROUPS = "/sys/fs/cgroup/vmsup"
SLEEPER = "command: [sleep, '10000']\n"


def run(*argv, **kw):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                          timeout=t.TIME_LIMIT, **kw)


def ok(*argv, **kw):
    got = run(*argv, **kw)
    t.require(got.returncode == 0, "%s: %d\n%s%s\n%s" % (" ".join(argv), got.returncode, got.stdout, got.stderr, journal("vmsup*")))
    return got.stdout


def journal(unit, *words):
    return run("journalctl", "-b", "--no-pager", "-u", unit, *words).stdout


def show(name, unit="vmsupd"):
    return ok("systemctl", "show", "-P", name, unit).strip()


def until(true, what, seconds=t.TIME_LIMIT):
    end = time.monotonic() + seconds
    while not true():
        t.require(time.monotonic() < end, "never: %s\n%s\n%s" % (what, run("systemctl", "status", "vmsup*").stdout, journal("vmsup*")))
        time.sleep(0.1)


def tenants():
    got = run("vmsup", "status", "--json")
    return {x["name"]: x for x in json.loads(got.stdout)["tenants"]} if got.returncode == 0 else {}


def of(name):
    return tenants().get(name, {})


def running(name):
    until(lambda: of(name).get("state") == "running", "%s runs" % name)
    return of(name)


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read().strip()


@contextlib.contextmanager
def host(conf="", dropin="", **files):
    """vmsupd.service with these tenants; nothing is left afterwards."""
    write("/etc/vmsup/vmsup.conf", conf)
    for name, text in files.items():
        write("/etc/vmsup/tenants.d/%s.conf" % name, text)
    if dropin:
        write("/etc/systemd/system/vmsupd.service.d/test.conf", dropin)
    ok("systemctl", "daemon-reload")
    ok("systemctl", "start", "vmsupd")
    try:
        yield
        for name in tenants():
            run("vmsup", "stop", name)
        until(lambda: not any(x["supervisor"] for x in tenants().values()), "all are stopped")
        ok("systemctl", "stop", "vmsupd")
        t.require(not glob.glob(GROUPS + "/vmsup-*"), "cgroups left behind: %s" % glob.glob(GROUPS + "/*"))
        left = run("pgrep", "-a", "vmsup").stdout
        left += run("pgrep", "-a", "vms-").stdout
        t.require(not left and not os.path.exists(GROUPS), "left behind: " + left)
        t.require("left-over" not in journal("vmsupd"), journal("vmsupd"))
    finally:
        run("systemctl", "stop", "vmsupd.socket", "vmsupd.service")
        run("pkill", "-KILL", "vms")
        run("systemctl", "reset-failed")
        for path in ("/etc/vmsup", "/etc/systemd/system/vmsupd.service.d", "/run/vmsup", "/var/lib/vmsup"):
            shutil.rmtree(path, ignore_errors=True)


@s.case
def verified():
    """the units please systemd-analyze; sysusers and tmpfiles make what they name"""
    got = run("systemd-analyze", "--man=no", "verify", *glob.glob("/usr/local/lib/systemd/system/vmsup*"))
    said = [x for x in got.stderr.splitlines() if "vmsup" in x]
    t.require(got.returncode == 0 and not said, "%d\n%s" % (got.returncode, got.stderr))
    ok("systemd-sysusers")
    ok("getent", "group", "vmsup")
    ok("systemd-tmpfiles", "--create")
    t.require(os.stat("/run/vmsup").st_mode & 0o777 == 0o755, "/run/vmsup")


@s.case
def ready():
    """start returns when vmsupd is ready; the status line counts tenants; reload; a broken file changes nothing"""
    with host("socket-group: vmsup", one=SLEEPER, two=SLEEPER + "start: manual\n"):
        t.require(show("ActiveState") == "active" and show("Type") == "notify", "it is not active")
        was = running("one")
        until(lambda: "1" in show("StatusText") and "tenant" in show("StatusText"), "a status: " + show("StatusText"))
        write("/etc/vmsup/tenants.d/three.conf", SLEEPER)
        ok("systemctl", "reload", "vmsupd")
        running("three")
        write("/etc/vmsup/tenants.d/four.conf", "command: [sleep\nuser: 5 5\n")
        t.require(run("systemctl", "reload", "vmsupd").returncode != 0, "a reload of what is wrong succeeds")
        until(lambda: "four.conf:" in journal("vmsupd"), "the file and line in the journal")
        t.require(set(tenants()) == {"one", "two", "three"} and of("one")["pid"] == was["pid"], "%r" % tenants())
        t.require(show("ActiveState") == "active", "it is not active")


@s.case
def survives():
    """what kills vmsupd, or it and a supervisor at once, is not noticed by tenants: systemd starts it again, with its store"""
    with host(one=SLEEPER, two=SLEEPER):
        was = {n: running(n) for n in ("one", "two")}
        until(lambda: int(show("NFileDescriptorStore")) >= 6, "the store: " + show("NFileDescriptorStore"))
        for both in (False, True, True):
            old = show("MainPID")
            victims = [int(old)] + ([of("two")["supervisor"]] if both else [])
            for pid in victims:
                os.kill(pid, signal.SIGKILL)
            until(lambda: show("MainPID") not in ("0", old) and of("two").get("supervisor") not in [None, 0] + victims, "it is back")
            now = {n: running(n) for n in was}
            t.require(all(now[n]["pid"] == was[n]["pid"] and now[n]["restarts"] == 0 for n in was), "%r\n%r" % (was, now))
        ok("systemctl", "restart", "vmsupd")
        t.require({n: running(n)["pid"] for n in was} == {n: was[n]["pid"] for n in was}, "restarted")
        ok("systemctl", "stop", "vmsupd")
        for n in was:
            os.kill(was[n]["pid"], 0)
        ok("systemctl", "start", "vmsupd")
        t.require({n: running(n)["pid"] for n in was} == {n: was[n]["pid"] for n in was}, "stopped and started")


@s.case
def shut_down():
    """what a shutdown stops first stops all tenants, each by its signal; they have the limits of any service, not those of vmsupd"""
    says = "command: [sh, -c, 'trap \"echo asked; exit 0\" USR1; echo ready; while :; do sleep 0.2; done']\nstop-signal: USR1\nuser: daemon\n"
    with host(one=says, two=says):
        lines = lambda: run("journalctl", "-b", "-o", "cat", "-t", "vmsup-one", "-t", "vmsup-two").stdout.split()
        pid = running("one")["pid"]
        running("two")
        until(lambda: lines().count("ready") >= 2, "both are ready")
        limits = read("/proc/%d/limits" % pid)
        t.require("Max open files            1024 " in limits and "Max locked memory         unlimited" not in limits, limits)
        t.require(int([x for x in read("/proc/%s/limits" % show("MainPID")).splitlines() if "open files" in x][0].split()[3]) > 100000, "vmsupd's")
        t.require(show("ActiveState", "vmsup-tenants") == "active", "it waits for no shutdown")
        t.require("vmsup-tenants.service" in ok("systemctl", "show", "-P", "Before", "vmsupd"), "their order")
        t.require("shutdown.target" in show("Conflicts", "vmsup-tenants"), "it is not stopped at a shutdown")
        ok("systemctl", "stop", "vmsup-tenants")
        t.require(all(x["state"] == "stopped" for x in tenants().values()) and lines().count("asked") == 2, "%r %r" % (tenants(), lines()))


@s.case
def watched():
    """a vmsupd that hangs is killed by the watchdog and started again; tenants run on"""
    with host(dropin="[Service]\nWatchdogSec=6s\n", one=SLEEPER):
        was = running("one")
        time.sleep(15)
        old = show("MainPID")
        t.require(show("NRestarts") == "0", "it does not feed the watchdog\n" + journal("vmsupd"))
        os.kill(int(old), signal.SIGSTOP)
        until(lambda: show("MainPID") not in ("0", old), "another", 120)
        t.require(running("one")["pid"] == was["pid"], "it was restarted")


@s.case
def by_socket():
    """the first who asks starts it, by the socket"""
    with host(one=SLEEPER):
        running("one")
        ok("vmsup", "stop", "one")
        ok("systemctl", "stop", "vmsupd")
        ok("systemctl", "start", "vmsupd.socket")
        t.require(show("ActiveState") == "inactive", "it runs already")
        t.require("one" in ok("vmsup", "status") and show("ActiveState") == "active", "it does not run")
        ok("vmsup", "start", "one")
        running("one")


@s.case
def limited():
    """limits of the cgroup hold: processes, memory; the weight and quota of the CPU are the kernel's; also after a restart of the unit"""
    forks = "import os, time\nn = 0\nwhile n < 50:\n    try:\n        if os.fork() == 0: time.sleep(1000)\n    except OSError as e:\n" \
            "        print(e.errno, flush=True); break\n    n += 1\ntime.sleep(1000)"
    eats = "b = bytearray(400 << 20)\nprint(len(b), flush=True)\nimport time\ntime.sleep(1000)"
    with host(forks="command: [%s, -c, %s]\npids-max: 10\ncpu-weight: 50\ncpu-max: 50000 100000\n" % (sys.executable, json.dumps(forks)),
              eats="command: [%s, -c, %s]\nmemory-max: 100M\nrestart: no\n" % (sys.executable, json.dumps(eats)), plain=SLEEPER):
        for again in (False, True):
            if again:
                ok("vmsup", "stop", "forks")
                ok("systemctl", "restart", "vmsupd")
                ok("vmsup", "start", "forks")
                ok("vmsup", "start", "eats")
            running("forks")
            at = GROUPS + "/vmsup-forks/"
            t.require((read(at + "pids.max"), read(at + "cpu.weight"), read(at + "cpu.max")) == ("10", "50", "50000 100000"), "limits")
            until(lambda: journal("vmsupd", "-t", "vmsup-forks").count("\n") and "11" in run(
                "journalctl", "-b", "-o", "cat", "-t", "vmsup-forks").stdout.split(), "EAGAIN")
            t.require(int(read(at + "pids.current")) <= 10, "pids.current")
            until(lambda: of("eats").get("state") == "failed", "it is killed for its memory")
            t.require("419430400" not in run("journalctl", "-b", "-o", "cat", "-t", "vmsup-eats").stdout.split(), "it got 400 MiB")
        pid = running("plain")["pid"]
        t.require(read("/proc/%d/cgroup" % pid) == "0::/vmsup/vmsup-plain", read("/proc/%d/cgroup" % pid))


@s.case
def journaled():
    """what a tenant writes is in the journal under its name; events have fields"""
    with host(talks="command: [sh, -c, 'echo out; echo err >&2; exit 3']\nrestart: no\n"):
        until(lambda: of("talks").get("state") in ("failed", "ended"), "it has ended")

        def lines(*match):
            got = ok("journalctl", "-b", "-o", "json", *match)
            return [json.loads(x) for x in got.splitlines()]
        until(lambda: {x["MESSAGE"] for x in lines("-t", "vmsup-talks")} == {"out", "err"}, "its lines")
        until(lambda: lines("VMSUP_TENANT=talks", "VMSUP_EVENT=exit"), "its end")
        t.require("3" in lines("VMSUP_TENANT=talks", "VMSUP_EVENT=exit")[0]["MESSAGE"], "the status")


@s.case
def single():
    """vmsup@.service runs one program as a user of its own, and root's ps, maps and limit find it"""
    write("/etc/vmsup/one.conf", "range: 0x10000-0x7fff0000\nmax-commit: 64M\n")
    write("/etc/vmsup/one.env", "COMMAND=sleep 10000\n")
    try:
        ok("systemctl", "start", "vmsup@one")
        until(lambda: "max-commit" in run("vmsup", "ps").stdout or "commit=64" in run("vmsup", "ps").stdout, "ps: " + run("vmsup", "ps").stdout)
        pid = run("pgrep", "-x", "sleep").stdout.split()[0]
        t.require(os.stat("/proc/" + pid).st_uid != 0, "it is root")
        # Without the fence.
        top = max(int(x.split("-")[1].split()[0], 16) for x in read("/proc/%s/maps" % pid).splitlines()
                  if "---p" not in x and "vsyscall" not in x)
        t.require(top <= 0x7fff0000, "%x" % top)
        t.require("sleep" in ok("vmsup", "maps", pid), "maps")
        ok("vmsup", "limit", "--max-commit=32M", pid)
        os.kill(int(pid), signal.SIGKILL)
        until(lambda: run("pgrep", "-x", "sleep").stdout.split() not in ([], [pid]), "another")
    finally:
        run("systemctl", "stop", "vmsup@one")
        shutil.rmtree("/etc/vmsup")
    t.require(not run("pgrep", "-a", "vmsup").stdout, "left behind")


if os.environ.get("VMSUP_TEST_SYSTEMD"):
    s.main()
print("1..0 # SKIP it needs a machine of its own: make check-systemd")
