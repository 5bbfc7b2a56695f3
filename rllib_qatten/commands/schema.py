"""`rllib schema`: what an experiment may hold, for editors."""

from __future__ import annotations

import json

import typer


def schema() -> None:
    """Print the JSON schema of experiment files: every key with its kind and meaning.

    Editors complete and check YAML by it; docs/experiments.md says how.
    """
    from rllib_qatten.experiment.schema import json_schema

    typer.echo(json.dumps(json_schema(), indent=1))
