"""The regions of LoRaWAN (RP002), by the names that ChirpStack has for them."""

from enum import Enum


class Region(Enum):
    """Each has a channel plan of its own."""

    EU868 = "EU868"
    US915 = "US915"
    CN779 = "CN779"
    EU433 = "EU433"
    AU915 = "AU915"
    CN470 = "CN470"
    AS923 = "AS923"
    AS923_2 = "AS923_2"
    AS923_3 = "AS923_3"
    AS923_4 = "AS923_4"
    KR920 = "KR920"
    IN865 = "IN865"
    RU864 = "RU864"
    ISM2400 = "ISM2400"
