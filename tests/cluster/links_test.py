#!/usr/bin/env python3
"""Proves that two stages whose nodes cannot reach each other work together all the same, over hosts of
their own: the end that can dial does, or the coordinator relays, in the middle of an answer, too."""

import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import unittest

from shoal_process import ShoalTestCase, events, real_model, run_tests, text_of

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools"))
from namespaces import HOME, Namespaces  # noqa: E402

PORT = 7701
# No token ends it, so that it lasts long enough for what happens meanwhile.
ANSWER = {"max_tokens": 200, "logit_bias": {"0": -100, "2": -100}}


def can_make_hosts():
    """Whether this is root, and not in a container that makes no networks."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        return False
    made = ["unshare", "-n", "ip", "link", "add", "shlt", "type", "bridge"]
    return subprocess.run(made, capture_output=True).returncode == 0


@unittest.skipUnless(can_make_hosts(), "needs root, iproute2 and network namespaces")
class Links(ShoalTestCase):
    def setUp(self):
        super().setUp()
        self.model = real_model()
        self.hosts = Namespaces("shlt", "10.94.7", 2, "1gbit")
        self.addCleanup(self.hosts.remove)
        self.hosts.__enter__()
        self.mesh = self.free_port()
        self.hub = self.free_port()

    def free_port(self):
        with socket.create_server((self.hosts.address(HOME), 0)) as free:
            return f"{self.hosts.address(HOME)}:{free.getsockname()[1]}"

    def start_listening(self, host):
        self.start_host(host, "--listen", f"{self.hosts.address(host)}:{PORT}")

    def start_host(self, host, how, where):
        # So that what comes from outside can be turned away before it is taken for this host.
        self.rule(host, "add", "pref", 10, "lookup", "local")
        self.rule(host, "del", "pref", 0)
        invited = self.start_shoal("nodes", "invite", "--json", "--mesh-listen", self.mesh)
        code = json.loads(invited.read_line())["code"]
        name = f"n{host}"
        state = os.path.join(self.folder, name)
        node = self.start_shoal(
            "node", how, where, "--name", name, "--state", state, "--join", code,
            "--model", self.model, "-t", 1,
            inside=self.hosts.inside(host, []),
        )  # fmt: skip
        self.assertIn(where, node.read_line())
        self.assertEqual(invited.wait(), 0)

    def rule(self, host, *words):
        subprocess.run(self.hosts.inside(host, ["ip", "rule", *words]), check=True)

    def deafen(self, host, *to):
        """The host hears the other one no more, or not at a port."""
        other = self.hosts.address(1 - host)
        self.rule(host, "add", "pref", 2, "from", f"{other}/32", *to, "iif", "eth0", "blackhole")

    def refuse_dials(self, host):
        self.deafen(host, "ipproto", "tcp", "dport", PORT)

    def start_serving(self, *arguments):
        return super().start_server(
            self.model, "--mesh-listen", self.mesh, "--node", "n0", "--node", "n1",
            "--plan", "spread", "-c", 512, "--log-level", "debug", *arguments,
        )  # fmt: skip

    def expected(self):
        of_no_mesh = os.path.join(self.folder, "alone")
        alone = self.start_server(self.model, "-c", 512, "-t", 1, SHOAL_STATE=of_no_mesh)
        return alone.ask("Say hello.", **ANSWER)

    def test_the_end_that_can_dial_opens_the_link(self):
        for host in range(2):
            self.start_listening(host)
        self.refuse_dials(1)
        server = self.start_serving()
        self.assertEqual(server.ask("Say hello.", **ANSWER), self.expected())
        self.assertIn("n1 opened the link from n0", server.process.errors())
        self.assertIn("2 stages ready", server.process.errors())

    def test_where_neither_can_dial_the_coordinator_relays(self):
        for host in range(2):
            self.start_listening(host)
            self.refuse_dials(host)
        server = self.start_serving()
        self.assertEqual(server.ask("Say hello.", **ANSWER), self.expected())
        self.assertIn("n1 gets its steps from n0 by relay", server.process.errors())
        self.assertIn("2 stages ready", server.process.errors())

    def assert_relayed_once_cut(self, server):
        stream = events(server.stream("Say hello.", **ANSWER))
        received = list(itertools.islice(stream, 3))
        for host in range(2):
            self.deafen(host)
        received += itertools.takewhile(lambda event: event != "[DONE]", stream)
        self.assertEqual("".join(map(text_of, received)), self.expected())
        log = server.process.errors()
        self.assertIn("gets nothing of what", log)  # found before gRPC would
        self.assertIn("the coordinator relays between them", log)
        self.assertIn("n1 gets its steps from n0 by relay", log)
        self.assertEqual(log.count("2 stages ready"), 2, log)

    def test_a_link_that_falls_silent_in_an_answer_is_relayed(self):
        for host in range(2):
            self.start_listening(host)
        self.assert_relayed_once_cut(self.start_serving())

    def test_so_is_one_from_a_node_that_dials_in_to_one_that_listens(self):
        self.start_host(0, "--dial", self.hub)
        self.start_listening(1)
        self.assert_relayed_once_cut(self.start_serving("--hub-listen", self.hub))


if __name__ == "__main__":
    run_tests()
