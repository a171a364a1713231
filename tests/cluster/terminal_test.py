#!/usr/bin/env python3
"""Proves `shoal run` as people use it: one answer, a chat through pipes, and a chat on a terminal
(a pseudo-terminal, whose Ctrl-C and Ctrl-D are typed as bytes).
"""

import json
import os
import pty
import re
import select
import signal
import time

from shoal_process import (
    DEADLINE_S,
    ShoalTestCase,
    is_running,
    node_pids,
    real_model,
    run_tests,
    shoal_binary,
    wait_for,
)

CTRL_C = b"\x03"
CTRL_D = b"\x04"
PROMPT = "\n> "
GREEDY = ["--temperature", 0]
STORY = "Write a very long story about the sea."  # far longer than what the tests wait for
STATS = re.compile(
    r"\[prefill (\d+) tokens, \d+ tokens/s; decode (\d+) tokens, [\d.]+ tokens/s\]"
)
INTERRUPT_S = 3.0
LEFT_S = 10.0  # a story of the whole context takes a minute and more


class Pipes(ShoalTestCase):
    def setUp(self):
        super().setUp()
        self.model = real_model()

    def test_one_answer(self):
        done = self.run_shoal("run", self.model, "Say hello.", "--max-tokens", 6, *GREEDY)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(done.stdout.strip())
        self.assertTrue(done.stdout.endswith("\n"))
        self.assertLessEqual(int(STATS.search(done.stderr)[2]), 6)

    def test_json(self):
        command = ["run", self.model, "Say hello.", "--max-tokens", 6, *GREEDY]
        plain = self.output_of(*command)
        for nodes in ([], ["--local-nodes", 2]):
            with self.subTest(nodes=nodes):
                answer = json.loads(self.output_of(*command, "--json", *nodes))
                self.assertEqual(answer["text"] + "\n", plain)
                self.assertIn(answer["finish_reason"], ("stop", "length"))
                self.assertGreater(answer["prompt_tokens"], 0)
                self.assertLessEqual(answer["answer_tokens"], 6)
                self.assertGreater(answer["prefill_tokens_per_s"], 0)
                self.assertGreater(answer["decode_tokens_per_s"], 0)
                self.assertEqual(len(answer["stage_compute_ns"]), 2 if nodes else 1)
        self.assert_refused("run", self.model, "--json", says="PROMPT")

    def test_stages(self):
        arguments = ["--max-tokens", 2, "--split", "11,11,8", "--stages"]
        done = self.run_shoal("run", self.model, "Say hello.", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        for i, layers in enumerate(("[0, 11)", "[11, 22)", "[22, 30)")):
            self.assertIn(f"local-{i}: layers {layers}", done.stderr)
            self.assertIn(f"stage {i}: computed for", done.stderr)

    def test_raw_and_system_change_the_prompt(self):
        def prompt_tokens(*arguments):
            command = ["run", self.model, "Hello", "--json", "--max-tokens", 1, *arguments]
            return json.loads(self.output_of(*command))["prompt_tokens"]

        plain = prompt_tokens()
        self.assertEqual(prompt_tokens("--raw"), 1)
        self.assertGreater(prompt_tokens("--system", "You are a pirate. " * 20), plain)

    def test_chat(self):
        command = ["run", self.model, "--max-tokens", 6, *GREEDY]
        first = self.output_of(*command, "Say hello.")
        for lines in ("Say hello.\nAgain, in French.\n", "Say hello.\n\nAgain, in French."):
            with self.subTest(lines=lines):
                done = self.run_shoal(*command, stdin=lines)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertTrue(done.stdout.startswith(first), done.stdout)
                self.assertGreater(len(done.stdout), len(first))
                self.assertNotIn(PROMPT, done.stderr)
                # The second prompt holds the first turn, and the answer to it.
                prompts = [int(found[1]) for found in STATS.finditer(done.stderr)]
                self.assertEqual(len(prompts), 2)
                self.assertGreater(prompts[1], prompts[0] + 6)

    def test_chat_without_input(self):
        self.assertEqual(self.output_of("run", self.model), "")

    def test_a_long_chat_forgets_its_beginning(self):
        lines = "".join(f"Say the number {i}.\n" for i in range(8))
        done = self.run_shoal("run", self.model, "-c", 128, "--max-tokens", 16, *GREEDY, stdin=lines)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("the oldest question is forgotten", done.stderr)
        prompts = [int(found[1]) for found in STATS.finditer(done.stderr)]
        self.assertEqual(len(prompts), 8)
        self.assertLessEqual(max(prompts), 128 - 16)

    def test_chat_that_fails(self):
        done = self.run_shoal("run", self.model, "-c", 64, stdin="word " * 100 + "\nHello\n")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("context", done.stderr)

    def test_reader_that_leaves_ends_the_answer(self):
        command = self.start_shoal("run", self.model, STORY, *GREEDY)
        command.leave_after_first_byte()
        wait_for(lambda: not is_running(command.pid), "it ends as nobody reads", LEFT_S)


class Terminal(ShoalTestCase):
    def start(self, *arguments):
        return TerminalProcess(self, ["run", real_model(), *arguments, *GREEDY])

    def assert_nothing_left(self, nodes):
        wait_for(lambda: not any(map(is_running, nodes)), "the nodes end")
        self.assertEqual(os.listdir(self.runtime), [], "the folder of the nodes' sockets")

    def test_two_turns_and_ctrl_d(self):
        shoal = self.start("--max-tokens", "6", "--local-nodes", "2")
        shoal.read_until(PROMPT)
        nodes = node_pids(shoal.pid).values()
        self.assertEqual(len(nodes), 2)
        for line in ("Say hello.", "Again, in French."):
            shoal.type(line + "\n")
            shoal.read_until(line)
            self.assertRegex(shoal.read_until(PROMPT), STATS)
        shoal.type(CTRL_D)
        self.assertEqual(shoal.wait(), 0)
        self.assert_nothing_left(nodes)

    def test_interrupt_returns_to_the_prompt(self):
        for nodes in ([], ["--local-nodes", "2"]):
            with self.subTest(nodes=nodes):
                shoal = self.start(*nodes)
                shoal.read_until(PROMPT)
                for _ in range(3):
                    shoal.type(STORY + "\n")
                    shoal.read_until(STORY)
                    shoal.read_until(" a")
                    started = time.monotonic()
                    shoal.type(CTRL_C)
                    self.assertRegex(shoal.read_until(PROMPT), STATS)
                    self.assertLess(time.monotonic() - started, INTERRUPT_S)
                shoal.type(CTRL_D)
                self.assertEqual(shoal.wait(), 0)

    def test_interrupt_at_the_prompt(self):
        shoal = self.start("--local-nodes", "2", "--max-tokens", "120")
        shoal.read_until(PROMPT)
        nodes = node_pids(shoal.pid).values()
        shoal.type(CTRL_C)
        self.assertEqual(shoal.wait(), 130)
        self.assert_nothing_left(nodes)

    def test_interrupt_of_one_answer(self):
        shoal = self.start(STORY, "--local-nodes", "2")
        shoal.read_until(" a")
        nodes = node_pids(shoal.pid).values()
        shoal.type(CTRL_C)
        started = time.monotonic()
        self.assertEqual(shoal.wait(), 130)
        self.assertLess(time.monotonic() - started, INTERRUPT_S)
        self.assert_nothing_left(nodes)

    def test_a_message_that_is_too_long_is_forgotten(self):
        shoal = self.start("-c", "128", "--max-tokens", "4")
        shoal.read_until(PROMPT)
        shoal.type("word " * 150 + "\n")
        self.assertIn("the context length is 128", shoal.read_until(PROMPT))
        shoal.type("Say hello.\n")
        shoal.read_until("hello.")
        self.assertRegex(shoal.read_until(PROMPT), STATS)

    def test_node_killed_in_mid_answer(self):
        shoal = self.start("--local-nodes", "2", "--max-tokens", "120")
        shoal.read_until(PROMPT)
        shoal.type(STORY + "\n")
        shoal.read_until(STORY)
        shoal.read_until(" a")
        os.kill(node_pids(shoal.pid)["local-1"], signal.SIGKILL)
        said = shoal.read_until(PROMPT)
        self.assertRegex(said, STATS)
        self.assertIn("went on after losing a node", said)
        shoal.type("Say hello.\n")
        shoal.read_until("hello.")
        self.assertRegex(shoal.read_until(PROMPT), STATS)


class TerminalProcess:
    """A command with a pseudo-terminal as its controlling terminal."""

    def __init__(self, test, arguments):
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            try:
                os.execve(
                    shoal_binary(), ["shoal", *map(str, arguments)], test.environment(TERM="dumb")
                )
            finally:
                os._exit(127)
        self._pending = ""
        self._status = None
        test.addCleanup(self._end)

    def _end(self):
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._terminal)

    def type(self, text):
        os.write(self._terminal, text.encode() if isinstance(text, str) else text)

    def read_until(self, what, deadline_s=DEADLINE_S):
        """What comes up to and with `what`, terminal newlines made plain."""
        end = time.monotonic() + deadline_s
        while what not in self._pending:
            ready, _, _ = select.select([self._terminal], [], [], max(0, end - time.monotonic()))
            data = self._read() if ready else b""
            if not data:
                raise AssertionError(f"no {what!r} in {self._pending!r}")
            self._pending += data.decode(errors="replace").replace("\r", "")
        found, _, self._pending = self._pending.partition(what)
        return found + what

    def _read(self):
        try:
            return os.read(self._terminal, 4096)
        except OSError:  # Linux's way to say that the other side is closed
            return b""

    def wait(self):
        """The exit code; reads on, since a terminal that nobody reads blocks its writer."""

        def ended():
            if select.select([self._terminal], [], [], 0)[0]:
                self._read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid == 0:
                return False
            self._status = os.waitstatus_to_exitcode(status)
            return True

        wait_for(ended, "the command ends")
        return self._status


if __name__ == "__main__":
    run_tests()
