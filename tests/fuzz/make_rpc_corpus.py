#!/usr/bin/env python3
"""Writes the corpora of node_rpc_fuzz and mesh_rpc_fuzz: scripts of calls as tests/fuzz/rpc_script.h
describes them. Needs protoc."""
import os
import struct
import subprocess

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
NODE = ["Describe", "Profile", "ProbeLink", "Prepare", "Connect", "Watch", "Link", "Probe", "Fetch", "Supply", "Have"]
MESH = ["Join", "Renew", "Attend"]


def message(file, name, text):
    return subprocess.run(["protoc", f"--encode=shoal.v1.{name}", f"proto/{file}.proto"], cwd=ROOT, check=True,
                          input=text.encode(), stdout=subprocess.PIPE).stdout


def call(methods, method, messages, good_faith=True, header=b""):
    flags = int(good_faith) | (2 if header else 0) | len(messages) << 2
    script = bytes([methods.index(method), flags])
    if header:
        script += bytes([len(header)]) + header
    return script + b"".join(struct.pack("<H", len(m)) + m for m in messages)


def write(target, name, *calls):
    folder = os.path.join(ROOT, "tests/fuzz/corpus", target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as file:
        file.write(b"".join(calls))


def node(method, *messages, **options):
    return call(NODE, method, messages, **options)


def mesh(method, *messages, **options):
    return call(MESH, method, messages, **options)


HASH = r"\001" * 32
PREPARE = message("control", "PrepareRequest", "layer_end: 2 kv_tokens: 64 kv_type: 1")
HELLO = message("pipeline", "LinkMessage", "hello { layer_end: 2 role: LINK_ROLE_STEPS }")
RESULTS = message("pipeline", "LinkMessage", "hello { layer_end: 2 role: LINK_ROLE_RESULTS }")
STEP = message("pipeline", "LinkMessage", """step { step: 1
  opens { session: 7 context_tokens: 32 prompt_tokens: 3 sampling { repetition_penalty: 1 top_p: 1 logprobs: -1 } }
  slices { session: 7 token_count: 3 output: OUTPUT_SAMPLE tokens: [1, 2, 3] } }""")
WATCH = message("control", "Heartbeat", "sequence: 1")

write("node_rpc", "describe", node("Describe", b"", header=b"grpc-timeout1S"), node("Describe", b"", good_faith=False))
write("node_rpc", "profile", node("Profile", message(
    "control", "ProfileRequest", "types: [2, 8]"), good_faith=False))
write("node_rpc", "probe_link", node("ProbeLink", message(
    "control", "ProbeLinkRequest", "address: 'unix:/nowhere' name: 'n' instance: 5")))
write("node_rpc", "plan", node("Prepare", PREPARE), node("Watch", WATCH, WATCH), node("Link", HELLO, STEP, STEP))
write("node_rpc", "results", node("Prepare", PREPARE), node("Link", RESULTS), node("Watch", WATCH, good_faith=False))
write("node_rpc", "connect", node("Prepare", message(
    "control", "PrepareRequest", "layer_end: 1 kv_tokens: 64 kv_type: 8 activation_codec: 'int8+zstd'")),
    node("Connect", message("control", "ConnectRequest",
                            "peer_address: 'unix:/nowhere' peer_name: 'n' peer_layer_begin: 1 peer_layer_end: 2")))
write("node_rpc", "spares", node("Prepare", message(
    "control", "PrepareRequest",
    "layer_begin: 1 layer_end: 2 stage_index: 1 kv_tokens: 8 kv_type: 0 spares { layer_end: 1 }")))
write("node_rpc", "supplied", node("Prepare", message(
    "control", "PrepareRequest", f"""layer_end: 2 kv_tokens: 8 kv_type: 1 supplied: true member: 1
      peers {{ name: 'p' address: 'unix:/nowhere' member: 2 layer_end: 2 }}""")),
    node("Supply", message("weights", "PieceReply", f"epoch: 1 hash: '{HASH}' data: 'x' raw_bytes: 9")))
write("node_rpc", "probe", node("Probe", message("pipeline", "ProbeMessage", "payload: 'abc' replies: 2 reply_bytes: 4")))
write("node_rpc", "pieces", node("Fetch", message("weights", "PieceWant", f"hashes: '{HASH}' wait: true")),
      node("Have", message("weights", "HaveRequest", f"hashes: '{HASH}{HASH}'")))

write("mesh_rpc", "join", mesh("Join", message("pairing", "JoinRequest", "name: 'phone'")),
      mesh("Join", message("pairing", "JoinRequest", f"name: 'again' proof: '{HASH}'"), good_faith=False),
      mesh("Join", message("pairing", "JoinRequest", "name: 'repeated'")))
write("mesh_rpc", "attend", mesh("Attend", message(
    "pairing", "NodeWord", "arrival { instance: 9 listen: '0.0.0.0:7701' }"), message("pairing", "NodeWord", "pong: 3")))
write("mesh_rpc", "relay", mesh("Attend", message(
    "pairing", "NodeWord", "arrival { instance: 9 listen: 'relay:abcdefghijklmno2' }")), mesh("Renew", b""))
