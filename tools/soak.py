#!/usr/bin/env python3
"""Many clients and random deaths: does every request end as it should, and does nothing grow?

    tools/soak.py SHOAL MODEL [--minutes M] [--clients N] [--nodes N] [--seed S] [-- SERVE_OPTIONS...]

Clients stream drawn answers without pause while a node is killed, stopped for a while or told to leave
every 5 to 20 s. Each answer must be the text of an undisturbed run, or end with an error that names its
cause; a stream that just ends, another text, a hang or a crash fails the soak. So does a server whose
memory or descriptors grow: the medians of the second and the last quarter of the run are compared.
Exit code 0: all is as it should be.
"""

import argparse
import collections
import os
import random
import re
import signal
import statistics
import sys
import threading
import time

from disturbed_server import Refused, Server, parse_with_options

QUESTIONS = 12  # different ones
PAUSE_S = (5, 20)  # between disturbances
STOPPED_S = (0.5, 6)
SAMPLE_S = 2
MOST_GROWTH = 1.15  # of resident memory, between quarters
MOST_GROWTH_MIB = 16  # below which it is noise
MOST_MORE_FDS = 16


def question(number):
    prompt = f"Once upon a time there were {number + 2} harbours. " * (1 + number % 5 * 8)
    return {"prompt": prompt, "max_tokens": 16 + 8 * (number % 7), "temperature": 0.8, "seed": number,
            "logit_bias": {"0": -100, "2": -100}}  # SmolLM2's end tokens


def answer(server, number):
    """(text, error message or None, whether the stream ended properly)"""
    text = ""
    for event in server.stream(question(number)):
        if event == "[DONE]":
            return text, None, True
        if "error" in event:
            return text, event["error"]["message"], True
        text += event["choices"][0]["text"]
    return text, None, False


class Soak:
    def __init__(self, server, expected, seed):
        self.server = server
        self.expected = expected
        self.random = random.Random(seed)
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.counts = collections.Counter()
        self.faults = []
        self.disturbances = collections.Counter()
        self.samples = []

    def fault(self, what):
        with self.lock:
            self.faults.append(what)
        print(f"FAULT: {what}", file=sys.stderr, flush=True)

    def count(self, what):
        with self.lock:
            self.counts[what] += 1

    def client(self, seed):
        draw = random.Random(seed)
        while not self.stop.is_set():
            number = draw.randrange(QUESTIONS)
            self.count("asked")
            try:
                text, error, whole = answer(self.server, number)
            except Refused as refused:
                self.count("refused")
                if refused.status not in (429, 503) or not refused.retry_after:
                    self.fault(f"refused without saying when to come again: {refused}")
                self.stop.wait(0.2)
                continue
            except OSError as broken:  # a hang is a time-out, which is one of these
                self.count("broken")
                self.fault(f"question {number}: {broken!r}")
                continue
            if not whole:
                self.count("cut off")
                self.fault(f"question {number}: the stream ended without [DONE] or an error")
            elif error:
                self.count("error")
                if "local-" not in error:
                    self.fault(f"question {number}: an error that names no node: {error}")
                if not self.expected[number].startswith(text):
                    self.fault(f"question {number}: wrong text before the error: {text!r}")
            elif text != self.expected[number]:
                self.count("wrong")
                self.fault(f"question {number}: {text!r}, expected {self.expected[number]!r}")
            else:
                self.count("right")

    def disturb(self):
        while not self.stop.wait(self.random.uniform(*PAUSE_S)):
            nodes = self.server.nodes()
            if not nodes:
                continue
            pid = nodes[self.random.choice(sorted(nodes))]
            number = self.random.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP))
            try:
                os.kill(pid, number)
                if number == signal.SIGSTOP:
                    self.stop.wait(self.random.uniform(*STOPPED_S))
                    os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                continue  # it ended in between
            self.disturbances[number.name] += 1

    def sample(self):
        pid = self.server.process.pid
        while not self.stop.wait(SAMPLE_S):
            with open(f"/proc/{pid}/status", encoding="utf-8") as file:
                resident_mib = int(re.search(r"VmRSS:\s+(\d+)", file.read())[1]) / 1024
            self.samples.append((resident_mib, len(os.listdir(f"/proc/{pid}/fd"))))

    def run(self, clients, seconds):
        threads = [threading.Thread(target=self.client, args=(i,)) for i in range(clients)]
        threads += [threading.Thread(target=self.disturb), threading.Thread(target=self.sample)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.server.process.poll() is None:
            time.sleep(0.1)
        self.stop.set()
        for thread in threads:
            thread.join()

    def check(self):
        if self.server.process.poll() is not None:
            return self.fault(f"the server ended: {self.server.errors()[-2000:]}")
        self.server.wait(lambda: self.server.health()[0] == 200)
        health = self.server.health()[1]
        if health["running"] or health["queued"]:
            self.fault(f"nobody asks, and yet: {health}")
        ended = sum(self.counts.values()) - self.counts["asked"]
        if ended != self.counts["asked"]:
            self.fault(f"{self.counts['asked']} requests, {ended} ends")
        if len(self.samples) < 8:
            return None
        quarter = len(self.samples) // 4
        early, late = self.samples[quarter:2 * quarter], self.samples[-quarter:]
        for what, column, most in (("MiB resident", 0, MOST_GROWTH), ("descriptors", 1, 1)):
            before = statistics.median(sample[column] for sample in early)
            after = statistics.median(sample[column] for sample in late)
            slack = MOST_MORE_FDS if column else MOST_GROWTH_MIB
            print(f"{what}: {before:.0f} early, {after:.0f} late")
            if after > most * before + slack:
                self.fault(f"{what}: from {before:.0f} to {after:.0f}")
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("shoal")
    parser.add_argument("model")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    a = parse_with_options(parser)
    server = Server(a.shoal, a.model, "--local-nodes", a.nodes, "-c", 1024, *a.options)
    expected = [answer(server, number)[0] for number in range(QUESTIONS)]
    soak = Soak(server, expected, a.seed)
    soak.run(a.clients, 60 * a.minutes)
    soak.check()
    code = server.end() if server.process.poll() is None else server.process.returncode
    if code != 0:
        soak.fault(f"the server's exit code is {code}")
    print(f"{a.minutes:g} minutes, {a.clients} clients, {a.nodes} nodes, seed {a.seed}")
    print("disturbances: " + ", ".join(f"{n} {name}" for name, n in sorted(soak.disturbances.items())))
    print("requests: " + ", ".join(f"{n} {name}" for name, n in soak.counts.most_common()))
    print(f"faults: {len(soak.faults)}")
    sys.exit(1 if soak.faults else 0)


if __name__ == "__main__":
    main()
