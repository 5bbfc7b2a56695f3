"""Settings that come in named sets, which the user's explicit settings override.

A config's values are layered: the defaults, then the chosen named sets (a `recipe`, a
`mixer_preset`), then what was set explicitly, whatever the order of the calls. So a recipe can be
searched like any setting: every trial gets its recipe's values, overridden by what was set.
"""

from __future__ import annotations

import copy
from abc import ABCMeta
from typing import Any, ClassVar, Self

import numpy as np
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.utils.annotations import override
from ray.tune.result import TRIAL_INFO

from rllib_qatten.algorithms.rllib_settings import attribute
from rllib_qatten.algorithms.searched import searchable
from rllib_qatten.algorithms.unknown_setting import unknown_setting
from rllib_qatten.errors import BadInput, one_of

#: Attributes, and so keys of a config's dict: the settings that were set explicitly, the named
#: sets that the others take their values from, and the policy's name.
SET, SETS, KIND = "_set", "_named_sets", "_kind"


class _Layered(ABCMeta):
    """What constructors set are defaults; what is set later is set by the user."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        config = super().__call__(*args, **kwargs)
        vars(config).update({SET: (), SETS: config._chosen_sets(), KIND: config.policy_name()})
        return config


class LayeredConfig(AlgorithmConfig, metaclass=_Layered):
    """Remembers what was set; refuses unknown settings.

    Attributes:
        named_sets: Setting -> name -> values; the sets of a later setting take precedence.
        options: The settings that not all algorithms have, by name.
    """

    named_sets: ClassVar[dict[str, dict[str, dict[str, Any]]]] = {}
    options: ClassVar[dict[str, Any]] = {}

    environment = searchable("environment")
    env_runners = searchable("env_runners")
    training = searchable("training")
    learners = searchable("learners")
    callbacks = searchable("callbacks")
    evaluation = searchable("evaluation")

    @classmethod
    def policy_name(cls) -> str:
        """The policy's class; the default one's, if a user sets another."""
        return str(getattr(cls, "rl_module_class", cls).__name__)

    @property
    def name(self) -> str:
        """The trainable's name."""
        return self.algo_class.__name__

    def was_set(self, key: str) -> bool:
        """Whether a setting that a named set may bring was set explicitly."""
        return key in self.__dict__.get(SET, ())

    def __setattr__(self, key: str, value: Any) -> None:
        """Sets one value and remembers that; choosing a named set brings its values.

        Raises:
            ValueError: If there is no such setting or no such set, with the nearest one.
        """
        if isinstance(value, np.generic):  # from a search over an array
            value = value.item()
        if SET not in self.__dict__:
            super().__setattr__(key, value)
            return
        self._check_key(key)
        if key in self.named_sets and isinstance(value, str):
            one_of(value, self.named_sets[key], key)
        super().__setattr__(key, value)
        self._remember(key)

    @override(AlgorithmConfig)
    def __setitem__(self, key: str, value: Any) -> None:
        """Like an attribute; RLlib allows frozen configs to be changed this way."""
        if isinstance(value, np.generic):
            value = value.item()
        self._check_key(key)
        super().__setitem__(key, value)
        self._remember(key)

    def _check_key(self, key: str) -> None:
        if key.startswith("_") or key in self.__dict__ or key == "worker_index":
            return
        if not isinstance(getattr(type(self), key, None), property):
            raise unknown_setting(key, self)

    def _remember(self, key: str) -> None:
        if key in self.named_sets:
            self._lay()
        elif key in self._layered and key not in self.__dict__[SET]:
            self.__dict__[SET] = (*self.__dict__[SET], key)

    @property
    def _layered(self) -> set[str]:
        """The settings of this config that a named set may bring."""
        sets = [values for named in self.named_sets.values() for values in named.values()]
        return {key for values in sets for key in values if key in self.__dict__}

    def _chosen_sets(self) -> dict[str, Any]:
        return {setting: getattr(self, setting) for setting in self.named_sets}

    def _below(self, chosen: dict[str, Any]) -> dict[str, Any]:
        """The layered settings' values under these named sets if none was set explicitly."""
        defaults = type(self)(self.algo_class)
        values = {key: getattr(defaults, key) for key in self._layered}
        for setting, named in self.named_sets.items():
            # The default set's values are the config's defaults, including a subclass's changes.
            name, default = chosen.get(setting), getattr(defaults, setting)
            if name is not None and name != default:
                brought = named[one_of(name, named, setting)]
                values |= {k: copy.deepcopy(v) for k, v in brought.items() if k in values}
        return values

    def _lay(self) -> None:
        """Applies the values of the chosen named sets to all settings that were not set."""
        chosen = self._chosen_sets()
        if not all(name is None or isinstance(name, str) for name in chosen.values()):
            return  # searched: the trial will bring the name
        for key, value in self._below(chosen).items():
            if key not in self.__dict__[SET]:
                self.__dict__[key] = value
        self.__dict__[SETS] = chosen

    @override(AlgorithmConfig)
    def get_state(self) -> dict[str, Any]:
        """See base class, which leaves out every -1, its mark of a setting that is gone.

        An algorithm is built from this: `seed=-1` would neither be refused nor take effect.
        """
        state: dict[str, Any] = super().get_state()
        gone = {key for key, value in vars(AlgorithmConfig()).items() if value == -1}
        more = vars(self).keys() - state.keys() - gone - {"algo_class", "_is_frozen"}
        return state | {key: vars(self)[key] for key in more}

    @override(AlgorithmConfig)
    def update_from_dict(self, config_dict: dict[str, Any]) -> Self:
        """Takes settings from a dict, either of some settings or of a whole config (`to_dict`).

        `"class"`, which every built algorithm's config has, is RLlib's own and says nothing more.

        In a whole config's dict, what was set in that config counts as set, and so does every value
        that its named sets do not have.

        Raises:
            ValueError: For an unknown key, with the nearest setting, or for a whole config of
                another kind; nothing is changed then.
        """
        if "in_evaluation" in config_dict and SET not in config_dict:  # which nobody sets
            raise BadInput(
                f"These are all settings of another kind of config, whose defaults would replace "
                f"{self.name}'s: start from {type(self).__name__}() and set what differs."
            )
        if (policy := config_dict.get(KIND, self.policy_name())) != self.policy_name():
            raise another_policy(policy, self.name, self.policy_name())
        config_dict = {key: value for key, value in config_dict.items() if key != "class"}
        for key in config_dict:
            if key not in (TRIAL_INFO, "multiagent"):
                self._check_key(self._translate_special_keys(attribute(key), warn_deprecated=False))
        # Dicts may use either of RLlib's two spellings: learner_class, _learner_class.
        given = {attribute(key): value for key, value in config_dict.items()}
        if SET in given:
            was_set, chosen = given.pop(SET), given.pop(SETS, {})
            self.__dict__[SET] = ()
            for key, value in self._below(chosen).items():
                if key not in was_set and given.get(key) == value:
                    del given[key]
        super().update_from_dict(given)
        self._lay()
        return self


def another_policy(given: str, algorithm: str, own: str) -> BadInput:
    """The error for all settings of an algorithm with one policy that another one gets."""
    return BadInput(
        f"These are all settings of an algorithm whose policy is {given}, but {algorithm}'s is "
        f"{own}, with another mixer: train the one that they are of, or start from {algorithm}'s "
        "own config."
    )
