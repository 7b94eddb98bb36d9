"""A deployment: one firmware image for a list of devices, from the order to the last answer."""
