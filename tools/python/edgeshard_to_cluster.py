#!/usr/bin/env python3
"""Converts EdgeShard's published profile (tests/data/edgeshard-llama2-7b.json) into a cluster file.
usage: edgeshard_to_cluster.py FILE.json > deploy/clusters/edgeshard.toml

What is converted, and how:
- A "token" is one token of each of the 4 sequences of their batch: 4 times the tokens per second.
- Their time for a layer is given, not derived.
- The batch's output (512000 bytes) returns to the source. A last layer that takes no time and no
  memory stands for that: `--private nx-0` puts it, and the first layer, on the source.
- Their memory is what may be used; the planner keeps a margin of 20 %, so it gets 20 % more.
- The source is where requests come from: its link to the coordinator costs nothing."""
import json
import sys

MARGIN = 1.2


def numbers(values):
    return "[" + ", ".join(f"{v:g}" for v in values) + "]"


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        data = json.load(file)
    model, links = data["model"], data["links"]
    source = data["constraints"]["first_layer_on"]
    layers = model["layers"]
    assert len(model["layer_memory_gb"]) == layers
    assert data["constraints"]["tokens_return_to"] == source
    sent = [model["activation_bytes"]] * (layers - 1) + [model["output_bytes"], 0]
    out = [
        "# Made by tools/python/edgeshard_to_cluster.py, which says how.",
        f'title = "EdgeShard\'s testbed, Llama-2-7B in f32, batches of 4"',
        f'coordinator = "{source}"',
        'network = "lan"',
        "",
        "[networks.lan]",
        f'latency_ms = {links["latency_ms"]}',
        f'mbit_per_s = {links["default_mbit_per_s"]}',
        "",
        "[model]",
        f'layer_gib = {numbers(model["layer_memory_gb"] + [0])}',
        f"activation_kib = {numbers(b / 1024 for b in sent)}",
    ]
    for device in data["devices"]:
        assert len(device["layer_ms"]) == layers
        out += [
            "",
            "[[device]]",
            f'name = "{device["name"]}"',
            f'hardware = "{device["type"]}"',
            'source = "published: EdgeShard (Zhang et al. 2024), its profile"',
            f'memory_gib = {device["memory_gb"] * MARGIN:g}',
            f'layer_ms = {numbers(device["layer_ms"] + [0])}',
        ]
    for link in links["exceptions"]:
        ends = ", ".join(f'"{end}"' for end in link["between"])
        out += ["", "[[link]]", f"between = [{ends}]", f'mbit_per_s = {link["mbit_per_s"]}']
    out += ["", "[[link]]", f'between = ["coordinator", "{source}"]', "latency_ms = 0",
            "latency_p95_ms = 0", "mbit_per_s = 1e9"]
    print("\n".join(out))


main()
