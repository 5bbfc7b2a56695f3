"""The mixers as their papers write them: one head and one agent at a time. Slow and plain."""

import torch
import torch.nn.functional as F


def qatten(mixer, utilities, state, unit_features, alive=None, mask=None):
    """One row at a time: q_tot [M], attention [M, H, N], logits [M, H, N], regularizer."""
    heads, n = mixer.n_heads, mixer.n_agents
    embed = mixer.query.weight.shape[1]
    q_tot, attention, logits = [], [], []
    for m, (s, q, units) in enumerate(zip(state, utilities, unit_features, strict=True)):
        row_attention, row_logits, total = [], [], 0.0
        weights = torch.ones(heads).to(s)
        if mixer.head_weight is not None:
            weights = mixer.head_weight(s).abs()
        for h in range(heads):
            x = s
            if mixer.query_hidden is not None:
                x = F.relu(linear(mixer.query_hidden, h, x))
            query = linear(mixer.query, h, x)
            logit = []
            for i in range(n):
                own = torch.cat([units[i], q[i : i + 1]]) if mixer.q_in_key else units[i]
                logit.append(query @ linear(mixer.key, h, own))
            logit = torch.stack(logit)
            score = logit / embed**0.5
            if mixer.mask_dead:
                score = torch.where(alive[m], score, -99999999.0)
            weight = torch.softmax(score, 0)
            total = total + weights[h] * (weight @ q)
            row_attention.append(weight)
            row_logits.append(logit)
        if mixer.state_value is not None:
            total = total + mixer.state_value(s)[0]
        q_tot.append(total)
        attention.append(torch.stack(row_attention))
        logits.append(torch.stack(row_logits))
    logits = torch.stack(logits)
    counted = logits if mask is None or mixer.reg_over_padding else logits[mask]
    regularizer = sum(mixer.attend_reg_coef * counted[:, h].square().mean() for h in range(heads))
    return torch.stack(q_tot), torch.stack(attention), logits, regularizer


def qmix(mixer, utilities, state):
    """q_tot [M]."""
    w1 = mixer.hyper_w1(state).abs().unflatten(-1, (mixer.n_agents, -1))
    hidden = mixer.hyper_b1(state)
    for i in range(mixer.n_agents):
        hidden = hidden + utilities[:, i : i + 1] * w1[:, i]
    w2 = mixer.hyper_w2(state).abs()
    return (F.elu(hidden) * w2).sum(-1) + mixer.state_value(state)[:, 0]


def qlinear(mixer, utilities, state, unit_features):
    """q_tot [M], weights [M, N]."""
    weights = []
    for i in range(mixer.n_agents):
        x = mixer.agent_weight(torch.cat([unit_features[:, i], state], -1))
        weights.append(x[:, 0].abs())
    weights = torch.stack(weights, -1)
    q_tot = (weights * utilities).sum(-1)
    if mixer.state_value is not None:
        q_tot = q_tot + mixer.state_value(state)[:, 0]
    return q_tot, weights


def transformation(mixer, utilities, state, unit_features):
    """What QPLEX makes of a state: w [M, N], v [M, N], and the attention's regularizer."""
    if mixer.attention is None:
        w, v = mixer.hyper_w(state).abs(), mixer.hyper_v(state)
        return w + 1e-10, v, torch.zeros(()).to(state)
    qatten_mixer = mixer.attention
    _, attention, _, regularizer = qatten(qatten_mixer, utilities, state, unit_features)
    w = torch.zeros_like(utilities)
    for h in range(qatten_mixer.n_heads):
        weight = attention[:, h]
        if qatten_mixer.head_weight is not None:
            weight = weight * qatten_mixer.head_weight(state)[:, h : h + 1].abs()
        w = w + weight
    v = qatten_mixer.state_value(state).expand_as(w) / mixer.n_agents
    return w + 1e-10, v, regularizer


def qplex(mixer, utilities, state, unit_features, actions, best_utilities):
    """One row and one kernel at a time: q_tot [M], lambda [M, N], regularizer."""
    q_tot, lambdas = [], []
    *transformed, regularizer = transformation(mixer, utilities, state, unit_features)
    for s, q, chosen, best, w, v in zip(
        state, utilities, actions, best_utilities, *transformed, strict=True
    ):
        one_hots = [torch.eye(mixer.n_actions).to(s)[a] for a in chosen]
        weight = torch.zeros_like(q)
        for k in range(len(mixer.lambda_key.first.weight)):
            key = network(mixer.lambda_key, k, s).abs() + 1e-10
            agent = torch.sigmoid(network(mixer.lambda_agent, k, s))
            action = torch.sigmoid(network(mixer.lambda_action, k, torch.cat([s, *one_hots])))
            weight = weight + key * agent * action
        qt, vt = w * q + v, w * best + v
        q_tot.append(qt.sum() + ((weight - 1) * (qt - vt).detach()).sum())
        lambdas.append(weight)
    return torch.stack(q_tot), torch.stack(lambdas), regularizer


def qtran_alt(critic, state, hidden, actions):
    """joint_values [M, N, A], one agent at a time."""
    one_hots, ids = torch.eye(critic.n_actions).to(state), torch.eye(critic.n_agents).to(state)
    encoded = [critic.action_encoder(one_hots[a]) for a in actions.unbind(1)]
    team = sum(critic.hidden_encoder(h) for h in hidden.unbind(1))
    values = []
    for i in range(critic.n_agents):
        others = sum(e for j, e in enumerate(encoded) if j != i) + torch.zeros_like(encoded[i])
        own_id = ids[i].expand(len(state), -1)
        values.append(critic.joint_net(torch.cat([state, own_id, team, others], -1)))
    return torch.stack(values, 1)


def network(net, head, x):
    """One head of a `HeadNetwork`."""
    x = linear(net.first, head, x)
    for layer in net.rest:
        x = linear(layer, head, F.relu(x))
    return x


def linear(layer, head, x):
    y = layer.weight[head] @ x
    return y if layer.bias is None else y + layer.bias[head]
