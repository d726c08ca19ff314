# What OpenWrt's standard maintainer scripts need of /lib/functions.sh: a stand-in, for development.
#
# Every package's postinst and prerm source this file below ${IPKG_INSTROOT} and call default_postinst or
# default_prerm with their own path and arguments. opkg keeps the package's control file, file list and own scripts in
# /usr/lib/opkg/info, and says in PKG_UPGRADE whether this is an upgrade. Reference: OpenWrt package/base-files.

# The first id that is given to users and groups whose package names none.
FIRST_DYNAMIC_ID=32768

# default_postinst SCRIPT: make the package's users, run its uci-defaults and its own script, start its daemons.
default_postinst() {
	local pkgname status=0 file
	pkgname=$(package_of "$1")
	add_group_and_user "$pkgname"
	if [ -z "$IPKG_INSTROOT" ]; then
		for file in $(files_of "$pkgname" /etc/uci-defaults/); do
			(cd "${file%/*}" && [ -f "$file" ] && . "$file") && rm -f "$file"
		done
	fi
	own_script "$pkgname" postinst || status=$?
	for file in $(files_of "$pkgname" /etc/init.d/); do
		if [ -n "$IPKG_INSTROOT" ]; then
			/bin/sh "$IPKG_INSTROOT/etc/rc.common" "$IPKG_INSTROOT$file" enable
		else
			[ "$PKG_UPGRADE" = 1 ] || "$file" enable
			"$file" start
		fi
	done
	return $status
}

# default_prerm SCRIPT: run the package's own script, then stop its daemons.
default_prerm() {
	local pkgname status=0 file
	pkgname=$(package_of "$1")
	own_script "$pkgname" prerm || status=$?
	for file in $(files_of "$pkgname" /etc/init.d/); do
		if [ -n "$IPKG_INSTROOT" ]; then
			/bin/sh "$IPKG_INSTROOT/etc/rc.common" "$IPKG_INSTROOT$file" disable
		else
			[ "$PKG_UPGRADE" = 1 ] || "$file" disable
			"$file" stop
		fi
	done
	return $status
}

# add_group_and_user PACKAGE: make what its field Require-User names and is not there, `user[=uid][:group[=gid]] ...`.
add_group_and_user() {
	local pair user group uid gid
	for pair in $(sed -n 's/^Require-User: *//p' "$IPKG_INSTROOT/usr/lib/opkg/info/$1.control" 2>/dev/null); do
		user=${pair%%:*} group= uid= gid=
		case $pair in *:*) group=${pair#*:} group=${group%%:*} ;; esac
		case $user in *=*) uid=${user#*=} user=${user%%=*} ;; esac
		case $group in *=*) gid=${group#*=} group=${group%%=*} ;; esac
		if [ -n "$group" ] && [ -n "$gid" ]; then
			group_exists "$group" || group_add "$group" "$gid"
		elif [ -n "$group" ]; then
			gid=$(group_add_next "$group")
		fi
		[ -n "$user" ] || continue
		user_exists "$user" || user_add "$user" "$uid" "$gid"
		[ -z "$group" ] || group_add_user "$group" "$user"
	done
}

# group_add NAME GID
group_add() {
	[ -f "$IPKG_INSTROOT/etc/group" ] || return 1
	echo "$1:x:$2:" >> "$IPKG_INSTROOT/etc/group"
}

group_exists() {
	grep -qs "^$1:" "$IPKG_INSTROOT/etc/group"
}

# group_add_next NAME: the id of the group, which is made with the next free one if it is not there.
group_add_next() {
	local gid
	gid=$(sed -n "s/^$1:[^:]*:\([0-9]*\):.*/\1/p" "$IPKG_INSTROOT/etc/group")
	if [ -z "$gid" ]; then
		gid=$(next_id "$IPKG_INSTROOT/etc/group")
		group_add "$1" "$gid"
	fi
	echo "$gid"
}

# group_add_user GROUP USER: the user becomes a member, once.
group_add_user() {
	local members
	members=$(sed -n "s/^$1:[^:]*:[0-9]*://p" "$IPKG_INSTROOT/etc/group")
	case ",$members," in *",$2,"*) return ;; esac
	sed -i "s/^\($1:[^:]*:[0-9]*:\).*/\1${members:+$members,}$2/" "$IPKG_INSTROOT/etc/group"
}

# user_add NAME [UID] [GID]: a user without password, shell or home.
user_add() {
	local uid="$2"
	[ -f "$IPKG_INSTROOT/etc/passwd" ] || return 1
	[ -n "$uid" ] || uid=$(next_id "$IPKG_INSTROOT/etc/passwd")
	echo "$1:x:$uid:${3:-$uid}:$1:/var/run/$1:/bin/false" >> "$IPKG_INSTROOT/etc/passwd"
	echo "$1:x:0:0:99999:7:::" >> "$IPKG_INSTROOT/etc/shadow"
}

user_exists() {
	grep -qs "^$1:" "$IPKG_INSTROOT/etc/passwd"
}

# The rest is this file's own.

package_of() {
	local name="${1##*/}"
	echo "${name%.*}"
}

files_of() {
	grep -s "^$2" "$IPKG_INSTROOT/usr/lib/opkg/info/$1.list"
}

own_script() {
	local script="$IPKG_INSTROOT/usr/lib/opkg/info/$1.$2-pkg"
	[ ! -f "$script" ] || (. "$script")
}

next_id() {
	local id=$FIRST_DYNAMIC_ID
	while cut -d: -f3 "$1" | grep -qx "$id"; do
		id=$((id + 1))
	done
	echo "$id"
}
