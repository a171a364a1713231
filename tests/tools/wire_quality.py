#!/usr/bin/env python3
"""What each wire codec costs in quality: the mean KL divergence of the logits over nodes from the exact
ones, and how often the likeliest token stays the same, on the texts of a folder of reference logits.

usage: wire_quality.py SHOAL MODEL.gguf FOLDER [NODES [CODEC ...]]

The KL is over the 512 likeliest tokens of the exact logits, of which it misses next to nothing."""

import glob
import json
import math
import subprocess
import sys

CODECS = ["f32", "f16", "bf16", "int8", "int8+zstd"]
EXACT_TOP, LOSSY_TOP = 512, 8192


def positions(shoal, model, tokens, top, *arguments):
    command = [shoal, "logits", model, "--tokens", ",".join(map(str, tokens)), "--top", str(top)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])["positions"]


def kl(exact, lossy):
    known = dict(lossy["top"])
    floor = lossy["top"][-1][1]  # a token that is not listed has at most this
    total = 0.0
    for token, logit in exact["top"]:
        log_p = logit - exact["logsumexp"]
        total += math.exp(log_p) * (log_p - (known.get(token, floor) - lossy["logsumexp"]))
    return max(total, 0.0)


def main():
    shoal, model, folder = sys.argv[1:4]
    nodes = sys.argv[4] if len(sys.argv) > 4 else "2"
    for codec in sys.argv[5:] or CODECS:
        row = []
        for path in sorted(glob.glob(f"{folder}/*.f32.json")):
            with open(path, encoding="utf-8") as file:
                tokens = json.load(file)["tokens"]
            exact = positions(shoal, model, tokens, EXACT_TOP)
            lossy = positions(shoal, model, tokens, LOSSY_TOP, "--local-nodes", nodes, "--wire", codec)
            mean = sum(map(kl, exact, lossy)) / len(exact)
            same = sum(a["top"][0][0] == b["top"][0][0] for a, b in zip(exact, lossy))
            name = path.rsplit("/", 1)[1].removesuffix(".f32.json")
            row.append(f"{name} {mean:.2e} ({same} of {len(exact)} top tokens the same)")
        print(f"{codec}: " + ", ".join(row), flush=True)


if __name__ == "__main__":
    main()
