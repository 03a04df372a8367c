# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kinds of lines that are known and count nothing, by how they begin."""

from __future__ import annotations

# Behind the process, whatever the service.
ALWAYS = (
    b"warning: ", b"fatal: ", b"error: ", b"panic: ", b"statistics: ", b"connect to ", b"dict_", b"close database ",
    b"table ", b"using backwards-compatible ", b"name_mask: ", b"cache ", b"initializing the ", b"SSL_",
    b"before input_transp_cleanup", b"nss_",
)
# Behind the process, by service; those that have none of their own write only what ALWAYS and OF_MESSAGE have.
OF_SERVICE: dict[bytes, tuple[bytes, ...]] = {
    b"smtpd": (
        b"connect from ", b"disconnect from ", b"lost connection after ", b"timeout after ", b"NOQUEUE: ",
        b"improper command pipelining ", b"Anonymous TLS ", b"Trusted TLS ", b"Untrusted TLS ", b"Verified TLS ",
        b"setting up TLS connection ", b"too many errors after ", b"discarding EHLO keywords", b"bare <LF> ",
        b"bare <CR>", b"proxy-accept: ", b"proxy-reject: ", b"certificate verification failed ", b"generic_checks",
        b"Host offered STARTTLS", b"reject_", b"disabling ", b"smtpd_",
    ),
    b"smtp": (
        b"certificate verification failed ", b"setting up TLS connection ", b"Host offered STARTTLS",
        b"Anonymous TLS ", b"Trusted TLS ", b"Untrusted TLS ", b"Verified TLS ", b"Cannot start TLS",
        b"server certificate verification ", b"discarding EHLO keywords", b"looking for session ",
        b"TLS library problem",
    ),
    b"cleanup": (
        b"reject: ",
    ),
    b"qmgr": (
        b"incoming ", b"qmgr_",
    ),
    b"postscreen": (
        b"CONNECT from ", b"DISCONNECT ", b"PASS ", b"WHITELIST", b"BLACKLIST", b"ALLOWLIST", b"DENYLIST",
        b"PREGREET ", b"DNSBL rank ", b"HANGUP after ", b"COMMAND ", b"NON-SMTP COMMAND ", b"BARE NEWLINE ",
        b"NOQUEUE: ", b"entering STRESS ", b"leaving STRESS ", b"addr ",
    ),
    b"dnsblog": (
        b"addr ",
    ),
    b"tlsproxy": (
        b"CONNECT ", b"DISCONNECT ", b"Anonymous TLS ", b"Trusted TLS ", b"Untrusted TLS ", b"Verified TLS ",
        b"certificate verification failed ", b"TLS handshake ", b"TLSPROXY ", b"TLS SNI ",
    ),
    b"master": (
        b"daemon started ", b"terminating on signal ", b"reload ", b"process ",
    ),
    b"postsuper": (
        b"Deleted: ", b"Requeued: ", b"Placed on hold: ", b"Released from hold: ", b"Expired: ",
        b"Renamed to match inode",
    ),
    b"postfix-script": (
        b"starting the Postfix", b"stopping the Postfix", b"refreshing the Postfix", b"the Postfix mail system ",
        b"symlink ", b"not owned by ", b"flushing ", b"aborting the Postfix", b"waiting for the Postfix",
    ),
    b"verify": (
        b"cache ",
    ),
    b"postqueue": (
        b"fatal: ",
    ),
}
# Behind a queue id.
OF_MESSAGE = (
    b"client=", b"from=<", b"message-id=", b"resent-message-id=", b"removed", b"requeued", b"placed on hold",
    b"released from hold", b"skipped, still being delivered", b"uid=", b"host ", b"lost connection with ",
    b"conversation with ", b"sender ", b"postmaster ", b"enabling PIX workarounds", b"SASL authentication failed",
    b"warning: ", b"info: ", b"milter-", b"reject: ", b"reject_warning: ", b"discard: ", b"hold: ", b"filter: ",
    b"redirect: ", b"replace: ", b"prepend: ", b"strip: ", b"bcc: ", b"delay: ", b"Cannot start TLS",
    b"TLS is required", b"Server certificate ", b"breaking line ", b"to=", b"mime-error: ", b"sender_", b"Passed ",
    b"expired", b"force-expired", b"replacing command ", b"smtputf8", b"probable forwarding loop",
    b"status=deferred (bounce failed)",
    b"no signature data", b"proxy-", b"trigger ", b"already ", b"bounce", b"header_",
)
# OpenDKIM's behind a queue id, those that tell of a fault, and those behind the process.
OPENDKIM = (
    b"DKIM-Signature field added", b"no signature data", b"no signing table match", b"no MTA name match",
    b"not internal", b"not authenticated", b"bad signature data", b"DKIM verification", b"s=",
    b"key retrieval failed", b"signing table", b"external host", b"no signature", b"failed to parse ",
    b"can't determine message sender", b"signature",
)
OPENDKIM_FAULTS = (
    b"error loading key", b"dkim_eom()", b"dkim_eoh()", b"signing failed", b"key data is not secure",
    b"can't load key", b"SSL error", b"can't parse From:", b"failed to parse From:", b"dkim_sign",
)
OPENDKIM_ALWAYS = (
    b"OpenDKIM Filter", b"configuration reloaded", b"key data", b"smfi_", b"milter-", b"mi_stop", b"warning",
    b"WARNING", b"can't", b"dkim", b"accept",
)
