#!/usr/bin/env python3
"""Proves what happens when processes come and go as they should: a node that is told to end hands over
first; a coordinator that was killed serves again with what it remembers; whoever waits for too long is
told to come again.
"""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import time

from shoal_process import (
    ShoalTestCase,
    Server,
    chat,
    events,
    read_text,
    real_model,
    run_tests,
    text_of,
    wait_for,
)

# An answer that does not end by itself (the end tokens are 0 and 2), drawn rather than greedy.
ANSWER = {"max_tokens": 120, "logit_bias": {"0": -100, "2": -100}, "temperature": 0.9, "seed": 11}
STORY = "Tell me a long story."


class Leaving(ShoalTestCase):
    def setUp(self):
        super().setUp()
        started = [self.start_node("--model", real_model(), "--name", f"n{i}") for i in range(3)]
        self.nodes = [node for node, _ in started]
        addresses = [part for _, address in started for part in ("--node", address)]
        self.server = self.start_server(real_model(), *addresses, "--plan", "spread", "-c", 1024)

    def test_a_node_that_is_told_to_end_hands_over(self):
        expected = "".join(map(text_of, events(self.server.stream(STORY, **ANSWER))))
        for left, node in zip((2, 1), self.nodes):
            text, told = "", None
            last, gap_s = time.monotonic(), 0.0
            for event in events(self.server.stream(STORY, **ANSWER)):
                text += text_of(event)
                now = time.monotonic()
                gap_s, last = max(gap_s, now - last), now
                if told is None and len(text) > 100:
                    told = now
                    node.send(signal.SIGTERM)
            self.assertEqual(text, expected)
            self.assertEqual(node.wait(), 0)
            print(f"longest gap {gap_s:.2f} s, {left} nodes left")
            self.assertIn("leaves: it is being stopped", self.server.process.errors())
            self.assertIn(f"{left} stages ready", self.server.process.errors())
        self.assertNotIn("silent", self.server.process.errors())

    def test_a_second_signal_ends_it_at_once(self):
        """Nobody answers the leaving node: its coordinator is stopped."""
        self.server.process.pause()
        self.nodes[0].send(signal.SIGTERM)
        wait_for(lambda: "shutting down" in self.nodes[0].errors(), "it has heard the first one")
        self.nodes[0].send(signal.SIGTERM)
        self.assertEqual(self.nodes[0].wait(5), 128 + signal.SIGTERM)
        self.server.process.send(signal.SIGCONT)


class Restart(ShoalTestCase):
    def plan(self):
        path = os.path.join(self.folder, "state", "mesh.json")
        wait_for(lambda: os.path.exists(path), "the plan is remembered, a moment after it serves")
        with open(path, encoding="utf-8") as file:
            return json.load(file)

    def test_a_killed_coordinator_serves_again_with_what_it_remembers(self):
        started = [self.start_node("--model", real_model(), "--name", f"n{i}") for i in range(2)]
        addresses = [part for _, address in started for part in ("--node", address)]
        server = self.start_server(real_model(), *addresses, "--split", "20,10", "-c", 1024)
        expected = server.ask("Say hello.")
        before = self.plan()
        stream = events(server.stream(STORY, **ANSWER))
        read_text(stream, 4)
        began = time.monotonic()
        server.process.send(signal.SIGKILL)
        server.process.wait()
        with contextlib.suppress(OSError, http.client.HTTPException):
            self.assertNotIn("[DONE]", list(stream), "as if the answer were whole")
        again = Server(self, self.start_shoal("serve", "-c", 1024, "--listen", "127.0.0.1:0"))
        print(f"serves again {time.monotonic() - began:.2f} s after the kill")
        self.assertEqual(again.ask("Say hello."), expected)
        wait_for(lambda: self.plan()["epoch"] > before["epoch"], "the new plan is remembered")
        self.assertEqual(self.plan()["stages"], before["stages"])

    def test_a_plan_that_was_asked_for_otherwise_is_not_remembered(self):
        nodes = [self.start_node("--model", real_model(), "--name", name)[1] for name in ("a", "b")]
        order = [part for node in nodes for part in ("--node", node)]
        server = self.start_server(real_model(), *order, "--split", "20,10", "-c", 1024)
        again = self.serve_again(server, real_model(), *order, "--split", "10,20")
        wait_for(lambda: self.plan()["stages"][0]["end"] == 10, "the new split")
        order = [part for node in reversed(nodes) for part in ("--node", node)]
        again = self.serve_again(again, real_model(), *order, "--split", "10,20")
        wait_for(lambda: self.plan()["nodes"][0]["name"] == "b", "the new order")
        self.assertTrue(again.ask("Say hello."))

    def test_a_member_that_is_renamed_is_the_same(self):
        started = dict((name, self.start_node("--name", name)) for name in ("desk", "phone"))
        server = self.start_server(real_model(), "--plan", "spread", "-c", 1024)
        phone, address = started["phone"]
        self.output_of("nodes", "rename", "phone", "tablet")
        self.output_of("nodes", "rename", "desk", "phone")
        self.lose(phone)
        wait_for(lambda: len(self.plan()["stages"]) == 1, "the other one goes on alone")
        self.start_node(listen=address)
        wait_for(lambda: len(self.plan()["stages"]) == 2, "it has a part again")
        self.assertEqual(len(self.plan()["nodes"]), 2)
        self.output_of("nodes", "revoke", "tablet")
        wait_for(lambda: len(self.plan()["nodes"]) == 1, "it is forgotten")
        self.assertTrue(server.ask("Say hello."))

    def serve_again(self, server, *arguments):
        return self.serve_as_before(server, "-c", 1024, *arguments)

    def serve_as_before(self, server, *arguments):
        self.lose(server.process)
        return Server(self, self.start_shoal("serve", "--listen", "127.0.0.1:0", *arguments))

    def test_a_start_without_a_model_serves_with_the_options_of_the_last_one(self):
        said = ("--model", real_model(), "--log-level", "debug")
        (desk, _), (phone, _) = [self.start_node("--name", name, *said) for name in ("desk", "phone")]
        given = (
            "--kv-type", "q8_0", "--model-id", "mine", "--plan", "spread", "--spares", 1, "--wire", "f16",
        )  # fmt: skip
        server = self.start_server(real_model(), "-c", 512, *given)
        expected = server.ask("Say hello.")
        before = self.plan()
        again = self.serve_as_before(server)
        listen = ("--mesh-listen", self.mesh_listen())
        options = " ".join(map(str, ("as before: --context", 512, *given[:2], *listen, *given[2:])))
        self.assertIn(options + "\n", again.process.errors())
        self.assertEqual(self.model(again), ("mine", 512))
        self.assertEqual(again.ask("Say hello."), expected)
        self.assertIn("travel to stage 1 as f16", again.process.errors())
        wait_for(lambda: self.plan()["epoch"] > before["epoch"], "the new plan is remembered")
        # What is given anew wins, and is what the start after that one finds.
        again = self.serve_as_before(again, "-c", 1024, "--wire", "f32")
        self.assertIn("as before: --kv-type", again.process.errors())
        self.assertEqual(self.model(again), ("mine", 1024))
        self.assertNotIn("travel to stage 1 as", again.process.errors())
        wait_for(lambda: self.plan()["options"]["--context"] == "1024", "they are remembered")
        again = self.serve_as_before(again)
        self.assertEqual(self.model(again), ("mine", 1024))
        self.assertNotIn("travel to stage 1 as", again.process.errors())
        loaded = desk.errors().count(" packed, ")
        self.lose(phone)
        wait_for(lambda: "1 stages ready" in again.process.errors(), "the other one goes on alone")
        self.assertEqual(desk.errors().count(" packed, "), loaded, "it held the spare")
        # A model begins afresh.
        again = self.serve_as_before(again, real_model(), "--plan", "spread", *listen)
        self.assertNotIn("as before: --", again.process.errors())
        self.assertNotEqual(self.model(again), ("mine", 1024))

    def model(self, server):
        (one,) = server.get("/v1/models")[1]["data"]
        return one["id"], one["context_length"]

    def test_a_killed_coordinator_remembers_a_plan_over_members_that_nobody_named(self):
        for name in ("desk", "phone"):
            self.start_node("--name", name)
        server = self.start_server(real_model(), "--plan", "spread", "-c", 1024)
        expected = server.ask("Say hello.")
        before = self.plan()
        again = self.serve_again(server, "--mesh-listen", self.mesh_listen())
        self.assertEqual(again.ask("Say hello."), expected)
        wait_for(lambda: self.plan()["epoch"] > before["epoch"], "the new plan is remembered")
        self.assertEqual(self.plan()["stages"], before["stages"])
        # As before the restart, whoever joins later is welcome.
        self.lose(again.process)
        again = self.start_shoal(
            "serve", "--listen", "127.0.0.1:0", "--mesh-listen", self.mesh_listen(), "--pair"
        )
        again.read_line()
        code = re.search(r"--join (\S+)", again.errors())[1]
        state = os.path.join(self.folder, "late")
        self.start_shoal("node", "--listen", "127.0.0.1:0", "--state", state, "--join", code)
        here = re.compile("node .* is here(.*)")
        self.assertEqual(wait_for(lambda: here.search(again.errors()), "it has come")[1], "")

    def test_a_server_waits_for_its_members(self):
        node, address = self.start_node("--name", "desk")
        self.lose(node)
        server = self.start_shoal(
            "serve", real_model(), "--listen", "127.0.0.1:0", "-c", 512,
            "--mesh-listen", self.mesh_listen(), "--log-level", "debug",
        )  # fmt: skip
        wait_for(lambda: server.errors().count("not ready") >= 3, "it goes on asking")
        self.assertEqual(server.errors().count("warning not ready"), 1, "it says so once")
        self.start_node(listen=address)
        self.assertIn("serving", server.read_line())

    def lose(self, node):
        node.send(signal.SIGKILL)
        node.wait()

    def test_members_that_are_away_are_taken_in_when_they_are_back(self):
        (here, _), (away, address) = [self.start_node("--name", name) for name in ("desk", "phone")]
        self.lose(away)
        server = self.start_server(real_model(), "--plan", "spread", "-c", 1024)
        self.assertIn("1 stages ready", server.process.errors())
        expected = server.ask("Say hello.")
        self.start_node(listen=address)
        wait_for(lambda: "2 stages ready" in server.process.errors(), "it is taken in")
        self.assertEqual(server.ask("Say hello."), expected)
        self.lose(here)

    def test_a_newcomer_is_measured_while_the_others_serve(self):
        (_, _), (away, address) = [self.start_node("--name", name) for name in ("desk", "phone")]
        self.lose(away)
        server = self.start_server(real_model(), "-c", 1024)  # the best plan, by measurement
        expected = server.ask("Say hello.")
        self.start_node(listen=address)
        decided = re.compile("no new plan|2 stages ready")
        wait_for(lambda: decided.search(server.process.errors()), "it has been measured")
        said = server.process.errors()
        self.assertEqual(said.count("stages ready"), 1 + said.count("2 stages ready"))
        self.assertEqual(server.ask("Say hello."), expected)

    def test_a_node_that_a_remembered_plan_leaves_out_is_taken_in(self):
        nodes = [self.start_node("--name", name) for name in ("desk", "phone")]
        server = self.start_server(real_model(), "--plan", "spread", "-c", 1024)
        two = len(self.plan()["stages"])
        self.lose(nodes[1][0])
        wait_for(lambda: len(self.plan()["stages"]) < two, "the other one goes on alone")
        self.lose(server.process)
        self.start_node(listen=nodes[1][1])
        server = self.start_server(real_model(), "--plan", "spread", "-c", 1024)
        wait_for(lambda: len(self.plan()["stages"]) == two, "it has a part again")
        self.assertTrue(server.ask("Say hello."))

    def test_nodes_that_have_seen_a_later_clock_take_a_plan(self):
        _, address = self.start_node("--model", real_model(), "--name", "n0")
        server = self.start_server(real_model(), "--node", address, "-c", 1024)
        path = os.path.join(self.folder, "state", "mesh.json")
        later = {**self.plan(), "epoch": 1 << 60}
        with open(path, "w", encoding="utf-8") as file:
            json.dump(later, file)
        server = self.serve_again(server, real_model(), "--node", address)
        wait_for(lambda: self.plan()["epoch"] > 1 << 60, "the node has seen that epoch")
        os.remove(path)  # nothing but the clock is left, which is behind
        server = self.serve_again(server, real_model(), "--node", address)
        self.assertTrue(server.ask("Say hello."))

    def test_a_state_that_makes_no_sense_is_not_taken_up(self):
        state = os.path.join(self.folder, "state")
        os.mkdir(state, 0o700)
        with open(os.path.join(state, "mesh.json"), "w", encoding="utf-8") as file:
            file.write('{"version": 1, "nodes": 3}')
        self.assert_refused("serve", says=["MODEL", "mesh.json", "not the state of a mesh"])

    def test_a_remembered_option_is_checked_like_a_given_one(self):
        os.mkdir(self.state, 0o700)
        state = {
            "version": 1, "model": "/nowhere.gguf", "identity": "", "epoch": 1, "nodes": [], "stages": [],
            "options": {"--plan": "spread", "--spares": "3", "--listen": "nowhere", "--no-such": ""},
        }  # fmt: skip
        with open(os.path.join(self.state, "mesh.json"), "w", encoding="utf-8") as file:
            json.dump(state, file)
        self.assert_refused("serve", says=["mesh.json", "--spares: ", "3"])
        # Others than those that are remembered are not looked at.
        said = self.assert_refused("serve", "--spares", 1, says="/nowhere.gguf")
        self.assertIn("as before: --plan spread\n", said)
        said = self.assert_refused("serve", "--spares", 1, "--split", 1, says="/nowhere.gguf")
        self.assertNotIn("as before", said)


class Starting(ShoalTestCase):
    def test_clients_are_told_to_come_again_until_every_stage_has_answered(self):
        _, address = self.start_node("--store", os.path.join(self.folder, "store"))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = self.start_shoal(
            "serve", real_model(), "--listen", f"127.0.0.1:{port}", "--node", address, "--plan", "spread",
            "--max-upload", 80,
        )  # fmt: skip
        seen = wait_for(lambda: self.health(port), "the server is there")
        self.assertEqual(seen[0], 503)
        self.assertTrue(seen[1], "Retry-After")
        wait_for(lambda: "fetched" in str(self.health(port)[2].get("detail")), "it says how far it is")
        status, _, error = self.ask(port, "POST", "/v1/completions", {"prompt": "Hi", "max_tokens": 1})
        self.assertEqual((status, error["error"]["code"]), (503, "not_ready"))
        process.read_line()
        self.assertEqual(self.health(port)[0], 200)

    def ask(self, port, method, path, body=None):
        """(status, Retry-After, JSON)"""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.getheader("Retry-After"), json.loads(response.read())

    def health(self, port):
        with contextlib.suppress(ConnectionRefusedError):
            return self.ask(port, "GET", "/health")


class Queue(ShoalTestCase):
    def test_who_waits_for_too_long_is_told_to_come_again(self):
        server = self.start_server(real_model(), "--sessions", 1, "-c", 1024, "--queue-timeout", 1)
        first = server.stream(STORY, **{**ANSWER, "max_tokens": 1000})
        response = server.open("/v1/chat/completions", chat("Say hello."))
        self.assertEqual(response.status, 503)
        self.assertTrue(response.getheader("Retry-After"))
        self.assertIn("waited 1 s for memory", json.loads(response.read())["error"]["message"])
        first.close()
        first.connection.close()
        wait_for(lambda: server.running() == 0, "the session is free again")
        self.assertTrue(server.ask("Say hello."))


if __name__ == "__main__":
    run_tests()
