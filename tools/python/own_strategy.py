#!/usr/bin/env python3
"""A strategy for `shoal plan --strategy exec:tools/python/own_strategy.py`, as a worked example: one
device after the other, the fastest first, each filled as far as its memory allows, until the model
is placed. docs/own-strategy.md says what the problem and the answer look like."""
import json
import sys


def needed_bytes(problem, begin, end):
    """What a stage with these layers needs, as the planner counts it."""
    memory = problem["memory"]
    layers = memory["layer_bytes"]
    used = sum(layers[begin:end]) + memory["buffer_bytes"]
    if begin == 0:
        used += memory["embedding_bytes"]
    if end == len(layers):
        used += memory["head_bytes"]
    return used * (1 + memory["margin"])


def reach(problem, device, begin):
    """The last layer + 1 that the device can hold, starting at `begin`."""
    end = begin
    count = len(problem["model"]["layers"])
    limit = problem["devices"][device]["memory_bytes"]
    while end < count and needed_bytes(problem, begin, end + 1) <= limit:
        end += 1
    return end


def order(problem):
    """Devices that may be used, the fastest first, pinned ends where they belong."""
    constraints = problem["constraints"]
    seconds = problem["costs"]["decode"]["layer_s"]
    first, last = constraints["first"], constraints["last"]
    free = [d for d in range(len(problem["devices"]))
            if d not in constraints["excluded"] and d not in (first, last)]
    free.sort(key=lambda d: sum(seconds[d]))
    return ([first] if first >= 0 else []) + free + ([last] if last >= 0 and last != first else [])


def place(problem):
    placements, begin = [], 0
    count = len(problem["model"]["layers"])
    last = problem["constraints"]["last"]
    devices = order(problem)
    for device in devices:
        end = reach(problem, device, begin)
        if last >= 0 and device != last:
            end = min(end, count - 1)  # the pinned last device gets at least one layer
        if end > begin:
            placements.append({"device": device, "layers": [begin, end]})
            begin = end
        if begin == count:
            break
    if begin < count:
        sys.exit(f"own_strategy: the devices hold {begin} of {count} layers")
    return placements


json.dump({"placements": place(json.load(sys.stdin))}, sys.stdout)
