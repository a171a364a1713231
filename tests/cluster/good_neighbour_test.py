#!/usr/bin/env python3
"""Proves that a node obeys its device's owner: it pauses by hand or by policy, says why, hands over
what it was doing, and comes back; that a bad policy is refused with file, line and key; and that manual
pages and completions know every command and option that the help knows.
"""

import json
import os
import re
import subprocess

from shoal_process import (
    ShoalTestCase,
    events,
    read_text,
    real_model,
    run_tests,
    text_of,
    tiny_model,
    wait_for,
)


class Pauses(ShoalTestCase):
    def start_node_of(self, name, *arguments):
        """A node with a state folder of its own: process, address, folder."""
        state = os.path.join(self.folder, name)
        node, address = self.start_node("--name", name, *arguments, state=state)
        return node, address, state

    def logits(self, address):
        return self.run_shoal("logits", tiny_model("qwen2"), "--tokens", "1,2", "--node", address)

    def test_by_hand(self):
        node, address, state = self.start_node_of("n")
        self.assertEqual(self.logits(address).returncode, 0)
        self.output_of("node", "pause", "--state", state)
        wait_for(lambda: "paused by its owner" in self.logits(address).stderr, "it pauses")
        self.output_of("node", "resume", "--state", state)
        wait_for(lambda: self.logits(address).returncode == 0, "it resumes")
        self.assertEqual(os.stat(os.path.join(state, "node-control.sock")).st_mode & 0o777, 0o600)
        node.send(15)
        self.assertEqual(node.wait(), 0)
        self.assert_refused("node", "pause", "--state", state, says="nobody listens")

    def test_a_stream_goes_on_without_the_node_that_pauses(self):
        nodes = [self.start_node_of(name, "--model", real_model()) for name in ("a", "b")]
        addresses = [part for _, address, _ in nodes for part in ("--node", address)]
        server = self.start_server(real_model(), *addresses, "--plan", "spread", "-c", 512)
        fields = {"max_tokens": 120, "logit_bias": {"0": -100, "2": -100}}
        whole = server.ask("Tell me of the sea.", **fields)
        stream = events(server.stream("Tell me of the sea.", **fields))
        first = next(event for event in stream if text_of(event))
        read_text(stream, 3)
        self.output_of("node", "pause", "--state", nodes[0][2])
        rest = list(stream)
        self.assertEqual(rest[-1], "[DONE]", rest[-1])
        self.assertTrue(whole.endswith("".join(map(text_of, rest))))
        self.assertTrue(whole.startswith(text_of(first)))
        self.assertIn("paused by its owner", nodes[0][0].errors())

    def test_by_policy(self):
        state = os.path.join(self.folder, "n")
        os.mkdir(state, 0o700)
        file = os.path.join(state, "node.toml")
        with open(file, "w", encoding="utf-8") as out:
            out.write("cpu_share = 0.5\nleast_free_memory_mib = 16000000\n")
        _, address, _ = self.start_node_of("n")
        wait_for(lambda: "short of memory" in self.logits(address).stderr, "it pauses")
        self.assertIn("16000000", self.logits(address).stderr)

    def test_flags_win_over_the_file(self):
        state = os.path.join(self.folder, "n")
        os.mkdir(state, 0o700)
        with open(os.path.join(state, "node.toml"), "w", encoding="utf-8") as out:
            out.write("least_free_memory_mib = 16000000\n")
        _, address, _ = self.start_node_of("n", "--least-free-memory", 0)
        self.assertEqual(self.logits(address).returncode, 0)

    def test_bad_policies_are_named(self):
        file = os.path.join(self.folder, "policy.toml")
        for text, says in (
            ("cpu_share = 2", ["policy.toml:1", "cpu_share", "2"]),
            ("\nhours = ['25:00-26:00']", ["policy.toml:2", "hours", "25:00-26:00"]),
            ("batery = 3", ["policy.toml:1", "batery", "battery_least_percent"]),
            ("nice = 'much'", ["policy.toml:1", "nice"]),
        ):
            with open(file, "w", encoding="utf-8") as out:
                out.write(text)
            self.assert_refused("node", "--listen", "127.0.0.1:0", "--policy", file, says=says)
        self.assert_refused("node", "--policy", "/none.toml", says="/none.toml")


class Pages(ShoalTestCase):
    def setUp(self):
        super().setUp()
        self.share = os.path.join(self.folder, "share")
        self.output_of("generate", self.share)

    def read(self, name):
        with open(os.path.join(self.share, name), encoding="utf-8") as file:
            return file.read()

    def commands(self, *path):
        text = self.output_of(*path, "--help").partition("Subcommands:")[2]
        return re.findall(r"^  (\S+)", text, re.MULTILINE)

    def complete(self, *words):
        script = os.path.join(self.share, "bash-completion/completions/shoal")
        code = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shoal; '
        done = subprocess.run(
            ["bash", "-c", code + 'printf "%s\\n" "${COMPREPLY[@]}"', "-", script, *words],
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    def test_they_know_what_the_help_knows(self):
        commands = self.commands()
        self.assertIn("serve", commands)
        self.assertNotIn("generate", commands)
        self.assertEqual(sorted(self.complete("shoal", "")), sorted(commands))
        fish = self.read("fish/vendor_completions.d/shoal.fish")
        zsh = self.read("zsh/vendor-completions/_shoal")
        overview = self.read("man/man1/shoal.1").replace("\\-", "-")
        for command in commands:
            help_text = self.output_of(command, "--help")
            options = set(re.findall(r"^  (?:-\w,)?(--[a-z0-9-]+)", help_text, re.MULTILINE))
            self.assertIn("--help", options)
            page = self.read(f"man/man1/shoal-{command}.1").replace("\\-", "-")
            self.assertIn(f"shoal {command}", overview)
            self.assertLessEqual(options, set(self.complete("shoal", command, "-")), command)
            for option in options:
                self.assertIn(option, page, command)
                self.assertIn(f"'{option}:", zsh)
                self.assertIn(f" -l {option[2:]} ", fish)

    def test_completion_goes_down_and_knows_choices(self):
        self.assertEqual(self.complete("shoal", "ser"), ["serve"])
        self.assertEqual(self.complete("shoal", "keys", "a"), ["add"])
        self.assertIn("--json", self.complete("shoal", "keys", "list", "--"))
        self.assertEqual(self.complete("shoal", "serve", "--tls", ""), ["self"])
        self.assertEqual(self.complete("shoal", "serve", "--kv-type", ""), ["f16", "f32", "q8_0"])
        self.assertEqual(self.complete("shoal", "bench", "--threads", ""), ["auto"])
        for page in os.listdir(os.path.join(self.share, "man/man1")):
            self.assertNotIn("->", self.read(f"man/man1/{page}").replace("\\-", "-"), page)


if __name__ == "__main__":
    run_tests()
