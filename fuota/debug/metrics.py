"""What the server counts, in the text format of Prometheus."""

from collections import Counter
from collections.abc import Iterator, Mapping

import attrs
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fuota.debug.survey import MOST, Node, Snapshot, census, survey
from fuota.dispatcher import Counts
from fuota.health import Health

PARTS = ("chirpstack", "ownership", "postgresql")
"""Of the server, which may ail."""


def exposition(snapshot: Snapshot, health: Health) -> bytes:
    """The answer to `GET /metrics`, read at this moment."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(Statistics(snapshot, health))
    return generate_latest(registry)


@attrs.frozen(eq=False)
class Statistics(Collector):
    """Reads what exists anyway; nothing is counted for the sake of being shown."""

    snapshot: Snapshot
    health: Health

    def collect(self) -> Iterator[Metric]:
        root = survey(self.snapshot, "/", limit=MOST, descend=lambda node: True)
        assert root is not None
        actors = GaugeMetricFamily(
            "fuota_actors", "Actors by status, as far as they are read.", labels=["status"]
        )
        for status, number in census(root).items():
            actors.add_metric([status], number)
        yield actors
        dropped = sum(node.actor.dropped for node in root.walk())
        yield GaugeMetricFamily(
            "fuota_mailbox_dropped", "Messages refused by the actors that are read.", dropped
        )
        yield ailments(self.health.ailments())
        yield from deployments(root)
        dispatcher = self.snapshot("/dispatcher", depth=0, limit=0)
        if dispatcher is not None and isinstance(dispatcher.description, Counts):
            yield from dispatched(dispatcher.description)


def ailments(ailing: Mapping[str, str]) -> Metric:
    """Which parts do not work."""
    family = GaugeMetricFamily(
        "fuota_ailments", "1 for a part that does not work at present.", labels=["part"]
    )
    for part in sorted({*PARTS, *ailing}):
        family.add_metric([part], part in ailing)
    return family


def deployments(root: Node) -> Iterator[Metric]:
    """Of the deployments that this server runs, as far as they are read."""
    owner, states, standings = False, Counter[str](), Counter[str]()
    for node in root.walk():
        match node.actor.path.split("/"), node.actor.description:
            case ["", "deployments"], {"epoch": epoch}:
                owner = epoch is not None
            case ["", "deployments", _], {"state": state, "devices": devices}:
                states[type(state).__name__] += 1
                standings.update(devices)
    yield GaugeMetricFamily("fuota_owner", "1 for the server that runs the deployments.", owner)
    in_state = GaugeMetricFamily(
        "fuota_deployments", "Deployments that are run, or have just ended.", labels=["state"]
    )
    for state, number in states.items():
        in_state.add_metric([state], number)
    yield in_state
    where = GaugeMetricFamily("fuota_devices", "Devices of these, and where they stand.", labels=["standing"])
    for standing, number in standings.items():
        where.add_metric([standing], number)
    yield where


def dispatched(counts: Counts) -> Iterator[Metric]:
    """What the dispatcher has counted."""
    uplinks = CounterMetricFamily("fuota_uplinks", "Uplinks on ports 200 to 203.", labels=["outcome"])
    uplinks.add_metric(["routed"], counts.routed)
    uplinks.add_metric(["unconcerned"], counts.unconcerned)
    uplinks.add_metric(["busy"], counts.busy)
    uplinks.add_metric(["elsewhere"], counts.elsewhere)
    yield uplinks
    answers = CounterMetricFamily("fuota_clock_answers", "Answers to AppTimeReq.", labels=["outcome"])
    answers.add_metric(["sent"], counts.clock_answers)
    answers.add_metric(["failed"], counts.clock_failures)
    yield answers
