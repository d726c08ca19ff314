"""Members that follow a host name: which addresses they have, and for how long."""

from isdf.model import Flow


def test_a_host_is_followed_through_its_answers(policy, dataplane, clock):
    policy.add_class("pay", "c", 1_000_000)
    policy.add_class_member("pay", "c", Flow(host="tv.example"))
    policy.add_class_member("pay", "c", Flow(host="*.cdn.example", proto="udp"))
    assert policy.hosts_wanted() == {"tv.example", "*.cdn.example"}
    assert not dataplane.state.members
    policy.learn("tv.example", "192.0.2.1", 5)
    policy.learn("tv.example", "2001:db8::1", 5)
    policy.learn("a.b.cdn.example", "192.0.2.7", 5)
    policy.learn("cdn.example", "192.0.2.8", 5)
    policy.learn("other.example", "192.0.2.9", 5)
    assert {m.remote for m in dataplane.state.members} == {"192.0.2.1", "2001:db8::1", "192.0.2.7"}
    clock.pass_by(1000)
    policy.learn("tv.example", "192.0.2.2", 5)
    clock.pass_by(900)
    policy.tick()
    assert {m.remote for m in dataplane.state.members if m.proto is None} == {"192.0.2.2"}
    clock.pass_by(9000)
    policy.tick()
    assert {m.remote for m in dataplane.state.members if m.proto is None} == {"192.0.2.2"}, "the last is kept"


def test_answers_are_bounded_and_nonsense_is_not_believed(policy, dataplane):
    policy.add_class("pay", "c", 1_000_000)
    policy.add_class_member("pay", "c", Flow(host="tv.example"))
    for address in ("127.0.0.1", "224.0.0.1", "0.0.0.0", "::1", "::ffff:192.0.2.1", "192.0.2.0/24", "x", "fe80::1"):
        policy.learn("tv.example", address, 60)
    assert not dataplane.state.members
    for n in range(300):
        policy.learn("tv.example", f"10.0.{n // 256}.{n % 256}", 60 + n)
    assert len(dataplane.state.members) == 64


def test_an_answer_for_a_name_that_nobody_wants_costs_nothing(policy, monkeypatch):
    policy.add_class("pay", "sites", 1_000_000)
    policy.add_class_member("pay", "sites", Flow(host="tv.example"))
    monkeypatch.setattr(policy, "_commit", None)
    policy.learn("other.example", "192.0.2.1", 60)
