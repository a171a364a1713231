#!/usr/bin/env python3
"""Proves that nodes which listen nowhere serve a plan like others: they dial out to the coordinator's
hub, are reached through it, and reach each other by its relay."""

import json
import os
import signal
import socket
import unittest

from shoal_process import ShoalTestCase, real_model, run_tests, tiny_model, wait_for

PROMPT = ["Say hello.", "--max-tokens", "24", "--temperature", "0", "--json"]


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def listening_tcp_sockets(pid):
    """Ports that a process listens on."""
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            inodes.add(target.removeprefix("socket:[").removesuffix("]"))
    found = []
    for table in ("tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{table}", encoding="utf-8") as file:
            rows = [line.split() for line in file][1:]
        found += [row[1] for row in rows if row[3] == "0A" and row[9] in inodes]
    return found


class DialOut(ShoalTestCase):
    def start_dialling(self, hub, name, *arguments, **environment):
        """A node that has joined the mesh of this test."""
        invited, code = self.invite()
        state = os.path.join(self.folder, f"state-{name}")
        node = self.start_shoal(
            "node", "--dial", hub, "--name", name, "-t", 1, "--state", state, "--join", code,
            *arguments, **environment,
        )  # fmt: skip
        self.assertEqual(node.read_line(), f"dialling {hub}\n")
        self.assertTrue(json.loads(invited.read_line())["node"]["address"].startswith("relay:"))
        self.assertEqual(invited.wait(), 0)
        return node

    def test_two_nodes_without_an_inbound_port_give_the_text_of_one_process(self):
        model = real_model()
        hub = f"127.0.0.1:{free_port()}"
        nodes = [self.start_dialling(hub, name, "--model", model) for name in ("a", "b")]
        through = ["--hub-listen", hub, "--node", "a", "--node", "b"]
        texts = [
            json.loads(self.output_of("run", model, *PROMPT, *where))["text"]
            for where in ([], [*through, "--plan", "spread"], [*through, "--split", "11,19"])
        ]
        self.assertTrue(texts[0])
        self.assertEqual(texts, [texts[0]] * 3)
        for node in nodes:
            self.assertEqual(listening_tcp_sockets(node.pid), [])

    def test_a_node_that_listens_reaches_one_that_dials_in(self):
        model = tiny_model("qwen2")
        expected = self.output_of("logits", model, "--tokens", "1,2,3")
        _, listening = self.start_node("--model", model, "-t", 1)
        for _ in range(2):  # the second time with the hub of another coordinator
            hub = f"127.0.0.1:{free_port()}"
            dialling = self.start_dialling(hub, "b", "--model", model)
            nodes = ["--node", listening, "--node", "b", "--hub-listen", hub]
            for plan in ("spread", "latency"):
                there = self.output_of("logits", model, "--tokens", "1,2,3", *nodes, "--plan", plan)
                self.assertEqual(there, expected)
            dialling.send(signal.SIGTERM)
            dialling.wait()
            self.output_of("nodes", "revoke", "b")

    def test_a_node_that_dials_in_opens_the_link_from_one_that_listens(self):
        model = tiny_model("qwen2")
        expected = self.output_of("logits", model, "--tokens", "1,2,3")
        self.start_node("--model", model, "-t", 1, "--name", "listening")
        hub = f"127.0.0.1:{free_port()}"
        dialling = self.start_dialling(hub, "dialling", "--model", model)
        nodes = ["--node", "listening", "--node", "dialling", "--hub-listen", hub]
        command = ["logits", model, "--tokens", "1,2,3", *nodes, "--split", "2,2"]
        ran = self.run_shoal(*command, "--log-level", "debug")
        self.assertEqual(ran.stdout, expected)
        self.assertIn("dialling opened the link from listening", ran.stderr)
        self.assertNotIn("relay", dialling.errors())

    def test_the_coordinator_measures_and_comes_back(self):
        model = tiny_model("qwen2")
        hub = f"127.0.0.1:{free_port()}"
        for name in ("a", "b"):
            self.start_dialling(hub, name, "--model", model)
        expected = self.output_of("logits", model, "--tokens", "1,2,3")
        through = ["--hub-listen", hub, "--node", "a", "--node", "b"]
        for plan in ("latency", "spread"):
            command = ["logits", model, "--tokens", "1,2,3", "--plan", plan, *through]
            self.assertEqual(self.output_of(*command), expected)

    def test_the_doctor_knows_a_hub(self):
        hub = f"127.0.0.1:{free_port()}"
        self.start_dialling(hub, "a")
        self.start_shoal(
            "serve", real_model(), "--listen", "127.0.0.1:0", "-c", 256, "--node", "a",
            "--hub-listen", hub, "--mesh-listen", self.mesh_listen(),
        ).read_line()  # fmt: skip
        checks = json.loads(self.run_shoal("doctor", "--json", "--node", hub).stdout)["checks"]
        self.assertIn("a hub", next(c["says"] for c in checks if c["check"] == "peer"))

    def test_what_does_not_fit_is_refused(self):
        model = tiny_model("qwen2")
        command = ["logits", model, "--tokens", "1,2", "--node"]
        self.start_dialling("127.0.0.1:1", "a")
        self.assert_refused(*command, "a", says="--hub-listen")
        self.assert_refused(*command, "a", "--hub-listen", "unix:/hub", says="HOST:PORT")
        # Where nobody is named, those that can be reached will do.
        self.start_node("--name", "b")
        server = self.start_server(real_model(), "--plan", "spread", "-c", 512)
        self.assertIn("node a dials out only", server.process.errors())
        self.assertIn("1 stages ready", server.process.errors())
        stranger = ["node", "--state", os.path.join(self.folder, "stranger"), "--dial"]
        self.assert_refused(*stranger, "127.0.0.1:1", says="belongs to no mesh")

    def test_a_revoked_node_is_turned_away_at_the_hub(self):
        model = tiny_model("qwen2")
        hub = f"127.0.0.1:{free_port()}"
        node = self.start_dialling(hub, "a", "--model", model)
        command = ["logits", model, "--tokens", "1,2", "--hub-listen", hub, "--node", "a"]
        self.output_of(*command)
        self.output_of("nodes", "revoke", "a")
        self.assert_refused(*command, says="'a'")
        # It does not know yet, and dials on: the hub knows.
        server = self.start_shoal("serve", real_model(), "--listen", "127.0.0.1:0", "--local-nodes", 1, "--hub-listen", hub)
        self.assertIn("serving", server.read_line())
        wait_for(lambda: "revoked" in node.errors(), "the hub says why")

    def test_a_node_that_dials_out_opens_no_file_that_a_peer_names(self):
        hub = f"127.0.0.1:{free_port()}"
        no_store = {"XDG_CACHE_HOME": "", "HOME": ""}
        self.start_dialling(hub, "a", **no_store)
        model = tiny_model("qwen2")
        command = ["logits", model, "--tokens", "1,2", "--hub-listen", hub, "--node", "a"]
        self.assert_refused(*command, says="--model FILE")

    def test_nodes_without_the_file_get_their_weights_through_the_hub(self):
        hub = f"127.0.0.1:{free_port()}"
        model = tiny_model("qwen2")
        nodes = [
            self.start_dialling(hub, name, XDG_CACHE_HOME=os.path.join(self.folder, name))
            for name in ("a", "b")
        ]
        logits = ["logits", model, "--tokens", "1,2,3"]
        through = ["--hub-listen", hub, "--node", "a", "--node", "b"]
        there = self.output_of(*logits, *through, "--plan", "spread")
        self.assertEqual(there, self.output_of(*logits))
        for node in nodes:
            self.assertRegex(node.errors(), r"layers \[\d+, \d+\): [1-9]\d* bytes fetched")

    def test_a_server_comes_back_to_nodes_that_dial_in(self):
        hub = f"127.0.0.1:{free_port()}"
        model = real_model()
        for name in ("a", "b"):
            self.start_dialling(hub, name, "--model", model)
        serve = ["serve", "--listen", "127.0.0.1:0"]
        first = self.start_shoal(*serve, model, "--hub-listen", hub, "--node", "a", "--node", "b")
        self.assertIn("serving", first.read_line())
        first.send(signal.SIGTERM)
        first.wait()
        self.assertIn("serving", self.start_shoal(*serve).read_line())


if __name__ == "__main__":
    run_tests()
