"""What the hostile-*.t files share: running a hostile guest, and what must hold of each."""

import vmsuptest as t

# Where user or range make no difference: one of each.
BOTH = t.ways(modes=("supervise", "fence"), users=(t.ME,), ranges=("low",))
USERS = t.ways(modes=("supervise", "fence"), ranges=("low",))
HIGH = t.ways(modes=("supervise", "fence"), users=(t.ME,), ranges=("high",))


def argv(way, name, *words):
    return [t.place.guest(name), "%#x" % way.lo, "%#x" % way.hi] + [str(w) for w in words]


def contained(got):
    """It ended, by itself or killed, and neither saw a page outside nor found something broken."""
    t.require(
        got.status not in (70, 71, 99, 125) and "ESCAPED" not in got.err and "OUTSIDE" not in got.out,
        "it was not contained\n%s" % got,
    )
    wrong = t.stats_wrong(got)
    t.require(not wrong, "%s\n%s" % (wrong, got))
    return got


def guest(way, name, *words, seconds=60, audit=False, **kw):
    """Run the hostile guest; it must be contained, and leave nothing behind."""
    return contained(t.run(way, argv(way, name, *words), seconds=seconds, audit=audit, **kw))


def unharmed(way, name, *words, **kw):
    """As guest, and it must come to its own end: status 0, "contained"."""
    got = guest(way, name, *words, **kw)
    if "\ncontained" not in "\n" + got.out and got.status == 0:
        raise t.Skip(got.out.strip() or "no word")
    return t.expect(got, 0, out="^contained$")
