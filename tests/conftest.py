"""For all tests: a property test may take its time, for the machine may be busy with others."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None, database=None)
settings.load_profile("unhurried")
