#!/usr/bin/python3
"""Attacks on vmsup's own processes: they neither hang nor die of what a program does, and if killed they leave nothing behind."""

import os
import re
import signal
import socket
import subprocess
import time

import hostile as h
import vmsuptest as t

s = t.Suite()
MINE = t.ways(modes=("supervise", "fence"), users=("ordinary",), ranges=("low",))


def supervisor_of(front):
    for pid, stat in t.descendants(front).items():
        if stat[2] == front and stat[0] == "vmsup":
            return pid
    raise t.Failure("there is no supervisor under %d" % front)


TREE = """
setsid sleep 1000 & (setsid sh -c 'trap "" TERM HUP; sleep 1000; :' &) & sleep 1000 & echo ready; wait
"""


@s.case_for(h.USERS)
def kill_supervisor(way):
    """who kills the supervisor kills the tree"""
    proc = t.start(way, ["sh", "-c", TREE])
    proc.wait_text("^ready$")
    os.kill(supervisor_of(proc.pid), signal.SIGKILL)
    t.expect(t.finish(proc), 125, err="killed by signal 9")


@s.case_for(MINE)
def suicide(way):
    """a program that kills its supervisor dies with it"""
    proc = t.start(way, ["sh", "-c", "sleep 1000 & kill -9 $PPID; sleep 1000"])
    t.expect(t.finish(proc), 125)


def cmdline(pid):
    return t.read_text("/proc/%d/cmdline" % pid).encode()


@s.case_for(h.USERS)
def kill_front(way):
    """with the front the program dies, and the supervisor waits for the rest"""
    proc = t.start(way, ["bash", "-c", "exec -a program sh -c 'sleep 1000 & echo ready; wait; :'"])
    proc.wait_text("^ready$")
    program = [p for p, x in t.descendants(proc.pid).items() if cmdline(p).startswith(b"program")]
    t.require(program, "the program is not there")
    os.kill(proc.pid, signal.SIGKILL)
    proc.wait()
    end = time.monotonic() + 20
    while any(cmdline(p).startswith(b"program") for p in program) and time.monotonic() < end:
        time.sleep(0.02)
    t.require(not any(cmdline(p).startswith(b"program") for p in program), "the program lives on")
    for pid, stat in t.descendants().items():
        if stat[0] != "vmsup":
            os.kill(pid, signal.SIGKILL)
    left = t.leftovers()
    t.require(not left, t.snapshot_of(left))


# The program's own end comes after all the stops.
STOPS = """
me=$$; front=$(sed -n 's/^PPid:.//p' /proc/$PPID/status)
(for i in $(seq 200); do kill -STOP $front; kill -STOP $me; kill -CONT $me; done; echo done >went) &
i=0; while [ ! -f went ] && [ $i -lt 200000 ]; do i=$((i+1)); done
/bin/true; kill -STOP $front; exit 7
"""


@s.case_for(MINE)
def stopped_front(way):
    """a front that is stopped all the time does not stop the supervisor"""
    proc = t.start(way, ["sh", "-c", STOPS])
    end = time.monotonic() + t.TIME_LIMIT
    # The tree comes to its end while nobody reads; then the front is let go.
    while os.path.exists("/proc/%d" % proc.pid) and time.monotonic() < end:
        if not [p for p in t.inside_processes(proc.pid)]:
            break
        time.sleep(0.02)
    while proc.popen.poll() is None and time.monotonic() < end:
        os.kill(proc.pid, signal.SIGCONT)
        time.sleep(0.02)
    t.expect(t.finish(proc), 7)


@s.case_for(h.BOTH)
def full_stderr(way):
    """a full pipe on stderr does not stop the supervisor"""
    r, w = os.pipe()
    script = """
import fcntl, os
fcntl.fcntl(2, fcntl.F_SETFL, os.O_NONBLOCK)
try:
    while True: os.write(2, b'x' * 512)
except BlockingIOError: fcntl.fcntl(2, fcntl.F_SETFL, 0)
for i in range(30):
    pid = os.fork()
    if pid == 0:
        try: os.execv('./outside', ['outside'])
        except OSError: os._exit(1)
    os.waitpid(pid, 0)
print('went on')
"""
    # Linked to run outside: the supervisor has something to say of each.
    ehdr = b"\x7fELF\2\1\1".ljust(16, b"\0") + (2).to_bytes(2, "little") + (62).to_bytes(2, "little")
    ehdr += (1).to_bytes(4, "little") + (0x700000000000).to_bytes(8, "little") + (64).to_bytes(8, "little") + bytes(12)
    ehdr += b"".join(x.to_bytes(2, "little") for x in (64, 56, 1, 0, 0, 0))
    phdr = b"".join(x.to_bytes(4, "little") for x in (1, 5))
    phdr += b"".join(x.to_bytes(8, "little") for x in (0, 0x700000000000, 0x700000000000, 120, 120, 4096))
    work = {"outside": ehdr + phdr, "a.py": script}
    folder = t.place.fresh(way.user, work)
    os.chmod(os.path.join(folder, "outside"), 0o755)
    proc = t.start(way, ["python3", "a.py"], env=t.place.python_env(way.range), fresh=False, stderr=w)
    os.close(w)
    got = t.finish(proc)
    os.close(r)
    t.expect(got, 0, out="^went on$")


def control_socket(way, pid):
    return os.path.join(t.place.top, way.user, "run", "vmsup", "%d.sock" % pid)


@s.case_for(h.BOTH)
def garbage(way):
    """garbage and slow clients on the control socket stop nobody"""
    proc = t.start(way, ["sh", "-c", "echo ready; read x; for i in 1 2 3 4 5; do /bin/true; done; echo went on"], stdin=subprocess.PIPE)
    proc.wait_text("^ready$")
    sup = supervisor_of(proc.pid)
    path = control_socket(way, sup)
    if not os.path.exists(path):
        proc.popen.stdin.close()
        t.finish(proc)
        raise t.Failure("no socket at %s" % path)
    clients = []
    lines = [b"\0" * 5000, b"{" * 4000 + b"\n", b"[]\n", b"\xff\xfe\n", b'{"ask":"maps","pid":-1}\n', b"x" * 4095 + b"\n", b"\n" * 4096,
             b'{"pid":99999999999999999999}\n', b'{"ask":"ps"}\n' * 100]
    for i in range(60):
        c = socket.socket(socket.AF_UNIX)
        c.setblocking(False)
        try:
            c.connect(path)
            c.send(lines[i % len(lines)][: i * 100 + 1])
        except OSError:
            pass
        clients.append(c)
    proc.popen.stdin.write(b"go\n")
    proc.popen.stdin.flush()
    proc.wait_text("^went on$")
    for c in clients:
        c.close()
    proc.popen.stdin.close()
    t.expect(t.finish(proc), 0)


@s.case_for(h.BOTH)
def names(way):
    """names with control characters come out of vmsup maps escaped"""
    script = """
import mmap, os, sys
name = 'evil\\n0000-ffff rwx\\x1b[31m\\x07\\udcff\\\\'
with open(name, 'wb') as f: f.write(b'x' * 8192)
with open(name, 'rb') as f: m = mmap.mmap(f.fileno(), 8192, prot=mmap.PROT_READ)
open('/proc/self/comm', 'w').write('a\\n\\x1b[2J')
print('ready', flush=True); sys.stdin.read()
"""
    r, w = os.pipe()
    proc = t.start(way, ["python3", "-c", script], env=t.place.python_env(way.range), stdin=r)
    os.close(r)
    proc.wait_text("^ready$")
    pid = [p for p in t.inside_processes(proc.pid)][0]
    for words in (["maps", str(pid)], ["ps"]):
        got = t.Proc([t.place.vmsup()] + words, t.place.top, t.place.env(way.user))
        # Another test's supervisor may not answer.
        t.expect(got.result(got.wait()), 0 if words[0] == "maps" else (0, 1))
        text = got.text("out")
        t.require(not re.search(r"[\x00-\x08\x0b-\x1f\x7f]|^0000-ffff", text, re.M), "raw characters in %r" % text)
    os.close(w)
    t.expect(t.finish(proc), 0)


@s.case_for(h.BOTH)
def chain(way):
    """a long chain of parents does not keep vmsup ps, and with it the tree, waiting"""
    r, w = os.pipe()
    proc = t.start(way, h.argv(way, "storm", "chain", 300), stdin=r)
    os.close(r)
    proc.wait_text("^ready$")
    ps = t.Proc([t.place.vmsup(), "ps"], t.place.top, t.place.env(way.user))
    got = t.expect(ps.result(ps.wait()), 0)
    t.require(got.out.count("storm") >= 300, "only %d processes are listed" % got.out.count("storm"))
    os.close(w)
    t.expect(t.finish(proc), 0)


@s.case_for(h.BOTH)
def descriptors(way):
    """a supervisor with few descriptors neither hangs nor dies"""
    script = "for i in $(seq 60); do sleep 1000 & done; for i in 1 2 3; do /bin/true; done; kill $(jobs -p); wait; echo went on"
    argv = ["bash", "-c", "ulimit -Hn 48; ulimit -Sn 48; exec \"$@\"", "bash"]
    argv += t.vmsup_argv(way, ["bash", "-c", script], audit=False)
    work = t.place.fresh(way.user)
    proc = t.Proc(t.as_user(way.user, argv), work, t.place.env(way.user))
    got = t.finish(proc)
    t.require("ended without a word" not in got.err and "killed by" not in got.err, str(got))


s.main()
