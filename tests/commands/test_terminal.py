"""Tables of commands on terminals of any width."""

import pytest

from rllib_qatten.commands.terminal import table

HEAD = ("setting", "value", "default")
ROWS = [("min_sample_timesteps_per_iteration", 10_000, None), ("epsilon", [[0, 1.0]], [[0, 0.5]])]


@pytest.mark.parametrize("width", [10, 20, 40, 55, 60, 80, 200])
def test_nothing_is_lost_however_narrow_it_is(width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    table(HEAD, ROWS, numbers=False)
    output = capsys.readouterr().out
    for row in ROWS:
        for cell in row:
            assert "".join(str(cell).split()) in "".join(output.split())
    lines = output.splitlines()
    assert max(map(len, lines)) <= width
    assert (len(lines) == 1 + len(ROWS)) == (width > 55)
