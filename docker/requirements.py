"""Prints what pyproject.toml requires, with the extras that are named: `python requirements.py worker postgres`."""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator

with open("pyproject.toml", "rb") as file:
    PROJECT = tomllib.load(file)["project"]


def flat(requirements: Iterable[str]) -> Iterator[str]:
    """Yield the requirements, those on our own extras replaced by what these require."""
    for requirement in requirements:
        ours = re.fullmatch(rf"{PROJECT['name']}\[(.+)\]", requirement)
        if ours:
            for extra in ours[1].split(","):
                yield from flat(PROJECT["optional-dependencies"][extra])
        else:
            yield requirement


named = ",".join(sys.argv[1:])
sys.stdout.write("\n".join([*PROJECT["dependencies"], *flat([f"{PROJECT['name']}[{named}]"] if named else [])]) + "\n")
