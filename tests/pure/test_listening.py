"""What a simulated device hears of a multicast group, and what not."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from fuota.deployment.plan import MulticastClass
from fuota.lorawan import fragmentation, keys, multicast
from fuota.lorawan.eui import EUI64
from fuota.lorawan.fragmentation import DataFragment, FragSessionSetupReq, FragSessionStatusReq
from fuota.lorawan.gpstime import gps_seconds, next_beacon
from fuota.lorawan.multicast import McClassBSessionReq, McClassCSessionReq, McGroupSetupReq
from fuota.lorawan.package import Command
from fuota.simulation import frames
from fuota.simulation.behaviour import Behaviour
from fuota.simulation.device import Device
from fuota.simulation.frames import Payload
from fuota.simulation.radio import Channel

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
START = next_beacon(NOON + timedelta(minutes=10))
ROOT_KEY, MC_KEY = bytes(16), bytes(range(16))
MC_ADDR = 0x00FF0102
CHANNEL = Channel(MulticastClass.C, 869_525_000, 3, 0)
FRAGMENT = DataFragment(n=1, frag_index=0, data=b"12345678")


def fragment_setup(mask: int = 0b0010) -> FragSessionSetupReq:
    return FragSessionSetupReq(
        mc_group_bit_mask=mask,
        frag_index=0,
        nb_frag=4,
        frag_size=8,
        block_ack_delay=1,
        frag_algo=0,
        padding=0,
        descriptor=bytes(4),
    )


def group_setup(min_mc_fcnt: int = 0, max_mc_fcnt: int = 100) -> McGroupSetupReq:
    return McGroupSetupReq(
        mc_group_id=1,
        mc_addr=MC_ADDR,
        mc_key_encrypted=keys.wrap_mc_key(ROOT_KEY, MC_KEY),
        min_mc_fcnt=min_mc_fcnt,
        max_mc_fcnt=max_mc_fcnt,
    )


def session(start: datetime = START, time_out: int = 6) -> McClassCSessionReq:
    return McClassCSessionReq(
        mc_group_id=1, session_time=gps_seconds(start), time_out=time_out, dl_frequency=869_525_000, dr=3
    )


def told(device: Device, *commands: Command, now: datetime = NOON) -> None:
    for package in (multicast.package, fragmentation.package):
        ours = [each for each in commands if type(each) in package.commands("down", 1)]
        if ours:
            device.take(Payload(package.port, package.write(*ours, version=1)), now)


@pytest.fixture
def device() -> Device:
    device = Device(
        dev_eui=EUI64(bytes(8)), mc_root_key=ROOT_KEY, behaviour=Behaviour(answer_delay=timedelta(0))
    )
    told(device, group_setup(), fragment_setup(), session())
    assert list(sent(device, NOON))
    return device


def sent(device: Device, now: datetime) -> Iterator[tuple[int, bytes]]:
    while (payload := device.send(now)) is not None:
        yield payload.f_port, payload.data


def frame(f_cnt: int = 0, command: Command = FRAGMENT, f_port: int = 201, mc_addr: int = MC_ADDR) -> bytes:
    payload = Payload(f_port, fragmentation.package.write(command, version=1))
    return frames.seal(
        payload,
        mc_addr=mc_addr,
        f_cnt=f_cnt,
        mc_nwk_s_key=keys.mc_nwk_s_key(MC_KEY, mc_addr),
        mc_app_s_key=keys.mc_app_s_key(MC_KEY, mc_addr),
    )


def heard(device: Device) -> int:
    return device.fragments.sessions[0].decoder.nb_received


@pytest.mark.parametrize(
    ("after_start", "hears"),
    [(-1, False), (0, True), (63.999, True), (64, False), (-600, False)],
)
def test_the_window_of_class_c_is_2_to_the_time_out_seconds(
    device: Device, after_start: float, hears: bool
) -> None:
    device.hear(frame(), CHANNEL, START + timedelta(seconds=after_start))
    assert heard(device) == hears


@pytest.mark.parametrize(
    ("after_start", "hears"), [(-1, False), (0, True), (4 * 128 - 0.001, True), (4 * 128, False)]
)
def test_the_window_of_class_b_is_2_to_the_time_out_beacon_periods(
    device: Device, after_start: float, hears: bool
) -> None:
    request = McClassBSessionReq(
        mc_group_id=1, session_time=gps_seconds(START), time_out=2, periodicity=3, dl_frequency=0, dr=3
    )
    told(device, request)
    device.hear(frame(), Channel(MulticastClass.B, 0, 3, 3), START + timedelta(seconds=after_start))
    assert heard(device) == hears


@pytest.mark.parametrize(
    "channel",
    [
        Channel(MulticastClass.C, 868_100_000, 3, 0),
        Channel(MulticastClass.C, 869_525_000, 4, 0),
        Channel(MulticastClass.B, 869_525_000, 3, 0),
    ],
)
def test_nothing_is_heard_on_another_channel(device: Device, channel: Channel) -> None:
    device.hear(frame(), channel, START)
    assert heard(device) == 0


def test_nothing_is_heard_of_another_group(device: Device) -> None:
    device.hear(frame(mc_addr=MC_ADDR + 1), CHANNEL, START)
    assert heard(device) == 0


def test_a_later_session_request_replaces_the_earlier_one(device: Device) -> None:
    told(device, session(START + timedelta(hours=1)))
    device.hear(frame(0), CHANNEL, START)
    assert heard(device) == 0
    device.hear(frame(1), CHANNEL, START + timedelta(hours=1))
    assert heard(device) == 1


def test_a_session_request_for_the_past_leaves_the_open_window_alone(device: Device) -> None:
    told(device, session(), now=START + timedelta(seconds=1))
    assert [*sent(device, START + timedelta(seconds=1))] == [(200, bytes.fromhex("0421"))]
    device.hear(frame(), CHANNEL, START + timedelta(seconds=2))
    assert heard(device) == 1


def test_a_repeated_group_setup_leaves_the_session_alone(device: Device) -> None:
    told(device, group_setup())
    device.hear(frame(), CHANNEL, START)
    assert heard(device) == 1


def test_a_deleted_group_is_not_heard(device: Device) -> None:
    told(device, multicast.McGroupDeleteReq(mc_group_id=1))
    device.hear(frame(), CHANNEL, START)
    assert heard(device) == 0


def test_a_frame_counter_is_accepted_from_min_to_before_max_and_once(device: Device) -> None:
    told(device, group_setup(min_mc_fcnt=10, max_mc_fcnt=20), session())
    counted = []
    for f_cnt in (9, 10, 10, 15, 14, 19, 20):
        before = heard(device)
        device.hear(frame(f_cnt), CHANNEL, START)
        if heard(device) > before:
            counted.append(f_cnt)
    assert counted == [10, 15, 19]


def test_the_counter_goes_on_beyond_16_bits(device: Device) -> None:
    told(device, group_setup(min_mc_fcnt=65_534, max_mc_fcnt=70_000), session())
    for f_cnt in range(65_534, 65_540):
        device.hear(frame(f_cnt), CHANNEL, START)
    assert heard(device) == 6


def test_a_group_that_is_not_in_the_mask_feeds_nothing(device: Device) -> None:
    told(device, fragment_setup(0b1101))
    device.hear(frame(), CHANNEL, START)
    assert heard(device) == 0
    told(device, FRAGMENT)
    assert heard(device) == 1


def test_a_fragment_of_another_size_is_dropped(device: Device) -> None:
    device.hear(frame(command=DataFragment(n=1, frag_index=0, data=b"1234567")), CHANNEL, START)
    assert heard(device) == 0


def test_commands_by_multicast_are_dropped_but_for_the_status_request(device: Device) -> None:
    device.hear(frame(0, fragmentation.FragSessionDeleteReq(frag_index=0)), CHANNEL, START)
    device.hear(
        frame(1, f_port=200, command=fragmentation.FragSessionDeleteReq(frag_index=0)), CHANNEL, START
    )
    assert device.next_uplink is None
    device.hear(frame(2, FragSessionStatusReq(frag_index=0, participants=True)), CHANNEL, START)
    assert device.next_uplink is not None
    assert START <= device.next_uplink <= START + timedelta(seconds=32)  # 2^(BlockAckDelay + 4)


def test_time_to_start_counts_from_the_uplink(device: Device) -> None:
    told(device, session())
    later = START - timedelta(seconds=30)
    assert [*sent(device, later)] == [(200, bytes.fromhex("04011e0000"))]


def test_answers_that_do_not_fit_take_another_uplink(device: Device) -> None:
    told(device, *[session()] * 11)
    uplinks = [data for _, data in sent(device, NOON)]
    assert [len(data) for data in uplinks] == [50, 5]


def test_answers_wait_for_their_time_and_their_port() -> None:
    device = Device(dev_eui=EUI64(bytes(8)), mc_root_key=ROOT_KEY)
    told(device, group_setup(), fragment_setup())
    assert device.send(NOON) is None
    due = NOON + device.behaviour.answer_delay
    assert device.next_uplink == due
    assert [f_port for f_port, _ in sent(device, due)] == [200, 201]
    assert device.next_uplink is None


def test_a_new_image_on_the_same_index_takes_the_place_of_the_old(device: Device) -> None:
    for image in (b"a" * 32, b"b" * 32):
        told(device, fragment_setup())
        for n in range(1, 5):
            assert device.image != image
            told(device, DataFragment(n=n, frag_index=0, data=image[8 * n - 8 : 8 * n]))
        assert device.image == image
