"""Nodes on hosts of their own (network namespaces) that are members of a mesh whose coordinator is this
machine: for survive.py and join_time.py. Needs root."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile

from namespaces import HOME, Namespaces

NODE_PORT, MESH_PORT = 7701, 7700
JOIN_S = 30


def join(invite, start):
    """Runs the command `invite`, hands its code to `start`, and gives what that gives once the node is a
    member."""
    with subprocess.Popen(list(map(str, invite)), stdout=subprocess.PIPE, text=True) as invited:
        started = start(json.loads(invited.stdout.readline())["code"])
        if invited.wait(timeout=JOIN_S) != 0:
            raise SystemExit("a node did not join")
    return started


class MeshHosts:
    """To use in a `with` statement. At its begin the nodes have joined, have empty stores, and do not run."""

    def __init__(self, shoal, prefix, subnet, count, rate):
        self.shoal = shoal
        self.spaces = Namespaces(prefix, subnet, count, rate)
        self.folder = tempfile.mkdtemp(prefix=f"{prefix}-")
        # For `shoal serve` and `shoal nodes`.
        self.options = ["--state", f"{self.folder}/server",
                        "--mesh-listen", f"{self.spaces.address(HOME)}:{MESH_PORT}"]

    def __enter__(self):
        try:
            self.spaces.__enter__()
            for i in range(self.spaces.count):
                node = join([self.shoal, "nodes", "invite", "--json", *self.options],
                            lambda code, i=i: self.start_node(i, "--join", code))
                node.kill()
                node.communicate()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.spaces.__exit__()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start_node(self, i, *options):
        """The process; `host-I` is its name."""
        command = [self.shoal, "node", "--listen", f"{self.spaces.address(i)}:{NODE_PORT}", "--name", f"host-{i}",
                   "--state", f"{self.folder}/{i}", "--store", self.store(i), *options]
        node = subprocess.Popen(self.spaces.inside(i, command), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True)
        if not node.stdout.readline().startswith("listening"):
            raise SystemExit(f"node {i} did not start: {node.communicate()[1]}")
        return node

    def store(self, i):
        return os.path.join(self.folder, f"store-{i}")

    def forget_plan(self):
        """So that the next server plans anew."""
        with contextlib.suppress(FileNotFoundError):
            os.remove(f"{self.folder}/server/mesh.json")

    def empty_store(self, i):
        shutil.rmtree(self.store(i))
