"""What differs between the generations of ChirpStack: the only place where one is chosen."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import attrs

from fuota.api import service3, service4, spelling
from fuota.api.ordering import Terms
from fuota.api.orders import Orders
from fuota.config.settings import ChirpStackApi
from fuota.health import Health
from fuota.integration import chirpstack3 as events3
from fuota.integration import chirpstack4 as events4
from fuota.integration import event
from fuota.journal.port import Journal
from fuota.network import application_server, chirpstack4
from fuota.network.chirpstack import ChirpStack

if TYPE_CHECKING:
    from grpclib._typing import IServable


@attrs.frozen
class Generation:
    """How one is called, what it posts, and what its clients expect of us."""

    connected: Callable[[ChirpStackApi, Health], AbstractAsyncContextManager[ChirpStack]]
    events: event.Generation
    service: "Callable[[Orders, Journal], IServable]"
    terms: Terms


GENERATIONS: Mapping[int, Generation] = {
    3: Generation(
        application_server.connected,
        events3,
        service3.FuotaServerService,
        Terms(spelling.number, "the number of an application", choosing=False),
    ),
    4: Generation(
        chirpstack4.connected,
        events4,
        service4.FuotaServerService,
        Terms(spelling.uuid, "the UUID of an application", choosing=True),
    ),
}
