#!/usr/bin/python3
"""Exit statuses, deaths by signal, and what vmsup says when it cannot do what it was asked."""

import os
import signal
import struct

import vmsuptest as t

s = t.Suite()
DIE = t.place.guest("die")
BOTH = t.ways(modes=("supervise", "fence"), users=(t.ME,), ranges=("low",))
EVERY = t.ways(modes=("supervise", "fence"), ranges=("low",))
TOP = 0x7FFFFFFFF000


def min_addr():
    return int(t.read_text("/proc/sys/vm/mmap_min_addr", "65536"))


# ---- statuses -----------------------------------------------------------------------------------


@s.case_for(BOTH)
def exits(way):
    """every exit status is the program's"""
    wrong = []
    for n in range(256):
        got = t.run(way, [DIE, "exit", str(n)], stats=False, audit=False)
        if got.status != n or got.err:
            wrong.append("exit %d became %s %s" % (n, t.status_text(got.status), got.err.strip()))
    t.require(not wrong, "\n".join(wrong))


@s.case_for(BOTH)
def signals(way):
    """killed by a signal, the front dies of the same"""
    stay = {"SIGCHLD", "SIGCONT", "SIGURG", "SIGWINCH", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU"}
    numbers = [n for n in range(1, 65) if n not in (32, 33)]
    wrong = []
    for n in numbers:
        try:
            if signal.Signals(n).name in stay:
                continue
        except ValueError:
            pass
        got = t.run(way, [DIE, "signal", str(n)], stats=False, audit=False)
        if got.status != -n or got.err:
            wrong.append("signal %d became %s %s" % (n, t.status_text(got.status), got.err.strip()))
    t.require(not wrong, "\n".join(wrong))


@s.case_for(EVERY)
def faults(way):
    """abort and a wild pointer end as they do natively"""
    t.expect(t.run(way, [DIE, "abort"]), -signal.SIGABRT)
    t.expect(t.run(way, [DIE, "segv"]), -signal.SIGSEGV)


@s.case_for(EVERY)
def shell_sees(way):
    """a shell sees the status as of the program itself"""
    vmsup = " ".join(t.vmsup_argv(way, []))
    script = "%s %s exit 7; echo $?; %s %s signal 9; echo $?; %s /nonexistent 2>/dev/null; echo $?" % (
        vmsup, DIE, vmsup, DIE, vmsup,
    )
    got = t.run_native(way.user, ["bash", "-c", script])
    t.expect(got, 0, r"\A7\n137\n127\n\Z")


@s.case_for(EVERY)
def not_found(way):
    """127 when the program is not found"""
    for argv in (["/nonexistent/program"], ["no-such-program-anywhere"], ["./missing"]):
        got = t.run(way, argv, stats=False, audit=False)
        t.expect_sentence(got, 127, r"not found|no such")


@s.case_for(EVERY)
def not_executable(way):
    """126 when the program cannot be executed"""
    t.expect_sentence(t.run(way, ["./plain"], {"plain": "text\n"}, stats=False, audit=False), 126)
    t.expect_sentence(t.run(way, ["/etc"], stats=False, audit=False), 126)
    got = run_file(way, b"#!/nonexistent/interpreter\n")
    t.expect_sentence(got, 127, r"interpreter")


def run_file(way, content, inner=False, extra=()):
    """Run a file with @content; @inner: by a shell that runs inside."""
    work = t.place.fresh(way.user)
    path = os.path.join(work, "prog")
    with open(path, "wb") as f:
        f.write(content)
    os.chmod(path, 0o755)
    argv = ["bash", "-c", "./prog; echo status $?"] if inner else ["./prog"]
    return t.run(way, argv, fresh=False, stats=False, audit=False, extra=extra)


# ---- ranges -------------------------------------------------------------------------------------


def bad_range(text, pattern=None):
    got = t.run_vmsup(["run", "--range", text, "--", "/bin/echo", "never"])
    t.expect_sentence(got, 125, pattern)
    t.require("never" not in got.out, "the program ran\n%s" % got)


@s.case
def reversed_range():
    """a reversed or empty range is refused"""
    bad_range("0x7fff0000-0x10000", "range")
    bad_range("0x10000-0x10000", "range")


@s.case
def unaligned():
    """a range that is not page-aligned is refused"""
    bad_range("0x10001-0x7fff0000", "align|page|multiple")
    bad_range("0x10000-0x7fff0800", "align|page|multiple")


@s.case
def unparsable():
    """a range that cannot be read is refused"""
    for text in ("", "-", "hello", "0x10000", "0x10000-", "-0x20000", "0x10000-0x2000z", "1-2-3",
                 "0x10000:0x20000", "99999999999999999999999-0x1000", "0x-0x10", " 0x10000-0x20000000",
                 "64K-2Q", "20000000T-20000001T"):
        bad_range(text)


@s.case
def too_low():
    """a range below mmap_min_addr is refused"""
    if min_addr() < t.PAGE:
        raise t.Skip("vm.mmap_min_addr is 0")
    bad_range("0-0x7fff0000", "mmap_min_addr|lowest")


@s.case
def too_high():
    """a range above the user address space is refused"""
    bad_range("0x10000-0x100000000000000", "address space|highest|above")
    bad_range("0xffff800000000000-0xffff900000000000", "address space|highest|above")


@s.case_for(EVERY)
def too_small(way):
    """a range too small for the image is refused, and nothing is left"""
    for text in ("0x10000000-0x10001000", "0x10000000-0x10010000", "0x10000000-0x10100000"):
        words = ["run", "--range", text, "--mode", way.mode, "--", "/bin/bash", "-c", "echo never"]
        got = t.run_vmsup(words, way.user)
        t.expect_sentence(got, (125, 126), r"range|fit|room")
        t.require("never" not in got.out, "the program ran\n%s" % got)


@s.case
def suffixes():
    """suffixes K M G T and decimal numbers are understood"""
    for text in ("64K-2047M", "65536-2146435072", "8G-16G", "1T-2T", "0x40000000-3G"):
        got = t.run_vmsup(["run", "--range", text, "--", "/bin/echo", "fine"])
        t.expect(got, 0, r"\Afine\n\Z")


@s.case_for(t.ways(modes=("supervise", "fence"), ranges=("high",)))
def exec_outside(way):
    """a fixed program outside the range is refused with 126; a shell inside lives on"""
    prog = t.place.guest("hello-static")
    t.expect_sentence(t.run(way, [prog], stats=False, audit=False), 126, r"range|fixed|address")
    t.expect_sentence(t.run(way, [t.place.guest("hello-nopie")], stats=False, audit=False), 126)
    got = t.run(way, ["bash", "-c", "%s; echo status $?; echo alive" % prog], stats=False, audit=False)
    t.expect(got, 0, r"\Astatus 1(26|27|37|39)\nalive\n\Z", r"^vmsup.*(range|fixed|address)")


# ---- programs of another kind -------------------------------------------------------------------


def tiny(machine, bits, code, vaddr=0x8048000):
    """A static executable that is nothing but @code."""
    if bits == 32:
        head = struct.pack("<16sHHIIIIIHHHHHH", b"\x7fELF\x01\x01\x01", 2, machine, 1, vaddr + 84, 52, 0, 0,
                           52, 32, 1, 0, 0, 0)
        head += struct.pack("<IIIIIIII", 1, 0, vaddr, vaddr, 84 + len(code), 84 + len(code), 5, 4096)
    else:
        head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, machine, 1, vaddr + 120, 64, 0,
                           0, 64, 56, 1, 0, 0, 0)
        head += struct.pack("<IIQQQQQQ", 1, 5, 0, vaddr, vaddr, 120 + len(code), 120 + len(code), 4096)
    return head + code


I386_EXIT_7 = bytes.fromhex("b801000000bb07000000cd80")
X64_EXIT_7 = bytes.fromhex("b83c000000bf070000000f05")


@s.case_for(BOTH)
def tiny_runs(way):
    """the smallest static program runs"""
    t.expect(run_file(way, tiny(62, 64, X64_EXIT_7)), 7)


@s.case_for(EVERY)
def i386(way):
    """the smallest static i386 program runs"""
    t.expect(run_file(way, tiny(3, 32, I386_EXIT_7)), 7)


@s.case_for(EVERY)
def x32(way):
    """an x32 program is refused with 126"""
    t.expect_sentence(run_file(way, tiny(62, 32, X64_EXIT_7)), 126)


@s.case_for(EVERY)
def no_program(way):
    """what the kernel cannot execute ends as with env(1), which takes it for a shell script"""
    for content in (tiny(183, 64, X64_EXIT_7), b"\x7fELF" + bytes(200), b"exit 5\n", b""):
        work = t.place.fresh(way.user)
        with open(os.path.join(work, "prog"), "wb") as f:
            f.write(content)
        os.chmod(os.path.join(work, "prog"), 0o755)
        native = t.finish(t.Proc(t.as_user(way.user, ["env", "./prog"]), work, t.place.env(way.user)))
        got = run_file(way, content)
        t.require(got.status == native.status, "natively:\n%s\nhere:\n%s" % (native, got))


# ---- surroundings that do not allow it ----------------------------------------------------------


@s.case_for(EVERY)
def nested(way):
    """vmsup inside vmsup is refused by name"""
    inner = [t.place.vmsup(), "run"] + way.options() + ["--", "/bin/echo", "never"]
    got = t.run(way, inner, stats=False, audit=False)
    t.expect_sentence(got, 125, r"EBUSY|busy|inside|already|another")
    t.require("never" not in got.out, "the program ran\n%s" % got)


@s.case_for(EVERY)
def traced_outside(way):
    """a program that somebody else traces is refused, naming the reason"""
    t.need("strace")
    work = t.place.fresh(way.user)
    argv = ["strace", "-f", "-o", "/dev/null"] + t.vmsup_argv(way, ["/bin/echo", "never"], audit=False)
    proc = t.Proc(t.as_user(way.user, argv), work, t.place.env(way.user))
    got = t.finish(proc, 60)
    t.expect_sentence(got, (125, 126), r"trace")


@s.case_for(EVERY)
def traced_inside(way):
    """inside, a traced child cannot exec: EPERM, and all live"""
    got = t.run(way, [t.place.guest("traced")], stats=False, audit=False)
    t.expect(got, 0, r"\Achild: Operation not permitted\n\Z", r"^vmsup.*trace")


@s.case_for([w for w in t.ways(modes=("supervise", "fence"), ranges=("low",)) if w.user == "ordinary"])
def as_limit_before(way):
    """a hard RLIMIT_AS set before is refused with what to do"""
    work = t.place.fresh(way.user)
    script = "ulimit -v 4000000; exec " + " ".join(t.vmsup_argv(way, ["/bin/echo", "never"], audit=False))
    proc = t.Proc(t.as_user(way.user, ["bash", "-c", script]), work, t.place.env(way.user))
    got = t.finish(proc)
    t.expect_sentence(got, 125, r"RLIMIT_AS|ulimit -v")


@s.case_for(t.ways(modes=("supervise",), ranges=("low",)))
def as_limit_soft(way):
    """a soft RLIMIT_AS set before is kept for the program, or refused with what to do"""
    work = t.place.fresh(way.user)
    inner = "ulimit -Sv; python3 -c 'bytearray(900 << 20)' 2>&1 | tail -1"
    script = "ulimit -Sv 600000; exec " + " ".join(t.vmsup_argv(way, [], audit=False)) + ' bash -c "$0"'
    proc = t.Proc(t.as_user(way.user, ["bash", "-c", script, inner]), work, t.place.env(way.user))
    got = t.finish(proc)
    if got.status == 125:
        t.expect_sentence(got, 125, r"RLIMIT_AS|ulimit -v")
    else:
        t.expect(got, 0, r"\A600000\nMemoryError\n\Z")


AS_INSIDE = """
ulimit -v 700000; ulimit -v
python3 -c 'print(len(bytearray(100 << 20)))'
python3 -c 'bytearray(900 << 20)' 2>&1 | tail -1
(ulimit -Sv 500000; ulimit -Sv; ulimit -Hv; cat /dev/null && echo execs)
python3 -c '
import resource
print(resource.getrlimit(resource.RLIMIT_AS))
resource.setrlimit(resource.RLIMIT_AS, (300 << 20, 400 << 20))
print(resource.getrlimit(resource.RLIMIT_AS))
try: resource.setrlimit(resource.RLIMIT_AS, (500 << 20, 400 << 20))
except ValueError as e: print("refused")
try: bytearray(350 << 20); print("got it")
except MemoryError: print("MemoryError")
print(resource.prlimit(0, resource.RLIMIT_AS))'
"""


@s.case_for(t.ways(modes=("supervise",)))
def as_limit_inside(way):
    """RLIMIT_AS set inside holds for the program as it does natively"""
    argv = ["bash", "-c", AS_INSIDE]
    env = t.place.python_env(way.range)
    t.same_as_native(t.run_native(way.user, argv, env=env), t.run(way, argv, env=env))


COUNT_MAPS = 'my $n = 0; $n++ while syscall(9, 0, 1 << 20, 0, 0x22, -1, 0) != -1; print $n'


@s.case_for(t.ways(modes=("supervise", "fence")))
def as_limit_exact(way):
    """a program executed under RLIMIT_AS gets as much as it does natively"""
    argv = ["bash", "-c", "ulimit -v 300000; perl -e '%s'" % COUNT_MAPS]
    native, got = int(t.run_native(way.user, argv).out), int(t.expect(t.run(way, argv), 0).out)
    t.require(abs(native - got) <= 1, "natively %d MiB, here %d" % (native, got))


@s.case_for(t.ways(modes=("fence",), ranges=("low",)))
def as_limit_fence(way):
    """in fence mode a program after ulimit -v either runs or fails with a sentence; nothing hangs"""
    got = t.run(way, ["bash", "-c", "ulimit -v 4000000; /bin/true; echo status $?"], stats=False)
    if "status 0" not in got.out:
        t.expect(got, 0, r"^status \d+$", r"^vmsup.*(RLIMIT_AS|ulimit)")


@s.case_for(t.ways(modes=("supervise", "fence"), ranges=("low",)))
def few_files(way):
    """a soft limit of few open files binds the program, not vmsup; a hard one is refused"""
    inner = "bash -c 'ulimit -Sn; echo a | cat; /bin/echo b'"
    argv = t.vmsup_argv(way, ["bash", "-c", inner], audit=False)
    for words, few in (("ulimit -Sn 12", True), ("ulimit -n 12", False)):
        work = t.place.fresh(way.user)
        # The limit comes last: what changes the user could not start with it.
        proc = t.Proc(t.as_user(way.user, ["bash", "-c", words + '; exec "$@"', "-"] + argv), work,
                      t.place.env(way.user))
        got = t.finish(proc)
        if few or got.status == 0:
            t.expect(got, 0, r"\A12\na\nb\n\Z")
        else:
            t.expect_sentence(got, 125, r"ulimit -n")


@s.case_for([w for w in t.ways(modes=("supervise", "fence"), ranges=("low",)) if w.user == "root"])
def no_procfs(way):
    """without /proc, or with one that cannot be written, vmsup says so"""
    argv = t.vmsup_argv(way, ["/bin/echo", "never"], audit=False)
    for words in ("umount -l /proc", "mount -o bind,ro /proc /proc; mount -o remount,bind,ro /proc"):
        got = t.run_native("root", ["unshare", "-m", "bash", "-c", words + ' || exit 99; exec "$@"', "-"] + argv)
        if got.status in (1, 99):
            raise t.Skip("no mount namespace here")
        t.expect_sentence(got, 125, r"/proc.*mount")


@s.case_for(EVERY)
def unreadable(way):
    """a setuid program runs without its bit, or is refused with a sentence"""
    got = t.run(way, ["mount", "--version"], stats=False, audit=False)
    if got.status:
        t.expect_sentence(got, got.status)
    else:
        t.expect(got, 0, r"util-linux")


# ---- usage --------------------------------------------------------------------------------------


@s.case
def usage():
    """wrong words on the command line are 125 with a sentence"""
    for words in (
        ["run"],
        ["run", "--"],
        ["run", "--nonsense", "--", "true"],
        ["run", "--range"],
        ["run", "--mode", "other", "--", "true"],
        ["run", "--place", "nowhere", "--", "true"],
        ["run", "--seed", "x", "--", "true"],
        ["run", "--range", "0x10000-0x7fff0000", "--stats=/nonexistent/dir/file", "--", "true"],
        ["run", "--range", "0x10000-0x7fff0000", "--trace=/nonexistent/dir/file", "--", "true"],
    ):
        got = t.run_vmsup(words)
        t.expect(got, 125)
        t.require(got.err.startswith("vmsup") and not got.out, "no sentence for %r\n%s" % (words, got))


@s.case
def options_end():
    """options end at the first word that is none, or at --"""
    t.expect(t.run_vmsup(["run", "/bin/echo", "--range", "x"]), 0, r"\A--range x\n\Z")
    t.expect(t.run_vmsup(["run", "--range=0x10000-0x7fff0000", "/bin/echo", "--", "y"]), 0, r"\A-- y\n\Z")


@s.case_for(EVERY)
def no_range(way):
    """without a range programs run unconfined"""
    words = ["run", "--mode", way.mode]
    t.expect(t.run_vmsup(words + ["bash", "-c", "seq 9 | tail -1; exit 3"], way.user), 3, r"\A9\n\Z")
    t.expect(t.run_vmsup(words + [t.place.guest("hello-static")], way.user), 23)


s.main()
