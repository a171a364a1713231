#!/usr/bin/env python3
"""Times a new node from its start to the first request that its mesh can serve, and its second start.

    tools/join_time.py SHOAL MODEL [--rounds N] [--rate RATE]

As root: the node is on a host of its own (a network namespace), behind a link of RATE (1gbit), and has an
empty store; the server is on this machine, has the model, and serves it over that node alone. Its manifest
is made before. Prints what the link alone would need for the model's tensors, and for each round the time
from the start of node and server until the server serves: with an empty store, and with a full one.
"""

import argparse
import re
import statistics
import time

from disturbed_server import Server
from mesh_hosts import MeshHosts

BITS = {"gbit": 1e9, "mbit": 1e6}


def start(a, hosts):
    """(s until the server serves, s of them for bytes that came over the link, those bytes)"""
    begin = time.monotonic()
    node = hosts.start_node(0)
    server = Server(a.shoal, a.model, *hosts.options, "--plan", "spread", "-c", 2048)
    took_s = time.monotonic() - begin
    server.end()
    node.terminate()
    fetched = re.search(r"(\d+) bytes fetched in ([\d.]+) s", node.communicate()[1])
    return took_s, float(fetched[2]), int(fetched[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("shoal")
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", default="1gbit", help="a number, and gbit or mbit")
    a = parser.parse_args()
    bits = float(a.rate[:-4]) * BITS[a.rate[-4:]]
    rounds = []
    with MeshHosts(a.shoal, "shoalj", "10.76.0", 1, a.rate) as hosts:
        start(a, hosts)  # makes the manifest, which is remembered
        for _ in range(a.rounds):
            hosts.empty_store(0)
            rounds.append((start(a, hosts), start(a, hosts)))
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
