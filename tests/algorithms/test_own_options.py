"""The options of somebody's own mixer and loss: names, shared ones, defaults."""

from typing import Literal

import pytest
import torch

from rllib_qatten.algorithms.config import ValueDecompositionConfig
from rllib_qatten.envs.team import TeamSpec
from rllib_qatten.mixers import Mixed, Mixer
from rllib_qatten.training.rl_module import ValueDecompositionRLModule


def config_of(mixer, *sources):
    """The config class of an algorithm with these options."""
    policy = type("OwnPolicy", (ValueDecompositionRLModule,), {"mixer_class": mixer})
    body = {"rl_module_class": policy, "option_sources": sources}
    return type("OwnConfig", (ValueDecompositionConfig,), body)


class Scaled(Mixer):
    """Has an option that a loss may share."""

    def __init__(self, n_agents, state_dim=0, unit_dim=0, *, alpha: float = 1.0):
        """Keep alpha.

        Args:
            n_agents: N.
            state_dim: S.
            unit_dim: ignored.
            alpha: scale of Q_tot.
        """
        super().__init__(n_agents, state_dim, unit_dim)
        self.alpha = alpha

    def mix(self, rows):
        return Mixed(self.alpha * rows.utilities.sum(-1))


def gamma(*, gamma: float = 0.5):
    pass


def tau(*, tau: float = 0.5):
    pass


def seed(*, seed: int = 3):
    pass


def learner_class(*, learner_class: str = ""):
    pass


def copy(*, copy: bool = True):
    pass


@pytest.mark.parametrize("source", [gamma, tau, seed, learner_class, copy])
def test_an_option_with_the_name_of_something_else_is_refused(source):
    """It used to replace the run's discount, for instance."""
    name = source.__name__
    with pytest.raises(
        TypeError,
        match=rf"{name}'s option {name} has the name of an? \w+ that OwnConfig has .*: rename",
    ):
        config_of(Scaled, source)


def test_a_mixers_option_with_the_name_of_a_setting_is_refused():
    class Discounted(Scaled):
        def __init__(self, *sizes, gamma: float = 0.5):
            super().__init__(*sizes)

    with pytest.raises(TypeError, match=r"Discounted's option gamma has the name of a setting"):
        config_of(Discounted)


def test_a_mixer_whose_weights_have_no_size_yet_is_refused():
    class Lazy(Scaled):
        def __init__(self, *sizes):
            super().__init__(*sizes)
            self.value = torch.nn.LazyLinear(1)

    with pytest.raises(ValueError, match="Lazy has weights without a size"):
        config_of(Lazy).rl_module_class.make_mixer(TeamSpec(("a",), 1, 1, 1), {"mixer": {}})


def test_mixer_and_loss_share_an_option_only_with_one_default():
    def alike(*, alpha: float = 1.0, beta: float = 2.0):
        pass

    def other(*, alpha: float = 0.1):
        pass

    config = config_of(Scaled, alike)().training(alpha=0.25)
    assert config.values_of(alike) == {"alpha": 0.25, "beta": 2.0}
    assert config._model_config_auto_includes["mixer"] == {"alpha": 0.25}
    assert type(config).options["alpha"].meaning == "scale of Q_tot."
    with pytest.raises(
        TypeError, match=r"Scaled and other both have an option alpha.*1.0 in one and 0.1 in the o"
    ):
        config_of(Scaled, other)


def test_every_config_has_defaults_of_its_own():
    def layered(*, layers: list = [8, 8]):  # noqa: B006 - what is tested
        pass

    own = config_of(Scaled, layered)
    first, second = own(), own()
    first.layers.append(1)
    assert second.layers == own().layers == [8, 8]


def test_which_annotations_are_checked():
    """As the page says: docs/algorithms.md."""

    def annotated(
        *,
        count: int = 1,
        share: float | None = None,
        kind: Literal["a", "b"] | None = None,
        either: float | str | None = None,
        layers: list[int] | None = None,
        free=1,
    ):
        pass

    options = config_of(Scaled, annotated).options
    for name in options:
        options[name].check(options[name].default)
    for name, wrong in (("count", 1.5), ("count", None), ("share", "x"), ("kind", "c")):
        with pytest.raises(ValueError, match=name):
            options[name].check(wrong)
    for name, any_value in (("either", [1]), ("layers", "x"), ("free", None)):
        options[name].check(any_value)
