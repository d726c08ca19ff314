"""A stand-in for OpenWrt's package manager `opkg`: its options, files, messages and exit codes. For development alone.

It does what is needed to deliver services: update with verification, download, install, upgrade, remove, dependencies,
the status file, maintainer scripts, the lock. Conffiles, conflicts, replacements and alternatives it does not know, and
refuses a package that has them. Reference: opkg-lede; the traps (what it exits with, what it deletes) are as there.
Imports are few, because its start counts in the time from a push to its effect.
"""
