# OpenWrt's package.mk for the tests of packaging: `make install DESTINATION=...` carries a package's install recipe out
# and writes its fields and scripts to DESTINATION/CONTROL. Text is expanded as often as there: twice in recipes, once
# in scripts. Reference: OpenWrt include/package.mk, package-defaults.mk, package-pack.mk.

define Package/Default
  DEPENDS:=
  USERID:=
  PKGARCH:=mipsel_24kc
  TITLE:=
  VERSION:=$(PKG_VERSION)$(if $(PKG_RELEASE),-r$(PKG_RELEASE))
endef

define WriteVariable
  export VAR_$(subst /,_,$(subst -,_,$(1)))=$$(call $(1))
  WRITE+=printf '%s\n' "$$$$VAR_$(subst /,_,$(subst -,_,$(1)))" > $$(DESTINATION)/CONTROL/$(2);
endef

define BuildPackage
  $(eval $(Package/Default))
  $(eval $(Package/$(1)))
  $(foreach field,TITLE CATEGORY SECTION VERSION,$(if $($(field)),,$(error Package/$(1) is missing the $(field) field)))
  $(eval FIELD_DEPENDS:=$(patsubst +%,%,$(DEPENDS)))
  $(foreach part,description conffiles postinst prerm,$(if $(Package/$(1)/$(part)),$(eval $(call WriteVariable,Package/$(1)/$(part),$(part)))))
install:
	mkdir -p $$(DESTINATION)/CONTROL
	printf '%s\n' 'Package: $(1)' 'Version: $(VERSION)' 'Depends: $$(FIELD_DEPENDS)' 'License: $(PKG_LICENSE)' \
		'Section: $(SECTION)' 'Require-User: $(USERID)' 'Architecture: $(PKGARCH)' > $$(DESTINATION)/CONTROL/control
	$$(WRITE)
	$(call Package/$(1)/install,$$(DESTINATION))
endef
