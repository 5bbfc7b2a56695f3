"""The one error that is the user's, in every layer."""


class BadInput(ValueError):
    """What the user gave cannot be run; the message says where, what came and what is accepted."""
