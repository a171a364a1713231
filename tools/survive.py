#!/usr/bin/env python3
"""Kills, stops and ends each of three nodes in mid-answer, and tells how the answer went on.

    tools/survive.py SHOAL MODEL [--rounds N] [-- SERVE_OPTIONS...]

Every case streams the same drawn answer over three local nodes, sends one node a signal (during the
prompt, early, late), and compares the text with that of an undisturbed run. Prints a Markdown table: for
each signal and node the longest time without a token, and whether the text was the same.
"""

import argparse
import os
import signal
import statistics
import sys
import time

from disturbed_server import Server, parse_with_options

FIELDS = {"prompt": "Once upon a time there was a harbour. " * 60, "max_tokens": 160,
          "temperature": 0.8, "seed": 7, "logit_bias": {"0": -100, "2": -100}}  # SmolLM2's end tokens
MOMENTS = {"prefill": 0, "early": 5, "late": 120}  # tokens before the signal
SIGNALS = (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM)
STAGES = 3


def start(a):
    return Server(a.shoal, a.model, STAGES, "-c", 2048, *a.options)


def answer(server, moment=None, act=None):
    """(text, longest time without a token in s, error)"""
    text, count, longest_s, last = "", 0, 0.0, time.monotonic()
    stream = server.stream(FIELDS)
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


def case(a, node, number, moment, expected):
    server = start(a)  # a node that was lost before would have no part for a while
    pid = server.nodes()[node]

    def act():
        if moment == "prefill":
            server.wait(lambda: server.health()[1]["running"] == 1, "the prompt is being read")
        os.kill(pid, number)

    try:
        text, longest_s, error = answer(server, MOMENTS[moment], act)
    finally:
        if number == signal.SIGSTOP:
            os.kill(pid, signal.SIGCONT)
        server.end()
    return longest_s, error is None and text == expected, error


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("shoal")
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=1)
    a = parse_with_options(parser)
    server = start(a)
    expected, undisturbed_s, _ = answer(server)
    server.end()
    print(f"Undisturbed, the longest wait is the prompt's: {undisturbed_s:.2f} s.\n")
    print("| signal | node | " + " | ".join(f"{moment}: longest gap" for moment in MOMENTS) + " | same text |")
    print("|---|---|" + "---|" * (len(MOMENTS) + 1))
    failures = 0
    for number in SIGNALS:
        for i in range(STAGES):
            cells, same = [], 0
            for moment in MOMENTS:
                runs = [case(a, f"local-{i}", number, moment, expected) for _ in range(a.rounds)]
                gaps = [gap_s for gap_s, _, _ in runs]
                cells.append(f"{statistics.median(gaps):.2f} s" +
                             (f" ({min(gaps):.2f} to {max(gaps):.2f})" if a.rounds > 1 else ""))
                same += sum(ok for _, ok, _ in runs)
                for _, ok, error in runs:
                    if not ok:
                        print(f"{number.name} {i} {moment}: {error or 'another text'}", file=sys.stderr)
            cases = len(MOMENTS) * a.rounds
            failures += cases - same
            print(f"| {number.name} | {i} | " + " | ".join(cells) + f" | {same} of {cases} |", flush=True)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
