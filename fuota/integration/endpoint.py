"""The endpoint that ChirpStack's HTTP integration posts its events to.

ChirpStack does not wait for the answer for long, and does not repeat an event that was refused, so 2xx means
that all the uplink holds is safe.
"""

from collections.abc import Callable
from typing import Literal

import structlog
import trio
from quart import Response, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from fuota import bearer
from fuota.actor import Crashed, Ref, Stopped, TooLate
from fuota.clock import Clock
from fuota.dispatcher import Outcome, Route
from fuota.fate import Fate
from fuota.integration.event import Generation, Malformed
from fuota.integration.gateway_clocks import GatewayClocks
from fuota.lorawan import clocksync, firmware, fragmentation, multicast
from fuota.places import room
from fuota.uplink import Uplink

log = structlog.get_logger(__name__)

PORTS = frozenset(each.package.port for each in (multicast, fragmentation, clocksync, firmware))
MAX_BODY = 1 << 20
"""Octets."""
BODY_TIMEOUT = 10
"""Seconds in which a body has to arrive."""
LARGE = 1 << 14
"""Octets; an event is seldom half as long."""
LARGE_AT_ONCE = 32
"""Bodies longer than that, or of a length that is not told, which are in memory at a time."""

PATIENT = 0.4
"""Of the connections: those that wait for long until their uplinks are safe. Others may wait for theirs."""
IMPATIENT = 1.0
"""Seconds that one on top of those waits for that: it is kept all the same."""

Marshaler = Literal["protobuf", "json"]
ANSWERS = {
    Outcome.TAKEN: (200, "taken"),
    Outcome.BUSY: (503, "too busy"),
    Outcome.ELSEWHERE: (503, "this server does not run the deployments at present"),
}
MARSHALERS: dict[str, Marshaler] = {"application/octet-stream": "protobuf", "application/json": "json"}


def endpoint(
    generation: Generation,
    dispatcher: Ref[Route],
    clock: Clock,
    *,
    tell: Callable[[Fate], object],
    late: Callable[[], object],
    marshaler: Marshaler,
    token: str,
) -> QuartTrio:
    """The ASGI application: `POST` to any path, with `?event=up`, or an event about a downlink.

    `tell` is told what became of a downlink, and `late` is called when an uplink is not safe in time.
    `marshaler` is what a body is taken for whose Content-Type does not say: a proxy may have changed it.
    When `token` is not empty, a request needs it as its bearer token.
    """
    app = QuartTrio(__name__, static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=MAX_BODY, BODY_TIMEOUT=BODY_TIMEOUT)
    app.url_map.merge_slashes = False
    large, clocks = trio.CapacityLimiter(LARGE_AT_ONCE), GatewayClocks()
    waiting, patient = 0, PATIENT * room()

    @app.route("/", defaults={"path": ""}, methods=["POST"], provide_automatic_options=False)
    @app.route("/<path:path>", methods=["POST"], provide_automatic_options=False)
    async def event(path: str) -> Response:
        if not bearer.allowed(request.headers.get("Authorization"), token):
            reason = "the bearer token is missing or wrong"
            log.warning("event refused", reason=reason, peer=request.remote_addr)
            return said(401, reason, {"WWW-Authenticate": "Bearer"})
        length = request.content_length
        if length is not None and length <= LARGE:
            body = await received()
        elif large.available_tokens:
            async with large:
                body = await received()
        else:
            return said(503, "too busy")
        kind = request.args.get("event", "")
        if not kind:
            log.warning("event of no kind", reason="?event= is missing", peer=request.remote_addr)
        if kind != "up" and kind not in generation.FATES:
            return said(200, "not of interest")
        form = MARSHALERS.get(request.mimetype, marshaler)
        try:
            return await hear(form, body) if kind == "up" else learn(kind, form, body)
        except Malformed as malformed:
            log.warning("malformed event", reason=str(malformed), peer=request.remote_addr)
            return said(400, str(malformed))

    def learn(kind: str, form: Marshaler, body: bytes) -> Response:
        """Nothing is lost with it that would not be found out without."""
        read = generation.fate_from_protobuf if form == "protobuf" else generation.fate_from_json
        if (fate := read(kind, body)) is not None:
            tell(fate)
        return said(200, "taken")

    async def hear(form: Marshaler, body: bytes) -> Response:
        read = generation.from_protobuf if form == "protobuf" else generation.from_json
        uplink = read(body, clock.now(), clocks)
        if uplink.f_port not in PORTS:
            return said(200, "not of interest")
        told = log.bind(dev_eui=str(uplink.dev_eui), f_cnt=uplink.f_cnt)
        try:
            outcome = await settled(uplink)
        except TooLate:
            late()
            told.warning("uplink kept, but not safe yet")
            return said(503, "kept, but not safe yet")
        except (Crashed, Stopped) as error:
            told.warning("uplink lost", reason=str(error))
            return said(503, "not taken")
        if outcome is Outcome.BUSY:
            told.warning("uplink lost", reason="too many wait already")
        return said(*ANSWERS[outcome])

    async def settled(uplink: Uplink) -> Outcome:
        """What becomes of it. Raises `TooLate` while the devices have it in hand.

        The more wait already, the sooner: who comes then may have waited long to be connected.
        """
        nonlocal waiting
        within = max(IMPATIENT, generation.WITHIN * (1 - waiting / patient))
        waiting += 1
        try:
            return await dispatcher.ask(lambda reply: Route(uplink, reply), within=within)
        finally:
            waiting -= 1

    @app.errorhandler(HTTPException)
    async def refused(error: HTTPException) -> Response:
        headers = {name: value for name, value in error.get_headers() if name == "Allow"}
        return said(error.code or 500, error.description or error.name, headers)

    return app


async def received() -> bytes:
    """The body of the request."""
    body: bytes = await request.get_data(cache=False, as_text=False, parse_form_data=False)
    return body


def said(status: int, reason: str, headers: dict[str, str] | None = None) -> Response:
    """An answer in one line of plain text."""
    return Response(f"{reason}\n", status, headers, mimetype="text/plain")
