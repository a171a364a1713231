#!/usr/bin/env python3
"""Proves that whatever a user gets wrong ends at once with exit code 1 (2: wrong usage), a message
on stderr that names the thing, and nothing on stdout: no hang, no crash, no empty success.
"""

import os
import struct
import subprocess

from shoal_process import (
    REFUSED_S,
    ShoalTestCase,
    chat,
    events,
    golden,
    real_model,
    run_tests,
    shoal_binary,
    tiny_model,
)

MODEL_COMMANDS = (
    ["inspect", "{}"],
    ["run", "{}", "Hello"],
    ["run", "{}", "Hello", "--local-nodes", 2],
    ["serve", "{}", "--listen", "127.0.0.1:0"],
    ["bench", "{}", "-p", 4, "-n", 1],
    ["logits", "{}", "--tokens", "1,2"],
    ["tokenize", "{}", "--jsonl"],
    ["detokenize", "{}", "--jsonl"],
)
SUBCOMMANDS = ("run", "serve", "node", "bench", "inspect", "logits", "tokenize", "detokenize", "plan")
SUPPORTED_FAMILIES = ("llama", "qwen2", "qwen3", "gemma2")


class ModelFiles(ShoalTestCase):
    def assert_no_model(self, path, says):
        for command in MODEL_COMMANDS:
            arguments = [path if part == "{}" else part for part in command]
            with self.subTest(command=command[0], path=path):
                self.assert_refused(*arguments, says=says)

    def write(self, name, data):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def test_output_that_cannot_be_written(self):
        model = tiny_model("llama-gqa")
        commands = ["logits", model, "--tokens", "1"], ["bench", model, "--json", "-p", "4", "-n", "1"]
        with open("/dev/full", "wb") as full:
            for arguments in commands:
                done = subprocess.run(
                    [shoal_binary(), *arguments],
                    stdout=full,
                    stderr=subprocess.PIPE,
                    text=True,
                    timeout=REFUSED_S,
                    env=self.environment(),
                )
                self.assertEqual(done.returncode, 1, arguments)
                self.assertIn("cannot write the output", done.stderr)

    def test_a_cache_folder_that_cannot_be_is_no_obstacle(self):
        command = ["logits", tiny_model("llama-gqa"), "--tokens", "1,2,3", "--top", "1"]
        expected = self.output_of(*command)
        for nodes in ([], ["--local-nodes", "2"]):
            self.assertEqual(self.output_of(*command, *nodes, XDG_CACHE_HOME="/dev/null"), expected)

    def test_missing_file(self):
        path = os.path.join(self.folder, "missing.gguf")
        self.assert_no_model(path, says=[path, "No such file"])

    def test_folder(self):
        self.assert_no_model(self.folder, says=[self.folder, "not a regular file"])

    def test_fifo(self):
        path = os.path.join(self.folder, "fifo.gguf")
        os.mkfifo(path)  # opening it for reading would wait for a writer
        self.assert_no_model(path, says=[path, "not a regular file"])

    def test_empty_file(self):
        path = self.write("empty.gguf", b"")
        self.assert_no_model(path, says=path)

    def test_text_file(self):
        path = self.write("notes.txt", b"This is no model.\n" * 100)
        self.assert_no_model(path, says=[path, "not a GGUF file"])

    def test_truncated_files(self):
        with open(tiny_model("qwen2"), "rb") as file:
            whole = file.read()
        tokens = ["--tokens", "1,2,3", "--top", 1]
        self.output_of("logits", self.write("whole.gguf", whole), *tokens)
        # Within the magic, the header, the metadata, the tensor list, the data.
        for size in (3, 4, 7, 8, 15, 20, 24, 40, 200, 1000, 2000, 4000, 50_000, len(whole) - 1):
            path = self.write("cut.gguf", whole[:size])
            for command in (["inspect", path], ["logits", path, *tokens]):
                with self.subTest(size=size, command=command[0]):
                    self.assert_refused(*command, says=path)
        self.assert_no_model(self.write("half.gguf", whole[: len(whole) // 2]), says="half.gguf")

    def test_hostile_counts(self):
        # magic, version 3, then counts of tensors and of metadata that no file can hold
        most = 2**64 - 1
        for tensors, metadata in ((most // 2, 0), (0, most // 2), (most, most), (2**32, 1)):
            data = b"GGUF" + struct.pack("<IQQ", 3, tensors, metadata) + bytes(64)
            self.assert_refused("inspect", self.write("counts.gguf", data), says="counts.gguf")

    def test_unsupported_family_lists_what_is_supported(self):
        with open(tiny_model("qwen2"), "rb") as file:
            model = self.write("bloom.gguf", file.read().replace(b"qwen2", b"bloom"))
        for command in (
            ["logits", model, "--tokens", 1],
            ["logits", model, "--tokens", 1, "--local-nodes", 2],
            ["bench", model, "-p", 4, "-n", 1],
            ["run", model, "Hello"],
        ):
            with self.subTest(command=command):
                self.assert_refused(*command, says=["bloom", *SUPPORTED_FAMILIES])
        self.output_of("inspect", model)  # reads what it cannot run

    def test_model_without_a_tokenizer(self):
        model = tiny_model("llama-gqa")
        for command in (["run", model, "Hello"], ["serve", model, "--listen", "127.0.0.1:0"]):
            self.assert_refused(*command, says=[model, "tokenizer"])


class Values(ShoalTestCase):
    def test_tokens_outside_the_vocabulary(self):
        model = tiny_model("qwen2")
        for nodes in ([], ["--local-nodes", 2]):
            for token in (160, -1, 2**31 - 1):
                with self.subTest(token=token, nodes=nodes):
                    command = ["logits", model, f"--tokens={token}", *nodes]
                    self.assert_refused(*command, says=[str(token), "160"])

    def test_more_tokens_than_the_context(self):
        model, tokens = tiny_model("qwen2"), golden("qwen2")["tokens"]
        joined = ",".join(map(str, tokens))
        for nodes in ([], ["--local-nodes", 2]):
            with self.subTest(nodes=nodes):
                command = ["logits", model, "--tokens", joined, "-c", len(tokens) - 1, *nodes]
                self.assert_refused(*command, says=[str(len(tokens)), str(len(tokens) - 1)])

    def test_context_beyond_the_model(self):
        command = ["logits", tiny_model("qwen2"), "--tokens", 1, "-c", 513]
        self.assert_refused(*command, says=["513", "512"])

    def test_broken_lines(self):
        self.assert_refused("tokenize", real_model(), "--jsonl", stdin="{not json\n", says="line 1")


class Context(ShoalTestCase):
    """A prompt that does not fit."""

    LONG = "word " * 300

    def test_run(self):
        for nodes in ([], ["--local-nodes", 2]):
            command = ["run", real_model(), self.LONG, "-c", 256, *nodes]
            self.assert_refused(*command, says=["prompt", "tokens", "256"])

    def test_serve(self):
        server = self.start_server(real_model(), "-c", 256)
        for path, body in (
            ("/v1/chat/completions", chat(self.LONG)),
            ("/v1/completions", {"prompt": self.LONG}),
        ):
            for streamed in (False, True):
                with self.subTest(path=path, streamed=streamed):
                    status, answer = server.post(path, {**body, "stream": streamed})
                    self.assertEqual(status, 400)
                    self.assertEqual(answer["error"]["code"], "context_length_exceeded")
                    self.assertEqual(answer["error"]["type"], "invalid_request_error")
                    self.assertIn("256", answer["error"]["message"])
        self.assertEqual(server.running(), 0)
        self.assertTrue(server.ask("Say hello."))

    def test_answer_ends_where_the_context_does(self):
        server = self.start_server(real_model(), "-c", 64)
        fields = {"max_tokens": 4000, "logit_bias": {"0": -100, "2": -100}}
        status, whole = server.post("/v1/completions", {"prompt": "One, two,", **fields})
        self.assertEqual(status, 200, whole)
        self.assertEqual(whole["choices"][0]["finish_reason"], "length")
        self.assertLessEqual(whole["usage"]["total_tokens"], 64)
        response = server.open("/v1/completions", {"prompt": "One, two,", "stream": True, **fields})
        self.assertEqual(list(events(response))[-1], "[DONE]")


class Usage(ShoalTestCase):
    def assert_wrong_usage(self, *arguments, says=""):
        done = self.run_shoal(*arguments)
        self.assertEqual((done.returncode, done.stdout), (2, ""), arguments)
        self.assertIn(says, done.stderr)
        self.assertIn("--help", done.stderr)

    def test_help(self):
        self.assertIn("run", self.output_of("--help"))
        for command in SUBCOMMANDS:
            out = self.output_of(command, "--help")
            self.assertIn(f"Usage: shoal {command}", out)

    def test_version(self):
        self.assertTrue(self.output_of("--version").strip())

    def test_wrong_usage(self):
        self.assert_wrong_usage()
        self.assert_wrong_usage("fly", says="fly")
        for command in SUBCOMMANDS:
            # What is required comes first, so that the flag is all that is wrong.
            required = {
                "node": [],
                "plan": ["--cluster", "file"],
                "render": ["--template", "file", "--jsonl"],
                "detokenize": ["model", "--jsonl"],
                "logits": ["model", "--tokens", 1],
            }.get(command, ["model"])
            self.assert_wrong_usage(command, *required, "--no-such-flag", says="--no-such-flag")
        for command in ("run", "bench", "inspect", "logits", "tokenize", "detokenize"):
            self.assert_wrong_usage(command, says="MODEL")
        self.assert_refused("serve", says="MODEL")  # nor was one served before
        model = tiny_model("qwen2")
        self.assert_wrong_usage("run", model, "hi", "--temperature", "warm", says="--temperature")
        self.assert_wrong_usage("run", model, "hi", "--top-p", 2, says="--top-p")
        self.assert_wrong_usage("logits", model, "--tokens", "one", says="--tokens")
        self.assert_wrong_usage("logits", model, "--tokens", 1, "--split", "0,4", says="--split")
        self.assert_wrong_usage("logits", model, "--tokens", 1, "--local-nodes", 0)
        both = ["--local-nodes", 2, "--node", "127.0.0.1:1"]
        self.assert_wrong_usage("logits", model, "--tokens", 1, *both, says="--node")

    def test_log_level(self):
        command = ["logits", tiny_model("qwen2"), "--tokens", 1, "--log-level", "loud"]
        self.assert_refused(*command, says=["loud", "debug"])


if __name__ == "__main__":
    run_tests()
