"""The operators' endpoint: what the actors do, whether the server is well, and what it counts."""

import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import attrs
from quart import Response, jsonify, redirect, render_template, request
from quart_trio import QuartTrio

from fuota import bearer
from fuota.actor import ActorSnapshot
from fuota.debug import page, plain
from fuota.debug.metrics import exposition
from fuota.debug.survey import Node, Snapshot, survey
from fuota.health import Health

COOKIE = "fuota-debug"
OPEN = frozenset({"/healthz", "/readyz"})
"""What needs no token, for whoever watches over the process has none."""

DEPTH, DEEPEST = 3, 8
LIMIT, MOST = 100, 1000


def debug_app(snapshot: Snapshot, health: Health, ready: Callable[[], bool], *, token: str) -> QuartTrio:
    """The ASGI application. `ready`: whether the server has started and is not stopping.

    A token, when there is one, is needed as the bearer token, or once as `?token=`: a cookie keeps it.
    """
    app = QuartTrio(__name__, static_folder=None, template_folder=".")
    app.config.update(MAX_CONTENT_LENGTH=0, BODY_TIMEOUT=5)
    app.jinja_env.filters.update(words=plain.words, span=page.span)
    cookie = sha256(b"fuota debug " + token.encode()).hexdigest()

    @app.before_request
    async def guard() -> Any:
        if not token or request.path in OPEN:
            return None
        if bearer.same(request.args.get("token", "").encode(), token):
            arguments = request.args.copy()
            del arguments["token"]
            answer = redirect(request.path + page.query(arguments))
            answer.set_cookie(COOKIE, cookie, httponly=True, samesite="Lax")
            return answer
        if bearer.same(request.cookies.get(COOKIE, "").encode(), cookie):
            return None
        if bearer.allowed(request.headers.get("Authorization"), token):
            return None
        reason = "the bearer token is missing or wrong\n"
        return Response(reason, 401, {"WWW-Authenticate": "Bearer"}, mimetype="text/plain")

    @app.get("/")
    async def index() -> Response:
        nonce = secrets.token_urlsafe(16)
        html = await render_template("page.html", nonce=nonce, **page.context(snapshot, health, request.args))
        policy = (
            f"default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; script-src 'nonce-{nonce}'"
        )
        return Response(html, headers={"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"})

    @app.get("/debug/actors")
    async def actors() -> Response:
        depth = min(request.args.get("depth", DEPTH, int), DEEPEST)
        limit = max(0, min(request.args.get("limit", LIMIT, int), MOST))
        path = request.args.get("path", "/")
        root = survey(snapshot, path, limit=limit, descend=lambda node: node.level < depth)
        if root is None:
            return said(404, error=f"no living actor at {path}")
        return jsonify(as_json(root))

    @app.get("/healthz")
    async def healthz() -> Response:
        ailments = health.ailments()
        return said(503 if ailments else 200, ailments=ailments)

    @app.get("/readyz")
    async def readyz() -> Response:
        ailments, started = health.ailments(), ready()
        return said(200 if started and not ailments else 503, started=started, ailments=ailments)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(exposition(snapshot, health), content_type="text/plain; version=0.0.4; charset=utf-8")

    return app


def said(status: int, **values: object) -> Response:
    answer = jsonify(values)
    answer.status_code = status
    return answer


def as_json(node: Node) -> dict[str, Any]:
    """An actor and those below it; the fields are those of `ActorSnapshot`."""
    fields = {
        field.name: getattr(node.actor, field.name)
        for field in attrs.fields(ActorSnapshot)
        if field.name not in ("description", "children", "hidden")
    }
    return fields | {
        "description": plain.plain(node.actor.description),
        "children": [as_json(child) for child in node.children],
        "hidden": node.hidden,
    }
