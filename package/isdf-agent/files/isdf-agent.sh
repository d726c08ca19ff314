#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The agent with its modules on Python's path; what it starts has them there too.

export PYTHONPATH=/usr/lib/isdf/python
exec /usr/bin/python3 -P -m isdf_agent.app "$@"
