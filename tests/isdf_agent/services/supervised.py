"""A supervisor in memory: procd and the policy do what a test says."""

from isdf.loop import Loop
from isdf_agent.services.supervisor import Supervisor


class FakeProcd:
    def __init__(self):
        self.instances = {}
        self.refuse = None
        self.away = False  # it answers no list, and keeps what it is asked until `back`
        self.kept = []

    def set(self, name, instance, done):
        def do():
            if not self.refuse:
                shown = {"running": True, "pid": 1000 + len(self.instances), "respawn": {"retry": 4}}
                self.instances[name] = shown | {"env": instance["env"], "command": instance["command"]}
            done(self.refuse)

        self._ask(do)

    def delete(self, name, done):
        def do():
            if not self.refuse:
                self.instances.pop(name, None)
            done(self.refuse)

        self._ask(do)

    def list(self, done):
        self._ask(lambda: done(None if self.away else {name: dict(shown) for name, shown in self.instances.items()}))

    def back(self):
        """It answers what it was asked meanwhile."""
        self.away = False
        kept, self.kept = self.kept, []
        for do in kept:
            do()

    def _ask(self, do):
        self.kept.append(do) if self.away else do()


class FakeOwners:
    def __init__(self):
        self.log = []

    def begin(self, owner):
        self.log.append(("begin", owner))

    def ready(self, owner):
        self.log.append(("ready", owner))

    def abort(self, owner):
        self.log.append(("abort", owner))

    def withdraw(self, owner):
        self.log.append(("withdraw", owner))


class Router:
    """A supervisor with its fakes; `results` collects what each operation came to."""

    def __init__(self, tmp_path, ready_timeout=30.0, procd=None):
        self.loop, self.procd, self.owners = Loop(), procd or FakeProcd(), FakeOwners()
        (tmp_path / "passwd").write_text(
            "root:x:0:0:root:/root:/bin/ash\n"
            "isdf-tv:x:32768:32768:tv:/var/run:/bin/false\nisdf-vpn:x:32769:32769:vpn:/var/run:/bin/false\n"
        )
        self.supervisor = Supervisor(
            self.procd, self.owners, self.loop, folder=tmp_path / "services", notes=tmp_path / "services.json",
            ubus=tmp_path / "ubus.sock", passwd=tmp_path / "passwd", ready_timeout=ready_timeout,
        )  # fmt: skip
        self.results = []
        self.replies = []

    def start(self, version="1.0.0", config=None, name="tv"):
        self.supervisor.start(name, version, config or {"rate": 1}, self.results.append)

    def start_and_ready(self, version="1.0.0", name="tv"):
        self.start(version, name=name)
        self.supervisor.config(name, None, self.replies.append)
        self.supervisor.ready(name, self.replies[-1]["revision"])

    def hold(self, version="1.0.0"):
        self.supervisor.hold("tv", version, {"rate": 1}, self.results.append)

    def state(self, name="tv"):
        return self.supervisor.listing()[name]["state"]
