#!/usr/bin/env python3
"""Proves the life of a mesh as its user sees it, with real processes: inviting, joining, serving over
nodes that nobody names, renaming and revoking them; and that secrets stay out of what is written."""

import base64
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import threading
import time

from relay import Relay
from shoal_process import (
    ShoalTestCase,
    events,
    is_running,
    read_text,
    real_model,
    run_tests,
    tiny_model,
    wait_for,
)

SLOW_PEERS = 8
DROPPED_S = 60
REVOKED_S = 3  # the promise is one second; the machine may be busy


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def with_port(code, port):
    """The same code of a coordinator with one address, at another port: net/identity/pairing_code.cc has the
    layout, which ends with the port and 3 bytes of a hash over all before."""
    digits = code.replace("-", "")
    body = base64.b32decode(digits + "=" * (-len(digits) % 8))[:-5] + port.to_bytes(2, "big")
    return base64.b32encode(body + hashlib.sha256(body).digest()[:3]).decode().rstrip("=")


class Pairing(ShoalTestCase):
    def nodes(self):
        return json.loads(self.output_of("nodes", "list", "--json"))["nodes"]

    def test_a_server_uses_the_nodes_that_joined_and_drops_one_that_is_revoked(self):
        model = real_model()
        (first, a), (second, b) = self.start_node("--name", "desk"), self.start_node("--name", "phone")
        self.assertEqual([(n["name"], n["address"]) for n in self.nodes()], [("desk", a), ("phone", b)])
        server = self.start_server(model, "--plan", "spread")
        self.assertIn("2 stages ready", server.process.errors())
        expected = server.ask("Say hello.", max_tokens=48)
        stream = events(server.stream("Say hello.", max_tokens=48))
        read_text(stream, 2)
        self.output_of("nodes", "revoke", "phone")
        started = time.monotonic()
        self.assertEqual(second.wait(), 1)
        took_s = time.monotonic() - started
        print(f"revoked node ended after {took_s:.2f} s")
        self.assertLess(took_s, REVOKED_S)
        self.assertIn("revoked", second.errors())
        self.assertEqual(list(stream)[-1], "[DONE]")  # the other one took over
        self.assertEqual(server.ask("Say hello.", max_tokens=48), expected)
        self.assertIn("was revoked", server.process.errors())
        self.assert_refused("logits", model, "--tokens", 1, "--node", b, says=b)
        self.assertEqual([n["revoked"] for n in self.nodes()], [False, True])
        self.assertTrue(is_running(first.pid))

    def start_behind_relay(self, loses):
        """A node that joins through a relay, the process that invited it, and how to start the node again. Once
        the coordinator has let a node in, `loses()` says whether what it sends is lost."""
        invited, code = self.invite()
        members = os.path.join(self.state, "coordinator", "members.json")
        host, port = self.mesh_listen().split(":")

        def lost():
            return bool(json.loads(read(members))["members"]) and loses()

        relay = Relay(self, ("127.0.0.1", 0), (host, int(port)), loses=lost)
        state = os.path.join(self.folder, "node")
        start = ["node", "--listen", "127.0.0.1:0", "--name", "desk", "--state", state]
        start += ["--join", with_port(code, relay.path[1])]
        return self.start_shoal(*start), invited, start

    def assert_joins_once(self, node, invited):
        self.assertIn("listening on", node.read_line())
        self.assertEqual(json.loads(invited.read_line())["node"]["name"], "desk")
        self.assertEqual([n["name"] for n in self.nodes()], ["desk"])

    def test_a_node_gets_in_though_the_answer_to_it_is_lost(self):
        sent = []

        def is_first():
            sent.append(True)
            return len(sent) == 1

        node, invited, _ = self.start_behind_relay(is_first)
        self.assert_joins_once(node, invited)
        self.assertIn("no answer to the request to join", node.errors())

    def test_a_node_that_ends_before_the_answer_gets_in_when_it_is_started_again(self):
        sent = threading.Event()
        ended = threading.Event()

        def node_ends_first():
            if ended.is_set():
                return False
            sent.set()
            return ended.wait(DROPPED_S)

        node, invited, start = self.start_behind_relay(node_ends_first)
        self.assertTrue(sent.wait(DROPPED_S))
        node.send(signal.SIGTERM)
        self.assertEqual(node.wait(), 128 + signal.SIGTERM)
        ended.set()
        self.assert_joins_once(self.start_shoal(*start), invited)

    def test_a_node_that_joins_while_a_server_runs_takes_part(self):
        self.start_node("--name", "desk")
        server = self.start_server(real_model(), "--plan", "spread", "-c", 512, "--pair")
        self.assertIn("1 stages ready", server.process.errors())
        expected = server.ask("Say hello.", max_tokens=8)
        code = re.search(r"--join (\S+)", server.process.errors())[1]
        state = os.path.join(self.folder, "late")
        self.start_shoal("node", "--listen", "127.0.0.1:0", "--name", "late", "--state", state, "--join", code)
        wait_for(lambda: "2 stages ready" in server.process.errors(), "the plan takes it in")
        self.assertEqual(server.ask("Say hello.", max_tokens=8), expected)

    def test_a_node_that_comes_back_at_another_address_is_used_there(self):
        self.start_node("--name", "desk")
        second, old = self.start_node("--name", "phone")
        server = self.start_server(real_model(), "--plan", "spread", "-c", 512)
        expected = server.ask("Say hello.", max_tokens=8)
        second.send(signal.SIGKILL)
        second.wait()
        wait_for(lambda: "1 stages ready" in server.process.errors(), "the other one takes over")
        self.start_shoal("node", "--listen", "127.0.0.1:0", "--state", self._node_states[old])
        wait_for(lambda: "it has moved to" in server.process.errors(), "the server hears of it")
        wait_for(
            lambda: "2 stages ready" in server.process.errors().split("it has moved to")[-1],
            "the plan takes it in",
        )
        self.assertEqual(server.ask("Say hello.", max_tokens=8), expected)

    def test_nodes_find_a_coordinator_that_has_moved(self):
        if not self.has_multicast():
            self.skipTest("this network takes no multicast")
        node, address = self.start_node("--name", "phone")
        with socket.create_server(("", 0)) as free:
            port = free.getsockname()[1]
        self.start_shoal(
            "serve", real_model(), "--listen", "127.0.0.1:0", "-c", 512,
            "--mesh-listen", f"0.0.0.0:{port}",
        ).read_line()
        contact = os.path.join(self._node_states[address], "node", "coordinator.json")
        wait_for(lambda: f":{port}" in read(contact), "it remembers where it found the server")
        self.output_of("nodes", "revoke", "phone")
        self.assertEqual(node.wait(), 1)  # it has heard of it, so it found the server
        self.assertIn("revoked", node.errors())

    def has_multicast(self):
        checks = json.loads(self.run_shoal("doctor", "--json").stdout)["checks"]
        return all(one["level"] == "good" for one in checks if one["check"] == "multicast")

    def test_names(self):
        _, address = self.start_node("--name", "desk")
        self.output_of("nodes", "rename", "desk", "table")
        self.output_of("logits", tiny_model("qwen2"), "--tokens", 1, "--node", "table")
        self.output_of("logits", tiny_model("qwen2"), "--tokens", 1, "--node", address)
        self.assert_refused("nodes", "rename", "desk", "x", says="desk")
        self.assert_refused("nodes", "rename", "table", "../x", says="../x")
        self.assert_refused("nodes", "revoke", "desk", says="desk")
        self.assertIn("table", self.output_of("nodes", "list"))

    def test_what_is_lost_or_damaged_is_named_with_the_way_out(self):
        node, address = self.start_node("--name", "desk")
        node.send(signal.SIGTERM)
        self.assertEqual(node.wait(), 0)
        state = self._node_states[address]
        # A device that only joined coordinates nothing, and is not made to by asking.
        self.assert_refused("nodes", "list", "--state", state, says="no mesh is coordinated")
        self.assertFalse(os.path.exists(os.path.join(state, "coordinator")))
        key = os.path.join(state, "node", "key.pem")
        with open(key, "w", encoding="utf-8") as file:
            file.write("-----BEGIN PRIVATE KEY-----")
        start = ["node", "--listen", "127.0.0.1:0", "--state", state]
        self.assert_refused(*start, says=[key, "--join CODE"])
        _, code = self.invite()
        again = self.start_shoal(*start, "--join", code)
        self.assertIn("listening on", again.read_line())
        members = os.path.join(self.state, "coordinator", "members.json")
        os.rename(members, members + ".away")
        self.assert_refused("nodes", "list", says=[members, "revoked"])  # nobody is admitted again
        os.rename(members + ".away", members)
        self.output_of("nodes", "list")
        authority = os.path.join(self.state, "coordinator", "authority", "key.pem")
        os.remove(authority)
        self.assert_refused("nodes", "list", says=[authority, "join anew"])

    def test_a_node_says_whether_its_coordinator_is_there(self):
        node, _ = self.start_node()
        wait_for(lambda: "does not answer" in node.errors(), "it is not there", deadline_s=DROPPED_S)
        self.start_server(real_model(), "--plan", "spread", "-c", 512)
        there = "the coordinator is there, at " + self.mesh_listen()
        wait_for(lambda: node.errors().count(there) == 2, "it is there again")

    def test_a_node_that_nobody_reaches_says_so_at_once(self):
        node, address = self.start_node()
        self.assertNotIn("--dial", node.errors())  # the coordinator is on this machine
        node.send(signal.SIGTERM)
        node.wait()
        contact = os.path.join(self._node_states[address], "node", "coordinator.json")
        with open(contact, encoding="utf-8") as file:
            moved = json.load(file)
        moved["addresses"] = ["198.51.100.1:7700"]
        with open(contact, "w", encoding="utf-8") as file:
            json.dump(moved, file)
        start = ["node", "--listen", address, "--state", self._node_states[address]]
        alone = self.start_shoal(*start)
        alone.read_line()
        port = address.rpartition(":")[2]
        self.assertIn(f"start it with --listen 0.0.0.0:{port}, or with --dial", alone.errors())

    def test_trap_a_code_used_or_damaged_stays_out_of_logs(self):
        invited, code = self.invite()
        damaged = ("A" if code[0] != "A" else "B") + code[1:]
        node = ["node", "--listen", "127.0.0.1:0", "--state", os.path.join(self.folder, "n")]
        self.assert_refused(*node, "--join", damaged, says="damaged")
        first = self.start_shoal(*node, "--join", code)
        self.assertIn("listening on", first.read_line())
        invited.wait()
        # Without the coordinator nobody can join, and the code stays out of the message.
        second = ["node", "--listen", "127.0.0.1:0", "--state", os.path.join(self.folder, "m")]
        said = self.assert_refused(*second, "--join", code, says=self.mesh_listen())
        self.assertNotIn(code, said)
        waiting, _ = self.invite()
        said = self.assert_refused(*second, "--join", code, says="used before")
        self.assertNotIn(code, said)
        # The device that it let in may start with the same command line again.
        first.send(signal.SIGTERM)
        self.assertEqual(first.wait(), 0)
        again = self.start_shoal(*node, "--join", code)
        self.assertIn("listening on", again.read_line())
        for process in (first, again, invited, waiting):
            self.assert_no_secrets(process.errors(), code)

    def assert_no_secrets(self, text, code):
        for secret in (code, code.replace("-", ""), code.lower(), "PRIVATE KEY"):
            self.assertNotIn(secret, text)

    def test_trap_a_copied_state_folder_is_no_second_node(self):
        """Field trap: a cloned home directory gives two nodes one identity."""
        node, address = self.start_node()
        state = self._node_states[address]
        self.assert_refused("node", "--listen", "127.0.0.1:0", "--state", state, says="another")
        # The same machine, another folder: the coordinator keeps whichever it heard of first.
        copy = os.path.join(self.folder, "copy")
        sockets = shutil.ignore_patterns("*.sock")
        shutil.copytree(state, copy, ignore=sockets)
        self.invite()
        both = [node, self.start_shoal("node", "--listen", "127.0.0.1:0", "--state", copy)]
        ended = wait_for(lambda: [one for one in both if not is_running(one.pid)], "one is refused")
        self.assertEqual([one.wait() for one in ended], [1])
        self.assertIn("another process with this node's identity", ended[0].errors())
        # Another machine. One without /etc/machine-id is like any other.
        moved = os.path.join(self.folder, "moved")
        shutil.copytree(state, moved, ignore=sockets)
        with open(os.path.join(moved, "node", "machine"), "r+", encoding="utf-8") as file:
            if not file.read():
                self.skipTest("this machine has no /etc/machine-id")
            file.seek(0)
            file.write("0123456789abcdef")
        self.assert_refused("node", "--listen", "127.0.0.1:0", "--state", moved, says="another machine")

    def test_peers_that_say_little_hold_nothing_up(self):
        """Slow-loris on gRPC, at the coordinator and at a node."""
        _, address = self.start_node("--name", "desk")
        server = self.start_server(real_model(), "--plan", "spread", "-c", 512)
        expected = server.ask("Say hello.", max_tokens=8)
        slow = []
        for peer in (address, self.mesh_listen()):
            host, port = peer.split(":")
            for says in (self.nothing, self.half_a_hello, self.tls_alone) * SLOW_PEERS:
                raw = socket.create_connection((host, int(port)))
                slow.append(says(raw))
                self.addCleanup(slow[-1].close)
        self.assertEqual(server.ask("Say hello.", max_tokens=8), expected)
        self.output_of("nodes", "rename", "desk", "table")
        for one in slow:
            one.settimeout(DROPPED_S)
            self.assertTrue(self.is_dropped(one))

    def nothing(self, raw):
        return raw

    def half_a_hello(self, raw):
        raw.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32))
        return raw

    def tls_alone(self, raw):
        """A client without a certificate that never speaks HTTP/2."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        return context.wrap_socket(raw)

    def is_dropped(self, one):
        try:
            while one.recv(4096):
                pass  # what the server says first
            return True
        except TimeoutError:
            return False
        except OSError:
            return True

    def test_old_tls_and_plain_text_are_refused(self):
        invited, _ = self.invite()
        host, port = self.mesh_listen().split(":")
        for newest, expected in ((ssl.TLSVersion.TLSv1_2, False), (ssl.TLSVersion.TLSv1_3, True)):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.maximum_version = newest
            context.set_alpn_protocols(["h2"])
            with self.subTest(newest=newest), socket.create_connection((host, int(port))) as raw:
                try:
                    with context.wrap_socket(raw) as secure:
                        self.assertEqual((secure.version(), expected), ("TLSv1.3", True))
                except OSError:  # ssl.SSLError is one
                    self.assertFalse(expected)
        with socket.create_connection((host, int(port))) as plain:
            plain.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
            plain.settimeout(30)
            try:
                answer = plain.recv(100)
            except ConnectionResetError:
                answer = b""
            # A TLS alert (type 21) or nothing, and no frame of HTTP/2.
            self.assertIn(answer[:1], (b"", b"\x15"))
        invited.send(signal.SIGTERM)
        invited.wait()


if __name__ == "__main__":
    run_tests()
