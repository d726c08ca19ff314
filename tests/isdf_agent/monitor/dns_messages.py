"""Answers of a name server, byte for byte."""

import struct


def message(name, kind, answers, rcode=0, flags=0x8180):
    """An answer without compression; `answers` are (name, type, ttl, data) with data as bytes."""
    head = struct.pack(">HHHHHH", 7, flags | rcode, 1, len(answers), 0, 0)
    body = wire(name) + struct.pack(">HH", kind, 1)
    for owner, type_, ttl, data in answers:
        body += wire(owner) + struct.pack(">HHIH", type_, 1, ttl, len(data)) + data
    return head + body


def wire(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
