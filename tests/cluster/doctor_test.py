#!/usr/bin/env python3
"""Proves that `shoal doctor` sees what is wrong with the peers it is told to dial, with what the
state folder holds, and with the network and firewall of namespaces made for the purpose (for root
alone).
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import unittest

from shoal_process import ShoalTestCase, real_model, run_tests, shoal_binary

NAMESPACE_S = 120  # of a script in one


class DoctorTestCase(ShoalTestCase):
    def report_of(self, done):
        report = json.loads(done.stdout)
        self.assertEqual(done.returncode, 0 if report["ok"] else 1, done.stderr)
        for check in report["checks"]:
            self.assertEqual(bool(check["advice"]), check["level"] != "good", check)
        return report

    def examine(self, *arguments):
        return self.report_of(self.run_shoal("doctor", "--json", *arguments))

    def check_of(self, report, name):
        return next(c for c in report["checks"] if c["check"] == name)

    def assert_check(self, report, name, level, *says):
        check = self.check_of(report, name)
        self.assertEqual(check["level"], level, check)
        for part in says:
            self.assertIn(part, check["says"] + " -> " + check["advice"])


class Peers(DoctorTestCase):
    def test_a_peer_that_answers_and_one_that_does_not(self):
        _, address = self.start_node()
        with socket.socket() as dead:
            dead.bind(("127.0.0.1", 0))  # and does not listen
            gone = f"127.0.0.1:{dead.getsockname()[1]}"
            report = self.examine("--node", address, "--node", gone)
        peers = {c["says"].split(": ")[0]: c for c in report["checks"] if c["check"] == "peer"}
        self.assertEqual(peers[address]["level"], "good", peers)
        self.assertIn("a node", peers[address]["says"])
        self.assertEqual(peers[gone]["level"], "problem", peers)
        self.assertFalse(report["ok"])
        checks = {c["check"] for c in report["checks"]}
        self.assertLessEqual({"port", "network", "names", "memory", "disk", "cpu"}, checks)

    def test_what_takes_connections_and_is_no_shoal(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"127.0.0.1:{silent.getsockname()[1]}"
            self.assert_check(
                self.examine("--node", address), "peer", "problem", "not answer as Shoal", "port"
            )

    def test_a_name_that_does_not_resolve(self):
        report = self.examine("--node", "no-such-host.invalid:7701")
        self.assert_check(report, "peer", "problem", "no-such-host.invalid", "DNS")
        self.assert_refused("doctor", "--node", "relay:abc", says=["--node relay:abc", "HOST:PORT"])

    def test_a_node_of_another_mesh(self):
        _, address = self.start_node()
        other = os.path.join(self.folder, "other")
        invite = ["nodes", "invite", "--json", "--mesh-listen", "127.0.0.1:0"]
        self.start_shoal(*invite, "--state", other).read_line()
        report = self.examine("--state", other, "--node", address)
        self.assert_check(report, "peer", "problem", "a node of another mesh")

    def test_clocks_are_compared_with_a_server(self):
        for tls in ([], ["--tls", "self"]):
            with self.subTest(tls=tls):
                server = self.start_shoal(
                    "serve", real_model(), "--listen", "127.0.0.1:0", "-c", 256, *tls
                )
                port = server.read_line().rpartition(":")[2].partition("/")[0]
                report = self.examine("--server", f"127.0.0.1:{port}")
                self.assert_check(report, "peer", "good", "an HTTP API of Shoal")
                clock = self.check_of(report, "clock")["says"].replace(" 1 s", " 0 s")
                self.assertIn("the server's clock is 0 s", clock)
                server.send(signal.SIGTERM)
                self.assertEqual(server.wait(), 0)


class State(DoctorTestCase):
    def test_the_coordinator_of_a_node(self):
        _, address = self.start_node()
        state = self._node_states[address]
        where = self.mesh_listen()
        report = self.examine("--state", state)
        self.assert_check(report, "coordinator", "problem", where, "refused")
        self.assert_check(report, "identity", "good", "node of the mesh")
        self.start_server(real_model(), "-c", 256)
        self.assert_check(
            self.examine("--state", state), "coordinator", "good", where, "a coordinator"
        )
        own = self.examine()
        self.assert_check(own, "identity", "good", "coordinator of the mesh")
        self.assertNotIn("coordinator", {c["check"] for c in own["checks"]})
        self.assert_check(self.examine("--state", os.path.join(self.folder, "new")), "identity", "good")

    def test_an_identity_that_is_no_use(self):
        node, address = self.start_node()
        node.send(signal.SIGTERM)
        node.wait()
        folder = os.path.join(self._node_states[address], "node")

        def spoiled(name, text):
            state = os.path.join(self.folder, f"spoiled-{name}")
            shutil.copytree(folder, os.path.join(state, "node"))
            os.chmod(state, 0o700)
            with open(os.path.join(state, "node", name), "w", encoding="utf-8") as file:
                file.write(text)
            return self.examine("--state", state)

        damaged = spoiled("key.pem", "-----BEGIN PRIVATE KEY-----")
        self.assert_check(damaged, "identity", "problem", "key.pem", "--join CODE")
        contact = spoiled("coordinator.json", "{")
        self.assert_check(contact, "coordinator", "problem", "coordinator.json", "--join CODE")
        revoked = spoiled("revoked", self.member_id() + "\n")
        self.assert_check(revoked, "identity", "problem", "revoked", "--join CODE")
        if os.path.exists("/etc/machine-id"):
            moved = spoiled("machine", "0123456789abcdef")
            self.assert_check(moved, "identity", "problem", "another machine", "--join CODE")

    def member_id(self):
        return json.loads(self.output_of("nodes", "list", "--json"))["nodes"][0]["id"]


@unittest.skipUnless(
    os.geteuid() == 0 and shutil.which("unshare") and shutil.which("ip"), "needs root and iproute2"
)
class Namespaces(DoctorTestCase):
    def examine_after(self, script, *arguments):
        """The report of a doctor in a network of its own, once the shell's `script` has run there."""
        doctor = ["doctor", "--json", *arguments]
        return self.report_of(
            subprocess.run(
                ["unshare", "-n", "sh", "-ec", f'{script}\n"$@"', "sh", shoal_binary(), *doctor],
                capture_output=True,
                text=True,
                timeout=NAMESPACE_S,
                env=self.environment(),
                cwd=self.folder,
            )
        )

    def need_nft(self):
        made = ["unshare", "-n", "nft", "add table inet shoal"]
        if not shutil.which("nft") or subprocess.run(made, capture_output=True).returncode != 0:
            self.skipTest("no nftables here")

    def test_no_network(self):
        for script, multicast in (("", "none is up"), ("ip link set lo up", "")):
            with self.subTest(script=script):
                report = self.examine_after(script)
                self.assert_check(report, "network", "problem", "no address")
                self.assertIn(multicast, self.check_of(report, "multicast")["says"])
                self.assertNotIn("Success", json.dumps(report))

    def test_a_firewall_that_lets_nothing_in(self):
        self.need_nft()
        chain = "nft add table inet f; nft 'add chain inet f in {{ type filter hook input priority 0; policy {}; }}'"
        report = self.examine_after(chain.format("drop"))
        self.assert_check(report, "firewall", "warning", "inet f in", "TCP 7700", "UDP 7700")
        self.assert_check(self.examine_after(chain.format("accept")), "firewall", "good")

    def test_large_packets_that_get_lost(self):
        """On loopback a message of some kilobytes is one packet."""
        self.need_nft()
        script = f"""
            ip link set lo up
            ip link set lo gso_max_segs 1
            rm -f {self.folder}/invited
            "$1" nodes invite --json --mesh-listen 127.0.0.1:7700 >{self.folder}/invited &
            trap "kill $!" EXIT
            until [ -s {self.folder}/invited ]; do sleep 0.1; done
        """
        black_hole = script + """
            nft add table ip f
            nft 'add chain ip f in { type filter hook input priority 0; }'
            nft add rule ip f in meta length '>' 1000 drop
        """
        for loses, expected in ((script, "good"), (black_hole, "problem")):
            report = self.examine_after(loses, "--node", "127.0.0.1:7700")
            self.assert_check(report, "peer", expected, "a coordinator")
        self.assert_check(report, "peer", "problem", "large packets are lost", "MTU")


if __name__ == "__main__":
    run_tests()
