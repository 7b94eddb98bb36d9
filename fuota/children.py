"""The children of the root, in the order in which they start."""

import ssl
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import attrs

from fuota import http
from fuota.actor import Actor, Child, Policy, Ref, Tree
from fuota.api.errors import answer
from fuota.api.orders import Orders
from fuota.api.running import Running
from fuota.api.service import DeploymentService
from fuota.config.settings import Settings
from fuota.debug.app import debug_app
from fuota.deployments import Deployments, Message
from fuota.dispatcher import Dispatcher, Route, tell
from fuota.endpoint import Endpoint, Serve
from fuota.generations import GENERATIONS, Generation
from fuota.integration.endpoint import endpoint
from fuota.network.port import Network
from fuota.ownership import Attendance
from fuota.rpc.health import HealthService
from fuota.rpc.reflection import with_reflection
from fuota.rpc.server import serve as serve_grpc
from fuota.services import Services

if TYPE_CHECKING:
    from grpclib._typing import IServable

M = TypeVar("M")


@attrs.define
class Addresses:
    """Where the server listens, each as `host:port`; empty until it does."""

    api: str = ""
    integration: str = ""
    debug: str = ""

    def complete(self) -> bool:
        """Whether the server has started."""
        return all(attrs.astuple(self))


async def grow(
    tree: Tree,
    services: Services,
    network: Network,
    attendance: Attendance,
    settings: Settings,
    tls: ssl.SSLContext | None,
) -> Addresses:
    """Start the children of the root, each when the one before it is up: the ports open last.

    `network` is for the dispatcher, whose answers to clock requests ask nothing of anybody. `attendance` is
    told when there is a port for events.
    """
    addresses = Addresses()

    async def start(name: str, factory: Callable[[], Actor[M]], room: int = 64) -> Ref[M]:
        return await tree.start(Child(name, factory, Policy.PERMANENT, room))

    async def listen(name: str, serve: Serve) -> None:
        await start(name, lambda: Endpoint(serve, partial(setattr, addresses, name)))

    dispatcher: Ref[Route] = await start(
        "dispatcher",
        lambda: Dispatcher(
            services.devices, network, services.journal.ownership, clock_sync=settings.clock_sync
        ),
        room=1024,
    )
    deployments: Ref[Message] = await start("deployments", lambda: Deployments(services), room=1024)
    events, api = settings.network.event_handler, settings.fuota_server.api
    generation = GENERATIONS[settings.generation]
    app = endpoint(
        generation.events,
        dispatcher,
        services.clock,
        tell=partial(tell, services.devices),
        late=services.health.disturbed,
        marshaler=events.marshaler,
        token=events.http.token,
    )
    crowded = services.health.disturbed
    await listen("integration", partial(http.serve, app, events.http.bind, crowded=crowded))
    attendance.listening.set()
    grpc = _grpc_services(generation, services, deployments)
    await listen("api", partial(serve_grpc, grpc, api.bind, tls=tls, answer=answer))
    page = debug_app(tree.snapshot, services.health, addresses.complete, token=settings.debug.token)
    await listen("debug", partial(http.serve, page, settings.debug.bind))
    return addresses


def _grpc_services(
    generation: Generation, services: Services, deployments: Ref[Message]
) -> list["IServable"]:
    running = Running(deployments)
    orders = Orders(services.journal, services.clock, running.begin)
    ours = [
        generation.service(orders, services.journal),
        DeploymentService(orders, services.journal, running, generation.terms),
    ]
    health = HealthService(ours, lambda: not services.health.ailments())
    return with_reflection([*ours, health])
