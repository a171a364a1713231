#!/usr/bin/env python3
"""How fast two, three and four nodes are over links with delay: network namespaces, a link of its own and
5 ms of added delay each way for every node, layers spread. Prints a Markdown table, medians of rounds in
turns. Needs root.

usage: tests/tools/mesh_speed.py BUILD_FOLDER MODEL.gguf [--rates 1gbit 100mbit] [--delay-ms 5] [--rounds 3]
"""
import argparse
import os
import statistics

from predict import Lab, bench

COUNTS = (2, 3, 4)
PROMPT, OUTPUT = 512, 48


def speed(lab, nodes):
    """(prefill, decode) in tokens/s."""
    found = bench(lab, range(nodes), PROMPT, OUTPUT, "--plan", "spread")
    return found["prefill", 1], found["decode", 1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("model")
    parser.add_argument("--rates", nargs="*", default=["1gbit", "100mbit"])
    parser.add_argument("--delay-ms", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    a = parser.parse_args()
    print("| link | nodes | prefill tokens/s | decode tokens/s | ms a token |\n|---|---|---|---|---|")
    for rate in a.rates:
        processors = ["0,1"] * max(COUNTS)
        with Lab(os.path.abspath(a.build), os.path.abspath(a.model), processors, 0, rate, a.delay_ms) as lab:
            rounds = [{nodes: speed(lab, nodes) for nodes in COUNTS} for _ in range(a.rounds)]
        for nodes in COUNTS:
            prefill, decode = (statistics.median(one[nodes][i] for one in rounds) for i in range(2))
            print(f"| {rate}, {a.delay_ms:g} ms | {nodes} | {prefill:.0f} | {decode:.1f} | {1000 / decode:.1f} |",
                  flush=True)


if __name__ == "__main__":
    main()
