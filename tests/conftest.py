"""For all tests: what they take from the environment, and that a property test may take its time."""

import os

from hypothesis import settings

# Not everybody has the administrator's programs in his path; and who has this set meets no output that waits.
os.environ["PATH"] += ":/usr/sbin:/sbin"
os.environ.pop("PYTHONUNBUFFERED", None)

# The machine may be busy with others.
settings.register_profile("unhurried", deadline=None, database=None)
settings.load_profile("unhurried")
