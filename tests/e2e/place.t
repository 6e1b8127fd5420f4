#!/usr/bin/python3
"""Where mappings go: layouts, holes, the low zone, sanitizers, seeds."""

import json
import os
import re

import vmsuptest as t

s = t.Suite()
MINE = [w for w in t.ways() if w.user == t.ME]
LOW = [w for w in MINE if w.range == "low"]
GIB = 1 << 30
MIB = 1 << 20
WIDE = (0x10000, 0x200000000)


def places(options, argv, status=0, where=WIDE, audit=True):
    """Run the guest in the range @where (None: none) with @options; the Result."""
    words = [t.place.vmsup(), "run"] + (["--range", "%#x-%#x" % where] if where else [])
    words += (["--audit"] if audit else []) + list(options) + ["--", t.place.guest("places")] + [str(a) for a in argv]
    got = t.finish(t.Proc(words, t.place.fresh(t.ME), t.place.env(t.ME)))
    return t.expect(got, status)


def addresses(got):
    return [int(x, 16) for x in re.findall(r"^0x([0-9a-f]+)$", got.out, re.M)]


@s.case
def bottom_up():
    """--layout bottom-up: each below the next"""
    at = addresses(places(["--layout", "bottom-up"], ["list", 20, MIB]))
    t.require(len(at) == 20 and at == sorted(at) and at[-1] < GIB, "%r" % at)


@s.case
def scatter():
    """--layout scatter: all over the range; the same with the same seed only"""
    runs = [addresses(places(["--no-aslr", "--layout", "scatter:%d" % n], ["list", 40, 65536])) for n in (5, 5, 6)]
    t.require(runs[0] == runs[1] != runs[2], "%r" % runs)
    low = sum(a < WIDE[1] // 2 for a in runs[0])
    t.require(8 <= low <= 32 and runs[0] != sorted(runs[0]), "%d of 40 in the lower half: %r" % (low, runs[0]))


@s.case
def random():
    """--layout random: not side by side; the same with the same seed only"""
    runs = [addresses(places(["--no-aslr", "--layout", "random:%d" % n], ["list", 40, 65536])) for n in (5, 5, 6)]
    t.require(runs[0] == runs[1] != runs[2], "%r" % runs)
    beside = sum(abs(a - b) == 65536 for a, b in zip(runs[0], runs[0][1:]))
    t.require(beside < 10, "%d of 40 side by side" % beside)


@s.case
def holes():
    """--hole: nothing is placed there, grown in by mremap or brk, but MAP_FIXED goes"""
    hole = (0x30000000, 0x1D0000000)
    for layout in ("top-down", "bottom-up", "scatter:1", "random:1"):
        options = ["--layout", layout, "--hole", "%#x-%#x" % hole]
        for argv in (["list", 60, 16 * MIB], ["grow", 200 * MIB]):
            size = argv[2] if argv[0] == "list" else 0
            for a in addresses(places(options, argv)):
                t.require(a + size <= hole[0] or a >= hole[1], "%s: %#x is in the hole" % (layout, a))
    t.expect(places(options, ["fixed", 0x40000000]), 0, "^mapped$")


@s.case
def image_avoids_holes():
    """program, stack, heap and libraries lie outside a hole, a fixed program wherever it must"""
    for hole in ("0x10000-0x100000000", "0x100000000-0x200000000"):
        lo, hi = (int(x, 16) for x in hole.split("-"))
        words = [t.place.vmsup(), "run", "--range", "%#x-%#x" % WIDE, "--hole", hole, "--", "cat", "/proc/self/maps"]
        got = t.expect(t.finish(t.Proc(words, t.place.fresh(t.ME), t.place.env(t.ME))), 0)
        for start, end, prot in re.findall(r"^([0-9a-f]+)-([0-9a-f]+) (\S+)", got.out, re.M):
            start, end = int(start, 16), int(end, 16)
            t.require(prot.startswith("---") or end <= lo or start >= hi, "%x-%x lies in %s" % (start, end, hole))
    words = [t.place.vmsup(), "run", "--range", "%#x-%#x" % WIDE, "--hole", "0x800000-0x100000000", "--audit", "--"]
    words.append(t.place.guest("hello-nopie"))
    t.expect(t.finish(t.Proc(words, t.place.fresh(t.ME), t.place.env(t.ME))), 23, "malloc fine")


@s.case
def aligned():
    """--align: large mappings are aligned, small ones are not"""
    at = addresses(places(["--align", "4M"], ["list", 20, 5 * MIB]))
    t.require(len(at) == 20 and not [a for a in at if a % (4 * MIB)], "%r" % at)
    at = addresses(places(["--align", "4M"], ["list", 20, 65536]))
    t.require([a for a in at if a % (4 * MIB)], "%r" % at)


@s.case
def gaps():
    """--guard-gap: free addresses between mappings"""
    at = sorted(addresses(places(["--guard-gap", "128K"], ["list", 50, 65536])))
    t.require(all(b - a >= 65536 + 131072 for a, b in zip(at, at[1:])), "%r" % at)


@s.case
def low_2g():
    """MAP_32BIT is served from the whole low 2 GiB, not the kernel's 1 GiB only"""
    got = places([], ["low", 127, 16 * MIB], where=(0x10000, 0x400000000))
    at = addresses(got)
    t.require(len(at) * 16 > 1700, "only %d MiB\n%s" % (len(at) * 16, got))
    t.require(max(at) < 2 * GIB and min(at) < GIB, "%#x-%#x" % (min(at), max(at)))
    t.require(len(set(at)) == len(at), "twice the same")


@s.case
def reserve_low():
    """--reserve-low: only MAP_32BIT comes into the zone"""
    where = (0x10000, 0xC0000000)
    at = addresses(places(["--reserve-low", "1G"], ["list", 400, 16 * MIB], where=where))
    t.require(len(at) > 100 and not [a for a in at if GIB - 16 * MIB < a < 2 * GIB], "%d, %r" % (len(at), at[-4:]))
    at = addresses(places(["--reserve-low", "1G"], ["low", 64, 16 * MIB], where=where))
    t.require(len(at) == 64 and min(at) >= GIB, "%d, from %#x" % (len(at), min(at)))


@s.case
def luajit_after_hog():
    """LuaJIT still runs after 1.5 GiB of other mappings, with the low zone kept for it"""
    library = "/usr/lib/x86_64-linux-gnu/libluajit-5.1.so.2"
    if not os.path.exists(library):
        raise t.Skip("libluajit is not installed")
    got = places(["--reserve-low", "512M"], ["hog", 1536 * MIB, library], where=(0x10000, 0x90000000), audit=False)
    t.expect(got, 0, r"\Ahog \d+\nlua 500000500000\n\Z")
    t.require(int(got.out.split()[1]) >= 1500, "the hog got less\n%s" % got)


@s.case
def va_bits():
    """--va-bits N: everything below 2^N; more than the machine has is refused"""
    for bits in (31, 32, 36, 39, 47):
        got = places(["--va-bits", str(bits)], ["list", 3, MIB], where=None)
        at = addresses(got)
        t.require(len(at) == 3 and max(at) < 1 << bits, "%d: %r" % (bits, at))
    got = t.run_vmsup(["run", "--va-bits=48", "--", "true"])
    t.require(got.status in (0, 125), "%s" % got)
    if got.status:
        t.expect_sentence(got, 125, "addresses of this machine end at")


@s.case_for([w for w in LOW])
def seeds(way):
    """--seed repeats the whole layout bit for bit, over fork and exec"""
    for extra in ([], ["--layout", "scatter"], ["--place", "remote"]):
        runs = [places(["--seed", str(n)] + extra, ["layout"], where=(way.lo, way.hi)).out for n in (1, 1, 2)]
        t.require(runs[0].count("\n") > 60 and "again" in runs[0], runs[0])
        t.require(runs[0] == runs[1], "with %r two runs differ:\n%s\n\n%s" % (extra, runs[0], runs[1]))
        t.require(runs[0] != runs[2], "another seed gives the same")


SANITIZED = """
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int v;
static void *f(void *a) { v++; return a; }
int main(int argc, char **argv)
{
	char *p = malloc(100);
	pthread_t t;
	memset(p, 1, 100);
	pthread_create(&t, 0, f, 0);
	pthread_join(t, 0);
	printf("sum %d\\n", p[5] + p[99]);
	free(p);
	if (argc > 1) printf("%d\\n", p[3]);
	return 0;
}
"""


def sanitizer(name, compiler, flag, bug):
    t.need(compiler)
    work = t.place.fresh(t.ME, {"a.c": SANITIZED})
    build = t.Proc([compiler, "-g", "-fsanitize=" + flag, "a.c", "-o", "a", "-lpthread"], work, t.place.env(t.ME))
    got = t.finish(build)
    if got.status:
        raise t.Skip("%s has no %s" % (compiler, name))
    # TSan wants all 47 bits; the shadow of the others may lie outside the range.
    narrow = [["--range", "0x10000-0x7fff0000"]] if name != "tsan" and t.has_mseal() else []
    for where in [["--range", "0x10000-0x7ffffffff000"], []] + narrow:
        words = [t.place.vmsup(), "run", "--avoid", name, "--audit"] + where + ["--", "./a"]
        t.expect(t.finish(t.Proc(words, work, t.place.env(t.ME))), 0, r"\Asum 2\n\Z")
        if bug:
            t.expect(t.finish(t.Proc(words + ["x"], work, t.place.env(t.ME))), None, None, bug)


@s.case
def asan():
    """a program with AddressSanitizer runs, and is told of its bug, in a range that holds the shadow or not"""
    sanitizer("asan", "gcc", "address", "heap-use-after-free")


@s.case
def tsan():
    """a program with ThreadSanitizer runs"""
    sanitizer("tsan", "gcc", "thread", None)


@s.case
def msan():
    """a program with MemorySanitizer runs"""
    sanitizer("msan", "clang", "memory", None)


def outer(way, range_, holes, hole, wall):
    words = [t.place.vmsup(), "run", "--range", range_, "--place", way.place, "--audit"]
    words += [x for h in holes for x in ("--hole", h)] + ["--", t.place.guest("outer")]
    words += ["%#x" % a for a in hole] + ["%#x" % wall]
    proc = t.Proc(t.as_user(way.user, words), t.place.fresh(way.user), t.place.env(way.user))
    return t.expect(t.finish(proc), 0, r"\A(done\n){4}\Z", r"\A\Z")


@s.case_for(t.ways(ranges=("low",), places=("auto", "remote")))
def outer_holes(way):
    """--hole outside the range: MAP_FIXED goes there, and nowhere else outside, over fork and exec"""
    if not t.has_mseal():
        raise t.Skip("this kernel has no mseal")
    outer(way, "1G-2G", ["0x10000-0x110000"], (0x10000, 0x110000), 0x200000)
    outer(way, "1G-2G", ["0x10000-0x110000", "3G-0xd0000000"], (0xC0000000, 0xD0000000), 0x90000000)
    outer(way, "5G-8G", ["0x10000-0x110000", "0x40000000-0x40200000", "9G-10G"], (0x40000000, 0x40200000), 0x60000000)


@s.case
def outer_told():
    """maps, ps and the limits leave the walls out; the range is the one that was asked for"""
    if not t.has_mseal():
        raise t.Skip("this kernel has no mseal")
    way = t.way()
    with t.Held(way, [t.place.guest("budget"), "hold"], extra=["--hole=3G-4G", "--max-va=64M"]) as g:
        data = json.loads(t.expect(t.verb(way, "maps", "--json", str(g.pid)), 0).out)
    t.require(data["range"] == {"start": "0x10000", "end": "0x7fff0000"}, "%r" % data["range"])
    t.require(0 < data["va"] < 64 * MIB and data["mappings"] < 60, "va %d" % data["va"])
    walls = [m for m in data["maps"] if m["kind"] == "fence" and m["start"] == "0x7fff0000"]
    t.require(len(walls) == 1 and walls[0]["end"] == "0xc0000000" and "sealed" in walls[0]["flags"], "%r" % walls)
    for hole in ("0x10000-0x110000", "0x300000-0x3000000"):
        got = t.run_vmsup(["run", "--range=1G-2G", "--hole=" + hole, "--", t.place.guest("hello-nopie")])
        t.expect_sentence(got, 126, r"linked to run at 0x400000.*outside the range 0x40000000-0x80000000")
    t.expect_sentence(t.run_vmsup(["run", "--range=1G-2G", "--hole=0-64K", "--", "true"]), 125, "not in the user address space")


@s.case_for(t.ways(users=(t.ME,), ranges=("low",), places=("auto", "remote")))
def threads(way):
    """threads that map while others do find room, whatever the layout"""
    for layout in ("bottom-up", "random:3", "scatter:3"):
        t.expect(t.run(way, [t.place.guest("mapfork")], extra=["--layout", layout]), 0, r"^wrong 0$")


@s.case
def wrong_words():
    """options that make no sense say so in a sentence"""
    for words, pattern in (
        (["--layout=up"], "none of top-down"),
        (["--layout=top-down:5"], "takes no seed"),
        (["--layout=scatter:x"], "not a seed"),
        (["--va-bits=33"], "none of 31"),
        (["--va-bits=31", "--range=1M-1G"], "short name for a range"),
        (["--hole=1G"], "--hole: "),
        (["--hole=2G-1G"], "--hole: "),
        (["--range=1M-1G", "--hole=1M-1G"], "nothing is left"),
        (["--avoid=ubsan"], "none of asan"),
        (["--align=3M"], "no power of two"),
        (["--guard-gap=100"], "multiple of 4096"),
        (["--reserve-low=3G"], "below 2G"),
        (["--range=8G-16G", "--reserve-low=1G"], "begins lower"),
        (["--mode=fence", "--layout=bottom-up"], "no effect with"),
    ):
        t.expect_sentence(t.run_vmsup(["run"] + words + ["--", "true"]), 125, pattern)


s.main()
