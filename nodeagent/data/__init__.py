"""Facts of the field as data: each with its source, none of them code."""

import json
import os
from functools import cache
from typing import Any


@cache
def load(name: str) -> Any:  # noqa: ANN401 - the readers of each file give it types
    """The shipped file `name`, parsed once; importlib.resources would cost every start 10 ms."""
    with open(os.path.join(os.path.dirname(__file__), name), "rb") as file:
        return json.load(file)


def text(name: str) -> str:
    """The shipped file `name` as it is."""
    with open(os.path.join(os.path.dirname(__file__), name), encoding="utf-8") as file:
        return file.read()


def names(folder: str) -> list[str]:
    """What is shipped in one of its folders, sorted."""
    return sorted(os.listdir(os.path.join(os.path.dirname(__file__), folder)))


def path(name: str) -> str:
    """Where the shipped file `name` lies."""
    return os.path.join(os.path.dirname(__file__), name)
