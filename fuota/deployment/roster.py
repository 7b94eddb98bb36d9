"""Who is where: what a deployment knows of its devices; in memory, and read anew after a restart."""

from collections import Counter

import attrs

from fuota.deployment.messages import Tally
from fuota.device.standing import COMPLETE, RELEASED, UNCONFIRMED, Stage, Standing
from fuota.lorawan.eui import EUI64


@attrs.define
class Roster:
    """The standings of a fleet; every operation takes the same time for any fleet."""

    _standings: dict[EUI64, tuple[int, Standing]] = attrs.field(factory=dict, repr=False)
    """Each with the version of the device's state."""
    _counts: Counter[Standing] = attrs.field(factory=Counter)

    def note(self, dev_eui: EUI64, standing: Standing, version: int) -> bool:
        """`dev_eui` is at `standing` since that version of its state; False if it is known to be further.

        What it said to an earlier incarnation of the deployment's actor may come later than what is written.
        """
        known, before = self._standings.get(dev_eui, (0, None))
        if version < known:
            return False
        if before is not None:
            self._counts[before] -= 1
        self._counts[standing] += 1
        self._standings[dev_eui] = version, standing
        return True

    def tally(self, session: int) -> Tally:
        """The fleet as it stands to session number `session`: ready for another, prepared for this."""
        stages, outcomes = Counter[Stage](), Counter[str]()
        for standing, count in self._counts.items():
            late = standing.stage is Stage.READY and standing.session != session
            stages[Stage.PREPARED if late else standing.stage] += count
            outcomes[standing.outcome] += count
        return Tally(
            group=stages[Stage.GROUP],
            fragments=stages[Stage.FRAGMENTS],
            prepared=stages[Stage.PREPARED],
            asked=stages[Stage.ASKED],
            ready=stages[Stage.READY],
            unheard=stages[Stage.UNHEARD],
            incomplete=stages[Stage.INCOMPLETE],
            leaving=stages[Stage.LEAVING],
            settled=stages[Stage.SETTLED],
            complete=outcomes[COMPLETE],
            released=outcomes[RELEASED] + outcomes[UNCONFIRMED],
        )

    def outcomes(self) -> dict[str, int]:
        """How many devices have settled in which way."""
        return {each.outcome: count for each, count in self._counts.items() if each.outcome and count}

    def beyond(self, stage: Stage) -> list[EUI64]:
        """The devices that are further than `stage`, and stay."""
        return [
            dev_eui
            for dev_eui, (_, standing) in self._standings.items()
            if stage < standing.stage < Stage.LEAVING
        ]
