"""A vmsupd in folders of its own, for the tests that need one."""

import glob
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import vmsuptest as t

VMSUPD = os.path.join(os.path.dirname(t.VMSUP), "vmsupd")


class Daemon:
    """with Daemon(conf, web="command: [...]") as d: ..."""

    def __init__(self, conf="", env=None, **tenants):
        if t.ME != "root":
            raise t.Skip("vmsupd is tried as root")
        self.top = tempfile.mkdtemp(prefix="vmsupd-", dir=t.place.top)
        os.chmod(self.top, 0o755)
        self.etc = os.path.join(self.top, "etc")
        os.makedirs(os.path.join(self.etc, "tenants.d"))
        self.socket = os.path.join(self.top, "run", "vmsupd.sock")
        self.env = dict(t.place.env("root"), VMSUP_SOCKET=self.socket, **(env or {}))
        self.log = os.path.join(self.top, "log")
        self.proc = None
        self.preexec = None
        self.write("vmsup.conf", conf)
        for name, text in tenants.items():
            self.tenant(name, text)

    def write(self, name, text):
        with open(os.path.join(self.etc, name), "w") as f:
            f.write(text)

    def tenant(self, name, text):
        self.write("tenants.d/%s.conf" % name, text)

    def argv(self):
        return [VMSUPD, "--foreground", "--config", self.etc, "--runtime", self.top + "/run", "--state", self.top + "/state"]

    def start(self, env=None, **kw):
        with open(self.log, "ab") as log:
            self.proc = subprocess.Popen(self.argv(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", preexec_fn=self.preexec,
                                         env=dict(self.env, **(env or {})), **kw)
        self.until(lambda: self.vmsup("status").returncode == 0 or self.proc.poll() is not None, "vmsupd answers")
        t.require(self.proc.poll() is None, "vmsupd has ended:\n" + self.text())
        return self

    def text(self):
        return t.read_text(self.log, "")

    def until(self, true, what, seconds=60):
        end = time.monotonic() + seconds
        while not true():
            if time.monotonic() > end:
                raise t.Failure("never: %s\n%s\n%s" % (what, self.vmsup("status").stdout, self.text()))
            time.sleep(0.05)

    def vmsup(self, *words, user=None, groups=None, **kw):
        argv = [t.place.vmsup()] + list(words)
        if user is not None:
            how = ["--groups=%s" % groups] if groups else ["--clear-groups"]
            argv = ["setpriv", "--reuid=%d" % user, "--regid=%d" % user] + how + ["--"] + argv
        return subprocess.run(argv, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=90, check=False, **kw)

    def ok(self, *words, **kw):
        got = self.vmsup(*words, **kw)
        t.require(got.returncode == 0, "vmsup %s: %d\n%s%s\n%s" % (" ".join(words), got.returncode, got.stdout, got.stderr, self.text()))
        return got.stdout

    def refused(self, *words, says, status=1, **kw):
        got = self.vmsup(*words, **kw)
        lines = got.stderr.splitlines()
        t.require(got.returncode == status and len(lines) == 1 and says in lines[0],
                  "vmsup %s: %d\n%s%s" % (" ".join(words), got.returncode, got.stdout, got.stderr))

    def tenants(self, **kw):
        return {x["name"]: x for x in json.loads(self.ok("status", "--json", **kw))["tenants"]}

    def of(self, name):
        return self.tenants()[name]

    def wait_state(self, name, *states):
        self.until(lambda: self.of(name)["state"] in states, "%s is %s" % (name, states))
        return self.of(name)

    def kill_supervisor(self, name):
        """Kill it, and wait until another is there."""
        now = self.of(name)
        os.kill(now["supervisor"], signal.SIGKILL)
        self.until(lambda: self.of(name)["losses"] > now["losses"] and self.of(name)["supervisor"], "another supervisor")

    def kill(self):
        self.proc.kill()
        self.proc.wait()

    def stop(self):
        """Ctrl-C; nothing may be left."""
        self.proc.send_signal(signal.SIGINT)
        try:
            self.proc.wait(60)
        except subprocess.TimeoutExpired:
            raise t.Failure("vmsupd does not end\n" + self.text()) from None
        t.require(self.proc.returncode == 0, "vmsupd ended with %r\n%s" % (self.proc.returncode, self.text()))
        left = [os.path.join(f, n) for f, _, names in os.walk(self.top + "/run") for n in names if not n.endswith(".lock")]
        tag = "vmsup-*@%x" % os.stat(self.top + "/run").st_ino
        left += [x for top in ("/sys/fs/cgroup/", "/sys/fs/cgroup/unified/", "/sys/fs/cgroup/vmsup/", "/sys/fs/cgroup/unified/vmsup/")
                 for x in glob.glob(top + tag)]
        t.require(not left, "left behind: %r" % left)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *rest):
        if self.proc and self.proc.poll() is None:
            if kind is None:
                self.stop()
            else:
                self.kill()
        if kind is not None:
            print("# " + self.text().replace("\n", "\n# "))
        t.kill_all()
        shutil.rmtree(self.top, ignore_errors=True)


class Line:
    """The protocol itself, for clients that do not keep to it."""

    def __init__(self, path, hello=True):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(path)
        if hello:
            self.ask({"verb": "hello", "version": 1})

    def send(self, data):
        self.sock.sendall(struct.pack(">I", len(data)) + data)

    def receive(self):
        head = self.exactly(4)
        return json.loads(self.exactly(struct.unpack(">I", head)[0])) if head else None

    def exactly(self, n):
        got = b""
        while len(got) < n:
            part = self.sock.recv(n - len(got))
            if not part:
                return b""
            got += part
        return got

    def ask(self, request):
        self.send(json.dumps(dict(request, id=7)).encode())
        return self.receive()

    def close(self):
        self.sock.close()


class Notify:
    """A service manager's socket: what it is told, and the descriptors it keeps."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "notify")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.sock.settimeout(0.1)
        self.said, self.kept = [], {}

    def listen(self):
        """Take what has come."""
        while True:
            try:
                data, fds, _, _ = socket.recv_fds(self.sock, 65536, 16)
            except (TimeoutError, socket.timeout):
                return
            lines = data.decode().splitlines()
            self.said += lines
            names = [x[7:] for x in lines if x.startswith("FDNAME=")]
            if "FDSTORE=1" in lines and fds:
                self.kept[names[0]] = fds[0]
            elif "FDSTOREREMOVE=1" in lines and names[0] in self.kept:
                os.close(self.kept.pop(names[0]))

    def close(self):
        self.sock.close()
        for fd in self.kept.values():
            os.close(fd)
