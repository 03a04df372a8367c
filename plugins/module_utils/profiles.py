# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mailbox providers that can be named in ``sending_providers`` by a word."""

from __future__ import annotations

from ansible_collections.mailfleet.sending.plugins.module_utils.fleet import Provider

# Connections an address: KumoMTA's community shaping file, read in 2026; providers publish next to none themselves.
PROFILES: dict[str, Provider] = {
    profile.name: profile
    for profile in (
        Provider("google", ("gmail.com", "googlemail.com"), connections=5),
        Provider("orange", ("orange.fr", "wanadoo.fr"), connections=2),
        Provider("gmx", ("gmx.net", "gmx.de", "web.de"), connections=4),
        Provider("icloud", ("icloud.com", "me.com", "mac.com"), connections=10),
    )
}
