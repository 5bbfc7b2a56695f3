"""An algorithm that continues from its checkpoints as if it had never stopped."""

from __future__ import annotations

import contextlib
import functools
import json
import pickle
import tempfile
from pathlib import Path
from typing import Any

import ray
import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.env.env_runner_group import EnvRunnerGroup
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    NUM_EPISODES_LIFETIME,
)

from rllib_qatten import keys
from rllib_qatten.checkpoints import folder as checkpoint
from rllib_qatten.checkpoints import team_files
from rllib_qatten.checkpoints.acting_team import team_policy_files
from rllib_qatten.checkpoints.components import (
    assert_component_fits,
    find_component,
    saved_component,
)
from rllib_qatten.checkpoints.fit import (
    LOOP,
    assert_learner_fits,
    assert_parts,
    assert_state_fits,
)
from rllib_qatten.checkpoints.other_team import other_settings
from rllib_qatten.checkpoints.replay_file import read_episodes, write_episodes
from rllib_qatten.envs import TeamSpec
from rllib_qatten.envs.agent_ids import check_same_order
from rllib_qatten.errors import BadInput
from rllib_qatten.messages import say
from rllib_qatten.rollout import global_rng
from rllib_qatten.rollout.changed_settings import changed
from rllib_qatten.rollout.env_runner import TeamEnvRunner
from rllib_qatten.rollout.replay import EpisodeReplay
from rllib_qatten.version import __version__

#: Keys of a config in a checkpoint; `to_dict` spells the second differently.
_SAVED = {"class", "framework_str"}


class ResumableAlgorithm(Algorithm):
    """Adds to RLlib's checkpoints what it leaves out: replay, games under way, random draws.

    Attributes:
        replay: Set by the subclass before RLlib's `setup`.
    """

    replay: EpisodeReplay
    # Updates still due for games already played; fractions carry over to the next games.
    _updates_due = 0.0

    def __init__(self, config: Any = None, **kwargs: Any) -> None:
        """See base class; a checkpoint's config does without GPUs that this machine lacks.

        Raises:
            CheckpointError: Without a config, which RLlib skips if it cannot read it.
        """
        if config is None:
            raise checkpoint.CheckpointError(
                f"{type(self).__name__} got no settings. If it is being loaded from a checkpoint, "
                "that needs a module that cannot be imported here, or was saved by an older "
                "rllib_qatten, whose classes have moved since. Its team still acts: "
                "TeamPolicy.from_checkpoint(path), rllib evaluate. To train on, build the "
                "algorithm from the same settings and call restore_from_path(path)."
            )
        if isinstance(config, dict) and not _SAVED <= config.keys():
            # RLlib would take any dict with a class for a saved one, which has other keys.
            config = {key: value for key, value in config.items() if key != "class"}
        elif isinstance(config, dict) and config["num_gpus_per_learner"]:
            # A remote learner runs wherever the cluster has a GPU.
            remote = config["num_learners"] and ray.is_initialized()
            if not (ray.cluster_resources().get("GPU") if remote else torch.cuda.device_count()):
                say("The checkpoint was trained on a GPU, but there is none here: using the CPU.")
                config = config | {"num_gpus_per_learner": 0}
        super().__init__(config, **kwargs)

    def __repr__(self) -> str:
        """See base class, which needs the config: Ray asks also after an error in it."""
        built = getattr(self, "config", None) is not None
        return super().__repr__() if built else type(self).__name__

    @override(Algorithm)
    def setup(self, config: Any) -> None:
        """Makes sure that all env runners have the agents in the order of the weights."""
        super().setup(config)
        self._check_agents()

    def _check_agents(self) -> None:
        for group in self._runner_groups.values():
            for agents in group.foreach_env_runner(_agents):
                if agents is not None:
                    check_same_order(self.spec.agents, agents)

    @property
    def spec(self) -> TeamSpec:
        """The team's sizes and names."""
        return self.spaces[DEFAULT_MODULE_ID][0].spec

    @override(Algorithm)
    def get_metadata(self) -> dict[str, Any]:
        """Adds the algorithm's name and the package's version."""
        return super().get_metadata() | checkpoint.metadata(self.config.name)

    @override(Algorithm)
    def get_state(
        self, components: Any = None, *, not_components: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Adds the loop's own state; the replay's episodes are only in checkpoints.

        Raises:
            BadInput: If there is no such component.
        """
        assert_parts([components] if isinstance(components, str) else components or ())
        state = super().get_state(components, not_components=not_components, **kwargs)
        if self._check_component(LOOP, components, not_components):
            state[LOOP] = {
                checkpoint.ALGORITHM: self.config.name,
                "seed": self.config.seed,
                "team_reward": self.config.team_reward,
                "updates_due": self._updates_due,
                "time_total_s": self._time_total,
                "replay": self.replay.get_state(),
                "global_rng": global_rng.get_state(),
                "games": {
                    name: {g["worker_index"]: g for g in group.foreach_env_runner(_get_games)}
                    for name, group in self._runner_groups.items()
                },
            }
        return state

    @override(Algorithm)
    def set_state(self, state: dict[str, Any]) -> None:
        """See `get_state`; where the seed is another one, all draws begin anew from it.

        Raises:
            BadInput: If it does not fit; nothing is changed then.
        """
        assert_state_fits(state, self.config.name, self.learner_group)
        super().set_state(state)
        if LOOP not in state:
            return
        loop = state[LOOP]
        self._updates_due = loop["updates_due"]
        self._time_total = loop["time_total_s"]
        seeds = loop.get("seed", self.config.seed), self.config.seed
        reseeded = seeds[0] != seeds[1]
        own_draws = {"rng": self.replay.get_state()["rng"]} if reseeded else {}
        self.replay.set_state(loop["replay"] | own_draws)
        played = self._played[NUM_ENV_STEPS_SAMPLED_LIFETIME]
        # After RLlib, which broadcasts the step count before it restores it.
        for name, group in self._runner_groups.items():
            saved = {} if reseeded else loop["games"].get(name, {})
            set_games = functools.partial(_set_games, saved=saved, env_steps=played)
            whys = dict(group.foreach_env_runner(set_games))
            if {i for i, games in saved.items() if games["begun"]} - whys.keys():
                whys[-1] = "other env runners played there"
            if name == keys.ENV_RUNNERS and any(whys.values()):
                reasons = "; ".join(dict.fromkeys(filter(None, whys.values())))
                if reseeded:
                    reasons = "seed: {} in the checkpoint, {} here".format(*seeds)
                say(f"Games under way start over: {reasons}.")
        if not reseeded:
            global_rng.set_state(loop["global_rng"])
        rewards = loop.get("team_reward", self.config.team_reward)
        if rewards != self.config.team_reward and len(self.replay):
            say(
                f"team_reward: {rewards} in the checkpoint, {self.config.team_reward} here: the "
                "games in the replay keep the rewards that they were played with."
            )

    @override(Algorithm)
    def restore_env_runners(self, env_runner_group: EnvRunnerGroup) -> list[int]:
        """Restarted env runners do not repeat the games they began with."""
        restored: list[int] = super().restore_env_runners(env_runner_group)
        if restored:
            self._check_agents()
            played = self._played[NUM_ENV_STEPS_SAMPLED_LIFETIME]
            env_runner_group.foreach_env_runner(
                functools.partial(_set_games, saved={}, env_steps=played),
                remote_worker_ids=restored,
                local_env_runner=False,
            )
        return restored

    @property
    def _runner_groups(self) -> dict[str, EnvRunnerGroup]:
        groups = {keys.ENV_RUNNERS: self.env_runner_group}
        groups[keys.EVALUATION] = self.eval_env_runner_group
        return {name: group for name, group in groups.items() if group}

    @property
    def _played(self) -> dict[str, int]:
        """Env steps and episodes so far, by RLlib's names."""
        names = (NUM_ENV_STEPS_SAMPLED_LIFETIME, NUM_EPISODES_LIFETIME)
        return {n: int(self.metrics.peek((ENV_RUNNER_RESULTS, n), default=0)) for n in names}

    @override(Algorithm)
    def save_to_path(
        self, path: str | Path | None = None, *, filesystem: Any = None, **kwargs: Any
    ) -> str:
        """Adds the team for acting, and the replay; the folder is complete or absent.

        Raises:
            BadInput: If `path` is empty, as a variable that was never set.
            CheckpointError: If it cannot be written; an earlier one at `path` is then intact.
        """
        if path == "":
            raise BadInput("save_to_path got an empty path; without one it makes a folder in /tmp.")
        path = path or tempfile.mkdtemp()
        path = path if filesystem else checkpoint.absolute(path)
        with checkpoint.replacing(path, filesystem) as folder:
            super().save_to_path(folder, **kwargs)
            if self.config.num_learners:
                checkpoint.assert_learner_wrote(folder)
            (folder / team_files.FOLDER).mkdir()
            for name, content in team_policy_files(self).items():
                (folder / team_files.FOLDER / name).write_bytes(content)
            if self.config.checkpoint_replay_buffer:
                write_episodes(folder / checkpoint.REPLAY, self.replay.episodes, self.spec)
        return str(path)

    @classmethod
    @override(Algorithm)
    def from_checkpoint(cls, path: Any, filesystem: Any = None, **kwargs: Any) -> Any:
        """Verifies the whole checkpoint first; also accepts ~, relative paths, `Path` and file://.

        Raises:
            BadInput: If anything is given besides: the settings are the checkpoint's.
            CheckpointError: If it is damaged, incomplete, or not one of this package.
        """
        if kwargs:
            raise BadInput(
                f"from_checkpoint takes a path alone, not {', '.join(kwargs)}: settings are the "
                "checkpoint's. To continue with others: algorithm = config.build_algo(), then "
                "algorithm.restore_from_path(path)."
            )
        if hasattr(path, "to_directory"):  # Tune's
            path, filesystem = path.to_directory(), None
        path = path if filesystem else checkpoint.absolute(path)
        with checkpoint.on_this_machine(path, filesystem) as folder:
            name = checkpoint.verify(folder)[checkpoint.ALGORITHM]
            try:
                return super().from_checkpoint(str(folder))
            except ValueError as error:
                if missing := _missing_module(folder):
                    raise checkpoint.CheckpointError(
                        f"{path} needs the module {missing!r}, which cannot be imported here: add "
                        "the folder that holds it to PYTHONPATH, or install its package."
                    ) from error
                if "subclass" not in str(error):
                    raise
                raise checkpoint.CheckpointError(
                    f"{path} is a checkpoint of {name}, not of {cls.__name__}: load it by "
                    f"{name}.from_checkpoint or RLlib's Algorithm.from_checkpoint."
                ) from error

    @override(Algorithm)
    def restore(self, checkpoint_path: Any) -> Any:
        """See base class, and `from_checkpoint`."""
        if isinstance(checkpoint_path, str | Path):
            checkpoint_path = checkpoint.absolute(checkpoint_path)
        return super().restore(checkpoint_path)

    @override(Algorithm)
    def restore_from_path(
        self,
        path: str | Path,
        *,
        component: str | None = None,
        filesystem: Any = None,
        **kwargs: Any,
    ) -> None:
        """Checks the whole checkpoint before it changes anything.

        With a `component`, `path` is a checkpoint, too, or the component's folder in it.

        Raises:
            CheckpointError: If it is damaged, incomplete, or does not fit this algorithm.
        """
        path = path if filesystem else checkpoint.absolute(path)
        if component is not None:
            part = find_component(self, component)
            with checkpoint.on_this_machine(path, filesystem) as folder:
                folder = saved_component(folder, component)
                assert_component_fits(folder, component, part, self.learner_group)
                super().restore_from_path(folder, component=component, **kwargs)
            return
        if not self._storage:  # not one of Tune's trials: `rllib train` prints this itself
            say(f"{path}: {checkpoint.UNPICKLES}")
        with checkpoint.on_this_machine(path, filesystem) as folder:
            about = checkpoint.verify(folder, self.config.name)
            self._check_fit(folder, about)
            file = folder / checkpoint.REPLAY
            replay = self.config.build_replay()
            if file.exists():
                replay.add(read_episodes(file, self.spec))
            self.replay = replay
            super().restore_from_path(folder, **kwargs)
        if not len(self.replay) and self._played[NUM_EPISODES_LIFETIME]:
            say(
                "The checkpoint holds no replay (only a run's newest two do, and none with "
                "checkpoint_replay_buffer: false): the replay fills up again."
            )

    def _check_fit(self, folder: Path, about: dict[str, str]) -> None:
        acting = json.loads((folder / team_files.FOLDER / team_files.METADATA).read_bytes())
        check_same_order(
            team_files.agent_ids(acting["agents"]), self.spec.agents, checkpoint.CheckpointError
        )
        version = about[checkpoint.VERSION]
        if version != __version__:
            say(f"The checkpoint was saved by rllib_qatten {version}; this is {__version__}.")
        module: Any = self.get_module()
        mixer = acting.get("mixer")  # absent if its options could not be written
        assert_learner_fits(
            folder,
            self.learner_group,
            agent=other_settings(acting["agent"], module.agent_settings),
            mixer=changed(mixer["options"], module.model_config["mixer"]) if mixer else (),
        )

    @override(Algorithm)
    def save(self, checkpoint_dir: str | None = None) -> Any:
        """Removes the replay from a trial's older checkpoints, once the new one is complete.

        Raises:
            CheckpointError: If it cannot be written; nothing is left behind then.
        """
        checkpoint_dir = checkpoint_dir and checkpoint.absolute(checkpoint_dir)
        storage = self._storage
        before = storage.current_checkpoint_index if storage else None
        try:
            result = super().save(checkpoint_dir)
        except OSError as error:
            # Tune copies what was saved to the results' storage.
            if storage and storage.current_checkpoint_index != before:
                with contextlib.suppress(OSError):
                    storage.storage_filesystem.delete_dir(storage.checkpoint_fs_path)
            raise checkpoint.not_saved(storage.trial_fs_path, error) from error
        if storage:
            with contextlib.suppress(OSError):  # a leftover large file is no reason to stop
                checkpoint.forget_replays(storage.storage_filesystem, storage.trial_fs_path)
        return result


def _agents(runner: TeamEnvRunner) -> tuple[Any, ...] | None:
    return None if runner.env is None else runner.env.spec.agents


def _get_games(runner: TeamEnvRunner) -> dict[str, Any]:
    return runner.get_games()


def _set_games(
    runner: TeamEnvRunner, saved: dict[int, dict[str, Any]], env_steps: int
) -> tuple[int, str]:
    """The runner's index, and why its games start over, if they do."""
    index = runner.worker_index or 0
    return index, runner.set_games(saved.get(index), env_steps)


def _missing_module(folder: Path) -> str:
    """The module, not of this package, for lack of which RLlib could not read a config; or ""."""
    try:
        with (folder / ResumableAlgorithm.CLASS_AND_CTOR_ARGS_FILE_NAME).open("rb") as file:
            pickle.load(file)
    except ModuleNotFoundError as error:
        name = error.name or ""
        return "" if name.split(".")[0] == __package__.split(".")[0] else name
    except Exception:  # whatever else is wrong has its own message
        return ""
    return ""
