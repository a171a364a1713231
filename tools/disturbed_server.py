"""A `shoal serve` over nodes that are to be disturbed: for survive.py and soak.py."""

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time

READY_S = 60
ANSWER_S = 120  # no answer within this is a hang


def parse_with_options(parser):
    """The arguments; those after `--`, which are for serve, as `options`."""
    given = sys.argv[1:]
    end = given.index("--") if "--" in given else len(given)
    return parser.parse_args(given[:end], argparse.Namespace(options=given[end + 1:]))


class Server:
    """`options` say over which nodes. Unless they name a state folder, it has one of its own, so that no
    plan of another run is taken up."""

    def __init__(self, shoal, model, *options):
        self.state = tempfile.TemporaryDirectory(prefix="shoal-state-")
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [shoal, "serve", model, "--listen", "127.0.0.1:0", *map(str, options)],
            stdout=subprocess.PIPE, stderr=self.log, text=True,
            env={**os.environ, "SHOAL_STATE": self.state.name})
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the server did not start: {self.errors()}")
        self.port = int(re.search(r":(\d+)/v1", line)[1])

    def end(self):
        """The exit code."""
        self.process.terminate()
        code = self.process.wait(READY_S)
        self.process.stdout.close()
        self.log.close()
        self.state.cleanup()
        return code

    def errors(self):
        """What it wrote to stderr."""
        return os.pread(self.log.fileno(), 1 << 24, 0).decode(errors="replace")

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_S)

    def health(self):
        connection = self.connect()
        connection.request("GET", "/health")
        response = connection.getresponse()
        body = json.loads(response.read())
        connection.close()
        return response.status, body

    def wait(self, condition, what="the server is ready again"):
        deadline = time.monotonic() + READY_S
        while not condition():
            if time.monotonic() > deadline:
                raise SystemExit(f"not within {READY_S} s: {what}")
            time.sleep(0.01)

    def nodes(self):
        """{name: pid} of the node processes that run now."""
        found = {}
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{entry}/cmdline", encoding="utf-8") as file:
                    words = file.read().split("\0")
                with open(f"/proc/{entry}/stat", encoding="utf-8") as file:
                    parent = file.read().rsplit(")", 1)[1].split()[1]
            except OSError:
                continue
            if int(parent) == self.process.pid and "node" in words:
                found[next(word for word in words if word.startswith("local-"))] = int(entry)
        return found

    def stream(self, fields):
        """Asks for a streamed completion, and gives its events as they come; Refused if there is none."""
        connection = self.connect()
        connection.request("POST", "/v1/completions", json.dumps({**fields, "stream": True}),
                           {"Content-Type": "application/json"})
        return events(connection)


def events(connection):
    try:
        response = connection.getresponse()
        if response.status != 200:
            raise Refused(response.status, response.getheader("Retry-After"),
                          response.read().decode(errors="replace"))
        while line := response.readline():
            if line.startswith(b"data: "):
                data = line.removeprefix(b"data: ").strip()
                yield "[DONE]" if data == b"[DONE]" else json.loads(data)
    finally:
        connection.close()


class Refused(Exception):
    def __init__(self, status, retry_after, body):
        super().__init__(f"{status}: {body}")
        self.status, self.retry_after = status, retry_after
