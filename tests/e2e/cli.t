#!/usr/bin/python3
"""maps, ps, doctor, help; statistics, traces, seeds."""

import json
import os
import re
import time

import vmsuptest as t

s = t.Suite()
EVERY = t.ways(modes=("supervise",))
MINE = t.ways(modes=("supervise",), users=(t.ME,), ranges=("low",))
FILE = {"file": bytes(range(256)) * 512}


def mapper(way, **kw):
    return t.Held(way, [t.place.guest("mapper"), "file"], FILE, **kw)


# ---- maps ---------------------------------------------------------------------------------------


def runs(entries):
    """Neighbours of equal attributes joined, so that only pages count, not how they are recorded."""
    out = []
    for start, end, prot, shared, file, offset in sorted(entries):
        if out:
            last = out[-1]
            follows = last[1] == start and last[2:5] == (prot, shared, file)
            if follows and (not file or last[5] + start - last[0] == offset):
                out[-1] = (last[0], end) + last[2:]
                continue
        out.append((start, end, prot, shared, file, offset if file else 0))
    return out


def file_of(name):
    """The path of a mapped file, or None for what has none."""
    return name if name.startswith("/") and not name.startswith(("/SYSV", "/dev/zero", "/[")) else None


def kernel_runs(pid, lo, hi):
    """A fence that is not sealed is one mapping with the top gap."""
    return runs(
        (max(m.start, lo), min(m.end, hi), m.prot, m.shared, file_of(m.file), m.offset)
        for m in t.kernel_maps(pid)
        if m.end > lo and m.start < hi and m.file != "[vsyscall]"
    )


def own_runs(maps, lo, hi):
    """Inside the range the kind fence is the top gap."""
    return runs(
        (
            int(m["start"], 16),
            int(m["end"], 16),
            m["prot"],
            m["shared"],
            file_of(m["file"] or ""),
            m["offset"],
        )
        for m in maps
        if int(m["start"], 16) >= lo and int(m["end"], 16) <= hi
    )


def compare(pid, lo, hi, report):
    want, have = kernel_runs(pid, lo, hi), own_runs(report["maps"], lo, hi)
    show = lambda r: "%x-%x %s %s %s %x" % (r[0], r[1], r[2], "s" if r[3] else "p", r[4], r[5])
    only_k = [show(r) for r in want if r not in have]
    only_v = [show(r) for r in have if r not in want]
    t.require(
        not only_k and not only_v,
        "only the kernel has:\n  %s\nonly vmsup has:\n  %s" % ("\n  ".join(only_k), "\n  ".join(only_v)),
    )


@s.case_for(EVERY + [w for w in t.ways(places=("remote",)) if w.user == t.ME])
def maps_agree(way):
    """maps --json agrees with /proc/PID/maps page by page, and with itself"""
    with mapper(way) as g:
        got = t.expect(t.verb(way, "maps", str(g.pid), "--json"), 0)
        report = json.loads(got.out)
        compare(g.pid, way.lo, way.hi, report)
        t.require(report["pid"] == g.pid and report["mode"] == "supervise", "head: %r" % report)
        t.require(int(report["range"]["start"], 16) == way.lo, "range: %r" % report["range"])
        t.require(int(report["range"]["end"], 16) == way.hi, "range: %r" % report["range"])
        maps = [m for m in report["maps"] if m["kind"] != "fence"]
        size = sum(int(m["end"], 16) - int(m["start"], 16) for m in maps)
        t.require(report["va"] == size, "va %d, the lines make %d" % (report["va"], size))
        t.require(report["mappings"] == len(maps), "mappings %d, lines %d" % (report["mappings"], len(maps)))
        kinds = {m["kind"] for m in maps}
        missing = {"exe", "interp", "heap", "stack", "anon", "file", "shm", "vdso"} - kinds
        t.require(not missing, "no mapping of kind %s" % ", ".join(missing))
        flags = {f for m in maps for f in m["flags"]}
        wanted = {"noreserve", "growsdown"} | ({"low2g"} if way.range == "low" else set())
        t.require(wanted <= flags, "flags seen: %r" % flags)


@s.case_for(EVERY)
def maps_break(way):
    """maps tells base, break and frontier; the break is byte-exact"""
    with mapper(way) as g:
        report = json.loads(t.expect(t.verb(way, "maps", str(g.pid), "--json"), 0).out)
        base, brk, frontier = (int(report[k], 16) for k in ("brk_base", "brk", "brk_frontier"))
        t.require(brk % t.PAGE == 12, "break %#x" % brk)
        t.require(frontier % t.PAGE == 0 and brk <= frontier < brk + t.PAGE, "frontier %#x, break %#x" % (frontier, brk))
        t.require(way.lo <= base <= brk < way.hi, "base %#x" % base)
        heap = [m for m in t.kernel_maps(g.pid) if m.file == "[heap]"]
        t.require(heap and max(m.end for m in heap) == frontier, "[heap] ends elsewhere: %r" % heap)


@s.case_for(EVERY)
def maps_text(way):
    """maps as text has the head and one line a mapping"""
    with mapper(way) as g:
        report = json.loads(t.expect(t.verb(way, "maps", str(g.pid), "--json"), 0).out)
        got = t.expect(t.verb(way, "maps", str(g.pid)), 0)
        for name in ("range", "mode", "brk_base", "brk", "brk_frontier", "va", "commit", "reserved", "mappings"):
            t.expect(got, 0, r"^%s: +\S" % name)
        lines = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) ([r-][w-][x-]) (shared|private) +(\w+)", got.out, re.M)
        t.require(len(lines) == len(report["maps"]), "%d lines, %d mappings" % (len(lines), len(report["maps"])))
        t.expect(got, 0, r" stack +.*growsdown")


@s.case_for(EVERY)
def maps_of_a_tree(way):
    """maps and ps of every process of a tree, a forked child that did nothing yet included"""
    # All of them end with the stdin that they share: nobody can be left waiting for a partner.
    script = "exec 3<&0; (cat <&3; :) & (cat <&3 | cat) & echo ready; cat <&3; wait; exit 0"
    with t.Held(way, ["bash", "-c", script]) as g:
        time.sleep(0.3)
        procs = t.check_inside(g.proc.pid, way.lo, way.hi, least=5)
        for pid in procs:
            report = json.loads(t.expect(t.verb(way, "maps", str(pid), "--json"), 0).out)
            compare(pid, way.lo, way.hi, report)
        # A supervisor of another run may just be ending: then ps names it and exits with 1.
        ps = json.loads(t.expect(t.verb(way, "ps", "--json"), (0, 1)).out)
        text = json.dumps(ps)
        for pid in procs:
            t.require(re.search(r'"pid": %d\b' % pid, text), "ps does not know %d: %s" % (pid, text))
        got = t.expect(t.verb(way, "ps"), (0, 1))
        for pid in procs:
            t.expect(got, 0, r"\b%d\b" % pid)


@s.case_for(t.ways(modes=("fence",), users=(t.ME,)))
def maps_fence(way):
    """in fence mode ps knows the program, and maps shows what the kernel has"""
    with mapper(way) as g:
        t.expect(t.verb(way, "ps"), (0, 1), r"\b%d\b" % g.pid)
        got = t.verb(way, "maps", str(g.pid), "--json")
        if got.status == 0:
            report = json.loads(got.out)
            t.require(report["mode"] == "fence", "mode %r" % report["mode"])
            compare(g.pid, way.lo, way.hi, report)
        else:
            t.expect_sentence(got, got.status)


@s.case
def maps_wrong():
    """maps of a process that is not ours, of none, and wrong words say so"""
    w = MINE[0]
    for words in (["maps", str(os.getpid())], ["maps", "1"], ["maps", "4194304"], ["maps", "x"], ["maps", "-5"],
                  ["maps"], ["maps", "0"], ["maps", "--nonsense", "1"]):
        got = t.verb(w, *words)
        t.require(got.status > 0 and not got.out and got.err.startswith("vmsup"), "for %r\n%s" % (words, got))


ZOMBIE = """
import os, subprocess, sys
pid = os.fork()
if pid == 0:
    os._exit(0)
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
print(pid, subprocess.run([sys.argv[1], "maps", str(pid)], stderr=subprocess.PIPE, text=True).stderr)
"""


@s.case_for(MINE)
def maps_zombie(way):
    """maps of a process that has ended says so"""
    got = t.run(way, ["python3", "-c", ZOMBIE, t.place.vmsup()])
    t.expect(got, 0, r"\A(\d+) vmsup: process \1 has ended.*\n\n\Z")


@s.case
def maps_privacy():
    """another user may not ask; root may"""
    if t.ME != "root":
        raise t.Skip("needs root")
    mine, theirs = t.way(user="root"), t.way(user="ordinary")
    with mapper(mine) as g:
        os.chmod(os.path.join(t.place.top, "root"), 0o755)
        os.chmod(os.path.join(t.place.top, "root", "run"), 0o755)
        got = t.verb(mine, "maps", str(g.pid), user="ordinary")
        t.require(got.status > 0 and not got.out and got.err.startswith("vmsup"), "another user was told\n%s" % got)
        got = t.verb(mine, "ps", user="ordinary")
        t.require(not re.search(r"\b%d\b" % g.pid, got.out), "another user was told by ps\n%s" % got)
    # Not in a folder of the user's own choice: nobody could know where to ask.
    env = {"XDG_RUNTIME_DIR": ""}
    with mapper(theirs, env=env) as g:
        report = json.loads(t.expect(t.verb(theirs, "maps", str(g.pid), "--json", user="root", env=env), 0).out)
        compare(g.pid, theirs.lo, theirs.hi, report)


@s.case_for(t.ways(modes=("supervise", "fence"), ranges=("low",)))
def no_runtime_dir(way):
    """without XDG_RUNTIME_DIR, or with one that cannot be written, programs run, quietly"""
    for value in (None, "/proc/nonexistent"):
        env = t.place.env(way.user)
        env.pop("XDG_RUNTIME_DIR")
        if value:
            env["XDG_RUNTIME_DIR"] = value
        work = t.place.fresh(way.user)
        argv = t.vmsup_argv(way, ["bash", "-c", "seq 3 | tail -1; exit 8"])
        got = t.finish(t.Proc(t.as_user(way.user, argv), work, env))
        t.expect(got, 8, r"\A3\n\Z")
        t.require(not got.err, "stderr\n%s" % got)


# ---- doctor, help, version ----------------------------------------------------------------------


@s.case
def doctor():
    """doctor says what holds here, for people and as JSON"""
    for user in t.USERS:
        got = t.expect(t.run_vmsup(["doctor"], user), 0, r"supervise.*yes", None)
        t.require("fence" in got.out and not got.err, "doctor\n%s" % got)
        report = json.loads(t.expect(t.run_vmsup(["doctor", "--json"], user), 0).out)
        t.require(isinstance(report, dict) and len(json.dumps(report)) > 300, "doctor --json: %r" % report)


@s.case
def helps():
    """--version, --help, help and help VERB speak on stdout; unknown verbs do not"""
    t.expect(t.run_vmsup(["--version"]), 0, r"\Avmsup \d+\.\d+")
    for words in (["--help"], ["help"]):
        got = t.expect(t.run_vmsup(words), 0, r"\A[Uu]sage")
        for name in ("run", "maps", "ps", "doctor"):
            t.expect(got, 0, r"\b%s\b" % name)
    for name in ("run", "maps", "ps", "doctor", "help"):
        a = t.expect(t.run_vmsup(["help", name]), 0, r"vmsup %s" % name)
        b = t.expect(t.run_vmsup([name, "--help"]), 0)
        t.require(a.out == b.out and not a.err, "help %s differs from %s --help" % (name, name))
    got = t.expect(t.run_vmsup(["help", "run"]), 0)
    for option in ("--range", "--mode", "--place", "--seed", "--no-aslr", "--audit", "--stats", "--trace", "--no-signal-guard"):
        t.require(option in got.out, "help run is silent on " + option)
    for words in ([], ["nonsense"], ["--nonsense"], ["help", "nonsense"]):
        got = t.run_vmsup(words)
        t.require(got.status > 0 and not got.out and got.err, "for %r\n%s" % (words, got))


# ---- statistics and traces ----------------------------------------------------------------------

COUNTS = (
    "notifications continued remote refused held mispredicted retried audits divergences execs spaces "
    "processes max_vmas signal_repairs"
).split()


@s.case_for(t.ways(modes=("supervise", "fence"), users=(t.ME,)) + t.ways(places=("remote",), users=(t.ME,)))
def stats(way):
    """--stats=FILE has every counter, and they add up"""
    got = t.run(way, ["bash", "-c", "seq 5 | sort | tail -1; /bin/true; (:)"])
    t.expect(got, 0)
    st = got.stats
    for key in COUNTS:
        t.require(isinstance(st.get(key), int), "no number %s in %r" % (key, st))
    t.require(isinstance(st.get("by_call"), dict), "by_call: %r" % st.get("by_call"))
    t.require(sum(st["by_call"].values()) == st["notifications"], "by_call does not add up: %r" % st)
    t.require(st["execs"] >= 4, "execs: %r" % st)
    t.require(st["processes"] >= 5, "processes: %r" % st)
    t.require(st["by_call"].get("execve", 0) >= 4, "execve: %r" % st)
    if way.mode == "supervise":
        t.require(st["max_vmas"] > 15, "max_vmas: %r" % st)
        t.require(st["by_call"].get("mmap", 0) > 20 and st["by_call"].get("brk", 0) > 3, "calls: %r" % st)
        t.require(st["audits"] > 50 and st["divergences"] == 0, "audits: %r" % st)
    if way.place == "remote":
        t.require(st["remote"] > 20, "remote: %r" % st)
    if way.mode == "supervise" and way.place == "auto":
        t.require(st["mispredicted"] == 0, "mispredicted: %r" % st)


@s.case_for(MINE)
def stats_stderr(way):
    """--stats alone writes one JSON object to stderr after the program's own"""
    got = t.run(way, ["bash", "-c", "echo mine >&2; exit 2"], stats=False, audit=False, extra=["--stats"])
    t.expect(got, 2)
    first, rest = got.err.split("\n", 1)
    t.require(first == "mine" and json.loads(rest)["execs"] >= 1, "stderr\n%s" % got)


@s.case_for(MINE)
def report_lost(way):
    """a report that cannot be written is told, and makes the status 125"""
    for option, what in (("--stats", "statistics"), ("--trace", "trace")):
        got = t.run(way, ["/bin/echo", "ran"], stats=False, audit=False, extra=[option + "=/dev/full"])
        t.expect_sentence(got, 125, "%s could not be written" % what)
        t.require(got.out == "ran\n", "the program did not run\n%s" % got)


@s.case_for(MINE)
def one_file(way):
    """--stats and --trace may go to the same file"""
    got = t.run(way, ["/bin/echo", "ran"], stats=False, audit=False, extra=["--stats=both", "--trace=both"])
    t.expect(got, 0, r"\Aran\n\Z")
    lines = t.read_text(os.path.join(t.place.top, way.user, "work", "both")).splitlines()
    traced = [bool({"call", "event"} & set(json.loads(x))) for x in lines]
    t.require(traced == [True] * (len(lines) - 1) + [False], "\n".join(lines))


def trace_lines(path):
    """Those of calls; the lines with an "event" are those of replay.t."""
    return [x for x in map(json.loads, open(path)) if "event" not in x]


@s.case_for(t.ways(modes=("supervise", "fence"), users=(t.ME,)) + t.ways(places=("remote",), users=(t.ME,)))
def trace(way):
    """--trace=FILE has one JSON object for each decided call"""
    path = os.path.join(t.place.top, "trace.json")
    if os.path.exists(path):
        os.unlink(path)
    got = t.run(way, ["bash", "-c", "seq 5 | tail -1"], extra=["--trace=" + path])
    t.expect(got, 0)
    lines = trace_lines(path)
    t.require(len(lines) == got.stats["notifications"] or len(lines) > 0.9 * got.stats["notifications"],
              "%d lines, %r" % (len(lines), got.stats))
    for x in lines:
        for key in ("time", "pid", "tid", "call", "args", "decision", "address", "cost_us"):
            t.require(key in x, "no %s in %r" % (key, x))
        t.require("result" in x or "errno" in x, "neither result nor errno in %r" % x)
        t.require(x["cost_us"] >= 0 and isinstance(x["args"], list), "%r" % x)
    t.require({"execve"} <= {x["call"] for x in lines}, "no execve traced")
    t.require(len({x["pid"] for x in lines}) >= 2, "one process only")
    if way.mode == "supervise":
        t.require({"mmap", "munmap", "brk", "mprotect"} <= {x["call"] for x in lines}, "calls are missing")
        times = [x["time"] for x in lines]
        t.require(max(times) - min(times) < 60, "times")
    if way.place == "remote":
        t.require("remote" in {x["decision"] for x in lines}, "no remote call traced")


@s.case_for(MINE)
def trace_refusal(way):
    """a refusal is traced with its errno"""
    path = os.path.join(t.place.top, "trace.json")
    if os.path.exists(path):
        os.unlink(path)
    script = "import mmap\ntry: mmap.mmap(-1, 3 << 30)\nexcept OSError as e: print(e.errno)"
    got = t.run(way, ["/usr/bin/python3", "-c", script], extra=["--trace=" + path])
    t.expect(got, 0, r"\A12\n\Z")
    refused = [x for x in trace_lines(path) if x["decision"] == "refuse" and x["call"] == "mmap"]
    t.require(refused and "ENOMEM" in json.dumps(refused), "refusals: %r" % refused)
    t.require(got.stats["refused"] >= 1, "refused: %r" % got.stats)


# ---- layout -------------------------------------------------------------------------------------


def layout(way, *extra):
    got = t.expect(t.run(way, [t.place.guest("layout")], extra=list(extra)), 0)
    places = {k: int(v, 16) for k, v in re.findall(r"(\w+) ([0-9a-f]+)", got.out)}
    for name, at in places.items():
        t.require(way.lo <= at < way.hi, "%s at %#x" % (name, at))
    return places


LAYOUTS = t.ways(modes=("supervise", "fence"), users=(t.ME,))


@s.case_for(LAYOUTS)
def seeds(way):
    """--seed repeats the layout, another seed gives another"""
    a, b, c = layout(way, "--seed", "7"), layout(way, "--seed=7"), layout(way, "--seed", "8")
    t.require(a == b, "seed 7 gave %r and %r" % (a, b))
    same = [k for k in a if a[k] == c[k]]
    t.require(not same, "seeds 7 and 8 give the same %r" % same)


@s.case_for(LAYOUTS)
def no_aslr(way):
    """--no-aslr is always the same, without it never"""
    a, b = layout(way, "--no-aslr"), layout(way, "--no-aslr")
    t.require(a == b, "--no-aslr gave %r and %r" % (a, b))
    seen = [layout(way) for _ in range(3)]
    for k in a:
        t.require(len({x[k] for x in seen}) > 1, "%s is the same in three runs: %r" % (k, seen))


@s.case_for(LAYOUTS)
def seed_of_tree(way):
    """with a seed, two processes of a tree have layouts of their own, repeatably"""
    argv = ["bash", "-c", "%s; %s" % (t.place.guest("layout"), t.place.guest("layout"))]
    first = t.expect(t.run(way, argv, extra=["--seed=1"]), 0).out
    again = t.expect(t.run(way, argv, extra=["--seed=1"]), 0).out
    t.require(first == again, "not repeatable\n%s\n%s" % (first, again))


s.main()
