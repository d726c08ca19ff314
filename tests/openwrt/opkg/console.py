"""What opkg says: notices on standard output at once, errors collected and on standard error at the end."""

import os
import sys

ERROR, NOTICE = 0, 1


class Console:
    """`verbosity` 0 leaves the errors alone."""

    def __init__(self):
        self.verbosity = NOTICE
        self._errors = []

    def notice(self, text):
        if self.verbosity >= NOTICE:
            sys.stdout.write(text + "\n")

    def error(self, where, text, end="\n"):
        """An error as `where`, a function of opkg, words it."""
        self._errors.append(f"{where}: {text}{end}")

    def more(self, text):
        """A line that belongs to the error before."""
        self._errors.append(text + "\n")

    def finish(self):
        sys.stdout.flush()
        if self._errors:
            sys.stderr.write("Collected errors:\n" + "".join(f" * {text}" for text in self._errors))
            sys.stderr.flush()


def run(argv, environment=None):
    """The exit status of a program (255 where it cannot be started, or dies of a signal)."""
    sys.stdout.flush()
    try:
        process = os.posix_spawnp(argv[0], argv, os.environ if environment is None else environment)
    except OSError:
        return 255
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return status if status >= 0 else 255
