#!/usr/bin/python3
"""vmsup explain: what was refused, why, and what to change; from a trace and from a running supervisor."""

import json
import os
import re

import vmsuptest as t

s = t.Suite()
MIB = 1 << 20
LOW = [t.way()]
TRY = """
import ctypes, mmap, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
def get(address, size, flags=0, prot=3):
    return libc.mmap(address, size, prot, 0x22 | flags, -1, 0) != ctypes.c_void_p(-1).value
def wait():
    print("ready", flush=True)
    sys.stdin.readline()
"""


def trace_path():
    return os.path.join(t.place.top, t.ME, "run", "explained.json")


def explain(way, script, *extra, status=0, kind=None):
    """Run a script, and explain its trace: as text, and as JSON."""
    argv = script if isinstance(script, list) else ["/usr/bin/python3", "-c", TRY + script]
    t.expect(t.run(way, argv, extra=["--trace=" + trace_path()] + list(extra), audit=False, stats=False), status)
    text = t.expect(t.verb(way, "explain", trace_path()), 0, err=r"\A\Z").out
    data = json.loads(t.expect(t.verb(way, "explain", "--json", trace_path()), 0).out)
    return text, [r for r in data["refusals"]]


def expect_text(text, *patterns):
    for p in patterns:
        t.require(re.search(p, text, re.M), "no /%s/ in\n%s" % (p, text))


@s.case_for(LOW)
def reasons(way):
    """each reason is told by its name, with how often and how much"""
    text, data = explain(way, "for i in range(3): get(0, 100 << 20)", "--max-commit=64M")
    expect_text(text, r"^python\S*: mmap of 100M failed 3 times with ENOMEM: the process would have passed --max-commit\.$",
                r"^    Raise it \(vmsup limit PID --max-commit SIZE")
    t.require([(x["count"], x["limit"], x["call"]) for x in data if x["args"][1] == "0x6400000"] == [(3, "max-commit", "mmap")],
              "%r" % data)
    text, _ = explain(way, "get(0, 100 << 20)", "--tree-max-commit=64M")
    expect_text(text, r"all processes together would have passed --tree-max-commit\.$")
    text, _ = explain(way, "get(0, 3 << 30)")
    expect_text(text, r"mmap of 3G failed with ENOMEM: the range 0x10000-0x7fff0000 has no room for it", r"wider --range")
    text, _ = explain(way, "get(0x900000000, 4096, 0x10)")
    expect_text(text, r"mmap of 4K failed with ENOMEM: it names an address outside the range \S+, the last one 0x900000000\.$")
    text, _ = explain(way, "get(0, 4096, prot=7)", "--wx=deny")
    expect_text(text, r"failed with EACCES: it breaks the rule of --wx\.$")
    text, _ = explain(way, "get(0, 12345 * 4096)", "--inject=mmap:error=EAGAIN:size>48M")
    expect_text(text, r"mmap of 48M failed with EAGAIN: --inject made it fail\.$")
    text, _ = explain(way, "libc.sbrk(100 << 20)", "--max-heap=16M")
    expect_text(text, r": brk failed( \d+ times)? with ENOMEM: the process would have passed --max-heap\.$")
    text, _ = explain(way, "libc.personality(0x0200000)")
    expect_text(text, r"personality failed with EPERM: by such a call a program could leave the range")


@s.case_for(LOW)
def nothing(way):
    """where nothing was refused that is said; in fence mode, what is not seen"""
    text, data = explain(way, "get(0, 1 << 20)")
    t.require(text == "Nothing was refused.\n" and data == [], text)
    text, _ = explain(t.way(mode="fence"), "get(0, 1 << 20)")
    expect_text(text, r"\ANothing was refused")


@s.case_for(LOW)
def programs(way):
    """what is known about a program is said of it"""
    t.need("java", "node")
    text, _ = explain(way, ["java", "-version"], status=1)
    expect_text(text, r"^java: mmap of 1G failed", r"^    java: -XX:CompressedClassSpaceSize=64m")
    text, _ = explain(way, ["node", "-e", "1"], "--wx=deny", status=(-5, 133, -6, 134))
    expect_text(text, r"^    node: --jitless ")
    # The advice holds.
    t.expect(t.run(way, ["node", "--jitless", "-e", "console.log(1)"], extra=["--wx=deny"]), 0, r"^1$")
    text, _ = explain(way, "get(0xc000000000, 64 << 20, 0x100000, 0)")
    expect_text(text, r"^    This is how a Go program asks for its heap")
    text, _ = explain(way, "get(0x7fff7000, 20 << 40, 0x4010, 3)")
    expect_text(text, r"^    This is how a sanitizer .* --avoid asan")


@s.case_for(t.ways(users=("root", "ordinary"), ranges=("low",)))
def running(way):
    """of a running tree: of any of its processes and of its supervisor; what happened often is one entry"""
    script = TRY + "for i in range(1000): get(0, 100 << 20)\nfor i in range(5): get(0, 3 << 30)\nwait()"
    with t.Held(way, ["/usr/bin/python3", "-c", script], extra=["--max-commit=64M"]) as g:
        ps = json.loads(t.expect(t.verb(way, "ps", "--json"), (0, 1)).out)
        sups = [x["supervisor"] for x in ps["supervisors"] if g.pid in [p["pid"] for p in x["processes"]]]
        t.require(len(sups) == 1, "supervisors: %r" % sups)
        for pid in (g.pid, sups[0]):
            got = t.expect(t.verb(way, "explain", str(pid)), 0)
            expect_text(got.out, r"mmap of 100M failed 1000 times with ENOMEM: the process would have passed --max-commit\.$",
                        r"mmap of 3G failed 5 times with ENOMEM: the range .* has no room")
        data = json.loads(t.expect(t.verb(way, "explain", "--json", str(g.pid)), 0).out)
        t.require(data["mode"] == "supervise" and len(data["refusals"]) == 2, "%r" % data)
    got = t.verb(way, "explain", str(g.pid))
    t.expect_sentence(got, (1,))


@s.case_for(LOW)
def flood(way):
    """a program that is refused a thousand different things takes no more than a fixed place, and the last are kept"""
    script = TRY + """
import os
for i in range(200):
    if os.fork() == 0:
        get(0, 100 << 20)
        os._exit(0)
    os.wait()
wait()
"""
    with t.Held(way, ["/usr/bin/python3", "-c", script], extra=["--max-commit=64M"]) as g:
        data = json.loads(t.expect(t.verb(way, "explain", "--json", str(g.pid)), 0).out)
        t.require(len(data["refusals"]) == 64, "%d entries" % len(data["refusals"]))
        t.require(len({x["pid"] for x in data["refusals"]}) == 64, "processes are not told apart")


@s.case
def wrong():
    """bad words get one sentence"""
    way = t.way()
    for words in ([], ["--wrong"], ["a", "b"], ["0"], ["99999999999999999999"]):
        t.expect_sentence(t.verb(way, "explain", *words), (2,))
    t.expect_sentence(t.verb(way, "explain", "/nonexistent"), (1,), "No such file")
    t.expect_sentence(t.verb(way, "explain", "/etc/passwd"), (1,), "line 1")
    t.expect_sentence(t.verb(way, "explain", "/"), (1,), "directory")
    t.expect_sentence(t.verb(way, "explain", str(os.getpid())), (1,))
    with open(trace_path(), "w") as f:
        f.write('{"call":"x\\u001b[1m","command":"a\\u001b[2Jb","args":["0x1"],"errno":"\\u0007","limit":"\\u001b]0;"}\n')
        f.write('{"call":"","command":"c"}\n{"call":"mmap","command":7,"args":[1,2]}\n{"event":"space","confined":true}\n')
    got = t.expect(t.verb(way, "explain", trace_path()), 0)
    t.require("\x1b" not in got.out and "\x07" not in got.out, "control characters come through: %r" % got.out)


s.main()
