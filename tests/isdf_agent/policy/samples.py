"""A line, what four services may, and a flow with a packet of it: shared by the tests here."""

from isdf.model import Flow, Line
from isdf_agent.dataplane.memory import Packet
from isdf_agent.policy.grants import Grant, Limit
from isdf_agent.policy.policy import Policy

LINE = Line(down=8_000_000, up=8_000_000, base_down=1_200_000, base_up=1_200_000)
GRANTS = {
    "pay": Grant({"add_class": Limit(2), "add_class_member": Limit(5)}),
    "vpn": Grant({"add_class": Limit(9, 4_000_000), "add_class_member": Limit(9)}),
    "gold": Grant({"add_class": Limit(9), "add_class_member": Limit(9)}),
    "deaf": Grant({}),
}
PLACES = {"pay": (0, 0), "vpn": (0, 1), "gold": (7, 2), "deaf": (0, 3)}
WEB = Flow(remote="192.0.2.1", remote_port="443", proto="tcp")
PACKET = Packet(6, "192.168.1.2", "192.0.2.1", 40000, 443)


class Clock:
    """Monotonic seconds, and with `wall` the Unix seconds that somebody may set."""

    now, wall = 5_000.0, 1_790_000_000.0

    def __call__(self):
        return self.now

    def pass_by(self, seconds):
        self.now, self.wall = self.now + seconds, self.wall + seconds


def policy_of(dataplane, ledger, clock):
    """A policy that nobody has told to `restore` yet."""
    return Policy(dataplane, LINE, ledger, GRANTS.__getitem__, PLACES.get, clock, lambda: clock.wall)


def labels(dataplane):
    """Each match with the label of its class: what is the same whatever ids classes got."""
    return labels_of(dataplane.state)


def labels_of(state):
    return {match: state.classes[i].label for match, i in state.members.items()}
