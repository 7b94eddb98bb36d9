"""The packages against golden bytes of other implementations, and of real devices."""

import json
from pathlib import Path
from typing import Any

import pytest

from fuota.lorawan import clocksync, firmware, fragmentation, multicast
from fuota.lorawan.package import Command, Package, PackageVersionAns, PackageVersionReq
from fuota.lorawan.wire import Direction

FOLDER = Path(__file__).parents[1] / "vectors"
VECTORS = json.loads((FOLDER / "commands.json").read_text())
TRANSCRIPTS = json.loads((FOLDER / "devices.json").read_text())["transcripts"]

MODULES = {"TS003": clocksync, "TS004": fragmentation, "TS005": multicast, "TS006": firmware}
PACKAGES = {name: module.package for name, module in MODULES.items()}
BY_PORT = {package.port: package for package in PACKAGES.values()}
DIRECTIONS: dict[str, Direction] = {"uplink": "up", "downlink": "down"}
VERSIONS = {"1.0.0": 1, "2.0.0": 2}

COMMANDS = {"ForceDeviceResyncCmd": "ForceDeviceResyncReq"}
FIELDS = {
    "dl_frequency_hz": "dl_frequency",
    "memory_error": "not_enough_matrix_memory",
    "frag_algo_unsupported": "encoding_unsupported",
    "frag_index_unsupported": "frag_session_index_not_supported",
}
"""What the vectors call otherwise, most of it because version 2 does."""


def value(name: str, said: Any) -> Any:
    """A field's value as we have it."""
    if name == "mc_addr":
        return int(said, 16)
    if name == "items":
        return tuple(
            multicast.McGroup(**{key: value(key, item) for key, item in row.items()}) for row in said
        )
    return bytes.fromhex(said) if isinstance(said, str) else said


def command(package: str, said: dict[str, Any]) -> Command:
    """A command of the vectors as we have it."""
    shared = {"PackageVersionReq": PackageVersionReq, "PackageVersionAns": PackageVersionAns}
    name = COMMANDS.get(said["name"], said["name"])
    cls = shared[name] if name in shared else getattr(MODULES[package], name)
    made: Command = cls(**{FIELDS.get(key, key): value(key, said) for key, said in said["fields"].items()})
    return made


def key(case: dict[str, Any]) -> tuple[Package, Direction, int]:
    return PACKAGES[case["package"]], DIRECTIONS[case["direction"]], VERSIONS[case["version"]]


def test_every_golden_command_is_read_and_written() -> None:
    assert len(VECTORS["commands"]) == 201
    for case in VECTORS["commands"]:
        package, direction, version = key(case)
        payload, expected = bytes.fromhex(case["hex"]), command(case["package"], case)
        assert package.port == case["f_port"]
        assert (expected.direction, expected.cid) == (direction, case["cid"])
        assert package.read(direction, payload, version).whole() == (expected,), case
        assert package.write(expected, version=version) == payload, case


def test_every_command_has_a_golden_one() -> None:
    golden = {(*key(case), COMMANDS.get(case["name"], case["name"])) for case in VECTORS["commands"]}
    assert golden == {
        (package, direction, version, cls.__name__)
        for package in PACKAGES.values()
        for version in package.versions
        for direction in DIRECTIONS.values()
        for cls in package.commands(direction, version)
    }


def test_several_commands_in_one_payload() -> None:
    assert len(VECTORS["concatenated"]) == 15
    for case in VECTORS["concatenated"]:
        package, direction, version = key(case)
        payload = bytes.fromhex(case["hex"])
        expected = tuple(command(case["package"], said) for said in case["commands"])
        assert package.read(direction, payload, version).whole() == expected
        assert package.write(*expected, version=version) == payload


UNUSUAL: dict[tuple[str, str, str], tuple[tuple[Command, ...], str, str]] = {
    ("TS005", "1.0.0", "0402"): (
        (),
        "0402",
        "McClassCSessionAns.time_to_start wants 3 octets, left: nothing",
    ),
    ("TS005", "1.0.0", "04020001"): ((), "04020001", "time_to_start wants 3 octets, left: 0001"),
    ("TS005", "1.0.0", "041e000400"): (
        (
            multicast.McClassCSessionAns(
                mc_group_id=2, dr_error=True, freq_error=True, mc_group_undefined=True
            ),
        ),
        "000400",
        "PackageVersionAns.package_identifier wants 2, left: 0400",
    ),
    ("TS005", "1.0.0", "0422"): ((multicast.McClassCSessionAns(mc_group_id=2, start_missed=True),), "", ""),
    ("TS005", "2.0.0", "0422"): ((multicast.McClassCSessionAns(mc_group_id=2, start_missed=True),), "", ""),
    ("TS005", "2.0.0", "0442"): ((multicast.McClassCSessionAns(mc_group_id=2, future_errors=1),), "", ""),
    ("TS005", "1.0.0", "012100"): ((), "012100", "McGroupStatusAns.items wants 5 octets, left: 00"),
    ("TS005", "1.0.0", "01330001020304"): (
        (),
        "01330001020304",
        "McGroupStatusAns.items wants 10 octets, left: 0001020304",
    ),
    ("TS004", "2.0.0", "0104"): ((fragmentation.FragSessionStatusAns(session_does_not_exist=True),), "", ""),
    ("TS004", "2.0.0", "0104000000"): (
        (
            fragmentation.FragSessionStatusAns(
                session_does_not_exist=True, nb_frag_received=0, frag_index=0, missing_frag=0
            ),
        ),
        "",
        "",
    ),
    ("TS004", "1.0.0", "01001000"): (
        (),
        "01001000",
        "FragSessionStatusAns.not_enough_matrix_memory wants 1 octet, left: nothing",
    ),
    ("TS004", "1.0.0", "0230"): ((fragmentation.FragSessionSetupAns(frag_index=0),), "", ""),
    ("TS004", "1.0.0", ""): ((), "", "payload wants 1 to 255 octets, left: nothing"),
    ("TS004", "1.0.0", "7f"): ((), "7f", "CID wants a known command, left: 7f"),
    ("TS003", "1.0.0", "0100040000"): ((), "0100040000", "AppTimeReq.token_req wants 1 octet, left: nothing"),
    ("TS003", "1.0.0", "01000400001fff"): (
        (clocksync.AppTimeReq(device_time=1024, token_req=15, ans_required=True),),
        "ff",
        "CID wants a known command, left: ff",
    ),
    ("TS003", "1.0.0", "0100040000ff"): (
        (clocksync.AppTimeReq(device_time=1024, token_req=15, ans_required=True),),
        "",
        "",
    ),
    ("TS006", "1.0.0", "0403"): (
        (),
        "0403",
        "DevUpgradeImageAns.next_firmware_version wants 4 octets, left: nothing",
    ),
    ("TS006", "1.0.0", "0400"): (
        (firmware.DevUpgradeImageAns(up_image_status=firmware.UpImageStatus.NO_IMAGE),),
        "",
        "",
    ),
    ("TS006", "1.0.0", "04ff11223344"): (
        (
            firmware.DevUpgradeImageAns(
                up_image_status=firmware.UpImageStatus.VALID, next_firmware_version=0x44332211
            ),
        ),
        "",
        "",
    ),
}
"""What the vectors recommend for what is malformed or unusual: commands, the rest, and the error."""


def test_the_malformed_and_the_unusual() -> None:
    cases = VECTORS["malformed_or_unusual"]
    assert {(case["package"], case["version"], case["hex"]) for case in cases} == set(UNUSUAL)
    for case in cases:
        package, direction, version = key(case)
        commands, rest, error = UNUSUAL[case["package"], case["version"], case["hex"]]
        reading = package.read(direction, bytes.fromhex(case["hex"]), version)
        assert (reading.commands, reading.rest.hex()) == (commands, rest), case["why"]
        assert (reading.error is not None) == bool(error), case["why"]
        assert error in str(reading.error or "")


def device_steps(op: str) -> list[tuple[Package, int, dict[str, Any]]]:
    return [
        (BY_PORT[step.get("f_port", clocksync.package.port)], VERSIONS[transcript["package_versions"]], step)
        for transcript in TRANSCRIPTS
        for step in transcript["steps"]
        if step["op"] == op
    ]


def test_every_answer_of_real_devices_is_read() -> None:
    steps = device_steps("downlink") + device_steps("clock_request")
    answers = [(package, version, answer) for package, version, step in steps for answer in step["answers"]]
    assert len(answers) > 100
    for package, version, answer in answers:
        commands = package.read("up", bytes.fromhex(answer), version).whole()
        assert package.write(*commands, version=version).hex() == answer


def test_every_downlink_to_real_devices_is_ours_to_make() -> None:
    steps = device_steps("downlink")
    assert len(steps) > 200
    for package, version, step in steps:
        commands = package.read("down", bytes.fromhex(step["hex"]), version).whole()
        assert package.write(*commands, version=version).hex() == step["hex"], step["why"]


@pytest.mark.parametrize(
    ("port", "identifier", "name"),
    [(200, 2, "TS005"), (201, 3, "TS004"), (202, 1, "TS003"), (203, 4, "TS006")],
)
def test_ports_and_identifiers(port: int, identifier: int, name: str) -> None:
    assert BY_PORT[port] is PACKAGES[name]
    assert PACKAGES[name].identifier == identifier
