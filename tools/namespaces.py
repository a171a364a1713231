"""Network namespaces on one bridge, as hosts of a test: for mesh_hosts.py and predict.py. Needs
root."""

import subprocess

HOME = 254  # host number of this machine itself, on the bridge


def run(*command):
    subprocess.run(list(map(str, command)), check=True)


class Namespaces:
    """Hosts 0 to count - 1, each behind a link of its own of `rate` (as tc takes it), both ways. To use
    in a `with` statement: they go at its end."""

    def __init__(self, prefix, subnet, count, rate):
        self.prefix, self.subnet, self.count, self.rate = prefix, subnet, count, rate

    def __enter__(self):
        self.remove()
        try:
            self.make()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_):
        self.remove()

    def name(self, index):
        return f"{self.prefix}{index}"

    def address(self, index):
        """Of a host, or of this machine (HOME)."""
        return f"{self.subnet}.{index if index == HOME else index + 1}"

    def inside(self, index, command):
        """The command that runs `command` on a host, in the same process."""
        return ["ip", "netns", "exec", self.name(index), *map(str, command)]

    def set_link(self, index, state):
        """Pulls the cable of a host (`down`), or puts it back (`up`)."""
        run("ip", "link", "set", f"{self.prefix}v{index}", state)

    def make(self):
        bridge = f"{self.prefix}br"
        run("ip", "link", "add", bridge, "type", "bridge")
        run("ip", "link", "set", bridge, "up")
        run("ip", "addr", "add", f"{self.address(HOME)}/24", "dev", bridge)
        for i in range(self.count):
            space, veth = self.name(i), f"{self.prefix}v{i}"
            run("ip", "netns", "add", space)
            run("ip", "link", "add", veth, "type", "veth", "peer", "name", "eth0", "netns", space)
            run("ip", "link", "set", veth, "master", bridge, "up")
            run("ip", "-n", space, "addr", "add", f"{self.address(i)}/24", "dev", "eth0")
            run("ip", "-n", space, "link", "set", "eth0", "up")
            run("ip", "-n", space, "link", "set", "lo", "up")
            # A small bucket: what passes at once is not what the rate says.
            shape = ["root", "tbf", "rate", self.rate, "burst", "64kb", "latency", "400ms"]
            run(*self.inside(i, ["tc", "qdisc", "add", "dev", "eth0", *shape]))
            run("tc", "qdisc", "add", "dev", veth, *shape)

    def remove(self):
        # A namespace that is deleted lets go of its link in its own time.
        links = [f"{self.prefix}v{i}" for i in range(self.count)] + [f"{self.prefix}br"]
        for link in links:
            subprocess.run(["ip", "link", "del", link], stderr=subprocess.DEVNULL)
        for i in range(self.count):
            subprocess.run(["ip", "netns", "del", self.name(i)], stderr=subprocess.DEVNULL)
