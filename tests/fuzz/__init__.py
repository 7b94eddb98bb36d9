"""Hostile input: `./dev fuzz` tries a million of them, the tests a few thousand, always the same ones.

A target takes a `Random` and a number of inputs, and raises what did not hold. What it tries is made from one
seed: a failure is a seed and a number.
"""
