"""Commands and groups of commands whose help shows a flag as a flag."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup


class _Flags:
    """Flags take no value: newer releases of typer would show them with the type <bool>."""

    def get_params(self, ctx: Any) -> list[Any]:
        """See base class."""
        params = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False):
                param.metavar = " "
        return params


class Command(_Flags, TyperCommand):
    """A command."""


class Group(_Flags, TyperGroup):
    """A group of commands."""
