#!/usr/bin/python3
"""What may be executable: --wx, --exec-from, --no-anon-exec."""

import os
import shutil

import vmsuptest as t

s = t.Suite()
WAYS = [w for w in t.ways(places=("auto", "remote")) if w.range == "low" and (w.user == t.ME or w.place == "auto")]
MINE = [w for w in WAYS if w.user == t.ME and w.place == "auto"]
EXECSTACK = "int main(void) { return 7; }\n"


def tries(way, options):
    got = t.run(way, [t.place.guest("protect")], extra=options)
    t.expect(got, 0)
    wrong = t.stats_wrong(got)
    t.require(not wrong, "%s\n%s" % (wrong, got))
    return dict(x.split(" ", 1) for x in got.out.splitlines()), got


def natively():
    got = t.run_native(t.ME, [t.place.guest("protect")])
    return dict(x.split(" ", 1) for x in got.out.splitlines())


WX = {
    "both", "after-write", "after-write-read", "after-move", "both-later", "after-fork", "text-written", "open-to-write",
    "alias", "alias-later", "memfd", "memfd-private", "shm", "memfd-later", "memfd-private-later", "open-to-write-later",
    "shm-later", "shared", "shared-later", "file-both", "file-both-later", "userfaultfd",
}
ANON = {"both", "anon", "after-write", "after-write-read", "after-move", "both-later", "after-fork", "text-written", "memfd",
        "memfd-private", "shm", "memfd-later", "memfd-private-later", "shm-later", "shared", "shared-later", "file-both", "file-both-later"}


def check(seen, plain, refused):
    for name, result in plain.items():
        wanted = "EACCES" if name in refused else result
        if (name == "personality" and refused) or (name == "userfaultfd" and name in refused):
            wanted = "EPERM"
        t.require(seen.get(name) == wanted, "%s: wanted %s, got %s; natively %s\n%r" % (name, wanted, seen.get(name), result, seen))


@s.case_for(WAYS)
def deny(way):
    """--wx deny: never writable and executable at once, nor executable after writable; all else as natively"""
    plain = natively()
    t.require(all(plain[name] == "ok" for name in WX | ANON), "natively: %r" % plain)
    seen, got = tries(way, ["--wx", "deny"])
    check(seen, plain, WX)
    t.require(got.stats["policy"]["wx"] >= len(WX), "%r" % got.stats["policy"])


@s.case_for(WAYS)
def no_anon_exec(way):
    """--no-anon-exec: only files are executable"""
    seen, _ = tries(way, ["--no-anon-exec"])
    check(seen, natively(), ANON)


@s.case_for(MINE)
def log(way):
    """--wx log refuses nothing, and tells"""
    seen, got = tries(way, ["--wx=log"])
    plain = natively()
    check({k: v for k, v in seen.items() if k != "personality"}, {k: v for k, v in plain.items() if k != "personality"}, set())
    t.expect(got, 0, None, r"^vmsup: process \d+: mmap is allowed, but asks for memory that is writable and executable at once")
    t.require(got.stats["policy"]["wx"] >= len(WX), "%r" % got.stats["policy"])


@s.case_for(WAYS)
def exec_from(way):
    """--exec-from: code only from the named trees, at exec and by mmap and mprotect"""
    library = "/usr/lib/x86_64-linux-gnu/libz.so.1"
    t.need("python3")
    if not os.path.exists(library):
        raise t.Skip("there is no libz")
    work = t.place.fresh(way.user)
    shutil.copy(library, os.path.join(work, "libmine.so"))
    os.chmod(work, 0o755)
    script = "import ctypes\nfor n in ('libz.so.1', './libmine.so'):\n try: ctypes.CDLL(n); print('loaded')\n except OSError as e: print('refused')"
    python = ["/usr/bin/python3", "-c", script]
    for options, out in ((["--exec-from=/usr"], "loaded\nrefused\n"), (["--exec-from=/usr", "--exec-from", work], "loaded\nloaded\n")):
        words = t.vmsup_argv(way, python, None, True, options)
        got = t.finish(t.Proc(t.as_user(way.user, words), work, t.place.env(way.user)))
        t.require(got.status == 0 and got.out == out, "with %r\n%s" % (options, got))
    shutil.copy("/bin/true", os.path.join(work, "mine"))
    words = t.vmsup_argv(way, ["/bin/sh", "-c", "./mine; echo $?; /bin/true; echo $?"], None, True, ["--exec-from=/usr"])
    got = t.finish(t.Proc(t.as_user(way.user, words), work, t.place.env(way.user)))
    t.expect(got, 0, r"\A126\n0\n\Z")


@s.case_for(WAYS)
def mounted(way):
    """--exec-from: what a child mounts under a trusted name in a mount namespace of its own is not trusted"""
    work = t.place.fresh(way.user)
    os.chmod(work, 0o755)
    for name in ("good", "bad"):
        os.mkdir(os.path.join(work, name), 0o755)
    for name in ("good/mine", "bad/mine", "bad/other"):
        shutil.copy("/bin/true", os.path.join(work, name))
    bind = "mount --bind %s/bad %s/good || exit 99; " % (work, work)
    for script in ("good/mine; echo $?", "good/other; echo $?", "/bin/true; echo $?"):
        argv = ["/usr/bin/unshare", "-rm", "/bin/sh", "-c", bind + script]
        if t.finish(t.Proc(t.as_user(way.user, argv), work, t.place.env(way.user))).status == 99:
            raise t.Skip("no mount in a namespace")
        words = t.vmsup_argv(way, argv, None, True, ["--exec-from=/usr", "--exec-from", os.path.join(work, "good")])
        got = t.finish(t.Proc(t.as_user(way.user, words), work, t.place.env(way.user)))
        t.expect(got, 0, r"\A0\n\Z" if "true" in script else r"\A126\n\Z")


@s.case_for(MINE)
def memory_image(way):
    """a program in a memory file starts under neither --wx deny nor --no-anon-exec"""
    t.need("python3")
    script = """import os
f = os.memfd_create('x', 0)
os.write(f, open('/bin/true', 'rb').read())
if os.fork() == 0: os.execve(f, ['true'], {})
print(os.wait()[1])"""
    for options, out in ((["--wx=deny"], "9"), (["--no-anon-exec"], "9"), (["--wx=log"], "0"), ([], "0")):
        got = t.run(way, ["/usr/bin/python3", "-c", script], extra=options)
        t.expect(got, 0, r"\A%s\n\Z" % out)


@s.case_for(MINE)
def swapped(way):
    """a descriptor that is swapped between check and use maps nothing executable"""
    work = t.place.fresh(way.user)
    mine = os.path.join(work, "mine.so")
    shutil.copy("/usr/lib/x86_64-linux-gnu/libm.so.6", mine)
    words = t.vmsup_argv(way, [t.place.guest("protect"), "race", mine], None, False,
                         ["--exec-from=/usr", "--exec-from", t.place.bin])
    got = t.finish(t.Proc(t.as_user(way.user, words), work, t.place.env(way.user)))
    t.expect(got, 0, r"\Akept\n\Z")


@s.case_for(MINE)
def programs(way):
    """real programs that need no code of their own making run under all three at once"""
    options = ["--wx", "deny", "--no-anon-exec", "--exec-from", "/usr"]
    for argv, out in (
        (["bash", "-c", "seq 5 | sort -r | head -1"], "5\n"),
        (["perl", "-e", "print 6 * 7, qq{\n}"], "42\n"),
        (["/usr/bin/python3", "-c", "import json, zlib; print(len(zlib.compress(b'x' * 1000)) < 100)"], "True\n"),
        (["git", "--version"], None),
        (["sqlite3", ":memory:", "select 2 + 2"], "4\n"),
    ):
        got = t.run(way, argv, extra=options)
        t.require(got.status == 0 and (out is None or got.out == out), "%s" % got)
        t.require(got.stats["divergences"] == 0, "divergences\n%s" % got)


@s.case_for(MINE)
def jit(way):
    """a just-in-time compiler is refused its code, in its own words"""
    t.need("luajit")
    script = "local s = 0 for i = 1, 1e7 do s = s + i end print(s)"
    got = t.run(way, ["luajit", "-e", script], extra=["--wx=deny"])
    t.require(got.stats["policy"].get("wx", 0) > 0, "nothing was refused\n%s" % got)


@s.case_for(MINE)
def execstack(way):
    """a program with an executable stack does not start under --wx deny"""
    t.need("gcc")
    work = t.place.fresh(way.user, {"a.c": EXECSTACK})
    t.expect(t.finish(t.Proc(["gcc", "-z", "execstack", "a.c", "-o", "a"], work, t.place.env(way.user))), 0)
    for options, status in ((["--wx=deny"], 126), (["--wx=log"], 7), ([], 7)):
        words = t.vmsup_argv(way, ["./a"], None, False, options)
        got = t.expect(t.finish(t.Proc(t.as_user(way.user, words), work, t.place.env(way.user))), status)
    words = t.vmsup_argv(way, ["./a"], None, False, ["--wx=deny"])
    t.expect_sentence(t.finish(t.Proc(words, work, t.place.env(way.user))), 126, "an executable stack")


@s.case
def wrong_words():
    """options that make no sense say so in a sentence"""
    for words, pattern in (
        (["--wx=maybe"], "none of allow, log and deny"),
        (["--exec-from=usr"], "no absolute name"),
        (["--no-anon-exec=1"], "takes no value"),
        (["--mode=fence", "--wx=deny"], "no effect with --mode=fence"),
    ):
        t.expect_sentence(t.run_vmsup(["run"] + words + ["--", "true"]), 125, pattern)


s.main()
