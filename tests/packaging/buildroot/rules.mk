# OpenWrt's rules.mk for the tests of packaging: how files are installed, and with which modes.
ifneq ($(__rules_inc),1)
__rules_inc:=1
INCLUDE_DIR:=$(TOPDIR)/include
INSTALL_DIR:=install -d -m0755
INSTALL_BIN:=install -m0755
INSTALL_DATA:=install -m0644
INSTALL_CONF:=install -m0600
endif
