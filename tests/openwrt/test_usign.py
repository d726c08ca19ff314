"""`usign`, the stand-in or OpenWrt's own, against Debian's signify and our formats."""

import subprocess
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from isdf.formats import usign as usign_format
from openwrt import ed25519
from openwrt.programs import choices

pytestmark = pytest.mark.system


def run(argv, folder, **options):
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, **options)
    return done.returncode, done.stdout, done.stderr


def usign(folder, *words, program, **options):
    return run([*program, *words], folder, **options)


@pytest.fixture(params=choices("usign").values(), ids=choices("usign"))
def program(request):
    return request.param


@pytest.fixture
def signed(tmp_path, program):
    """A folder with a key pair, a message and its signature."""
    assert usign(tmp_path, "-G", "-p", "key.pub", "-s", "key.sec", program=program) == (0, "", "")
    (tmp_path / "message").write_bytes(b"a message of some length\n")
    assert usign(tmp_path, "-S", "-m", "message", "-s", "key.sec", program=program) == (0, "", "")
    return tmp_path


def test_it_verifies_what_it_signs(signed, program):
    assert usign(signed, "-V", "-m", "message", "-p", "key.pub", program=program) == (0, "", "OK\n")
    assert usign(signed, "-Vq", "-mmessage", "-pkey.pub", program=program) == (0, "", "")
    (signed / "message").write_bytes(b"another message of some length\n")
    assert usign(signed, "-V", "-m", "message", "-p", "key.pub", program=program) == (1, "", "verification failed\n")
    assert usign(signed, "-V", "-q", "-m", "message", "-p", "key.pub", program=program) == (1, "", "")


def test_keys_are_found_by_their_fingerprint(signed, program):
    status, fingerprint, _ = usign(signed, "-F", "-p", "key.pub", program=program)
    assert status == 0
    for option, name in (("-s", "key.sec"), ("-x", "message.sig")):
        assert usign(signed, "-F", option, name, program=program) == (0, fingerprint, "")
    (signed / "keys").mkdir()
    verify = ["-V", "-q", "-P", "keys", "-x", "message.sig", "-m", "message"]
    assert usign(signed, *verify, program=program) == (1, "", "")
    (signed / "keys" / fingerprint.strip()).write_bytes((signed / "key.pub").read_bytes())
    assert usign(signed, *verify, program=program) == (0, "", "")


def test_signify_and_usign_take_each_others_signatures(signed, program):
    assert run(["signify-openbsd", "-V", "-p", "key.pub", "-m", "message"], signed)[0] == 0
    assert run(["signify-openbsd", "-G", "-n", "-p", "their.pub", "-s", "their.sec"], signed)[0] == 0
    assert run(["signify-openbsd", "-S", "-s", "their.sec", "-m", "message", "-x", "their.sig"], signed)[0] == 0
    assert usign(signed, "-V", "-m", "message", "-p", "their.pub", "-x", "their.sig", program=program)[0] == 0
    assert usign(signed, "-S", "-m", "message", "-s", "their.sec", "-x", "ours.sig", program=program)[0] == 0
    assert (signed / "ours.sig").read_text().split("\n")[1] == (signed / "their.sig").read_text().split("\n")[1]


def test_it_takes_what_the_formats_write(tmp_path, program):
    seed = bytes(range(32))
    key = Ed25519PrivateKey.from_private_bytes(seed)
    secret = usign_format.SecretKey(b"fingerpr", seed, key.public_key().public_bytes_raw())
    (tmp_path / "message").write_bytes(b"a message\n")
    (tmp_path / "key.pub").write_text(secret.public_key().dump())
    (tmp_path / "key.sec").write_text(secret.dump())
    ours = usign_format.sign(b"a message\n", secret, lambda _, message: key.sign(message))
    (tmp_path / "message.sig").write_text(ours.dump())
    assert usign(tmp_path, "-V", "-m", "message", "-p", "key.pub", program=program) == (0, "", "OK\n")
    assert usign(tmp_path, "-S", "-m", "message", "-s", "key.sec", program=program)[0] == 0
    assert (tmp_path / "message.sig").read_text() == ours.dump()


def test_the_formats_read_what_it_writes(signed):
    public = usign_format.PublicKey.parse((signed / "key.pub").read_text())
    secret = usign_format.SecretKey.parse((signed / "key.sec").read_text())
    signature = usign_format.Signature.parse((signed / "message.sig").read_text())
    assert secret.public == public.key
    assert signature.fingerprint == public.fingerprint == secret.fingerprint
    for item, name in ((public, "key.pub"), (secret, "key.sec"), (signature, "message.sig")):
        assert item.dump() == (signed / name).read_text()


def test_a_comment_stands_in_both_keys(tmp_path, program):
    assert usign(tmp_path, "-G", "-c", "the catalogue", "-p", "p", "-s", "s", program=program)[0] == 0
    for name in "ps":
        assert (tmp_path / name).read_text().startswith("untrusted comment: the catalogue\n")


def test_messages_and_keys_pass_through_pipes(signed, program):
    verify = ["-V", "-m", "-", "-p", "key.pub", "-x", "message.sig"]
    assert usign(signed, *verify, program=program, input="a message of some length\n") == (0, "", "OK\n")
    assert usign(signed, *verify, program=program, input="") == (1, "", "verification failed\n")
    status, text, _ = usign(signed, "-S", "-m", "message", "-s", "key.sec", "-x", "-", program=program)
    assert (status, text) == (0, (signed / "message.sig").read_text())


def test_who_has_one_signature_can_make_others(signed, program):
    """So the bytes of a signature are nobody's name: usign does not ask for the smallest number, as RFC 8032 would."""
    signature = usign_format.Signature.parse((signed / "message.sig").read_text())
    number = int.from_bytes(signature.signature[32:], "little") + ed25519.ORDER
    other = usign_format.Signature(signature.fingerprint, signature.signature[:32] + number.to_bytes(32, "little"))
    (signed / "message.sig").write_text(other.dump())
    assert usign(signed, "-V", "-m", "message", "-p", "key.pub", program=program) == (0, "", "OK\n")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (b" comment", b" c\0mment", "Failed to decode public key\n"),  # a NUL hides the end of the first line
        (b"comment: ", b"comment: " + b"x" * 600, ""),
        (b"RW", b" R\r\nW\t", ""),
        (b"RW", b"RW\0", "Failed to decode public key\n"),
        (b"RW", b"RW=", "Failed to decode public key\n"),
        (b"\nRW", b"RW", "Failed to decode public key\n"),
        (b"RW", b" " * 480 + b"RW", "Failed to decode public key\n"),  # it reads 510 bytes
    ],
)
def test_a_keys_file_is_read_as_c_reads_it(signed, program, old, new, complaint):
    (signed / "key.pub").write_bytes((signed / "key.pub").read_bytes().replace(old, new, 1))
    status, _, errors = usign(signed, "-V", "-m", "message", "-p", "key.pub", program=program)
    assert (status, errors) == ((1, complaint) if complaint else (0, "OK\n"))


def test_bits_that_say_nothing_are_refused(signed, program):
    """The last letter of a signature's base64 has four bits too many."""
    text = (signed / "message.sig").read_text()
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = letters[letters.index(text[-3]) | 1]
    assert other != text[-3]
    (signed / "message.sig").write_text(f"{text[:-3]}{other}=\n")
    assert usign(signed, "-V", "-m", "message", "-p", "key.pub", program=program)[2] == "Failed to decode signature\n"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["-V", "-m", "nothing", "-p", "key.pub"], "Cannot open file 'nothing' for reading\n"),
        (["-V", "-m", "message", "-p", "nothing"], "Cannot open file 'nothing' for reading\n"),
        (["-V", "-q", "-m", "message", "-p", "nothing"], ""),
        (["-V", "-m", "message", "-p", "message"], "Failed to decode public key\n"),
        (["-V", "-m", "message", "-p", "key.pub", "-x", "key.pub"], "Failed to decode signature\n"),
        (["-V", "-m", "message", "-p", "key.pub", "-x", "empty"], "Premature end of file\n"),
        (["-V", "-m", "-", "-p", "key.pub"], "Need signature file when reading message from stdin\n"),
        (["-S", "-m", "nothing", "-s", "key.sec"], "Cannot open message file: No such file or directory\n"),
        (["-S", "-m", "empty", "-s", "key.sec"], "Cannot open message file: Invalid argument\n"),
        (["-S", "-m", "message", "-s", "key.pub"], "Failed to decode secret key\n"),
        (["-S", "-m", "message", "-s", "key.sec", "-x", "no/x"], "Cannot open file 'no/x' for writing\n"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_it_complains_and_ends_with_1(signed, program, words, complaint):
    (signed / "empty").touch()
    assert usign(signed, *words, program=program, input="") == (1, "", complaint)


@pytest.mark.parametrize(
    "words", [[], ["-V"], ["-V", "-S"], ["-z"], ["-F"], ["-G", "-p", "x"], ["-F", "-p", "message"]]
)
def test_wrong_use_ends_with_1(signed, program, words):
    assert usign(signed, *words, program=program)[0] == 1


@pytest.mark.alone
def test_it_starts_quickly(signed, program):
    durations = []
    for _ in range(5):
        began = time.perf_counter()
        usign(signed, "-V", "-q", "-m", "message", "-p", "key.pub", program=program)
        durations.append(time.perf_counter() - began)
    assert min(durations) < 0.1  # 0.016 s on the machine it was written on
