# How an init script tells procd what to run: a stand-in that makes a message of it for procd's ubus object.
#
# Known: one or more instances; command, env and limits as OpenWrt's scripts give them, flags, lists and texts.
# Triggers are for interfaces and configuration files, which change in the premises only by the hand of a test.

_quote() { printf '"%s"' "$(printf %s "$1" | sed 's/[\\"]/\\&/g')"; }

_list() {
	local word comma=
	for word; do
		printf '%s' "$comma"
		_quote "$word"
		comma=,
	done
}

_table() {
	local pair comma=
	for pair; do
		printf '%s%s:%s' "$comma" "$(_quote "${pair%%=*}")" "$(_quote "${pair#*=}")"
		comma=,
	done
}

# procd_set NAME FUNCTION: run the script's FUNCTION, which describes instances, and set them as the service NAME.
procd_set() {
	_instances=
	"$2"
	ubus call service set "{\"name\":$(_quote "$1"),\"script\":$(_quote "$initscript"),\"instances\":{$_instances}}"
}

procd_open_instance() {
	_count=$((${_count:-0} + 1))
	_instance=$(_quote "${1:-instance$_count}")
	_parts=
}

procd_close_instance() { _instances="${_instances:+$_instances,}$_instance:{$_parts}"; }

procd_set_param() {
	local key=$1 value
	shift
	case $key in
	command | respawn | file) value="[$(_list "$@")]" ;;
	env | limits) value="{$(_table "$@")}" ;;
	stdout | stderr | no_new_privs) value=$([ "$1" = 1 ] && echo true || echo false) ;;
	term_timeout | nice | reload_signal) value=$1 ;;
	*) value=$(_quote "$1") ;;
	esac
	_parts="${_parts:+$_parts,}$(_quote "$key"):$value"
}

procd_add_reload_trigger() { :; }
procd_add_interface_trigger() { :; }
procd_add_raw_trigger() { :; }
