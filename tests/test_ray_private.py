"""Ray's private names in use: all in one list, each there and with the signature it had."""

from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner

from tests.ray_private import signature, used

#: Private name -> its signature in the tested release, and why no public way serves.
PRIVATE = {}


def changed(private):
    """One line for each name that is gone or has another signature."""
    for what, (before, why) in private.items():
        now = signature(what)
        if now is None:
            yield f"{what} is gone; it was ({before}). {why}"
        elif now != before:
            yield f"{what} is now ({now}); it was ({before}). {why}"


def test_each_is_as_it_was():
    assert not (found := list(changed(PRIVATE))), "\n" + "\n".join(found)


def test_the_list_is_whole_and_has_nothing_else():
    found = used()
    assert {what: found[what] for what in found.keys() - PRIVATE.keys()} == {}
    assert PRIVATE.keys() - found.keys() == set(), "no longer in use"


def test_a_private_method_that_is_renamed_is_named(monkeypatch):
    monkeypatch.setattr(
        SingleAgentEnvRunner, "_collect", SingleAgentEnvRunner._sample, raising=False
    )
    monkeypatch.delattr(SingleAgentEnvRunner, "_sample")
    [line] = changed(PRIVATE)
    assert "SingleAgentEnvRunner._sample is gone" in line


def test_another_signature_is_named(monkeypatch):
    monkeypatch.setattr(SingleAgentEnvRunner, "_sample", lambda self, num_steps: None)
    [line] = changed(PRIVATE)
    assert "SingleAgentEnvRunner._sample is now (self, num_steps); it was (self, *" in line
