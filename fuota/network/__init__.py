"""The LoRaWAN network the server works through: one idea of it (`port`), and its implementations."""
