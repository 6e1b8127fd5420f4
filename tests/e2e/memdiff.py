"""The differential tester: random memory calls (tests/guests/memdiff.c) answer under vmsup as they do natively.

memdiff.t runs a few thousand of them, `make soak` millions (tests/tools/memdiff-soak); what fails is made
short by tests/tools/memdiff-min and kept in REGRESSIONS.
"""

import vmsuptest as t

# How it is run: modes, places, ranges, and users.
WAYS = (
    "supervise low ordinary",
    "supervise high root",
    "remote low root",
    "remote high ordinary",
    "fence low ordinary",
    "fence high root",
    "anywhere ordinary",
)

# Sequences that once differed: how they were run, and the operations that are left.
REGRESSIONS = [
    ("supervise high", "--seed=2 --ops=1000 --only=401,441,449-450"),
    ("supervise high", "--seed=3 --ops=1000 --only=690"),
    ("remote high", "--seed=207 --ops=1000 --only=270"),
    ("fence high", "--seed=600 --ops=100 --only=4"),
    ("supervise low ordinary", "--seed=1602 --ops=1500 --only=1133"),
    ("supervise low", "--seed=4000042 --ops=300 --threads=4 --only=93,95,109"),
    ("remote low", "--seed=4000058 --ops=2000 --only=1548-1549"),
    ("remote high ordinary", "--seed=4000073 --ops=2000 --threads=4 --only=1897"),
    ("supervise high", "--seed=7000050 --ops=300 --only=92,162"),
    ("supervise low ordinary", "--seed=20261238 --ops=2000 --only=667"),
]


class Anywhere(t.Way):
    """Supervised, without a range."""

    @property
    def name(self):
        return "%s %s anywhere" % (self.mode, self.user)

    def options(self):
        return []


def way_of(text):
    """From words such as "remote high ordinary"; the default is supervise, low, whoever runs this."""
    words = text.split()
    user = "root" if "root" in words else "ordinary" if "ordinary" in words else t.ME
    if "anywhere" in words:
        return Anywhere("supervise", "auto", user, "none")
    return t.way(
        "fence" if "fence" in words else "supervise",
        "remote" if "remote" in words else "auto",
        user,
        "high" if "high" in words else "low",
    )


def nr_huge_pages():
    return int(t.read_text("/proc/sys/vm/nr_hugepages", "0"))


def argv_of(way, words):
    argv = [t.place.guest("memdiff")] + list(words)
    if way.range != "high":
        argv.append("--low2g")
    # Otherwise somebody else may take them between one run and the next.
    if not nr_huge_pages():
        argv.append("--huge")
    return argv


def first_difference(native, got):
    """The operation whose results differ first, and both sides of it."""
    a, b = native.out.splitlines(), got.out.splitlines()
    at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    before = [x for x in a[:at] if not x.startswith(" ")]
    return "\n".join(
        ["after:    " + x for x in before[-4:]]
        + ["natively: " + (a[at] if at < len(a) else "(the end)")]
        + ["here:     " + (b[at] if at < len(b) else "(the end)")]
    )


def compare(way, words, audit=None, seconds=t.TIME_LIMIT, extra=()):
    """None, or what is wrong."""
    argv = argv_of(way, words)
    native = t.run_native(way.user, argv, seconds=seconds)
    if native.status != 0:
        raise t.Failure("natively it fails\n%s" % native)
    got = t.run(way, argv, audit=audit, seconds=seconds, extra=extra)
    wrong = []
    if native.out != got.out or native.status != got.status:
        wrong.append("differs [%s] %s" % (way.name, " ".join(words)))
        wrong.append(first_difference(native, got))
    if got.err or t.stats_wrong(got):
        wrong.append("[%s] %s" % (way.name, " ".join(words)))
        wrong += t.stats_wrong(got) + t.clip(got.err)
    return "\n".join(wrong) or None


def spans(indices):
    """[1, 2, 3, 7] as "1-3,7"."""
    out = []
    for i in indices:
        if out and out[-1][1] == i - 1:
            out[-1][1] = i
        else:
            out.append([i, i])
    return ",".join("%d-%d" % (a, b) if a != b else str(a) for a, b in out)


def minimise(fails, indices):
    """The shortest list of operations found for which fails(list) still holds (ddmin)."""
    parts = 2
    while len(indices) > 1:
        size = max(1, len(indices) // parts)
        for at in range(0, len(indices), size):
            rest = indices[:at] + indices[at + size :]
            if rest and fails(rest):
                indices = rest
                parts = max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts = min(2 * parts, len(indices))
    return indices


def parse_spans(text):
    bounds = [[int(y) for y in x.split("-")] for x in text.split(",")]
    return [i for b in bounds for i in range(b[0], b[-1] + 1)]


def shorten(way, options, indices, audit=None, tell=lambda text: None):
    """Operations of @indices that still differ, as few as it gets, and how; None when all of them together do not."""

    def fails(chosen):
        words = options + ["--digest=1000000", "--only=" + spans(chosen)]
        try:
            wrong = compare(way, words, audit=audit)
        except t.Failure as e:
            wrong = str(e)
        finally:
            t.kill_all()
            t.Proc.owned.clear()
        if wrong:
            tell("%d operations differ" % len(chosen))
        return wrong

    if not fails(indices):
        return None
    # What comes after the first difference does not matter: half an interval at a time.
    low, high = 0, len(indices)
    while high - low > 1:
        middle = (low + high) // 2
        if fails(indices[:middle]):
            high = middle
        else:
            low = middle
    indices = minimise(fails, indices[:high])
    return indices, fails(indices)
