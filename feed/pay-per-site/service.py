"""Pay per site: the chosen sites get a speed of their own, beside the rest of the line (paper, section 4.2)."""

from isdf.sdk import Flow, Service


class PayPerSite(Service):
    def configure(self, sites, rate, up=None):
        self.control.add_class("sites", rate=rate, up=up)
        for site in sites:
            self.control.add_class_member("sites", Flow(host=site))
