"""Commands and groups of commands: what all of them do with their options."""

from __future__ import annotations

from collections import Counter
from typing import Any

from typer.core import TyperCommand, TyperGroup

from rllib_qatten.errors import BadInput


class _Flags:
    """Flags take no value: newer releases of typer would show them with the type <bool>."""

    def get_params(self, ctx: Any) -> list[Any]:
        """See base class."""
        # Mixed into commands and groups, which have it.
        params = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False):
                param.metavar = " "
        return params


class Command(_Flags, TyperCommand):
    """A command that refuses an option given twice; click would take the last one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See base class."""
        _, _, order = self.make_parser(ctx).parse_args(list(args))
        for param, times in Counter(order).items():
            single = not getattr(param, "multiple", True) and not getattr(param, "is_flag", False)
            if single and times > 1:
                raise BadInput(f"{' or '.join(param.opts)} is given {times} times: give one.")
        return super().parse_args(ctx, args)


class Group(_Flags, TyperGroup):
    """A group of commands."""
