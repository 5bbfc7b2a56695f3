"""What differs between settings, and that what is equal does not."""

import numpy as np
import pytest

from rllib_qatten.rollout.changed_settings import changed


class Opponent:
    """Equal only to itself, as objects are by default."""

    def __init__(self, strength):
        self.strength = strength


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({"limit": 4}, {"limit": np.int64(4)}),
        ({"sizes": (3, 4)}, {"sizes": [3, 4]}),
        ({"grid": np.eye(3)}, {"grid": np.eye(3)}),
        ({"grid": np.eye(2)}, {"grid": [[1, 0], [0, 1]]}),
        ({"grids": [np.eye(3), {"a": np.ones(2)}]}, {"grids": [np.eye(3), {"a": np.ones(2)}]}),
        ({"worst": float("nan")}, {"worst": float("nan")}),
        ({"other": Opponent(3)}, {"other": Opponent(3)}),
        ({"kind": Opponent, "map": {}}, {"kind": Opponent, "map": {}}),
    ],
)
def test_equal_settings(before, now):
    assert not list(changed(before, now))


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({"a": 1, "limit": 3}, {"limit": 9, "a": 1}, [("limit", "3", "9")]),
        ({"map": {"n": 1}}, {"map": {"n": 2}}, [("map.n", "1", "2")]),
        ({"limit": None}, {}, [("limit", "None", "not set")]),
        ({"map": {}}, {"map": 3}, [("map", "{}", "3")]),
        ({"limit": 4}, {"limit": "4"}, [("limit", "4", "'4'")]),
        ({"n": [1, [2]]}, {"n": [1, [3]]}, [("n", "[1, [2]]", "[1, [3]]")]),
        ({0: 1.0}, {"0": 1.0}, [("0", "1.0", "not set"), ("0", "not set", "1.0")]),
    ],
)
def test_what_differs(before, now, expected):
    assert list(changed(before, now)) == expected


def test_arrays_and_objects_that_differ():
    before = {"grid": np.eye(3), "other": Opponent(3), "lock": lambda: 1}
    now = {"grid": np.ones((3, 3)), "other": Opponent(4), "lock": lambda: 2}
    assert [key for key, *_ in changed(before, now)] == ["grid", "other", "lock"]
