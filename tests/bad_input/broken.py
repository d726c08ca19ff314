"""Services that do not come up, each in its own way."""

READY_TIMEOUT = 10  # seconds; the default of 30 is for slow routers
# Name: what its code is, and the words that its operator gets.
LATE = f"it did not call ready within {READY_TIMEOUT} s; what it said is in the router's log (logread)"
BROKEN = {
    "exits": ("sys.exit(0)", "service.py cannot be loaded: SystemExit: 0 (service.py, line 5)"),
    "dies": ("os.kill(os.getpid(), signal.SIGKILL)", "the process was ended by signal 9; what it said is in the "),
    "hangs": ("time.sleep(3600)", LATE),
    "never-ready": ("""
        class Silent(Service):
            def configure(self, **config):
                self.control.add_class("left", rate="80kbit")
                time.sleep(3600)
        """, LATE),
    "misspelt": ("unknown_name", "NameError: name 'unknown_name' is not defined (service.py, line 5)"),
    "imports": ("import nothing_of_this_name", "No module named 'nothing_of_this_name' (service.py, line 5)"),
    "raises": ("""
        class Raises(Service):
            def configure(self, **config):
                self.control.add_class("left", rate="80kbit")
                raise ValueError("this cannot be")
        """, "ValueError: this cannot be (service.py, line 8)"),
    "ends": ("""
        class Ends(Service):
            def configure(self, **config):
                sys.exit("I do not want to")
        """, "SystemExit: I do not want to (service.py, line 7)"),
    "arguments": ("""
        class Arguments(Service):
            def configure(self, colour):
                pass
        """, "TypeError: Arguments.configure() missing 1 required positional argument: 'colour'"),
    "greedy": ("""
        class Greedy(Service):
            def configure(self, **config):
                self.control.add_class("left", rate="8kbit")
                self.control.add_class("lane", rate="1600kbit")
        """, "service greedy may have classes of 200 kB/s in sum"),
    "many": ("""
        class Many(Service):
            def configure(self, **config):
                for name in ("a", "b", "c"):
                    self.control.add_class(name, rate="80kbit")
        """, "may have 2 classes at a time"),
    "wide": ("""
        class Wide(Service):
            def configure(self, **config):
                self.control.add_class("lane", rate="80kbit")
                self.control.add_class_member("lane", Flow(remote="nowhere"))
        """, "address 'nowhere'"),
}  # fmt: skip
