"""Mixers and random inputs that the tests share."""

from itertools import product

import torch

from rllib_qatten.mixers import MIXERS

N, S, U, A = 3, 5, 2, 3

FLAGS = ("weighted_heads", "q_in_key", "mask_dead", "state_bias", "attention_bias")
ALL_QATTENS = [
    dict(zip(FLAGS, flags, strict=True), hypernet_layers=layers)
    for layers, *flags in product((1, 2), *[(False, True)] * len(FLAGS))
]
VARIANTS = [  # every registered mixer, then settings that change what it promises
    *((name, {}) for name in MIXERS),
    ("qmix", {"hypernet_layers": 1}),
    ("qatten", {"weighted_heads": True, "hypernet_layers": 1}),
    ("qatten", {"weighted_heads": True, "mask_dead": True, "attention_bias": True}),
    ("qatten", {"q_in_key": True}),
    ("qatten", {"state_bias": False, "n_heads": 1, "attend_reg_coef": 0.0}),
    ("qlinear", {"hypernet_layers": 1, "state_bias": False}),
    ("qplex", {"adv_hypernet_layers": 2}),
    ("qplex", {"adv_hypernet_layers": 3, "n_kernels": 10}),
    ("qplex", {"transformation": "attention"}),
    ("qplex", {"transformation": "attention", "weighted_heads": True, "n_heads": 2}),
]
QPLEXES = [options for name, options in VARIANTS if name == "qplex"]


def build(name, options, n=N, seed=0, dtype=torch.float64):
    torch.manual_seed(seed)
    sizes = {"n_actions": A} if MIXERS[name].uses_actions else {}
    return MIXERS[name](n, S, U, **sizes, **options).to(dtype)


def batch(shape=(4,), n=N, seed=0, dtype=torch.float64, scale=1.0):
    """Random keyword arguments of `Mixer.forward`."""
    g = torch.Generator().manual_seed(seed)

    def normal(*sizes):
        return scale * torch.randn((*shape, *sizes), generator=g, dtype=dtype)

    alive = torch.rand((*shape, n), generator=g) < 0.7
    mask = torch.rand(shape, generator=g) < 0.7
    utilities = normal(n)
    inputs = {"state": normal(S), "unit_features": normal(n, U), "alive": alive, "mask": mask}
    return inputs | {
        "actions": torch.randint(A, (*shape, n), generator=g),
        "best_utilities": utilities + normal(n).clamp(min=0),  # about half act greedily
        "utilities": utilities.requires_grad_(),
    }
