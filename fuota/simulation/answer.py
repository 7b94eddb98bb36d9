"""What a simulated device is going to send."""

from collections.abc import Callable
from datetime import datetime, timedelta

import attrs

from fuota.lorawan.package import Command


@attrs.frozen
class Answer:
    """A command for an uplink."""

    content: Command | Callable[[datetime], Command | None]
    """The command; or what makes it at the moment of transmission, None if there is no point any more."""
    delay: timedelta = timedelta(0)
    """Beyond what the device always takes."""

    def at(self, now: datetime) -> Command | None:
        """The command, if it is sent at `now`."""
        return self.content if isinstance(self.content, Command) else self.content(now)
