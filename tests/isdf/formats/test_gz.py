"""gzip: reproducible, readable by gzip(1), and bounded."""

import gzip
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isdf.errors import FormatError
from isdf.formats import gz


@given(st.binary(max_size=3000), st.sampled_from([6, 9]))
def test_what_is_packed_comes_out_again(data, level):
    assert gz.decompress(gz.compress(data, level), len(data)) == data
    assert gzip.decompress(gz.compress(data, level)) == data


@pytest.mark.parametrize(("level", "option"), [(6, "-n"), (9, "-9n")])
def test_the_header_is_that_of_gzip_itself(level, option):
    reference = subprocess.run(["gzip", option], input=b"Package: x\n", stdout=subprocess.PIPE, check=True).stdout
    assert gz.compress(b"Package: x\n", level)[:10] == reference[:10]
    assert gz.decompress(reference, 100) == b"Package: x\n"


def test_a_bomb_is_refused_without_unpacking_it():
    bomb = gz.compress(bytes(50 << 20))
    with pytest.raises(FormatError, match="more than the 1000 bytes"):
        gz.decompress(bomb, 1000)


@pytest.mark.parametrize("tail", [b"\0", b"x", gz.compress(b"second")])
def test_nothing_may_follow(tail):
    with pytest.raises(FormatError, match="follow"):
        gz.decompress(gz.compress(b"first") + tail, 1000)


@given(st.binary(max_size=200))
def test_any_bytes_are_data_or_a_format_error(data):
    try:
        gz.decompress(data, 1000)
    except FormatError:
        pass


@given(st.data())
def test_a_cut_or_changed_byte_is_noticed(data):
    packed = gz.compress(b"Package: isdf-service-x\n" * 5)
    at = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(FormatError):
        gz.decompress(packed[:at], 1000)
    flipped = bytearray(packed)
    flipped[at] ^= data.draw(st.integers(1, 255))
    try:
        # Some bytes mean nothing (the time in the header); the content is never another.
        assert gz.decompress(bytes(flipped), 1000) == b"Package: isdf-service-x\n" * 5
    except FormatError:
        pass
