"""`rllib schema`: the keys of an experiment file, for editors."""

from __future__ import annotations

import json

import typer


def schema() -> None:
    """Print the JSON schema of experiment files: every key with its type and meaning.

    Editors use it to complete and check YAML; see docs/experiments.md.
    """
    from rllib_qatten.experiment.schema import json_schema

    typer.echo(json.dumps(json_schema(), indent=1))
