#!/usr/bin/python3
"""vmsup's own source is configured and built inside a range, and what was built works."""

import os
import re
import shutil

import vmsuptest as t

s = t.Suite()
SOURCE = os.path.abspath(os.environ.get("srcdir", "."))
PARTS = ("src", "include", "tests", "bench", "man", "m4", "build-aux", "completion", "profiles", "systemd", "examples")


def copy(way):
    """A copy of the source, as the user's own, without anything that was built."""
    t.need("make", "gcc", "pkg-config")
    if not os.path.exists(os.path.join(SOURCE, "configure")):
        raise t.Skip("there is no configure script; run ./autogen.sh")
    work = t.place.fresh(way.user)
    built = shutil.ignore_patterns("*.o", "*.a", ".deps", ".dirstamp", "*.log", "*.trs", "__pycache__")
    for name in os.listdir(SOURCE):
        path = os.path.join(SOURCE, name)
        if name in PARTS:
            shutil.copytree(path, os.path.join(work, name), ignore=built, symlinks=False)
        elif os.path.isfile(path) and not name.startswith((".", "config.log", "config.status", "vmsup", "Makefile")):
            shutil.copy2(path, work)
    for name in ("Makefile.am", "Makefile.in"):
        shutil.copy2(os.path.join(SOURCE, name), work)
    for name in ("config.h", "stamp-h1"):
        if os.path.exists(os.path.join(work, name)):
            os.unlink(os.path.join(work, name))
    for folder, dirs, names in os.walk(work):
        for name in dirs + names:
            path = os.path.join(folder, name)
            os.chmod(path, os.stat(path).st_mode | 0o200)
    if way.user == "ordinary" and t.ME == "root":
        t.own(work)
    return work


def build(way, argv, seconds=400):
    got = t.run(way, argv, fresh=False, seconds=seconds)
    t.expect(got, 0)
    wrong = t.stats_wrong(got)
    t.require(not wrong, "%s\n%s" % (wrong, got))
    t.diag("%.1f s: %s" % (got.seconds, " ".join(argv)))
    return got


WAYS = [t.way("supervise", user=t.USERS[-1]), t.way("fence", user=t.USERS[0])]


@s.case_for(WAYS)
def itself(way):
    """configure and make -j2 of this project"""
    work = copy(way)
    build(way, ["./configure", "-q"])
    config = t.read_text(os.path.join(work, "config.h"))
    t.require("#define HAVE_STDINT_H 1" in config, "config.h:\n" + config)
    build(way, ["make", "-s", "-j2", "vmsup"])
    made = t.Proc(t.as_user(way.user, ["./vmsup", "--version"]), work, t.place.env(way.user))
    theirs = t.expect(t.finish(made), 0)
    t.require(re.match(r"vmsup \d", theirs.out), "%s" % theirs)
    got = build(way, ["make", "-s", "vmsup"])
    t.require("CC" not in got.out, "the second make built again\n%s" % got)


s.main()
