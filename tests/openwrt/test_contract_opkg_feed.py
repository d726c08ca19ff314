"""opkg's `update` and `download`.

Each answer is that of OpenWrt's opkg; the stand-in must give the same.
"""

import pytest

from openwrt.opkg_fixtures import X, complaints
from openwrt.router import Feed, Router

pytestmark = pytest.mark.system


def lists(router):
    return sorted(path.name for path in (router.root / "lists").iterdir())


def test_update_fetches_the_list_and_checks_its_signature(router, feed):
    assert router.opkg("update") == (
        0,
        [
            "Downloading FEED/Packages",
            "Updated list of available packages in ROOT/lists/isdf",
            "Downloading FEED/Packages.sig",
            "Signature check passed.",
        ],
        [],
    )
    assert (router.root / "lists/isdf").read_bytes() == (feed.path / "Packages").read_bytes()
    assert [path for _, path, _ in feed.requests] == ["/Packages", "/Packages.sig"]


def test_update_takes_a_compressed_list(tmp_path, feed, opkg):
    router = Router(tmp_path / "root", feed, opkg, compressed=True)
    feed.add(X)
    feed.publish()
    status, out, errors = router.opkg("update")
    assert (status, out[0], out[-1], errors) == (0, "Downloading FEED/Packages.gz", "Signature check passed.", [])
    assert (router.root / "lists/isdf").read_bytes() == (feed.path / "Packages.gz").read_bytes()
    assert router.opkg("list") == (0, [f"{X} - 1.0.0 - A service"], [])
    assert router.opkg("install", X)[0] == 0


def test_a_feed_may_be_a_folder_or_want_a_password(tmp_path, feed, opkg):
    feed.add(X)
    feed.publish()
    for number, url in enumerate((f"file:{feed.path}", feed.url.replace("//", "//user:secret@"))):
        router = Router(tmp_path / str(number), feed, opkg)
        router.conf.write_text(router.conf.read_text().replace(feed.url, url))
        assert router.opkg("update")[0] == 0
        assert router.opkg("list") == (0, [f"{X} - 1.0.0 - A service"], [])


def test_a_wrong_signature_deletes_the_list_and_is_no_failure(router, feed):
    index = (feed.path / "Packages").read_bytes()
    (feed.path / "Packages").write_bytes(index.replace(b"1.0.0", b"1.0.1", 1))
    status, out, errors = router.opkg("update")
    assert (status, errors) == (0, [])
    assert out[-2:] == ["Signature check failed.", "Remove wrong Signature file."]
    assert lists(router) == []


def test_a_list_signed_by_another_key_is_deleted_too(router, tmp_path):
    other = Feed(tmp_path / "other/feed")
    try:
        other.add(X)
        other.publish()
        for name in ("Packages", "Packages.sig"):
            (router.feed.path / name).write_bytes((other.path / name).read_bytes())
    finally:
        other.close()
    assert router.opkg("update")[1][-2:] == ["Signature check failed.", "Remove wrong Signature file."]
    assert lists(router) == []


def test_an_older_list_that_is_signed_is_taken(router, feed):
    feed.add(X, "1.1.0", Depends="isdf-agent")
    feed.publish()
    assert router.opkg("update")[0] == 0
    feed.publish(without=f"{X}_1.1.0_all.ipk")
    assert router.opkg("update")[0] == 0
    assert b"1.1.0" not in (router.root / "lists/isdf").read_bytes()


def test_a_missing_signature_deletes_the_list_and_fails(router, feed):
    (feed.path / "Packages.sig").unlink()
    status, out, errors = router.opkg("update")
    assert status == 1
    assert out[-2:] == ["Signature file download failed.", "Remove wrong Signature file."]
    assert errors == complaints("opkg_download: Failed to download FEED/Packages.sig, wget returned 8.")
    assert lists(router) == []


def test_a_missing_list_fails_and_leaves_the_one_before(router, feed):
    assert router.opkg("update")[0] == 0
    (feed.path / "Packages").unlink()
    status, out, errors = router.opkg("update")
    assert status == 1
    assert out == ["Downloading FEED/Packages", "*** Failed to download the package list from FEED/Packages"]
    assert errors == complaints("opkg_download: Failed to download FEED/Packages, wget returned 8.")
    assert lists(router) == ["isdf", "isdf.sig"]


def test_a_server_that_is_gone_is_told_from_one_that_refuses(router, feed):
    router.conf.write_text(router.conf.read_text().replace(feed.url, "http://127.0.0.1:1"))
    status, _, errors = router.opkg("update")
    assert status == 1
    assert errors == complaints(
        "opkg_download: Failed to download http:/127.0.0.1:1/Packages, wget returned 4.",
        "opkg_download: Check your network settings and connectivity.",
    )


def test_download_puts_the_package_into_the_working_folder_unchecked(router, feed):
    router.opkg("update")
    feed.file.write_bytes(b"not what was signed")
    assert router.opkg("download", X) == (
        0,
        [f"Downloading FEED/{X}_1.0.0_all.ipk", f"Downloaded {X} as ./{X}_1.0.0_all.ipk."],
        [],
    )
    assert (router.root / f"work/{X}_1.0.0_all.ipk").read_bytes() == b"not what was signed"


def test_download_of_what_is_not_there_is_no_failure(router, feed):
    router.opkg("update")
    assert router.opkg("download", "nothing") == (
        0, [], complaints("opkg_download_cmd: Cannot find package nothing.")
    )  # fmt: skip
    feed.file.unlink()
    status, out, errors = router.opkg("download", X)
    assert (status, out) == (255, [f"Downloading FEED/{X}_1.0.0_all.ipk"])
    assert errors == complaints(
        f"opkg_download: Failed to download FEED/{X}_1.0.0_all.ipk, wget returned 8.",
        f"opkg_download_cmd: Failed to download {X}.",
    )
