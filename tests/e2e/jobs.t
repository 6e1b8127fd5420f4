#!/usr/bin/python3
"""Terminal, job control, signals to the front, pipes and daemons behave as without vmsup."""

import os
import signal
import time

import vmsuptest as t

s = t.Suite()
EVERY = t.ways(modes=("supervise", "fence"), ranges=("low",))
MINE = [w for w in EVERY if w.user == t.ME]


def words(way, *argv):
    return " ".join(t.quote(x) for x in t.vmsup_argv(way, argv, audit=False))


def shell(way):
    return t.Terminal(["bash", "--norc", "--noprofile", "-i"], way.user)


def leave(term, status=0):
    term.type("exit %d\n" % status)
    got = term.end()
    t.require(got == status, "the shell ended with %s:\n%s" % (t.status_text(got), term.text))
    left = t.leftovers()
    t.require(not left, "processes left behind\n" + t.snapshot_of(left))


# ---- a terminal ---------------------------------------------------------------------------------


@s.case_for(EVERY)
def ctrl_c(way):
    """Ctrl-C ends the program, and the shell sees 130"""
    term = shell(way)
    term.wait(r"\$ \Z")
    term.type(words(way, "bash", "-c", "echo up; exec sleep 100") + "\n")
    term.wait(r"up\n")
    term.type("\x03")
    term.wait(r"\$ \Z")
    term.type("echo status=$?\n")
    term.wait(r"status=130\n")
    leave(term)


@s.case_for(MINE)
def ctrl_c_caught(way):
    """a program that catches Ctrl-C goes on"""
    term = shell(way)
    term.wait(r"\$ \Z")
    term.type(words(way, t.place.guest("handler")) + "\n")
    term.wait(r"ready\n")
    for _ in range(2):
        term.type("\x03")
        term.wait(r"signal 2\n")
    term.type("\x1c")
    term.wait(r"signal 3\n")
    term.type("\x1a")
    term.wait(r"Stopped")
    term.wait(r"\$ \Z")
    term.type("kill -TERM %1; fg\n")
    term.wait(r"signal 15\n")
    term.wait(r"\$ \Z")
    term.type("echo status=$?\n")
    term.wait(r"status=3\n")
    leave(term)


@s.case_for(EVERY)
def ctrl_z(way):
    """Ctrl-Z stops the program, fg continues it, it reads the terminal"""
    term = shell(way)
    term.wait(r"\$ \Z")
    group = term.foreground()
    term.type(words(way, "bash", "-c", "echo up; exec cat") + "\n")
    term.wait(r"up\n")
    term.type("before\n")
    term.wait(r"\bbefore\n")
    for _ in range(3):
        term.type("\x1a")
        term.wait(r"Stopped")
        term.wait(r"\$ \Z")
        term.type("jobs -s | wc -l\n")
        term.wait(r"\b1\n")
        term.wait(r"\$ \Z")
        term.type("fg\n")
        term.wait(r"cat'?\n")
        term.wait_job(group)
        term.type("after\n")
        term.wait(r"\bafter\n")
    term.type("\x04")
    term.wait(r"\$ \Z")
    term.type("echo status=$?\n")
    term.wait(r"status=0\n")
    leave(term)


def goes_on(term, group):
    """Wait until the job that fg was given has been continued: a key before that would be lost natively, too."""
    term.wait_job(group)
    end = time.monotonic() + 20
    while t.stat_of(term.foreground())[1] == "T":
        t.require(time.monotonic() < end, "it was never continued")


@s.case_for(MINE)
def ctrl_z_of_execs(way):
    """Ctrl-Z, or SIGSTOP to the job, at any moment of a program that executes one after the other, and right after fg: it stops once"""
    term = shell(way)
    term.wait(r"\$ \Z")
    group = term.foreground()
    again = 'exec sh -c "$0" "$0"'
    term.type(words(way, "sh", "-c", "echo up; " + again, again) + "\n")
    term.wait(r"up\n")
    for i in range(12):
        goes_on(term, group)
        if i % 4 == 3:
            time.sleep(0.15)
            t.require(term.foreground() != group, "it was stopped again")
        if i % 3 == 1:
            os.killpg(term.foreground(), signal.SIGSTOP)
        else:
            term.type("\x1a")
        term.wait(r"Stopped")
        term.wait(r"\$ \Z")
        if i % 4 == 1:
            time.sleep(0.15)
        term.type("jobs -s | wc -l\n")
        term.wait(r"\b1\n")
        term.wait(r"\$ \Z")
        term.type("fg\n")
        term.wait(r"exec sh.*\n")
    goes_on(term, group)
    term.type("\x1c")
    term.wait(r"\$ \Z")
    term.type("echo status=$?\n")
    term.wait(r"status=131\n")
    leave(term)


@s.case_for(MINE)
def continued_alone(way):
    """SIGSTOP to all of a job, then SIGCONT to vmsup run alone: the program goes on"""
    proc = t.start(way, ["sleep", "1"])
    time.sleep(0.4)
    os.killpg(proc.pid, signal.SIGSTOP)
    time.sleep(0.2)
    os.kill(proc.pid, signal.SIGCONT)
    t.expect(t.finish(proc, 20), 0)


@s.case_for(MINE)
def background(way):
    """in the background; bg after Ctrl-Z; a reader of the terminal stops; wait and kill %1"""
    term = shell(way)
    term.wait(r"\$ \Z")
    term.type(words(way, "sh", "-c", "sleep 0.3; exit 9") + " & wait $!; echo status=$?\n")
    term.wait(r"status=9\n")
    term.wait(r"\$ \Z")
    group = term.foreground()
    term.type(words(way, "sleep", "100") + "\n")
    term.wait_job(group)
    time.sleep(0.3)
    term.type("\x1a")
    term.wait(r"Stopped")
    term.wait(r"\$ \Z")
    term.type("bg; sleep 0.3; jobs -r | wc -l; kill %1; wait %1; echo status=$?\n")
    term.wait(r"\b1\n")
    term.wait(r"status=143\n")
    term.wait(r"\$ \Z")
    term.type(words(way, "cat") + " &\n")
    for _ in range(100):
        term.type("jobs -s | wc -l\n")
        if term.wait(r"\b([01])\n").group(1) == "1":
            break
        time.sleep(0.1)
    else:
        raise t.Failure("a background reader of the terminal was never stopped\n" + term.text)
    term.wait(r"\$ \Z")
    term.type("fg\n")
    term.wait(r"cat.*\n")
    term.wait_job(group)
    term.type("read at last\n")
    term.wait(r"\bread at last\n")
    term.type("\x04")
    term.wait(r"\$ \Z")
    leave(term)


@s.case_for(EVERY)
def shell_inside(way):
    """an interactive bash inside has jobs of its own"""
    term = shell(way)
    term.wait(r"\$ \Z")
    term.type("PS1='in> ' " + words(way, "bash", "--norc", "--noprofile", "-i") + "\n")
    term.wait(r"in> \Z")
    term.type("sleep 100 & jobs -r | wc -l\n")
    term.wait(r"\b1\n")
    term.wait(r"in> \Z")
    group = term.foreground()
    term.type("fg\n")
    term.wait(r"sleep 100\n")
    term.wait_job(group)
    term.type("\x1a")
    term.wait(r"Stopped")
    term.wait(r"in> \Z")
    term.type("bg; kill %1; wait %1; echo status=$?\n")
    term.wait(r"status=143\n")
    term.wait(r"in> \Z")
    term.type("cat\n")
    term.wait_job(group)
    term.type("x\n")
    term.wait(r"x\n")
    term.type("\x03")
    term.wait(r"in> \Z")
    term.type("seq 9 | sort -r | head -1; tty | grep -c pts\n")
    term.wait(r"\b9\n1\n")
    term.wait(r"in> \Z")
    term.type("exit 7\n")
    term.wait(r"\$ \Z")
    term.type("echo status=$?\n")
    term.wait(r"status=7\n")
    leave(term)


@s.case_for(MINE)
def suspend_inside(way):
    """a shell inside that suspends itself stops the front, and fg brings both back"""
    term = shell(way)
    term.wait(r"\$ \Z")
    term.type("PS1='in> ' " + words(way, "bash", "--norc", "--noprofile", "-i") + "\n")
    term.wait(r"in> \Z")
    term.type("suspend\n")
    term.wait(r"Stopped")
    term.wait(r"\$ \Z")
    term.type("fg\n")
    term.wait(r"bash --norc.*\n")
    term.wait(r"in> \Z")
    term.type("echo back; exit 4\n")
    term.wait(r"\bback\n")
    term.wait(r"\$ \Z")
    term.type("echo status=$?\n")
    term.wait(r"status=4\n")
    leave(term)


@s.case_for(EVERY)
def only_program(way):
    """as the only program of a terminal: it has the terminal, and closing that ends all"""
    term = t.Terminal(t.vmsup_argv(way, ["bash", "--norc", "--noprofile", "-i"], audit=False), way.user)
    term.wait(r"\$ \Z")
    term.type("sleep 100 & ps -o pid= -p $! | wc -l; kill $!\n")
    term.wait(r"\b1\n")
    term.type("exit 5\n")
    t.require(term.end() == 5, "wrong status\n" + term.text)


@s.case_for(MINE)
def hangup(way):
    """when the terminal is closed, nothing stays"""
    term = t.Terminal(t.vmsup_argv(way, ["bash", "-c", "echo up; exec sleep 300"], audit=False), way.user)
    term.wait(r"up\n")
    os.close(term.master)
    status = term.proc.wait(20)
    t.require(status == -signal.SIGHUP, "ended with %s" % t.status_text(status))


# ---- signals to the front -----------------------------------------------------------------------


@s.case_for(EVERY)
def forwarded(way):
    """signals sent to the front reach the program; TERM ends it with its own status"""
    proc = t.start(way, [t.place.guest("handler")])
    proc.wait_text(r"^ready$")
    for sig in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM):
        os.kill(proc.pid, sig)
        proc.wait_text(r"^signal %d$" % sig, 20)
    os.kill(proc.pid, signal.SIGTERM)
    t.expect(t.finish(proc), 3, r"^signal 15$")


@s.case_for(EVERY)
def terminated(way):
    """TERM to the front of a program that does not catch it: both die of it"""
    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        proc = t.start(way, ["bash", "-c", "echo up; exec sleep 300"])
        proc.wait_text(r"^up$")
        os.kill(proc.pid, sig)
        t.expect(t.finish(proc), -sig)


@s.case_for(EVERY)
def stopped(way):
    """STOP and CONT of the program's processes pass"""
    proc = t.start(way, ["bash", "-c", "echo up; for i in $(seq 30); do sleep 0.05; done; echo end"])
    proc.wait_text(r"^up$")
    pid = min(t.inside_processes(proc.pid))
    os.kill(pid, signal.SIGSTOP)
    time.sleep(0.5)
    # A process under the signal guard is traced, and then the letter is a small one.
    t.require(t.stat_of(pid)[1] in "Tt", "state %r after SIGSTOP" % (t.stat_of(pid),))
    os.kill(pid, signal.SIGCONT)
    os.kill(proc.pid, signal.SIGCONT)
    t.expect(t.finish(proc), 0, r"^end$")


@s.case_for(EVERY)
def front_killed(way):
    """KILL of the front kills the program and, as natively, nothing else"""
    proc = t.start(way, ["bash", "-c", "sleep 300 & (sleep 301 | cat) & echo up; wait"])
    proc.wait_text(r"^up$")
    inside = t.inside_processes(proc.pid)
    supervisor = ({p[2] for p in inside.values()} - set(inside)).pop()
    program = [pid for pid, p in inside.items() if p[2] == supervisor]
    os.kill(proc.pid, signal.SIGKILL)
    end = time.monotonic() + 20
    while os.path.exists("/proc/%d" % program[0]) and time.monotonic() < end:
        time.sleep(0.01)
    t.require(not os.path.exists("/proc/%d" % program[0]), "the program lives on")
    orphans = set(inside) - set(program)
    time.sleep(0.2)
    t.require(orphans and all(os.path.exists("/proc/%d" % pid) for pid in orphans), "its children died with it")
    end = time.monotonic() + 20
    while t.inside_processes(proc.pid) and time.monotonic() < end:
        for pid in t.inside_processes(proc.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.05)
    t.expect(t.finish(proc), -signal.SIGKILL)


@s.case_for(EVERY)
def supervisor_killed(way):
    """KILL of the supervisor ends the whole tree, and the front says so"""
    proc = t.start(way, ["bash", "-c", "sleep 300 & echo up; wait"])
    proc.wait_text(r"^up$")
    program = t.inside_processes(proc.pid)
    supervisor = {s[2] for s in program.values()} - set(program)
    t.require(len(supervisor) == 1, "parents of the program: %r" % supervisor)
    os.kill(supervisor.pop(), signal.SIGKILL)
    t.expect(t.finish(proc), 125, err=r"^vmsup")


@s.case_for(MINE)
def ignored(way):
    """dispositions and mask are inherited as they are"""
    script = "grep -E '^Sig(Ign|Blk)' /proc/self/status"
    native = t.run_native(way.user, ["sh", "-c", "trap '' HUP USR1; exec sh -c \"%s\"" % script])
    run = words(way, "sh", "-c", script)
    got = t.run_native(way.user, ["sh", "-c", "trap '' HUP USR1; exec " + run])
    t.require(native.out == got.out and native.out, "%s\n%s" % (native, got))
    # And nohup holds.
    work = t.place.fresh(way.user)
    argv = ["nohup"] + t.vmsup_argv(way, ["sh", "-c", "echo up; sleep 0.5; echo end"], audit=False)
    proc = t.Proc(t.as_user(way.user, argv), work, t.place.env(way.user))
    proc.wait_text(r"^up$")
    os.kill(proc.pid, signal.SIGHUP)
    t.expect(t.finish(proc), 0, r"^end$")


# ---- pipes --------------------------------------------------------------------------------------


def pipeline(way, script, status=0, out=None, seconds=30):
    got = t.run_native(way.user, ["bash", "-c", script], seconds=seconds)
    return t.expect(got, status, out)


@s.case_for(EVERY)
def pipes(way):
    """stdin and stdout in a pipeline; end of file passes"""
    run = words(way, "cat")
    pipeline(way, "echo x | %s | head -1" % run, 0, r"\Ax\n\Z")
    pipeline(way, "seq 100000 | %s | md5sum; seq 100000 | md5sum" % run, 0, r"\A(\w+)  -\n\1  -\n\Z")
    pipeline(way, "%s < /dev/null; echo $?" % run, 0, r"\A0\n\Z")


@s.case_for(EVERY)
def sigpipe(way):
    """a reader that leaves ends the writer by SIGPIPE"""
    pipeline(way, "%s | head -1; echo ${PIPESTATUS[0]}" % words(way, "yes"), 0, r"\Ay\n141\n\Z")


@s.case_for(EVERY)
def closed_stdout(way):
    """a program that closes stdout ends its reader's input while it still runs"""
    run = words(way, "bash", "-c", "echo x; exec >&- 2>&-; sleep 3; touch end")
    began = time.monotonic()
    pipeline(way, "%s 2>/dev/null | (cat; test -f end || echo early; cat)" % run, 0, r"\Ax\nearly\n\Z")
    t.require(time.monotonic() - began < 30, "slow")


@s.case_for(EVERY)
def closed_stdin(way):
    """a program that closes stdin: its writer gets SIGPIPE while it still runs"""
    run = words(way, "bash", "-c", "exec <&-; sleep 3; touch end")
    pipeline(way, "{ yes 2>/dev/null; s=$?; test -f end || echo early $s >&2; } 2>err | %s; cat err" % run, 0, r"\Aearly 141\n\Z")


@s.case_for(MINE)
def descriptors(way):
    """the program has the descriptors it was given, and no more"""
    script = "ls /proc/self/fd | tr '\\n' ' '; cat <&5"
    native = pipeline(way, "echo five > f; bash -c %s 5<f" % t.quote(script))
    got = pipeline(way, "echo five > f; %s 5<f" % words(way, "bash", "-c", script))
    t.require(native.out == got.out and "five" in native.out, "%s\n%s" % (native, got))
    # Even with all three standard descriptors closed.
    pipeline(way, "%s <&- >&- 2>&-; echo $?" % words(way, "bash", "-c", "exit 6"), 0, r"\A6\n\Z")


@s.case_for(MINE)
def surroundings(way):
    """working folder, umask, limits, niceness, group and session are the caller's"""
    script = "pwd; umask; ulimit -n; ulimit -s; ulimit -c; nice; ps -o pgid=,sid= -p $$ | tr -s ' '; env | sort"
    set_up = "mkdir -p d; cd d; umask 027; ulimit -Sn 200; ulimit -Ss 4096; ulimit -Sc 0; "
    native = pipeline(way, set_up + "ps -o pgid=,sid= -p $$ >/dev/null; nice -n 3 bash -c %s | sed '/^ *[0-9]* [0-9]*$/d;/^_=/d'" % t.quote(script))
    got = pipeline(way, set_up + "nice -n 3 %s | sed '/^ *[0-9]* [0-9]*$/d;/^_=/d'" % words(way, "bash", "-c", script))
    t.require(native.out == got.out and native.out, "%s\n%s" % (native, got))
    got = pipeline(way, "ps -o sid= -p $$; %s" % words(way, "bash", "-c", "ps -o sid= -p $$"))
    a, b = got.out.split()
    t.require(a == b, "another session: %s" % got)


# ---- daemons ------------------------------------------------------------------------------------


@s.case_for(EVERY)
def daemons(way):
    """a daemon survives the front and works on; the supervisor leaves after the last process"""
    work = t.place.fresh(way.user)
    argv = t.vmsup_argv(way, [t.place.guest("daemonize"), work], audit=False)
    proc = t.Proc(t.as_user(way.user, argv), work, t.place.env(way.user))
    status = proc.wait()
    t.expect(proc.result(status), 5, r"\Astarted\n\Z")
    for _ in range(500):
        if os.path.exists(work + "/pid"):
            break
        time.sleep(0.02)
    pid = int(t.read_text(work + "/pid"))
    t.require(t.stat_of(pid), "the daemon did not survive the front")
    time.sleep(0.3)
    left = t.descendants()
    t.require(pid in left and len(left) == 2, "wanted daemon and supervisor\n" + t.snapshot_of(left))
    t.require(not t.outside(pid, way.lo, way.hi), "the daemon has pages outside")
    open(work + "/go", "w").close()
    left = t.leftovers(30)
    t.require(not left, "still there\n" + t.snapshot_of(left))
    t.require(t.read_text(work + "/done") == "fine\n", "the daemon's command: %r" % t.read_text(work + "/done"))
    t.require(t.read_text(work + "/work") == "worked\n", "the daemon's pipeline did nothing")


@s.case_for(EVERY)
def daemon_frees_caller(way):
    """a caller that reads the output of a daemon's starter is not kept waiting"""
    work = t.place.fresh(way.user)
    run = words(way, t.place.guest("daemonize"), work)
    script = "x=$(%s 2>&1 < /dev/null); echo \"$x $?\"" % run
    proc = t.Proc(t.as_user(way.user, ["bash", "-c", script]), work, t.place.env(way.user))
    try:
        status = proc.wait(15)
        t.expect(proc.result(status), 0, r"\Astarted 5\n\Z")
    finally:
        open(work + "/go", "w").close()
    left = t.leftovers(30)
    t.require(not left, "still there\n" + t.snapshot_of(left))


@s.case_for(MINE)
def orphans(way):
    """background processes of a shell that ended go on until they end"""
    script = "(sleep 0.5; echo late > late) & exit 3"
    proc = t.start(way, ["bash", "-c", script])
    work = proc.work
    got = t.finish(proc)
    t.expect(got, 3)
    t.require(t.read_text(os.path.join(work, "late")) == "late\n", "the orphan was cut off")


@s.case_for(t.ways(modes=("supervise", "fence"), users=(t.ME,), ranges=("low",)))
def nothing_left(way):
    """when the whole tree has ended with the program, nothing is left for init to wait for"""
    for argv, extra in ((["true"], ()), (["bash", "-c", "seq 3 | cat; kill -9 $$"], ()), (["true"], ["--stats=st"]),
                        (["/nonexistent"], ()), (["true"], ["--range=0x10000-0x11000"])):
        work = t.place.fresh(way.user)
        proc = t.Proc(t.vmsup_argv(way, argv, audit=False, extra=extra), work, t.place.env(way.user))
        proc.wait()
        left = t.descendants()
        t.require(not left, "after %s %s\n%s" % (argv, extra, t.snapshot_of(left)))


@s.case_for(MINE)
def several(way):
    """several runs side by side do not disturb one another"""
    work = t.place.fresh(way.user)
    script = "for i in 1 2 3 4 5; do %s & done; wait; echo all" % words(way, "bash", "-c", "seq 200 | sort -n | tail -1")
    proc = t.Proc(t.as_user(way.user, ["bash", "-c", script]), work, t.place.env(way.user))
    t.expect(t.finish(proc), 0, r"\A(200\n){5}all\n\Z")


s.main()
