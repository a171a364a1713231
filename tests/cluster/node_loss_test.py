#!/usr/bin/env python3
"""Proves what a user of `shoal serve` sees when processes die in mid-answer: an error within the
promised time that names the node, a server that says so and comes back, nothing left behind.
"""

import os
import signal
import threading
import time

from shoal_process import (
    DEADLINE_S,
    ShoalTestCase,
    events,
    is_running,
    read_text,
    real_model,
    run_tests,
    text_of,
    wait_for,
)

NODES = ("local-0", "local-1", "local-2")  # first, middle and last stage
KILLED_S = 2.0  # design section 2: a lost node is noticed within this time
# Silence is noticed after the same time, counted from the last heartbeat; the rest is for the way
# of the error to the client on a busy machine.
STOPPED_S = 2.5
INTERRUPT_S = 3.0
ENDLESS = {"max_tokens": 4000, "logit_bias": {"0": -100, "2": -100}}  # its end tokens are 0 and 2


class NodeLoss(ShoalTestCase):
    def setUp(self):
        super().setUp()
        self.server = self.start_server(real_model(), "--local-nodes", 3)

    def start_answer(self):
        """The events behind the first few of an answer that does not end by itself."""
        stream = events(self.server.stream("Tell me a long story.", **ENDLESS))
        read_text(stream, 4)
        return stream

    def assert_ends_with_error(self, stream, node, started, limit_s):
        last = None
        for last in stream:
            pass
        took_s = time.monotonic() - started
        self.assertIsInstance(last, dict, "the stream ended as if the answer were whole")
        self.assertIn("error", last)
        self.assertIn(node, last["error"]["message"])
        for other in set(NODES) - {node}:
            self.assertNotIn(other, last["error"]["message"])
        print(f"{node}: error after {took_s:.2f} s")
        self.assertLess(took_s, limit_s)

    def assert_lost(self):
        status, health = self.server.get("/health")
        self.assertEqual(status, 503)
        self.assertNotEqual(health["status"], "ready")

    def assert_comes_back(self, expected):
        wait_for(self.server.is_ready, "/health says 200 again")
        self.assertEqual(self.server.ask("Say hello."), expected)

    def test_killed_nodes(self):
        expected = self.server.ask("Say hello.")
        for node in NODES:
            with self.subTest(node=node):
                stream = self.start_answer()
                old = self.server.process.nodes()[node]
                started = time.monotonic()
                os.kill(old, signal.SIGKILL)
                self.assert_ends_with_error(stream, node, started, KILLED_S)
                self.assert_lost()
                self.assert_comes_back(expected)
                self.assertNotEqual(self.server.process.nodes()[node], old)

    def test_a_request_during_the_loss_is_told_to_come_again(self):
        stream = self.start_answer()
        node = self.server.process.nodes()["local-1"]
        os.kill(node, signal.SIGSTOP)
        self.assert_ends_with_error(stream, "local-1", time.monotonic(), STOPPED_S)
        response = self.server.open("/v1/completions", {"prompt": "One,", "max_tokens": 1})
        self.assertEqual(response.status, 503)
        self.assertTrue(response.getheader("Retry-After"))
        self.assertIn(b"local-1", response.read())
        os.kill(node, signal.SIGKILL)
        wait_for(self.server.is_ready, "/health says 200 again")

    def test_stopped_nodes_that_go_on(self):
        expected = self.server.ask("Say hello.")
        for node in NODES:
            with self.subTest(node=node):
                stream = self.start_answer()
                pid = self.server.process.nodes()[node]
                started = time.monotonic()
                os.kill(pid, signal.SIGSTOP)
                self.assert_ends_with_error(stream, node, started, STOPPED_S)
                self.assert_lost()
                os.kill(pid, signal.SIGCONT)
                self.assert_comes_back(expected)
                self.assertEqual(self.server.process.nodes()[node], pid)

    def test_stopped_node_that_is_killed(self):
        expected = self.server.ask("Say hello.")
        stream = self.start_answer()
        pid = self.server.process.nodes()["local-1"]
        started = time.monotonic()
        os.kill(pid, signal.SIGSTOP)
        self.assert_ends_with_error(stream, "local-1", started, STOPPED_S)
        os.kill(pid, signal.SIGKILL)
        self.assert_comes_back(expected)

    def test_all_nodes_killed_at_once(self):
        expected = self.server.ask("Say hello.")
        stream = self.start_answer()
        started = time.monotonic()
        for pid in self.server.process.nodes().values():
            os.kill(pid, signal.SIGKILL)
        last = list(stream)[-1]
        self.assertLess(time.monotonic() - started, KILLED_S)
        self.assertIn("local-", last["error"]["message"])
        self.assert_comes_back(expected)

    def test_both_of_two_chats_hear_of_the_loss(self):
        streams = [self.start_answer() for _ in range(2)]
        self.assertEqual(self.server.running(), 2)
        started = time.monotonic()
        os.kill(self.server.process.nodes()["local-2"], signal.SIGKILL)
        for stream in streams:
            self.assert_ends_with_error(stream, "local-2", started, KILLED_S)
        wait_for(self.server.is_ready, "/health says 200 again")
        self.assertEqual(self.server.running(), 0)


class Clients(ShoalTestCase):
    """Several clients, and those that leave."""

    def setUp(self):
        super().setUp()
        self.server = self.start_server(real_model(), "--local-nodes", 2)

    def test_two_chats_at_once_get_what_each_gets_alone(self):
        questions = ("Count to ten.", "Name a colour.")
        alone = [self.server.ask(question) for question in questions]
        together = [None, None]

        def stream(i):
            response = self.server.stream(questions[i])
            together[i] = "".join(map(text_of, events(response)))

        threads = [threading.Thread(target=stream, args=(i,)) for i in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE_S)
        self.assertEqual(together, alone)

    def test_a_client_that_leaves_frees_its_session(self):
        for streamed in (True, False):
            with self.subTest(streamed=streamed):
                connection = self.server.connect()
                fields = {"prompt": "Once", "stream": streamed, **ENDLESS}
                self.server.send(connection, "/v1/completions", fields)
                wait_for(lambda: self.server.running() == 1, "the answer is under way")
                connection.close()
                wait_for(lambda: self.server.running() == 0, "the session is free again")
        self.assertTrue(self.server.ask("Say hello."))

    def test_more_chats_than_sessions_wait_their_turn(self):
        server = self.start_server(real_model(), "--sessions", 1, "-c", 256)
        expected = server.ask("Say hello.")
        streams = [server.stream("Say hello.") for _ in range(3)]
        for stream in streams:
            self.assertEqual("".join(map(text_of, events(stream))), expected)


class Endings(ShoalTestCase):
    """What is left of a server that is told, or made, to end in mid-answer."""

    def setUp(self):
        super().setUp()
        self.server = self.start_server(real_model(), "--local-nodes", 3)
        self.stream = events(self.server.stream("Tell me a long story.", **ENDLESS))
        read_text(self.stream, 4)
        self.nodes = self.server.process.nodes()
        self.assertEqual(sorted(self.nodes), list(NODES))
        self.assertEqual(len(os.listdir(self.runtime)), 1, "the folder of the nodes' sockets")

    def is_over(self):
        return not any(map(is_running, self.nodes.values()))

    def assert_ends_clean(self, number):
        started = time.monotonic()
        self.server.process.send(number)
        self.assertEqual(self.server.process.wait(), 0)
        took_s = time.monotonic() - started
        print(f"{number.name}: ended after {took_s:.2f} s")
        self.assertLess(took_s, INTERRUPT_S)
        self.assertTrue(self.is_over(), "a node outlived the server")
        self.assertEqual(os.listdir(self.runtime), [])
        rest = list(self.stream)
        self.assertNotIn("[DONE]", rest, "as if the answer were whole")
        self.assertIn("shutting down", rest[-1]["error"]["message"])

    def test_interrupt(self):
        self.assert_ends_clean(signal.SIGINT)

    def test_terminate(self):
        self.assert_ends_clean(signal.SIGTERM)

    def test_killed_server_takes_its_nodes_along(self):
        self.server.process.send(signal.SIGKILL)
        self.server.process.wait()
        wait_for(self.is_over, "the nodes end by themselves")


if __name__ == "__main__":
    run_tests()
