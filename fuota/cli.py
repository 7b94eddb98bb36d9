"""The command line: `fuota serve | configfile | rotate-master-key | demo | version`."""

import math
import sys
from pathlib import Path
from typing import IO, Any

import click

# Only what every command needs is imported here, so that --help and version are there at once.

config_option = click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The configuration file. Without it, chirpstack-fuota-server.toml is looked for in the working "
    "directory, in ~/.config/chirpstack-fuota-server and in /etc/chirpstack-fuota-server.",
)


class Mistake(click.ClickException):
    """A mistake in what the user gave, told in one line."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        from fuota.config.mistake import printable

        click.echo(f"fuota: {printable(self.message)}", file=file, err=file is None)


class Failure(Mistake):
    """What keeps a command from its work though the user has made no mistake in it."""

    exit_code = 1


def _number(context: click.Context, option: click.Parameter, value: float) -> float:
    """Not a number is in no range, but click finds it outside of none either."""
    if math.isnan(value):
        raise click.BadParameter("nan is not a number")
    return value


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Firmware updates over the air for LoRaWAN devices, beside ChirpStack."""


@main.command()
@config_option
def serve(path: Path | None) -> None:
    """Run the server until SIGTERM or SIGINT."""
    from fuota import log
    from fuota.config.file import load
    from fuota.config.mistake import ConfigError

    try:
        settings = load(path)
        log.set_up(settings.general)
        from fuota.ending import leave
        from fuota.server import run

        leave(run(settings))
    except ConfigError as error:
        raise Mistake(str(error)) from error


@main.command(short_help="Print a configuration file with the current values.")
@config_option
@click.option(
    "--chirpstack",
    type=click.Choice(["3", "4"]),
    metavar="3|4",
    help="Print the table of this generation of ChirpStack, whichever is configured.",
)
def configfile(path: Path | None, chirpstack: str | None) -> None:
    """Print a commented configuration file with the current values.

    The values come from the environment, the configuration file and the defaults. Tokens and keys are
    printed as they are, for the output is meant to be used as a file.
    """
    import attrs

    from fuota.config.file import dump, load
    from fuota.config.mistake import ConfigError

    try:
        settings = load(path)
        if chirpstack is not None:
            settings = attrs.evolve(settings, generation=4 if chirpstack == "4" else 3)
        click.echo(dump(settings), nl=False)
    except ConfigError as error:
        raise Mistake(str(error)) from error


@main.command()
@click.option(
    "--devices", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many devices."
)
@click.option(
    "--loss",
    type=click.FloatRange(0, 1, max_open=True),
    callback=_number,
    default=0.1,
    show_default=True,
    help="Fraction of frames lost over the air.",
)
@click.option(
    "--size",
    type=click.IntRange(1, 1_000_000),
    default=16 * 1024,
    show_default=True,
    metavar="BYTES",
    help="The size of the firmware.",
)
@click.option(
    "--class",
    "device_class",
    type=click.Choice(["B", "C"], case_sensitive=False),
    default="C",
    show_default=True,
    metavar="B|C",
    help="The class of the devices; B takes minutes, for beacons come every 128 s.",
)
@click.option(
    "--chirpstack",
    type=click.Choice(["3", "4"]),
    default="3",
    show_default=True,
    metavar="3|4",
    help="The generation of ChirpStack that is simulated.",
)
@click.option("--keep", is_flag=True, help="Keep running at the end, to look around.")
def demo(devices: int, loss: float, size: int, device_class: str, chirpstack: str, keep: bool) -> None:
    """Update simulated devices, all on this machine.

    Starts a database, a simulated ChirpStack with devices, and the server; makes one deployment, and
    compares the firmware that each device ends up with.
    """
    from fuota.demo import run

    sys.exit(
        run(
            devices=devices,
            loss=loss,
            size=size,
            device_class=device_class,
            chirpstack=4 if chirpstack == "4" else 3,
            keep=keep,
        )
    )


@main.command(short_help="Change the master key while no server runs.")
@config_option
def rotate_master_key(path: Path | None) -> None:
    """Change the master key; no server may run on the database meanwhile.

    Every McRootKey and McKey is sealed again with a new key, which is in [secrets] key_file afterwards: back
    that up. It may be cut off at any time; run again, it goes on. If the key was given by [secrets]
    master_key, take that out of the configuration then.
    """
    import trio

    from fuota.config.file import load
    from fuota.config.mistake import ConfigError
    from fuota.database import rotate_master_key as rotate
    from fuota.server import MISCONFIGURED, MISTAKES

    try:
        settings = load(path)
    except ConfigError as error:
        raise Mistake(str(error)) from error
    try:
        done = trio.run(rotate, settings, lambda keys: click.echo(f"{keys} keys sealed again"))
    except MISTAKES as error:
        raise (Mistake if isinstance(error, MISCONFIGURED) else Failure)(str(error)) from error
    click.echo(f"done: {done} keys; the master key is in {settings.secrets.key_file}")
    if settings.secrets.master_key is not None:
        click.echo("now take [secrets] master_key out of the configuration")


@main.command()
def version() -> None:
    """Print the version."""
    from importlib import metadata

    click.echo(f"fuota {metadata.version('fuota')}")
