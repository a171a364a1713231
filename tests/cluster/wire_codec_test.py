#!/usr/bin/env python3
"""Proves that activations travel in the codec that --wire names: the default is exact, others change
the logits a little, `auto` stays exact where links are fast."""

import json
import unittest

from shoal_process import ShoalTestCase, run_tests, tiny_model

# Largest change of a logit, of logits that lie within about +-10; the tiny model is not used to it.
MOST_CHANGE = {"f16": 0.05, "bf16": 0.5, "int8": 0.5}


class WireCodec(ShoalTestCase):
    def logits(self, *arguments):
        command = ["logits", tiny_model("llama-gqa"), "--tokens", "1,2,3,4,5,6,7", *arguments]
        return [row["logits"] for row in json.loads(self.output_of(*command))["positions"]]

    def test_each_codec(self):
        exact = self.logits()
        over = ["--local-nodes", 2]
        for wire in ("f32", "f32+zstd", "auto"):
            self.assertEqual(self.logits(*over, "--wire", wire), exact, wire)
        for wire, most in MOST_CHANGE.items():
            lossy = self.logits(*over, "--wire", wire)
            change = max(abs(a - b) for x, y in zip(lossy, exact) for a, b in zip(x, y))
            print(f"{wire}: largest change of a logit {change:.4f}")
            self.assertGreater(change, 0, wire)
            self.assertLess(change, most, wire)
            # Neither zstd nor how a prompt is cut changes what arrives.
            zstd = self.logits(*over, "--wire", f"{wire}+zstd", "--prefill-chunk", 3)
            self.assertEqual(zstd, lossy, wire)

    def test_names_that_are_none(self):
        for wire in ("", "f64", "int8+gzip", "AUTO"):
            command = ["logits", tiny_model("llama-gqa"), "--tokens", "1,2", "--wire", wire]
            self.assert_refused(*command, says=["--wire", "int8"])


if __name__ == "__main__":
    run_tests()
