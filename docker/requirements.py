"""Prints what pyproject.toml requires, with the extras that are named: `python requirements.py worker postgres`."""

import sys
import tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
sys.stdout.write(
    "\n".join([*project["dependencies"], *(need for extra in sys.argv[1:] for need in project["optional-dependencies"][extra])])
)
