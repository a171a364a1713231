#!/usr/bin/env python3
"""Times a new node from its start to the first request that its mesh can serve, and its second start.

    tools/join_time.py SHOAL MODEL [--rounds N] [--rate RATE]

As root: the node is on a host of its own (a network namespace), behind a link of RATE (1gbit), and has an
empty store; the server is on this machine, has the model, and serves it over that node alone. Its manifest
is made before. Prints what the link alone would need for the model's tensors, and for each round the time
from the start of node and server until the server serves: with an empty store, and with a full one.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time

from disturbed_server import Server
from namespaces import HOME, Namespaces

NODE_PORT, MESH_PORT = 7701, 7700


class Mesh:
    def __init__(self, a, folder, spaces):
        self.a, self.folder, self.spaces = a, folder, spaces
        self.options = ["--state", f"{folder}/server", "--mesh-listen", f"{spaces.address(HOME)}:{MESH_PORT}"]

    def node(self, *options):
        command = [self.a.shoal, "node", "--listen", f"{self.spaces.address(0)}:{NODE_PORT}", "--name", "host",
                   "--state", f"{self.folder}/node", "--store", f"{self.folder}/store", *options]
        node = subprocess.Popen(self.spaces.inside(0, command), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True)
        if not node.stdout.readline().startswith("listening"):
            raise SystemExit("the node did not start")
        return node

    def end(self, node):
        """What it wrote to stderr."""
        node.terminate()
        return node.communicate()[1]

    def join(self):
        invited = subprocess.Popen([self.a.shoal, "nodes", "invite", "--json", *self.options],
                                   stdout=subprocess.PIPE, text=True)
        node = self.node("--join", json.loads(invited.stdout.readline())["code"])
        if invited.wait(timeout=30) != 0:
            raise SystemExit("the node did not join")
        self.end(node)

    def start(self):
        """(s until the server serves, s of them for bytes that came over the link, those bytes)"""
        start = time.monotonic()
        node = self.node()
        server = Server(self.a.shoal, self.a.model, *self.options, "--plan", "spread", "-c", 2048)
        took_s = time.monotonic() - start
        server.end()
        fetched = re.search(r"(\d+) bytes fetched in ([\d.]+) s", self.end(node))
        return took_s, float(fetched[2]), int(fetched[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("shoal")
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=str, default="1gbit")
    a = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="shoal-join-")
    rounds = []
    with Namespaces("shoalj", "10.76.0", 1, a.rate) as spaces:
        try:
            mesh = Mesh(a, folder, spaces)
            mesh.join()
            mesh.start()  # makes the manifest, which is remembered
            for _ in range(a.rounds):
                shutil.rmtree(f"{folder}/store")
                rounds.append((mesh.start(), mesh.start()))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    bits = float(a.rate.removesuffix("gbit")) * 1e9 if a.rate.endswith("gbit") else float(a.rate.removesuffix("mbit")) * 1e6
    size = rounds[0][0][2]
    link_s = 8 * size / bits
    print(f"{size} bytes, {link_s:.2f} s of the link\n")
    print("| round | first start, s | of the link's time | bytes came in, s | second start, s | bytes fetched then |")
    print("|---|---|---|---|---|---|")
    for i, (first, second) in enumerate(rounds):
        print(f"| {i + 1} | {first[0]:.2f} | {first[0] / link_s:.2f} | {first[1]:.2f} | {second[0]:.2f} | {second[2]} |")
    print(f"\nmedian: {statistics.median(f[0] for f, _ in rounds) / link_s:.2f} times the link's time; "
          f"second start {statistics.median(s[0] for _, s in rounds):.2f} s")


if __name__ == "__main__":
    main()
