"""OpenWrt's bus in pure Python: call, be called, listen, subscribe."""

from .client import Connection, connect
from .heard import Subscription
from .message import Status, StatusError
from .served import Method, Object, Request

__all__ = ["Connection", "Method", "Object", "Request", "Status", "StatusError", "Subscription", "connect"]
