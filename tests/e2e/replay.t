#!/usr/bin/python3
"""vmsup replay: a trace is decided once more, without a process, as it was or as other options would have it."""

import json
import os
import random
import re
import subprocess

import vmsuptest as t

s = t.Suite()
WAYS = t.ways(modes=("supervise",), users=(t.ME,), places=("auto", "remote"))
BUSY = """
import mmap, os, subprocess, threading
def work():
    for i in range(40):
        m = mmap.mmap(-1, 4096 * (i + 1))
        m.resize(4096 * (2 * i + 3))
        bytearray(1 << (i % 22))
threads = [threading.Thread(target=work) for i in range(6)]
for x in threads: x.start()
for x in threads: x.join()
subprocess.run(["ls", "/"], stdout=subprocess.DEVNULL)
if os.fork() == 0:
    work()
    os._exit(0)
print(os.wait()[1])
"""


def trace_path():
    return os.path.join(t.place.top, t.ME, "run", "replayed.json")


def record(way, argv, extra=(), out=None):
    got = t.run(way, argv, extra=["--trace=" + trace_path()] + list(extra), audit=False)
    return t.expect(got, 0, out)


def replay(*args, status=0, out=None, err=None):
    got = t.verb(t.way(), "replay", *args)
    return t.expect(got, status, out, err)


def decisions(text):
    m = re.search(r"^(\d+) decisions, (\d+) the same, (\d+) others(?:, (\d+) not replayed)?$", text, re.M)
    t.require(m, "no sum:\n" + text)
    return [int(x or 0) for x in m.groups()]


@s.case_for(WAYS)
def the_same(way):
    """what was decided is decided again: threads, fork, exec"""
    if way.range == "low":
        record(way, ["/usr/bin/python3", "-c", BUSY], out=r"\A0\n\Z")
    else:
        record(way, ["bash", "-c", "for i in 1 2 3 4 5; do seq 1000 | sort | tail -1; done"], out=r"\A(999\n){5}\Z")
    total, same, others, skipped = decisions(replay(trace_path()).out)
    events = [json.loads(x) for x in open(trace_path()) if '"event":"decision"' in x]
    t.require(total == len(events) and same + skipped == total and others == 0, "%d of %d" % (same, total))
    t.require(total > 400, "only %d decisions" % total)


@s.case_for([w for w in WAYS if w.range == "low"])
def the_same_with_options(way):
    """with each policy and limit, too; what was injected is left out"""
    for extra in (["--layout=bottom-up"], ["--layout=random"], ["--layout=scatter:7"], ["--guard-gap=64K"],
                  ["--align=64K", "--hole=0x20000000-0x30000000"], ["--max-commit=512M", "--tree-max-va=4G"],
                  ["--wx=deny", "--exec-from=/usr/", "--exec-from=/lib/"], ["--reserve-low=64M"],
                  ["--inject=mmap:error=ENOMEM:anon:when=900"]):
        record(way, ["/usr/bin/python3", "-c", BUSY], extra)
        total, same, others, skipped = decisions(replay(trace_path()).out)
        t.require(total > 500 and others == 0 and same > 0.95 * total, "%s: %d of %d, %d" % (extra, same, total, skipped))


@s.case_for(t.ways(modes=("supervise",), users=(t.ME,), ranges=("low",)))
def otherwise(way):
    """--set shows what other options would have decided, and none would have changed nothing"""
    hold = "import mmap; m = mmap.mmap(-1, 100 << 20); print(len(m))"
    record(way, ["/usr/bin/python3", "-c", hold], out=r"\A%d\n\Z" % (100 << 20))
    got = replay("--set", "max-commit=64M", trace_path())
    lines = got.out.splitlines()
    t.require(any("mmap(0x0, 0x6400000," in x and "refuse ENOMEM (--max-commit)" in x for x in lines), got.out)
    t.require(int(re.search(r"(\d+) would be others", lines[-1]).group(1)) == len(lines) - 1, got.out)
    replay("--set=max-commit=1G", trace_path(), out=r"\A\d+ decisions, 0 would be others with --set(, \d+ not replayed)?\n\Z")
    replay("--set", "layout=bottom-up", trace_path(), out=r": continue 0x\w+-0x\w+; with --set remote 0x10000-0x\w+\n")
    # By hand, too: a decision that was made otherwise is seen.
    text = open(trace_path()).read()
    at = text.rindex('"event":"decision"')
    changed = text[:at] + re.sub(r'"verdict":\d', '"verdict":0', text[at:], count=1)
    with open(trace_path(), "w") as f:
        f.write(changed)
    t.require(decisions(replay(trace_path(), status=1).out)[2] == 1, "a changed decision is not seen")


@s.case
def told():
    """what cannot be replayed gets a sentence, and so does a bad --set or a bad command line"""
    path = trace_path()
    for content, why in (("", "holds no decisions"), ("{}\n", "holds no decisions"), ("no trace\n", "line 1"),
                         ('{"event":"start","format":99}\n', "another version"), ('{"event":"change"}\n' * 2, "")):
        with open(path, "w") as f:
            f.write(content)
        t.expect_sentence(replay(path, status=1), (1,), why)
    t.expect_sentence(replay("/nonexistent", status=1), (1,), "No such file")
    for args in ([], ["a", "b"], ["--wrong", "a"], ["--set"]):
        t.expect_sentence(replay(*args, status=2), (2,), "")
    record(t.way(), ["true"])
    for wrong in ("range", "range=1G-2G", "va-bits=31", "max-va=lots", "nonsense=1", "layout=odd"):
        t.expect_sentence(replay("--set", wrong, path, status=2), (2,), "")
    # Fence mode decides nothing.
    record(t.way(mode="fence"), ["true"])
    t.expect_sentence(replay(path, status=1), (1,), "supervise")


@s.case
def broken():
    """a damaged trace does no harm: a sentence or a difference, never a crash"""
    record(t.way(), ["/usr/bin/python3", "-c", "import subprocess; subprocess.run(['true'])"])
    text = open(trace_path(), "rb").read()
    lines = text.splitlines(keepends=True)
    seed = int(os.environ.get("VMS_SEED", random.randrange(1 << 30)))
    rng = random.Random(seed)
    damaged = trace_path() + ".damaged"
    for round_ in range(150):
        new = list(lines)
        for _ in range(rng.randrange(1, 6)):
            i = rng.randrange(len(new))
            how = rng.randrange(4)
            if how == 0:
                del new[i]
            elif how == 1:
                new.insert(i, new[rng.randrange(len(new))])
            elif how == 2:
                numbers = list(re.finditer(rb"0x[0-9a-f]+|\b\d+\b", new[i]))
                if numbers:
                    m = rng.choice(numbers)
                    value = rng.choice((b"0", b"1", b"7", b"255", b"0x0", b"0xffffffffffffffff", b"0x1001", b"0x7fff0000"))
                    new[i] = new[i][: m.start()] + value + new[i][m.end():]
            else:
                at = rng.randrange(len(new[i]))
                new[i] = new[i][:at] + bytes([rng.randrange(256)]) + new[i][at + 1:]
            if not new:
                break
        with open(damaged, "wb") as f:
            f.write(b"".join(new))
        got = t.verb(t.way(), "replay", damaged)
        t.require(got.status in (0, 1, 2), "seed %d, round %d: %s" % (seed, round_, got))



s.main()
