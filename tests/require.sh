#!/bin/sh
# What the demo needs of the system (with the argument `tests`: what the tests need, too): installs it as root, saying
# so; otherwise prints the line to paste.
set -eu

missing=
need() { # need PACKAGE TEST...: PACKAGE is missing where TEST fails
	package=$1
	shift
	"$@" >/dev/null 2>&1 || missing="$missing $package"
}
PATH=$PATH:/usr/sbin:/sbin

need python3-venv python3 -c 'import ensurepip, venv'
need nftables command -v nft
need iproute2 command -v tc
need curl command -v curl
need dnsmasq-base command -v dnsmasq
need util-linux command -v unshare
need iputils-ping command -v ping
if [ "${1-}" = tests ]; then
	need signify-openbsd command -v signify-openbsd
	need shellcheck command -v shellcheck
	need postgresql sh -c 'ls /usr/lib/postgresql/*/bin/postgres'
fi
[ "$(id -u)" = 0 ] || need uidmap command -v newuidmap

if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
	echo "iSDF needs Python 3.11 or newer; this machine has: $(python3 --version 2>&1)" >&2
	exit 1
fi
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
	echo "Some packages are missing. Paste this line, then try again:" >&2
	echo "  sudo apt-get install -y$missing" >&2
	exit 1
fi
echo "Installing what is missing on this machine:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q >/dev/null
# shellcheck disable=SC2086
apt-get install -qy --no-install-recommends $missing >/dev/null
