"""What is wrong with an order, said so that who made it can mend it."""

from collections.abc import Sequence

import attrs


@attrs.frozen
class Problem:
    """One thing that is wrong with an order."""

    field: str
    """As the API calls it, e.g. `devices[3].dev_eui`."""
    text: str
    """What is wrong and what would be right."""


class InvalidOrder(ValueError):
    """The order can not be carried out; all that is wrong with it is in `problems`."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{problem.field}: {problem.text}" for problem in problems))
        self.problems = tuple(problems)
