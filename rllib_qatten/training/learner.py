"""The Learner: loss, optimizer and target updates of the value-decomposition family."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any, ClassVar

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.core.rl_module.apis import TargetNetworkAPI
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import NUM_EPISODES_LIFETIME, TD_ERROR_KEY, WEIGHTS_SEQ_NO
from ray.rllib.utils.torch_utils import update_target_network
from torch import Tensor

from rllib_qatten import columns, keys
from rllib_qatten.compiled.compiler import tell
from rllib_qatten.hardware.threads import by_threads, torch_threads
from rllib_qatten.training.across_learners import from_all_learners
from rllib_qatten.training.losses import check_loss, td_loss

LAST_TARGET_UPDATE = "last_target_update_episodes"
LEARNER_CONNECTOR = "learner_connector"


def ease_memory() -> None:
    """Avoids what torch and glibc do with large buffers at every update; for the whole process.

    With a seed, RLlib makes torch deterministic, which also fills every empty tensor; none is read
    here before it is written. And glibc returns freed buffers to the system; getting them back
    takes thousands of page faults, a tenth of an update's time.
    """
    deterministic: Any = torch.utils.deterministic
    deterministic.fill_uninitialized_memory = False
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        trim_threshold, mmap_threshold = -1, -3  # malloc.h
        libc.mallopt(mmap_threshold, 32 << 20)  # the most it takes
        libc.mallopt(trim_threshold, 2**31 - 1)


def make_optimizer(
    name: str, parameters: list[torch.nn.Parameter], lr: float
) -> torch.optim.Optimizer:
    """The optimizer, with the constants published for QMIX and Qatten.

    Args:
        name: "rmsprop" (alpha 0.99, epsilon 1e-5, as in PyMARL) or "adam".
        parameters: Those of agent network and mixer together.
        lr: Learning rate.
    """
    if name == "adam":
        return torch.optim.Adam(parameters, lr=lr, fused=True)
    return torch.optim.RMSprop(parameters, lr=lr, alpha=0.99, eps=1e-5, foreach=True)


class ValueDecompositionTorchLearner(TorchLearner):
    """One update: live and target forward, loss, backward, clipping, optimizer step."""

    #: Keys of what is logged about every update, the policy's own aside.
    logged: ClassVar[tuple[str, ...]] = (
        *(keys.LOSS, keys.GRAD_NORM),
        *(keys.TD_ERROR_ABS, keys.Q_TOT_MEAN, keys.TARGET_MEAN),
    )

    @override(TorchLearner)
    def build(self) -> None:
        """Adds the target networks, once the optimizer has its parameters."""
        super().build()
        ease_memory()
        if self.device.type == "cpu":
            tell()
        else:  # float32 unless `precision` says otherwise: cuDNN would round to ten bits
            torch.backends.cudnn.allow_tf32 = False
        self._threads, self._threads_of_torch = self._threads_for_updates()
        self._last_target_update = 0
        self.module.foreach_module(lambda _, module: module.unwrapped().make_target_networks())

    @override(TorchLearner)
    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """One optimizer for agent network and mixer together."""
        parameters = [p for p in self.module[module_id].parameters() if p.requires_grad]
        config = config or self.config
        self.register_optimizer(
            module_id=module_id,
            optimizer=make_optimizer(config.optimizer_name, parameters, lr=5e-4),
            params=parameters,
            lr_or_lr_schedule=config.lr,
        )

    @override(TorchLearner)
    def update(self, *args: Any, statistics: bool = True, **kwargs: Any) -> Any:
        """See base class; if it fails, the other learners fail too instead of waiting half an hour.

        Args:
            *args: As there.
            statistics: Whether to return results; else the next update's count this one in, which
                costs a short update a tenth less.
            **kwargs: As there.

        Raises:
            FloatingPointError: In all learners alike, if the loss is not finite.
        """
        try:
            with torch_threads(self._threads_of_torch), by_threads(self._threads):
                return super().update(*args, _no_metrics_reduce=not statistics, **kwargs)
        except Exception as error:
            alone = not isinstance(error, FloatingPointError)
            if alone and torch.distributed.is_available() and torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()
            raise

    def _threads_for_updates(self) -> tuple[int, int]:
        """How many threads an update's games are shared out to, and how many torch may use.

        One is torch's, if most of an update is compiled. Else torch has those that Ray or the user
        gave the process by OMP_NUM_THREADS. Where nobody did, as in one's own script, torch would
        take all cores; the settings say how many are meant.
        """
        given, config = torch.get_num_threads(), self.config
        cpus = config.num_cpus_per_learner
        cpus = 1 if cpus == "auto" else max(1, int(cpus))
        if any(module.unwrapped().agent.compiled for module in self.module.values()):
            return cpus, 1
        if "OMP_NUM_THREADS" in os.environ:
            return 1, given
        return 1, min(given, max(cpus, int(config.num_cpus_for_main_process)))

    @staticmethod
    def loss(
        forward: dict[str, Any], batch: dict[str, Any], config: Any
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """A scalar loss and what is logged, scalars by name: see `td_loss`.

        A subclass may override it.
        """
        return td_loss(forward, batch, config)

    @override(TorchLearner)
    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> Tensor:
        """See `loss`; one that is not finite stops training here."""
        if config.standardize_rewards:
            standardize = self.module[module_id].unwrapped().standardize_rewards
            rewards = standardize(batch[Columns.REWARDS], batch[columns.MASK])
            batch = {**batch, Columns.REWARDS: rewards}
        result = self.loss(fwd_out, batch, config)
        check_loss(type(self).__name__, result, config)
        loss, stats = result
        errors = stats.pop(TD_ERROR_KEY, None)
        steps = batch[columns.MASK].sum().to(loss.dtype)
        everywhere = from_all_learners(torch.stack([steps, loss]))
        # All at once, since Python waits for a GPU whenever it asks for a number.
        here = torch.stack([steps, *(torch.as_tensor(x).to(steps) for x in stats.values())])
        numbers = torch.cat([here.detach(), everywhere.flatten()]).tolist()
        own_steps, *values = numbers[: len(here)]
        stats = dict(zip(stats, values, strict=True))
        all_steps, losses = numbers[len(here) :: 2], numbers[len(here) + 1 :: 2]
        # All learners or none: one that stopped alone would keep the others waiting.
        if not np.isfinite(losses).all():
            faulty = [name for name, value in stats.items() if not np.isfinite(value)]
            raise FloatingPointError(
                f"The loss became {sum(losses)} (not finite: "
                f"{', '.join(faulty) or keys.LOSS}). Training stops before the weights change; the "
                "last checkpoint is intact. Try a smaller lr or grad_clip; if observations, states "
                "or rewards are far from 1, scale them in the env."
            )
        if len(losses) > 1:
            # Gradients and results are averaged over learners, and each learner averages over its
            # own steps: with these weights that equals the mean over all steps of the batch.
            share = own_steps * len(losses) / sum(all_steps)
            loss, stats = loss * share, {name: value * share for name, value in stats.items()}
        if errors is not None:
            self.metrics.log_value((module_id, TD_ERROR_KEY), errors, reduce="item_series")
        # Not "mean": RLlib would average the rounds' means, whatever their numbers of updates.
        self.metrics.log_dict(stats, key=module_id, reduce="pooled_mean")
        return loss

    @override(TorchLearner)
    def postprocess_gradients_for_module(
        self, *, module_id: str, config: Any = None, module_gradients_dict: dict[Any, Tensor]
    ) -> dict[Any, Tensor]:
        """See base class, which tells their norm before clipping only if it clips by that.

        Raises:
            FloatingPointError: If that norm is not finite. RLlib would put numbers in the place of
                such gradients and go on; RMSprop and Adam never get over an infinite one.
        """
        norm = torch.nn.utils.get_total_norm(module_gradients_dict.values())
        if not torch.isfinite(norm):  # of a mean over learners, so that all of them stop
            raise FloatingPointError(
                f"The norm of the gradient became {norm.item()}, though the loss is finite. "
                "Training stops before the weights change; the last checkpoint is intact. Try a "
                "smaller lr; if observations, states or rewards are far from 1, scale them in the "
                "env; in a mixer, agent or loss of your own, look for roots, logarithms and "
                "quotients near 0."
            )
        gradients: dict[Any, Tensor] = super().postprocess_gradients_for_module(
            module_id=module_id, config=config, module_gradients_dict=module_gradients_dict
        )
        if config.grad_clip is None or config.grad_clip_by != "global_norm":
            self.metrics.log_value((module_id, keys.GRAD_NORM), norm, window=1)
        return gradients

    @override(TorchLearner)
    def apply_gradients(self, gradients_dict: dict[Any, Tensor]) -> None:
        """See base class, which asks each gradient by itself whether it is finite, and twice."""
        for parameter, gradient in gradients_dict.items():
            parameter.grad = gradient
        for module_id in self.module.keys():
            for _, optimizer in self.get_optimizers_for_module(module_id):
                optimizer.step()

    @override(TorchLearner)
    def after_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Updates the targets: softly at every update, or by a copy every few episodes."""
        super().after_gradient_based_update(timesteps=timesteps)
        config = self.config
        episodes = timesteps[NUM_EPISODES_LIFETIME]
        if config.tau == 1.0:
            if episodes - self._last_target_update < config.target_update_episodes:
                return
            self._last_target_update = episodes
        for module in self.module.values():
            for live, target in module.unwrapped().get_target_network_pairs():
                update_target_network(main_net=live, target_net=target, tau=config.tau)

    @override(TorchLearner)
    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Adds when the targets were last updated, and what learner connectors remember."""
        state = super().get_state(*args, **kwargs)
        state[LAST_TARGET_UPDATE] = self._last_target_update
        if self._learner_connector is not None:
            state[LEARNER_CONNECTOR] = self._learner_connector.get_state()
        return state

    @override(TorchLearner)
    def set_state(self, state: dict[str, Any]) -> None:
        """See `get_state`.

        RLlib would keep its weights if those of the state are not of more updates.
        """
        super().set_state({**state, WEIGHTS_SEQ_NO: 0})
        super().set_state({WEIGHTS_SEQ_NO: state.get(WEIGHTS_SEQ_NO, 0)})
        self._last_target_update = state.get(LAST_TARGET_UPDATE, self._last_target_update)
        if self._learner_connector is not None:
            self._learner_connector.set_state(state.get(LEARNER_CONNECTOR, {}))
        # The optimizer's state brings its old learning rate; a configured one takes precedence,
        # for instance after population based training changed it.
        for optimizer, schedule in self._optimizer_lr_schedules.items():
            if not schedule.use_schedule:
                self._set_optimizer_lr(optimizer, lr=schedule.get_current_value())

    @classmethod
    @override(TorchLearner)
    def rl_module_required_apis(cls) -> list[type]:
        """The APIs that this Learner needs of an RLModule."""
        return [TargetNetworkAPI]
