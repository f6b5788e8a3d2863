"""What can go wrong with a page, by whose fault it is."""


class BrowserMissing(Exception):
    """No browser could be started here: the host's lack, so nothing is decided. Says what to install."""


class BrowserGone(Exception):
    """The browser ended, or says what cannot be read."""


class Refused(Exception):
    """The browser's answer to a command is an error, such as that the page is gone."""


class Fault(Exception):
    """The page hangs, crashes, eats memory or goes elsewhere: its own fault, which the message names."""


class Busy(Exception):
    """The page got too little of the machine to be judged in time, so nothing is decided."""
