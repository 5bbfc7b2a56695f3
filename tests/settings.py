"""Settings that tests share among algorithms which do not have the same."""

from rllib_qatten import ALGORITHMS


def those_of(name, settings):
    """The settings that an algorithm has, of some that others have."""
    config = ALGORITHMS[name].get_default_config()
    return {key: value for key, value in settings.items() if key in config}
