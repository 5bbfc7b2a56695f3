"""Which utilities are mixed: those of the actions taken and of greedy ones; and TD(lambda) targets.

Letters: P packed entries, M transitions, R entries, N agents, A actions.
"""

from rllib_qatten.compiled.arithmetic import B1, B3, F2, F3, I1, I2, ZERO
from rllib_qatten.compiled.compiler import jit


@jit(f"void({F3}, {B3}, {I2})")
def greedy(utilities, legal, actions):
    """The best legal action [R, N] of each agent: 0 where none is legal, the first of equals.

    Args:
        utilities: [R, N, A].
        legal: [R, N, A].
        actions: [R, N], receives the result.
    """
    for i in range(actions.shape[0]):
        for n in range(actions.shape[1]):
            row, may = utilities[i, n], legal[i, n]
            best = -1
            for a in range(row.shape[0]):
                if may[a] and (best < 0 or row[a] > row[best]):
                    best = a
            actions[i, n] = max(best, 0)


@jit(f"void({F3}, {I1}, {I2}, {F2})")
def take(utilities, entries, actions, taken):
    """`taken` [R, N] receives the utilities [P, N, A] of actions [R, N] in these entries [R]."""
    for i in range(taken.shape[0]):
        for n in range(taken.shape[1]):
            taken[i, n] = utilities[entries[i], n, actions[i, n]]


@jit(f"void({F2}, {I1}, {I2}, {F3})")
def put(taken, entries, actions, utilities):
    """Adds numbers [R, N] where `take` found them."""
    for i in range(taken.shape[0]):
        for n in range(taken.shape[1]):
            utilities[entries[i], n, actions[i, n]] += taken[i, n]


@jit(f"void({F2}, {B1}, {F2}, {B1}, {I1}, float32, float32, {F2})")
def lambda_returns(rewards, terminated, next_values, mask, batch_sizes, gamma, td_lambda, returns):
    """TD(lambda) targets [M, K]; see `rllib_qatten.training.returns.lambda_returns`.

    Args:
        rewards: [M, K], or [M, 1] if all get the same.
        terminated: [M].
        next_values: [M, K].
        mask: [M].
        batch_sizes: [T].
        gamma: Discount per step.
        td_lambda: In [0, 1].
        returns: [M, K], receives the result.
    """
    end, later, n_later = next_values.shape[0], 0, 0
    for t in range(batch_sizes.shape[0] - 1, -1, -1):
        begin = end - batch_sizes[t]
        for i in range(begin, end):
            discount = ZERO if terminated[i] else gamma
            has_next = i - begin < n_later and mask[later + i - begin]
            for k in range(next_values.shape[1]):
                value = next_values[i, k]
                total = rewards[i, min(k, rewards.shape[1] - 1)] + discount * value
                if has_next:
                    more = returns[later + i - begin, k] - next_values[i, k]
                    total += discount * td_lambda * more
                returns[i, k] = total
        later, n_later, end = begin, batch_sizes[t], begin
