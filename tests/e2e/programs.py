"""The programs that must run inside a range as they do without, and how each is compared.

Every entry is run once natively and once under vmsup, by the same user, in a work folder of the
same name; stdout and exit status must be equal, so no command may print a pid, a time or an address.
"""

import collections

import vmsuptest as t

Program = collections.namedtuple("Program", "name argv files needs ranges env seconds out")

PROGRAMS = []

# Debian links node, gcc and cc1 to a fixed address, so they run in low ranges only.
NOT_PIE = ("low",)


def program(name, *argv, files=None, needs=(), ranges=("low", "high"), env=None, seconds=t.TIME_LIMIT, out=None):
    """@argv may name guests as "guest:NAME". @out: what stdout must be, for programs whose native
    output differs on purpose."""
    PROGRAMS.append(Program(name, argv, files, needs, ranges, env, seconds, out))


def sh(name, script, shell="bash", **kw):
    program(name, shell, "-c", script, needs=(shell,) + tuple(kw.pop("needs", ())), **kw)


def py(name, script, **kw):
    program(name, "python3", "-c", script, needs=("python3",), **kw)


# ---- shells and small tools ---------------------------------------------------------------------

sh(
    "bash pipelines",
    r"""
set -o pipefail
seq 1 2000 | grep 7 | sort -rn | head -5
seq 300 | while read n; do echo $((n * n)); done | tail -1
false | true; echo "pipefail $?"
true | false | true; echo "${PIPESTATUS[@]}"
diff <(seq 5) <(seq 6); echo "diff $?"
for i in 1 2 3 4 5 6 7 8; do (exit $i) || echo -n "$? "; done; echo
x=$(printf '%s\n' {a..e}{1..3} | sort | tr '\n' ' '); echo "$x"
cat <<END | wc -c
a here-document
END
mkfifo p; cat p & echo through-a-fifo > p; wait
coproc C { cat; }; echo hello >&"${C[1]}"; read -r l <&"${C[0]}"; echo "coproc $l"
exit 9
""",
)
sh(
    "bash job control",
    r"""
set -m
sleep 0.2 & sleep 0.3 & jobs | wc -l; wait; echo "waited $?"
(exit 3) & wait $!; echo "status $?"
sleep 100 & kill -TERM $!; wait $! 2>/dev/null; echo "killed $?"
sleep 100 & p=$!; kill -STOP $p
for i in {1..200}; do jobs -s | grep -q Stopped && break; sleep 0.05; done; jobs -s | grep -c Stopped; kill -CONT $p
for i in {1..200}; do jobs -r | grep -q Running && break; sleep 0.05; done; jobs -r | grep -c Running; kill %1; wait %1 2>/dev/null; echo "and $?"
trap 'echo trapped' USR1; kill -USR1 $$
sleep 0.1 & wait -n; echo "first $?"
fg 2>/dev/null || echo "no job"
""",
)
sh(
    "dash pipelines",
    r"""
i=0; while [ $i -lt 40 ]; do i=$((i + 1)); echo $i | cat | grep -q "^$i$" || echo bad $i; done
echo "$(echo a; echo b | tr b c)"; (exit 4) ; echo $?
for f in 1 2 3; do { echo $f & wait; }; done
trap 'echo bye' EXIT; exit 6
""",
    shell="dash",
)
sh(
    "coreutils",
    r"""
mkdir -p d/e; seq 500 > d/n; cp -a d c; mv c m; ln -s n m/l
sha256sum d/n m/n | cut -c1-64 | uniq -c | tr -s ' ' | cut -d' ' -f2
sort -R d/n | sort -n | cmp - d/n && echo same
factor 1234567890 99999999977; wc -lc < d/n; tac d/n | head -1; nl d/n | tail -1
dd if=/dev/zero of=z bs=64k count=32 status=none; stat -c '%s %F' z; md5sum < z
find m -type l -printf '%f %l\n'; ls -1 m | tr '\n' ' '; du -sb m | cut -f1 | grep -c .
seq 64 | xargs -P4 -n8 echo | wc -l; timeout 0.2 sleep 5; echo "timeout $?"
env -i A=b env; nice -n 5 nice; echo x | tee t1 t2 | od -c | head -1
paste -sd+ d/n | cut -c1-20; split -n 3 d/n s.; cat s.* | cmp - d/n && echo joined
date -u -d @86400 +%F; expr 6 \* 7; test -d d && echo dir; comm -12 d/n m/n | wc -l; shred -u z; ls z 2>/dev/null || echo gone
""",
)
sh("bash exec chain", "p=$$; export p; exec bash -c 'exec dash -c \"exec env A=1 bash -c \\\"[ \\\\\\$\\\\\\$ = \\\\\\$p ] && echo same process; exec /bin/echo end\\\"\"'")
program("script with #!", "./script", "x y", files={"script": "#!/usr/bin/perl -l\nprint for $0, @ARGV; exit 4;\n"})
program(
    "script of a script",
    "./outer",
    "1",
    "2",
    files={"inner": "#!/bin/sh\necho inner \"$@\"\nexec /bin/cat \"$1\"\n", "outer": "#!./inner\nthe text\n"},
)
sh("script without #!", "chmod +x ./plain; ./plain arg; echo $?", files={"plain": "echo plain $1\nexit 3\n"})
sh("a megabyte of arguments", "seq 150000 | xargs -s 1000000 echo | wc; /bin/echo $(seq 20000) | md5sum")
sh("many short processes", "for i in $(seq 150); do /bin/true; done; echo $?; seq 100 | xargs -n1 -P4 /bin/true; echo $?")

# ---- python -------------------------------------------------------------------------------------

py(
    "python threads",
    """
import threading, queue, hashlib
q, done = queue.Queue(), []
def work():
    while True:
        n = q.get()
        if n is None: return
        buf = bytearray(n * 7001)
        done.append((n, hashlib.sha256(bytes(buf)).hexdigest()[:8]))
ts = [threading.Thread(target=work) for _ in range(8)]
for t in ts: t.start()
for n in range(200): q.put(n)
for t in ts: q.put(None)
for t in ts: t.join()
print(len(done), sorted(done)[::40])
""",
)
py(
    "python subprocess",
    """
import subprocess as s, sys, os
print(s.run(['tr', 'a-z', 'A-Z'], input=b'hello', stdout=s.PIPE).stdout)
print([s.call(['sh', '-c', 'exit %d' % n]) for n in range(12)])
p = s.Popen(['sort', '-n'], stdin=s.PIPE, stdout=s.PIPE)
print(sum(map(int, p.communicate('\\n'.join(map(str, range(5000, 0, -1))).encode())[0].split())))
print(s.run([sys.executable, '-c', 'import os; os.kill(os.getpid(), 9)']).returncode)
print(s.run('echo $0; false', shell=True, stdout=s.PIPE))
try: s.run(['/no/such/program'])
except FileNotFoundError as e: print('missing', e.errno)
try: s.run(['sleep', '30'], timeout=0.2)
except s.TimeoutExpired: print('timeout')
print(s.run(['true'], preexec_fn=os.setsid, close_fds=True).returncode)
pid = os.posix_spawn('/bin/sh', ['sh', '-c', 'exit 7'], os.environ); print(os.waitpid(pid, 0)[1] >> 8)
""",
)
program(
    "python multiprocessing",
    "python3",
    "mp.py",
    files={
        "mp.py": """
import multiprocessing as mp
from multiprocessing import shared_memory

def square(n):
    return sum(bytearray(4096 * n)) + n * n

def child(name, q):
    m = shared_memory.SharedMemory(name)
    m.buf[10] = 77
    m.close()
    q.put('spawned')

if __name__ == '__main__':
    for method in ('fork', 'spawn', 'forkserver'):
        ctx = mp.get_context(method)
        with ctx.Pool(3) as p:
            print(method, sum(p.map(square, range(40))))
        m = shared_memory.SharedMemory(create=True, size=100000)
        q = ctx.Queue()
        c = ctx.Process(target=child, args=(m.name, q))
        c.start()
        print(q.get(), end=' ')
        c.join()
        print(c.exitcode, m.buf[10])
        m.close()
        m.unlink()
"""
    },
)
py(
    "python mmap",
    """
import mmap, os, ctypes
f = open('file', 'w+b'); f.truncate(1 << 20)
m = mmap.mmap(f.fileno(), 1 << 20)
m[100:105] = b'hello'; m.flush()
print(open('file', 'rb').read(105)[100:])
m.resize(3 << 20); m[-1] = 9; print(len(m), os.path.getsize('file'))
p = mmap.mmap(f.fileno(), 65536, access=mmap.ACCESS_COPY, offset=65536)
p[0] = 5; print(m[65536], p[0])
r = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
try: r[0] = 1
except TypeError as e: print('read-only')
a = [mmap.mmap(-1, 4096 * (1 + i % 9)) for i in range(300)]
for i, x in enumerate(a): x[0] = i % 251
print(sum(x[0] for x in a)); [x.close() for x in a[::2]]; print(sum(x[0] for x in a[1::2]))
a[1].close(); big = mmap.mmap(-1, 64 << 20); big[::4096] = b'y' * (16384); print(big[4096:4097], big.find(b'y', 1))
big.madvise(mmap.MADV_DONTNEED); print(big[0])
pid = os.fork()
if pid == 0: m[0] = 200; os._exit(0)
os.waitpid(pid, 0); print(m[0])
try: mmap.mmap(-1, 1 << 46); print('huge?')
except OSError as e: print('huge', e.errno)
""",
)
py(
    "python ctypes",
    """
import ctypes, ctypes.util
libc = ctypes.CDLL(None)
CMP = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
a = (ctypes.c_int * 500)(*[(i * 7919) % 500 for i in range(500)])
libc.qsort(a, len(a), ctypes.sizeof(ctypes.c_int), CMP(lambda x, y: x[0] - y[0]))
print(list(a) == list(range(500)))
m = ctypes.CDLL('libm.so.6'); m.cos.restype = ctypes.c_double; m.cos.argtypes = [ctypes.c_double]
print(m.cos(0.0))
libc.malloc.restype = ctypes.c_void_p; libc.free.argtypes = [ctypes.c_void_p]
ps = [libc.malloc(n * 1000) for n in range(1, 400)]; print(all(ps)); [libc.free(p) for p in ps]
libc.sbrk.restype = ctypes.c_void_p
b = libc.sbrk(0); libc.sbrk(1 << 20); print(libc.sbrk(0) - b)
import zlib, lzma, sqlite3, decimal, _json; print(len(lzma.compress(bytes(1 << 20))) < 1000)
""",
)
py(
    "python asks for more than there is",
    """
try:
    b = bytearray(3 << 30)
    print('got it')
except MemoryError:
    print('MemoryError')
print(len(bytearray(100 << 20)))
""",
    ranges=("low",),
    out="MemoryError\n104857600\n",
)

# ---- other languages ----------------------------------------------------------------------------

program(
    "perl",
    "perl",
    "-e",
    r"""
my @a = sort { $a <=> $b } map { ($_ * 7919) % 10007 } 1..10007; print "$a[0] $a[-1]\n";
my %h; $h{$_ % 97} .= $_ for 1..20000; print scalar(keys %h), " ", length($h{5}), "\n";
my $s = 'x' x (20 << 20); $s =~ s/x{1000}/y/g; print length($s), "\n";
pipe(my $r, my $w); my $pid = fork; if (!$pid) { close $r; print $w "child\n"; exit 3 } close $w;
print scalar(<$r>); waitpid($pid, 0); print $? >> 8, "\n";
print `echo from a shell | tr a-z A-Z`; system('sh -c "exit 5"'); print $? >> 8, "\n";
local $SIG{ALRM} = sub { print "alarm\n" }; alarm 1; select(undef, undef, undef, 3);
exec 'sh', '-c', 'echo replaced; exit 8';
""",
    needs=("perl",),
)
program(
    "luajit",
    "luajit",
    "-e",
    """
local t = 0
for i = 1, 2e7 do t = (t + i * 3) % 1000003 end
print(t)
local keep = {}
for i = 1, 300000 do keep[i % 1000 + 1] = { i, tostring(i), { n = i } } end
collectgarbage() ; print(#keep, keep[1][2])
local ffi = require('ffi')
ffi.cdef[[int getpagesize(void); void *malloc(size_t); void free(void *); typedef struct { int a[256]; } blk;]]
print(ffi.C.getpagesize())
local n = 0
for i = 1, 20000 do local b = ffi.new('blk'); b.a[i % 256] = i; n = n + b.a[i % 256] end
print(n, jit.status() and 'jit')
local s = {} for i = 1, 50000 do s[#s + 1] = ('k%d'):format(i) end
print(#table.concat(s), select(2, table.concat(s, ','):gsub('9', '')))
""",
    needs=("luajit",),
)
program(
    "node",
    "node",
    "w.js",
    files={
        "w.js": """
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
if (!isMainThread) {
  let s = 0;
  for (let i = 0; i < 3e6; i++) s = (s + i * workerData) % 1000003;
  const b = new SharedArrayBuffer(1 << 20);
  parentPort.postMessage([workerData, s, b.byteLength]);
} else {
  const fs = require('fs'), cp = require('child_process'), crypto = require('crypto');
  const got = [];
  let left = 1;
  for (let n = 3; n <= 3; n++) // one: V8 reserves 512 MiB for the code of each
    new Worker(__filename, { workerData: n }).on('message', m => got.push(m)).on('exit', () => {
      if (--left) return;
      got.sort((a, b) => a[0] - b[0]);
      console.log(JSON.stringify(got));
      fs.writeFileSync('f', Buffer.alloc(3 << 20, 'ab'));
      console.log(crypto.createHash('sha256').update(fs.readFileSync('f')).digest('hex'));
      console.log(cp.execSync('echo from a child | tr a-z A-Z').toString());
      let o = []; for (let i = 0; i < 400000; i++) o[i % 5000] = { i, s: 'x' + i };
      console.log(o.length, /9$/.test(o[4999].s));
      process.exitCode = 11;
    });
}
"""
    },
    needs=("node",),
    ranges=NOT_PIE,
)
JAVA = [
    "java",
    "-XX:CompressedClassSpaceSize=64m",
    "-Xmx256m",
    "-XX:ReservedCodeCacheSize=64m",
    "Work.java",
]
program(
    "java",
    *JAVA,
    files={
        "Work.java": """
import java.util.*;
import java.util.concurrent.*;
public class Work {
    static int depth(int n) { return n == 0 ? 0 : 1 + depth(n - 1); }
    public static void main(String[] a) throws Exception {
        ExecutorService e = Executors.newFixedThreadPool(4);
        List<Future<Long>> fs = new ArrayList<>();
        for (int i = 1; i <= 8; i++) {
            final int n = i;
            fs.add(e.submit(() -> { long s = 0; for (int k = 0; k < 2000000; k++) s = (s + (long) k * n) % 1000003; return s; }));
        }
        long t = 0;
        for (Future<Long> f : fs) t += f.get();
        e.shutdown();
        System.out.println(t);
        byte[][] keep = new byte[64][];
        for (int i = 0; i < 3000; i++) keep[i % 64] = new byte[100000 + i];
        System.gc();
        System.out.println(keep[63].length);
        System.out.println(depth(5000));
        Object o = null;
        try { o.hashCode(); } catch (NullPointerException x) { System.out.println("null caught"); }
        try { byte[] b = new byte[2000000000]; } catch (OutOfMemoryError x) { System.out.println("no memory"); }
        Process p = new ProcessBuilder("sh", "-c", "echo child; exit 6").start();
        System.out.println(new String(p.getInputStream().readAllBytes()).trim() + " " + p.waitFor());
        System.exit(12);
    }
}
"""
    },
    needs=("java", "javac"),
)

# ---- compilers, make, git, servers --------------------------------------------------------------

sh(
    "gcc compiles and links",
    r"""
gcc -O2 -Wall -c one.c && gcc -O2 -c two.c && gcc -o prog one.o two.o -lm && ./prog; echo $?
gcc -flto -O2 -o lto one.c two.c -lm && ./lto; gcc -static -o st one.c two.c -lm && test -x st && echo linked
gcc -c bad.c 2>/dev/null; echo "bad $?"
""",
    files={
        "one.c": "#include <stdio.h>\n#include <math.h>\ndouble two(double);\nint main(int c, char **v) { printf(\"%.3f\\n\", sqrt(two(c))); return 21; }\n",
        "two.c": "double two(double x) { return x + 1; }\n",
        "bad.c": "int main(void) { return nothing; }\n",
    },
    needs=("gcc",),
    ranges=NOT_PIE,
)


def small_project():
    files = {
        "Makefile": """CFLAGS = -O2
OBJS = a.o b.o c.o d.o e.o f.o
all: prog
\t@./prog
prog: main.o lib.a
\t@$(CC) -o $@ main.o lib.a
lib.a: $(OBJS)
\t@$(AR) rc $@ $(OBJS)
%.o: %.c
\t@$(CC) $(CFLAGS) -c -o $@ $<
fails:
\t@echo before; exit 3
"""
    }
    for n in "abcdef":
        files[n + ".c"] = "#include <stdio.h>\n#include <stdlib.h>\nint %s(int x) { return x * %d; }\n" % (n, ord(n))
    files["main.c"] = (
        "#include <stdio.h>\n"
        + "".join("int %s(int);\n" % n for n in "abcdef")
        + 'int main(void) { printf("%d\\n", a(1)+b(2)+c(3)+d(4)+e(5)+f(6)); return 0; }\n'
    )
    return files


sh("make -j2", "make -j2; echo $?; make -s fails 2>/dev/null; echo $?; make -n | wc -l", files=small_project(), needs=("make", "gcc"), ranges=NOT_PIE)
sh(
    "git",
    r"""
git init -q -b main r && cd r
for i in 1 2 3 4 5 6; do seq $((i * 300)) > f$((i % 3)); git add . && git commit -q -m "commit $i"; done
git log --format='%h %s' && git clone -q --no-hardlinks . ../c && git -C ../c log --oneline | wc -l
git checkout -q -b side HEAD~2 && echo side > s && git add s && git commit -q -m side && git merge -q main -m merge && git log --graph --oneline | wc -l
git gc -q && git fsck 2>/dev/null; git status --short | wc -l; git diff HEAD~1 --stat | tail -1; git grep -c 299 | head -3
git rev-parse HEAD; git nonsense 2>/dev/null; echo $?
""",
    env={
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@example.org",
        "GIT_AUTHOR_DATE": "2020-01-01T00:00:00Z",
        "GIT_COMMITTER_DATE": "2020-01-01T00:00:00Z",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
    },
    needs=("git",),
)
sh(
    "redis-server with redis-benchmark",
    r"""
redis-server --port 0 --unixsocket $PWD/sock --save '' --dir $PWD --logfile log --daemonize no --io-threads 2 &
server=$!
cli="redis-cli -s $PWD/sock"
for i in $(seq 200); do $cli ping >/dev/null 2>&1 && break; sleep 0.05; done
$cli ping
redis-benchmark -s $PWD/sock -n 2000 -c 10 -q -t set,get,lpush > bench; echo "benchmark $?"; tr '\r' '\n' < bench | grep -c 'requests per second'
$cli set k v; $cli get k; $cli debug populate 20000 >/dev/null; $cli dbsize
$cli bgsave >/dev/null; for i in $(seq 200); do [ -s dump.rdb ] && break; sleep 0.05; done; test -s dump.rdb && echo saved
$cli eval "local t={} for i=1,1000 do t[i]=i end return #t" 0
$cli shutdown nosave; wait $server; echo "server $?"
""",
    needs=("redis-server", "redis-benchmark", "redis-cli"),
)
sh(
    "sqlite3",
    r"""
sqlite3 db <<'END'
pragma mmap_size=67108864;
pragma journal_mode=wal;
create table t(a integer primary key, b text, c real);
begin; with recursive n(i) as (select 1 union all select i+1 from n where i<30000) insert into t select i, 'row'||(i*7919%30011), i/3.0 from n; commit;
create index x on t(b);
select count(*), min(b), max(b), round(sum(c), 2) from t;
select a from t where b='row123';
select count(*) from t x join t y on x.a=y.a+1 where x.b<y.b;
delete from t where a%2; vacuum; pragma integrity_check; select count(*) from t;
END
echo $?; sqlite3 db 'select nonsense' 2>/dev/null; echo $?
""",
    needs=("sqlite3",),
)
sh(
    "LD_PRELOAD of libjemalloc2",
    r"""
export LD_PRELOAD=libjemalloc.so.2
python3 -c "
import threading
def f(n):
    k = [bytearray(i * 37 % 9000) for i in range(3000)]
    out.append(sum(map(len, k)))
out = []
ts = [threading.Thread(target=f, args=(n,)) for n in range(4)]
[t.start() for t in ts]; [t.join() for t in ts]; print(out)
print(open('/proc/self/maps').read().count('libjemalloc') > 0)"
seq 1000 | sort -R | sort -n | md5sum
""",
    needs=("python3",),
)

# ---- guests -------------------------------------------------------------------------------------

MARK = {"GUEST_MARK": "mark"}
program("dynamic PIE", "guest:hello", "one", "two three", env=MARK)
program("dynamic non-PIE", "guest:hello-nopie", "one", "", env=MARK, ranges=NOT_PIE)
program("static non-PIE", "guest:hello-static", "one", env=MARK, ranges=NOT_PIE)
program("static PIE", "guest:hello-static-pie", "one", env=MARK)
program("ld.so as the program", "/lib64/ld-linux-x86-64.so.2", "guest:hello", "one", env=MARK)
program("recursion of 7 MB", "guest:recurse")
program("threads map while another forks", "guest:mapfork")
program("proc tells the truth", "guest:procinfo", "a", "b c")
program("the vdso tells the time", "guest:vdsotime")
sh(
    "a program that daemonizes",
    "$0 $PWD; echo $?; for i in $(seq 200); do [ -f pid ] && break; sleep 0.05; done; touch go; for i in $(seq 400); do [ -f done ] && break; sleep 0.05; done; cat done work",
)
PROGRAMS[-1] = PROGRAMS[-1]._replace(argv=PROGRAMS[-1].argv + ("guest:daemonize",))


# ---- running them -------------------------------------------------------------------------------

natives = {}


def check(p, way):
    t.need(*p.needs)
    argv = [t.place.guest(a[6:]) if a.startswith("guest:") else a for a in p.argv]
    if p.name.startswith("LD_PRELOAD"):
        lib = t.subprocess.run(["/sbin/ldconfig", "-p"], stdout=t.subprocess.PIPE).stdout
        if b"libjemalloc.so.2" not in lib:
            raise t.Skip("libjemalloc2 is not installed")
    env = dict(p.env or {})
    if "python3" in " ".join(p.argv):
        env.update(t.place.python_env(way.range))
    argv[0] = t.found(argv[0], dict(t.place.env(way.user), **env))
    if p.out is None:
        key = (p.name, way.user, way.range)
        if key not in natives:
            natives[key] = t.run_native(way.user, argv, p.files, env, p.seconds)
        native = natives[key]
    else:
        native = t.Result(0, p.out)
    got = t.run(way, argv, p.files, env, p.seconds)
    t.same_as_native(native, got)


def suite(some_ways):
    """A Suite of every program in every one of @some_ways that it is made for."""
    s = t.Suite()
    for p in PROGRAMS:
        for w in some_ways:
            if w.range in p.ranges:
                s.add("%s [%s]" % (p.name, w.name), check, p, w)
    return s
