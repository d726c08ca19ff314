"""What can go wrong, once for the router, the manager and the services.

Two roots, by whose turn it is to act: the caller asked for something that cannot be (`RefusedError`), or the request
was fine and the machine did not do it (`FailedError`). Each class carries the slug and the title that travel in a
reply, `{"error": {"type": slug, "title": ..., "detail": ...}}`, the same slugs as in the manager's problem documents
(RFC 9457).
"""


class IsdfError(Exception):
    """Base of all errors of iSDF; `str(error)` is one sentence for a person."""

    slug = "error"
    title = "Something went wrong"

    @property
    def detail(self) -> str:
        return str(self)

    def as_dict(self) -> dict[str, str]:
        """The error as it travels: keys `type`, `title` and `detail`."""
        return {"type": self.slug, "title": self.title, "detail": self.detail}


class RefusedError(IsdfError):
    """The caller must ask for something else."""

    slug, title = "refused", "The request was refused"


class InvalidError(RefusedError):
    """An argument is malformed or out of its range."""

    slug, title = "invalid-argument", "An argument is not valid"


class NotFoundError(RefusedError):
    """What the caller named is not there."""

    slug, title = "not-found", "There is no such thing"


class NotPermittedError(RefusedError):
    """The caller may not do this: not in its `service.yaml`, or not its own."""

    slug, title = "not-permitted", "This is not permitted"


class ConflictError(RefusedError):
    """What is asked cannot stand beside what is there already."""

    slug, title = "conflict", "This contradicts what is there"


class LimitError(RefusedError):
    """The caller has as many as it may have."""

    slug, title = "limit-reached", "A limit is reached"


class LineFullError(RefusedError):
    """The line has less left than the class wants to be guaranteed."""

    slug, title = "line-full", "The line has not enough left"


class HostNotFoundError(RefusedError):
    """A name server says that the name does not exist."""

    slug, title = "host-not-found", "The host name does not exist"


class SignatureError(RefusedError):
    """Signed data does not verify, or is not what was asked for."""

    slug, title = "bad-signature", "The signature does not verify"


class FormatError(RefusedError):
    """Bytes are not of the format they should be."""

    slug, title = "bad-format", "The data is malformed"


class FailedError(IsdfError):
    """The request is fine; this machine or another could not carry it out."""

    slug, title = "failed", "The request could not be carried out"


class KernelError(FailedError):
    """The kernel refused a change; what was there before still is."""

    slug, title = "kernel-refused", "The kernel refused the change"


class UnavailableError(FailedError):
    """The other side does not answer (network, bus, lock)."""

    slug, title = "unavailable", "The other side does not answer"


_BY_SLUG: dict[str, type[IsdfError]] = {}


def from_dict(error: dict) -> IsdfError:
    """The error that travelled as `error` (see `IsdfError.as_dict`); an unknown slug becomes a plain `IsdfError`."""
    if not _BY_SLUG:
        todo = [IsdfError]
        while todo:
            cls = todo.pop()
            _BY_SLUG.setdefault(cls.slug, cls)  # a subclass without a slug of its own travels as its parent
            todo.extend(cls.__subclasses__())
    return _BY_SLUG.get(str(error.get("type")), IsdfError)(
        str(error.get("detail") or error.get("title") or "no detail")
    )
