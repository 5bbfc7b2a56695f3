"""Episode lengths that matter, how they pack, and checks that compiled agents share."""

import torch

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


def check_interleaved_calls(agent, inputs, sizes):
    """The gradient of a call is its own, whatever was called and differentiated since."""
    parameters = list(agent.parameters())
    first = agent(inputs, sizes).sum()
    second = agent(inputs, sizes).square().sum()
    wanted = torch.autograd.grad(agent(inputs, sizes).sum(), parameters)
    torch.autograd.grad(second, parameters)
    for a, b in zip(torch.autograd.grad(first, parameters), wanted, strict=True):
        assert torch.equal(a, b)


def check_second_derivatives(forms, sizes):
    """Those of a compiled agent are its exact form's; both come with their inputs."""
    found = []
    for agent, inputs in forms:
        parameters = list(agent.parameters())
        first = torch.autograd.grad(agent(inputs, sizes).sum(), parameters, create_graph=True)
        total = sum(g.square().sum() for g in first)
        found.append(torch.autograd.grad(total, parameters, allow_unused=True))
    for ours, exact in zip(*found, strict=True):
        if exact is not None:
            assert_close(ours.double(), exact, 1e-5)
