# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layer of Postfix's configuration that hands every message to the signing milter."""
from __future__ import annotations

from typing import Any

from ansible_collections.mailfleet.sending.plugins.module_utils.opendkim_policy import SENDER, SENDER_MACRO

MILTER = "unix:opendkim/opendkim.sock"  # relative to Postfix's queue directory, where its services are chrooted


def dkim_layer() -> dict[str, Any]:
    """Return the layer (parameters, services, tables) that makes Postfix sign by OpenDKIM, or hold the mail.

    A milter that is dead, slow or confused defers: C(tempfail) is written out since its default differs between Debian
    12 and 13. Mail of the local sendmail passes by smtpd, hence the second list; Postfix's own notices are filtered by
    no milter unless their class is named. The policy asks for two macros: {auth_authen}, the login, and SENDER_MACRO,
    the same in every message, so that OpenDKIM runs the policy whatever From says.
    """
    return {
        "parameters": {
            "smtpd_milters": MILTER,
            "non_smtpd_milters": MILTER,
            "internal_mail_filter_classes": "bounce",
            "milter_default_action": "tempfail",
            "milter_protocol": "6",
            "milter_mail_macros": " ".join(("i", "{mail_addr}", "{auth_authen}", "{auth_type}", SENDER_MACRO)),
            "milter_macro_defaults": f"{SENDER_MACRO[1:-1]}={SENDER}",
            "milter_connect_timeout": "30s",
            "milter_command_timeout": "30s",
            "milter_content_timeout": "300s",
        },
        "services": {},
        "tables": {},
    }
