"""A socket in front of another one: what a user gets who forwards a node's socket, or has a bad network."""

import contextlib
import queue
import socket
import threading
import time

RELAYED_BYTES = 1 << 16


class Relay:
    """Counts what comes back. With a delay, what is sent either way arrives so much later. A connection that
    is cut stays open, and nothing comes through any more. `loses()` is asked before anything is handed back:
    if it says so, that is lost, and the connection closed. `path` and `to` are paths of Unix sockets, or hosts
    and ports (0: any, then `path` says which)."""

    def __init__(self, test, path, to, delay_s=0.0, loses=lambda: False):
        self.returned = 0
        self._to, self._delay_s, self._loses = to, delay_s, loses
        self._family = socket.AF_UNIX if isinstance(to, str) else socket.AF_INET
        self._listening = socket.socket(self._family)
        self._listening.bind(path)
        self._listening.listen()
        self.path = self._listening.getsockname()
        self._open = [self._listening]
        self._accepted, self._cut = 0, set()
        test.addCleanup(self._close)
        threading.Thread(target=self._accept, daemon=True).start()

    def _close(self):
        for one in self._open:
            one.close()

    def _accept(self):
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            far = socket.socket(self._family)
            self._open += [near, far]
            try:
                far.connect(self._to)
            except OSError:  # nobody is there
                near.close()
                continue
            self._accepted += 1
            for source, sink, counts in ((near, far, False), (far, near, True)):
                on_its_way = queue.Queue()
                read = (self._accepted, source, sink, on_its_way, counts)
                threading.Thread(target=self._read, args=read, daemon=True).start()
                threading.Thread(target=self._send, args=(on_its_way, sink), daemon=True).start()

    def cut_newest(self):
        self._cut.add(self._accepted)

    def _read(self, number, source, sink, on_its_way, counts):
        data = b" "
        while data:
            try:
                data = source.recv(RELAYED_BYTES)
            except OSError:  # it left
                data = b""
            if counts and data and self._loses():
                data = b""
                for one in (source, sink):
                    with contextlib.suppress(OSError):  # it left
                        one.shutdown(socket.SHUT_RDWR)
            if number not in self._cut:
                self.returned += len(data) if counts else 0
                on_its_way.put((time.monotonic() + self._delay_s, data))

    def _send(self, on_its_way, sink):
        data = b" "
        while data:
            due_s, data = on_its_way.get()
            time.sleep(max(0.0, due_s - time.monotonic()))
            try:
                if data:
                    sink.sendall(data)
                else:
                    sink.shutdown(socket.SHUT_WR)
            except OSError:  # it left
                return
