"""Names of batch and module columns that RLlib's `Columns` lacks; for rollout and training alike.

Letters: B episodes, T steps, P packed entries, M transitions, N agents, A actions, S state length.
"""

from __future__ import annotations

# A packed batch, see `training.batch.pack`.
#: [P, S] the global state.
STATE = "state"
#: [P, N, A] bool.
LEGAL_ACTIONS = "legal_actions"
#: [P, N] int, -1 before the first step; when acting [G, N] of G games.
LAST_ACTIONS = "last_actions"
#: [P, N] bool.
ALIVE = "alive"
#: [T+1] episodes that have an entry at step t.
BATCH_SIZES = "batch_sizes"
#: [M] the entry each transition starts from; it leads to entry B + m.
NOW = "now"
#: [M] bool, True for real transitions, False for padding.
MASK = "mask"
#: [M] weight of each transition's loss: its episode's importance weight.
WEIGHTS = "weights"

# What a module returns.
#: [..., N, A] values of all actions, legal or not.
UTILITIES = "utilities"
#: [..., N, h] the agents' hidden states: the key inside RLlib's STATE_IN and STATE_OUT.
HIDDEN = "hidden"
#: [M] joint action values, see `ValueDecompositionRLModule.mix`.
Q_TOT = "q_tot"
NEXT_Q_TOT = "next_q_tot"
TARGET_Q_TOT = "target_q_tot"
TARGET_GREEDY_Q_TOT = "target_greedy_q_tot"
#: Scalar to add to the loss.
REGULARIZER = "regularizer"
#: By-products that are logged unchanged.
STATS = "stats"
