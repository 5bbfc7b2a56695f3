"""Odd experiment files and arguments of `rllib train`, made from a seed."""

import copy
import json
import random
from pathlib import Path

from rllib_qatten.algorithms import ALGORITHMS


class Raw(str):
    """Text that stands in the YAML as it is."""


EXPERIMENT = {
    "run": "QMIX",
    "env": "two_step_game",
    "stop": {"training_iteration": 3},
    "checkpoint_config": {"checkpoint_frequency": 2, "num_to_keep": 3},
    "config": {
        "lr": 0.001,
        "gamma": 0.9,
        "epsilon": [[0, 1.0], [100, 0.1]],
        "hidden_size": 8,
        "env_config": {},
        "num_env_runners": 0,
        "evaluation_config": {"explore": False},
        "train_batch_size_episodes": 8,
    },
}
#: Values and keys, of which {"raw": ...} stands in the YAML as it is; names of experiments, paths,
#: keys on the command line, and what makes a sweep of the experiment.
DATA = json.loads(
    (Path(__file__).parents[1] / "data" / "odd_inputs.json").read_text(),
    object_hook=lambda found: Raw(found["raw"]) if found.keys() == {"raw"} else found,
)
NAMES = [*DATA["names"], "x" * 300]
PATHS = [*DATA["paths"], "x" * 5000]
PARTS = [*DATA["parts"], "a." * 500 + "b"]
KEYS = [*DATA["keys"], "a" * 300]
VALUES = [
    *DATA["values"],
    10**400,
    "x" * 500,
    {"grid_search": list(range(3000))},
    *map(Raw, ("[" * 2000, "{a: " * 500, "[" + "1, " * 5000 + "1]", "y" * 5000)),
]
#: Settings of our algorithms and of RLlib, with their defaults where these are plain.
SETTINGS = {
    name: value
    for algorithm in ALGORITHMS.values()
    for name, value in algorithm.get_default_config().to_dict().items()
    if isinstance(value, bool | int | float | str | list | None)
}


def emitted(tree):
    """YAML in flow style; what is `Raw` stands there as it is."""
    if isinstance(tree, Raw):
        return str(tree)
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{emitted(k)}: {emitted(v)}" for k, v in tree.items()) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(map(emitted, tree)) + "]"
    return json.dumps(tree)


def places(tree):
    """Every (container, key) in a tree."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
        yield tree, key
        if isinstance(tree[key], dict | list):
            yield from places(tree[key])


class Odd:
    """One case after another: the arguments and the file's content."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def tree(self):
        """An experiment that is all right."""
        tree = json.loads(json.dumps(EXPERIMENT))
        if self.random.random() < 0.6:
            for key, value in json.loads(json.dumps(self.random.choice(DATA["searches"]))).items():
                tree[key] = tree.get(key, {}) | value if key == "config" else value
            if tree["run"] == "PPO":
                tree["config"] = {"lr": 0.001, "num_epochs": 3}
        return tree

    def value(self):
        r = self.random
        if r.random() < 0.2:
            return r.choice(
                [r.randint(-(10**6), 10**6), r.uniform(-10, 10), 10 ** r.randint(0, 40)]
            )
        if r.random() < 0.1:
            return [self.value() for _ in range(r.randint(0, 4))]
        if r.random() < 0.1:
            return {r.choice([k for k in KEYS if not isinstance(k, Raw)]): self.value()}
        return copy.deepcopy(r.choice(VALUES))  # cases change what they hold

    def near(self, value):
        """A value of the same kind, which looks right."""
        r = self.random
        kinds = [v for v in VALUES if type(v) is type(value)]
        if isinstance(value, int | float) and type(value) is not bool and abs(value) < 1e100:
            kinds += [value * 10 ** r.randint(1, 15), -value, value / 3, float(value), value + 1]
        return copy.deepcopy(r.choice(kinds or VALUES))

    def changed_value(self, tree):
        place, key = self.random.choice(list(places(tree)))
        place[key] = self.value() if self.random.random() < 0.4 else self.near(place[key])

    def added_setting(self, tree):
        """A setting that exists, mostly with a value of its kind."""
        r = self.random
        name = r.choice(sorted(SETTINGS))
        if isinstance(tree.get("config"), dict):
            known = SETTINGS[name]
            tree["config"][name] = self.value() if r.random() < 0.3 else self.near(known)

    def changed_key(self, tree):
        found = [(p, k) for p, k in places(tree) if isinstance(p, dict)]
        place, key = self.random.choice(found)
        value = place.pop(key)
        place[self.random.choice(KEYS)] = value if self.random.random() < 0.5 else self.value()

    def added_key(self, tree):
        config = tree.get("config")
        place = config if isinstance(config, dict) and self.random.random() < 0.7 else tree
        place[self.random.choice(KEYS)] = self.value()

    def content(self):
        """What the file holds."""
        r = self.random
        tree = self.tree()
        for _ in range(r.choice([1, 1, 1, 2, 3])):
            r.choice(
                [
                    self.changed_value,
                    self.changed_value,
                    self.added_setting,
                    self.added_setting,
                    self.changed_key,
                    self.added_key,
                ]
            )(tree)
        name = r.choice(NAMES) if r.random() < 0.08 else "game"
        if r.random() < 0.05:
            return emitted(self.value()).encode(errors="surrogatepass")
        text = emitted({name: tree, **({"two": tree} if r.random() < 0.05 else {})})
        if r.random() < 0.15:
            text = self.damaged(text)
        elif r.random() < 0.08:
            text = self.bomb()
        content = text.encode(errors="surrogatepass")
        if r.random() < 0.03:
            at = r.randrange(len(content) or 1)
            content = content[:at] + r.randbytes(r.randint(1, 8)) + content[at:]
        return content

    def damaged(self, text):
        """The same with letters lost, doubled or put in."""
        r = self.random
        for _ in range(r.randint(1, 4)):
            at = r.randrange(len(text) + 1)
            text = r.choice(
                [
                    text[:at],
                    text[:at] + r.choice("{}[],:&*!|>'\"%@`#?- \t\n\x00\ufeff\x85") + text[at:],
                    text[:at] + text[at + r.randint(1, 9) :],
                    text[:at] + text[max(0, at - 20) :],
                ]
            )
        return text

    def bomb(self):
        """What is small as a file and large as anything else, or is large."""
        r = self.random
        n = r.randint(3, 12)
        return r.choice(
            [
                "\n".join(
                    [
                        "a0: &a0 {x: 1}",
                        *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * n)}]" for i in range(1, 12)),
                    ]
                ),
                "\n".join(
                    [
                        "a0: &a0 {x: 1}",
                        *(
                            f"a{i}: &a{i} {{b: *a{i - 1}, c: *a{i - 1}, d: *a{i - 1}}}"
                            for i in range(1, 20)
                        ),
                    ]
                ),
                "\n".join(
                    [
                        "a0: &a0 {x: 1}",
                        *(
                            f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * n)}]}}"
                            for i in range(1, 12)
                        ),
                    ]
                ),
                "game: " + "[" * r.choice([50, 500, 50_000]),
                "game: {a: " * 300,
                "game: &a {run: QMIX, config: *a}",
                "game: &a {run: QMIX, config: {env_config: *a}}",
                "- " * r.choice([40, 3000]),
                "a: b\n" * 2,
                "k: " + "x" * r.choice([10_000, 3_000_000]),
                "".join(f"k{i}: {i}\n" for i in range(r.choice([100, 30_000]))),
                "game: {run: QMIX, config: {lr: " + "9" * r.choice([30, 6000]) + "}}",
                "---\na: 1\n---\nb: 2\n",
                "%YAML 3.0\n---\na: 1",
                "",
                "\n",
                "#",
                "null",
                "3",
                "[]",
                "{}",
            ]
        )

    def arguments(self):
        """Arguments besides the file; most files get none."""
        r = self.random
        words = []
        for _ in range(r.choice([0, 0, 0, 0, 1, 1, 2])):
            raw = emitted(self.value())
            words += r.choice(
                [
                    ["--set", f"{r.choice(PARTS)}={raw}"],
                    ["--set", f"{r.choice(PARTS)}={raw}"],
                    [
                        "--set",
                        r.choice(["", "=", "=3", "lr", "lr==", "lr=", "\udcff", "lr=\udcff"]),
                    ],
                    ["--stop", f"{r.choice(PARTS)}={raw}"],
                    [
                        "--stop",
                        r.choice(
                            [
                                "abc",
                                "=",
                                "x=",
                                "training_iteration=nan",
                                "training_iteration=.nan",
                                "training_iteration=[1]",
                                "training_iteration=",
                                "é=1",
                            ]
                        ),
                    ],
                    [
                        "--num-samples",
                        r.choice(
                            [
                                "0",
                                "-1",
                                "abc",
                                "1e3",
                                "",
                                "99999999999999999999",
                                "10000000",
                                "3",
                                "1_0",
                            ]
                        ),
                    ],
                    ["--name", r.choice(NAMES)],
                    ["--storage-path", r.choice(PATHS)],
                    ["--resume", r.choice([*PATHS, *NAMES, "."])],
                    ["--restore"],
                    ["--nothing"],
                    ["file"],
                    ["file", "exp.yaml"],
                    ["--set"],
                    ["-f", r.choice(PATHS)],
                ]
            )
        return words

    def case(self):
        """Arguments of `rllib train` and the content of exp.yaml."""
        r = self.random
        file = "exp.yaml"
        if r.random() < 0.04:
            file = r.choice(
                [
                    ".",
                    "/dev/zero",
                    "/dev/null",
                    "fifo",
                    "locked",
                    "nowhere.yaml",
                    "",
                    "exp.yml",
                    "x" * 400,
                    "\udcff",
                    "/proc/self/mem",
                    "-",
                    "~",
                ]
            )
        words = self.arguments()
        if r.random() < 0.25 and words:
            content = emitted({"game": self.tree()}).encode()
        else:
            content = self.content()
        if "--storage-path" not in words:
            words += ["--storage-path", "results"]
        return ["train", "-f", file, *words], content
