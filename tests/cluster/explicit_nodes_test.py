#!/usr/bin/env python3
"""Proves nodes that a user starts by hand: `shoal node` on TCP and on Unix sockets, coordinators
that come and go while the nodes stay, and the errors where node and coordinator do not fit.
"""

import itertools
import json
import os
import signal
import socket
import time

from relay import Relay
from shoal_process import (
    ShoalTestCase,
    events,
    golden,
    is_running,
    read_text,
    real_model,
    run_tests,
    text_of,
    tiny_model,
    wait_for,
)

SPREAD = ("--plan", "spread")  # every node has a part, though one alone would be faster here
UNREACHABLE_S = 15  # two attempts of 3 s, and what a busy machine adds
RECOVERY_S = 30
PROMPT = ["Name three fish.", "--max-tokens", 8, "--temperature", 0, "--json"]


class ExplicitNodes(ShoalTestCase):
    def logits(self, model, *arguments):
        joined = ",".join(map(str, golden("qwen2")["tokens"]))
        out = self.output_of("logits", model, "--tokens", joined, "--top", 1, *arguments)
        return json.loads(out)["positions"]

    def assert_logits_refused(self, *arguments, says):
        command = ["logits", tiny_model("qwen2"), "--tokens", "1,2", *arguments]
        return self.assert_refused(*command, says=says)

    def test_two_nodes_answer_one_coordinator_after_the_other(self):
        model = tiny_model("qwen2")
        expected = self.logits(model)
        first, a = self.start_node()
        second, b = self.start_node("-t", 1)
        for arguments in ([], ["--split", "1,3"], ["--prefill-chunk", 5]):
            with self.subTest(arguments=arguments):
                self.assertEqual(self.logits(model, "--node", a, "--node", b, *arguments), expected)
        # The other order, one node alone, another model.
        self.assertEqual(self.logits(model, "--node", b, "--node", a), expected)
        self.assertEqual(self.logits(model, "--node", a), expected)
        other = tiny_model("qwen3")
        self.assertEqual(self.logits(other, "--node", a, "--node", b), self.logits(other))
        for node in (first, second):
            node.send(signal.SIGTERM)
            self.assertEqual(node.wait(), 0)

    def test_unix_sockets(self):
        path = os.path.join(self.folder, "n.sock")
        node, address = self.start_node(listen=f"unix:{path}")
        self.assertEqual(address, f"unix:{path}")
        model = tiny_model("qwen2")
        self.assertEqual(self.logits(model, "--node", address), self.logits(model))
        node.send(signal.SIGINT)
        self.assertEqual(node.wait(), 0)
        self.assertFalse(os.path.exists(path))

    def test_a_unix_socket_whose_path_leaves_no_room_for_a_lane(self):
        path = os.path.join(self.folder, "n").ljust(105, "n")
        _, address = self.start_node(listen=f"unix:{path}")
        model = tiny_model("qwen2")
        self.assertEqual(self.logits(model, "--node", address), self.logits(model))

    def test_run_over_nodes_gives_the_text_of_one_process(self):
        model = real_model()
        nodes = [*SPREAD, *(part for _ in range(2) for part in ("--node", self.start_node()[1]))]
        texts = [
            json.loads(self.output_of("run", model, *PROMPT, *where))["text"]
            for where in ([], nodes, nodes)
        ]
        self.assertTrue(texts[0])
        self.assertEqual(texts, [texts[0]] * 3)

    def test_the_best_plan_by_measurement_may_be_one_node(self):
        # A token takes far less than a hop to the first one, however busy this machine is.
        paths = [os.path.join(self.folder, name) for name in ("far.sock", "near.sock", "forwarded")]
        self.start_node(listen=f"unix:{paths[0]}")
        second, near = self.start_node(listen=f"unix:{paths[1]}")
        os.mkdir(paths[2])
        far = Relay(self, os.path.join(paths[2], "far.sock"), paths[0], delay_s=0.02)
        server = self.start_server(real_model(), "--node", f"unix:{far.path}", "--node", near)
        self.assertIn("1 stages ready", server.process.errors())
        self.assertIn("predicted: ", server.process.errors())
        expected = server.ask("Say hello.", max_tokens=44)
        # The other one takes over.
        stream = events(server.stream("Say hello.", max_tokens=44))
        read_text(stream, 2)
        second.send(signal.SIGKILL)
        self.assertEqual(list(stream)[-1], "[DONE]")
        self.assertEqual(server.ask("Say hello.", max_tokens=44), expected)

    def test_a_loss_among_nodes_far_away(self):
        """Round trips of 0.6 s: longer than one waits for handshakes after a loss."""
        os.mkdir(os.path.join(self.folder, "far"))
        nodes, relays = [], []
        for name in "ab":
            path = os.path.join(self.folder, f"{name}.sock")
            nodes.append(self.start_node(listen=f"unix:{path}")[0])
            relays.append(Relay(self, os.path.join(self.folder, "far", name), path, delay_s=0.3))
        options = [part for relay in relays for part in ("--node", f"unix:{relay.path}")]
        server = self.start_server(real_model(), *options, "--plan", "spread", "-c", 512)
        expected = server.ask("Say hello.", max_tokens=4)
        stream = events(server.stream("Say hello.", max_tokens=4))
        received = list(itertools.islice(stream, 2))
        nodes[1].send(signal.SIGKILL)
        received += itertools.takewhile(lambda event: event != "[DONE]", stream)
        self.assertEqual("".join(map(text_of, received)), expected)

    def test_two_nodes_that_stop_reaching_each_other_are_no_neighbours(self):
        paths = [os.path.join(self.folder, name) for name in ("a.sock", "b.sock", "forwarded")]
        first, last = [self.start_node(listen=f"unix:{path}")[1] for path in paths[:2]]
        os.mkdir(paths[2])
        relay = Relay(self, os.path.join(paths[2], "b.sock"), paths[1])
        server = self.start_server(
            real_model(), "--node", first, "--node", f"unix:{relay.path}", "--plan", "spread", "-c", 512
        )
        self.assertIsNotNone(last)
        answer = {"max_tokens": 64, "logit_bias": {"0": -100, "2": -100}}
        expected = server.ask("Say hello.", **answer)
        stream = events(server.stream("Say hello.", **answer))
        received = list(itertools.islice(stream, 3))
        relay.cut_newest()  # the link from the first stage, which the coordinator knows nothing of
        received += itertools.takewhile(lambda event: event != "[DONE]", stream)
        self.assertEqual("".join(map(text_of, received)), expected)
        self.assertIn("gets nothing of what", server.process.errors())  # found before gRPC would
        self.assertIn("do not reach each other", server.process.errors())
        self.assertIn("1 stages ready", server.process.errors())

    def test_killed_coordinator_leaves_the_nodes_free_for_the_next(self):
        model = real_model()
        pairs = [self.start_node() for _ in range(2)]
        nodes = [*SPREAD, *(part for _, address in pairs for part in ("--node", address))]
        server = self.start_server(model, *nodes)
        expected = server.ask("Say hello.")
        read_text(events(server.stream("Tell me a story.", max_tokens=1000)), 2)
        server.process.send(signal.SIGKILL)
        server.process.wait()
        again = self.start_server(model, *nodes)
        self.assertEqual(again.ask("Say hello."), expected)
        self.assertTrue(all(is_running(node.pid) for node, _ in pairs))

    def test_a_node_that_comes_back_is_taken_in_again(self):
        (_, a), (second, b) = self.start_node(), self.start_node()
        server = self.start_server(real_model(), "--node", a, "--node", b, *SPREAD)
        expected = server.ask("Say hello.")
        stream = events(server.stream("Tell me a story.", max_tokens=1000))
        read_text(stream, 2)
        second.send(signal.SIGKILL)
        self.assertEqual(list(stream)[-1], "[DONE]")  # the first took over
        second.wait()
        self.assertIn(b, server.process.errors())
        self.assertNotIn("2 stages ready", server.process.errors().split(b)[-1])
        self.start_node(listen=b)
        wait_for(
            lambda: "2 stages ready" in server.process.errors().split(b)[-1], "both have a part again"
        )
        wait_for(server.is_ready, "/health says 200")
        self.assertEqual(server.ask("Say hello."), expected)

    def test_trap_two_coordinators_at_once_do_not_mix(self):
        # Either may win the nodes. The loser hears of it, and afterwards the server is there.
        model = real_model()
        nodes = [*SPREAD, *(part for _ in range(2) for part in ("--node", self.start_node()[1]))]
        expected = json.loads(self.output_of("run", model, *PROMPT))["text"]
        server = self.start_server(model, *nodes)
        stream = events(server.stream("Tell me a story.", max_tokens=1000))
        read_text(stream, 2)
        newer = self.run_shoal("run", model, *PROMPT, *nodes)
        if newer.returncode == 0:
            self.assertEqual(json.loads(newer.stdout)["text"], expected)
        else:
            self.assertIn("another coordinator", newer.stderr)
        last = list(stream)[-1]
        self.assertTrue(last == "[DONE]" or "another coordinator" in last["error"]["message"], last)
        wait_for(server.is_ready, "the server has its nodes again", RECOVERY_S)

    def test_trap_another_quantization_is_refused_by_identity(self):
        _, address = self.start_node("--model", tiny_model("qwen3"))
        says = ["identity", "not the same model", tiny_model("qwen3")]
        self.assert_logits_refused("--node", address, says=says)
        # And one that is the same, under another name.
        copy = os.path.join(self.folder, "copy.gguf")
        with open(tiny_model("qwen2"), "rb") as file, open(copy, "wb") as to:
            to.write(file.read())
        _, address = self.start_node("--model", copy)
        model = tiny_model("qwen2")
        self.assertEqual(self.logits(model, "--node", address), self.logits(model))

    def test_node_without_its_model_names_the_file(self):
        missing = os.path.join(self.folder, "missing.gguf")
        self.assert_refused("node", "--listen", "127.0.0.1:0", "--model", missing, says=missing)

    def lost_node(self):
        """The address of a member that is gone."""
        node, address = self.start_node()
        node.send(signal.SIGKILL)
        node.wait()
        return address, int(address.rpartition(":")[2])

    def test_unreachable_node(self):
        address, port = self.lost_node()
        with socket.socket() as taken:  # bound and never listening: connections are refused
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", port))
            started = time.monotonic()
            self.assert_logits_refused("--node", address, says=address)
            took_s = time.monotonic() - started
            print(f"connection refused: error after {took_s:.1f} s")
            self.assertLess(took_s, UNREACHABLE_S)

    def test_trap_a_peer_that_accepts_and_says_nothing(self):
        address, port = self.lost_node()
        with socket.create_server(("127.0.0.1", port)):
            started = time.monotonic()
            self.assert_logits_refused("--node", address, says=address)
            took_s = time.monotonic() - started
            print(f"silent peer: error after {took_s:.1f} s")
            self.assertLess(took_s, UNREACHABLE_S)

    def test_addresses_that_are_none(self):
        for address in ("here", "127.0.0.1", "127.0.0.1:99999", ":1", "127.0.0.1:x", "unix:"):
            with self.subTest(address=address):
                self.assert_logits_refused("--node", address, says="address")
                self.assert_refused("node", "--listen", address, says="address")

    def test_addresses_on_the_network_need_a_mesh(self):
        for address in ("0.0.0.0:0", "127.0.0.1:0", "[::]:0", "192.0.2.1:0"):
            with self.subTest(address=address):
                says = [address, "belongs to no mesh", "--join"]
                self.assert_refused("node", "--listen", address, says=says)
        self.assert_logits_refused("--node", "127.0.0.1:7701", says=["127.0.0.1:7701", "invite"])

    def test_address_in_use(self):
        for listen in ("127.0.0.1:0", f"unix:{self.folder}/n.sock"):
            with self.subTest(listen=listen):
                _, address = self.start_node(listen=listen)
                second = ["node", "--listen", address]
                if not address.startswith("unix:"):
                    second += ["--join", self.invite()[1], "--state", f"{self.folder}/second"]
                self.assert_refused(*second, says=[address, "in use"])
                model = tiny_model("qwen2")
                self.assertEqual(self.logits(model, "--node", address), self.logits(model))

    def test_splits_that_do_not_fit(self):
        for split in ("1,1", "2,3", "4", "1,1,2"):
            with self.subTest(split=split):
                arguments = ["--local-nodes", 2, "--split", split]
                self.assert_logits_refused(*arguments, says=["--split", "2 nodes", "4 layers"])

    def test_more_nodes_than_layers(self):
        self.assert_logits_refused("--local-nodes", 5, says=["5 nodes", "4 layers"])

    def test_one_node_twice(self):
        _, address = self.start_node()
        self.assert_logits_refused("--node", address, "--node", address, says=[address, "twice"])


if __name__ == "__main__":
    run_tests()
