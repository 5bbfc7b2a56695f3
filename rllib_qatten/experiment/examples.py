"""The experiments that come with the package, by name."""

from __future__ import annotations

from pathlib import Path

from rllib_qatten.errors import BadInput, one_of

#: In an installation they are the package's data; in a clone they stand next to it.
FOLDERS = (
    Path(__file__).parents[1] / "tuned_examples",
    Path(__file__).parents[2] / "tuned_examples",
)


def examples() -> dict[str, Path]:
    """Name -> file, in the order of the names."""
    folder = next((folder for folder in FOLDERS if folder.is_dir()), None)
    files = [file for file in folder.iterdir() if _is_example(file)] if folder else []
    return {file.stem: file for file in sorted(files)}


def _is_example(file: Path) -> bool:
    return file.suffix in (".yaml", ".py") and not file.name.startswith("_")


def example(name: str) -> Path:
    """The file of an example.

    Args:
        name: Its name, with or without the file's ending.

    Raises:
        BadInput: If there is none, with the nearest name.
    """
    found = examples()
    stem = name.removesuffix(".yaml").removesuffix(".py")
    try:
        return found[one_of(stem, found, "example")]
    except ValueError as error:
        raise BadInput(str(error)) from error


def description(file: Path) -> str:
    """What an example is: the first line of its comment, a whole sentence."""
    first, *_ = file.read_text(encoding="utf-8").partition("\n")
    return first.strip('# "')


def file_or_example(given: Path) -> Path:
    """The file that a user means who names a file or an example; an existing file comes first.

    Raises:
        BadInput: If there is neither, with the nearest names of both kinds.
    """
    name = str(given)
    is_name = given.name == name and not given.suffix
    try:
        exists, is_folder = given.exists(), given.is_dir()
    except OSError:  # a name that no file can have: reading it tells why
        return given
    if exists and not (is_name and is_folder):
        return given
    found = {n: file for n, file in examples().items() if file.suffix == ".yaml"}
    if is_name and name in found:
        return found[name]
    if given.stem in found and given.suffix in (".yaml", ".yml"):
        raise BadInput(
            f"{given}: no such file. Did you mean the example of that name? Leave out folder and "
            f"ending: {given.stem}"
        )
    if is_name and not exists:
        here = [file.name for file in Path.cwd().glob("*.y*ml")]
        try:
            one_of(name, [*found, *here], "example or file here")
        except ValueError as error:
            raise BadInput(f"{given}: no such file. {error}") from error
    return given
