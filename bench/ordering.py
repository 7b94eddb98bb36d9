"""What the benchmarks order."""

from collections.abc import Iterable
from datetime import timedelta
from random import Random

from fuota.deployment.order import Order, OrderedDevice
from fuota.deployment.plan import MulticastClass, StatusRequest
from fuota.generated.chirpstack3 import fuota_pb2 as pb
from fuota.lorawan.eui import EUI64
from fuota.simulation.fleet import FIRST_DEV_EUI


def dev_euis(count: int) -> list[EUI64]:
    return [EUI64((FIRST_DEV_EUI + number).to_bytes(8)) for number in range(count)]


def order(devices: Iterable[EUI64]) -> Order:
    """A class C deployment to these devices, whose answers may be long in coming."""
    return Order(
        application_id="1",
        devices=[OrderedDevice(dev_eui.octets, 2 * dev_eui.octets) for dev_eui in devices],
        multicast_group_type=MulticastClass.C,
        multicast_dr=5,
        multicast_periodicity=0,
        multicast_frequency=869_525_000,
        multicast_group_id=0,
        multicast_timeout=8,
        unicast_timeout=timedelta(minutes=10),
        unicast_attempt_count=3,
        fragmentation_fragment_size=50,
        payload=Random(0).randbytes(10_000),
        fragmentation_redundancy=20,
        fragmentation_session_index=0,
        fragmentation_matrix=0,
        fragmentation_block_ack_delay=0,
        fragmentation_descriptor=bytes(4),
        request_fragmentation_session_status=StatusRequest.AFTER_SESSION_TIMEOUT,
    )


def request(asked: Order) -> pb.CreateDeploymentRequest:
    """The same in protobuf."""
    return pb.CreateDeploymentRequest(
        deployment=pb.Deployment(
            application_id=int(asked.application_id),
            devices=[
                pb.DeploymentDevice(dev_eui=each.dev_eui, mc_root_key=each.mc_root_key)
                for each in asked.devices
            ],
            multicast_group_type=pb.CLASS_C,
            multicast_dr=asked.multicast_dr,
            multicast_frequency=asked.multicast_frequency,
            multicast_timeout=asked.multicast_timeout,
            unicast_timeout=asked.unicast_timeout,
            unicast_attempt_count=asked.unicast_attempt_count,
            fragmentation_fragment_size=asked.fragmentation_fragment_size,
            fragmentation_redundancy=asked.fragmentation_redundancy,
            payload=asked.payload,
            request_fragmentation_session_status=pb.AFTER_SESSION_TIMEOUT,
        )
    )
