#!/bin/sh
# What the demo needs of the system (with the argument `tests`: what the tests need, too): installs it as root, saying
# so; otherwise prints the line to paste.
set -eu
cd "$(dirname "$0")"

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
	need uidmap command -v newuidmap
	need postgresql sh -c 'ls /usr/lib/postgresql/*/bin/postgres'
fi

if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
	echo "iSDF needs Python 3.11 or newer; this machine has: $(python3 --version 2>&1)" >&2
	exit 1
fi
if [ -n "$missing" ] && [ "$(id -u)" = 0 ]; then
	echo "Installing what is missing on this machine:$missing"
	export DEBIAN_FRONTEND=noninteractive
	if [ "${missing#*postgresql}" != "$missing" ] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
		mkdir -p /etc/postgresql-common # the tests make databases of their own
		echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
	fi
	apt-get update -q >/dev/null
	# shellcheck disable=SC2086
	apt-get install -qy --no-install-recommends $missing >/dev/null
	missing=
fi
# shellcheck disable=SC2086
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=.:../package/python-isdf/src exec python3 -m premises.privilege $missing
