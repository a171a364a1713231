#!/usr/bin/env python3
"""Traps that programs of this kind fell into, and that no other test stands for: the second request,
slow steps, the way of results. docs/reliability.md lists all traps and their tests.
"""

import json
import os
import time

from relay import Relay
from shoal_process import ShoalTestCase, real_model, run_tests

SILENCE_S = 1.5  # after which a node is lost
SENTENCES = int(os.environ.get("SHOAL_TEST_SENTENCES", 45))  # fewer for builds that are slow


class FieldTraps(ShoalTestCase):
    def test_trap_the_second_request_crashes(self):
        server = self.start_server(real_model(), "--local-nodes", 2, "-c", 512)
        answers = {server.ask("Name three fish.") for _ in range(3)}
        self.assertEqual(len(answers), 1)
        self.assertTrue(server.is_ready())

    def test_trap_one_slow_step_is_taken_for_death(self):
        # The scalar reference takes far longer over this prompt, which is one step, than a node
        # may be silent.
        prompt = "Once there was a harbour. " * SENTENCES
        options = ["--local-nodes", 2, "-c", 512, "--prefill-chunk", 384, "-t", 1]
        server = self.start_server(real_model(), *options, SHOAL_ISA="reference")
        started = time.monotonic()
        self.assertTrue(server.ask(prompt, max_tokens=2))
        took_s = time.monotonic() - started
        print(f"a step of about {took_s / 3:.1f} s on each node")
        self.assertGreater(took_s, 3 * SILENCE_S)  # else this shows nothing: make the prompt longer
        self.assertNotIn("is gone", server.process.errors())

    def test_trap_results_travel_back_through_every_stage(self):
        relays = []
        elsewhere = os.path.join(self.folder, "forwarded")  # where no lane of a node's is to be found
        os.mkdir(elsewhere)
        for name in "ab":
            path = os.path.join(self.folder, f"{name}.sock")
            self.start_node(listen=f"unix:{path}")
            relays.append(Relay(self, os.path.join(elsewhere, f"{name}.sock"), path))
        first, last = relays
        nodes = [part for relay in relays for part in ("--node", f"unix:{relay.path}")]
        out = self.output_of("logits", real_model(), "--tokens", "1,2,3,4,5,6,7,8", *nodes)
        logits = [value for position in json.loads(out)["positions"] for value in position["logits"]]
        print(f"{first.returned} bytes came from the first stage, {last.returned} from the last")
        self.assertGreater(last.returned, 4 * len(logits))
        self.assertLess(first.returned, 4 * len(logits) // 16)


if __name__ == "__main__":
    run_tests()
