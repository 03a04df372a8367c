# Copyright: mailfleet.sending contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names with other letters than ASCII's are the same for every check, and the same as in the inventory."""

from __future__ import annotations

import pytest
from spf_world import Sealed

from ansible_collections.mailfleet.sending.plugins.module_utils.blocklists import Blocklist
from ansible_collections.mailfleet.sending.plugins.module_utils.dkim_judge import Key
from ansible_collections.mailfleet.sending.plugins.module_utils.domain_facts import Question
from ansible_collections.mailfleet.sending.plugins.module_utils.reading import domain_name
from ansible_collections.mailfleet.sending.plugins.module_utils.records import Record, absolute_name
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_fleet import Sender, of_fleet, read_domains
from ansible_collections.mailfleet.sending.plugins.module_utils.spf_tree import read_what_if
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_blocklists import verify_blocklists
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_dmarc import Subject, read_greetings
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_mx import Receiver
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_ptr import Address
from ansible_collections.mailfleet.sending.plugins.module_utils.verify_spf_record import verify_records

LIST = Blocklist("ours", "list.example", ("domain",), {}, listed="test.example", unlisted="example.com")
# What each makes of a name.
READERS = {
    "the inventory": domain_name,
    "records": absolute_name,
    "values": lambda name: Record("a.example", "MX", f"10 {name}").value.partition(" ")[2],
    "spf_verify, domains": lambda name: read_domains([name])[0],
    "spf_verify, HELO names": lambda name: of_fleet([], [("192.0.2.1", name)])[0].domain,
    "spf_verify, checks": lambda name: Sender("192.0.2.1", name).domain,
    "spf_verify, what_if": lambda name: next(iter(read_what_if({name: "v=spf1 -all"}))),
    "records of SPF": lambda name: verify_records(Sealed({}).ask, [name])[0].subjects[0],
    "ptr_verify": lambda name: Address("192.0.2.1", name).helo,
    "mx_verify, domains": lambda name: Receiver(name).domain,
    "mx_verify, hosts": lambda name: Receiver("a.example", (name,)).hosts[0],
    "dkim_verify": lambda name: Key(name, "s1").owner.removeprefix("s1._domainkey."),
    "dkim_verify, the default selector": lambda name: Key(name).selector,
    "dmarc_verify, domains": lambda name: Subject(name).domain,
    "dmarc_verify, HELO names": lambda name: read_greetings([name])[0],
    "dnsbl_verify": lambda name: verify_blocklists(Sealed({}), [LIST], domains=[name])[0].subjects[0].partition(" ")[0],
    "domain_info": lambda name: Question(name).domain,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["b\u00fccher.example", "B\u00dcCHER.Example.", "xn--bcher-kva.example"])
def test_letters_become_a_labels(reader, name):
    assert READERS[reader](name).removesuffix(".") == "xn--bcher-kva.example"


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", [
    "stra\u00dfe.example", "b\u00fc..example", "\u00fc" * 60 + ".example", "\u2024.example"])
def test_letters_that_no_name_has_or_that_are_read_in_two_ways_are_refused(reader, name):
    if reader == "the inventory":
        assert READERS[reader](name) is None  # it tells its mistakes with their paths
        return
    with pytest.raises(ValueError, match="no.* domain name"):
        READERS[reader](name)
