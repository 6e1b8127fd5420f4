"""What the end-to-end tests share: running programs with and without vmsup, looking at every
process of a run, and speaking TAP.

A test is a .t file that makes a Suite, adds cases and calls main(). It runs in the build folder, as
root or not. Every run has a time limit, and every run must leave no process behind.

Not a test framework: no fixtures, no discovery; `./NAME.t WORD...` runs the cases whose names hold
all words.
"""

import atexit
import collections
import ctypes
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time
import traceback

VMSUP = os.path.abspath(os.environ.get("VMSUP", "./vmsup"))
GUESTS = os.path.abspath(os.environ.get("VMSUP_GUESTS", "./tests/guests"))
HOSTILE = os.path.join(os.path.dirname(GUESTS), "hostile")

RANGES = {
    "low": (0x10000, 0x7FFF0000),
    "high": (0x200000000, 0x400000000),
    # For i386 programs: all that they can address; and more, but not from the beginning.
    "all32": (0x10000, 0xFFFFE000),
    "across": (0x40000000, 0x200000000),
}
NOBODY = 65534
TIME_LIMIT = float(os.environ.get("VMSUP_TEST_SECONDS", "90"))
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PAGE = 4096

PR_SET_CHILD_SUBREAPER = 36


class Skip(Exception):
    """A case that cannot be tried here, and why."""


class Failure(Exception):
    """A case that went wrong; the text may have many lines."""


# ---- who, where and how -------------------------------------------------------------------------


class Way(collections.namedtuple("Way", "mode place user range")):
    """One way of running a program: mode, place, user (root or ordinary), range (low or high)."""

    @property
    def name(self):
        place = "" if self.place == "auto" else " " + self.place
        return "%s%s %s %s" % (self.mode, place, self.user, self.range)

    @property
    def lo(self):
        return RANGES[self.range][0]

    @property
    def hi(self):
        return RANGES[self.range][1]

    def options(self):
        words = ["--range", "%#x-%#x" % (self.lo, self.hi)]
        if self.mode != "supervise":
            words += ["--mode", self.mode]
        if self.place != "auto":
            words += ["--place", self.place]
        return words


def way(mode="supervise", place="auto", user=None, where="low"):
    return Way(mode, place, user or ME, where)


def ways(modes=("supervise",), places=("auto",), users=("root", "ordinary"), ranges=("low", "high")):
    """Every combination that can be tried by whoever runs the tests."""
    return [
        Way(m, p, u, r)
        for m in modes
        for p in places
        for u in users
        for r in ranges
        if u in USERS
    ]


ME = "root" if os.geteuid() == 0 else "ordinary"
USERS = ("root", "ordinary") if ME == "root" else ("ordinary",)

# ---- folders ------------------------------------------------------------------------------------


class Place:
    """A folder that every user may enter: copies of vmsup and the guests, and one work folder for
    each user, always under the same name, so that output can be compared."""

    def __init__(self):
        self.top = tempfile.mkdtemp(prefix="vmsup-test-", dir=self.parent())
        os.chmod(self.top, 0o755)
        self.bin = os.path.join(self.top, "bin")
        os.mkdir(self.bin, 0o755)
        atexit.register(self.remove)
        if os.path.exists(VMSUP):
            shutil.copy2(VMSUP, os.path.join(self.bin, "vmsup"))
        for folder in (GUESTS, HOSTILE):
            for name in os.listdir(folder) if os.path.isdir(folder) else ():
                path = os.path.join(folder, name)
                if os.access(path, os.X_OK) and os.path.isfile(path):
                    shutil.copy2(path, self.bin)

    @staticmethod
    def parent():
        """TMPDIR, unless an ordinary user could not reach it."""
        path = os.path.realpath(tempfile.gettempdir())
        at = path
        while True:
            if not os.stat(at).st_mode & 0o001:
                return "/tmp"
            if at == "/":
                return path
            at = os.path.dirname(at)

    def remove(self):
        kill_all()
        shutil.rmtree(self.top, ignore_errors=True)

    def guest(self, name):
        path = os.path.join(self.bin, name)
        if not os.path.exists(path) and name.endswith("-32"):
            raise Skip("%s was not built: gcc -m32 cannot link here" % name)
        if not os.path.exists(path):
            raise Failure("the guest %s is not built in %s" % (name, GUESTS))
        return path

    def vmsup(self):
        path = os.path.join(self.bin, "vmsup")
        if not os.path.exists(path):
            raise Failure("there is no vmsup at %s" % VMSUP)
        return path

    def python_env(self, where):
        """Environment in which `python3` can run in the range @where: Debian's is linked to a fixed
        low address, so above 4 GiB it is the same interpreter as a PIE."""
        if where == "low":
            return {}
        folder = os.path.join(self.bin, "pie")
        if not os.path.exists(folder):
            os.mkdir(folder)
            shutil.copy2(self.guest("python"), os.path.join(folder, "python3"))
        try:
            subprocess.run([folder + "/python3", "-c", "pass"], check=True, stderr=subprocess.DEVNULL)
        except subprocess.CalledProcessError:
            raise Skip("libpython3 is not installed") from None
        return {"PATH": folder + ":" + PATH}

    def fresh(self, user, files=None):
        """An empty work folder for @user, with @files (name: text) in it."""
        home = os.path.join(self.top, user)
        work = os.path.join(home, "work")
        shutil.rmtree(home, ignore_errors=True)
        os.makedirs(work)
        os.mkdir(os.path.join(home, "run"), 0o700)
        for name, text in (files or {}).items():
            path = os.path.join(work, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb" if isinstance(text, bytes) else "w") as f:
                f.write(text)
            if (text[:2] if isinstance(text, str) else b"") == "#!":
                os.chmod(path, 0o755)
        if user == "ordinary" and ME == "root":
            own(home)
        return work

    def env(self, user, extra=None):
        home = os.path.join(self.top, user)
        env = {
            "PATH": PATH,
            "LC_ALL": "C.UTF-8",
            "HOME": os.path.join(home, "work"),
            "TMPDIR": os.path.join(home, "work"),
            "XDG_RUNTIME_DIR": os.path.join(home, "run"),
            "USER": user,
            "SHELL": "/bin/bash",
            "TERM": "dumb",
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                env[name] = os.environ[name]
        env.update(extra or {})
        return env


def found(program, env):
    """The path of @program as a shell with @env finds it."""
    return shutil.which(program, path=env["PATH"]) or program


def own(path):
    os.chown(path, NOBODY, NOBODY)
    for folder, dirs, names in os.walk(path):
        for name in dirs + names:
            os.lchown(os.path.join(folder, name), NOBODY, NOBODY)


def as_user(user, argv):
    if user == "ordinary" and ME == "root":
        return [
            "setpriv",
            "--reuid=%d" % NOBODY,
            "--regid=%d" % NOBODY,
            "--clear-groups",
            "--",
        ] + argv
    return argv


# ---- processes ----------------------------------------------------------------------------------


def stat_of(pid):
    """(comm, state, ppid, start time) of a process, or None when it is gone."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as f:
            text = f.read().decode(errors="replace")
    except OSError:
        return None
    comm = text[text.index("(") + 1 : text.rindex(")")]
    rest = text[text.rindex(")") + 2 :].split()
    return comm, rest[0], int(rest[1]), int(rest[19])


def descendants(root=None):
    """pid: (comm, state, ppid, start) of all processes below @root (this one when None)."""
    root = root or os.getpid()
    table = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            s = stat_of(int(name))
            if s:
                table[int(name)] = s
    found, again = {}, True
    while again:
        again = False
        for pid, s in table.items():
            if pid not in found and (s[2] == root or s[2] in found):
                found[pid] = s
                again = True
    return found


def reap():
    """Wait for orphans that came to us and died; never for a process that a Proc looks after."""
    for pid, s in descendants().items():
        if s[2] == os.getpid() and s[1] == "Z" and pid not in Proc.owned:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass


def leftovers(seconds=10.0):
    """Wait until every process we started is gone; what is not, as a dict like descendants()."""
    end = time.monotonic() + seconds
    pause = 0.002
    while True:
        reap()
        left = {p: s for p, s in descendants().items() if p not in Proc.owned or s[1] != "Z"}
        if not left or time.monotonic() > end:
            return left
        time.sleep(pause)
        pause = min(pause * 2, 0.1)


def kill_all():
    for _ in range(50):
        left = descendants()
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        for pid in list(left):
            try:
                os.waitpid(pid, os.WNOHANG)
            except OSError:
                pass
        if not descendants():
            return
        time.sleep(0.05)


def read_text(path, default=""):
    try:
        with open(path, "rb") as f:
            return f.read().decode(errors="replace")
    except OSError:
        return default


def snapshot_of(pids):
    """What a person needs to see why something hangs."""
    lines = []
    for pid, s in sorted(pids.items()):
        lines.append("pid %d (%s) state %s parent %d" % (pid, s[0], s[1], s[2]))
        cmd = read_text("/proc/%d/cmdline" % pid).replace("\0", " ")
        lines.append("  cmdline: " + cmd[:200])
        try:
            tids = sorted(os.listdir("/proc/%d/task" % pid), key=int)
        except OSError:
            tids = []
        for tid in tids[:12]:
            base = "/proc/%d/task/%s/" % (pid, tid)
            state = re.search(r"State:\s*(.*)", read_text(base + "status"))
            tracer = re.search(r"TracerPid:\s*(\d+)", read_text(base + "status"))
            lines.append(
                "  task %s: %s, tracer %s, wchan %s, syscall %s"
                % (
                    tid,
                    state.group(1) if state else "?",
                    tracer.group(1) if tracer else "?",
                    read_text(base + "wchan") or "?",
                    read_text(base + "syscall").strip() or "?",
                )
            )
    return "\n".join(lines)


Map = collections.namedtuple("Map", "start end prot shared offset file")


def kernel_maps(pid):
    """The lines of /proc/PID/maps, or [] when the process is gone."""
    maps = []
    for line in read_text("/proc/%d/maps" % pid).splitlines():
        f = line.split(None, 5)
        start, end = (int(x, 16) for x in f[0].split("-"))
        name = f[5] if len(f) > 5 else ""
        maps.append(Map(start, end, f[1][:3], f[1][3] == "s", int(f[2], 16), name))
    return maps


def outside(pid, lo, hi):
    """Accessible mappings of @pid outside [lo, hi)."""
    return [
        m
        for m in kernel_maps(pid)
        if m.prot != "---" and m.file != "[vsyscall]" and (m.start < lo or m.end > hi)
    ]


def exe_of(pid):
    try:
        return os.readlink("/proc/%d/exe" % pid)
    except OSError:
        return ""


def inside_processes(front):
    """The processes that run under the front @front: all below it but vmsup's own."""
    mine = place.vmsup()
    return {
        p: s
        for p, s in descendants().items()
        if p != front and s[1] != "Z" and exe_of(p) not in (mine, "")
    }


def check_inside(front, lo, hi, least=1, seconds=TIME_LIMIT / 3):
    """Fail when an accessible page of any process of the run stays outside [lo, hi). A process that
    is being started has its image moved while it stands still, so a look must be repeated before it
    counts."""
    end = time.monotonic() + seconds
    while True:
        procs = inside_processes(front)
        bad = {}
        for pid, s in procs.items():
            out = outside(pid, lo, hi)
            again = stat_of(pid)
            if out and again and again[3] == s[3]:
                bad[pid] = out
        if not bad and len(procs) >= least:
            return procs
        if time.monotonic() > end:
            break
        time.sleep(0.05)
    lines = []
    if len(procs) < least:
        lines.append("only %d processes are inside, wanted %d" % (len(procs), least))
    for pid, out in bad.items():
        lines.append("pid %d (%s) has pages outside %#x-%#x:" % (pid, procs[pid][0], lo, hi))
        lines += ["  %x-%x %s %s" % (m.start, m.end, m.prot, m.file) for m in out]
    raise Failure("\n".join(lines))


def has_mseal():
    """True when the kernel can seal a fence (Linux 6.10)."""
    return ctypes.CDLL(None).syscall(462, 0, 0, 0) == 0


# ---- runs ---------------------------------------------------------------------------------------


class Result:
    """How a run went: exit status (negative for a signal), what it wrote, its statistics."""

    def __init__(self, status, out, err="", stats=None, seconds=0.0, argv=()):
        self.status = status
        self.out = out
        self.err = err
        self.stats = stats
        self.seconds = seconds
        self.argv = argv

    def __str__(self):
        lines = ["command: " + " ".join(quote(a) for a in self.argv)]
        lines.append("status: %s" % status_text(self.status))
        lines += ["stdout: " + x for x in clip(self.out)]
        lines += ["stderr: " + x for x in clip(self.err)]
        return "\n".join(lines)


def clip(text, most=25):
    lines = text.splitlines()
    if len(lines) > most:
        lines = lines[: most // 2] + ["... %d lines ..." % (len(lines) - most)] + lines[-most // 2 :]
    return [x[:300] for x in lines]


def quote(word):
    word = str(word)
    if re.fullmatch(r"[\w@%+=:,./-]+", word):
        return word
    return "'" + word.replace("'", "'\\''") + "'"


def status_text(status):
    if status is None:
        return "(still running)"
    return "signal %d" % -status if status < 0 else "exit %d" % status


class Proc:
    """A started program. Its output goes to files unless pipes are asked for; nobody but us waits
    for it."""

    owned = set()

    def __init__(self, argv, cwd, env, stdin=None, stdout=None, stderr=None, session=True, fds=()):
        self.argv = argv
        self.files = {}
        self.began = time.monotonic()
        opened = []
        if stdin is None:
            stdin = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
            opened.append(stdin)
        if stdout is None:
            stdout = self.files["out"] = tempfile.TemporaryFile(dir=place.top)
        if stderr is None:
            stderr = self.files["err"] = tempfile.TemporaryFile(dir=place.top)
        self.popen = subprocess.Popen(
            argv,
            cwd=cwd,
            env=env,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=session,
            pass_fds=fds,
        )
        self.pid = self.popen.pid
        Proc.owned.add(self.pid)
        for fd in opened:
            os.close(fd)

    def text(self, which):
        f = self.files.get(which)
        if not f:
            return ""
        # pread: the offset is shared with the program that writes.
        size = os.fstat(f.fileno()).st_size
        return os.pread(f.fileno(), size, 0).decode(errors="replace")

    def wait(self, seconds=TIME_LIMIT):
        try:
            self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            hung = snapshot_of(descendants())
            kill_all()
            self.popen.wait(10)
            Proc.owned.discard(self.pid)
            raise Failure(
                "still running after %d s\n%s\n%s" % (seconds, self.result(None), hung)
            ) from None
        Proc.owned.discard(self.pid)
        return self.popen.returncode

    def result(self, status, stats=None):
        return Result(
            status,
            self.text("out"),
            self.text("err"),
            stats,
            time.monotonic() - self.began,
            self.argv,
        )

    def wait_text(self, pattern, seconds=TIME_LIMIT):
        """Wait until stdout holds @pattern; the match."""
        end = time.monotonic() + seconds
        while True:
            m = re.search(pattern, self.text("out"), re.M)
            if m:
                return m
            if self.popen.poll() is not None:
                m = re.search(pattern, self.text("out"), re.M)
                if m:
                    return m
                Proc.owned.discard(self.pid)
                raise Failure("ended before it said %r\n%s" % (pattern, self.result(self.popen.returncode)))
            if time.monotonic() > end:
                hung = snapshot_of(descendants())
                raise Failure("never said %r\n%s\n%s" % (pattern, self.result(None), hung))
            time.sleep(0.01)


def vmsup_argv(way, argv, stats=None, audit=None, extra=()):
    """The words of `vmsup run` for @argv. Audited unless told otherwise, in supervise mode."""
    words = [place.vmsup(), "run"] + way.options()
    if audit if audit is not None else way.mode == "supervise":
        words.append("--audit")
    if stats:
        words.append("--stats=" + stats)
    return words + list(extra) + ["--"] + list(argv)


def start(way, argv, files=None, env=None, fresh=True, stats=False, audit=None, extra=(), **kw):
    """Start @argv under vmsup and return the Proc. Neither audited nor counted unless asked for:
    with these the front stays until the last process is gone."""
    work = place.fresh(way.user, files) if fresh else os.path.join(place.top, way.user, "work")
    path = os.path.join(place.top, way.user, "run", "stats.json") if stats else None
    words = vmsup_argv(way, argv, path, audit if audit is not None else False, extra)
    proc = Proc(as_user(way.user, words), work, place.env(way.user, env), **kw)
    proc.stats_path = path
    proc.work = work
    return proc


def finish(proc, seconds=TIME_LIMIT, drain=10.0):
    """Wait for @proc and for everything below it."""
    status = proc.wait(seconds)
    left = leftovers(drain)
    if left:
        text = snapshot_of(left)
        kill_all()
        raise Failure("processes left behind\n%s\n%s" % (proc.result(status), text))
    stats = None
    if getattr(proc, "stats_path", None):
        text = read_text(proc.stats_path, None)
        if text is not None:
            try:
                stats = json.loads(text)
            except ValueError as e:
                raise Failure("--stats wrote no JSON: %s\n%s" % (e, text)) from None
    return proc.result(status, stats)


def run_native(user, argv, files=None, env=None, seconds=TIME_LIMIT, **kw):
    work = place.fresh(user, files)
    proc = Proc(as_user(user, list(argv)), work, place.env(user, env), **kw)
    return finish(proc, seconds)


def run(way, argv, files=None, env=None, seconds=TIME_LIMIT, stats=True, audit=None, extra=(), **kw):
    if audit is None:
        audit = way.mode == "supervise"
    proc = start(way, argv, files, env, stats=stats, audit=audit, extra=extra, **kw)
    return finish(proc, seconds)


def run_vmsup(words, user=None, env=None, seconds=30, fresh=True, **kw):
    """Run `vmsup WORDS`, as they are."""
    user = user or ME
    work = place.fresh(user) if fresh else os.path.join(place.top, user, "work")
    proc = Proc(as_user(user, [place.vmsup()] + list(words)), work, place.env(user, env), **kw)
    return finish(proc, seconds)


def verb(way, *words, user=None, env=None):
    """Run a verb beside a program that runs; the Result."""
    user = user or way.user
    argv = as_user(user, [place.vmsup()] + list(words))
    proc = Proc(argv, place.top, place.env(way.user, env))
    status = proc.wait(30)
    return proc.result(status)


class Held:
    """A guest that waits until the end of the with block."""

    def __init__(self, way, argv, files=None, **kw):
        self.r, self.w = os.pipe()
        self.proc = start(way, argv, files, stdin=self.r, **kw)
        os.close(self.r)

    def __enter__(self):
        self.pid = int(self.proc.wait_text(r"^ready ?(\d*)$").group(1) or 0)
        if not self.pid:
            self.pid = max(inside_processes(self.proc.pid))
        return self

    def __exit__(self, kind, *_):
        os.close(self.w)
        if kind is None:
            self.got = expect(finish(self.proc), 0)


# ---- what must hold -----------------------------------------------------------------------------


def same_as_native(native, got):
    """Same stdout and status, no word from vmsup, no divergence."""
    wrong = []
    if got.status != native.status:
        wrong.append("status: natively %s, here %s" % (status_text(native.status), status_text(got.status)))
    if got.out != native.out:
        wrong.append("stdout differs; natively:")
        wrong += ["  " + x for x in clip(native.out)]
    if re.search(r"^vmsup\b", got.err, re.M):
        wrong.append("vmsup said something on stderr")
    wrong += stats_wrong(got)
    if wrong:
        raise Failure("\n".join(wrong + [str(got)]))


def stats_wrong(got):
    if "--audit" not in got.argv:
        return []
    if got.stats is None:
        return ["no statistics were written"]
    if got.stats.get("divergences") != 0:
        return ["divergences: %r" % got.stats.get("divergences")]
    if got.stats.get("audits", 0) < 1:
        return ["nothing was audited: %r" % got.stats.get("audits")]
    return []


def expect(got, status=None, out=None, err=None):
    """Check the parts that are given; @out and @err are patterns."""
    wrong = []
    if status is not None:
        wanted = status if isinstance(status, tuple) else (status,)
        if got.status not in wanted:
            wrong.append("status: wanted %s" % " or ".join(status_text(s) for s in wanted))
    if out is not None and not re.search(out, got.out, re.M):
        wrong.append("stdout: wanted /%s/" % out)
    if err is not None and not re.search(err, got.err, re.M | re.I):
        wrong.append("stderr: wanted /%s/" % err)
    if wrong:
        raise Failure("\n".join(wrong + [str(got)]))
    return got


def expect_sentence(got, status, pattern=None):
    """vmsup itself gave up: the status, and exactly one line on stderr that begins with its name."""
    expect(got, status, err=pattern)
    lines = got.err.splitlines()
    if len(lines) != 1 or not lines[0].startswith("vmsup"):
        raise Failure("wanted one sentence from vmsup on stderr\n%s" % got)
    return got


def require(condition, text):
    if not condition:
        raise Failure(text)


def need(*programs):
    for p in programs:
        if not shutil.which(p, path=PATH):
            raise Skip("%s is not installed" % p)


# ---- terminals ----------------------------------------------------------------------------------


class Terminal:
    """A program on a terminal of its own, and a person who types."""

    def __init__(self, argv, user=None, env=None, fresh=True, echo=False):
        user = user or ME
        self.user = user
        self.work = place.fresh(user) if fresh else os.path.join(place.top, user, "work")
        self.master, slave = pty.openpty()
        os.set_inheritable(slave, True)
        attr = termios.tcgetattr(slave)
        attr[1] &= ~termios.ONLCR
        if not echo:
            attr[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, attr)
        if user == "ordinary" and ME == "root":
            os.fchown(slave, NOBODY, NOBODY)
        self.text = ""
        self.seen = 0
        # setsid -c: a new session whose terminal this is.
        self.proc = Proc(
            as_user(user, ["setsid", "-c"] + argv),
            self.work,
            place.env(user, dict({"PS1": "$ "}, **(env or {}))),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            session=False,
        )
        os.close(slave)

    def type(self, text):
        os.write(self.master, text.encode())

    def pump(self, seconds):
        r, _, _ = select.select([self.master], [], [], seconds)
        if r:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return False
            if not data:
                return False
            self.text += data.decode(errors="replace")
        return True

    def wait(self, pattern, seconds=20):
        """Wait for @pattern after what was seen last; the match."""
        end = time.monotonic() + seconds
        alive = True
        while True:
            m = re.compile(pattern, re.M).search(self.text, self.seen)
            if m:
                self.seen = m.end()
                return m
            if not alive or time.monotonic() > end:
                raise Failure(
                    "the terminal never showed %r; it shows:\n%s\n%s"
                    % (pattern, self.text, snapshot_of(descendants()))
                )
            alive = self.pump(0.1)

    def foreground(self):
        """The process group that has the terminal."""
        return os.tcgetpgrp(self.master)

    def wait_job(self, shell_group, seconds=20):
        """Wait until another group than the shell's has the terminal, so that keys reach it."""
        end = time.monotonic() + seconds
        while self.foreground() == shell_group:
            if time.monotonic() > end:
                raise Failure("no job ever got the terminal; it shows:\n" + self.text)
            self.pump(0.02)

    def end(self, seconds=30):
        """Wait for the program to end; its status."""
        end = time.monotonic() + seconds
        while self.proc.popen.poll() is None and time.monotonic() < end:
            if not self.pump(0.05):
                break
        status = self.proc.wait(max(1, end - time.monotonic()))
        while self.pump(0) and select.select([self.master], [], [], 0)[0]:
            pass
        os.close(self.master)
        return status


# ---- TAP ----------------------------------------------------------------------------------------


def filter_nothing():
    """A seccomp filter of its own, as a container's, that allows everything."""
    class Program(ctypes.Structure):  # struct sock_fprog
        _fields_ = [("len", ctypes.c_ushort), ("insns", ctypes.c_void_p)]
    libc = ctypes.CDLL(None, use_errno=True)
    allow = (ctypes.c_uint32 * 2)(0x6, 0x7fff0000)
    program = Program(1, ctypes.addressof(allow))
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program)):
        raise OSError(ctypes.get_errno(), "prctl")


class Suite:
    def __init__(self):
        self.cases = []

    def add(self, name, fn, *args):
        self.cases.append((name, fn, args))

    def case(self, fn):
        """As a decorator: the docstring is the claim."""
        self.add(" ".join(fn.__doc__.split()), fn)
        return fn

    def case_for(self, some_ways):
        def deco(fn):
            for w in some_ways:
                self.add("%s [%s]" % (" ".join(fn.__doc__.split()), w.name), fn, w)
            return fn

        return deco

    def main(self):
        words = sys.argv[1:]
        cases = [c for c in self.cases if all(w in c[0] for w in words)]
        failed = 0
        emit("1..%d" % len(cases))
        for number, (name, fn, args) in enumerate(cases, 1):
            name = name.replace("#", "")
            began = time.monotonic()
            try:
                fn(*args)
                left = leftovers(5)
                if left:
                    text = snapshot_of(left)
                    raise Failure("processes left behind\n" + text)
                emit("ok %d - %s" % (number, name))
            except Skip as e:
                emit("ok %d - %s # SKIP %s" % (number, name, e))
            except Failure as e:
                failed += 1
                emit("not ok %d - %s" % (number, name))
                diag(str(e))
            except Exception:
                failed += 1
                emit("not ok %d - %s" % (number, name))
                diag(traceback.format_exc())
            finally:
                kill_all()
                Proc.owned.clear()
            if time.monotonic() - began > 10:
                diag("that took %.1f s" % (time.monotonic() - began))
        sys.exit(1 if failed else 0)


def emit(line):
    print(line, flush=True)


def diag(text):
    for line in text.splitlines():
        emit("# " + line)


# Orphans of every run come to us, so that none is missed.
ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
# Written by a test that runs under make, whose SIGPIPE and SIGINT may be ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
place = Place()
