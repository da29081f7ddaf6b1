"""The one exception for what a user can mend."""


class InputError(ValueError):
    """Bad input: the message is one sentence that names what, where and the remedy; shown without a traceback."""
