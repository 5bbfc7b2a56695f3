"""Episode lengths that matter, and how they pack."""

LENGTHS = {
    "equal": [5, 5, 5],
    "ragged": [11, 9, 9, 4, 1],
    "one step": [1, 1],
    "one episode": [7],
    "one entry": [1],
    "longer than blocks": [20, 17],
}


def batch_sizes(lengths):
    return [sum(n > t for n in lengths) for t in range(max(lengths))]


def assert_close(actual, expected, tolerance):
    assert actual.shape == expected.shape
    assert (actual - expected).norm() <= tolerance * expected.norm()
