# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the packages of this feed share for OpenWrt's build system: version, licence, and the macro of a service.
#
# A service's Makefile is three lines: include this file, call IsdfService, call BuildPackage for what that defined. Name,
# version, title and description come from its service.yaml, read by package/service_yaml.py with the python3 that
# OpenWrt's build system asks of every host anyway.

ISDF_FEED:=$(abspath $(dir $(lastword $(MAKEFILE_LIST))))
ISDF_YAML:=python3 $(ISDF_FEED)/package/service_yaml.py

include $(TOPDIR)/rules.mk

PKG_VERSION:=$(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' $(ISDF_FEED)/package/python-isdf/src/isdf/__init__.py)
PKG_RELEASE:=1
PKG_MAINTAINER:=iSDF contributors
PKG_LICENSE:=GPL-2.0-or-later

# In a router's file system. Our own folder, not site-packages: that one has Python's minor version in its name, and one
# package is for all branches of OpenWrt. The wrapper of the agent sets PYTHONPATH, and the agent hands it to services.
ISDF_PYTHON:=/usr/lib/isdf/python

# What of a service's folder is not for the router, at its top.
ISDF_STAYS:=Makefile service.yaml controller.py

# $(call IsdfPython,FOLDER,DESTINATION): the folder's *.py below DESTINATION's $(ISDF_PYTHON), and nothing else of it.
define IsdfPython
	cd $(1) && find . -name '*.py' | while read -r file; do \
		$(INSTALL_DIR) "$(2)$(ISDF_PYTHON)/$$$${file%/*}" && \
		$(INSTALL_DATA) "$$$$file" "$(2)$(ISDF_PYTHON)/$$$$file" || exit 1; \
	done
endef

# OpenWrt's Python writes no bytecode, and modules that are not compiled take 10 to 50 % more memory. Not when an image is
# built: the machine there has another Python.
define IsdfCompile
#!/bin/sh
[ -n "$${IPKG_INSTROOT}" ] || python3 -m compileall -q --invalidation-mode unchecked-hash $(ISDF_PYTHON)/$(1) || true
endef

# Stale bytecode must not outlive its module, neither here nor in an upgrade: nothing looks whether it fits.
define IsdfForget
#!/bin/sh
find "$${IPKG_INSTROOT}$(ISDF_PYTHON)/$(1)" -name __pycache__ -exec rm -rf {} + 2>/dev/null || true
endef

# $(call IsdfService): the package isdf-service-NAME of the service in this folder.
define IsdfService
ISDF_NAME:=$$(shell $$(ISDF_YAML) service.yaml name)
ISDF_TITLE:=$$(subst $$$$,$$$$$$$$,$$(shell $$(ISDF_YAML) service.yaml title))
ISDF_DESCRIPTION:=$$(subst $$$$,$$$$$$$$,$$(shell $$(ISDF_YAML) service.yaml description))
PKG_NAME:=isdf-service-$$(ISDF_NAME)
PKG_VERSION:=$$(shell $$(ISDF_YAML) service.yaml version)
# The version that 'isdf-manager publish' gives it.
PKG_RELEASE:=

include $$(INCLUDE_DIR)/package.mk

define Package/$$(PKG_NAME)
  SECTION:=net
  CATEGORY:=Network
  SUBMENU:=iSDF services
  TITLE:=$$(ISDF_TITLE)
  DEPENDS:=+isdf-agent
  USERID:=isdf-$$(ISDF_NAME):isdf
  PKGARCH:=all
endef

define Package/$$(PKG_NAME)/description
$$(ISDF_DESCRIPTION)
endef

define Build/Prepare
endef

define Build/Compile
endef

define Package/$$(PKG_NAME)/install
	$$(INSTALL_DIR) $$(1)/usr/lib/isdf/services/$$(ISDF_NAME)
	$$(ISDF_YAML) service.yaml > $$(1)/usr/lib/isdf/services/$$(ISDF_NAME)/service.json
	chmod 0644 $$(1)/usr/lib/isdf/services/$$(ISDF_NAME)/service.json
	find . -type f ! -path '*/.*' ! -path '*/__pycache__/*' $$(addprefix ! -path ./,$$(ISDF_STAYS)) | \
	while read -r file; do \
		place="$$(1)/usr/lib/isdf/services/$$(ISDF_NAME)/$$$$$$$$file" && \
		$$(INSTALL_DIR) "$$$$$$$${place%/*}" && \
		if [ -x "$$$$$$$$file" ]; then $$(INSTALL_BIN) "$$$$$$$$file" "$$$$$$$$place"; \
		else $$(INSTALL_DATA) "$$$$$$$$file" "$$$$$$$$place"; fi || exit 1; \
	done
endef
endef
