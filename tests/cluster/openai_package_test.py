#!/usr/bin/env python3
"""Holds `shoal serve`, over two local nodes, against the official `openai` package.

The package is no dependency of Shoal: tools/test.sh puts it into a virtual environment and names
that one's Python in SHOAL_TEST_PYTHON. Without it the test is skipped, or fails where
SHOAL_REQUIRE_MODEL=1.
"""

import os
import subprocess
import unittest

from shoal_process import ShoalTestCase, real_model, run_tests

CHECKS = os.path.join(os.path.dirname(__file__), "../tools/openai_client_test.py")
CHECKS_S = 280


class OpenaiPackage(ShoalTestCase):
    def test_the_package_can_use_the_server(self):
        python = os.environ.get("SHOAL_TEST_PYTHON")
        if not python:
            if os.environ.get("SHOAL_REQUIRE_MODEL") == "1":
                self.fail("SHOAL_TEST_PYTHON names no Python that has the openai package")
            raise unittest.SkipTest("SHOAL_TEST_PYTHON is not set: run tools/test.sh")
        server = self.start_server(real_model(), "--local-nodes", 2)
        done = subprocess.run(
            [python, CHECKS, f"http://127.0.0.1:{server.port}/v1"],
            capture_output=True,
            text=True,
            timeout=CHECKS_S,
        )
        print(done.stdout)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    run_tests()
