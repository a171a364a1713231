#!/usr/bin/env python3
"""Proves `shoal plan` as a user meets it: its tables, JSON and SVG, every strategy, the worked example
of a strategy program, and that each thing asked for wrongly is refused by name."""

import json
import os
import xml.etree.ElementTree as ElementTree

from shoal_process import ShoalTestCase, run_tests, tiny_model

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
CLUSTERS = os.path.join(ROOT, "deploy", "clusters")
EXAMPLE = os.path.join(ROOT, "tools", "python", "own_strategy.py")


def cluster(name):
    return os.path.join(CLUSTERS, name + ".toml")


class Plan(ShoalTestCase):
    def plan(self, *arguments, name="four-pis"):
        return self.output_of("plan", "--cluster", cluster(name), *arguments)

    def json_plan(self, *arguments, **options):
        return json.loads(self.plan("--json", *arguments, **options))

    def test_table_names_devices_and_prediction(self):
        text = self.plan("--shape", "8b-q4_k", "--strategy", "even")
        for part in ("pi-1", "pi-4", "[24, 32)", "ms for a token", "objective", "even"):
            self.assertIn(part, text)

    def test_plans_for_a_file(self):
        plan = self.json_plan(tiny_model("qwen2"), "--context", 64, "--strategy", "even")
        self.assertEqual(plan["stages"][0]["layers"][0], 0)
        self.assertGreater(plan["prediction"]["tokens_per_s"], 0)

    def test_layers_are_covered_within_memory(self):
        plan = self.json_plan("--shape", "14b-q4_k", name="office")
        ends = [0] + [stage["layers"][1] for stage in plan["stages"]]
        self.assertEqual([stage["layers"][0] for stage in plan["stages"]], ends[:-1])
        self.assertEqual(ends[-1], 40)
        for stage in plan["stages"]:
            self.assertLessEqual(stage["needed_bytes"], stage["memory_bytes"])

    def test_all_strategies_answer_or_say_why(self):
        both = self.json_plan("--shape", "8b-q4_k", "--strategy", "all", name="laptop-and-phones")
        self.assertGreater(len(both["plans"]), 5)
        for failed in both["failed"]:
            self.assertTrue(failed["error"], failed)
        text = self.plan("--shape", "8b-q4_k", "--strategy", "all")
        objectives = [float(line.split()[2]) for line in text.split("\n")
                      if len(line.split()) == 7 and line.split()[1].isdigit()]
        self.assertEqual(objectives, sorted(objectives))

    def test_constraints_hold(self):
        plan = self.json_plan("--shape", "8b-q4_k", "--private", "pi-2", "--exclude", "pi-4",
                              "--strategy", "even")
        devices = [stage["device"] for stage in plan["stages"]]
        self.assertEqual((devices[0], devices[-1]), ("pi-2", "pi-2"))
        self.assertNotIn("pi-4", devices)

    def test_largest_context_and_kv_type(self):
        ask = ("--shape", "14b-q4_k", "--strategy", "even", "--sessions", 4, "--context", "max")
        tokens = {kv: self.json_plan(*ask, "--kv-type", kv)["workload"]["kv_tokens"]
                  for kv in ("f16", "q8_0", "auto")}
        self.assertLess(tokens["f16"], tokens["q8_0"])
        self.assertEqual(tokens["auto"], tokens["q8_0"])
        per_session = tokens["f16"] // 4
        self.plan("--shape", "14b-q4_k", "--strategy", "even", "--sessions", 4,
                  "--context", per_session)
        self.assert_refused("plan", "--cluster", cluster("four-pis"), "--shape", "14b-q4_k",
                            "--strategy", "even", "--sessions", 4, "--context", per_session + 1,
                            says="MiB")

    def test_svg_is_drawn(self):
        path = os.path.join(self.folder, "plan.svg")
        self.plan("--shape", "8b-q4_k", "--svg", path)
        self.assertTrue(ElementTree.parse(path).getroot().tag.endswith("svg"))

    def test_the_worked_example_answers_with_a_plan(self):
        plan = self.json_plan("--shape", "8b-q4_k", "--strategy", "exec:" + EXAMPLE,
                              "--pin-last", "pi-3")
        self.assertEqual(plan["stages"][-1]["device"], "pi-3")


class Refusals(ShoalTestCase):
    def assert_no_plan(self, *arguments, says):
        self.assert_refused("plan", "--cluster", cluster("four-pis"), *arguments, says=says)

    def test_names_what_does_not_exist(self):
        self.assert_refused("plan", "--cluster", "nowhere.toml", says="nowhere.toml")
        self.assert_no_plan("--shape", "9b", says=["9b", "8b-q4_k"])
        self.assert_no_plan("missing.gguf", says="missing.gguf")
        self.assert_no_plan(says="MODEL")
        self.assert_no_plan("--shape", "8b-q4_k", "--strategy", "best", says=["best", "even"])
        for option in ("--pin-first", "--pin-last", "--private", "--exclude", "--require"):
            self.assert_no_plan("--shape", "8b-q4_k", option, "pi-9", says=["pi-9", "pi-1"])

    def test_names_file_line_and_key(self):
        path = os.path.join(self.folder, "cluster.toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write('[[device]]\nname = "a"\nprofile = "apple-m1"\nmemory_gib = -3\n')
        self.assert_refused("plan", "--cluster", path, "--shape", "8b-q4_k",
                            says=[path + ":4", "memory_gib", "-3"])

    def test_names_what_does_not_fit(self):
        self.assert_no_plan("--shape", "70b-q4_k", says="fit")
        self.assert_no_plan("--shape", "70b-q4_k", "--strategy", "halda", says="of 80 layers")
        self.assert_no_plan("--shape", "8b-q4_k", "--exclude", "pi-1,pi-2,pi-3,pi-4",
                            says="all devices are excluded")

    def test_names_what_a_program_did(self):
        self.assert_no_plan("--shape", "8b-q4_k", "--strategy", "exec:false", says="exit code 1")
        self.assert_no_plan("--shape", "8b-q4_k", "--strategy", "exec:sleep 1000",
                            "--exec-timeout", 1, says="killed")

    def test_wrong_usage_is_told(self):
        for wrong in (("--context", 0), ("--context", "much"), ("--sessions", -1),
                      ("--kv-type", "q2"), ("--objective", "speed"), ("--weights", "1,2")):
            done = self.run_shoal("plan", "--cluster", cluster("four-pis"), "--shape", "8b-q4_k",
                                  *wrong)
            self.assertEqual(done.returncode, 2, wrong)


run_tests()
