"""A mistake in the configuration, told in one line in which nothing is secret."""

import json

import attrs

SHOWN = 200
"""Characters of a value that is wrong."""


class ConfigError(Exception):
    """One line that names the place, the key, its value, and what would be right."""

    def __init__(self, line: str) -> None:
        super().__init__(printable(line))


@attrs.frozen
class Given:
    """A value that someone has set: by which name, and where."""

    place: str
    name: str
    value: object = attrs.field(repr=False)

    def wrong(self, why: str, *, secret: bool) -> ConfigError:
        """Of a key: it is known whether its value is secret."""
        shown = "(a secret)" if secret else _shown(self.value)
        return ConfigError(f"{self.place}: {self.name} = {shown}: {why}")

    def misplaced(self, why: str) -> ConfigError:
        """Of what is no key: nobody knows whether its value, or what is in it, is secret."""
        return ConfigError(f"{self.place}: {self.name}: {why}")


def printable(line: str) -> str:
    """With escapes for all that does not print: a terminal would obey some of it."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in line)


def _shown(value: object) -> str:
    """What is inside a table or an array may have been meant for another key, which is secret."""
    match value:
        case dict():
            return "(a table)"
        case list():
            return "(an array)"
        case str() if "@" in value:  # before it there may be a password
            value = f"…@{value.rpartition('@')[2]}"
    try:
        shown = json.dumps(value, default=str, ensure_ascii=False)
    except ValueError:
        return "(a number that is too long)"
    return f"{shown[:SHOWN]}…" if len(shown) > SHOWN else shown
