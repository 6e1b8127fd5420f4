#!/usr/bin/python3
"""Configuration files, profiles and completion. What manuals say of them: tests/tools/check-man."""

import os
import re
import shutil

import vmsuptest as t

s = t.Suite()
SOURCE = os.path.abspath(os.environ.get("srcdir", "."))
PROFILES = os.path.join(t.place.top, "profiles")
shutil.copytree(os.path.join(SOURCE, "profiles"), PROFILES)
NAMES = sorted(name[:-5] for name in os.listdir(PROFILES) if name.endswith(".conf"))
ENV = {"VMSUP_PROFILES": PROFILES}
GIB = 1 << 30


def vmsup(words, files=None, fresh=True):
    work = t.place.fresh(t.ME, files) if fresh else os.path.join(t.place.top, t.ME, "work")
    return t.finish(t.Proc(t.as_user(t.ME, [t.place.vmsup()] + words), work, t.place.env(t.ME, ENV)))


def profile(name, argv, options=(), files=None, fresh=True):
    return vmsup(["run", "--profile", name] + list(options) + ["--"] + argv, files, fresh)


def highest(text):
    """The end of the highest mapping in the lines of a /proc/PID/maps that is no fence."""
    ends = re.findall(r"^[0-9a-f]+-([0-9a-f]+) (?!---)(?!.*\[vsyscall\])", text, re.M)
    return max(int(x, 16) for x in ends)


# ---- files --------------------------------------------------------------------------------------


@s.case
def file():
    """run --config takes options from a file, and the command line wins wherever it stands"""
    files = {"a.conf": "# all in 1 GiB\nrange: 64K-1G\nlayout: bottom-up\n"}
    maps = ["cat", "/proc/self/maps"]
    got = t.expect(vmsup(["run", "--config", "a.conf", "--"] + maps, files), 0)
    t.require(highest(got.out) <= GIB, "%s" % got)
    for words in (["--range=4G-8G", "--config=a.conf"], ["--config=a.conf", "--range=4G-8G"]):
        got = t.expect(vmsup(["run"] + words + ["--"] + maps, files), 0)
        t.require(4 * GIB < highest(got.out) <= 8 * GIB, "%s" % got)


@s.case
def limits_of_a_file():
    """a limit in a file holds, and the command line takes it away"""
    argv = ["--", "python3", "-c", "print(len(bytearray(200 << 20)))"]
    files = {"a.conf": "max-commit: 100M\n"}
    t.expect(vmsup(["run", "--config=a.conf"] + argv, files), 1, None, "MemoryError")
    t.expect(vmsup(["run", "--config=a.conf", "--max-commit=none"] + argv, files), 0, r"\A209715200\n\Z")


@s.case
def wrong_file():
    """a file that is wrong stops run before anything is started, with file and line"""
    got = vmsup(["run", "--config=a.conf", "--", "echo", "ran"], {"a.conf": "audit: yes\nrnage: 1M-2M\n"})
    t.expect_sentence(got, 125, r"a\.conf:2: unknown key 'rnage'; did you mean range\?")
    t.expect_sentence(vmsup(["run", "--config=none.conf", "--", "echo", "ran"]), 125, "none.conf: No such file")
    t.expect_sentence(vmsup(["run", "--profile=nine", "--", "echo", "ran"]), 125, "there is no profile 'nine'")


@s.case
def check():
    """check tells every wrong line of every file; 0 when all are right, 1 when not, 2 for bad words"""
    files = {
        "right.conf": "mode: fence\nprofile: va39\n",
        "wrong.conf": "mode: fenced\naudit: yes\nrnage: 1M-2M\nseed: 1\nseed: 2\n",
        "together.conf": "profile: luajit\nmode: fence\n",
    }
    t.expect(vmsup(["check", "right.conf"], files), 0, r"\Aright.conf: right\n\Z", r"\A\Z")
    got = t.expect(vmsup(["check", "right.conf", "wrong.conf"], files), 1, r"\Aright.conf: right\n\Z")
    lines = re.findall(r"^vmsup: wrong\.conf:(\d+): ", got.err, re.M)
    t.require(lines == ["1", "3", "5"], "%s" % got)
    t.expect_sentence(vmsup(["check", "together.conf"], files), 1, "with its profile: .* no effect with --mode=fence")
    t.expect_sentence(vmsup(["check", "none.conf"]), 1, "No such file")
    for words in (["check"], ["check", "--json"]):
        t.expect_sentence(vmsup(words), 2, "check: ")
    got = t.expect(vmsup(["check"] + [os.path.join(PROFILES, n + ".conf") for n in NAMES]), 0)
    t.require(got.out.count(": right\n") == len(NAMES), "%s" % got)


@s.case
def trace_of_a_file():
    """the trace of a run has the options of its file and its profile, and is replayed by them"""
    files = {"a.conf": "profile: low2g\nlayout: scatter:1\nguard-gap: 64K\n"}
    argv = ["run", "--config=a.conf", "--layout=scatter:2", "--trace=t.json", "--", "bash", "-c", "seq 5 | tail -1"]
    t.expect(vmsup(argv, files), 0, r"\A5\n\Z")
    for words, wanted in (([], r"^[1-9]\d* decisions, [1-9]\d* the same, 0 others"), (["--set=guard-gap=1M"], r", [1-9]\d* would be")):
        t.expect(vmsup(["replay"] + words + ["t.json"], fresh=False), 0, wanted)


# ---- profiles -----------------------------------------------------------------------------------


@s.case
def luajit():
    """profile luajit: LuaJIT runs, compiled, and still after 1.5 GiB of other mappings"""
    t.need("luajit")
    script = "local n = 0 for i = 1, 1e6 do n = n + i end print(n, jit.status())"
    t.expect(profile("luajit", ["luajit", "-e", script], ["--audit"]), 0, r"\A500000500000\ttrue")
    library = "/usr/lib/x86_64-linux-gnu/libluajit-5.1.so.2"
    if not os.path.exists(library):
        raise t.Skip("libluajit is not installed")
    argv = [t.place.guest("places"), "hog", str(1536 << 20), library]
    got = t.expect(profile("luajit", argv, ["--range=64K-4G"]), 0, r"\Ahog \d+\nlua 500000500000\n\Z")
    t.require(int(got.out.split()[1]) >= 1500, "the hog got less\n%s" % got)


@s.case
def low2g():
    """profile low2g: everything lies below 2 GiB, more than 1 GiB of MAP_32BIT mappings too"""
    got = t.expect(profile("low2g", ["cat", "/proc/self/maps"]), 0)
    t.require(highest(got.out) <= 2 * GIB, "%s" % got)
    got = t.expect(profile("low2g", [t.place.guest("places"), "low", "80", str(16 << 20)], ["--audit"]), 0)
    at = [int(x, 16) for x in re.findall(r"^0x([0-9a-f]+)$", got.out, re.M)]
    t.require(len(set(at)) == 80 and max(at) < 2 * GIB, "%s" % got)


@s.case
def va39():
    """profile va39: python3 and node live in 39 bits"""
    for program, words in (
        ("python3", ["-c", "x = bytearray(300 << 20); print(open('/proc/self/maps').read())"]),
        ("node", ["-e", "console.log(require('fs').readFileSync('/proc/self/maps', 'latin1'))"]),
    ):
        if not shutil.which(program, path=t.PATH):
            raise t.Skip("%s is not installed" % program)
        got = t.expect(profile("va39", [program] + words), 0)
        t.require(1 << 37 < highest(got.out) <= 1 << 39, "%s" % got)


BUGGY = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int argc, char **argv)
{
	char *p = malloc(100);
	(void)argv;
	memset(p, 1, 100);
	printf("sum %d\\n", p[5] + p[99]);
	free(p);
	return argc > 1 ? p[3] : 0;
}
"""


@s.case
def asan():
    """profile asan: a program with AddressSanitizer runs, and is told of its bug"""
    t.need("gcc")
    work = t.place.fresh(t.ME, {"a.c": BUGGY})
    built = t.finish(t.Proc(["gcc", "-g", "-w", "-fsanitize=address", "a.c", "-o", "a"], work, t.place.env(t.ME)))
    if built.status:
        raise t.Skip("gcc has no AddressSanitizer")
    t.expect(profile("asan", ["./a"], fresh=False), 0, r"\Asum 2\n\Z")
    t.expect(profile("asan", ["./a", "bug"], ["--layout=scatter:1"], fresh=False), None, None, "heap-use-after-free")


@s.case
def strict_wx():
    """profile strict-wx: programs without generated code run, others are refused"""
    t.expect(profile("strict-wx", ["bash", "-c", "seq 5 | tail -1"], ["--audit"]), 0, r"\A5\n\Z")
    script = "import mmap\ntry: mmap.mmap(-1, 4096, flags=0x22, prot=%s)\nexcept OSError as e: print(e.strerror)\nelse: print('mapped')"
    for prot, said in (("3", "mapped"), ("7", "Permission denied"), ("5", "Permission denied")):
        t.expect(profile("strict-wx", ["python3", "-c", script % prot]), 0, r"\A%s\n\Z" % said)
    # The command line takes half of it away.
    got = profile("strict-wx", ["python3", "-c", script % 5], ["--config=a.conf"], {"a.conf": "no-anon-exec: no\n"})
    t.expect(got, 0, r"\Amapped\n\Z")
    t.need("luajit")
    got = profile("strict-wx", ["luajit", "-e", "local n = 0 for i = 1, 1e6 do n = n + i end print(n)"])
    t.expect(got, 1, r"\A\Z", "runtime code generation failed")


# ---- completion ---------------------------------------------------------------------------------


def offered_by_bash(lines):
    """What the completion for bash puts into COMPREPLY for each of @lines."""
    script = r"""
        . "$1"
        shift
        COMP_WORDBREAKS=$' \t\n"\'><=;|&(:'
        for line; do
            COMP_LINE=$line COMP_POINT=${#line}
            read -ra COMP_WORDS <<<"$line"
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            _vmsup vmsup
            echo "$line| ${COMPREPLY[*]}"
        done
        complete -p vmsup
    """
    argv = ["bash", "--norc", "-c", script, "bash", os.path.join(SOURCE, "completion", "vmsup.bash")] + lines
    env = t.place.env(t.ME, dict(ENV, PATH=t.place.bin + ":" + t.PATH))
    got = t.expect(t.finish(t.Proc(argv, t.place.fresh(t.ME, {"some.conf": ""}), env)), 0, None, r"\A\Z")
    t.require("complete -F _vmsup vmsup" in got.out, "%s" % got)
    return dict(line.split("| ", 1) for line in got.out.splitlines() if "| " in line)


def offered_by_zsh(lines):
    t.need("zsh")
    tool, folder = (os.path.join(SOURCE, x) for x in ("tests/tools/zsh-complete", "completion"))
    env = t.place.env(t.ME, dict(ENV, PATH=t.place.bin + ":" + t.PATH))
    argv = ["zsh", "-f", tool, folder] + lines
    got = t.expect(t.finish(t.Proc(argv, t.place.fresh(t.ME, {"some.conf": ""}), env)), 0)
    return dict(line.split("| ", 1) for line in got.out.splitlines() if "| " in line)


# The line, and the words that are offered: all of them, or after a + at least these.
COMMON = [
    ("vmsup ", "+run maps ps limit check doctor help"),
    ("vmsup li", "limit"),
    ("vmsup help do", "doctor"),
    ("vmsup run --mode ", "supervise fence"),
    ("vmsup run --mode=s", "supervise"),
    ("vmsup run --audit --layout=s", "scatter"),
    ("vmsup run --mode fence --wx ", "allow log deny"),
    ("vmsup run --avoid=", "asan msan tsan"),
    ("vmsup run --avoid asan --avoid m", "msan"),
    ("vmsup run --profile ", " ".join(NAMES)),
    ("vmsup run --inject mu", "munmap"),
    ("vmsup run --inject=mmap:er", "error="),
    ("vmsup run --inject mmap,brk:error=EAG", "EAGAIN"),
    ("vmsup run --inject mmap:when=3:signal=USR", "USR1 USR2"),
    ("vmsup run --on-limit=e", "enomem"),
    ("vmsup run --config so", "some.conf"),
    ("vmsup run --stats=so", "some.conf"),
    ("vmsup run --audit -- luaji", "+luajit" if shutil.which("luajit") else ""),
    ("vmsup check so", "some.conf"),
    ("vmsup limit --js", "--json"),
]
BASH = COMMON + [
    ("vmsup run --max-c", "--max-commit="),
    ("vmsup run --sta", "--stats --stats="),
    ("vmsup run --config=so", "some.conf"),
    ("vmsup run --inject=mmap,br", "mmap,brk"),
    ("vmsup run --on-limit=signal:USR", "USR1 USR2"),
    ("vmsup run --on-limit signal:USR1 --mode f", "fence"),
    ("vmsup run cat so", "some.conf"),
    ("vmsup run -- cat --", ""),
    ("vmsup run --xyzzy=", ""),
    ("vmsup maps --", "--json --help"),
]
ZSH = COMMON + [("vmsup run --inject=mmap,br", "brk"), ("vmsup run --max-c", "--max-commit"), ("vmsup maps --", "--json --help")]


def compare(offered, expected):
    for line, words in expected:
        have, want = set(offered[line].split()), set(words.lstrip("+").split())
        ok = want <= have if words.startswith("+") else want == have
        t.require(ok, "for '%s' there is offered: %s" % (line, offered[line][:300]))


@s.case
def bash():
    """completion for bash offers verbs, options, values, files and programs"""
    compare(offered_by_bash([line for line, _ in BASH]), BASH)


@s.case
def bash_pids():
    """completion for bash offers the PIDs of running programs"""
    with t.Held(t.way(), [t.place.guest("mapper"), "file"], {"file": bytes(range(256)) * 512}) as g:
        argv = ["bash", "--norc", "-c", '. "$1"; COMP_LINE="vmsup maps "; COMP_POINT=11; _vmsup vmsup; echo ${COMPREPLY[*]}',
                "bash", os.path.join(SOURCE, "completion", "vmsup.bash")]
        env = t.place.env(t.ME, {"PATH": t.place.bin + ":" + t.PATH})
        proc = t.Proc(argv, t.place.top, env)
        proc.wait()
        t.require(str(g.pid) in proc.text("out").split(), "offered: " + proc.text("out"))


@s.case
def zsh():
    """completion for zsh offers verbs, options, values, files and programs"""
    compare(offered_by_zsh([line for line, _ in ZSH]), ZSH)


# ---- the table of options -----------------------------------------------------------------------


def table(verb):
    """name: (kind, example) of the options of @verb."""
    got = t.expect(vmsup(["help", "--options", verb]), 0)
    rows = [line.split() for line in got.out.splitlines()]
    return {row[0][2:]: (row[1], row[2]) for row in rows}


@s.case
def keys():
    """each option of run is a key that check takes, with the example that goes with it"""
    rows = table("run")
    files = {
        name + ".conf": "%s: %s\n" % (name, "yes" if kind == "flag" else example)
        for name, (kind, example) in rows.items()
        if name not in ("help", "config", "tenant")
    }
    got = t.expect(vmsup(["check"] + sorted(files), files), 0)
    t.require(got.out.count(": right\n") == len(rows) - 3 > 25, "%s" % got)


@s.case
def completion_agrees():
    """completion for bash and zsh offers all options of each verb"""
    verbs = [line.split()[0] for line in t.expect(vmsup(["help", "--options"]), 0).out.splitlines()]
    lines = ["vmsup %s --" % verb for verb in verbs]
    offers = [offered_by_bash(lines)]
    if shutil.which("zsh"):
        offers.append(offered_by_zsh(lines))
    for offered in offers:
        for verb, line in zip(verbs, lines):
            have = {word.rstrip("=-").lstrip("-") for word in offered[line].split()}
            t.require(have == set(table(verb)), "%s: differ in %s" % (verb, have ^ set(table(verb))))


s.main()
