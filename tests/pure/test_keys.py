import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuota.lorawan import keys

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/keys.json").read_text())
KEY = bytes(range(16))
BLOCK: dict[str, Any] = {"session_cnt": 0, "frag_index": 0, "descriptor": bytes(4)}

octets16 = st.binary(min_size=16, max_size=16)


def test_there_are_golden_keys_for_both_generations() -> None:
    assert {case["lorawan"] for case in VECTORS["multicast"]} == {"1.0.x", "1.1.x"}
    assert {case["lorawan"] for case in VECTORS["data_block_mic"]} == {"1.0.x", "1.1.x"}


@pytest.mark.parametrize("case", VECTORS["multicast"], ids=lambda case: case["mc_addr"])
def test_multicast_keys(case: dict[str, str]) -> None:
    derive = {"1.0.x": keys.mc_root_key_from_gen_app_key, "1.1.x": keys.mc_root_key_from_app_key}
    mc_root_key = derive[case["lorawan"]](bytes.fromhex(case["root_key"]))
    mc_key, mc_addr = bytes.fromhex(case["mc_key"]), int(case["mc_addr"], 16)
    assert mc_root_key.hex() == case["mc_root_key"]
    assert keys.mc_ke_key(mc_root_key).hex() == case["mc_ke_key"]
    assert keys.wrap_mc_key(mc_root_key, mc_key).hex() == case["mc_key_encrypted"]
    assert keys.unwrap_mc_key(mc_root_key, bytes.fromhex(case["mc_key_encrypted"])) == mc_key
    assert keys.mc_app_s_key(mc_key, mc_addr).hex() == case["mc_app_s_key"]
    assert keys.mc_nwk_s_key(mc_key, mc_addr).hex() == case["mc_nwk_s_key"]


@pytest.mark.parametrize("case", VECTORS["data_block_mic"], ids=lambda case: case["mic"])
def test_the_mic_of_a_data_block(case: dict[str, Any]) -> None:
    payload = case["payload"]
    assert payload["rule"] == "affine"
    block = bytes((i * payload["mul"] + payload["add"]) % 256 for i in range(payload["length"]))
    key = keys.data_block_int_key(bytes.fromhex(case["root_key"]))
    assert key.hex() == case["data_block_int_key"]
    mic = keys.block_mic(
        key,
        block,
        session_cnt=case["session_cnt"],
        frag_index=case["frag_index"],
        descriptor=bytes.fromhex(case["descriptor"]),
    )
    assert mic.hex() == case["mic"] == case["mic_as_sent_in_setup_req"]


@given(octets16, octets16)
def test_a_device_finds_the_key_that_was_wrapped_for_it(mc_root_key: bytes, mc_key: bytes) -> None:
    assert keys.unwrap_mc_key(mc_root_key, keys.wrap_mc_key(mc_root_key, mc_key)) == mc_key


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: keys.mc_root_key_from_gen_app_key(b"7" * 15), "GenAppKey: wanted 16 octets, got 15"),
        (lambda: keys.mc_root_key_from_app_key(b"7" * 24), "AppKey: wanted 16 octets, got 24"),
        (lambda: keys.wrap_mc_key(b"7" * 32, KEY), "McRootKey: wanted 16 octets, got 32"),
        (lambda: keys.wrap_mc_key(KEY, b""), "McKey: wanted 16 octets, got 0"),
        (lambda: keys.unwrap_mc_key(KEY, b"7" * 32), "McKey_encrypted: wanted 16 octets, got 32"),
        (lambda: keys.mc_app_s_key(KEY, 2**32), "McAddr: wanted 0 to 4294967295, got 4294967296"),
        (lambda: keys.mc_nwk_s_key(KEY, -1), "McAddr: wanted 0 to 4294967295, got -1"),
        (lambda: keys.block_mic(KEY[:4], b"", **BLOCK), "DataBlockIntKey: wanted 16 octets, got 4"),
        (
            lambda: keys.block_mic(KEY, b"", **BLOCK | {"descriptor": KEY}),
            "Descriptor: wanted 4 octets, got 16",
        ),
        (lambda: keys.block_mic(KEY, b"", **BLOCK | {"session_cnt": 65536}), "SessionCnt: wanted 0 to 65535"),
    ],
)
def test_what_has_the_wrong_length_is_named_and_not_shown(call: Callable[[], bytes], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "777" not in str(caught.value)
