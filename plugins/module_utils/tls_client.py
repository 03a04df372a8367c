# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS to a server that is reached by one name or address and bears another in its certificate."""

from __future__ import annotations

import ssl


class _NamedContext(ssl.SSLContext):
    """Checks certificates against a name of its own; smtplib and imaplib would take the host that they connect to."""

    certificate_name = ""

    def wrap_socket(self, sock, server_hostname=None, **options):
        return super().wrap_socket(sock, server_hostname=self.certificate_name or server_hostname, **options)


def client_context(ca_file: str = "", certificate_name: str = "", verify: bool = True) -> ssl.SSLContext:
    """Return a context for TLS 1.2 or later that demands a valid certificate, or none where `verify` is false.

    `ca_file` holds the certificates of the authorities to trust, "" for the system's; `certificate_name` is the name
    that the server's certificate must bear, "" for the host that is connected to. Raises OSError where the file cannot
    be read.
    """
    context = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.certificate_name = certificate_name
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca_file:
        context.load_verify_locations(ca_file)
    else:
        context.load_default_certs()
    return context
