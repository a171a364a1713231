#!/usr/bin/env python3
"""What each wire codec saves in time on slow links: two nodes in network namespaces, half of the layers
each. Prints a Markdown table of tokens/s, medians of rounds in turns. Needs root.

usage: tests/tools/wire_time.py BUILD_FOLDER MODEL.gguf [RATE ...]      RATE: as tc takes it (20mbit 100mbit)
"""
import argparse
import os
import statistics

from predict import Lab, bench

CODECS = ["f32", "f32+zstd", "f16", "f16+zstd", "bf16", "int8", "int8+zstd"]
PROMPT, OUTPUT = 768, 48


def speed(lab, codec):
    """(prefill, decode) in tokens/s."""
    found = bench(lab, range(2), PROMPT, OUTPUT, "--plan", "spread", "--wire", codec)
    return found["prefill", 1], found["decode", 1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("model")
    parser.add_argument("rates", nargs="*", default=["20mbit", "100mbit"])
    parser.add_argument("--rounds", type=int, default=5)
    a = parser.parse_args()
    print("| link | codec | prefill tokens/s | of f32 | decode tokens/s | of f32 |\n|---|---|---|---|---|---|")
    for rate in a.rates:
        with Lab(os.path.abspath(a.build), os.path.abspath(a.model), ["0", "1"], 0, rate, 0) as lab:
            rounds = [{codec: speed(lab, codec) for codec in CODECS} for _ in range(a.rounds)]
        exact = [statistics.median(one["f32"][i] for one in rounds) for i in range(2)]
        for codec in CODECS:
            prefill, decode = (statistics.median(one[codec][i] for one in rounds) for i in range(2))
            print(f"| {rate} | {codec} | {prefill:.0f} | {prefill / exact[0]:.2f} | {decode:.1f} | "
                  f"{decode / exact[1]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
