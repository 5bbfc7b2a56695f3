"""Values that a file made up by somebody may hold in any place."""

#: Of JSON: wrong kinds, wrong signs, wrong sizes, what is no number, what is nested.
VALUES = (
    None, True, False, 0, -1, -(10**9), 1, 2, 3, 1.5, 10**6, 2**31, 2**63, 10**30, float("nan"),
    float("inf"), "", "x", "\x1b]0;x\x07", "\u202e", "\ud800", "../../x", "<script>", "x" * 100_000,
    [], {}, [[]], [1, "a", None], list(range(5000)), {"a": {"b": [{}]}}, {"": None},
    "subprocess:run", "os:system",
)  # fmt: skip


def places(value, path=()):
    """All keys and indices in a JSON value, as paths."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, below in inner:
        yield (*path, key)
        if isinstance(below, dict | list):
            yield from places(below, (*path, key))


def put(value, path, new):
    """Puts something in a place of a JSON value."""
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = new


def drop(value, path):
    """Takes a place away."""
    for key in path[:-1]:
        value = value[key]
    del value[path[-1]]
