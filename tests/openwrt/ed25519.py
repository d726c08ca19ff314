"""Ed25519 in a page of plain Python, for the stand-in `usign`: it starts quickly, and keeps no secret from its host.

Reference: RFC 8032, section 5.1; usign `edsign.c`. Points are extended homogeneous coordinates (X, Y, Z, T) with
x = X/Z, y = Y/Z, x * y = T/Z. Not constant in time: for development alone.
"""

from hashlib import sha512

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
_SQRT_MINUS_ONE = pow(2, (P - 1) // 4, P)
_NEUTRAL = (0, 1, 1, 0)


def public_key(seed):
    """The 32 bytes of the public key that belongs to the 32 bytes `seed`."""
    return _encode(_multiply(_scalar(sha512(seed).digest()), BASE))


def sign(seed, message):
    """The 64 bytes of the signature of `message` by `seed`."""
    digest = sha512(seed).digest()
    secret, public = _scalar(digest), public_key(seed)
    nonce = _integer(sha512(digest[32:] + message)) % ORDER
    head = _encode(_multiply(nonce, BASE))
    return head + ((nonce + _integer(sha512(head + public + message)) * secret) % ORDER).to_bytes(32, "little")


def verify(public, signature, message):
    """Whether `signature` (64 bytes) is of `message` by `public` (32 bytes).

    As with usign, and against RFC 8032, a number may be larger than it need be: who has one signature can make others.
    """
    key, head = _decode(public), _decode(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or head is None or len(signature) != 64:
        return False
    challenge = _integer(sha512(signature[:32] + public + message)) % ORDER
    # R = S*B - k*A, both multiples at once: each bit costs one doubling and at most one addition.
    minus = (P - key[0], key[1], key[2], P - key[3])
    terms = (None, BASE, minus, _add(BASE, minus))
    point = _NEUTRAL
    for bit in range(max(scalar.bit_length(), challenge.bit_length()) - 1, -1, -1):
        point = _double(point)
        term = terms[(scalar >> bit & 1) | (challenge >> bit & 1) << 1]
        if term:
            point = _add(point, term)
    return _encode(point) == _encode(head)


def _integer(digest):
    return int.from_bytes(digest.digest(), "little")


def _scalar(digest):
    return int.from_bytes(digest[:32], "little") & (2**254 - 8) | 2**254


def _add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _double(p):
    a, b = p[0] * p[0] % P, p[1] * p[1] % P
    h = a + b
    e = h - (p[0] + p[1]) ** 2
    g = a - b
    f = 2 * p[2] * p[2] + g
    return e * f % P, g * h % P, f * g % P, e * h % P


def _multiply(scalar, point):
    result = _NEUTRAL
    for bit in bin(scalar)[2:]:
        result = _double(result)
        if bit == "1":
            result = _add(result, point)
    return result


def _encode(point):
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _decode(data):
    """The point of its 32 bytes, None if there is none."""
    value = int.from_bytes(data, "little")
    y, sign_of_x = value & (2**255 - 1), value >> 255
    if len(data) != 32:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * _SQRT_MINUS_ONE % P
    if (x * x - square) % P:
        return None
    if x & 1 != sign_of_x:
        x = P - x
    return x, y, 1, x * y % P


BASE = _decode((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))
