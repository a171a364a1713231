#!/usr/bin/env python3
"""Proves who may use `shoal serve`: API keys are made, shown once, checked, and taken away while it
runs; without one it does not listen beyond this machine; HTTPS works with a certificate of its own
and with given files, and slow or wrong handshakes disturb nobody.
"""

import http.client
import json
import os
import socket
import ssl
import stat
import subprocess

from shoal_process import DEADLINE_S, ShoalTestCase, chat, events, real_model, run_tests, text_of


class ApiAccess(ShoalTestCase):
    def setUp(self):
        super().setUp()
        self.state = os.path.join(self.folder, "state")

    def keys(self, *arguments):
        return self.output_of("keys", *arguments, SHOAL_STATE=self.state).strip()

    def refused_keys(self, *arguments, says):
        self.assert_refused("keys", *arguments, says=says, SHOAL_STATE=self.state)

    def serve(self, *arguments, listen="127.0.0.1:0"):
        """The port and scheme of a server."""
        server = self.start_shoal(
            "serve", real_model(), "--listen", listen, *arguments, SHOAL_STATE=self.state
        )
        line = server.read_line()
        scheme, _, rest = line.rpartition(" on ")[2].partition("://")
        self.server = server
        return scheme, int(rest.rpartition(":")[2].partition("/")[0])

    def ask(self, connection, key=None, path="/v1/models", body=None):
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        connection.request("GET" if body is None else "POST", path, body, headers)
        response = connection.getresponse()
        return response, json.loads(response.read())

    def get(self, port, key=None, path="/v1/models", body=None):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
        try:
            return self.ask(connection, key, path, body)
        finally:
            connection.close()

    def assert_wrong_key(self, port, key, **request):
        response, body = self.get(port, key, **request)
        self.assertEqual(response.status, 401, body)
        self.assertEqual(response.headers["WWW-Authenticate"], "Bearer")
        self.assertEqual(body["error"]["code"], "invalid_api_key")
        self.assertEqual(body["error"]["type"], "invalid_request_error")

    def test_keys_come_and_go_while_it_serves(self):
        _, port = self.serve()
        self.assertEqual(self.get(port)[0].status, 200, "on loopback, no keys mean no lock")
        key, other = self.keys("add", "laptop"), self.keys("add", "phone")
        self.assertRegex(key, r"^sk-shoal-[0-9a-f]{64}$")
        self.assertEqual(self.get(port, key)[0].status, 200)
        self.assertEqual(self.get(port, other)[0].status, 200)
        for wrong in (None, "", key[:-1], key + "0", key.upper()):
            self.assert_wrong_key(port, wrong)
        self.assert_wrong_key(port, None, path="/v1/chat/completions", body="x" * (1 << 20))
        self.assertEqual(self.get(port, path="/health?x=1")[0].status, 200)
        self.assert_wrong_key(port, None, path="/health/../v1/models")
        self.keys("remove", "phone")
        self.assert_wrong_key(port, other)
        self.assertEqual(self.get(port, key)[0].status, 200)
        path = os.path.join(self.state, "api-keys.json")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        with open(path, encoding="utf-8") as file:
            self.assertNotIn(key.removeprefix("sk-shoal-"), file.read())
        with open(path, "w", encoding="utf-8") as file:
            file.write('{"keys": [')
        self.assert_wrong_key(port, key)  # what cannot be read opens nothing
        self.assertNotIn(key, self.server.errors())

    def test_the_list_of_keys(self):
        self.keys("add", "b")
        self.keys("add", "a")
        self.assertEqual([k["name"] for k in json.loads(self.keys("list", "--json"))], ["b", "a"])
        self.assertEqual(len(self.keys("list").splitlines()), 2)
        self.refused_keys("add", "a", says=["'a'", "already"])
        self.refused_keys("add", "../a", says="letters")
        self.refused_keys("remove", "c", says="no key")

    def test_keys_made_at_the_same_moment_all_count(self):
        names = [f"k{i}" for i in range(8)]
        made = [self.start_shoal("keys", "add", name, SHOAL_STATE=self.state) for name in names]
        self.assertEqual([one.wait() for one in made], [0] * len(names))
        self.assertCountEqual([k["name"] for k in json.loads(self.keys("list", "--json"))], names)

    def test_without_keys_web_pages_of_others_are_no_local_programs(self):
        _, port = self.serve()
        def status(path="/v1/models", body=None, **headers):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
            self.addCleanup(connection.close)
            connection.request("GET" if body is None else "POST", path, body, headers)
            return connection.getresponse().status

        for host in ("localhost", f"127.0.0.1:{port}", "[::1]:80", "shoal.localhost:1", "LOCALHOST"):
            self.assertEqual(status(Host=host), 200, host)
            self.assertEqual(status(Host=host, Origin=f"http://{host}"), 200, host)
        for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "[::2]", "["):
            self.assertEqual(status(Host=host), 403, host)
            self.assertEqual(status(Origin=f"https://{host}"), 403, host)
        self.assertEqual(status(Origin="null"), 403)
        story = json.dumps(chat("Say hello."))
        self.assertEqual(status("/v1/chat/completions", story, Origin="https://evil.example"), 403)
        self.assertEqual(status("/health", Host="evil.example"), 200)
        self.keys("add", "a")
        self.assertEqual(status(Origin="https://a.example"), 401)

    def test_no_key_no_network(self):
        self.refused("--listen", "0.0.0.0:0", says=["0.0.0.0:0", "shoal keys add"])
        self.refused("--listen", "[::]:0", says=["[::]:0", "shoal keys add"])
        self.keys("add", "a")
        self.serve(listen="0.0.0.0:0")
        self.assertIn("without encryption", self.server.errors())

    def refused(self, *arguments, says):
        self.assert_refused("serve", real_model(), *arguments, says=says, SHOAL_STATE=self.state)

    def connect(self, port, context):
        connection = http.client.HTTPSConnection(
            "localhost", port, timeout=DEADLINE_S, context=context
        )
        self.addCleanup(connection.close)
        return connection

    def test_https_of_its_own(self):
        scheme, port = self.serve("--tls", "self")
        self.assertEqual(scheme, "https")
        certificate = os.path.join(self.state, "https-certificate.pem")
        key = os.path.join(self.state, "https-key.pem")
        self.assertEqual(stat.S_IMODE(os.stat(key).st_mode), 0o600)
        # One that says nothing and one that speaks plain HTTP, while others are served.
        silent = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
        self.addCleanup(silent.close)
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as plain:
            plain.sendall(b"GET /health HTTP/1.1\r\n\r\n")
            self.assertNotIn(b"HTTP/1.1 200", plain.recv(1000))
        context = ssl.create_default_context(cafile=certificate)
        connection = self.connect(port, context)
        self.assertEqual(self.ask(connection)[0].status, 200)
        self.assertEqual(self.ask(connection)[0].status, 200, "the connection stays")
        self.assertIn(connection.sock.version(), ("TLSv1.2", "TLSv1.3"))
        body = json.dumps(chat("Say hello.", stream=True))
        connection.request("POST", "/v1/chat/completions", body)
        answer = list(events(connection.getresponse()))
        self.assertEqual(answer[-1], "[DONE]")
        self.assertTrue("".join(map(text_of, answer)))
        # Refused in mid-body: the reply arrives whole, though the client still sends.
        late = self.connect(port, context)
        late.request("POST", "/v1/chat/completions", b"x" * (9 << 20))
        self.assertEqual(late.getresponse().status, 413)
        with self.assertRaises(ssl.SSLCertVerificationError):
            self.connect(port, ssl.create_default_context()).request("GET", "/health")
        old = ssl.create_default_context(cafile=certificate)
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            self.connect(port, old).request("GET", "/health")
        with open(certificate, "rb") as file:
            first = file.read()
        self.serve("--tls", "self")
        with open(certificate, "rb") as file:
            self.assertEqual(file.read(), first, "it is kept")
        # Unless it is not for where the server listens, or the key beside it is another one.
        self.keys("add", "a")
        self.serve("--tls", "self", listen="127.0.0.2:0")
        self.assertIn("IP Address:127.0.0.2", self.names_in(certificate))
        with open(key, "w", encoding="utf-8") as file:
            file.write("-----BEGIN PRIVATE KEY-----")
        _, port = self.serve("--tls", "self")
        context = ssl.create_default_context(cafile=certificate)
        self.assertEqual(self.ask(self.connect(port, context), path="/health")[0].status, 200)

    def test_https_for_all_addresses_is_for_each(self):
        self.keys("add", "a")
        self.serve("--tls", "self", listen="0.0.0.0:0")
        names = self.names_in(os.path.join(self.state, "https-certificate.pem"))
        here = subprocess.run(["hostname", "-I"], check=True, capture_output=True, text=True).stdout
        for address in [one for one in here.split() if "." in one][:1]:  # there may be none
            self.assertIn(f"IP Address:{address}", names)

    def names_in(self, certificate):
        shown = ["openssl", "x509", "-noout", "-ext", "subjectAltName", "-in", certificate]
        return subprocess.run(shown, check=True, capture_output=True, text=True).stdout

    def test_https_of_given_files(self):
        certificate, key = (os.path.join(self.folder, name) for name in ("c.pem", "k.pem"))
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test"]
            + ["-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
            check=True,
            capture_output=True,
        )
        scheme, port = self.serve("--tls-cert", certificate, "--tls-key", key)
        self.assertEqual(scheme, "https")
        connection = self.connect(port, ssl.create_default_context(cafile=certificate))
        self.assertEqual(self.ask(connection, path="/health")[0].status, 200)
        self.refused("--tls-cert", certificate, says=["--tls-key", "missing"])
        self.refused("--tls-cert", certificate, "--tls-key", certificate, says=certificate)
        self.refused(
            "--tls-cert", "/none.pem", "--tls-key", key, says=["/none.pem", "No such file"]
        )
        subprocess.run(
            ["openssl", "x509", "-in", certificate, "-signkey", key, "-days", "-1", "-out"]
            + [certificate],
            check=True,
            capture_output=True,
        )
        self.serve("--tls-cert", certificate, "--tls-key", key)
        self.assertIn("clients will refuse this certificate", self.server.errors())


if __name__ == "__main__":
    run_tests()
