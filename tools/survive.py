#!/usr/bin/env python3
"""Kills, stops, ends and cuts off each of three nodes in mid-answer, and tells how the answer went on.

    tools/survive.py SHOAL MODEL [--rounds N] [--hosts] [--max-gap S] [-- SERVE_OPTIONS...]

Every case streams the same drawn answer over three nodes, disturbs one of them (during the prompt, early,
late), and compares the text with that of an undisturbed run. Prints a Markdown table: for each disturbance
and node the longest time without a token, and whether the text was the same.

The nodes are processes of this machine that read the model's file; with --hosts (as root), members of a mesh
on hosts of their own: network namespaces with links of 1 Gbit/s, over which each fetches its weights. There
links are cut, too.
"""

import argparse
import os
import signal
import statistics
import sys
import time

from disturbed_server import Server, parse_with_options
from mesh_hosts import MeshHosts

FIELDS = {"prompt": "Once upon a time there was a harbour. " * 60, "max_tokens": 160,
          "temperature": 0.8, "seed": 7, "logit_bias": {"0": -100, "2": -100}}  # SmolLM2's end tokens
MOMENTS = {"prefill": 0, "early": 5, "late": 120}  # tokens before the disturbance
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGSTOP": signal.SIGSTOP, "SIGTERM": signal.SIGTERM}
LINK_DOWN = "link down"
STAGES = 3
CONTEXT = 2048


class LocalNodes:
    disturbances = list(SIGNALS)

    def __init__(self, a):
        self.a, self.server, self.stopped = a, None, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def start(self):
        self.server = Server(self.a.shoal, self.a.model, "--local-nodes", STAGES, "-c", CONTEXT, *self.a.options)

    def disturb(self, i, how):
        pid = self.server.nodes()[f"local-{i}"]
        os.kill(pid, SIGNALS[how])
        self.stopped = pid if how == "SIGSTOP" else None

    def end(self):
        if self.stopped is not None:
            os.kill(self.stopped, signal.SIGCONT)
        self.stopped = None
        self.server.end()


class NodesOnHosts:
    """Every start has empty stores."""

    disturbances = [*SIGNALS, LINK_DOWN]

    def __init__(self, a):
        self.a, self.server, self.nodes = a, None, []
        self.hosts = MeshHosts(a.shoal, "shoals", "10.79.0", STAGES, "1gbit")

    def __enter__(self):
        self.hosts.__enter__()
        return self

    def __exit__(self, *_):
        self.hosts.__exit__()

    def start(self):
        self.nodes = [self.hosts.start_node(i, "--log-level", "error") for i in range(STAGES)]
        self.server = Server(self.a.shoal, self.a.model, *self.hosts.options, "--plan", "spread", "-c", CONTEXT,
                             *self.a.options)

    def disturb(self, i, how):
        if how == LINK_DOWN:
            self.hosts.spaces.set_link(i, "down")
        else:
            self.nodes[i].send_signal(SIGNALS[how])

    def end(self):
        for i, node in enumerate(self.nodes):
            node.kill()
            node.communicate()
            self.hosts.spaces.set_link(i, "up")
            self.hosts.empty_store(i)
        self.server.end()
        self.hosts.forget_plan()


def answer(nodes, moment=None, act=None):
    """(text, longest time without a token in s, error)"""
    text, count, longest_s, last = "", 0, 0.0, time.monotonic()
    stream = nodes.server.stream(FIELDS)
    if moment == 0:
        act()
    for event in stream:
        if event == "[DONE]":
            break
        if "error" in event:
            return text, longest_s, event["error"]["message"]
        now = time.monotonic()
        longest_s, last = max(longest_s, now - last), now
        text += event["choices"][0]["text"]
        count += 1
        if count == moment:
            act()
    return text, longest_s, None


def case(nodes, i, how, moment, expected):
    """(longest time without a token in s, whether the text was the same, error)"""
    nodes.start()  # a node that was lost before would have no part for a while

    def act():
        if moment == "prefill":
            nodes.server.wait(lambda: nodes.server.health()[1]["running"] == 1, "the prompt is being read")
        nodes.disturb(i, how)

    try:
        text, longest_s, error = answer(nodes, MOMENTS[moment], act)
    finally:
        nodes.end()
    return longest_s, error is None and text == expected, error


def row(a, nodes, how, i, expected):
    """Prints one, and tells how many cases failed."""
    cells, same, too_long = [], 0, 0
    for moment in MOMENTS:
        runs = [case(nodes, i, how, moment, expected) for _ in range(a.rounds)]
        gaps = [gap_s for gap_s, _, _ in runs]
        cells.append(f"{statistics.median(gaps):.2f} s" +
                     (f" ({min(gaps):.2f} to {max(gaps):.2f})" if a.rounds > 1 else ""))
        same += sum(ok for _, ok, _ in runs)
        for _, ok, error in runs:
            if not ok:
                print(f"{how} {i} {moment}: {error or 'another text'}", file=sys.stderr)
        if statistics.median(gaps) > a.max_gap:
            print(f"{how} {i} {moment}: {a.max_gap} s without a token are allowed", file=sys.stderr)
            too_long += 1
    cases = len(MOMENTS) * a.rounds
    print(f"| {how} | {i} | " + " | ".join(cells) + f" | {same} of {cases} |", flush=True)
    return cases - same + too_long


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("shoal")
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--hosts", action="store_true", help="nodes on hosts of their own")
    parser.add_argument("--max-gap", type=float, default=float("inf"),
                        help="seconds: a longer one, as the median of a case's rounds, is a failure")
    a = parse_with_options(parser)
    with (NodesOnHosts if a.hosts else LocalNodes)(a) as nodes:
        nodes.start()
        expected, undisturbed_s, _ = answer(nodes)
        nodes.end()
        print(f"Undisturbed, the longest wait is the prompt's: {undisturbed_s:.2f} s.\n")
        print("| disturbance | node | " + " | ".join(f"{moment}: longest gap" for moment in MOMENTS) + " | same text |")
        print("|---|---|" + "---|" * (len(MOMENTS) + 1))
        failures = sum(row(a, nodes, how, i, expected) for how in nodes.disturbances for i in range(STAGES))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
