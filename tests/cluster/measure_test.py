#!/usr/bin/env python3
"""Proves that nodes measure themselves and their links when they are asked: through real processes,
`shoal profile` and `shoal cluster export`. What they measure is not tested, but that every number
is there, is positive and is remembered."""

import json
import os
import tomllib
import unittest

import shoal_process
from shoal_process import ShoalTestCase, tiny_model


class Measure(ShoalTestCase):
    def environment(self, **changes):
        # A cache of its own: nothing is remembered when a test begins.
        return super().environment(XDG_CACHE_HOME=os.path.join(self.folder, "cache"), **changes)

    def profile(self, *arguments):
        return json.loads(self.output_of("profile", "--json", "-t", "1", *arguments))

    def test_a_device_is_measured_once(self):
        model = tiny_model("llama-gqa")
        first = self.profile(model)
        self.assertEqual([rate["type"] for rate in first["types"]], [0])
        self.assertEqual(first["types"][0]["batches"][0]["tokens"], 1)
        for rate in first["types"][0]["batches"]:
            self.assertGreater(rate["bytes_per_s"], 0)
        for key in ("attention_decode_macs_per_s", "elementwise_values_per_s", "memory_bytes_per_s"):
            self.assertGreater(first[key], 0)
        again = self.profile(model)
        self.assertEqual(again["measured_unix_s"], first["measured_unix_s"])
        self.assertEqual(again["types"], first["types"])
        self.assertNotEqual(self.profile(model, "--refresh")["types"], first["types"])

    def test_the_table_names_every_type(self):
        text = self.output_of("profile", tiny_model("llama-gqa"), "-t", "1")
        for part in ("F32", "attention", "overheads", "disk"):
            self.assertIn(part, text)

    def test_a_cluster_of_three_is_exported(self):
        nodes = [self.start_node("-t", "1")[1] for _ in range(3)]
        options = [f"--node=n{i}={address}" for i, address in enumerate(nodes)]
        text = self.output_of("cluster", "export", *options, "--model", tiny_model("llama-gqa"))
        exported = tomllib.loads(text)
        self.assertEqual([device["name"] for device in exported["device"]], ["n0", "n1", "n2"])
        path = os.path.join(self.folder, "cluster.toml")
        self.output_of("cluster", "export", *options, "--model", tiny_model("llama-gqa"), "-o", path)
        with open(path, "rb") as file:
            self.assertEqual(len(tomllib.load(file)["device"]), 3)

    def test_what_cannot_be_measured_is_named(self):
        node = self.start_node("-t", "1")[1]
        self.assert_refused("cluster", "export", "--node=127.0.0.1:1", says=["127.0.0.1:1", "invite"])
        self.assert_refused("cluster", "export", f"--node=a={node}", f"--node=a={node}",
                            says="a: two devices have this name")
        self.assert_refused("cluster", "export", f"--node={node}", "-o", "/no/such/folder/file",
                            "--model", tiny_model("llama-gqa"), says="/no/such/folder/file")
        self.assert_refused("profile", "/no/such/model.gguf", says="/no/such/model.gguf")


if __name__ == "__main__":
    shoal_process.run_tests()
