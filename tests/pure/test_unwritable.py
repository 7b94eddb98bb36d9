"""What can not be written is refused with the command, the field, and what would be right."""

from typing import Any

import pytest

from fuota.lorawan import clocksync, fragmentation, multicast
from fuota.lorawan.package import Command, Package, PackageVersionReq
from fuota.lorawan.wire import Unwritable

FRAGMENT = fragmentation.DataFragment(n=1, frag_index=0, data=bytes(3))
STATUS = fragmentation.FragSessionStatusReq(frag_index=0)
SETUP: dict[str, Any] = {
    "mc_group_bit_mask": 1,
    "frag_index": 0,
    "nb_frag": 9,
    "frag_size": 8,
    "block_ack_delay": 0,
    "frag_algo": 0,
    "padding": 3,
    "descriptor": b"abcd",
}
SESSION: dict[str, Any] = {
    "mc_group_id": 0,
    "session_time": 0,
    "time_out": 0,
    "dl_frequency": 868_100_000,
    "dr": 0,
}


def setup(**changes: Any) -> Command:
    return fragmentation.FragSessionSetupReq(**SETUP | changes)


def session(**changes: Any) -> Command:
    return multicast.McClassCSessionReq(**SESSION | changes)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (setup(nb_frag=16384), "FragSessionSetupReq.nb_frag is 16384; it must be 1 to 16383"),
        (setup(nb_frag=0), "FragSessionSetupReq.nb_frag is 0; it must be 1 to 16383"),
        (setup(frag_size=256), "FragSessionSetupReq.frag_size is 256; it must be 1 to 255"),
        (setup(padding=-1), "FragSessionSetupReq.padding is -1; it must be 0 to 255"),
        (setup(frag_index=4), "FragSessionSetupReq.frag_index is 4; it must be 0 to 3"),
        (setup(descriptor=b"abc"), "FragSessionSetupReq.descriptor has 3 octets; it must have 4"),
        (setup(descriptor="abcd"), "FragSessionSetupReq.descriptor is 'abcd'; it must be octets"),
        (setup(padding=None), "FragSessionSetupReq.padding is None; it must be 0 to 255"),
        (setup(padding=1.0), "FragSessionSetupReq.padding is 1.0; it must be 0 to 255"),
        (
            session(dl_frequency=868_100_050),
            "McClassCSessionReq.dl_frequency is 868100050; it must be a multiple of 100",
        ),
        (session(dl_frequency=2_403_000_000), "dl_frequency is 2403000000; it must be 0 to 1677721500"),
        (session(time_out=16), "McClassCSessionReq.time_out is 16; it must be 0 to 15"),
        (
            session(session_time=2**32),
            "McClassCSessionReq.session_time is 4294967296; it must be 0 to 4294967295",
        ),
        (
            fragmentation.DataFragment(n=0, frag_index=0, data=b"1"),
            "DataFragment.n is 0; it must be 1 to 16383",
        ),
        (
            fragmentation.DataFragment(n=1, frag_index=0, data=b""),
            "DataFragment.data has 0 octets; it must have at least 1",
        ),
        (
            fragmentation.DataFragment(n=1, frag_index=0, data=bytes(253)),
            "payload has 256 octets; it must have at most 255",
        ),
        (clocksync.AppTimeAns(time_correction=2**31, token_ans=0), "it must be -2147483648 to 2147483647"),
        (
            multicast.McClassCSessionAns(mc_group_id=0),
            "McClassCSessionAns.time_to_start is None; it must be 0 to 16777215",
        ),
        (
            multicast.McClassCSessionAns(mc_group_id=0, dr_error=True, time_to_start=5),
            "McClassCSessionAns.time_to_start is 5; it must be absent here",
        ),
        (
            multicast.McGroupStatusAns(ans_group_mask=3, nb_total_groups=2, items=()),
            "McGroupStatusAns.items has 0 records; it must have 2",
        ),
        (
            multicast.McGroupStatusAns(
                ans_group_mask=1, nb_total_groups=1, items=(multicast.McGroup(mc_group_id=4, mc_addr=0),)
            ),
            "McGroupStatusAns.items McGroup.mc_group_id is 4; it must be 0 to 3",
        ),
        (
            multicast.McGroupStatusAns(ans_group_mask=1, nb_total_groups=1, items=("no group",)),  # type: ignore[arg-type]
            "McGroupStatusAns.items is .*; it must be a tuple of McGroup",
        ),
    ],
)
def test_a_value_out_of_range(command: Command, message: str) -> None:
    packages = (clocksync.package, fragmentation.package, multicast.package)
    (package,) = (it for it in packages if type(command) in it.commands(command.direction, 1))
    with pytest.raises(Unwritable, match=message):
        package.write(command, version=1)


@pytest.mark.parametrize(
    ("package", "commands", "version", "message"),
    [
        (
            fragmentation.package,
            (setup(),),
            2,
            "FragSessionSetupReq.session_cnt is None; it must be 0 to 65535",
        ),
        (
            fragmentation.package,
            (setup(session_cnt=1),),
            2,
            "FragSessionSetupReq.mic is None; it must be octets",
        ),
        (
            fragmentation.package,
            (FRAGMENT, FRAGMENT),
            1,
            "DataFragment must be the only command of its payload",
        ),
        (
            fragmentation.package,
            (STATUS, FRAGMENT),
            1,
            "DataFragment must be the only command of its payload",
        ),
        (multicast.package, (STATUS,), 1, "FragSessionStatusReq is no command of multicast v1"),
        (
            fragmentation.package,
            (fragmentation.FragDataBlockReceivedAns(frag_index=0),),
            1,
            "FragDataBlockReceivedAns is no command of fragmentation v1",
        ),
        (
            fragmentation.package,
            (PackageVersionReq(), fragmentation.FragSessionDeleteAns(frag_index=0)),
            1,
            "fragmentation: a payload goes up or down, not both",
        ),
    ],
)
def test_commands_that_do_not_belong_there(
    package: Package, commands: tuple[Command, ...], version: int, message: str
) -> None:
    with pytest.raises(Unwritable, match=message):
        package.write(*commands, version=version)


@pytest.mark.parametrize("version", [0, 3])
def test_a_version_that_the_package_does_not_have(version: int) -> None:
    with pytest.raises(ValueError, match=f"fragmentation has the versions 1, 2, not {version}"):
        fragmentation.package.write(FRAGMENT, version=version)
    with pytest.raises(ValueError, match=f"fragmentation has the versions 1, 2, not {version}"):
        fragmentation.package.read("up", b"\x00", version)
