"""Answers of a name server, made by hand."""

import struct


def wire(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def record(owner, kind, ttl, data):
    return wire(owner) + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def message(name, kind, *records, flags=0x8180, number=7):
    head = struct.pack(">HHHHHH", number, flags, 1, len(records), 0, 0)
    return head + wire(name) + struct.pack(">HH", kind, 1) + b"".join(records)
