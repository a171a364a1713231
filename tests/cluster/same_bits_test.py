#!/usr/bin/env python3
"""Proves promise 1, the same bits everywhere, on real processes: the SHA-256 of every position's
logits is one and the same for one process or several nodes, any split, any cut of the prefill, any
number of threads and any instruction set. Oracle for the values: the golden files of tests/data
(llama.cpp on a CPU with an f32 KV cache).
"""

import json
import os
import unittest

from shoal_process import ShoalTestCase, golden, real_model, run_tests, tiny_model

ALL_TINY_MODELS = (
    "llama-gqa",
    "llama-linear-scaling",
    "llama-tied-rope3",
    "llama-yarn",
    "mistral-wide-head",
    "mixtral",
    "qwen2",
    "qwen3",
    "qwen3moe",
    "gemma2",
    "gemma3",
    "phi3",
    "gpt-oss",
    "smollm3",
    "granite",
    "olmo2",
    "olmo3",
    "starcoder2",
)
chosen = os.environ.get("SHOAL_TEST_FAMILIES")  # some of them, for builds that are slow
TINY_MODELS = tuple(chosen.split(",")) if chosen else ALL_TINY_MODELS
ISAS = ("reference", "avx2", "avxvnni", "avx512vnni")
GOLDEN_TOLERANCE = 2e-3  # llama.cpp sums in another order; the golden values have five decimals
REAL_TOKENS = 40

# The ways to run a model of four layers; each varies what the others leave alone.
IN_PROCESS = (
    ["--prefill-chunk", 1],
    ["--prefill-chunk", 3, "-t", 2],
    ["--prefill-chunk", 7, "-t", 3],
    ["--prefill-chunk", 64, "-t", 1],
)
OVER_NODES = (
    ["--local-nodes", 1, "--prefill-chunk", 7],
    ["--local-nodes", 2, "-t", 1],
    ["--local-nodes", 3, "--prefill-chunk", 3, "-t", 2],
    ["--local-nodes", 4, "--prefill-chunk", 1, "-t", 3],
)


def uneven_splits(layers):
    """Most layers first, and most last."""
    return (
        ["--local-nodes", 2, "--split", f"{layers - 1},1", "--prefill-chunk", 64],
        ["--local-nodes", 3, "--split", f"1,1,{layers - 2}", "--prefill-chunk", 7],
    )



class SameBits(ShoalTestCase):
    def logits(self, model, tokens, *arguments, **environment):
        joined = ",".join(map(str, tokens))
        out = self.output_of("logits", model, "--tokens", joined, *arguments, **environment)
        return json.loads(out)

    def layers(self, model):
        metadata = json.loads(self.output_of("inspect", model, "--json"))["metadata"]
        return metadata[metadata["general.architecture"] + ".block_count"]

    def hashes(self, model, tokens, *arguments, **environment):
        positions = self.logits(model, tokens, "--top", 1, *arguments, **environment)["positions"]
        self.assertEqual(len(positions), len(tokens), arguments)
        return [position["sha256"] for position in positions]

    def supported_isas(self):
        """Those the command runs here; of the others it must say what it could run instead."""
        supported = []
        for isa in ISAS:
            done = self.run_shoal("logits", tiny_model("qwen2"), "--tokens", 1, SHOAL_ISA=isa)
            if done.returncode == 0:
                supported.append(isa)
                continue
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn(isa, done.stderr)
            self.assertIn("reference", done.stderr, "the message does not list what is supported")
        self.assertIn("reference", supported)
        print("instruction sets that ran:", ", ".join(supported))
        return supported


class KvTypes(SameBits):
    def test_every_kv_type_over_nodes(self):
        name = "mistral-wide-head"
        tokens = golden(name)["tokens"]
        for kv_type in ("f16", "q8_0"):
            expected = self.hashes(tiny_model(name), tokens, "--kv-type", kv_type)
            for way in IN_PROCESS[1:3] + OVER_NODES[1:3]:
                with self.subTest(kv_type=kv_type, way=way):
                    ours = self.hashes(tiny_model(name), tokens, "--kv-type", kv_type, *way)
                    self.assertEqual(ours, expected)


class TinyModels(SameBits):
    def test_golden_logits_and_greedy_tokens(self):
        for name in TINY_MODELS:
            for nodes in ([], ["--local-nodes", 2], ["--local-nodes", 3]):
                with self.subTest(model=name, nodes=nodes):
                    expected = golden(name)
                    count = len(expected["greedy"])
                    ours = self.logits(
                        tiny_model(name), expected["tokens"], "--greedy", count, *nodes
                    )
                    self.assertEqual(ours["greedy"], expected["greedy"])
                    positions = zip(ours["positions"], expected["positions"], strict=True)
                    worst = max(
                        abs(a - b)
                        for mine, theirs in positions
                        for a, b in zip(mine["logits"], theirs["logits"], strict=True)
                    )
                    print(f"{name} {nodes}: worst logit off by {worst:.2e}")
                    self.assertLessEqual(worst, GOLDEN_TOLERANCE)

    def test_chunks_and_threads(self):
        for name in TINY_MODELS:
            tokens = golden(name)["tokens"]
            expected = self.hashes(tiny_model(name), tokens)
            for way in IN_PROCESS:
                with self.subTest(model=name, way=way):
                    self.assertEqual(self.hashes(tiny_model(name), tokens, *way), expected)

    def test_nodes_and_splits(self):
        for name in TINY_MODELS:
            tokens = golden(name)["tokens"]
            expected = self.hashes(tiny_model(name), tokens)
            for way in OVER_NODES + uneven_splits(self.layers(tiny_model(name))):
                with self.subTest(model=name, way=way):
                    self.assertEqual(self.hashes(tiny_model(name), tokens, *way), expected)

    def test_instruction_sets(self):
        isas = self.supported_isas()
        for name in TINY_MODELS:
            tokens = golden(name)["tokens"]
            expected = self.hashes(tiny_model(name), tokens)
            for isa in isas:
                with self.subTest(model=name, isa=isa):
                    got = self.hashes(tiny_model(name), tokens, SHOAL_ISA=isa)
                    self.assertEqual(got, expected)
        with self.subTest("over nodes, which inherit the choice"):
            model, tokens = tiny_model("qwen3"), golden("qwen3")["tokens"]
            got = self.hashes(model, tokens, "--local-nodes", 2, SHOAL_ISA="reference")
            self.assertEqual(got, self.hashes(model, tokens))

    def test_unknown_instruction_set_is_refused(self):
        self.assert_refused(
            *("logits", tiny_model("qwen2"), "--tokens", 1),
            says=["SHOAL_ISA", "mmx", "reference"],
            SHOAL_ISA="mmx",
        )

    def test_different_tokens_give_different_bits(self):
        # Else everything above would pass on a hash of nothing.
        tokens = golden("qwen2")["tokens"]
        hashes = self.hashes(tiny_model("qwen2"), tokens)
        changed = self.hashes(tiny_model("qwen2"), [tokens[0] + 1, *tokens[1:]])
        self.assertEqual(len(set(hashes)), len(hashes))
        self.assertFalse(set(hashes) & set(changed))


class RealModel(SameBits):
    def setUp(self):
        super().setUp()
        self.model = real_model()

    def test_logits(self):
        text = "The harbour lay still under a grey sky, and the boats knocked together. " * 4
        ids = self.output_of("tokenize", self.model, "--jsonl", stdin=json.dumps(text) + "\n")
        tokens = json.loads(ids)[:REAL_TOKENS]
        self.assertEqual(len(tokens), REAL_TOKENS)
        expected = self.hashes(self.model, tokens)
        for way in (
            ["--prefill-chunk", 7, "-t", 1],
            ["--local-nodes", 1, "-t", 3],
            ["--local-nodes", 2, "--prefill-chunk", 3],
            ["--split", "11,11,8", "--prefill-chunk", 64],
            ["--split", "1,2,26,1", "--prefill-chunk", 1],
        ):
            with self.subTest(way=way):
                self.assertEqual(self.hashes(self.model, tokens, *way), expected)
        for isa in self.supported_isas():
            with self.subTest(isa=isa):
                self.assertEqual(self.hashes(self.model, tokens, SHOAL_ISA=isa), expected)

    def test_text(self):
        question = ["Name three fish.", "--max-tokens", 12, "--json"]
        for sampling in (["--temperature", 0], ["--temperature", 0.8, "--seed", 7]):
            texts = {}
            for nodes in ([], ["--local-nodes", 3]):
                out = self.output_of("run", self.model, *question, *sampling, *nodes)
                texts[str(nodes)] = json.loads(out)["text"]
            with self.subTest(sampling=sampling):
                self.assertEqual(len(set(texts.values())), 1, texts)
                self.assertTrue(all(texts.values()), texts)


if __name__ == "__main__":
    run_tests()
