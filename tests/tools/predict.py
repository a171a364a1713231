#!/usr/bin/env python3
"""Holds the cost model against reality: nodes with different processors and links on this machine,
measured as a planner measures them, predicted, and then run. Prints the tables of
docs/prediction.md. Needs root: links are network namespaces shaped by tc, delays are delay_proxy's.

usage: tests/tools/predict.py BUILD_FOLDER SMALL.gguf LARGE.gguf [CONFIGURATION...]
"""
import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools"))
from mesh_hosts import join
from namespaces import Namespaces

NODE_PORT, PROXY_PORT = 7701, 7702
PROMPT = {"small": 512, "large": 256}
OUTPUT = {"small": 96, "large": 24}
SESSIONS = 4

# The processors of each node, which computes with a thread on each. (Not shares of one processor by
# quotas: the kernel enforces them by ticks of 4 ms, so that a stage of a few milliseconds that rests
# between its steps hardly meets its quota.) Stages that share a processor take turns where a token is
# decoded alone; prompts in chunks, or several sessions, would keep them busy at once, which no plan
# foresees: those figures are left out.
WHOLE = ["0", "1"]
UNEQUAL = ["0,1", "1"]
THREE = ["0,1", "0", "1"]

# name: (model, nodes, MiB of memory that each may use (0: all), rate of each link, delay in ms)
CONFIGURATIONS = {
    "A": ("small", WHOLE, 0, "1gbit", 0),
    "B": ("small", UNEQUAL, 0, "100mbit", 0),
    "C": ("small", THREE, 120, "1gbit", 2),
    "D": ("small", WHOLE, 130, "20mbit", 5),
    "E": ("large", WHOLE, 0, "1gbit", 0),
    "F": ("large", WHOLE, 700, "100mbit", 2),
    "G": ("large", THREE, 560, "100mbit", 5),
    "H": ("large", WHOLE, 700, "20mbit", 10),
}

LEVEL = 1.03  # times are level up to here: what the same plan differs by from run to run
KEYS = ("decode_s", "first_token_s", "tokens_per_s")


class Lab:
    """Namespace 0 is the coordinator's, the others the nodes'."""

    def __init__(self, build, model, nodes, memory_mib, rate, delay_ms):
        self.build, self.model, self.nodes, self.memory_mib = build, model, nodes, memory_mib
        self.delay_ms = delay_ms
        self.spaces = Namespaces("shoalp", "10.78.0", len(nodes) + 1, rate)
        self.processes = []
        self.state = tempfile.mkdtemp(prefix="shoal-predict-")
        os.environ["SHOAL_STATE"] = f"{self.state}/coordinator"

    def __enter__(self):
        try:
            self.spaces.__enter__()
            for i, processors in enumerate(self.nodes, 1):
                self.start_node(i, processors)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.stdin.close()
            process.terminate()
            process.wait(timeout=30)
        self.spaces.__exit__()
        shutil.rmtree(self.state, ignore_errors=True)

    def start(self, index, command):
        process = subprocess.Popen(self.spaces.inside(index, command),
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        line = process.stdout.readline()
        if not line.startswith("listening"):
            raise RuntimeError(f"{command[0]} did not start")

    def start_node(self, index, processors):
        host = self.spaces.address(index)
        memory = ["--memory-limit", self.memory_mib] if self.memory_mib else []
        node = ["taskset", "-c", processors, f"{self.build}/tools/shoal", "node",
                "--listen", f"{host}:{NODE_PORT}", "--name", f"n{index}", "--state", f"{self.state}/n{index}",
                "--model", self.model, "-t", len(processors.split(",")), "--log-level", "error",
                "--exit-with-stdin", *memory]
        invite = [f"{self.build}/tools/shoal", "nodes", "invite", "--json",
                  "--mesh-listen", f"{self.spaces.address(0)}:7700"]
        join(self.spaces.inside(0, invite), lambda code: self.start(index, [*node, "--join", code]))
        if self.delay_ms:
            self.start(index, [f"{self.build}/tests/support/delay_proxy", int(1000 * self.delay_ms),
                               PROXY_PORT, host, NODE_PORT])

    def address(self, index):
        name = f"n{index + 1}"
        return f"{name}@{self.spaces.address(index + 1)}:{PROXY_PORT}" if self.delay_ms else name

    def output(self, *command):
        done = subprocess.run(self.spaces.inside(0, command), check=True, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)
        return json.loads(done.stdout)


def node_options(lab, devices):
    return itertools.chain.from_iterable(["--node", lab.address(d)] for d in devices)


def predict(lab, size, plans=()):
    """Measures the nodes anew; without `plans`, the best ones are found."""
    given = itertools.chain.from_iterable(
        ["--plan", ",".join(f"{d}:{n}" for d, n in zip(plan["devices"], plan["split"]))] for plan in plans)
    return lab.output(f"{lab.build}/tests/tools/predict_splits", lab.model, "--refresh",
                      *node_options(lab, range(len(lab.nodes))), "--prompt", PROMPT[size],
                      "--output", OUTPUT[size], "--sessions", SESSIONS, *given)


def bench(lab, devices, prompt, output, *options):
    """{(prefill or decode, sessions): tokens/s} of one round over these nodes."""
    found = lab.output(f"{lab.build}/tools/shoal", "bench", lab.model, *node_options(lab, devices),
                       "-p", prompt, "-n", output, "-r", 1, "--json", *options)
    return {(result["test"], result["sessions"]): result["tokens_per_s"] for result in found["results"]}


def measure(lab, size, plan):
    found = bench(lab, plan["devices"], PROMPT[size], OUTPUT[size],
                  "--split", ",".join(map(str, plan["split"])), "-b", f"1,{SESSIONS}")
    return {"decode_s": 1 / found["decode", 1], "tokens_per_s": found["decode", SESSIONS],
            "first_token_s": PROMPT[size] / found["prefill", 1]}


def error(predicted, measured):
    return predicted / measured - 1


def share_processors(nodes, plan):
    used = [p for device in plan["devices"] for p in nodes[device].split(",")]
    return len(used) > len(set(used))


def evaluate(name, a):
    size, nodes, memory_mib, rate, delay_ms = CONFIGURATIONS[name]
    model = a.small if size == "small" else a.large
    with Lab(a.build, model, nodes, memory_mib, rate, delay_ms) as lab:
        found = predict(lab, size)
        plans = sorted(found["plans"], key=lambda plan: plan["decode_s"])[:a.alternatives]
        predictions, measurements = [plans], []
        for i in range(a.rounds):  # in turns: the machine is not equally fast all the time
            if i > 0:
                predictions.append(predict(lab, size, plans)["plans"])
            measurements.append([measure(lab, size, plan) for plan in plans])
    if a.keep:
        with open(f"{a.keep}/{name}.json", "w", encoding="utf-8") as file:
            json.dump([found, predictions, measurements], file, indent=1)
    def median(rounds, i):
        return {key: statistics.median(plans[i][key] for plans in rounds) for key in KEYS}

    evaluated = [{**plan, **median(predictions, i), "measured": median(measurements, i)}
                 for i, plan in enumerate(plans)]
    return sorted(evaluated, key=lambda plan: plan["decode_s"])  # by all rounds; the preferred one first


def cell(plan, key, scale, digits):
    if key not in plan["keys"]:
        return "-"
    predicted, measured = plan[key] * scale, plan["measured"][key] * scale
    return f"{predicted:.{digits}f} / {measured:.{digits}f} ({100 * error(predicted, measured):+.0f} %)"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("small")
    parser.add_argument("large")
    parser.add_argument("names", nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alternatives", type=int, default=4)
    parser.add_argument("--keep", help="folder for what was measured and predicted, as JSON")
    a = parser.parse_args()
    a.build, a.small, a.large = map(os.path.abspath, (a.build, a.small, a.large))
    errors, right = [], 0
    names = a.names or list(CONFIGURATIONS)
    print("| | processors | link | layers | TPOT ms | TTFT ms | tokens/s, 4 sessions |\n|---|---|---|---|---|---|---|")
    for name in names:
        size, nodes, _, rate, delay_ms = CONFIGURATIONS[name]
        plans = evaluate(name, a)
        for rank, plan in enumerate(plans):
            plan["keys"] = KEYS[:1] if share_processors(nodes, plan) else KEYS
            where = ", ".join(f"{n} on {d}" for d, n in zip(plan["devices"], plan["split"]))
            head = f"{name} {size} | {' and '.join(nodes)} | {rate}, {delay_ms} ms" if rank == 0 else " | | "
            print(f"| {head} | {where} | {cell(plan, 'decode_s', 1000, 1)} | "
                  f"{cell(plan, 'first_token_s', 1000, 0)} | {cell(plan, 'tokens_per_s', 1, 1)} |", flush=True)
            errors += [abs(error(plan[key], plan["measured"][key]))
                       for key in plan["keys"]]
        right += plans[0]["measured"]["decode_s"] <= LEVEL * min(p["measured"]["decode_s"] for p in plans)
    print(f"\n{len(errors)} predictions: median error {100 * statistics.median(errors):.1f} %, "
          f"worst {100 * max(errors):.1f} %. The preferred plan measured fastest or level in {right} of "
          f"{len(names)} configurations.")


if __name__ == "__main__":
    main()
