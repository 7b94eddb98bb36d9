"""LoRaWAN's application packages: bytes, keys, time and airtime. Pure: no I/O, no clock, no state."""
