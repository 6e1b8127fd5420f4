#!/usr/bin/python3
"""i386 programs: as natively, inside the range, and mixed with 64-bit ones; refused where they cannot be."""

import json
import os
import re
import struct

import vmsuptest as t

s = t.Suite()
BOTH_MODES = ("supervise", "fence")
LOW = t.ways(modes=BOTH_MODES, ranges=("low",))
WIDE = t.ways(modes=BOTH_MODES, users=(t.ME,), ranges=("all32", "across"))
REMOTE = t.ways(places=("remote",), users=(t.ME,), ranges=("low", "all32"))
MINE = t.ways(modes=BOTH_MODES, users=(t.ME,), ranges=("low",))
END = 0xFFFFE000
FILE = {"file": "x" * 65536}


def guest(name):
    return t.place.guest(name + "-32")


def same(way, argv, files=None):
    got = t.run(way, argv, files)
    t.same_as_native(t.run_native(way.user, argv, files), got)
    return got


# ---- as natively --------------------------------------------------------------------------------


@s.case_for(LOW + WIDE + REMOTE)
def calls(way):
    """every call that is i386's own returns what it returns natively"""
    # Where its arguments cannot be seen, and the fence is not sealed, the old mmap is refused.
    argv = [guest("i386")] + (["but-old-mmap"] if way.mode == "fence" and not t.has_mseal() else [])
    same(way, argv)


@s.case_for(LOW + WIDE + REMOTE)
def linked(way):
    """programs of every kind of linking run"""
    kinds = ["hello", "hello-static-pie"]
    if way.range != "across":
        kinds += ["hello-nopie", "hello-static"]
    for kind in kinds:
        same(way, [guest(kind), "a", "b c", ""])


@s.case_for(MINE + WIDE + REMOTE)
def others(way):
    """/proc, the stack, the vdso's clock, and threads that map while another forks"""
    for name in ("procinfo", "recurse", "mapfork"):
        same(way, [guest(name)])
    t.expect(t.run(way, [guest("vdsotime")]), 0)


@s.case_for(t.ways(ranges=("low", "all32", "across"), users=(t.ME,)))
def predicted(way):
    """the kernel's places are known beforehand"""
    got = t.run(way, [guest("mapper"), "file"], FILE)
    t.expect(got, 0, r"\Aready ")
    wrong = t.stats_wrong(got)
    t.require(not wrong, "%s\n%s" % (wrong, got))
    t.require(got.stats["mispredicted"] == 0 and got.stats["remote"] == 0, "statistics: %r" % got.stats)


@s.case_for(t.ways(users=(t.ME,), ranges=("low", "all32")))
def personalities(way):
    """programs that were given another personality run all the same"""
    same(way, ["setarch", "i386", "-R", guest("i386")])
    got = same(way, ["setarch", "i386", "-X", guest("hello")])
    t.require(got.stats["mispredicted"] == 0, "statistics: %r" % got.stats)
    # By a call of its own: then it is not known, but found out.
    same(way, ["bash", "-c", "setarch i386 -X %s; setarch i386 -X %s" % (guest("mapfork"), guest("i386"))])


@s.case_for(MINE)
def three_gigabytes(way):
    """3 GiB of addresses are enough for a range that ends lower, and no place for another"""
    same(way, ["setarch", "i386", "-3", guest("i386"), "but-old-mmap"])
    got = t.run(way._replace(range="all32"), ["setarch", "i386", "-3", guest("hello")])
    t.expect(got, None, None, r"vmsup.*3 GiB of addresses.*choose a --range")


@s.case_for(LOW)
def limits(way):
    """RLIMIT_AS follows from 64-bit programs to i386 ones and back"""
    i386 = guest("i386")
    script = "ulimit -Sv 1000000; %s grab 1200; %s grab 700; %s exec bash -c 'ulimit -v; %s grab 700'" % ((i386,) * 4)
    got = t.run(way, ["bash", "-c", script])
    t.expect(got, 0, r"\A1200: ENOMEM\n700: ok\n1000000\n700: ok\nbash: exit 0\n\Z")


@s.case
def no_range():
    """without a range i386 programs run, too"""
    argv = [guest("i386")]
    native = t.run_native(t.ME, argv)
    for words in (["--audit"], ["--no-aslr"], ["--seed", "7", "--place", "remote"], ["--mode", "fence"]):
        got = t.run_vmsup(["run"] + words + ["--"] + argv)
        t.require(got.status == 0 and got.out == native.out and not got.err, "natively:\n%s\nhere:\n%s" % (native, got))


# ---- mixed trees --------------------------------------------------------------------------------


@s.case_for(LOW + WIDE + REMOTE)
def mixed(way):
    """64-bit programs start i386 ones, and these 64-bit ones"""
    i386 = guest("i386")
    inner = "%s x | tail -1; /bin/echo 64; %s exec /bin/false; exit 5" % (guest("hello"), i386)
    same(way, ["bash", "-c", '%s exec bash -c "%s"; echo $?' % (i386, inner)])


def held(way, shape, processes):
    with t.Held(way, [guest("tree"), shape], audit=way.mode == "supervise", stats=True) as g:
        t.check_inside(g.proc.pid, way.lo, way.hi, least=processes)
    wrong = t.stats_wrong(g.got)
    t.require(not wrong, "%s\n%s" % (wrong, g.got))


for w in MINE + WIDE + REMOTE:
    for shape, processes in (("threads", 1), ("fork", 3), ("vfork", 2), ("exec", 2)):
        s.add("%s: no page outside the range [%s]" % (shape, w.name), held, w, shape, processes)


@s.case_for(MINE)
def escapes(way):
    """asking for addresses outside gets none"""
    proc = t.start(way, [guest("escape"), "%#x" % way.lo, "%#x" % way.hi])
    proc.wait_text(r"^done$")
    t.check_inside(proc.pid, way.lo, way.hi)
    os.kill(proc.pid, 15)
    got = t.expect(t.finish(proc), -15)
    wrong = [x for x in got.out.splitlines() if re.search(r": (ok|OUTSIDE)$", x) and not x.endswith("hint: ok")]
    t.require(not wrong, "wrong answers: %s\n%s" % (", ".join(wrong), got))


@s.case_for(t.ways(users=(t.ME,), ranges=("low", "all32", "across")))
def maps(way):
    """maps knows the parts of an i386 program, its fence, and the range it lives in"""
    with t.Held(way, [guest("mapper"), "file"], FILE) as g:
        got = t.expect(t.verb(way, "maps", str(g.pid), "--json"), 0)
        report = json.loads(got.out)
        have = [(int(m["start"], 16), int(m["end"], 16), m["kind"]) for m in report["maps"]]
        kinds = {kind for _, _, kind in have}
        missing = {"exe", "interp", "heap", "stack", "anon", "file", "shm", "vdso", "fence"} - kinds
        t.require(not missing, "no mapping of kind %s\n%s" % (", ".join(missing), got))
        t.require(max(end for _, end, _ in have) == END, "not all up to %#x\n%s" % (END, got))
        for m in t.kernel_maps(g.pid):
            if m.file == "[vsyscall]":
                continue
            inside = any(start <= m.start and m.end <= end for start, end, _ in have)
            parts = sum(min(m.end, end) - max(m.start, start) for start, end, _ in have if start < m.end and end > m.start)
            t.require(inside or parts == m.end - m.start, "%x-%x is not there\n%s" % (m.start, m.end, got))


# ---- signals ------------------------------------------------------------------------------------


def storm(words, way):
    # Not audited: the storm needs many calls in little time.
    got = t.run(way, [guest("sigstorm")] + words.split(), audit=False)
    t.expect(got, 0, r"\Awrong 0\n\Z")


for words in ("1000 mmap", "1000 mremap stop", "1000 brk", "20 exec", "500 threads", "20 vfork"):
    for w in t.ways(users=(t.ME,), ranges=("low",)) + REMOTE[:1]:
        s.add("%s under a storm of signals [%s]" % (words.split()[1], w.name), storm, words, w)

STOP = """
import os, subprocess, sys, time
p = subprocess.Popen(sys.argv[1:])
while p.poll() is None:
    os.kill(p.pid, 19)
    time.sleep(0.0005)
    os.kill(p.pid, 18)
    time.sleep(0.002)
sys.exit(p.returncode)
"""


@s.case_for(t.ways(places=("auto", "remote"), users=(t.ME,), ranges=("low",)))
def stopped(way):
    """stopped and continued all the time, every call is done once"""
    got = t.run(way, ["/usr/bin/python3", "-c", STOP, guest("i386")])
    native = t.run_native(way.user, [guest("i386")])
    t.require(got.out == native.out and got.status == native.status, "natively:\n%s\nhere:\n%s" % (native, got))
    wrong = t.stats_wrong(got)
    t.require(not wrong, "%s\n%s" % (wrong, got))


# ---- refused, and broken ------------------------------------------------------------------------


@s.case_for(t.ways(modes=BOTH_MODES, users=(t.ME,), ranges=("high",)))
def too_high(way):
    """a range above 4 GiB has no room: 126 and a sentence; a shell inside lives on"""
    t.expect_sentence(t.run(way, [guest("hello")], stats=False, audit=False), 126, r"i386.*below 4 GiB")
    got = t.run(way, ["bash", "-c", "%s; echo status $?" % guest("hello")])
    t.expect(got, 0, r"\Astatus 126\n\Z", r"i386.*below 4 GiB")


@s.case_for(t.ways(modes=BOTH_MODES, users=(t.ME,), ranges=("across",)))
def fixed(way):
    """a fixed program outside the range: 126 and a sentence"""
    got = t.run(way, [guest("hello-nopie")], stats=False, audit=False)
    t.expect_sentence(got, 126, r"0x8048000 \(ET_EXEC\), outside the range 0x40000000-0xffffe000")


@s.case_for(t.ways(modes=BOTH_MODES, users=(t.ME,), ranges=("low", "all32")))
def wild_entry(way):
    """a program whose entry point is nowhere dies of it"""
    with open(guest("hello-static"), "rb") as f:
        program = bytearray(f.read())
    struct.pack_into("<I", program, 24, 0x10)
    work = t.place.fresh(way.user)
    path = os.path.join(work, "wild")
    with open(path, "wb") as f:
        f.write(program)
    os.chmod(path, 0o755)
    got = t.run(way, ["bash", "-c", "exec ./wild"], {"x": ""}, fresh=False)
    t.expect(got, -11)


s.main()
