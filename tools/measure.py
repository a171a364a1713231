#!/usr/bin/env python3
"""Makes the figures of docs/benchmarks.md. Prints Markdown rows.

usage: tools/measure.py SHOAL MODEL.gguf WHAT...    WHAT: peer load nodes memory first-token idle (default: all)
  peer         prefill and decode against llama.cpp in turns (needs: pip install llama-cpp-python)
  load         time to load and answer one token, and peak memory, against llama.cpp in turns
  nodes        N local nodes (--nodes, 3) against one process, in turns
  memory       resident size of each of three nodes against its shard and KV
  first-token  time from the start of `shoal run --local-nodes 3` to the first byte of the answer
  idle         processor time that a server and its three nodes take while nobody asks
Options: -t THREADS (2)  -p PROMPT_TOKENS (512)  -n DECODE_TOKENS (128)  --rounds N (5)
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time

PEER = """
import json, sys, time, ctypes, llama_cpp as L
path, p, n, t = sys.argv[1], *map(int, sys.argv[2:5])
quiet = L.llama_log_callback(lambda *x: None)
L.llama_log_set(quiet, ctypes.c_void_p(0))
L.llama_backend_init()
m = L.llama_model_load_from_file(path.encode(), L.llama_model_default_params())
c = L.llama_context_default_params()
c.n_ctx, c.n_batch, c.n_ubatch, c.n_threads, c.n_threads_batch = p + n + 8, 2048, 512, t, t
x = L.llama_init_from_model(m, c)
vocab = L.llama_vocab_n_tokens(L.llama_model_get_vocab(m))
def run(ids):
    for begin in range(0, len(ids), 2048):  # n_batch
        part = ids[begin:begin + 2048]
        tokens = (L.llama_token * len(part))(*part)  # named: the batch only points at it
        assert L.llama_decode(x, L.llama_batch_get_one(tokens, len(part))) == 0
    L.llama_synchronize(x)
def clear(): L.llama_memory_clear(L.llama_get_memory(x), True)
for warm in (1, 0):
    clear(); a = time.perf_counter(); run([(7 * i + 13) % vocab for i in range(p)]); b = time.perf_counter()
    clear(); run([1]); d = time.perf_counter()
    for i in range(n): run([(11 * i + 5) % vocab])
    e = time.perf_counter()
print(json.dumps({"prefill": p / (b - a), "decode": n / (e - d)}))
"""

# Memory that Python and the library itself take is not counted.
PEER_LOAD = """
import json, re, sys, time, ctypes, llama_cpp as L
def peak(field): return int(re.search(field + r":\\s+(\\d+)", open("/proc/self/status").read()).group(1))
path, p, t = sys.argv[1], *map(int, sys.argv[2:4])
quiet = L.llama_log_callback(lambda *x: None)
L.llama_log_set(quiet, ctypes.c_void_p(0))
L.llama_backend_init()
before = peak("VmRSS")
a = time.perf_counter()
m = L.llama_model_load_from_file(path.encode(), L.llama_model_default_params())
c = L.llama_context_default_params()
c.n_ctx, c.n_batch, c.n_ubatch, c.n_threads, c.n_threads_batch = p, 512, 512, t, t
x = L.llama_init_from_model(m, c)
tokens = (L.llama_token * 4)(1, 2, 3, 4)
assert L.llama_decode(x, L.llama_batch_get_one(tokens, 4)) == 0
L.llama_synchronize(x)
print(json.dumps({"seconds": time.perf_counter() - a, "kib": peak("VmHWM") - before}))
"""


def last_json(command):
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def ours(a, *extra):
    out = last_json([a.shoal, "bench", a.model, "-p", str(a.p), "-n", str(a.n), "-t", str(a.t),
                     "-r", "1", "--json", *extra])
    return {"prefill": out["prefill_tokens_per_s"], "decode": out["decode_tokens_per_s"]}


def compare(a, name_a, run_a, name_b, run_b):
    rounds = [(run_a(), run_b()) for _ in range(a.rounds)]
    for what in ("prefill", "decode"):
        ratio = sorted(x[what] / y[what] for x, y in rounds)
        print(f"| {what}, {a.t} threads | {statistics.median(x[what] for x, _ in rounds):.1f} ({name_a}) "
              f"| {statistics.median(y[what] for _, y in rounds):.1f} ({name_b}) "
              f"| {statistics.median(ratio):.2f} ({ratio[0]:.2f} to {ratio[-1]:.2f}) |")


def peer(a):
    compare(a, "Shoal", lambda: ours(a), "llama.cpp",
            lambda: last_json([sys.executable, "-c", PEER, a.model, str(a.p), str(a.n), str(a.t)]))


def timed(*command):
    """Until the first byte that the command says; and the most memory it takes until it ends."""
    begin = time.perf_counter()
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    run.stdout.read(1)
    seconds = time.perf_counter() - begin
    run.stdout.read()
    _, status, usage = os.wait4(run.pid, 0)
    assert status == 0
    return {"seconds": seconds, "kib": usage.ru_maxrss}


def our_load(a):
    """The time from the start of the process to the first byte of its answer; its memory above what the
    program takes without a model, as the peer's is counted above what Python takes."""
    run = timed(a.shoal, "run", a.model, "Hi", "--raw", "--max-tokens", "1", "-c", str(a.p), "-t", str(a.t))
    run["kib"] -= timed(a.shoal, "--help")["kib"]
    return run


def load(a):
    peer_command = [sys.executable, "-c", PEER_LOAD, a.model, str(a.p), str(a.t)]
    rounds = [(our_load(a), last_json(peer_command)) for _ in range(a.rounds + 1)][1:]
    for what, unit, scale in (("seconds", "s", 1), ("kib", "MiB", 1024)):
        ratio = sorted(x[what] / y[what] for x, y in rounds)
        print(f"| {what}, context {a.p} | {statistics.median(x[what] for x, _ in rounds) / scale:.2f} {unit} (Shoal) "
              f"| {statistics.median(y[what] for _, y in rounds) / scale:.2f} {unit} (llama.cpp) "
              f"| {statistics.median(ratio):.2f} ({ratio[0]:.2f} to {ratio[-1]:.2f}) |")


def nodes(a):
    compare(a, f"{a.nodes} nodes", lambda: ours(a, "--local-nodes", str(a.nodes)), "1 process", lambda: ours(a))


def children(pid):
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = open(f"/proc/{entry}/stat").read().rsplit(")", 1)[1].split()
            if int(fields[1]) == pid:
                found.append(int(entry))
        except OSError:
            pass
    return sorted(found)


def resident_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{pid}/status").read()).group(1))


def memory(a):
    """The nodes are looked at after a prompt of P tokens and N of answer, through the server."""
    import http.client
    server = subprocess.Popen([a.shoal, "serve", a.model, "--local-nodes", "3", "--listen", "127.0.0.1:0",
                               "-t", str(a.t), "--log-level", "error"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
    try:
        port = int(re.search(r":(\d+)/v1", server.stdout.readline()).group(1))
        stages = [server.stderr.readline() for _ in range(3)]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        ids = [(7 * i + 13) % 1000 + 100 for i in range(a.p)]
        body = json.dumps({"prompt": ids, "max_tokens": a.n, "temperature": 0})
        connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        tokens = answer["usage"]["total_tokens"]
        for line, pid in zip(stages, children(server.pid)):
            layers = [int(x) for x in re.search(r"\[(\d+), (\d+)\)", line).groups()]
            shard = int(re.search(r"(\d+) MiB", line).group(1))
            print(f"| {line.split(':')[0]} | [{layers[0]}, {layers[1]}) | {shard} MiB | {tokens} tokens "
                  f"| {resident_kib(pid) / 1024:.0f} MiB |")
    finally:
        server.terminate()
        server.wait(timeout=20)


def processor_s(pid):
    """Of the process and what it started."""
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(processor_s(child) for child in children(pid))


def idle(a):
    server = subprocess.Popen([a.shoal, "serve", a.model, "--local-nodes", "3", "--listen", "127.0.0.1:0",
                               "--log-level", "error"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        server.stdout.readline()
        time.sleep(1)
        before = processor_s(server.pid)
        time.sleep(20)
        print(f"| idle server and three nodes | {(processor_s(server.pid) - before) / 20 * 100:.2f} % of one CPU |")
    finally:
        server.terminate()
        server.wait(timeout=20)


def first_token(a):
    times = []
    for _ in range(a.rounds):
        begin = time.perf_counter()
        run = subprocess.Popen([a.shoal, "run", a.model, "Name a fish.", "--local-nodes", "3", "--max-tokens",
                                "4", "--temperature", "0", "-t", str(a.t)], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
        run.stdout.read(1)
        times.append(time.perf_counter() - begin)
        run.communicate()
    print(f"| first byte of the answer, 3 nodes | {statistics.median(times):.2f} s | {min(times):.2f} to "
          f"{max(times):.2f} s over {a.rounds} runs |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shoal")
    parser.add_argument("model")
    parser.add_argument("what", nargs="*", default=[])
    parser.add_argument("-p", type=int, default=512)
    parser.add_argument("-n", type=int, default=128)
    parser.add_argument("-t", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--nodes", type=int, default=3, help="local nodes of `nodes`")
    a = parser.parse_args()
    parts = {"peer": peer, "load": load, "nodes": nodes, "memory": memory, "first-token": first_token,
             "idle": idle}
    for what in a.what or parts:
        parts[what](a)


main()
