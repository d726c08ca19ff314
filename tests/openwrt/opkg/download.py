"""Fetching lists and packages, and checking them: by signature, size and SHA-256.

Reference: opkg-lede `libopkg/opkg_download.c`, `opkg_update_cmd`.
"""

import hashlib
import os

from . import transport
from .console import run

_ENCODED = ":?#[]@!$&'()*+,;=%"


def update(settings):
    """Fetch the lists of all feeds; the number of those that could not be fetched.

    A wrong signature deletes the list, but is no failure: that is what opkg exits with.
    """
    console, failures = settings.console, 0
    for source in settings.sources:
        url = f"{source.url}/{'Packages.gz' if source.compressed else 'Packages'}"
        path = f"{settings.lists_dir}/{source.name}"
        if not download(settings, url, path):
            failures += 1
            console.notice(f"*** Failed to download the package list from {url}\n")
            continue
        console.notice(f"Updated list of available packages in {path}")
        if "check_signature" not in settings.flags:
            continue
        good = False
        if not download(settings, f"{source.url}/Packages.sig", path + ".sig"):
            failures += 1
            console.notice("Signature file download failed.")
        else:
            good = verified(settings, path)
            console.notice(f"Signature check {'passed' if good else 'failed'}.")
        if not good and "force_signature" not in settings.flags:
            console.notice("Remove wrong Signature file.")
            for name in (path + ".sig", path):
                if os.path.exists(name):
                    os.unlink(name)
    return failures


def verified(settings, path):
    """Whether the program for it says that the list at `path` is signed by a trusted key."""
    program = settings.values.get("verify_program", "/usr/sbin/opkg-key")
    return run([program, "verify", path + ".sig", path]) == 0


def download(settings, url, path):
    """Whether `url` could be fetched to `path`."""
    settings.console.notice(f"Downloading {url}")
    if url.startswith("file:"):
        from urllib.parse import unquote

        try:
            with open(unquote(url[5:]), "rb") as source, open(path, "wb") as file:
                file.write(source.read())
        except OSError:
            settings.console.error("file_copy", f"Failed to copy file {unquote(url[5:])} to {path}.")
            return False
        return True
    for name in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy"):
        if name in settings.values:
            os.environ[name] = settings.values[name]
    wanted = f"{settings.tmp}/{url.rpartition('/')[2]}"
    timeout = settings.values.get("http_timeout", "")
    check = "no_check_certificate" not in settings.flags
    result = transport.fetch(url, wanted, float(timeout) if timeout.isdigit() else 900, check)
    if result:
        settings.console.error("opkg_download", f"Failed to download {url}, wget returned {result}.")
        if result == transport.NETWORK:
            settings.console.error("opkg_download", "Check your network settings and connectivity.\n")
        return False
    if not os.path.exists(path) or not os.path.samefile(wanted, path):
        with open(wanted, "rb") as source, open(path, "wb") as file:
            file.write(source.read())
        os.unlink(wanted)
    return True


def download_package(settings, package, folder):
    """Whether `package` could be fetched into `folder`; nothing is checked."""
    console = settings.console
    if package.source is None:
        console.error("opkg_download_pkg", f"Package {package.name} is not available from any configured src.")
        return False
    filename = package.fields.get("Filename")
    if not filename:
        console.error("opkg_download_pkg", f"Package {package.name} does not have a valid filename field.")
        return False
    url = "".join(f"%{ord(letter):02x}" if letter in _ENCODED else letter for letter in filename)
    package.local = f"{folder}/{filename[max(filename.rfind('/'), 0) :]}"
    return download(settings, f"{package.source.url}/{url}", package.local)


def intact(package):
    """Whether the package's file has the size and the hashes that its index says."""
    try:
        with open(package.local, "rb") as file:
            data = file.read()
    except OSError:
        return False
    size = package.fields.get("Size", "")
    sums = (("MD5Sum", "md5"), ("SHA256sum", "sha256"))
    return (not size.isdigit() or int(size) in (0, len(data))) and all(
        package.fields[field] == hashlib.new(name, data).hexdigest() for field, name in sums if field in package.fields
    )
