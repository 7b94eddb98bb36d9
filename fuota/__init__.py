"""A firmware-update server for LoRaWAN fleets."""
