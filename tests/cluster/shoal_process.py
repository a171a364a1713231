"""Helpers of the tests that run the `shoal` command as a user would: processes, HTTP, files.

Every wait here polls a condition or blocks on a descriptor, with a deadline; none is a plain sleep.
A test program ends with `run_tests()` and is called as

    x_test.py SHOAL_BINARY TEST_DATA_FOLDER [unittest's arguments]

The real model comes from SHOAL_TEST_MODEL, or the place where tools/fetch_model.sh keeps it. Tests
that need it are skipped where it is missing, and fail there with SHOAL_REQUIRE_MODEL=1.
"""

import http.client
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

DEADLINE_S = 400  # of whatever should take a second: the machine may be busy, the build instrumented
LEAKS_OF_OTHERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "leaks_of_others.supp")
REFUSED_S = 60  # of a message about bad input
POLL_S = 0.01

_paths = {}


def run_tests():
    """Takes the two paths from the command line, then runs the tests of the calling program."""
    if len(sys.argv) < 3:
        sys.exit(f"usage: {sys.argv[0]} SHOAL_BINARY TEST_DATA_FOLDER [unittest's arguments]")
    _paths["binary"], _paths["data"] = (os.path.abspath(path) for path in sys.argv[1:3])
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)


def shoal_binary():
    return _paths["binary"]


def tiny_model(name):
    return os.path.join(_paths["data"], "tiny-models", f"tiny-{name}.gguf")


def golden(name):
    with open(tiny_model(name).removesuffix(".gguf") + ".json", encoding="utf-8") as file:
        return json.load(file)


def real_model():
    """SmolLM2's path; skips the calling test, or fails it, where there is none."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = os.environ.get("SHOAL_TEST_MODEL") or os.path.join(
        cache, "shoal/models/SmolLM2-135M-Instruct.Q4_1.gguf"
    )
    if os.path.isfile(path):
        return os.path.abspath(path)
    message = f"no model at {path}: run tools/fetch_model.sh or set SHOAL_TEST_MODEL"
    if os.environ.get("SHOAL_REQUIRE_MODEL") == "1":
        raise AssertionError(message)
    raise unittest.SkipTest(message)


def wait_for(condition, what, deadline_s=DEADLINE_S):
    """Calls `condition` until it gives something true, and returns that."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {what}")
        time.sleep(POLL_S)


def is_paused(pid):
    """Whether none of its threads runs."""
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/stat", encoding="utf-8") as file:
                if file.read().rpartition(")")[2].split()[0] != "T":
                    return False
    except (FileNotFoundError, ProcessLookupError):
        return False  # a thread ended in between
    return True


def is_running(pid):
    """Whether the process computes still; one that only waits to be reaped does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def node_pids(parent):
    """{name: pid} of the node processes that `parent` started."""
    found = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8") as file:
                if int(file.read().rpartition(")")[2].split()[1]) != parent:
                    continue
            with open(f"/proc/{entry}/cmdline", encoding="utf-8") as file:
                arguments = file.read().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended in between
        if "--name" in arguments:
            found[arguments[arguments.index("--name") + 1]] = int(entry)
    return found


class ShoalTestCase(unittest.TestCase):
    """Gives each test a folder of its own, which is also where local nodes put their sockets."""

    maxDiff = 2000

    def setUp(self):
        # Below /tmp whatever TMPDIR says: the path of a Unix socket has room for 107 bytes.
        self.folder = tempfile.mkdtemp(prefix="shoal-test-", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.runtime = os.path.join(self.folder, "runtime")
        os.mkdir(self.runtime, 0o700)
        self.state = os.path.join(self.folder, "state")  # of the coordinator
        self._mesh_port = None
        self._node_states = {}  # of each node that joined, by its address

    def environment(self, **changes):
        kept = {key: value for key, value in os.environ.items() if key != "SHOAL_ISA"}
        ours = {
            "XDG_RUNTIME_DIR": self.runtime,
            "SHOAL_STATE": self.state,
            "LSAN_OPTIONS": f"suppressions={LEAKS_OF_OTHERS}:print_suppressions=0",  # if instrumented
        }
        return {**kept, **ours, **changes}

    def run_shoal(self, *arguments, stdin="", deadline_s=DEADLINE_S, **environment):
        """The whole run of one command: exit code, stdout, stderr."""
        return subprocess.run(
            [shoal_binary(), *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=deadline_s,
            env=self.environment(**environment),
            cwd=self.folder,
        )

    def output_of(self, *arguments, **options):
        """stdout of a command that must succeed."""
        done = self.run_shoal(*arguments, **options)
        self.assertEqual(done.returncode, 0, f"shoal {arguments}: {done.stderr}")
        return done.stdout

    def assert_refused(self, *arguments, says, stdin="", **environment):
        """The command fails with exit code 1, prints no result, and names the cause on stderr."""
        done = self.run_shoal(*arguments, stdin=stdin, deadline_s=REFUSED_S, **environment)
        self.assertEqual(done.returncode, 1, f"shoal {arguments}: {done.stderr}")
        self.assertEqual(done.stdout, "", arguments)
        for part in [says] if isinstance(says, str) else says:
            self.assertIn(part, done.stderr, arguments)
        return done.stderr

    def start_shoal(self, *arguments, inside=(), **environment):
        """`inside`: words that come before the command, to run it in another network, say."""
        return ShoalProcess(self, arguments, self.environment(**environment), inside)

    def start_server(self, model, *arguments, **environment):
        mesh = ("--mesh-listen", self.mesh_listen()) if self._node_states else ()
        server = self.start_shoal("serve", model, "--listen", "127.0.0.1:0", *mesh, *arguments, **environment)
        return Server(self, server)

    def mesh_listen(self):
        """Where the nodes of this test find their coordinator, whoever that is at the time."""
        if self._mesh_port is None:
            with socket.create_server(("127.0.0.1", 0)) as free:
                self._mesh_port = free.getsockname()[1]
        return f"127.0.0.1:{self._mesh_port}"

    def invite(self):
        """A process that waits for one node to join, and the code for that."""
        invited = self.start_shoal("nodes", "invite", "--json", "--mesh-listen", self.mesh_listen())
        return invited, json.loads(invited.read_line())["code"]

    def start_node(self, *arguments, listen="127.0.0.1:0", state=None):
        """A node and the address it says it listens on; `state` is its folder, if it is to have that one.

        On the network it joins the mesh of this test first, unless it takes the place of an earlier
        one.
        """
        invited = None
        joining = ()
        if listen in self._node_states:
            state = self._node_states[listen]
        elif not listen.startswith("unix:"):
            state = state or os.path.join(self.folder, f"node-{len(self._node_states)}")
            invited, code = self.invite()
            joining = ("--join", code)
        stored = ("--state", state) if state else ()
        node = self.start_shoal("node", "--listen", listen, *stored, *joining, *arguments)
        line = node.read_line()
        self.assertTrue(line.startswith("listening on "), line)
        address = line.removeprefix("listening on ").strip()
        if invited is not None:
            self._node_states[address] = state
            joined = json.loads(invited.read_line())["node"]
            self.assertEqual(joined["address"], address)
            self.assertEqual(invited.wait(), 0)
        return node, address


class ShoalProcess:
    """A `shoal` command in the background. Whatever is left of it ends with the test."""

    def __init__(self, test, arguments, environment, inside=()):
        # A file, so that nobody needs to read it for the process to go on.
        self._stderr = tempfile.TemporaryFile(dir=test.folder)
        self._popen = subprocess.Popen(
            [*inside, shoal_binary(), *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=environment,
            cwd=test.folder,
        )
        self._name = f"shoal {arguments[0]}"
        self.pid = self._popen.pid
        test.addCleanup(self._end)

    def _end(self):
        nodes = node_pids(self.pid).values()
        self._popen.kill()
        self._popen.wait()
        self._popen.stdout.close()
        if errors := self.errors():  # CTest shows it only where a test failed
            print(f"--- {self._name} said:\n{errors}---")
        self._stderr.close()
        for pid in filter(is_running, nodes):
            os.kill(pid, signal.SIGKILL)

    def read_line(self, deadline_s=DEADLINE_S):
        """The next line of stdout."""
        line = b""
        end = time.monotonic() + deadline_s
        while not line.endswith(b"\n"):
            left_s = max(0, end - time.monotonic())
            if not select.select([self._popen.stdout], [], [], left_s)[0]:
                raise AssertionError(f"no line within {deadline_s} s: {self.errors()}")
            byte = os.read(self._popen.stdout.fileno(), 1)
            if not byte:
                raise AssertionError(f"ended without a line: {self.errors()}")
            line += byte
        return line.decode()

    def leave_after_first_byte(self):
        """Closes the reading end of stdout once something has come."""
        os.read(self._popen.stdout.fileno(), 1)
        self._popen.stdout.close()

    def nodes(self):
        return node_pids(self.pid)

    def send(self, number):
        self._popen.send_signal(number)

    def pause(self):
        """Stops it; returns when none of its threads runs, which a signal alone does not promise."""
        self.send(signal.SIGSTOP)
        wait_for(lambda: is_paused(self.pid), "every thread is stopped")

    def wait(self, deadline_s=DEADLINE_S):
        """The exit code."""
        return self._popen.wait(deadline_s)

    def errors(self):
        """What it wrote to stderr so far."""
        return os.pread(self._stderr.fileno(), 1 << 20, 0).decode(errors="replace")


class Server:
    """A running `shoal serve` and its HTTP side."""

    def __init__(self, test, process):
        self.process = process
        self._test = test
        line = process.read_line()
        test.assertRegex(line, r"^serving .* on http://127\.0\.0\.1:\d+/v1$")
        self.port = int(line.rpartition(":")[2].partition("/")[0])

    def connect(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        self._test.addCleanup(connection.close)
        return connection

    def get(self, path):
        """(status, JSON)"""
        connection = self.connect()
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, json.loads(response.read())

    def is_ready(self):
        return self.get("/health")[0] == 200

    def running(self):
        return self.get("/health")[1]["running"]

    def post(self, path, body):
        """(status, JSON)"""
        response = self.open(path, body)
        return response.status, json.loads(response.read())

    def send(self, connection, path, body):
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})

    def open(self, path, body):
        """The response to a POST, its body unread."""
        connection = self.connect()
        self.send(connection, path, body)
        response = connection.getresponse()
        response.connection = connection  # lives as long as its response
        return response

    def ask(self, text, **fields):
        """The greedy answer to one message; fails the test if there is none."""
        status, body = self.post("/v1/chat/completions", chat(text, **fields))
        self._test.assertEqual(status, 200, body)
        return body["choices"][0]["message"]["content"]

    def stream(self, text, **fields):
        """The response of a streamed chat, of which events() reads."""
        response = self.open("/v1/chat/completions", chat(text, stream=True, **fields))
        self._test.assertEqual(response.status, 200)
        return response


def chat(text, **fields):
    message = {"role": "user", "content": text}
    return {"messages": [message], "temperature": 0, "max_tokens": 16, **fields}


def events(response):
    """The events of a stream, as they come: JSON objects, and "[DONE]"."""
    while line := response.readline():
        if line.startswith(b"data: "):
            data = line.removeprefix(b"data: ").strip()
            yield "[DONE]" if data == b"[DONE]" else json.loads(data)


def text_of(event):
    """The text an event of a streamed chat adds."""
    if event == "[DONE]" or not event.get("choices"):
        return ""
    return event["choices"][0]["delta"].get("content") or ""


def read_text(stream, pieces):
    """Reads events until so many brought text: the answer is under way then."""
    while pieces > 0:
        event = next(stream)
        if "error" in event:
            raise AssertionError(event)
        pieces -= bool(text_of(event))
