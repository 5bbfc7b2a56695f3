"""Reads files of reference numbers and carries weights between their layout and our mixers.

A file holds one JSON object with a list `cases`; `conventions` in it explains the shapes. There, a
linear layer is `{"weight": [out][in], "bias": [out] or null}`, a network a list of layers, and
Qatten's `query` and `key` and QPLEX's `lambda_*` are lists of networks over heads or kernels.
"""

import inspect
import json
import math
import re
from pathlib import Path

import torch
from torch import nn

from rllib_qatten.mixers import MIXERS, Mixer, QattenMixer, QTRANCritic
from rllib_qatten.mixers.layers import HeadNetwork, Hypernet

NAMES = {"wqmix_central": "central", "qtran_base": "qtran"}  # theirs -> ours
OPTIONS = {  # our names <- names in a case's config
    "n_heads": ("n_heads", "n_head"),
    "mixing_embed_dim": ("embed_dim", "mixing_embed_dim"),
    "hypernet_layers": ("hypernet_layers",),
    "hypernet_embed": ("hypernet_hidden", "hypernet_embed"),
    "weighted_heads": ("weighted_head", "weighted_heads"),
    "q_in_key": ("q_in_key", "nonlinear"),
    "mask_dead": ("mask_dead",),
    "state_bias": ("state_bias",),
    "attend_reg_coef": ("attend_reg_coef",),
    "qtran_arch": ("architecture", "qtran_arch"),
    "network_size": ("network_size",),
    "n_kernels": ("n_kernels",),
}
# Their networks that have another name here.
PARTS = {"joint_q": "joint_net", "state_value": "value_net", "action_encoder": "action_encoder"}


def load(path) -> dict:
    return json.loads(Path(path).read_text())


def tensor(numbers, dtype=torch.float64) -> torch.Tensor:
    return torch.as_tensor(numbers, dtype=dtype)


def layers(mixer: nn.Module, leaf=lambda p: None if p is None else p.detach()) -> dict:
    """Our mixer -> golden layout, made of views of `leaf(parameter)` (None stays None).

    `leaf=lambda p: None if p is None else p.grad` gives gradients in the same layout.
    """

    def linear(layer, head=...):
        weight, bias = leaf(layer.weight), leaf(layer.bias)
        return {
            "weight": None if weight is None else weight[head],
            "bias": None if bias is None else bias[head],
        }

    def network(net):
        if isinstance(net, HeadNetwork):
            heads = range(len(net.first.weight))
            return [[linear(layer, h) for layer in (net.first, *net.rest)] for h in heads]
        parts = (net.first, net.last) if isinstance(net, Hypernet) else net
        return [linear(layer) for layer in parts if isinstance(layer, nn.Linear)]

    if isinstance(mixer, QTRANCritic):
        found = {theirs: getattr(mixer, ours) for theirs, ours in PARTS.items()}
        return {name: network(net) for name, net in found.items() if net is not None}
    if isinstance(mixer, QattenMixer):
        query = [layer for layer in (mixer.query_hidden, mixer.query) if layer is not None]
        heads = range(mixer.n_heads)
        parts = {
            "query": [[linear(layer, h) for layer in query] for h in heads],
            "key": [[linear(mixer.key, h)] for h in heads],
        }
        rest = {n: getattr(mixer, n) for n in ("head_weight", "state_value")}
    else:
        parts, rest = {}, dict(mixer.named_children())
    return parts | {name: network(net) for name, net in rest.items() if net is not None}


def flatten(tree, path="") -> dict:
    """Nested dicts and lists of them -> {"query[0].1.weight": leaf}, null leaves left out."""
    if isinstance(tree, dict):
        items = [(f"{path}.{k}" if path else k, v) for k, v in tree.items()]
    elif isinstance(tree, list) and tree and isinstance(tree[0], dict | list) and _has_dict(tree):
        form = "{}[{}]" if isinstance(tree[0], list) else "{}.{}"
        items = [(form.format(path, i), v) for i, v in enumerate(tree)]
    else:
        return {} if tree is None else {path: tree}
    return {k: v for p, sub in items for k, v in flatten(sub, p).items()}


def _has_dict(tree) -> bool:
    while isinstance(tree, list) and tree:
        tree = tree[0]
    return isinstance(tree, dict)


def set_weights(mixer: nn.Module, weights: dict) -> None:
    """Golden layout -> our mixer, in place. Every weight must have its place and the reverse."""
    places, numbers = flatten(layers(mixer)), flatten(weights)
    if places.keys() != numbers.keys():
        raise ValueError(f"weights {sorted(places.keys() ^ numbers.keys())} have no counterpart")
    for name, place in places.items():
        value = torch.as_tensor(numbers[name], dtype=place.dtype)
        if value.shape != place.shape:
            raise ValueError(f"{name}: expected {list(place.shape)}, came {list(value.shape)}")
        place.copy_(value)


def get_weights(mixer: nn.Module) -> dict:
    """Our mixer -> golden layout, as copies."""
    return layers(mixer, lambda p: None if p is None else p.detach().clone())


def make_mixer(
    name: str, config: dict, weights: dict | None = None, dtype=torch.float64
) -> Mixer | QTRANCritic:
    """The mixer of a case, or QTRAN's critic, with `weights` in golden layout if given."""
    name = NAMES.get(name, name)
    build = QTRANCritic if name == "qtran" else MIXERS[name]
    options = {
        ours: config[theirs]
        for ours in OPTIONS.keys() & inspect.signature(build).parameters
        for theirs in OPTIONS[ours]
        if config.get(theirs) is not None
    }
    sizes = [config.get(k, 0) for k in ("n_agents", "state_dim", "unit_dim")]
    if name == "qatten":
        options.setdefault("attend_reg_coef", 0.0)
        options["attention_bias"] = config.get("attention_bias", "none").startswith("all")
        options["reg_over_padding"] = True
    elif name == "qplex" and weights is not None:
        # Layers and widths that no config names, read off the weights.
        kernel = weights["lambda_action"][0]
        options["hypernet_embed"] = len(weights["hyper_w"][0]["weight"])
        options["adv_hypernet_layers"] = len(kernel)
        options["adv_hypernet_embed"] = len(kernel[0]["weight"])
    elif name == "qtran":
        sizes[2:] = config["n_actions"], config.get("rnn_hidden_dim", 1)
        if options.get("qtran_arch") == "coma_critic" and weights is not None:
            # The reference has an encoder here that it never calls.
            weights = {k: v for k, v in weights.items() if k != "action_encoder"}
    if getattr(build, "uses_actions", False):
        options["n_actions"] = config["n_actions"]
    mixer = build(*sizes, **options).to(dtype)
    if weights is not None:
        set_weights(mixer, weights)
    return mixer


def case_mixer(case: dict) -> Mixer | QTRANCritic:
    """The mixer of a forward case, with its weights or its weights' formula."""
    mixer = make_mixer(case["mixer"], case["config"], case.get("weights"))
    if "weights_formula" in case:
        order, rule = (case["weights_formula"][k] for k in ("order", "rule"))
        places = flatten(layers(mixer))
        assert sorted(places) == sorted(name for name, *_ in order)
        for name, shape, start in order:
            places[name].copy_(wave(rule, start, shape))
    return mixer


def case_inputs(case: dict) -> dict:
    """state [B, T, S], actions [B, T, N], and agent_qs [B, T, N] or agent_hidden [B, T, N, h]."""
    config = case["config"]
    if "inputs_formula" in case:
        formula = case["inputs_formula"]
        rows = formula["B"], formula["T"]
        n = config["n_agents"]
        action = int(re.fullmatch(r"all (\d+)", formula["actions"])[1])
        return {
            "agent_qs": wave(formula["agent_qs"], 0, (*rows, n)),
            "state": wave(formula["state"], 0, (*rows, config["state_dim"])),
            "actions": torch.full((*rows, n), action),
        }
    inputs = {k: tensor(v) for k, v in case["inputs"].items()}
    if "agent_qs" in inputs:
        inputs.setdefault("state", inputs["agent_qs"].new_zeros(*inputs["agent_qs"].shape[:-1], 0))
        inputs.setdefault("actions", torch.ones_like(inputs["agent_qs"]))
    inputs["actions"] = inputs["actions"].long()
    return inputs


def mixer_kwargs(config: dict, state: torch.Tensor, actions: torch.Tensor) -> dict:
    """Keyword inputs by the files' conventions: u_i lead the state, and action 0 means dead."""
    n, u = config["n_agents"], config.get("unit_dim", 0)
    units = state[..., : n * u].unflatten(-1, (n, u)) if u else None
    return {"unit_features": units, "alive": actions > 0, "actions": actions}


def wave(rule: str, start: int, shape) -> torch.Tensor:
    """Numbers by a rule such as "0.5*sin(0.7*k+0.3)", k counting from `start`, row-major."""
    number = r"(\d+(?:\.\d+)?)"
    found = re.search(rf"(?:{number}\*)?(sin|cos)\({number}\*[jk]([+-]{number})?\)", rule)
    if found is None:
        raise ValueError(f"no rule of the form a*sin(b*k+c) in {rule!r}")
    size, name, step, shift, _ = found.groups()
    k = torch.arange(start, start + math.prod(shape), dtype=torch.float64).view(*shape)
    return float(size or 1) * getattr(torch, name)(float(step) * k + float(shift or 0))


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
