"""File systems that are full: at each write of a delivery, one page later each time, until it fits."""

import os
from pathlib import Path

import pytest

from attacks.home import Home

pytestmark = pytest.mark.system
attack = pytest.mark.attack
PAGE, SIZE = 4096, 1 << 20  # bytes
# The folder $0 has the places "$@" (up to --) in one file system of its own, in a mount namespace of its own.
_MOUNT = f"""
root=$0
mkdir "$root/small"
mount -t tmpfs -o size={SIZE},mode=0755 small "$root/small"
while [ "$1" != -- ]; do
	mkdir -p "$root/$1" "$root/small/$1"
	cp -a "$root/$1/." "$root/small/$1/"
	mount --bind "$root/small/$1" "$root/$1"
	shift
done
shift
exec "$@"
"""


class SmallHome(Home):
    """A home that has `places` in a file system of 1 MiB."""

    def __init__(self, folder, uci, relay, *places):
        unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
        before = [*unshare, "--propagation", "private", "sh", "-ec", _MOUNT, str(folder / "root"), *places, "--"]
        super().__init__(folder, uci, relay, before=before)

    def leave(self, pages: int) -> None:
        """Fill it up but for so many pages."""
        with self._filler().open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(PAGE))
            except OSError:
                file.truncate(max(0, file.tell() // PAGE - pages) * PAGE)

    def empty(self) -> None:
        self._filler().unlink()

    def _filler(self) -> Path:
        return Path(f"/proc/{self.agent.pid}/root{self.root}/small/filler")


def refused_until_it_fits(isp, home, step, words):
    """What ran runs on, and the home tells why, as long as the new version finds no room; then it is there."""
    home.start()
    version, before, start = isp.publish(size=20_000), dict(home.procd.instances), len(home.log())
    for pages in range(0, 30 * step, step):
        home.leave(pages)
        home.pull()
        home.until(lambda: not any(line["state"] == "starting" for line in home.status()["services"]))
        if home.versions() == {"tv": version}:
            break
        assert home.procd.instances == before
        said = home.status()
        assert said["error"] or said["services"][0]["error"]
    assert pages > 5
    home.logged(words, start)
    home.empty()
    home.takes(tv=version)
    home.takes(tv=isp.publish())


@attack("flash-full")
def test_a_flash_that_is_full_at_each_write(isp, tmp_path):
    uci = isp.add("flash")
    isp.sell("flash")
    with SmallHome(tmp_path, uci, isp.relay, "etc", "usr") as home:
        refused_until_it_fits(isp, home, 2, "the router's flash could not be written: No space left on device")


@attack("memory-full")
def test_a_memory_file_system_that_is_full_at_each_write(isp, tmp_path):
    uci = isp.add("memory")
    isp.sell("memory")
    with SmallHome(tmp_path, uci, isp.relay, "var/run/isdf") as home:
        refused_until_it_fits(isp, home, 4, "the pull could not use .*: No space left on device")
