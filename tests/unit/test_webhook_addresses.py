"""Whom the service may be made to call: a table of addresses, and names that change what they mean."""

import ipaddress

import httpx2
import pytest

from app.activation.webhooks.addresses import Allowed, is_public
from app.activation.webhooks.guard import BadURL, Guard, NotAllowed
from app.config import Settings

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "93.184.216.34",
    "100.63.255.255",  # the last before the carriers' shared addresses
    "100.128.0.0",  # the first after them
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.1",
    "223.255.255.255",  # the last before multicast
    "2606:4700:4700::1111",
    "2a00:1450:4001:80b::200e",
    "2001:200::1",  # the first after the protocol assignments
    "2400:cb00::1",
]
# The IANA special-purpose registries (IPv4 and IPv6), multicast, and whatever leads on to an IPv4 address.
NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",  # IPv4-compatible
    "::ffff:8.8.8.8",  # IPv4-mapped
    "::ffff:127.0.0.1",
    "::ffff:0:127.0.0.1",  # IPv4-translated
    "64:ff9b::8.8.8.8",  # NAT64
    "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1",  # NAT64, local
    "100::1",  # discard
    "2001::1",  # Teredo
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",  # benchmarks
    "2001:10::1",  # ORCHID
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",  # 6to4 of 127.0.0.1
    "2002:808:808::1",  # 6to4 of 8.8.8.8
    "3fff::1",
    "4000::1",  # not handed out
    "5f00::1",  # segment routing
    "fc00::1",
    "fd12:3456:789a::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_public_internet_may_be_called(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_any_other_address_may_not(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_nor_may_its_address_stand_in_a_url(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(BadURL):
        Guard(Allowed.of([])).check_url(f"https://{host}/hooks")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://example.com/hooks?to=lists", None),
        ("https://example.com:8443/hooks", None),
        ("https://8.8.8.8/", None),
        ("https://bücher.example/", None),
        ("HTTPS://EXAMPLE.COM/", None),
        ("http://example.com/hooks", "https_needed"),
        ("ftp://example.com/", "invalid_url"),
        ("file:///etc/passwd", "invalid_url"),
        ("gopher://example.com/", "invalid_url"),
        ("example.com/hooks", "invalid_url"),
        ("https://", "invalid_url"),
        ("https:///hooks", "invalid_url"),
        ("https://user@example.com/", "invalid_url"),
        ("https://user:password@example.com/", "invalid_url"),
        ("https://example.com\\@127.0.0.1/", "invalid_url"),
        ("https://example.com/#part", "invalid_url"),
        ("https://example.com:0/", "invalid_url"),
        ("https://example.com:65536/", "invalid_url"),
        ("https://example.com:http/", "invalid_url"),
        ("https://exa mple.com/", "invalid_url"),
        ("https://%6cocalhost/", "invalid_url"),
        ("https://a..b/", "invalid_url"),
        ("https://127.0.0.1./", "invalid_url"),
        ("https://example.com/\n", "invalid_url"),
        ("https://example.com/\ud800", "invalid_url"),
        ("https://127.0.0.1/", "address_not_allowed"),
        ("https://[::1]/", "address_not_allowed"),
        ("https://169.254.169.254/latest/meta-data", "address_not_allowed"),
    ],
)
def test_a_url_is_taken_or_refused_with_a_reason(url: str, code: str | None) -> None:
    guard = Guard(Allowed.of([]))
    if code is None:
        guard.check_url(url)
        return
    with pytest.raises(BadURL) as refused:
        guard.check_url(url)
    assert refused.value.code == code


class Names:
    """A name server that answers as it is told, each time anew."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def __call__(self, host: str, port: int) -> list[str]:
        return self.answers.pop(0)


async def addresses(guard: Guard, url: str = "https://hooks.example/") -> list[str]:
    return await guard.addresses(httpx2.URL(url))


@pytest.mark.anyio
async def test_a_name_is_looked_up_at_every_attempt_so_that_rebinding_it_is_noticed() -> None:
    guard = Guard(Allowed.of([]), resolve=Names(["8.8.8.8"], ["127.0.0.1"], ["8.8.8.8"]))
    assert await addresses(guard) == ["8.8.8.8"]
    with pytest.raises(NotAllowed):
        await addresses(guard)
    assert await addresses(guard) == ["8.8.8.8"]


@pytest.mark.anyio
@pytest.mark.parametrize("second", ["10.0.0.1", "fe80::1", "::ffff:8.8.8.8"])
async def test_one_address_that_may_not_be_called_spoils_them_all(second: str) -> None:
    with pytest.raises(NotAllowed):
        await addresses(Guard(Allowed.of([]), resolve=Names(["8.8.8.8", second])))


@pytest.mark.anyio
async def test_a_name_without_an_address_is_an_error_and_not_a_call() -> None:
    with pytest.raises(OSError, match="no address"):
        await addresses(Guard(Allowed.of([]), resolve=Names([])))


@pytest.mark.anyio
async def test_a_number_that_stands_for_loopback_is_looked_up_and_refused() -> None:
    """2130706433 and 0x7f.1 are 127.0.0.1 to the operating system."""
    guard = Guard(Allowed.of([]), resolve=Names(["127.0.0.1"], ["127.0.0.1"]))
    for host in ("2130706433", "0x7f.1"):
        with pytest.raises(NotAllowed):
            await addresses(guard, str(guard.check_url(f"https://{host}/")))


@pytest.mark.anyio
async def test_the_operator_may_allow_hosts_and_networks() -> None:
    guard = Guard(
        Allowed.of(["crm.internal", "10.20.0.0/16", "fd00::/8"]),
        resolve=Names(["192.168.1.5"], ["10.20.3.4", "fd00::1"], ["10.21.0.1"], ["169.254.169.254"]),
    )
    assert await addresses(guard, "https://crm.internal/") == ["192.168.1.5"]
    assert await addresses(guard, "https://other.internal/") == ["10.20.3.4", "fd00::1"]
    for _ in range(2):
        with pytest.raises(NotAllowed):
            await addresses(guard, "https://other.internal/")


def test_what_the_operator_allowed_may_be_called_by_plain_http_when_it_was_named() -> None:
    guard = Guard(Allowed.of(["crm.internal", "10.20.0.0/16"]))
    for host in ("crm.internal", "CRM.internal", "10.20.0.9"):
        guard.check_url(f"http://{host}:8080/hooks")
    for host in ("other.internal", "crm.internal.evil.example", "10.21.0.9"):
        with pytest.raises(BadURL):
            guard.check_url(f"http://{host}:8080/hooks")


def settings(monkeypatch: pytest.MonkeyPatch, value: str) -> Settings:
    monkeypatch.setenv("TESSERA_WEBHOOK_ALLOW", value)
    return Settings(_env_file=None)


def test_the_setting_is_a_list_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(monkeypatch, "").webhook_allow == ()
    found = settings(monkeypatch, " CRM.internal , 10.20.0.0/16,::1").webhook_allow
    assert found == ("crm.internal", "10.20.0.0/16", "::1")


@pytest.mark.parametrize("value", ["10.20.0.0/33", "10.20.0.1/16", "10.20.300.1", "http://crm.internal", "a b", "*"])
def test_a_setting_that_means_nothing_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    with pytest.raises(ValueError, match="no host name and no network"):
        settings(monkeypatch, value)
