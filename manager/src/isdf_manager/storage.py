"""The database: its schema, and short transactions on it. SQLite in the home folder, or another by its URL.

SQLite is used in WAL mode, so that the server and a command line read and write beside each other. A transaction
never spans a hook, a datagram or an answer: it reads, decides, writes and ends.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect

from isdf.errors import ConflictError, FailedError, InvalidError

VERSION = 1  # of the tables: it rises with each change of them
schema = sa.MetaData()

# Times are Unix seconds (float unless they travel in an assignment); serials and sequences are Unix milliseconds that
# only rise, so that a manager restored from yesterday's copy is heard.

device = sa.Table(
    "device",
    schema,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("device_key", sa.Text),  # 64 hexadecimal digits; None: not enrolled yet
    sa.Column("claim", sa.Text, unique=True),  # SHA-256 of its claim code's token
    sa.Column("claimed_at", sa.Float),  # None: the code has not been used
    sa.Column("line", sa.JSON(none_as_null=True)),  # {"down", "up", "base_down", "base_up"} in kbit/s
    sa.Column("push_port", sa.Integer, nullable=False),
    sa.Column("factory", sa.JSON, nullable=False, default=dict),  # what else was said of its router's first file
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("serial", sa.BigInteger, nullable=False, default=0),  # of the newest publication
    sa.Column("signer", sa.Text, nullable=False, default=""),  # fingerprint of the key that signed it
    sa.Column("renew_at", sa.Float, nullable=False, default=0),  # the newest publication is out of date from then on
    sa.Column("feed", sa.Text, nullable=False, default=""),  # the secret of the newest publication,
    sa.Column("feed_since", sa.Float, nullable=False, default=0),  # and since when it has been this one
    sa.Column("push_sequence", sa.BigInteger, nullable=False, default=0),
    sa.Column("pushes", sa.Integer, nullable=False, default=0),
)

contact = sa.Table(  # apart from `device`: written at each pull
    "contact",
    schema,
    sa.Column("device", sa.Text, sa.ForeignKey("device.name", ondelete="CASCADE"), primary_key=True),
    sa.Column("time", sa.Float),
    sa.Column("address", sa.Text),
    sa.Column("pulled", sa.BigInteger, nullable=False, default=0),  # serial that the router has been given
    sa.Column("pulled_at", sa.Float, nullable=False, default=0),
    sa.Column("report", sa.JSON),
    sa.Column("reported_at", sa.Float, nullable=False, default=0),
    sa.Column("pulls", sa.Integer, nullable=False, default=0),
    sa.Column("reports", sa.Integer, nullable=False, default=0),
    sa.Column("failures", sa.Integer, nullable=False, default=0),
)

package = sa.Table(
    "package",
    schema,
    sa.Column("id", sa.Integer, primary_key=True),  # rises; the highest of a service is its newest
    sa.Column("service", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("package", sa.Text, nullable=False),
    sa.Column("filename", sa.Text, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("signature", sa.Text, nullable=False),  # of the catalogue key, a base64 line
    sa.Column("index_entry", sa.JSON, nullable=False),  # fields of its stanza in Packages
    sa.Column("manifest", sa.JSON, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Column("published", sa.Float, nullable=False),
    sa.UniqueConstraint("service", "version"),
)

order = sa.Table(
    "sold",  # "order" is a word of SQL
    schema,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("device", sa.Text, nullable=False),  # no foreign key: an order outlives its device, for the accounts
    sa.Column("service", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # see `orders`
    sa.Column("config", sa.JSON, nullable=False),  # what is sold
    sa.Column("next_config", sa.JSON(none_as_null=True)),  # what a `configure` under way wants
    sa.Column("starts", sa.BigInteger, nullable=False),
    sa.Column("until", sa.BigInteger),  # None: until cancelled
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("ended", sa.Float),
    sa.Column("claim", sa.Text),  # who works on it now,
    sa.Column("claim_until", sa.Float, nullable=False, default=0),  # and from when on that is not believed any more
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("retry_at", sa.Float, nullable=False, default=0),
    sa.Column("trouble", sa.Text),  # what the hook said last when it failed
    sa.Column("hooked", sa.Boolean, nullable=False, default=False),  # a hook was told, and so it must be told the end
)
OPEN = ("ordered", "active", "ending")
sa.Index(
    "one_open_order",
    order.c.device,
    order.c.service,
    unique=True,
    sqlite_where=order.c.state.in_(OPEN),
    postgresql_where=order.c.state.in_(OPEN),
)
sa.Index("orders_of_device", order.c.device, order.c.state)
sa.Index("orders_by_end", order.c.state, order.c.until)
_CHANGING = order.c.next_config.is_not(None)
sa.Index("orders_changing", order.c.state, order.c.retry_at, sqlite_where=_CHANGING, postgresql_where=_CHANGING)

publication = sa.Table(
    "publication",
    schema,
    sa.Column("device", sa.Text, sa.ForeignKey("device.name", ondelete="CASCADE"), primary_key=True),
    sa.Column("serial", sa.BigInteger, primary_key=True),
    sa.Column("issued", sa.BigInteger, nullable=False),
    sa.Column("feed", sa.Text, nullable=False),  # the secret in its path
    sa.Column("etag", sa.Text, nullable=False),  # SHA-256 of the payload
    sa.Column("assignment", sa.LargeBinary, nullable=False),  # as served: signature and payload
    sa.Column("index_sha256", sa.Text, nullable=False),
    sa.Column("packages", sa.LargeBinary, nullable=False),  # the file Packages
    sa.Column("signature", sa.Text, nullable=False),  # the file Packages.sig
    sa.Column("files", sa.JSON, nullable=False),  # {file name: package.id}
    sa.Index("publication_index", "device", "index_sha256"),
)

audit = sa.Table(
    "audit",
    schema,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("time", sa.Float, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("device", sa.Text),
    sa.Column("service", sa.Text),
    sa.Column("detail", sa.JSON, nullable=False),
    sa.Index("audit_of_device", "device", "id"),
)


manager = sa.Table(  # one row
    "manager",
    schema,
    sa.Column("version", sa.Integer, primary_key=True),  # `VERSION` of who made the tables
    sa.Column("pushes", sa.BigInteger, nullable=False, default=0),  # of devices that were removed
    sa.Column("failures", sa.BigInteger, nullable=False, default=0),
)
_SERVING = 0x69534446  # the number of PostgreSQL's advisory lock of the one process that serves


class Storage:
    """Transactions on the database at `url`; safe to share between threads, not across a fork.

    `durable`: a write is on the disk when its transaction ends. The server does without for speed: what a power cut
    could take from it (who called last, an assignment signed anew) is made again by itself. `connections`: at a time.
    """

    def __init__(self, url: str, durable: bool = True, connections: int = 5) -> None:
        try:
            self.url = sa.make_url(url)
        except sa.exc.ArgumentError:  # the text may hold a password
            raise InvalidError("'database' is no URL such as postgresql+psycopg://isdf@/isdf") from None
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        try:
            self._engine = sa.create_engine(
                self.url,
                poolclass=sa.QueuePool,
                pool_size=connections,
                max_overflow=0,
                pool_pre_ping=not self.is_sqlite,
            )
        except (ImportError, sa.exc.ArgumentError) as error:
            raise InvalidError(f"database {self.url!r} cannot be used: {error}") from None
        self._writing = self._reading = self._engine.execution_options(isdf_write=True)
        self._mine = threading.local()  # a connection for each thread that executes what is prepared
        self._opened: list[sqlite3.Connection] = []
        if self.is_sqlite:
            _prepare_sqlite(self._engine, "FULL" if durable else "NORMAL")
            self._reading = self._engine
        else:
            self._reading = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @property
    def file(self) -> Path:
        """SQLite's file; only where `is_sqlite`."""
        return Path(self.url.database)

    def create(self) -> None:
        """Make the tables, never over others; readable by the owner alone, for the keys of devices are in it."""
        if self.is_sqlite:
            os.close(os.open(self.file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        with self._translated():
            if not self.is_sqlite and sa.inspect(self._engine).has_table(device.name):
                raise InvalidError(f"the database {self.url!r} has a manager's tables already; name an empty one")
            try:
                with self._engine.begin() as connection:
                    schema.create_all(connection)
                    connection.execute(manager.insert().values(version=VERSION))
            except BaseException:
                self.destroy()
                raise

    def destroy(self) -> None:
        """Undo `create`."""
        if self.is_sqlite:
            self.close()
            for end in ("", "-wal", "-shm"):
                Path(f"{self.file}{end}").unlink(missing_ok=True)
        else:
            with self._translated():
                schema.drop_all(self._engine)

    def check(self) -> None:
        """`FailedError` unless the database answers, `InvalidError` unless it has the tables of this version."""
        with self.read() as connection:
            there = sa.inspect(connection).has_table(manager.name)
            version = connection.execute(sa.select(manager.c.version)).scalar() if there else None
        if version is None:
            raise InvalidError(f"the database {self.url!r} has no manager's tables; 'init --database URL' makes them")
        if version != VERSION:
            raise InvalidError(
                f"the database {self.url!r} has tables of version {version}, and this manager knows version {VERSION}; "
                "use the manager that made them, or a backup that this one made"
            )

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Of all processes on this database one at a time is in here; `ConflictError` for another.

        Which requests were taken once already, and how many a device may make, is in the memory of one process.
        """
        refusal = ConflictError(f"another 'serve' works on the database {self.url!r}; stop that one first")
        if self.is_sqlite:
            # Not the database itself: to close it would take SQLite's own locks.
            with open(f"{self.file}.serving", "w") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise refusal from None
                yield
            return
        with self._translated():
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        with connection:
            with self._translated():
                if not connection.execute(sa.select(sa.func.pg_try_advisory_lock(_SERVING))).scalar():
                    raise refusal
            try:
                yield
            finally:
                connection.invalidate()  # ends the connection, and the lock with it

    def keep(self, connection: sa.Connection, service: str) -> None:
        """Keep `service` from others until the caller's transaction ends, and it must be the first thing there.

        So no version is published while an order is checked against the one before. SQLite has one writer anyway.
        """
        if not self.is_sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SERVING, sa.func.hashtext(service))))

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state of the database and changes nothing."""
        with self._translated(), self._reading.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that is all done at its end, or, after an exception, not at all."""
        with self._translated(), self._writing.begin() as connection:
            yield connection

    def prepare(self, statement: sa.Select) -> Callable[..., tuple | None]:
        """`statement` as a function: its parameters by name give its first row, as the driver has it.

        For what each request asks. On SQLite it takes 10 us, where a transaction of SQLAlchemy takes 150.
        """
        if not self.is_sqlite:

            def execute(**values) -> tuple | None:
                with self.read() as connection:
                    return connection.execute(statement, values).first()

            return execute
        text = str(statement.compile(dialect=sqlite_dialect(paramstyle="named")))

        def first(**values) -> tuple | None:
            with self._translated():
                connection = getattr(self._mine, "connection", None) or self._open()
                return connection.execute(text, values).fetchone()

        return first

    def _open(self) -> sqlite3.Connection:
        self._mine.connection = connection = sqlite3.connect(
            self.file, timeout=10, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA query_only=ON")
        self._opened.append(connection)
        return connection

    def copy(self, target: Path) -> None:
        """A consistent copy at `target` while everything runs (SQLite's online backup)."""
        if not self.is_sqlite:
            raise InvalidError("backup copies SQLite; use the tools of the database that manager.yaml names (pg_dump)")
        try:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            raise InvalidError(f"{target} is there already; name a new file") from None
        except OSError as error:
            raise InvalidError(f"{target} cannot be made: {error.strerror}; name another file") from None
        try:
            with closing(sqlite3.connect(self.file)) as source, closing(sqlite3.connect(target)) as copy:
                source.backup(copy)
        except BaseException as error:
            target.unlink()
            if not isinstance(error, sqlite3.Error):
                raise
            raise FailedError(f"{target} cannot be written: {error}; nothing was left there") from None

    def close(self) -> None:
        """No thread uses it any more."""
        self._engine.dispose()
        for connection in self._opened:
            connection.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.IntegrityError:
            raise ConflictError("somebody else changed the same thing at this moment; try again") from None
        except sa.exc.TimeoutError:
            raise FailedError(f"all connections to the database {self.url!r} are in use; try again") from None
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            said = " ".join(str(getattr(error, "orig", error)).split())
            raise FailedError(
                f"the database {self.url.render_as_string()} cannot be used: {said}; "
                + ("check the folder (--home), its disk and its owner" if self.is_sqlite else "check that it runs")
            ) from None


def _prepare_sqlite(engine: sa.Engine, synchronous: str) -> None:
    @sa.event.listens_for(engine, "connect")
    def connected(connection, _record) -> None:
        connection.isolation_level = None  # BEGIN is ours: the driver's comes late and makes writers collide
        for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", "foreign_keys=ON", "busy_timeout=10000"):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def began(connection: sa.Connection) -> None:
        writing = connection.get_execution_options().get("isdf_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
