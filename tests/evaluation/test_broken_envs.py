"""Envs that go wrong in the middle of `rllib evaluate`, long after they were checked."""

import re

import numpy as np
import pytest
from ray.tune.registry import register_env
from typer.testing import CliRunner

from rllib_qatten.__main__ import app
from tests.evaluation.teams import write_team
from tests.teams import ScriptedBattle


class Breaking(ScriptedBattle):
    """Breaks in the 300th step of all games together."""

    how = ""
    steps = 0

    def step(self, action_dict):
        answer = super().step(action_dict)
        Breaking.steps += 1
        if Breaking.steps != 300:
            return answer
        observations, rewards, *rest = answer
        unit = next(iter(observations))
        if self.how == "raises":
            raise ConnectionError("simulator lost")
        if self.how == "exits":
            raise SystemExit(3)
        if self.how == "returns nothing":
            return None
        if self.how == "another shape":
            observations[unit] = observations[unit] | {"observations": np.zeros(99, np.float32)}
        if self.how == "no reward":
            rewards = dict.fromkeys(rewards, float("nan"))
        if self.how == "sees nothing":
            observations[unit]["observations"] = np.full(3, np.nan, np.float32)
        return observations, rewards, *rest


@pytest.mark.parametrize(
    ("how", "code", "says"),
    [
        ("raises", 1, r"raised ConnectionError: simulator lost \(.*\) in step \d+ of a game"),
        ("exits", 1, r"raised SystemExit \(sys.exit\(3\)\) \(.*\) in step \d+ of a game"),
        ("returns nothing", 2, r"(?s)broke the team contract in step \d+ .*step\(\) returned None"),
        ("another shape", 2, r"(?s)broke the team contract in step \d+ .*observed shape \(99,\)"),
        ("no reward", 1, r"gave NaN or infinity in its rewards at step \d+ of a game"),
        ("sees nothing", 1, r"gave NaN or infinity in its observations at step \d+ of a game"),
    ],
)
def test_one_message_names_env_and_step(tmp_path, monkeypatch, how, code, says):
    register_env("breaking", Breaking)
    monkeypatch.setattr(Breaking, "how", how)
    monkeypatch.setattr(Breaking, "steps", 0)
    config = {"lengths": [5], "wins": [True]}
    folder = write_team(tmp_path / "checkpoint", "breaking", config)
    results = tmp_path / "results.json"
    words = ["evaluate", folder, "--env", "breaking", "--episodes", 200, "--json", results]
    result = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    [message] = re.split(r"^Error: ", result.stderr, flags=re.MULTILINE)[1:]
    assert message.startswith(("scripted battle ", "The environment scripted battle "))
    assert re.search(says, message)
    assert not results.exists()
