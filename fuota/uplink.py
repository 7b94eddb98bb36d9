"""What a device has sent, in the words of no particular network generation."""

from datetime import datetime

import attrs

from fuota.lorawan.eui import EUI64


@attrs.frozen(kw_only=True)
class Uplink:
    """One data frame of a device, decrypted."""

    dev_eui: EUI64
    f_port: int
    f_cnt: int
    data: bytes
    received_at: datetime
    """When the gateway received it, as exactly as is known; when it reached us otherwise. UTC."""
