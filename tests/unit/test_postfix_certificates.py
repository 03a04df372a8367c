# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys with their certificates: read from PEM, judged by their dates and by OpenSSL, and named by layers."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import subprocess
import threading

import certificates
import pytest

from ansible_collections.mailfleet.sending.plugins.module_utils import der
from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import Address, Domain, Fleet, Server
from ansible_collections.mailfleet.sending.plugins.module_utils.layer_postfix import SNAKEOIL, postfix_layer
from ansible_collections.mailfleet.sending.plugins.module_utils.master_cf import MasterCf
from ansible_collections.mailfleet.sending.plugins.module_utils.mistakes import Mistakes
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_certificates import (
    Certificate,
    date_mistakes,
    joined,
    pair_mistakes,
)
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_checks import reference_mistakes
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_layers import Refused, resolve, with_secrets
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_listeners import Listener, listeners
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_plan import diff, table_files
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_proof import Plan, ProofError, prove
from ansible_collections.mailfleet.sending.plugins.module_utils.postfix_view import View

V12, TABLES = (3, 7, 11), "/etc/postfix/mailfleet"
AUTHORITY = certificates.pair("an authority", ends=3650)
GOOD = certificates.pair(issuer=AUTHORITY)
OTHER = certificates.pair()


def read(text: str) -> Certificate:
    return Certificate.read("smtpd", text, "here")


def layer(pem: str, name: str = "smtpd") -> dict:
    return {"parameters": {"smtpd_tls_chain_files": f"{{certificate:{name}}}"}, "certificates": {"smtpd": {"pem": pem}}}


def wrong(call, *arguments) -> list[str]:
    with pytest.raises(Mistakes) as raised:
        call(*arguments)
    return [str(mistake) for mistake in raised.value.mistakes]


# PEM.


def test_key_and_chain_become_one_text_without_what_is_around_them() -> None:
    chain = f"subject=mta1\r\n{GOOD.certificate}\n{AUTHORITY.certificate}".replace("\n", "\r\n")
    parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    text = joined(("k", parameters + GOOD.key), ("c", chain + GOOD.key))
    assert text == GOOD.key + GOOD.certificate + AUTHORITY.certificate
    pair = read(text)
    assert pair.chain == (GOOD.der, AUTHORITY.der) and pair.text == text and pair.mode == 0o600


def test_what_is_no_pair_is_told_of_both_files_at_once() -> None:
    assert wrong(joined, ("k.pem", "nothing"), ("c.pem", GOOD.key)) == [
        "k.pem: found no private key, expected one in PEM form",
        "c.pem: found no certificate, expected the server's own in PEM form, and behind it those of the authorities "
        "between",
    ]


def test_a_key_with_a_passphrase_is_told_with_its_mend() -> None:
    old = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nAA==\n-----END EC PRIVATE KEY-----\n"
    for key in (GOOD.locked("secret"), old):
        (told,) = wrong(joined, ("k.pem", key), ("c.pem", GOOD.certificate))
        assert told.startswith("k.pem: found a private key with a passphrase") and "ansible-vault" in told


def test_two_keys_are_one_too_many() -> None:
    assert "2 private keys" in wrong(joined, ("k.pem", GOOD.key + OTHER.key), ("c.pem", GOOD.certificate))[0]


def test_a_damaged_certificate_is_told() -> None:
    lines = GOOD.certificate.splitlines(keepends=True)
    for damaged in ("".join(lines[:3] + lines[4:]), "".join([lines[0], "*", *lines[1:]])):
        assert "c.pem: found a certificate that is damaged" in wrong(joined, ("k", GOOD.key), ("c.pem", damaged))[0]


def test_no_mistake_shows_anything_of_a_key() -> None:
    told = wrong(joined, ("k.pem", GOOD.key + OTHER.key), ("c.pem", "x"))
    with pytest.raises(Refused) as refused:
        resolve({"a": layer(GOOD.key + GOOD.certificate), "b": layer(OTHER.key + OTHER.certificate)}, V12, TABLES)
    shown = " ".join([*told, str(refused.value), repr(read(GOOD.key + GOOD.certificate))])
    assert not [line for line in (GOOD.key + OTHER.key).splitlines() if line in shown]


# Dates.


@pytest.mark.parametrize("year", [1951, 1999, 2049, 2050, 2120])
def test_dates_are_those_that_openssl_reads(year) -> None:
    ends = (datetime.datetime(year, 6, 1, tzinfo=datetime.UTC) - datetime.datetime.now(datetime.UTC)).days
    made = certificates.pair(begins=ends - 1, ends=ends)
    assert der.validity(made.der) == (made.public.not_valid_before_utc, made.public.not_valid_after_utc)
    asked = subprocess.run(["openssl", "x509", "-noout", "-enddate", "-dateopt", "iso_8601"], input=made.certificate,
                           capture_output=True, text=True, check=True).stdout
    assert asked.strip() == f"notAfter={der.validity(made.der)[1]:%Y-%m-%d %H:%M:%SZ}"


def test_what_is_no_certificate_has_no_dates() -> None:
    for data in (b"", b"0", GOOD.der[:-1], GOOD.der[1:], b"\x30\x00", bytes.fromhex("300730003000030100")):
        with pytest.raises(der.DerError):
            der.validity(data)


@pytest.mark.parametrize("begins, ends, said", [
    (-90, 90, ""),
    (-76, 14.1, ""),
    (-76, 13.9, "a certificate ends on "),
    (-5, 1.9, ""),  # who lives for a week is renewed in its last days
    (-5, 1.6, "a certificate ends on "),
    (-90, -0.1, "found a certificate that ended on "),
    (1, 90, "found a certificate that begins on "),
])
def test_what_is_said_of_dates(begins, ends, said) -> None:
    made = certificates.pair(begins=begins, ends=ends)
    mistakes, warnings = date_mistakes([read(made.key + made.certificate)])
    assert len(mistakes) == said.startswith("found") and len(warnings) == bool(said and not mistakes)
    assert said in " ".join([*map(str, mistakes), *warnings])
    if "end" in said:
        assert f" on {made.public.not_valid_after_utc:%Y-%m-%d %H:%M} UTC" in " ".join([*map(str, mistakes), *warnings])


def test_an_authority_that_has_ended_is_a_warning() -> None:
    old = certificates.pair("an authority", begins=-100, ends=-1)
    mistakes, (warning,) = date_mistakes([read(GOOD.key + GOOD.certificate + old.certificate)])
    assert not mistakes and "an authority's certificate (number 2 of the chain) ended on" in warning


# What OpenSSL says.


# Their keys are new in every process: they are no part of a test's name.
PAIRS = {
    "good": (GOOD.key, GOOD.certificate + AUTHORITY.certificate, ""),
    "key of another": (OTHER.key, GOOD.certificate, "a key that does not belong to the first certificate"),
    "wrong order": (GOOD.key, AUTHORITY.certificate + GOOD.certificate, "a key that does not belong to the first"),
    "no key": (GOOD.key.replace("M", "A"), GOOD.certificate, "what OpenSSL cannot use"),
}


@pytest.mark.parametrize("which", PAIRS)
def test_key_and_certificate_belong_together(tmp_path, which) -> None:
    key, chain, said = PAIRS[which]
    file = tmp_path / "pair"
    file.write_text(key + chain)
    told = [str(mistake) for mistake in pair_mistakes(str(file), read(key + chain))]
    assert len(told) == bool(said) and said in " ".join(told)


# Layers.


def test_a_parameter_gets_the_path_of_the_pair() -> None:
    wanted = resolve({"a": layer(GOOD.key + GOOD.certificate)}, V12, TABLES)
    pair = wanted.certificates["smtpd"]
    assert wanted.parameters["smtpd_tls_chain_files"] == f"{TABLES}/{pair.file}"
    assert [(file.name, file.mode) for file in table_files(wanted)] == [(pair.file, 0o600)]
    renewed = resolve({"a": layer(OTHER.key + OTHER.certificate)}, V12, TABLES)
    assert renewed.certificates["smtpd"].file != pair.file
    (part,) = diff("/etc/postfix", ("", ""), ("", ""), table_files(wanted), table_files(renewed))
    assert part["before_header"] == "certificate smtpd"
    assert part["before"] == f"{GOOD.fingerprint} until {GOOD.public.not_valid_after_utc:%Y-%m-%d %H:%M} UTC\n"
    assert part["after"].startswith(OTHER.fingerprint)


def test_the_file_that_is_yet_to_come_is_not_missed() -> None:
    wanted = resolve({"a": layer(GOOD.key + GOOD.certificate)}, V12, TABLES)
    paths = [pair.reference(TABLES) for pair in wanted.certificates.values()]
    for known, missed in ((paths, 0), ([], 1)):
        assert len(reference_mistakes(View(wanted.parameters, {}, {}, wanted.source, known), ())) == missed


def test_mistakes_in_a_layer_are_told_once() -> None:
    for content, words in (
        (layer(GOOD.key + GOOD.certificate, name="smtp"), "did you mean smtpd?"),
        ({**layer(""), "certificates": {"smtpd": {}}}, "layers.mine.certificates.smtpd: found no pair"),
        ({"certificates": {"../x": {"pem": ""}}}, "a certificate's name"),
        (layer(GOOD.key), "layers.mine.certificates.smtpd: found no certificate"),
    ):
        (mistake,) = wrong(resolve, {"mine": content}, V12, TABLES)
        assert words in mistake


def test_a_pair_of_two_layers_is_the_same_or_a_mistake() -> None:
    pem = GOOD.key + GOOD.certificate
    resolve({"a": layer(pem), "b": {"certificates": {"smtpd": {"pem": "words\n" + pem}}}}, V12, TABLES)
    other = {"certificates": layer(OTHER.key + OTHER.certificate)["certificates"]}
    (told,) = wrong(resolve, {"a": layer(pem), "b": other}, V12, TABLES)
    assert told.startswith("layers.b.certificates.smtpd: found another certificate, expected the one of layer a;")


def test_a_pair_that_nothing_refers_to_is_told_and_not_installed() -> None:
    wanted = resolve({"a": {"certificates": {"smtpd": {"pem": GOOD.key + GOOD.certificate}}}}, V12, TABLES)
    assert not wanted.files and wanted.unused == ("certificate smtpd: nothing refers to it",)


def test_pairs_travel_apart_from_the_layers() -> None:
    passed = {"certificates": {"smtpd": {}}}
    whole = with_secrets({"a": passed}, {}, {"smtpd": "PEM"})
    assert whole["a"]["certificates"]["smtpd"] == {"pem": "PEM"} and passed["certificates"]["smtpd"] == {}
    assert "secret_certificates" in wrong(with_secrets, {"a": layer(GOOD.key)}, {}, {})[0]
    assert wrong(with_secrets, {"a": {}}, {}, {"smtpd": "PEM"}) == [
        "secret_certificates.smtpd: found a pair without a place, expected a layer's certificate of this name"]


def test_a_server_shows_the_certificate_of_the_inventory_or_debians() -> None:
    address = Address("198.51.100.10", "mta1.example.com", "198.51.100.10")
    with_one = Server("mta1", (address,), tls_certificate="mta1.crt", tls_key="mta1.key")
    for server, values in ((with_one, ("{certificate:smtpd}", "", "")), (Server("mta1", (address,)), ("", *SNAKEOIL))):
        made = postfix_layer(Fleet((server,), (Domain("example.com", "here"),)), server)
        names = ("smtpd_tls_chain_files", "smtpd_tls_cert_file", "smtpd_tls_key_file")
        assert tuple(made["parameters"][name] for name in names) == values
        given = {"smtpd": {"certificate": "mta1.crt", "key": "mta1.key"}} if server is with_one else {}
        assert made["certificates"] == given


# The proof.


def test_which_listeners_show_a_certificate() -> None:
    file, off = f"{TABLES}/smtpd.0.pem", "-o smtpd_tls_security_level="
    master = f"25 inet n - y - - smtpd\n26 inet n - y - - smtpd {off}none\n27 inet n - y - 1 postscreen\n" \
        f"28 inet n - y - - smtpd -o smtpd_tls_chain_files=/etc/x.pem\n465 inet n - y - - smtpd {off}none " \
        "-o smtpd_tls_wrappermode=yes\n"
    values = {"inet_interfaces": "all", "smtpd_tls_security_level": "may", "smtpd_tls_chain_files": file}
    found = listeners(values, MasterCf.parse(master).services, TABLES)
    assert found == (
        Listener("127.0.0.1", 25, False, (file,)), Listener("127.0.0.1", 26), Listener("127.0.0.1", 27),
        Listener("127.0.0.1", 28), Listener("127.0.0.1", 465, True, (file,)))


class Shower(threading.Thread):
    """A server that begins TLS with one pair after another, a client each; with None it cannot."""

    def __init__(self, tmp_path, wrapped: bool, *pairs: certificates.Pair | None) -> None:
        super().__init__(daemon=True)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.wrapped = wrapped
        self.contexts = [pair and self.context(tmp_path / str(number), pair) for number, pair in enumerate(pairs)]
        self.start()

    @staticmethod
    def context(file, pair: certificates.Pair) -> ssl.SSLContext:
        file.write_text(pair.key + pair.certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def run(self) -> None:
        for context in self.contexts:
            with contextlib.suppress(OSError):  # who has heard enough hangs up
                self.serve(self.listening.accept()[0], context)

    def serve(self, client: socket.socket, context: ssl.SSLContext | None) -> None:
        if self.wrapped:
            client = context.wrap_socket(client, server_side=True)
        with client, client.makefile("rb") as lines:
            client.sendall(b"220 mta1\r\n")
            for line in lines:
                if line.startswith(b"STARTTLS") and not context:
                    client.sendall(b"454 4.7.0 TLS not available due to local problem\r\n")
                elif line.startswith(b"STARTTLS"):
                    client.sendall(b"220 go on\r\n")
                    with context.wrap_socket(client, server_side=True) as secured:
                        secured.recv(100)
                        secured.sendall(b"221 bye\r\n")
                    return
                elif line.startswith(b"QUIT"):
                    client.sendall(b"221 bye\r\n")
                else:
                    client.sendall(b"250-mta1\r\n250 STARTTLS\r\n")


def proved(tmp_path, wrapped: bool, *pairs: certificates.Pair | None, timeout: float = 60) -> str:
    """The fingerprint that proves a server to show GOOD; the first of the pairs greets only."""
    file = tmp_path / "installed"
    file.write_text(GOOD.key + GOOD.certificate + AUTHORITY.certificate)
    server = Shower(tmp_path, wrapped, *pairs)
    place = Listener("127.0.0.1", server.listening.getsockname()[1], wrapped, (str(file),))
    try:
        (fingerprint,) = prove(None, Plan((place,), False, timeout), "")["certificates"].values()
        return fingerprint
    finally:
        server.listening.close()


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_certificate_is_proved_by_a_handshake(tmp_path, wrapped) -> None:
    assert proved(tmp_path, wrapped, GOOD, GOOD) == GOOD.fingerprint


def test_a_process_of_before_the_reload_may_show_the_former_certificate_once(tmp_path) -> None:
    assert proved(tmp_path, False, GOOD, OTHER, GOOD) == GOOD.fingerprint


@pytest.mark.parametrize("shown", ["another", "none"])
def test_another_certificate_or_none_is_no_proof(tmp_path, shown) -> None:
    with pytest.raises(ProofError, match="no TLS with the certificate of .*/installed on 127.0.0.1") as raised:
        proved(tmp_path, False, GOOD, *[OTHER if shown == "another" else None] * 9, timeout=1)
    assert (OTHER.fingerprint if shown == "another" else "TLS not available due to local problem") in str(raised.value)
