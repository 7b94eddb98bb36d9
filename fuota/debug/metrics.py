"""What the server counts, in the text format of Prometheus."""

from collections.abc import Iterator

import attrs
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fuota.debug.survey import MOST, Snapshot, census, survey
from fuota.dispatcher import Counts
from fuota.health import Health


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
        yield GaugeMetricFamily("fuota_ailments", "What is wrong at present.", len(self.health.ailments()))
        dispatcher = self.snapshot("/dispatcher", depth=0, limit=0)
        if dispatcher is not None and isinstance(dispatcher.description, Counts):
            yield from dispatched(dispatcher.description)


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
