"""Settings that tests share among algorithms which do not have the same."""

from typing import Literal, get_args, get_origin

import pytest

from rllib_qatten import ALGORITHMS


def those_of(name, settings):
    """The settings that an algorithm has, of some that others have."""
    config = ALGORITHMS[name].get_default_config()
    return {key: value for key, value in settings.items() if key in config}


def _forms():
    """Every algorithm as it is, and with each other choice of its options that are names."""
    for name in ALGORITHMS:
        yield pytest.param(name, {}, id=name)
        for option in ALGORITHMS[name].config_class.options.values():
            named = get_origin(option.kind) is Literal and isinstance(option.default, str)
            for choice in get_args(option.kind) if named else ():
                if choice != option.default:
                    yield pytest.param(name, {option.name: choice}, id=f"{name}-{choice}")


FORMS = list(_forms())
every_form = pytest.mark.parametrize(("name", "options"), FORMS)
#: The same for tests that take seconds: other choices of options are left to the long tests.
every_algorithm = pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param(*form.values, id=form.id, marks=[pytest.mark.slow] if form.values[1] else [])
        for form in FORMS
    ],
)
