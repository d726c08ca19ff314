"""The attack table: each attack by its name, and what it tries. A test tries it; docs/security.md says what follows.

As a program: exit status 0 when the outcomes in build/attacks.json are those of all attacks, and each was refused.
"""

import json
import sys
from pathlib import Path

OUTCOMES = Path(__file__).parents[2] / "build" / "attacks.json"

ATTACKS = {
    # What an assignment may be
    "signature-by-another-key": "an assignment signed by a key that this router does not know",
    "signature-under-anothers-fingerprint": "the same, by a key that calls itself as the manager's",
    "signature-by-the-catalogue-key": "an assignment signed by the key that vouches for code",
    "assignment-of-another-device": "what the manager signed for the neighbour",
    "assignment-of-an-older-serial": "what the manager signed for this router yesterday",
    "assignment-of-the-same-serial": "another assignment under the serial of the one in force",
    "assignment-expired": "an assignment whose time is over",
    "assignment-from-the-future": "an assignment that begins in two days",
    "assignment-changed-by-one-byte": "a bit changed on the way",
    "assignment-with-unsigned-words": "words of one's own beside the signature",
    "assignment-with-a-key-twice": "a signed text that two programs could read in two ways",
    "assignment-nested-without-end": "a configuration of lists in lists in lists",
    "assignment-too-long": "more than a router has memory for",
    # What a feed may be
    "index-by-another-key": "a package index signed by a key that this router does not know",
    "index-of-another-customer": "the neighbour's package index, signed by the manager",
    "index-older-and-signed": "this router's own package index of yesterday",
    "index-new-with-an-old-package": "yesterday's package under today's name",
    "index-without-a-hash": "a signed index that does not say which package it means",
    "package-changed-by-one-byte": "a bit changed on the way",
    "higher-version-in-another-feed": "a higher version of a service in another feed that the router knows",
    # A stolen assignment key
    "package-never-signed": "code that the catalogue key never signed, in an assignment and an index that are signed",
    "package-with-wider-limits": "a published service that may do more than it was published with",
    "package-under-anothers-signature": "one service's code under another's name and signature",
    # Both keys stolen: a package can still be no more than a service
    "ipk-with-a-foreign-file": "a file outside of the service's folder",
    "ipk-with-anothers-file": "a file in the folder of another service",
    "ipk-with-an-absolute-path": "a name in the archive that begins at the root",
    "ipk-with-a-dotted-path": "a name in the archive that climbs out of its folder",
    "ipk-with-a-symlink": "a link out of the folder, and a file through it",
    "ipk-with-a-hard-link": "a second name for a file of the system",
    "ipk-with-a-device": "a device file of the flash",
    "ipk-with-a-setuid-bit": "a program that runs as root whoever starts it",
    "ipk-that-closes-a-folder-of-the-system": "the folders above the service's own, with modes that lock others out",
    "ipk-with-bytecode": "files where the router puts its own bytecode, and from where it takes it away",
    "ipk-with-anothers-owner": "a file that belongs to a service's user",
    "ipk-with-a-postinst": "a script of its own that runs as root when the package is installed",
    "ipk-with-a-preinst": "a script that runs as root before",
    "ipk-with-conffiles": "a list of files that opkg shall keep",
    "ipk-with-a-uci-defaults-script": "a script that runs as root at the next boot",
    "ipk-with-an-init-script": "a script that runs as root at every boot",
    "ipk-with-an-acl-file": "rights on the bus that nobody gave it",
    "ipk-with-anothers-user": "the user of another service",
    "ipk-with-the-user-root": "the user root",
    "ipk-named-as-a-system-package": "the name of a package that the router has",
    "ipk-with-a-foreign-dependency": "a package of another feed that shall come along",
    "ipk-that-replaces-another": "a claim to stand in for a package that the router has",
    "ipk-with-a-field-twice": "a control file that two programs read in two ways",
    "ipk-with-an-entry-twice": "an archive with two files of one name",
    "ipk-with-an-outer-entry-twice": "a package with two archives of files",
    "ipk-of-another-version": "an older version inside than outside",
    "ipk-that-is-a-gzip-bomb": "a few kilobytes that unpack to more than the router's memory",
    # The network, and whoever answers in the manager's place
    "answer-without-end": "an assignment, an index, a package that never end",
    "answer-of-a-chunk-without-end": "an answer in pieces, one of which never ends",
    "answer-of-one-byte-a-second": "the same, as slowly as a connection bears",
    "answer-404": "nothing is there",
    "answer-500": "the manager failed",
    "connection-closed": "no answer at all",
    "half-a-file": "an answer that breaks off",
    "redirect-to-another-host": "an answer that sends the router elsewhere",
    "answer-of-a-captive-portal": "a page of HTML with status 200",
    # Room
    "flash-full": "a flash that is full, at each write",
    "memory-full": "a memory file system that is full, at each write",
    # The push
    "push-forged": "a push by somebody who does not have the device's key",
    "push-of-another-device": "a push to the neighbour",
    "push-truncated": "a push that is cut, or too long",
    "push-replayed": "a push that was heard before",
    "push-flood": "a hundred thousand datagrams of all these kinds",
    "push-recorded-before-a-reboot": "a push that was heard before the router forgot it",
    # Time
    "clock-at-1970": "a router that has lost its clock",
    "clock-at-2037": "a forged time server",
    "manager-blocked-for-a-month": "a manager that cannot be reached",
    "answer-304-for-ever": "a manager that seems to have nothing new for a month",
    # What a home says
    "report-replayed": "a report that was sent before",
    "report-replayed-after-a-restart": "the same, when the manager has forgotten",
    "report-changed": "a report changed on its way",
    "report-of-another-device": "a report in the name of the neighbour",
    "assignment-read-by-a-stranger": "a question for what the neighbour has bought",
    "feed-secret-guessed": "a guess at the path of the neighbour's feed",
    # Enrolment, keys and TLS
    "claim-code-used-by-a-second-device": "another router with a claim code that was used",
    "claim-code-wrong": "a claim code that nobody gave out, or a mistyped one",
    "replaced-router-comes-back": "a router whose place another one has taken",
    "man-in-the-middle-with-keys-of-his-own": "somebody between a new router and its manager, who says that he is it",
    "man-in-the-middle-with-the-true-keys": "the same, who has the manager's statement and a certificate of his own",
    "man-in-the-middle-with-keys-that-were-replaced": "the same, with old keys of the manager's and a stolen authority",
    "keys-by-the-assignment-key": "a keys statement by whoever stole the assignment key",
    "keys-of-another-catalogue-key": "a keys statement by a catalogue key of one's own",
    "keys-of-an-older-version": "the keys statement of before a rotation",
    "keys-of-the-same-version": "two keys statements of one version",
    "tls-by-another-authority": "somebody between an enrolled router and its manager",
    "tls-of-another-host": "another server of the same ISP",
    "tls-by-an-authority-that-was-replaced": "a certificate of the authority that was stolen and replaced",
    "tls-stripped": "somebody who answers without TLS",
    # A service on the router
    "service-stops-another": "another service",
    "service-starts-a-process-as-root": "procd",
    "service-lets-the-router-pull": "delivery",
    "service-calls-the-store": "what only the customer may do",
    "service-forges-events": "an event in the name of the agent, to another service",
    "service-listens-to-events": "all events of the bus",
    "service-listens-to-processes": "what procd tells of all processes",
    "service-plays-the-agent": "an object on the bus that others would take for the agent's",
    "service-takes-anothers-lease": "what another service has on the line",
    "service-asks-for-too-much": "a class beyond the rate that it was published with",
    "service-asks-for-too-many": "members beyond the number that it was published with",
    "service-reads-the-device-key": "who the router is",
    "service-changes-anothers-code": "the files of another service",
    "service-changes-its-own-limits": "its own description",
    "service-kills-the-agent": "processes of others",
    "service-becomes-root": "another user",
    "service-listens-to-the-network": "the packets of the home",
    "service-takes-the-pushs-port": "UDP port 9009, while the agent starts",
    "service-floods-its-log": "the log of the router, and of its operator",
}


def main() -> int:
    outcomes = json.loads(OUTCOMES.read_text()) if OUTCOMES.exists() else {}
    refused = [name for name in ATTACKS if outcomes.get(name) == "refused"]
    print(f"{len(refused)} of {len(ATTACKS)} attacks were tried and refused")
    for name in ATTACKS.keys() - set(refused):
        print(f"  {name}: {outcomes.get(name, 'not tried')}")
    return len(refused) != len(ATTACKS)


if __name__ == "__main__":
    sys.exit(main())
