"""One enrolment: the keys statement, then TLS with the authority in it, and only then the token and the device's key.

As a process of its own, `python3 -m isdf_agent.delivery.enroll`: what `exchange` is told as JSON in, its result as JSON
out. It writes nothing; the agent (or the command `isdf-agent enroll`) keeps what it brings.

1. GET /keys, from whoever answers. The statement is believed if the claim code names its catalogue key and this key
   signed it: somebody in between can give us the manager's statement, and no other.
2. A new connection, which believes the statement's authority alone.
3. POST /enroll/seal on it: `{"claim", "nonce"}`, hex; the answer is `{"seal"}`, by which the manager shows that it
   knows the code, and that the statement is its newest: who holds the key of a replaced authority cannot.
4. POST /enroll: `{"token", "key"}`, hex; the answer is `{"device", "line"}`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile

from isdf.digest import equal
from isdf.errors import ConflictError, FailedError, FormatError, IsdfError, NotPermittedError, SignatureError
from isdf.formats import claim as claims
from isdf.formats import keys as statements
from isdf.model import parse_name
from isdf.path import Path

from . import flash
from .connection import Answer, Connection, UntrustedError
from .request import TooManyError, accepted, deadline, problem
from .trusted import KEYS_MAX, TrustedKeys
from .usign import Usign

_LINE = {"down", "up", "base_down", "base_up"}


def exchange(
    *, manager: str, code: str, insecure: bool, device_key: str, keys: str, usign: list[str], run: str
) -> dict:  # fmt: skip
    """`{"device", "line", "keys"}`: the router's name, its rates in kbit/s or None, the statement as it came.

    `device_key` is hex; `keys` the file of the statement believed before, if there is one; `run` a folder for what need
    not last. `IsdfError` says why not.
    """
    claim = claims.parse(code)
    Path(run).mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="enrol-", dir=run)
    try:
        trusted = TrustedKeys(Usign(usign, Path(folder)), claim=claim, keys=_last(keys))
        with Connection(manager, None, insecure=insecure) as connection:
            statement = accepted(connection.ask("GET", "/keys", limit=KEYS_MAX), "GET /keys").body
        believed = trusted.accept(statement)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    try:
        with Connection(manager, believed.authority, insecure=insecure) as connection:
            _check_newest(connection, claim, statement)
            answer = _post(connection, "/enroll", {"token": claim.token.hex(), "key": device_key})
    except UntrustedError as error:
        raise UntrustedError(f"{error}; it was told neither the claim code nor this router's key") from None
    if problem(answer).get("type") == "claimed":
        raise ConflictError("another router was enrolled with this claim code; ask the ISP for a new one")
    return _answer(accepted(answer, "POST /enroll").body) | {"keys": statement.decode()}


def _post(connection: Connection, path: str, told: dict) -> Answer:
    body, headers = json.dumps(told).encode(), {"Content-Type": "application/json"}
    answer = connection.ask("POST", path, body=body, headers=headers)
    if problem(answer).get("type") == "unknown-claim":
        raise NotPermittedError("the manager does not know this claim code; ask the ISP for a new one")
    return answer


def _check_newest(connection: Connection, claim: claims.Claim, statement: bytes) -> None:
    nonce = os.urandom(claims.NONCE_SIZE)
    answer = _post(connection, "/enroll/seal", {"claim": claim.name, "nonce": nonce.hex()})
    try:
        told = json.loads(accepted(answer, "POST /enroll/seal").body)["seal"].encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise FormatError("the manager's answer to the question for its newest keys makes no sense") from None
    if not equal(told, claims.seal(claims.secret(claim.token), nonce, statement).encode()):
        raise SignatureError(
            "whoever answers does not show that these are the manager's newest keys, and was told neither the claim "
            "code nor this router's key; try again, for they may just have been replaced"
        )


def _answer(body: bytes) -> dict:
    try:
        document = json.loads(body)
        device, line = parse_name(document["device"], "device"), document.get("line")
        if line is not None:
            line = {name: line[name] for name in _LINE}
            if not all(type(rate) is int and 8 <= rate <= 100_000_000 for rate in line.values()):
                raise ValueError("a rate is not a number of kbit/s")
            if line["base_down"] > line["down"] or line["base_up"] > line["up"]:
                raise ValueError("its base is more than the line can carry")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, IsdfError) as error:
        raise FormatError(f"the manager's answer to the enrolment makes no sense: {error}") from None
    return {"device": device, "line": line}


def _last(path: str) -> statements.Keys | None:
    data = flash.read(path)
    try:
        return statements.read(data) if data else None
    except FormatError:
        return None  # damaged: the claim code alone decides


def attempt(told: dict, seconds: float) -> dict:
    """The result of `exchange(**told)`, or `{"error", "retry_after"}` where there is none within `seconds`."""
    try:
        with deadline(seconds, "the enrolment"):
            return exchange(**told)
    except TooManyError as error:
        return {"error": error.as_dict(), "retry_after": error.retry_after}
    except IsdfError as error:
        return {"error": error.as_dict()}
    except OSError as error:
        sentence = f"the enrolment could not use {error.filename or told['run']}: {error.strerror or error}"
        return {"error": FailedError(sentence).as_dict()}


def main() -> int:
    told = json.load(sys.stdin)
    result = attempt(told, told.pop("deadline"))
    with contextlib.suppress(BrokenPipeError):  # the agent went away meanwhile
        print(json.dumps(result), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
