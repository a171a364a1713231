#!/usr/bin/env python3
"""Kills, stops and ends each of three nodes in mid-answer, and tells how the answer went on.

    tools/survive.py SHOAL MODEL [--rounds N]

Every case streams the same drawn answer over three local nodes, sends one node a signal (during the
prompt, early, late), and compares the text with that of an undisturbed run. Prints a Markdown table: for
each signal and node the longest time without a token, and whether the text was the same.
"""

import argparse
import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time

PROMPT = "Once upon a time there was a harbour. " * 60
FIELDS = {"max_tokens": 160, "temperature": 0.8, "seed": 7, "stream": True,
          "logit_bias": {"0": -100, "2": -100}}  # SmolLM2's end tokens
MOMENTS = {"prefill": 0, "early": 5, "late": 120}  # tokens before the signal
SIGNALS = (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM)
STAGES = 3
READY_S = 60


class Server:
    def __init__(self, shoal, model):
        self.process = subprocess.Popen(
            [shoal, "serve", model, "--local-nodes", str(STAGES), "--listen", "127.0.0.1:0",
             "-c", "2048", "--log-level", "off"], stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True)
        self.port = int(re.search(r":(\d+)/v1", self.process.stdout.readline())[1])

    def end(self):
        self.process.terminate()
        self.process.wait()

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=READY_S)

    def health(self):
        connection = self.connect()
        connection.request("GET", "/health")
        response = connection.getresponse()
        return response.status, json.loads(response.read())

    def wait(self, condition):
        deadline = time.monotonic() + READY_S
        while not condition():
            if time.monotonic() > deadline:
                sys.exit("the server is not ready again")
            time.sleep(0.01)

    def nodes(self):
        found = {}
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                words = open(f"/proc/{entry}/cmdline").read().split("\0")
                parent = open(f"/proc/{entry}/stat").read().rsplit(")", 1)[1].split()[1]
            except OSError:
                continue
            if int(parent) == self.process.pid and "node" in words:
                found[next(word for word in words if word.startswith("local-"))] = int(entry)
        return found

    def answer(self, moment=None, act=None):
        """(text, longest time without a token in s, error)"""
        connection = self.connect()
        connection.request("POST", "/v1/completions", json.dumps({"prompt": PROMPT, **FIELDS}),
                           {"Content-Type": "application/json"})
        last = time.monotonic()
        if moment == 0:
            self.wait(lambda: self.health()[1]["running"] == 1)
            act()
        text, count, longest_s = "", 0, 0.0
        response = connection.getresponse()
        while line := response.readline():
            if not line.startswith(b"data: ") or line.strip() == b"data: [DONE]":
                continue
            event = json.loads(line[6:])
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
    server = Server(a.shoal, a.model)  # a node that was lost before would have no part for a while
    pid = server.nodes()[node]
    try:
        text, longest_s, error = server.answer(MOMENTS[moment], lambda: os.kill(pid, number))
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
    a = parser.parse_args()
    server = Server(a.shoal, a.model)
    expected, undisturbed_s, _ = server.answer()
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
