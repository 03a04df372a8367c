# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of OpenDKIM's configuration, and the folder (a generation) of all that it refers to."""
from __future__ import annotations

import hashlib
from dataclasses import dataclass

from ansible_collections.mailfleet.sending.plugins.module_utils import opendkim_policy
from ansible_collections.mailfleet.sending.plugins.module_utils.opendkim_policy import Policy

CONF = "/etc/opendkim.conf"
GENERATIONS = "/etc/opendkim"
KEYS = "/etc/dkimkeys"
SOCKET = "/var/spool/postfix/opendkim/opendkim.sock"
USER = "opendkim"
ALGORITHMS = {"rsa": "rsa-sha256", "ed25519": "ed25519-sha256"}
# Octets of all headers of a message; Gmail takes about twice as much. Strangers' headers too are kept in memory, where
# many small fields take up to twelve times their size.
MAXIMUM_HEADERS = 262144

# RFC 6376, 5.4.1, with what RFC 8058 and large receivers want under the signature. Received, Return-Path and Bcc change
# on the way and stay out.
SIGNED_HEADERS = (
    "From", "Sender", "Reply-To", "Subject", "Date", "To", "Cc", "Message-ID", "In-Reply-To", "References",
    "MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-ID", "Content-Description",
    "Content-Disposition", "Content-Language", "List-Id", "List-Help", "List-Unsubscribe", "List-Unsubscribe-Post",
    "List-Subscribe", "List-Post", "List-Owner", "List-Archive", "Feedback-ID", "Auto-Submitted",
)


@dataclass(frozen=True)
class Generation:
    """One whole configuration: C(name) comes from its content; C(files) name to text, all but opendkim.conf itself
    in the folder C(directory)."""

    name: str
    conf: str
    files: dict[str, str]

    @property
    def directory(self) -> str:
        """Return the folder of the files."""
        return f"{GENERATIONS}/{self.name}"


def generation(policy: Policy, key_type: str = "rsa") -> Generation:
    """Return the configuration that carries out a policy.

    Arguments: C(key_type) that of all keys, since one OpenDKIM signs with one algorithm ("rsa" or "ed25519").
    Raises: PolicyMistakes where the policy contradicts itself.
    """
    files = {
        "KeyTable": opendkim_policy.key_table(policy, KEYS),
        "setup.lua": opendkim_policy.setup_script(policy),
        "final.lua": opendkim_policy.final_script(),
    }
    settings = {
        "Mode": "s",
        "UserID": USER,
        "UMask": "007",
        "Socket": f"local:{SOCKET}",
        "PidFile": "/run/opendkim/opendkim.pid",
        "Syslog": "yes",
        "SyslogSuccess": "no",
        "Canonicalization": "relaxed/relaxed",
        "SignatureAlgorithm": ALGORITHMS[key_type],
        "SignHeaders": ",".join(SIGNED_HEADERS),
        "OversignHeaders": "From",
        "RequireSafeKeys": "yes",
        "MaximumHeaders": str(MAXIMUM_HEADERS),
        # This is about too large headers alone. By default they are deferred, and would be for ever.
        "On-Security": "reject",
        "SenderMacro": opendkim_policy.SENDER_MACRO,
    }
    name = hashlib.sha256(repr((settings, sorted(files.items()))).encode()).hexdigest()[:16]
    directory = f"{GENERATIONS}/{name}"
    settings |= {
        "KeyTable": f"file:{directory}/KeyTable",
        "SetupPolicyScript": f"{directory}/setup.lua",
        "FinalPolicyScript": f"{directory}/final.lua",
    }
    head = "# Written by the module mailfleet.sending.opendkim_config; what is changed here is lost.\n"
    return Generation(name, head + "".join(f"{key} {value}\n" for key, value in settings.items()), files)
