"""The log: one readable line per event, on the console or in syslog, for our events and those of libraries.

Write `log = structlog.get_logger(__name__)` and `log.info("what happened", dev_eui=…)`.
"""

import logging
import sys
from collections.abc import MutableMapping
from logging.handlers import SysLogHandler
from pathlib import Path

import structlog
from structlog.typing import Processor

from fuota.config.mistake import ConfigError
from fuota.config.settings import General
from fuota.thinning import Thinning

LEVELS = (logging.CRITICAL, logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)
"""By the numbers of the configuration: panic, fatal, error, warning, info, debug."""

SYSLOG_SOCKETS = (Path("/dev/log"), Path("/var/run/syslog"))


def set_up(general: General) -> None:
    """Log as configured from now on. Raises ConfigError when there is no syslog to log to."""
    level = LEVELS[general.log_level]
    handler = _syslog() if general.log_to_syslog else logging.StreamHandler(sys.stderr)
    stamp: list[Processor] = [structlog.processors.TimeStamper("%Y-%m-%dT%H:%M:%SZ", utc=True)]
    if general.log_to_syslog:
        stamp = []  # syslog has its own
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        *stamp,
        _hide_secrets,
        _octets_in_hex,
    ]
    handler.addFilter(Thinning())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.dev.ConsoleRenderer(
                    colors=not general.log_to_syslog and sys.stderr.isatty(),
                    # The default shows local variables, and with them keys.
                    exception_formatter=structlog.dev.plain_traceback,
                    pad_event_to=0,
                    sort_keys=False,
                    pad_level=False,
                ),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.getLogger("hpack").setLevel(max(level, logging.INFO))  # tells of every single header
    logging.getLogger("psycopg.pool").setLevel(max(level, logging.ERROR))  # tells what our health tells once
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _syslog() -> SysLogHandler:
    for path in SYSLOG_SOCKETS:
        if path.exists():
            handler = SysLogHandler(str(path), facility=SysLogHandler.LOG_DAEMON)
            handler.ident = "fuota: "
            return handler
    places = " or ".join(map(str, SYSLOG_SOCKETS))
    raise ConfigError(f"general.log_to_syslog = true: there is no syslog at {places}; set it to false")


def _hide_secrets(
    logger: object, method: str, event: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    """A net below everything that already keeps keys and tokens to itself."""
    for name in event:
        if name.endswith(("_key", "_keys", "token", "dsn", "password", "authorization")):
            event[name] = "(hidden)"
    return event


def _octets_in_hex(
    logger: object, method: str, event: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    for name, value in event.items():
        if isinstance(value, bytes):
            event[name] = value.hex()
    return event
