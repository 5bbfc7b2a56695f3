"""Where compiled functions come from: one process compiles, others read, or torch does it."""

import functools
import os
import subprocess
import sys

import pytest

pytest.importorskip("numba")

#: A process that needs compiled functions: prints an answer of theirs, or that torch must give it.
CODE = """
import numpy as np
from rllib_qatten.compiled.compiler import kernels
module, taken = kernels("selection"), np.zeros((1, 2), "f4")
if kernels("selection"):
    places = np.zeros(1, "i8"), np.array([[2, 1]])
    module.take(np.arange(6, dtype="f4").reshape(1, 2, 3), *places, taken)
print(taken.tolist() if module else "by torch")
"""


def start(home, first="", **variables):
    environment = os.environ | {"XDG_CACHE_HOME": str(home)} | variables
    command = [sys.executable, "-c", first + CODE]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)


def test_of_two_processes_one_compiles_and_a_third_reads(tmp_path):
    answers = [p.communicate() for p in [start(tmp_path), start(tmp_path)]]
    answers.append(start(tmp_path).communicate())
    said = [error.count("compiling what updates need (selection") for _, error in answers]
    assert sorted(said[:2]) == [0, 1]
    assert said[2] == 0
    assert {out for out, _ in answers} == {"[[2.0, 4.0]]\n"}


def test_without_a_place_to_keep_them_torch_does_it_and_says_so_once(tmp_path):
    (tmp_path / "rllib_qatten").write_text("a file where the folder should be")
    out, error = start(tmp_path).communicate()
    assert out == "by torch\n"
    assert error.count("torch's slower functions are used") == 1
    assert "XDG_CACHE_HOME" in error


def test_without_the_extra_it_says_once_how_to_get_it(tmp_path):
    first = "import sys; sys.modules['numba'] = None\n"
    first += "from rllib_qatten.compiled.compiler import tell; tell(); tell()"
    out, error = start(tmp_path, first).communicate()
    assert out == "by torch\n"
    [line] = error.splitlines()
    assert "numba not installed: pip install 'rllib-qatten[fast]'" in line


def test_switched_off(tmp_path):
    out, error = start(tmp_path, RLLIB_QATTEN_COMPILED="0").communicate()
    assert out == "by torch\n"
    assert not error
    assert not list(tmp_path.iterdir())


#: A process that does updates: prints checksums of what each algorithm learned with each agent, and
#: of gradients of a larger network.
UPDATES = """
import hashlib
import numpy as np
import torch
from rllib_qatten import ALGORITHMS
from rllib_qatten.agents import EpisodeInputs, InputLayout, make_agent
from rllib_qatten.agents.registry import AGENTS
from tests.training.several_learners import build, learn
from tests.training.test_batch import make_episode

def show(name, arrays):
    content = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
    print(name, hashlib.sha256(content).hexdigest())

torch.set_num_threads(1)
rng = np.random.default_rng(0)
games = [make_episode(rng, steps) for steps in (9, 7, 7, 6, 2, 1, 9, 9)]
for name in ALGORITHMS:
    for agent in AGENTS:
        torch.manual_seed(0)
        learner = build(name, 0, agent=agent, hidden_size=64)
        learner.build()
        _, weights, _ = learn(learner, [games, games])
        show(f"{name}, {agent}", [weights[key] for key in sorted(weights)])
torch.manual_seed(0)
layout, sizes = InputLayout(30, 8, 3), [32] * 10 + [20] * 10
network = make_agent(layout.size, 8, 3, kind="recurrent", layer_norm=True)
entries = torch.randn(sum(sizes), 3, 30), torch.randint(-1, 8, (sum(sizes), 3))
network(EpisodeInputs(layout, *entries), sizes).square().sum().backward()
show("recurrent", [parameter.grad for parameter in network.parameters()])
"""


@pytest.mark.slow
def test_who_compiles_learns_what_others_do(tmp_path):
    command = [sys.executable, "-c", UPDATES]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    run = functools.partial(
        subprocess.run, command, env=environment, capture_output=True, text=True, check=True
    )
    first, second = run(), run()
    assert first.stderr.count("compiling what updates need") >= 5
    assert "compiling" not in second.stderr
    assert len(first.stdout.splitlines()) > 20
    assert first.stdout == second.stdout
