"""The one kind of error that a user can mend."""


class UserError(Exception):
    """One sentence: the value, the place, the remedy. Ends the run with exit status 1 and no traceback."""
