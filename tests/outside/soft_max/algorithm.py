"""An algorithm with a loss of its own, made of the mixer."""

from rllib_qatten.algorithms.config import ValueDecompositionConfig
from rllib_qatten.algorithms.value_decomposition import ValueDecomposition
from rllib_qatten.training.learner import ValueDecompositionTorchLearner
from rllib_qatten.training.losses import td_loss
from rllib_qatten.training.rl_module import ValueDecompositionRLModule
from soft_max.mixer import SoftMaxMixer


class SoftMaxQRLModule(ValueDecompositionRLModule):
    """The policy."""

    mixer_class = SoftMaxMixer


def scaled_loss(forward, batch, config, *, loss_scale: float = 0.5):
    """TD loss times a number.

    Args:
        forward: Output of the policy.
        batch: The packed batch.
        config: The settings that all share.
        loss_scale: factor of the whole loss.
    """
    loss, stats = td_loss(forward, batch, config)
    return loss_scale * loss, stats


class SoftMaxQLearner(ValueDecompositionTorchLearner):
    """Brings the loss."""

    @staticmethod
    def loss(forward, batch, config):
        """See `scaled_loss`."""
        return scaled_loss(forward, batch, config, **config.values_of(scaled_loss))


class SoftMaxQConfig(ValueDecompositionConfig):
    """Settings of SoftMaxQ."""

    rl_module_class = SoftMaxQRLModule
    default_learner_class = SoftMaxQLearner
    option_sources = (scaled_loss,)


class SoftMaxQ(ValueDecomposition):
    """Value decomposition by a soft maximum."""

    config_class = SoftMaxQConfig
