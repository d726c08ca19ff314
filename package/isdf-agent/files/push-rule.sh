#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
#   push-rule [remove]
#
# Keeps the firewall's rule for the push as /etc/config/isdf says: UDP to option push_port, from the addresses of
# list push_from and from no others. Without addresses there is no rule, and the router learns of changes by its own
# pulls alone. Flash is written only when something differs, so this may run at every start. Other options of the rule,
# such as enabled '0', are the user's and stay.

set -f # addresses are words, never patterns
RULE=firewall.isdf_push
OWN=/var/run/isdf-uci

# What a user has changed in the firewall and not committed yet is neither read nor committed here.
uci() {
	command uci -t $OWN "$@"
}
rm -rf $OWN

addresses() {
	for address in $(uci -q get isdf.agent.push_from); do
		case $address in
		*[!0-9A-Fa-f.:]*) ;;
		*.*.*.* | *:*:*)
			printf '%s ' "$address"
			continue
			;;
		esac
		echo "isdf-agent: push_from '$address' in /etc/config/isdf is no address; nothing is let in from there" >&2
	done
}

apply() {
	uci commit firewall
	rm -rf $OWN
	# fw4 has this file while its rules are loaded; before that it will read what was written here.
	[ ! -e /var/run/fw4.state ] || fw4 reload
}

from=
[ "$1" = remove ] || from=$(addresses)
from=${from% }
port=$(uci -q get isdf.agent.push_port)
: "${port:=9009}"

if [ -z "$from" ]; then
	uci -q get $RULE >/dev/null || exit 0
	uci delete $RULE
	apply
elif [ "$(uci -q get $RULE.src_ip) $(uci -q get $RULE.dest_port)" != "$from $port" ]; then
	uci -q delete $RULE.src_ip
	uci set $RULE=rule
	uci set $RULE.name=Allow-iSDF-Push
	uci set $RULE.src=wan
	uci set $RULE.proto=udp
	uci set "$RULE.dest_port=$port"
	uci set $RULE.target=ACCEPT
	for address in $from; do
		uci add_list "$RULE.src_ip=$address"
	done
	apply
fi
