#!/usr/bin/env python3
"""Proves by a short soak (tools/soak.py) that under random deaths every request ends as it should."""

import os
import subprocess
import sys

from shoal_process import ShoalTestCase, real_model, run_tests, shoal_binary

TOOL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools/soak.py")
SECONDS = 40  # some four disturbances
DEADLINE_S = 2000  # a shared machine may take long for what comes before


class Soak(ShoalTestCase):
    def test_random_deaths_under_load(self):
        done = subprocess.run(
            [sys.executable, "-B", TOOL, shoal_binary(), real_model(), "--minutes", str(SECONDS / 60)],
            capture_output=True, text=True, timeout=DEADLINE_S, env=self.environment())
        print(done.stdout)
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    run_tests()
