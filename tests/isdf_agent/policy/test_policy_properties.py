"""Whatever services do, and in whatever order: what is in force depends on what is held alone."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isdf.errors import IsdfError
from isdf.model import PROTOCOLS, Flow, Line
from isdf_agent.dataplane.memory import MemoryDataplane, Packet
from isdf_agent.policy.grants import Grant, Limit
from isdf_agent.policy.ledger import MemoryLedger
from isdf_agent.policy.policy import Policy

pytestmark = pytest.mark.system

LINE = Line(8_000_000, 8_000_000, 1_200_000, 1_200_000)
VERBS = {"add_class": Limit(3), "add_class_member": Limit(8)}
PLACES = {"a": (0, 0), "b": (0, 1), "c": (5, 2)}
GRANTS = dict.fromkeys(PLACES, Grant(VERBS))

owners = st.sampled_from(list(GRANTS))
names = st.sampled_from(["x", "y"])
ports = st.sampled_from([None, "5", "1-9", "4-6", "5-20", "1-65535"])
addresses = ["192.0.2.1", "192.0.2.2", "198.51.100.1", "2001:db8::1"]
flows = st.builds(
    lambda proto, remote, port, local, local_port: Flow(
        **({"host": remote[1:]} if remote and remote[0] == "@" else {"remote": remote}),
        proto=proto, remote_port=port, local=local, local_port=local_port,
    ),
    st.sampled_from([None, "tcp", "udp"]),
    st.sampled_from([None, "192.0.2.1", "192.0.2.0/24", "192.0.0.0/16", "@h.example", "@*.example"]),
    ports,
    st.sampled_from([None, "10.0.0.1", "10.0.0.0/8"]),
    st.sampled_from([None, None, "5", "3-7"]),
)  # fmt: skip
packets = st.builds(
    Packet,
    st.sampled_from([6, 17, 1]),
    st.sampled_from(["10.0.0.1", "10.9.9.9", "172.16.0.1"]),
    st.sampled_from(addresses[:3]),
    st.sampled_from([3, 5, 8]),
    st.sampled_from([1, 5, 6, 9, 15, 30]),
)
operations = st.one_of(
    st.tuples(st.just("add_class"), owners, names, st.integers(100_000, 3_000_000)),
    st.tuples(st.just("add_class_member"), owners, names, flows),
    st.tuples(st.just("remove_class"), owners, names),
    st.tuples(st.just("forget"), owners, st.integers(0, 9)),
    st.tuples(st.sampled_from(["begin", "ready", "abort", "withdraw"]), owners),
    st.tuples(
        st.just("learn"),
        st.sampled_from(["h.example", "i.example", "o.test"]),
        st.sampled_from(addresses),
        st.just(60),
    ),
)


def start(ledger=None):
    dataplane = MemoryDataplane()
    clocks = lambda: 1000.0, lambda: 1e9
    policy = Policy(dataplane, LINE, ledger or MemoryLedger(), GRANTS.__getitem__, PLACES.get, *clocks)
    policy.restore()
    return policy, dataplane


def carry_out(policy, operation):
    verb, *args = operation
    try:
        if verb == "forget":
            leases = [m["lease"] for c in policy.list(args[0])["classes"] for m in c["members"]]
            if leases:
                policy.remove_class_member(args[0], leases[args[1] % len(leases)])
        else:
            getattr(policy, verb)(*args)
    except IsdfError:
        pass  # a refusal must leave no trace, which is what the comparison finds out


def in_force(dataplane):
    state = dataplane.state
    return (
        {c.label: c.rate for c in state.classes.values()},
        {match: state.classes[number].label for match, number in state.members.items()},
    )


def held(policy):
    """Everything that `list` tells, without the order in which it came to be."""
    listed = policy.list()["classes"]
    return sorted(({**c, "members": sorted(c["members"], key=lambda m: m["lease"])} for c in listed), key=repr)


@settings(max_examples=150, deadline=None)
@given(st.lists(operations, max_size=25))
def test_the_dataplane_is_what_a_fresh_start_from_the_ledger_makes(todo):
    ledger = MemoryLedger()
    policy, dataplane = start(ledger)
    for operation in todo:
        carry_out(policy, operation)
    again, twin = start(ledger)
    assert twin.state == dataplane.state
    assert again.list() == policy.list()


@settings(max_examples=150, deadline=None)
@given(st.lists(operations, max_size=25), st.lists(st.sampled_from(["ready", "abort"]), min_size=3, max_size=3))
def test_what_all_rounds_leave_fits_the_line_however_they_end(todo, ends):
    policy, _ = start()
    for operation in todo:
        carry_out(policy, operation)
    for owner, end in zip(GRANTS, ends, strict=True):
        carry_out(policy, (end, owner))
    rates = [(c["rate"], c["up"]) for c in policy.list()["classes"]]
    assert sum(down for down, _ in rates) <= LINE.down - LINE.base_down
    assert sum(up for _, up in rates) <= LINE.up - LINE.base_up


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_every_order_of_arrival_has_the_same_result(data):
    classes = data.draw(st.sets(st.tuples(owners, names), min_size=1, max_size=4))
    wishes = [
        ("add_class_member", *data.draw(st.sampled_from(sorted(classes))), flow)
        for flow in data.draw(st.lists(flows, max_size=8))
    ]
    answers = [("learn", "h.example", address, 60) for address in addresses]
    results = []
    for _ in range(2):
        policy, dataplane = start()
        for key in data.draw(st.permutations(sorted(classes))):
            policy.add_class(*key, 1_000_000)
        later = data.draw(st.permutations(wishes + answers))
        for operation in later + answers:  # an answer is heard only by those who asked before it
            carry_out(policy, operation)
        results.append((in_force(dataplane), held(policy)))
    assert results[0] == results[1]


def narrowness(flow):
    """How much a flow fixes, by its own text: the tester's understanding of 'narrower', apart from `Shape`."""

    def part(prefix):
        if prefix is None:
            return 0
        network = ipaddress.ip_network(prefix)
        return (network.prefixlen + 1) * 128 // (network.max_prefixlen + 1)

    remote, local = part(flow.remote), part(flow.local)
    has = [128 * (field is not None) for field in (flow.remote_port, flow.local_port, flow.proto)]
    return (-(remote + local + sum(has)), -remote, -local, *(-h for h in has))


def covered(ports, port):
    if ports is None:
        return True
    low, _, high = ports.partition("-")
    return int(low) <= port <= int(high or low)


def size(ports):
    low, _, high = (ports or "1").partition("-")
    return int(high or low) - int(low) + 1


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(owners, names, flows.filter(lambda f: f.host is None)), max_size=8), st.lists(packets))
def test_each_packet_is_in_the_class_of_the_first_of_its_claims(wishes, tried):
    policy, dataplane = start()
    claims = {}
    for owner, name, flow in wishes:
        policy.add_class(owner, name, 100_000)
        lease = policy.add_class_member(owner, name, flow)
        priority, position = PLACES[owner]
        order = (-priority, position, owner, name, lease.id)
        claims[lease.id] = (
            (narrowness(flow), size(flow.local_port) * size(flow.remote_port), order), flow, f"{owner}/{name}"
        )  # fmt: skip
    for packet in tried:
        meant = [
            (order, label)
            for order, flow, label in claims.values()
            if (flow.proto is None or PROTOCOLS[flow.proto] == packet.proto)
            and all(
                prefix is None or ipaddress.ip_address(address) in ipaddress.ip_network(prefix)
                for prefix, address in ((flow.local, packet.local), (flow.remote, packet.remote))
            )
            and (packet.proto != 1 or not (flow.local_port or flow.remote_port))
            and covered(flow.local_port, packet.local_port)
            and covered(flow.remote_port, packet.remote_port)
        ]
        found = dataplane.state.classes.get(dataplane.classify(packet))
        assert (found.label if found else None) == (min(meant)[1] if meant else None)
