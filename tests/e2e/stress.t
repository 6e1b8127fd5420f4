#!/usr/bin/python3
"""stress-ng's stressors of memory and of tasks: they end as they do natively, and --audit finds nothing.

Each is bounded by its number of operations, and two run side by side. With VMSUP_SOAK=1 (`make soak`) there are more of
both, in every way of running.
"""

import os
import re
import time

import vmsuptest as t

s = t.Suite()
SOAK = os.environ.get("VMSUP_SOAK", "0") != "0"
TIMES = 4 if SOAK else 1

# Name, operations, more options. The audit reads all of a process for each call: small sizes.
STRESSORS = (
    ("mmap", 1, "--mmap-bytes 512K"),
    ("brk", 200, ""),
    ("mremap", 3, "--mremap-bytes 256K"),
    ("vm", 40, "--vm-bytes 4M"),
    ("fork", 30, ""),
    ("vfork", 30, ""),
    ("exec", 6, "--exec-max 3"),
    ("shm", 3, "--shm-objs 8"),
    ("shm-sysv", 2, "--shm-sysv-segs 4"),
    ("clone", 30, "--clone-max 16"),
    ("madvise", 2, ""),
    ("mprotect", 60, ""),
    ("munmap", 2, ""),
    ("stack", 1, ""),
)
SOAK_STRESSORS = (
    ("bad-altstack", 50, ""),
    ("aio", 50, ""),
    ("fault", 100, ""),
    ("malloc", 300, ""),
    ("memfd", 1, "--memfd-fds 16"),
    ("mincore", 200, ""),
    ("mlock", 100, ""),
    ("mmapfixed", 10, ""),
    ("mmaphuge", 5, ""),
    ("mmapmany", 100, ""),
    ("msync", 20, ""),
    ("pkey", 100, ""),
    ("resources", 3, ""),
    ("rmap", 5, ""),
    ("sigsegv", 100, ""),
    ("stackmmap", 20, ""),
    ("sysbadaddr", 30, ""),
    ("vm-addr", 5, ""),
    ("vm-rw", 50, ""),
    ("vm-splice", 50, ""),
    ("zombie", 50, ""),
)

if SOAK:
    STRESSORS += SOAK_STRESSORS
    WAYS = t.ways() + t.ways(places=("remote",)) + t.ways(modes=("fence",))
else:
    other = t.USERS[-1]
    WAYS = [t.way(), t.way(place="remote", user=other, where="high"), t.way("fence", user=other)]


def argv_of(name, ops, options):
    argv = ["stress-ng", "--%s" % name, "2", "--%s-ops" % name, str(ops * TIMES)] + options.split()
    return argv + ["--temp-path", "."]


def complaints(result):
    """What a run found wrong, numbers aside."""
    lines = re.findall(r"^stress-ng: (?:fail|error|warn): *(?:\[\d+\])? *(.*)", result.err + result.out, re.M)
    return sorted({re.sub(r"0x[0-9a-f]+|\d+", "N", line) for line in lines})


def watch(proc, way):
    """Until the run ends, look at every process of it now and then."""
    end = time.monotonic() + t.TIME_LIMIT
    while proc.popen.poll() is None and time.monotonic() < end:
        t.check_inside(proc.pid, way.lo, way.hi, least=0)
        time.sleep(0.05)


def case(way, name, ops, options):
    t.need("stress-ng")
    argv = argv_of(name, ops, options)
    native = t.run_native(way.user, argv, seconds=t.TIME_LIMIT)
    if "No stress workers invoked" in native.err + native.out:
        raise t.Skip("stress-ng does not run %s here as this user" % name)
    if way.mode == "fence":
        proc = t.start(way, argv)
        watch(proc, way)
        got = t.finish(proc, t.TIME_LIMIT)
    else:
        got = t.run(way, argv, seconds=t.TIME_LIMIT)
    wrong = t.stats_wrong(got)
    if got.status != native.status:
        wrong.append("natively %s, here %s" % (t.status_text(native.status), t.status_text(got.status)))
    new = [c for c in complaints(got) if c not in complaints(native)]
    if new:
        wrong.append("complaints that it does not have natively: %r" % new)
    if re.search(r"^vmsup\b", got.err, re.M):
        wrong.append("vmsup said something")
    t.require(not wrong, "\n".join(wrong + [str(native), str(got)]))


def huge(way):
    argv = [t.place.guest("hugeshm")]
    native = t.run_native(way.user, argv)
    if native.status == 77:
        raise t.Skip("no huge pages are to be had (vm.nr_hugepages)")
    t.expect(native, 0, out="fine")
    got = t.run(way, argv)
    if got.status == 77:
        raise t.Skip("somebody else took the huge pages")
    t.same_as_native(native, got)


for w in WAYS:
    s.add("memory of huge pages [%s]" % w._replace(user=t.ME).name, huge, w._replace(user=t.ME))
    for stressor in STRESSORS:
        # As root stress-ng runs no exec stressor.
        one = w._replace(user=t.USERS[-1]) if stressor[0] == "exec" else w
        s.add("%s [%s]" % (stressor[0], one.name), case, one, *stressor)

s.main()
