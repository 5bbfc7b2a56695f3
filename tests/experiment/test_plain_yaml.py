"""YAML is read as plain data of a bounded size."""

import time

import pytest

from rllib_qatten.errors import BadInput
from rllib_qatten.experiment.plain_yaml import MAX_BYTES, MAX_DEPTH, MAX_VALUES, load

LEVELS = "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))


def test_plain_data_is_read():
    text = "a: &a {lr: 5e-4, big: 1e6, none: ~, yes2: true, map: 3m}\nb: {<<: *a, lr: 1}\n"
    a = {"lr": 0.0005, "big": 1e6, "none": None, "yes2": True, "map": "3m"}
    assert load(text.encode(), "x") == {"a": a, "b": {**a, "lr": 1}}
    assert load("", "x") is None
    assert load("[0, -0, 0.5, 1_000, 0x10, '010', a:1]", "x") == [0, 0, 0.5, 1000, 16, "010", "a:1"]
    deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert load(deep, "x") is not None
    assert len(load("- 1\n" * (MAX_VALUES - 1), "x")) == MAX_VALUES - 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nests more than 32 levels"),
        ("x" * (MAX_BYTES + 1), "at most 200,000 bytes"),
        ("- 1\n" * MAX_VALUES, "at most 20,000 values"),
        (f"a0: &a0 {{x: 1}}\n{LEVELS}", "with every alias replaced"),
        (LEVELS.replace("[", "{<<: [").replace("]", "]}").replace("*a0", "{x: 1}"), "every alias"),
        ("a: &a [*a]", "endlessly many"),
        ("a: &a {b: {c: *a}}", "endlessly many"),
        ("[1]: 2", "line 1, column 1: a key must be text"),
        ("{a: 1, {b: 1}: 2}", "a key must be text"),
        ("on: 2", "the key on is read as True"),
        ("3: 2", "the key 3 is read as 3, not as text: put it in quotes"),
        ("a: 1\na: 2", "line 2, column 1: the key 'a' appears twice"),
        ("a: .nan", ".nan is not a finite number"),
        ("a: [-.inf]", "-.inf is not a finite number"),
        ("a: 1e999", "not a finite number"),
        (f"a: {10**30}", "too large a number"),
        (f"a: {'9' * 5000}", "is not what it is declared to be"),
        ("a: 010", "line 1, column 4: YAML reads 010 as an octal number: write it plainly"),
        ("a: -0_7", "as an octal number"),
        ("a: 1:30", "YAML reads 1:30 as a sexagesimal number"),
        ("a: 1:30.5", "YAML reads 1:30.5 as a sexagesimal number"),
        ("a: 2001-01-01", "is read as a date: put it in quotes"),
        ("a: !!binary aGk=", "values of type binary are not allowed"),
        ("a: !!python/object/apply:os.system [id]", "are not allowed"),
        ("a: !!int x", "is not what it is declared to be"),
        ('a: "\\0"', "control characters"),
        ('a: "\\ud800"', "control characters"),
        ('"\\e[31m": 1', "control characters"),
        ("<<: 3", "<< takes a mapping"),
        ("a: [", "line 1, column 5: this is not YAML"),
        (b"\xff", "byte 0 is not UTF-8"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_what_is_not_plain_or_too_much_is_refused_soon(text, message):
    began = time.monotonic()
    with pytest.raises(BadInput) as raised:
        load(text, "exp.yaml")
    assert str(raised.value).startswith("exp.yaml: ")
    assert message in str(raised.value)
    assert len(str(raised.value)) < 300
    assert time.monotonic() - began < 10
