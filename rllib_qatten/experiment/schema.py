"""The JSON schema of experiment files, for editors that complete and check YAML."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from rllib_qatten.algorithms import ALGORITHMS
from rllib_qatten.experiment.experiment import Fields
from rllib_qatten.experiment.search_space import DOMAINS, GRID
from rllib_qatten.experiment.settings import settings_model

REF = "#/$defs/{}"


def json_schema() -> dict[str, Any]:
    """The schema: experiments by name, each with the settings of the algorithm that it runs."""
    algorithms: list[Any] = [*ALGORITHMS.values()]
    models = [settings_model(algorithm) for algorithm in algorithms]
    modes: Any = [(model, "validation") for model in (Fields, *models)]
    _, found = models_json_schema(modes, ref_template=REF.format("{model}"))
    defs = found["$defs"]
    for definition in defs.values():
        # Docstrings have line breaks; RLlib uses an empty default for none.
        for setting in definition.get("properties", {}).values():
            setting.pop("title", None)  # the name again
            if "description" in setting:
                setting["description"] = " ".join(setting["description"].split())
            if setting.get("default", 0) is None:
                del setting["default"]
    for model in models:
        _allow_sampling(defs[model.__name__])
    defs["Sampled"] = _sampled()
    experiment = defs["Fields"]
    experiment["properties"]["run"]["examples"] = list(ALGORITHMS)
    # What an editor offers inside `config` depends on `run`.
    experiment["allOf"] = [
        {
            "if": {"properties": {"run": {"const": name}}, "required": ["run"]},
            "then": {"properties": {"config": {"$ref": REF.format(model.__name__)}}},
        }
        for name, model in zip(ALGORITHMS, models, strict=True)
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Experiments of rllib train",
        "type": "object",
        "minProperties": 1,
        "additionalProperties": {"$ref": REF.format("Fields")},
        "$defs": defs,
    }


def _allow_sampling(settings: dict[str, Any]) -> None:
    """Allows every setting to be searched."""
    for name, setting in settings["properties"].items():
        about = {key: setting.pop(key) for key in ("description", "default") if key in setting}
        kinds = setting.get("anyOf", [setting])
        settings["properties"][name] = about | {"anyOf": [*kinds, {"$ref": REF.format("Sampled")}]}


def _sampled() -> dict[str, Any]:
    """A grid or one of Tune's domains."""
    lists = {GRID: "all of these values", **{name: f"[{form}]" for name, form in DOMAINS.items()}}
    return {
        "description": "A value that Tune samples.",
        "type": "object",
        "properties": {
            name: {"type": "array", "minItems": 1, "description": text}
            for name, text in lists.items()
        },
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
