"""What a service imports: `from isdf.sdk import Flow, Service`."""

from ..model import Flow
from .service import Service

__all__ = ["Flow", "Service"]
