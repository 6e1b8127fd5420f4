#!/usr/bin/python3
"""Hostile ELF files: what is executed is inside the range, or it is killed."""

import os
import struct

import hostile as h
import vmsuptest as t

s = t.Suite()

# mmap(NULL, 4096): exit 0 when it is inside [LO, HI), else 70.
CODE = bytes.fromhex(
    "b80900000031ffbe00100000ba0300000041ba2200000049c7c0ffffffff4531c90f0548b911111111111111114839c8721848b9"
    "22222222222222224839c87309b83c00000031ff0f05b83c000000bf460000000f05"
)
EXEC, DYN = 2, 3
LOAD, INTERP, NOTE, PHDR, PROPERTY, STACK = 1, 3, 4, 6, 0x6474E553, 0x6474E551
R, W, X = 4, 2, 1
PAGE = 4096
BASE = 0x400000


def code(way):
    return CODE.replace(b"\x11" * 8, struct.pack("<Q", way.lo)).replace(
        b"\x22" * 8, struct.pack("<Q", way.hi)
    )


def ph(kind, flags=R, offset=0, vaddr=0, filesz=0, memsz=None, align=PAGE):
    return struct.pack("<IIQQQQQQ", kind, flags, offset, vaddr, vaddr, filesz, filesz if memsz is None else memsz, align)


def elf(kind, headers, entry, body=b"", phnum=None, phoff=64, phentsize=56, at=0x1000, machine=62, cls=2):
    """An ELF file: the headers follow the ELF header, @body lies at offset @at."""
    ehdr = b"\x7fELF" + bytes([cls, 1, 1, 0]) + bytes(8)
    ehdr += struct.pack(
        "<HHIQQQIHHHHHH", kind, machine, 1, entry, phoff, 0, 0, 64, phentsize, len(headers) if phnum is None else phnum, 0, 0, 0
    )
    data = ehdr + b"".join(headers)
    return data.ljust(at, b"\0") + body


def whole(vaddr, size=0x2000, flags=R | X, **kw):
    return ph(LOAD, flags, 0, vaddr, size, **kw)


def files(way):
    """name: contents, of programs that lie about themselves in every way that came to mind."""
    c = code(way).ljust(PAGE, b"\x90")
    inside = (way.lo + 0x10000000) & ~0xFFF
    beyond = way.hi - PAGE
    f = {}
    # Fine, so that it is seen that the others fail for what they are.
    f["fine-dyn"] = elf(DYN, [whole(0)], 0x1000, c)
    f["fine-exec"] = elf(EXEC, [whole(inside)], inside + 0x1000, c)
    # Where they are.
    f["exec-across-the-end"] = elf(EXEC, [whole(beyond)], beyond + 0x1000, c)
    f["exec-above"] = elf(EXEC, [whole(way.hi)], way.hi + 0x1000, c)
    f["exec-far-above"] = elf(EXEC, [whole(0x7FFFF0000000)], 0x7FFFF0001000, c)
    f["exec-below"] = elf(EXEC, [whole(max(way.lo - 0x2000, 0x10000))], max(way.lo - 0x2000, 0x10000) + 0x1000, c)
    f["exec-both-sides"] = elf(EXEC, [whole(inside), whole(0x7FFFF0000000)], inside + 0x1000, c)
    f["exec-at-the-start"] = elf(EXEC, [whole(way.lo)], way.lo + 0x1000, c)
    f["exec-at-zero"] = elf(EXEC, [whole(0)], 0x1000, c)
    f["dyn-linked-outside"] = elf(DYN, [whole(0x7FFFF0000000)], 0x7FFFF0001000, c)
    f["dyn-linked-inside"] = elf(DYN, [whole(inside)], inside + 0x1000, c)
    f["dyn-near-the-end"] = elf(DYN, [whole(0x7FFFFFFFD000 - 0x2000)], 0x7FFFFFFFC000, c)
    f["dyn-wraps"] = elf(DYN, [whole(0xFFFFFFFFFFFFE000)], 0xFFFFFFFFFFFFF000, c)
    # Segments that overlap, gape, have no order.
    f["overlap"] = elf(DYN, [whole(0), ph(LOAD, R | W, 0, 0x1000, 0x1000), ph(LOAD, R | X, 0, 0, 0x2000)], 0x1000, c)
    f["overlap-headers"] = elf(DYN, [whole(0), ph(LOAD, R | W, 0x1000, 0, 0x1000)], 0x1000, c)
    f["descending"] = elf(DYN, [whole(0x100000), ph(LOAD, R, 0, 0, 0x1000)], 0x101000, c)
    f["a-gap"] = elf(DYN, [whole(0), ph(LOAD, R | W, 0, 0x3F000000, 0x1000)], 0x1000, c)
    f["a-huge-gap"] = elf(DYN, [whole(0), ph(LOAD, R | W, 0, 0x100000000000, 0x1000)], 0x1000, c)
    f["many-segments"] = elf(DYN, [whole(0, 0x20000)] + [ph(LOAD, R, 0, 0x100000 + i * 0x2000, 0x1000) for i in range(1000)],
                             0x10000, c, at=0x10000)
    f["bss-2g"] = elf(DYN, [whole(0), ph(LOAD, R | W, 0, 0x10000, 0, 1 << 31)], 0x1000, c)
    f["bss-64t"] = elf(DYN, [whole(0), ph(LOAD, R | W, 0, 0x10000, 0, 1 << 46)], 0x1000, c)
    f["bss-overflow"] = elf(DYN, [whole(0), ph(LOAD, R | W, 0, 0x10000, 0, (1 << 64) - 0x8000)], 0x1000, c)
    f["filesz-above-memsz"] = elf(DYN, [ph(LOAD, R | X, 0, 0, 0x2000, 0x10)], 0x1000, c)
    for align in (0, 1, 3, 1 << 21, 1 << 30, 1 << 40, 1 << 63):
        f["align-%x" % align] = elf(DYN, [whole(0, align=align)], 0x1000, c)
    # Headers that are not where or what they should be.
    f["phdr-lies"] = elf(DYN, [ph(PHDR, R, 64, 0x7000000, 56), whole(0)], 0x1000, c)
    f["phdr-outside"] = elf(DYN, [ph(PHDR, R, 64, 0x7FFFF0000000, 56), whole(0)], 0x1000, c)
    f["phdr-twice"] = elf(DYN, [ph(PHDR, R, 64, 64, 56), ph(PHDR, R, 64, 0x99000, 56), whole(0)], 0x1000, c)
    other = b"".join([whole(0, 1 << 40), whole(1 << 41)])
    f["headers-not-loaded"] = elf(DYN, [ph(LOAD, R | X, 0x1000, 0x1000, 0x1000)], 0x1000, c)
    f["headers-covered"] = elf(DYN, [whole(0), ph(LOAD, R, 0x2000, 0, 0x1000)], 0x1000,
                               c + (bytes(64) + other).ljust(PAGE, b"\0"))
    f["headers-covered-by-small"] = elf(
        DYN, [whole(0, 0x3000), ph(LOAD, R, 0x3000, 0, 0x1000)], 0x1000,
        c + c + (bytes(64) + ph(LOAD, R, 0, 0, 0x1000) * 2).ljust(PAGE, b"\0"))
    f["phnum-0"] = elf(DYN, [whole(0)], 0x1000, c, phnum=0)
    f["phnum-65535"] = elf(DYN, [whole(0)], 0x1000, c, phnum=65535)
    f["phentsize-0"] = elf(DYN, [whole(0)], 0x1000, c, phentsize=0)
    f["phoff-outside"] = elf(DYN, [whole(0)], 0x1000, c, phoff=1 << 62)
    f["entry-outside"] = elf(DYN, [whole(0)], 0x7FFFF0000000, c)
    f["entry-in-the-fence"] = elf(EXEC, [whole(inside)], way.hi + 0x1000, c)
    f["entry-0"] = elf(DYN, [whole(0)], 0, c)
    # Truncated, and other machines.
    f["truncated"] = elf(DYN, [whole(0, 0x200000)], 0x1000, c)
    f["headers-only"] = elf(DYN, [whole(0)], 0x1000)[:120]
    f["i386"] = elf(EXEC, [whole(0)], 0x1000, c, machine=3, cls=1)
    f["x32"] = elf(EXEC, [whole(0)], 0x1000, c, cls=1)
    # Notes and properties.
    note = struct.pack("<III4s", 4, 16, 5, b"GNU\0") + struct.pack("<IIII", 0xC0000002, 4, 3, 0)
    for size in (len(note), 3, 1 << 20, (1 << 64) - 1):
        f["property-%x" % size] = elf(DYN, [ph(PROPERTY, R, 0x1000, 0x1000, size), ph(NOTE, R, 0x1000, 0x1000, size), whole(0)],
                                      0x1800, note.ljust(0x800, b"\0") + c)
    f["stack-exec"] = elf(DYN, [ph(STACK, R | W | X), whole(0)], 0x1000, c)
    # Interpreters.
    for name, path in (
        ("itself", b"interp-itself"),
        ("other", b"interp-itself-too"),
        ("missing", b"no-such-file"),
        ("folder", b"."),
        ("fifo", b"fifo"),
        ("script", b"script"),
        ("null", b"/dev/null"),
        ("zero", b"/dev/zero"),
        ("mem", b"/proc/self/mem"),
        ("exec", b"fine-exec"),
        ("above", b"exec-above"),
        ("dyn", b"fine-dyn"),
        ("large", b"bss-2g"),
        ("64t", b"bss-64t"),
        ("overlap", b"overlap"),
        ("aligned", b"align-40000000"),
        ("covered", b"headers-covered"),
        ("gap", b"a-huge-gap"),
    ):
        path += b"\0"
        f["interp-" + name] = elf(DYN, [ph(INTERP, R, 0x2000, 0x2000, len(path)), whole(0, 0x3000)], 0x1000, c + path)
    f["interp-itself-too"] = f["interp-itself"]
    f["interp-long"] = elf(DYN, [ph(INTERP, R, 0x2000, 0x2000, PAGE), whole(0, 0x3000)], 0x1000, c + b"/" * PAGE)
    f["interp-not-ended"] = elf(DYN, [ph(INTERP, R, 0x2000, 0x2000, 4), whole(0, 0x3000)], 0x1000, c + b"abcd")
    f["script"] = b"#!script\n"
    f["script-of-itself"] = b"#!./script-of-itself\n"
    return f


# Every file in the folder is tried, each from the folder; the supervisor must be well in between.
RUN = """
import os, sys
worst = 0
for name in sys.argv[1:]:
    pid = os.fork()
    if pid == 0:
        try:
            os.execv("./" + name, [name])
        except OSError:
            os._exit(3)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(name, status, flush=True)
"""


@s.case_for(t.ways(modes=("supervise", "fence"), users=("root", "ordinary"), ranges=("low", "high")))
def hostile_files(way):
    """of files that lie about themselves none gets a page outside, or harms another"""
    work = files(way)
    names = sorted(work)
    folder = t.place.fresh(way.user, dict(work, **{"run.py": RUN}))
    os.mkfifo(os.path.join(folder, "fifo"), 0o755)
    for name in names + ["fifo"]:
        os.chmod(os.path.join(folder, name), 0o755)
    got = t.run(way, ["python3", "run.py"] + names, env=t.place.python_env(way.range), fresh=False, audit=False)
    h.contained(t.expect(got, 0))
    said = dict(line.split() for line in got.out.splitlines() if len(line.split()) == 2)
    wrong = ["%s: %s" % x for x in said.items() if x[1] == "70"]
    wrong += ["%s: %s" % (x, said.get(x)) for x in ("fine-dyn", "fine-exec", "a-gap", "stack-exec") if said.get(x) != "0"]
    missing = [x for x in names if x not in said]
    t.require(not wrong and not missing, "wrong %r, missing %r\n%s" % (wrong, missing, got))


s.main()
