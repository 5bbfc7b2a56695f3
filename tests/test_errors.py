"""What an error of a user's code is told as."""

import sys
from pathlib import Path

import numpy as np
import pytest

import rllib_qatten
from rllib_qatten.errors import described, own_line

HERE = __file__


def line():
    """The line that calls this."""
    return sys._getframe(1).f_lineno


def fails():
    fails.line = line() + 1
    np.zeros(3).reshape(2)


def leaves():
    leaves.line = line() + 1
    sys.exit("no map")


@pytest.mark.parametrize(
    ("work", "what"),
    [
        (fails, "ValueError: cannot reshape array of size 3 into shape (2,)"),
        (leaves, "SystemExit (sys.exit('no map'))"),
    ],
)
def test_an_error_is_told_with_the_users_own_line(work, what):
    with pytest.raises((ValueError, SystemExit)) as caught:
        work()
    assert described(caught.value) == f"{what} ({HERE} line {work.line}, in {work.__name__})"


def test_lines_of_this_package_python_and_what_is_installed_are_not_the_users():
    trace = [
        f'  File "{Path(rllib_qatten.__file__).parent}_maps/my env.py", line 3, in step',
        f'  File "{sys.modules["rllib_qatten.errors"].__file__}", line 4, in one_of',
        f'  File "{np.__file__}", line 5, in zeros',
        '  File "/home/me/.local/lib/python3.11/site-packages/a.py", line 5, in forward',
        f'  File "{sys.modules["re"].__file__}", line 6, in match',
        '  File "<frozen importlib._bootstrap>", line 7, in _load',
    ]
    own = own_line("\n".join(trace))
    assert own.endswith("rllib_qatten_maps/my env.py line 3, in step)")
    assert own_line("\n".join(trace[1:])) == ""
