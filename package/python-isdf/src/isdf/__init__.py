"""iSDF's common vocabulary: what the router, the manager and the services share. Standard library only."""

__version__ = "0.1.0"
