"""Stand-ins for the parts of OpenWrt that a development machine lacks; each speaks the real interface."""
