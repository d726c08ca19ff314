"""`serve`: the application under gunicorn, with threads, on IPv6 and IPv4."""

from __future__ import annotations

import logging
import re

from gunicorn.app.base import BaseApplication

from isdf.errors import InvalidError

from . import app
from .home import Config, Home

_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]*):[0-9]{1,5}\Z|unix:.+\Z")


class Server(BaseApplication):
    """gunicorn without its command line and configuration files; `run()` returns when it was told to end."""

    def __init__(self, home: Home, config: Config, listen: tuple[str, ...]) -> None:
        for address in listen:
            if not _ADDRESS.match(address):
                raise InvalidError(f"--listen {address!r} is not of the form '[::]:8080' or '127.0.0.1:8080'")
        home.storage(config).close()  # what is missing is said before the workers start
        self._home, self._config, self._listen = home, config, listen
        super().__init__()

    def load_config(self) -> None:
        settings = {
            "bind": list(self._listen),
            "workers": self._config.workers,
            "worker_class": "gthread",
            "threads": self._config.threads,
            "timeout": 60,
            "graceful_timeout": 5,
            "keepalive": 5,
            "limit_request_line": 2048,
            "limit_request_fields": 40,
            "limit_request_field_size": 4096,
            "accesslog": None,  # ours masks secrets
            "errorlog": "-",
            "loglevel": "warning",
            "proc_name": "isdf-manager",
            "control_socket_disable": True,
            "post_worker_init": lambda worker: worker.app.schedule.start(),
            "worker_exit": lambda _server, worker: worker.app.end(),
        }
        for name, value in settings.items():
            if name in self.cfg.settings:  # older releases have no control socket
                self.cfg.set(name, value)

    def load(self) -> app.Application:
        """In each worker: connections to the database do not survive a fork."""
        logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
        self.application, self.schedule = app.make(self._home, self._config)
        return self.application

    def end(self) -> None:
        """In each worker, also one that did not get as far as `load`."""
        if hasattr(self, "schedule"):
            self.schedule.stop()
            self.application.close()
